/**
 * HOT: what a client's packets do to its session: bytes are stored in order, duplicates recognised, gaps watched,
 * requests told apart, and whatever may be sent is sent at once.
 */
import { copyFrame } from '../device/frame_copy.ts';
import { seqAdd, seqAfter, seqBefore, seqDelta } from '../wire/seq.ts';
import { TcpFlag } from '../wire/tcp.ts';
import { Clock, type Core, clearDeadline, clearFlag, hasFlag, setDeadline, setFlag } from './core.ts';
import { Count } from './counts.ts';
import { closeForRenewal, connect, cutAtGap, endSession, finishClient, sendClientReset, stateOf } from './lifecycle.ts';
import { segmentBytesMax } from './packet_builder.ts';
import { resendIfNeeded, resendLost } from './recovery.ts';
import { linkAfter, skipSegment, skipUnsent } from './segment_list.ts';
import { SEGMENT_BYTES, SEGMENT_UNITS, Seg, SegFlag } from './segment_pool.ts';
import { pump, Stop } from './sender.ts';
import { CELLS, Cell, SessionFlag, TIMES, Time } from './session_cells.ts';
import { isConnected, State } from './states.ts';

/** Farther from what is expected nothing of the same session can be. */
const DISTANCE_MAX = 1 << 24;
/** How long the capture counts as lossy after it has reported loss. */
const LOSSY_NS = 10_000_000_000;
const RESERVE = 64;
/** Times of what is free that one session may have. */
const LENT = 3;

/** Takes the packet at hand (`core.packet`) into session `s`. */
export function takeClientPacket(core: Core, s: number): void {
  const { cells, packet } = core;
  const at = s * CELLS;
  core.times[s * TIMES + Time.Client] = core.clock[Clock.Now]!;
  if (packet.hasTimestamps && seqAfter(packet.tsValue, cells[at + Cell.TsValue]!)) {
    cells[at + Cell.TsValue] = packet.tsValue;
  }
  if (hasFlag(core, s, SessionFlag.ClientReset)) return;
  if ((packet.flags & TcpFlag.Rst) !== 0) {
    takeReset(core, s);
    return;
  }
  // A SYN, which may carry data, acknowledges nothing.
  if (!hasFlag(core, s, SessionFlag.AckKnown) && (packet.flags & TcpFlag.Syn) === 0) learnAck(core, s);
  const span = packet.payloadBytes + (packet.flags & TcpFlag.Fin);
  if (span === 0) return;
  const distance = seqDelta(cells[at + Cell.ClientNext]!, packet.seq);
  if (distance > DISTANCE_MAX || distance < -DISTANCE_MAX) {
    core.bump(Count.ClientOutOfWindow);
    return;
  }
  if (distance + span <= 0) {
    core.bump(Count.ClientRetransmittedPackets);
    return;
  }
  if (hasFlag(core, s, SessionFlag.ClientFin | SessionFlag.Ignored)) {
    if ((packet.flags & TcpFlag.Fin) === 0) return;
    setFlag(core, s, SessionFlag.ClientFin);
    if (stateOf(core, s) === State.Idle) endSession(core, s);
    return;
  }
  if (hasFlag(core, s, SessionFlag.Skipping) && !resumes(core, s, distance)) return;
  store(core, s, distance);
}

/** The first acknowledgement that is seen: what came before, on the SYN, has seen no more of production than that. */
function learnAck(core: Core, s: number): void {
  const { cells, packet, pool } = core;
  const at = s * CELLS;
  setFlag(core, s, SessionFlag.AckKnown);
  cells[at + Cell.StoredAck] = packet.ack;
  cells[at + Cell.SentAck] = packet.ack;
  for (let seg = cells[at + Cell.Head]!; seg >= 0; seg = pool.get(seg, Seg.Next)) {
    pool.set(seg, Seg.ClientAck, packet.ack);
  }
}

