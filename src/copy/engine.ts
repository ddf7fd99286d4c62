/**
 * HOT: the session engine of `tscopy`. Every client's TCP session with production is played at a target, from the
 * client's own address and port, by a TCP sender that the target's replies drive. No input, no output, no clock of its
 * own: packets, headers and time are handed in, packets leave through an `Emitter`. Budget 1 µs a client packet.
 *
 * ```
 * receive ring ──► decode ──► onClientPacket(region, layers, sum, arrivedNs) ─┐
 * tsintercept ──► onTargetHeader(header) ─────────────────────────────────────┼─► Emitter ──► device ──► target
 * nextTimerNs() ──► tick(nowNs) ──────────────────────────────────────────────┘
 * ```
 * The caller's loop, per batch: `tick(now)`; each header; each frame; hand the emitter's packets to the device; what
 * the kernel refused to `onSendError`; then give the ring's block back. Sleep at most until `nextTimerNs()`.
 * - Time: nanoseconds of one monotonic clock, given with `tick`; all calls until the next `tick` happen at that time.
 * - One engine per worker, nothing shared. All packets of a client, and the headers that answer its sessions, belong to
 *   the same engine: `forEachSession` lists what `tsintercept` has to hand to it.
 * - A client's frame is rewritten where it lies and sent from there when the target can take it at once. Its payload is
 *   kept besides, until it is acknowledged, as a sender must. Frames whose sessions get several copies are built anew.
 * - Requests are told by the client's acknowledgements (`pacing.ts`), never by the protocol that is spoken.
 * - Memory is bounded by `maxSessions`, `memoryBytes`, `sessionBytes`; what did not fit is counted (`counts.ts`).
 */

import type { Region } from '../base/region.ts';
import { mixEnd, mixWord } from '../flow/hash.ts';
import type { Layers } from '../wire/layers.ts';
import { seqAdd, seqDelta } from '../wire/seq.ts';
import { TcpFlag } from '../wire/tcp.ts';
import { clientHash, type IdentityMap, isAdmitted, SAME_IDENTITY } from './admission.ts';
import { ClientFault, type SumState } from './client_packet.ts';
import { takeClientPacket, wake } from './client_side.ts';
import { Clock, Core, hasFlag, setDeadline, setFlag } from './core.ts';
import { Count, countsByName } from './counts.ts';
import { fireDeadlines } from './deadlines.ts';
import type { Emitter } from './emitter.ts';
import { connect, endSession, finishClient, move, stateOf } from './lifecycle.ts';
import { type EngineOptions, engineOptions } from './options.ts';
import { sendReset } from './packet_builder.ts';
import { hashService } from './service_hash.ts';
import { CELLS, Cell, SessionFlag, TIMES, Time } from './session_cells.ts';
import { SparedNetworks } from './spared.ts';
import { isConnected, State } from './states.ts';
import { Header, TargetHeader } from './target_header.ts';
import { afterTooLong, takeTargetHeader } from './target_side.ts';
import type { Targets } from './targets.ts';

/** Sessions of one client port that may wait behind one another. */
const INCARNATIONS_MAX = 8;
/** Window shift of SYNs for sessions whose own SYN was not seen. */
const SHIFT_DEFAULT = 7;
const INCARNATION_DISTANCE = 1 << 24;

export interface EngineParts {
  readonly options?: Partial<EngineOptions>;
  readonly targets: Targets;
  readonly emitter: Emitter;
  readonly identities?: IdentityMap;
  /** `COUNTS` cells, shared memory where another thread reads them. */
  readonly counts?: Float64Array;
  /** Memory for stored bytes: at least `memoryBytes`; plain memory unless given. */
  readonly poolRegion?: Region;
}

export class CopyEngine {
  readonly core: Core;
  readonly #identities: IdentityMap;
  #spared: SparedNetworks = new SparedNetworks([]);
  readonly #key: Int32Array = new Int32Array(5);
  readonly #header: TargetHeader = new TargetHeader();

  constructor(parts: EngineParts) {
    this.core = new Core(engineOptions(parts.options), parts.targets, parts.emitter, parts.counts, parts.poolRegion);
    this.#identities = parts.identities ?? SAME_IDENTITY;
  }

  /** Moves time to `nowNs` and does what was due. A clock that goes back stands still. */
  tick(nowNs: number): void {
    const { clock, wheel } = this.core;
    if (!(nowNs >= clock[Clock.Now]!)) return;
    if (Number.isNaN(clock[Clock.Start]!)) clock[Clock.Start] = nowNs;
    clock[Clock.Now] = nowNs;
    const fired = wheel.advance(nowNs);
    for (let i = 0; i < fired; i++) fireDeadlines(this.core, wheel.expired[i]!);
  }

  /** Nothing is due before this time; Infinity: nothing at all. */
  nextTimerNs(): number {
    return this.core.wheel.nextNs();
  }

  /**
   * A captured frame of a client, decoded. It is rewritten in place when it can be sent at once: its bytes are not the
   * client's any more after this. `arrivedNs`: its capture time on the engine's clock, for the lag.
   */
  onClientPacket(region: Region, layers: Layers, sum: SumState, arrivedNs: number): void {
    const core = this.core;
    const packet = core.packet;
    core.bump(Count.ClientPackets);
    const fault = packet.read(region, layers, sum);
    if (fault !== ClientFault.None) {
      core.bump(FAULT_COUNT[fault]!);
      return;
    }
    // The wall clock, which stamps packets, may be set: they come in order all the same, and not from the future.
    const now = core.clock[Clock.Now]!;
    core.clock[Clock.Arrived] = Math.min(now, Math.max(arrivedNs, core.clock[Clock.Arrived]!));
    const dstAt = packet.srcAt + packet.addressBytes;
    const service = core.targets.serviceOf(region.view, dstAt, packet.isIpv6, packet.servicePort);
    if (service < 0) {
      core.bump(Count.ClientUnmapped);
      return;
    }
    this.#readKey(region.view);
    const key = this.#key;
    const hash = clientHash(key[0]!, key[1]!, key[2]!, key[3]!);
    const { percent, rampNs } = core.options;
    if (!isAdmitted(hash, percent, rampNs, core.clock[Clock.Now]! - core.clock[Clock.Start]!)) {
      core.bump(Count.ClientNotAdmitted);
      return;
    }
    core.add(Count.ClientBytes, packet.payloadBytes);
    this.#fanOut(service, hash);
  }

  /** A segment of a target, as `tsintercept` hands it back. */
  onTargetHeader(header: TargetHeader): void {
    const core = this.core;
    const h = header.cells;
    if (core.pairing !== null) core.clock[Clock.Replied] = core.clock[Clock.Now]! - h[Header.AgeUs]! * 1000;
    const target = core.targets.find(h, Header.Target0, h[Header.TargetPort]!, h[Header.IsIpv6]!);
    if (target < 0) {
      core.bump(Count.TargetStray);
      return;
    }
    const key = core.table.key;
    for (let word = 0; word < 4; word++) key[word] = h[Header.Client0 + word]!;
    key[4] = (h[Header.ClientPort]! << 16) | target;
    const s = core.table.lookup();
    if (s < 0) core.bump(Count.TargetStray);
    else takeTargetHeader(core, s, h);
  }

  /**
   * The kernel refused a packet that was handed to the emitter: the `length` bytes at `at`. `isTooLong`: EMSGSIZE; the
   * path's MTU is lowered and what is in flight sent again. Any other refusal is a lost packet.
   */
  onSendError(view: DataView, at: number, length: number, isTooLong: boolean): void {
    const core = this.core;
    core.bump(isTooLong ? Count.SendTooLong : Count.SendErrors);
    if (!isTooLong) return;
    const h = this.#header.cells;
    const isIpv6 = view.getUint8(at) >>> 4 === 6;
    const tcp = isIpv6 ? at + 40 : at + 20;
    h.fill(0);
    for (let word = 0; word < (isIpv6 ? 4 : 1); word++) {
      h[Header.Client0 + word] = view.getUint32((isIpv6 ? at + 8 : at + 12) + 4 * word);
      h[Header.Target0 + word] = view.getUint32((isIpv6 ? at + 24 : at + 16) + 4 * word);
    }
    const target = core.targets.find(h, Header.Target0, view.getUint16(tcp + 2), isIpv6 ? 1 : 0);
    if (target < 0) return;
    core.targets.lowerMtu(target, length);
    const key = core.table.key;
    for (let word = 0; word < 4; word++) key[word] = h[Header.Client0 + word]!;
    key[4] = (view.getUint16(tcp) << 16) | target;
    const s = core.table.lookup();
    if (s >= 0) afterTooLong(core, s);
  }

  /** The kernel dropped captured packets: gaps are waited for less long for a while. */
  noteCaptureLoss(): void {
    this.core.clock[Clock.Loss] = this.core.clock[Clock.Now]!;
  }