/** Passes the packet over, unless a request begins with it: then the session goes on with that. */
function resumes(core: Core, s: number, distance: number): boolean {
  const { cells, packet } = core;
  const at = s * CELLS;
  if (beginsRequest(core, s, distance)) {
    clearFlag(core, s, SessionFlag.Skipping | SessionFlag.GapCertain);
    cells[at + Cell.ClientSent] = packet.seq;
    cells[at + Cell.ClientNext] = packet.seq;
    return true;
  }
  core.add(Count.SkippedBytes, packet.payloadBytes);
  notePush(core, s);
  cells[at + Cell.ClientNext] = seqAdd(packet.seq, packet.payloadBytes + (packet.flags & TcpFlag.Fin));
  if (seqAfter(packet.ack, cells[at + Cell.StoredAck]!)) cells[at + Cell.StoredAck] = packet.ack;
  if ((packet.flags & TcpFlag.Fin) !== 0) {
    finishClient(core, s);
    if (isLive(core, s)) wake(core, s);
  }
  return false;
}

/** Whether the packet at hand, whose bytes are the last ones known, ends with PSH. */
function notePush(core: Core, s: number): void {
  if ((core.packet.flags & TcpFlag.Psh) !== 0) setFlag(core, s, SessionFlag.PushSeen);
  else clearFlag(core, s, SessionFlag.PushSeen);
}

/**
 * The packet's first byte follows what is known, which ended with PSH, and comes after more of production's reply was
 * acknowledged. Retransmissions from the middle of a request acknowledge more as well, but follow no PSH.
 */
function beginsRequest(core: Core, s: number, distance: number): boolean {
  const { cells, packet } = core;
  const at = s * CELLS;
  if (distance !== 0 || packet.payloadBytes === 0) return false;
  if (seqAfter(packet.ack, cells[at + Cell.StoredAck]!) && hasFlag(core, s, SessionFlag.PushSeen)) return true;
  return isFirstData(core, s, packet.seq);
}

function isFirstData(core: Core, s: number, seq: number): boolean {
  if (!hasFlag(core, s, SessionFlag.HasIsn)) return false;
  return seq === (seqAdd(core.cells[s * CELLS + Cell.ClientIsn]!, 1) | 0);
}

/** Stores the packet's new bytes and FIN, and sends what may be sent. */
function store(core: Core, s: number, distance: number): void {
  const { cells, packet } = core;
  const at = s * CELLS;
  const piece = storedBytes(segmentBytesMax(core, s));
  // One more for a FIN, one for our own FIN when it comes to that.
  const needed = Math.ceil(packet.payloadBytes / piece) + 2;
  if (!hasRoom(core, s, needed) && !makeRoom(core, s, distance, needed)) return;
  if (distance > 0) core.bump(Count.ClientOutOfOrder);
  const first = distance < 0 ? cells[at + Cell.ClientNext]! : packet.seq;
  const end = seqAdd(packet.seq, packet.payloadBytes) | 0;
  const segments = cells[at + Cell.Segments]!;
  const seg = insert(core, s, first, end, piece);
  const hasFin = (packet.flags & TcpFlag.Fin) !== 0;
  if (hasFin) insertEnd(core, s, end, SegFlag.Fin);
  // Only a packet whose bytes are new, all of them, and became one segment says what that segment says.
  const isOne = distance === 0 && seg >= 0 && cells[at + Cell.Segments] === segments + 1;
  core.placeable = isOne && core.pool.get(seg, Seg.Length) === packet.payloadBytes && !hasFin ? seg : -1;
  if (distance <= 0) advanceStored(core, s);
  wake(core, s);
  core.placeable = -1;
}

/** Bytes that go into one segment: as many whole packets of the path's size as it holds. */
function storedBytes(packetBytes: number): number {
  return packetBytes >= SEGMENT_BYTES ? SEGMENT_BYTES : SEGMENT_BYTES - (SEGMENT_BYTES % packetBytes);
}

/** Data leaves some segments free, so that FINs and RSTs find one. */
function hasRoom(core: Core, s: number, needed: number): boolean {
  const units = core.cells[s * CELLS + Cell.StoredUnits]! + needed * SEGMENT_UNITS;
  return units <= sessionUnits(core) && hasPoolRoom(core, needed);
}