  /** While set, no session begins (`--cpu-limit`): those that run go on. */
  shedNew(isShedding: boolean): void {
    this.core.sheds = isShedding;
  }

  /**
   * Other settings from now on; tables and memory keep their sizes. Throws `OperatorError` USAGE as `engineOptions`.
   */
  reconfigure(given: Partial<EngineOptions>): void {
    const { maxSessions, memoryBytes } = this.core.options;
    this.core.options = engineOptions({ ...this.core.options, ...given, maxSessions, memoryBytes });
  }

  /**
   * Closes every session in order (SIGTERM): go on with `tick` and headers until `sessionsOpen` is 0, or long enough.
   */
  closeAll(): void {
    const core = this.core;
    core.closes = true;
    for (let s = 0; s < core.table.capacity; s++) {
      if (stateOf(core, s) === State.Held) endSession(core, s);
    }
    for (let s = 0; s < core.table.capacity; s++) {
      if (stateOf(core, s) === State.Free) continue;
      finishClient(core, s);
      if (stateOf(core, s) !== State.Free) wake(core, s);
    }
  }

  /**
   * Ends what `closeAll` could not: each connection gets a RST, so that its target sends nothing more once nobody
   * swallows replies. Returns how many connections there were.
   */
  resetAll(): number {
    const core = this.core;
    const { cells, table } = core;
    let connections = 0;
    for (let s = 0; s < table.capacity; s++) {
      const state = stateOf(core, s);
      if (state !== State.SynSent && !isConnected(state)) continue;
      connections++;
      const una = cells[s * CELLS + Cell.SndUna]!;
      const next = cells[s * CELLS + Cell.SndNxt]!;
      // A target takes a RST for the number that it expects only (RFC 5961 section 3.2): all in flight came, or none.
      sendReset(core, s, next, true);
      if (una !== next) sendReset(core, s, una, true);
      endSession(core, s);
    }
    return connections;
  }

  /** Networks that no copy comes from, from now on: sessions from there end without a packet. */
  spare(networks: SparedNetworks): void {
    const { cells, table } = this.core;
    this.#spared = networks;
    if (networks.count === 0) return;
    for (let s = 0; s < table.capacity; s++) {
      if (stateOf(this.core, s) === State.Free) continue;
      if (networks.holds(cells, s * CELLS, hasFlag(this.core, s, SessionFlag.Ipv6))) endSession(this.core, s);
    }
  }

  /** Ends a session without a packet; false: there is none. `words`: four address words as the target sees them. */
  forget(words: Int32Array, clientPort: number, target: number): boolean {
    const key = this.core.table.key;
    for (let word = 0; word < 4; word++) key[word] = words[word]!;
    key[4] = (clientPort << 16) | target;
    const s = this.core.table.lookup();
    if (s >= 0) endSession(this.core, s);
    return s >= 0;
  }

  /** Every session's identity at its target: for registering with `tsintercept`, anew after a reconnect. */
  forEachSession(visit: (words: Int32Array, at: number, clientPort: number, target: number) => void): void {
    const { cells, table } = this.core;
    for (let s = 0; s < table.capacity; s++) {
      const at = s * CELLS;
      if (cells[at + Cell.State] === State.Free) continue;
      const portTarget = cells[at + Cell.PortTarget]!;
      visit(cells, at, portTarget >>> 16, portTarget & 0xffff);
    }
  }

  get sessionsOpen(): number {
    return this.core.table.count;
  }

  /** Segments of the pool in use. */
  get segmentsUsed(): number {
    return this.core.pool.used;
  }

  /** Bytes of every table, fixed at the start. */
  get byteLength(): number {
    return this.core.table.byteLength + this.core.pool.byteLength + this.core.wheel.byteLength;
  }

  /** Every counter by name: for reports. */
  statistics(): ReturnType<typeof countsByName> {
    return countsByName(this.core.counts);
  }