/**
 * Without a bound of its own a session that lags far behind borrows what others do not use: alone three quarters of all
 * memory, and the less the more is taken, so that some is always left for who needs little (A. Choudhury, E. Hahne:
 * Dynamic queue length thresholds, 1998).
 */
function sessionUnits(core: Core): number {
  const { pool } = core;
  return core.sessionUnits < Number.POSITIVE_INFINITY ? core.sessionUnits : LENT * pool.free * SEGMENT_UNITS;
}

function hasPoolRoom(core: Core, needed: number): boolean {
  return core.pool.free - needed >= Math.min(RESERVE, core.pool.capacity >>> 3);
}

/** Stores [from, end) where it is not stored yet. Returns the segment stored last, or -1. */
function insert(core: Core, s: number, from: number, end: number, piece: number): number {
  const { cells, pool } = core;
  const at = s * CELLS;
  let previous = cells[at + Cell.Tail]!;
  // From the end backwards: bytes nearly always come in order.
  while (previous >= 0 && seqAfter(pool.get(previous, Seg.ClientSeq), from))
    previous = pool.get(previous, Seg.Previous);
  let seq = from;
  let stored = -1;
  if (previous >= 0 && !pool.has(previous, SegFlag.OwnFin)) {
    const covered = seqAdd(pool.get(previous, Seg.ClientSeq), pool.clientSpan(previous)) | 0;
    if (seqAfter(covered, seq)) seq = covered;
  }
  while (seqBefore(seq, end)) {
    const next = previous < 0 ? cells[at + Cell.Head]! : pool.get(previous, Seg.Next);
    const nextSeq = next < 0 ? end : pool.get(next, Seg.ClientSeq);
    const limit = next >= 0 && seqBefore(nextSeq, end) ? nextSeq : end;
    if (seqBefore(seq, limit)) {
      stored = storePiece(core, s, previous, next, seq, Math.min(piece, seqDelta(seq, limit)));
      if (stored < 0) return -1;
      seq = seqAdd(seq, pool.get(stored, Seg.Length)) | 0;
      previous = stored;
    } else {
      seq = seqAdd(nextSeq, pool.clientSpan(next)) | 0;
      previous = next;
    }
  }
  return stored;
}

function storePiece(core: Core, s: number, previous: number, next: number, seq: number, length: number): number {
  const { cells, packet, pool } = core;
  const seg = pool.take(length);
  if (seg < 0) return -1;
  const at = s * CELLS;
  const offset = seqDelta(packet.seq, seq);
  pool.set(seg, Seg.ClientSeq, seq);
  pool.set(seg, Seg.Length, length);
  pool.arrivedNs[seg] = core.clock[Clock.Arrived]!;
  copyFrame(pool.region, pool.bytesAt(seg), packet.region, packet.payload + offset, length);
  // What fills a gap was first sent before what lies behind it: it acknowledges no more than that.
  const ack = packet.ack;
  const known = next >= 0 && seqBefore(pool.get(next, Seg.ClientAck), ack) ? pool.get(next, Seg.ClientAck) : ack;
  const isLast = offset + length === packet.payloadBytes;
  if (isLast && (packet.flags & TcpFlag.Psh) !== 0) pool.mark(seg, SegFlag.Push);
  pool.set(seg, Seg.ClientAck, known);
  const isInList = previous >= 0 && !pool.has(previous, SegFlag.OwnFin);
  const before = isInList ? pool.get(previous, Seg.ClientAck) : cells[at + Cell.StoredAck]!;
  const isPushed = isInList ? pool.has(previous, SegFlag.Push) : hasFlag(core, s, SessionFlag.PushSeen);
  // Behind a gap nobody knows what a segment follows: `judgeNext` tells when the gap is filled.
  const reached = isInList
    ? seqAdd(pool.get(previous, Seg.ClientSeq), pool.get(previous, Seg.Length)) | 0
    : cells[at + Cell.ClientNext]!;
  const begins = reached === seq && isPushed && seqAfter(known, before);
  if (begins || isFirstData(core, s, seq)) setBoundary(core, seg, true);
  judgeNext(core, seg, next);
  linkAfter(core, s, previous, seg);
  return seg;
}

/** Marks a segment as the beginning of a request, or not. */
function setBoundary(core: Core, seg: number, begins: boolean): void {
  const pool = core.pool;
  if (pool.has(seg, SegFlag.Boundary) === begins) return;
  if (begins) pool.mark(seg, SegFlag.Boundary);
  else pool.unmark(seg, SegFlag.Boundary);
  core.add(Count.RequestsSeen, begins ? 1 : -1);
}

/** What lies behind a filled gap was judged by what lay before the gap: now its neighbour is known. */
function judgeNext(core: Core, seg: number, next: number): void {
  const pool = core.pool;
  if (next < 0 || pool.has(next, SegFlag.Sent) || pool.get(next, Seg.Length) === 0) return;
  if (pool.get(next, Seg.ClientSeq) !== (seqAdd(pool.get(seg, Seg.ClientSeq), pool.get(seg, Seg.Length)) | 0)) return;
  const isLater = seqAfter(pool.get(next, Seg.ClientAck), pool.get(seg, Seg.ClientAck));
  setBoundary(core, next, isLater && pool.has(seg, SegFlag.Push));
}

/** Stores a FIN or RST behind everything before `seq`. */
function insertEnd(core: Core, s: number, seq: number, flag: number): number {
  const { cells, packet, pool } = core;
  const at = s * CELLS;
  let previous = cells[at + Cell.Tail]!;
  while (previous >= 0 && seqAfter(pool.get(previous, Seg.ClientSeq), seq)) previous = pool.get(previous, Seg.Previous);
  if (previous >= 0 && pool.has(previous, flag) && pool.get(previous, Seg.ClientSeq) === seq) return previous;
  const seg = pool.take(0);
  if (seg < 0) return -1;
  pool.mark(seg, flag);
  pool.set(seg, Seg.ClientSeq, seq);
  pool.arrivedNs[seg] = core.clock[Clock.Arrived]!;
  const hasAck = (packet.flags & TcpFlag.Ack) !== 0;
  // A RST that acknowledges nothing comes after whatever the client has seen: some reply, if it asked for any.
  const guessed = cells[at + Cell.RequestsSent]! > 0 ? 1 : 0;
  pool.set(seg, Seg.ClientAck, hasAck ? packet.ack : seqAdd(cells[at + Cell.SentAck]!, guessed));
  linkAfter(core, s, previous, seg);
  return seg;
}

/** Moves `ClientNext`, and what is known of its last byte, over what is stored without a gap. */
function advanceStored(core: Core, s: number): void {
  const { cells, pool } = core;
  const at = s * CELLS;
  let next = cells[at + Cell.ClientNext]!;
  let seg = cells[at + Cell.Tail]!;
  // In the usual case the tail is the only segment beyond `next`.
  while (seg >= 0 && seqAfter(pool.get(seg, Seg.ClientSeq), next)) seg = pool.get(seg, Seg.Previous);
  for (; seg >= 0; seg = pool.get(seg, Seg.Next)) {
    if (pool.has(seg, SegFlag.OwnFin)) continue;
    if (seqAfter(pool.get(seg, Seg.ClientSeq), next)) break;
    const end = seqAdd(pool.get(seg, Seg.ClientSeq), pool.clientSpan(seg)) | 0;
    if (seqAfter(end, next)) {
      next = end;
      const ack = pool.get(seg, Seg.ClientAck);
      if (seqAfter(ack, cells[at + Cell.StoredAck]!)) cells[at + Cell.StoredAck] = ack;
      if (pool.has(seg, SegFlag.Push)) setFlag(core, s, SessionFlag.PushSeen);
      else clearFlag(core, s, SessionFlag.PushSeen);
    }
    if (pool.has(seg, SegFlag.Fin)) setFlag(core, s, SessionFlag.ClientFin);
  }
  cells[at + Cell.ClientNext] = next;
}