  #readKey(view: DataView): void {
    const { packet } = this.core;
    const key = this.#key;
    key[1] = key[2] = key[3] = 0;
    const words = packet.isIpv6 ? 4 : 1;
    for (let word = 0; word < words; word++) key[word] = view.getUint32(packet.srcAt + 4 * word);
  }

  /** Every copy of the packet at hand to its session. */
  #fanOut(service: number, hash: number): void {
    const core = this.core;
    const { packet, table, targets } = core;
    const copies = this.#identities.copies;
    const fan = targets.fanOut(service);
    // A packet can be rewritten once: where several sessions want it, all of them build their own.
    if (copies * fan > 1) packet.isPlain = false;
    const portHash = mixEnd(mixWord(hash, packet.clientPort));
    const serviceHash = this.#serviceHash();
    for (let copy = 0; copy < copies; copy++) {
      for (let nth = 0; nth < fan; nth++) {
        for (let word = 0; word < 4; word++) table.key[word] = this.#key[word]!;
        table.key[4] = packet.clientPort << 16;
        if (!this.#identities.map(table.key, copy)) {
          this.#shedCollision();
          continue;
        }
        if (this.#spared.count > 0 && this.#spared.holds(table.key, 0, packet.isIpv6)) {
          core.bump(Count.ClientNotAdmitted);
          continue;
        }
        table.key[4] = (table.key[4]! & 0xffff0000) | targets.targetOf(service, nth, portHash);
        this.#deliver(serviceHash);
      }
    }
  }

  #serviceHash(): number {
    const { addressBytes, region, servicePort, srcAt } = this.core.packet;
    return hashService(region.view, srcAt + addressBytes, addressBytes, servicePort);
  }

  /** To the session of `table.key`, or to a new one. */
  #deliver(serviceHash: number): void {
    const core = this.core;
    const oldest = core.table.lookup();
    if ((core.packet.flags & TcpFlag.Syn) !== 0) {
      if (oldest >= 0 && this.#isTaken(oldest, serviceHash)) this.#shedCollision();
      else this.#takeSyn(oldest, serviceHash);
      return;
    }
    if (oldest < 0) {
      this.#takeUp(serviceHash);
      return;
    }
    const s = this.#incarnation(oldest);
    if (core.cells[s * CELLS + Cell.Service] !== serviceHash) this.#shedCollision();
    else takeClientPacket(core, s);
  }

  /** What could begin a session counts, not what only goes with one. */
  #shedCollision(): void {
    const { flags, payloadBytes } = this.core.packet;
    const isTry = (flags & TcpFlag.Syn) !== 0 || payloadBytes > 0;
    this.core.bump(isTry ? Count.ShedCollision : Count.ClientWithoutSession);
  }

  /** The client speaks from these ports with another service that has the same target, and goes on with that. */
  #isTaken(oldest: number, serviceHash: number): boolean {
    const { cells } = this.core;
    let newest = oldest;
    while (cells[newest * CELLS + Cell.Newer]! >= 0) newest = cells[newest * CELLS + Cell.Newer]!;
    if (cells[newest * CELLS + Cell.Service] === serviceHash) return false;
    return !hasFlag(this.core, newest, SessionFlag.ClientFin | SessionFlag.ClientReset);
  }

  /** The newest incarnation that the packet at hand can belong to. */
  #incarnation(oldest: number): number {
    const { cells, packet } = this.core;
    let found = oldest;
    for (let s = cells[oldest * CELLS + Cell.Newer]!; s >= 0; s = cells[s * CELLS + Cell.Newer]!) {
      const distance = seqDelta(cells[s * CELLS + Cell.ClientNext]!, packet.seq);
      if (Math.abs(distance) < INCARNATION_DISTANCE) found = s;
    }
    return found;
  }

  /** A SYN: the same one again, the first of a session, or that of a port used again. */
  #takeSyn(oldest: number, serviceHash: number): void {
    const core = this.core;
    const { cells, packet } = core;
    let depth = 0;
    for (let s = oldest; s >= 0; s = cells[s * CELLS + Cell.Newer]!) {
      if (hasFlag(core, s, SessionFlag.HasIsn) && cells[s * CELLS + Cell.ClientIsn] === packet.seq) {
        core.bump(Count.ClientRetransmittedPackets);
        return;
      }
      depth++;
    }
    if (depth >= INCARNATIONS_MAX) {
      core.bump(Count.ShedIncarnations);
      core.clock[Clock.Shed] = core.clock[Clock.Now]!;
      return;
    }
    const s = this.#begin(serviceHash);
    if (s < 0) return;
    const at = s * CELLS;
    core.bump(Count.SessionsSeen);
    setFlag(core, s, SessionFlag.HasIsn);
    if (packet.hasSackPermitted) setFlag(core, s, SessionFlag.ClientSack);
    if (packet.hasTimestamps) setFlag(core, s, SessionFlag.ClientTimestamps);
    cells[at + Cell.ClientIsn] = packet.seq;
    cells[at + Cell.ClientMss] = packet.mss;
    cells[at + Cell.ClientShift] = packet.shift;
    const next = seqAdd(packet.seq, 1) | 0;
    cells[at + Cell.ClientNext] = next;
    cells[at + Cell.ClientSent] = next;
    if (oldest < 0) connect(core, s);
    else {
      move(core, s, State.Held);
      this.#hurry(oldest, s);
    }
    if (packet.payloadBytes > 0) this.#takeSynData(s);
  }

  /** Fast Open (RFC 7413): production may take the data on a SYN, and then the client does not send it again. */
  #takeSynData(s: number): void {
    const { packet } = this.core;
    const { flags, seq } = packet;
    packet.seq = seqAdd(seq, 1) | 0;
    // What fits a SYN is all of a request, or more of it follows that acknowledges nothing more.
    packet.flags = flags | TcpFlag.Psh;
    takeClientPacket(this.core, s);
    packet.seq = seq;
    packet.flags = flags;
  }

  /** The older incarnations' clients have gone: what they sent is delivered, without much waiting. */
  #hurry(oldest: number, newest: number): void {
    const { cells } = this.core;
    for (let s = oldest; s !== newest && s >= 0; ) {
      const next = cells[s * CELLS + Cell.Newer]!;
      setFlag(this.core, s, SessionFlag.Hurry);
      if (stateOf(this.core, s) === State.Linger) endSession(this.core, s);
      else {
        finishClient(this.core, s);
        if (stateOf(this.core, s) !== State.Free) wake(this.core, s);
      }
      s = next;
    }
  }

  /** A session that was open before its first packet is seen here: it waits for its next request. */
  #takeUp(serviceHash: number): void {
    const core = this.core;
    const { cells, clock, options, packet } = core;
    const isEnd = (packet.flags & (TcpFlag.Fin | TcpFlag.Rst)) !== 0;
    if (options.onlyNew || packet.payloadBytes === 0 || isEnd) {
      core.bump(Count.ClientWithoutSession);
      return;
    }
    const s = this.#begin(serviceHash);
    if (s < 0) return;
    const at = s * CELLS;
    core.bump(Count.SessionsTakenUp);
    setFlag(core, s, SessionFlag.ClientSack | SessionFlag.Skipping | SessionFlag.AckKnown);
    if (packet.hasTimestamps) {
      setFlag(core, s, SessionFlag.ClientTimestamps);
      cells[at + Cell.TsValue] = packet.tsValue;
    }
    cells[at + Cell.ClientShift] = SHIFT_DEFAULT;
    cells[at + Cell.ClientNext] = packet.seq;
    cells[at + Cell.ClientSent] = packet.seq;
    // Silent since long before, and none whose packets were passed over: this begins a request. Else nobody knows what
    // it is the middle of.
    const isRested =
      clock[Clock.Now]! - clock[Clock.Start]! >= options.takeUpAfterNs &&
      clock[Clock.Shed] === Number.NEGATIVE_INFINITY;
    if (isRested) setFlag(core, s, SessionFlag.PushSeen);
    cells[at + Cell.StoredAck] = seqAdd(packet.ack, isRested ? -1 : 0);
    cells[at + Cell.SentAck] = packet.ack;
    move(core, s, State.Idle);
    takeClientPacket(core, s);
  }

  /** A free record with what every session has, or -1: shed, and counted why. */
  #begin(serviceHash: number): number {
    const core = this.core;
    const { cells, packet, table } = core;
    if (core.closes || core.sheds) return this.#shed(Count.ShedLoad);
    if (core.pool.free === 0) return this.#shed(Count.ShedMemory);
    const s = table.take();
    if (s < 0) return this.#shed(Count.ShedTableFull);
    const at = s * CELLS;
    const now = core.clock[Clock.Now]!;
    cells[at + Cell.Service] = serviceHash;
    cells[at + Cell.Flags] = packet.isIpv6 ? SessionFlag.Ipv6 : 0;
    cells[at + Cell.TsValue] = packet.tsValue;
    // Before the target has told its own: what fits the path with timestamps.
    const headers = packet.isIpv6 ? 72 : 52;
    cells[at + Cell.SendMss] = core.targets.mtu[cells[at + Cell.PortTarget]! & 0xffff]! - headers;
    core.times[s * TIMES + Time.Client] = now;
    setDeadline(core, s, Time.Life, now + core.options.idleNs);
    return s;
  }

  #shed(cause: Count): number {
    this.core.bump(cause);
    this.core.clock[Clock.Shed] = this.core.clock[Clock.Now]!;
    return -1;
  }
}

const FAULT_COUNT: readonly Count[] = [
  Count.ClientMalformed,
  Count.ClientMalformed,
  Count.ClientBadChecksum,
  Count.ClientFragments,
];