/** Sends what may be sent, opens the connection that is wanted, watches gaps. */
export function wake(core: Core, s: number): void {
  const { cells } = core;
  const at = s * CELLS;
  const state = stateOf(core, s);
  if (state === State.Idle) {
    if (cells[at + Cell.NextSend]! >= 0 && !hasFlag(core, s, SessionFlag.Skipping)) connect(core, s);
    return;
  }
  if (!isConnected(state)) return;
  const isDoubtful = cells[at + Cell.WindowBefore]! > 0;
  if (!isDoubtful) resendLost(core, s, false, Count.RetransmittedFast);
  const stop = pump(core, s);
  if (isDoubtful) resendIfNeeded(core, s);
  if (stop === Stop.Reset) sendClientReset(core, s);
  else if (stop === Stop.Gap) watchGap(core, s);
  else clearDeadline(core, s, Time.Gap);
}

function watchGap(core: Core, s: number): void {
  const at = s * CELLS;
  if (hasFlag(core, s, SessionFlag.GapCertain)) {
    abandonGap(core, s);
    return;
  }
  if (core.times[s * TIMES + Time.Gap]! !== Number.POSITIVE_INFINITY) return;
  const now = core.clock[Clock.Now]!;
  const isLossy = now - core.clock[Clock.Loss]! < LOSSY_NS;
  const wait = isLossy ? core.options.gapWaitLossyNs : core.options.gapWaitNs;
  setDeadline(core, s, Time.Gap, core.pool.arrivedNs[core.cells[at + Cell.NextSend]!]! + wait);
}

/**
 * The bytes before the next stored ones will not come. Nothing is sent in their place: the session goes on with the
 * first request that certainly begins behind the gap, on a new connection.
 */
export function abandonGap(core: Core, s: number): void {
  const { cells, pool } = core;
  const at = s * CELLS;
  const gap = cells[at + Cell.NextSend]!;
  if (gap < 0 || pool.get(gap, Seg.ClientSeq) === cells[at + Cell.ClientSent]) return;
  core.bump(Count.GapsAbandoned);
  clearDeadline(core, s, Time.Gap);
  clearFlag(core, s, SessionFlag.GapCertain);
  // The first segment behind the gap may be the middle of a request, whatever it acknowledges.
  let end = 0;
  let ack = 0;
  let isEnded = false;
  let isPushed = false;
  let seg = gap;
  do {
    end = seqAdd(pool.get(seg, Seg.ClientSeq), pool.clientSpan(seg)) | 0;
    ack = pool.get(seg, Seg.ClientAck);
    isEnded = isEnded || pool.has(seg, SegFlag.Fin | SegFlag.Reset);
    isPushed = pool.has(seg, SegFlag.Push);
    skipSegment(core, s, seg, Count.SkippedGap);
    seg = cells[at + Cell.NextSend]!;
  } while (seg >= 0 && !(pool.has(seg, SegFlag.Boundary) && pool.get(seg, Seg.ClientSeq) === end));
  if (seg >= 0) cells[at + Cell.ClientSent] = end;
  else {
    cells[at + Cell.ClientNext] = end;
    cells[at + Cell.ClientSent] = end;
    cells[at + Cell.StoredAck] = ack;
    if (isEnded) {
      finishClient(core, s);
      if (isLive(core, s)) wake(core, s);
      return;
    }
    setFlag(core, s, SessionFlag.Skipping);
    if (isPushed) setFlag(core, s, SessionFlag.PushSeen);
    else clearFlag(core, s, SessionFlag.PushSeen);
  }
  if (seg >= 0) advanceStored(core, s);
  closeForRenewal(core, s);
  if (isLive(core, s)) wake(core, s);
}

function isLive(core: Core, s: number): boolean {
  return stateOf(core, s) !== State.Free;
}

/** The policy for what does not fit. Returns whether the packet at hand is to be stored now. */
function makeRoom(core: Core, s: number, distance: number, needed: number): boolean {
  core.bump(hasPoolRoom(core, needed) ? Count.SessionFull : Count.PoolFull);
  const begins = beginsRequest(core, s, distance);
  if (core.options.whenFull === 'hold') {
    leaveOut(core, begins);
    setFlag(core, s, SessionFlag.GapCertain);
    // Its FIN would be lost with it: what is stored is delivered, then the connection is closed.
    if ((core.packet.flags & TcpFlag.Fin) !== 0) {
      finishClient(core, s);
      if (isLive(core, s)) wake(core, s);
    }
    return false;
  }
  return skipToRequest(core, s, begins, needed);
}

/** Counts the packet at hand as passed over. */
function leaveOut(core: Core, begins: boolean): void {
  core.add(Count.SkippedBytes, core.packet.payloadBytes);
  if (!begins) return;
  core.bump(Count.RequestsSeen);
  core.bump(Count.SkippedFull);
}

/** Policies `skip` and `drop`: what is stored and not sent is given up. */
function skipToRequest(core: Core, s: number, begins: boolean, needed: number): boolean {
  const { cells, packet } = core;
  const at = s * CELLS;
  const next = cells[at + Cell.NextSend]!;
  // Cut at the beginning of a request, the connection can be used on.
  const isCutClean = next >= 0 ? core.pool.has(next, SegFlag.Boundary) : begins;
  const hadEnd = skipUnsent(core, s, Count.SkippedFull);
  const isDropped = core.options.whenFull === 'drop';
  if (begins && isCutClean && !hadEnd && !isDropped && hasRoom(core, s, needed)) {
    cells[at + Cell.ClientSent] = packet.seq;
    cells[at + Cell.ClientNext] = packet.seq;
    return true;
  }
  leaveOut(core, begins);
  notePush(core, s);
  const end = seqAdd(packet.seq, packet.payloadBytes) | 0;
  cells[at + Cell.ClientNext] = end;
  cells[at + Cell.ClientSent] = end;
  clearFlag(core, s, SessionFlag.GapCertain);
  if (seqAfter(packet.ack, cells[at + Cell.StoredAck]!)) cells[at + Cell.StoredAck] = packet.ack;
  const isEnded = hadEnd || (packet.flags & TcpFlag.Fin) !== 0;
  if (isDropped) {
    core.bump(Count.DroppedByPolicy);
    setFlag(core, s, SessionFlag.Ignored | SessionFlag.Skipping);
    if (isEnded) setFlag(core, s, SessionFlag.ClientFin);
    closeForRenewal(core, s);
  } else if (isEnded) finishClient(core, s);
  else {
    setFlag(core, s, SessionFlag.Skipping);
    if (!isCutClean) closeForRenewal(core, s);
  }
  if (isLive(core, s)) wake(core, s);
  return false;
}

/** The client's RST: sent when everything before it was, and the reply that it had seen has come. */
function takeReset(core: Core, s: number): void {
  const { cells, packet } = core;
  const at = s * CELLS;
  const distance = seqDelta(cells[at + Cell.ClientNext]!, packet.seq);
  if (distance > DISTANCE_MAX || distance < -0x10000) {
    core.bump(Count.ClientOutOfWindow);
    return;
  }
  const state = stateOf(core, s);
  const isGone = state === State.Idle || state === State.Linger || hasFlag(core, s, SessionFlag.Renew);
  if (isGone || (state === State.Held && cells[at + Cell.Segments] === 0)) {
    endSession(core, s);
    return;
  }
  // A client that has sent its RST fills no gap: what lies behind one is given up.
  const end = cutAtGap(core, s, Count.SkippedClientReset);
  setFlag(core, s, SessionFlag.ClientReset);
  clearFlag(core, s, SessionFlag.Skipping);
  if (insertEnd(core, s, end, SegFlag.Reset) < 0) endSession(core, s);
  else wake(core, s);
}
