/**
 * HOT: one worker's loop body: replies, clients' packets, timers, and what the engine sends for them, in batches;
 * sleeps
 * when there is nothing. A turn takes some batches at most, so that neither side starves the other.
 */
import { FrameBatch } from '../../base/batch.ts';
import type { Clock } from '../../base/clock.ts';
import { plainRegion } from '../../base/region.ts';
import { NS_PER_MS, NS_PER_SECOND } from '../../base/units.ts';
import { realtimeMs } from '../../device/host.ts';
import { decode } from '../../wire/decode.ts';
import { Layers } from '../../wire/layers.ts';
import { Linktype } from '../../wire/linktype.ts';
import { tcpDstPort, tcpHeaderLen } from '../../wire/tcp.ts';
import type { SumState } from '../client_packet.ts';
import { httpStatus } from '../compare/http_status.ts';
import type { ProductionSide } from '../compare/production.ts';
import type { CopyEngine } from '../engine.ts';
import { Header, readTargetPacket, TargetHeader } from '../target_header.ts';
import type { FrameEmitter } from './emitter.ts';
import { AgentCell } from './rows.ts';

const BATCHES_MAX = 4;
/** Clients' frames of a turn, after which it is the replies' turn again. */
const CLIENT_FRAMES_MAX = 256;
const BATCH_FRAMES = 256;
const ETHERNET_BYTES = 14;
const SLL2_BYTES = 20;
/** The two clocks are compared again this often: the clock on the wall may be set. */
const CLOCK_TRIES = 3;
const CLOCK_PERIOD_NS = NS_PER_SECOND / 10;

/** What the loop wants of a source of frames. */
export interface FrameSource {
  read(batch: FrameBatch): number;
}

/** A ring of clients' packets: frames stay where they are until `release`, as they may be sent from there. */
export interface ClientRing extends FrameSource {
  release(): void;
}

export interface LoopParts {
  readonly engine: CopyEngine;
  readonly emitter: FrameEmitter;
  readonly clock: Clock;
  /** The agent's cells of this worker's row. */
  readonly cells: Float64Array;
}

export class AgentLoop {
  /** Rings of clients' packets, two at most. */
  clients: readonly ClientRing[] = [];
  replies: readonly FrameSource[] = [];
  /** Where production's replies go, if they are captured. */
  production: ProductionSide | null = null;
  readonly #engine: CopyEngine;
  readonly #emitter: FrameEmitter;
  readonly #clock: Clock;
  readonly #cells: Float64Array;
  readonly #batch: FrameBatch = new FrameBatch(BATCH_FRAMES, plainRegion(0));
  /** Of a second ring of clients' packets. */
  readonly #other: FrameBatch = new FrameBatch(BATCH_FRAMES, plainRegion(0));
  readonly #layers: Layers = new Layers();
  readonly #header: TargetHeader = new TargetHeader();
  /** Monotonic time of 1970, and when it was last found. */
  #epochNs = 0;
  #comparedNs = Number.NEGATIVE_INFINITY;
  #nowNs = 0;

  constructor(parts: LoopParts) {
    this.#engine = parts.engine;
    this.#emitter = parts.emitter;
    this.#clock = parts.clock;
    this.#cells = parts.cells;
  }

  /** One round; returns how many frames it took. */
  turn(): number {
    const now = this.#clock.nowNs();
    this.#engine.tick(now);
    this.#nowNs = now;
    if (now - this.#comparedNs >= CLOCK_PERIOD_NS) {
      this.#compareClocks();
    }
    let frames = this.#takeReplies();
    // Each reply lets the next request of its session go: it does not wait for what clients have sent meanwhile.
    this.#emitter.flush();
    frames += this.#takeClients();
    this.finish(now);
    return frames;
  }

  /** The best of some tries: between the two readings this thread may have to wait for its processor. */
  #compareClocks(): void {
    let shortest = Number.POSITIVE_INFINITY;
    for (let n = 0; n < CLOCK_TRIES; n++) {
      const before = this.#clock.nowNs();
      const realtimeNs = realtimeMs() * NS_PER_MS;
      const after = this.#clock.nowNs();
      if (after - before >= shortest) continue;
      shortest = after - before;
      this.#epochNs = (before + after) / 2 - realtimeNs;
      this.#comparedNs = after;
    }
  }

  /** Hands what was queued to the kernel. */
  finish(now: number): void {
    this.#emitter.flush();
    this.#emitter.tellTooLong();
    this.#emitter.repair(now);
  }

  #takeReplies(): number {
    let frames = 0;
    for (let i = 0; i < this.replies.length; i++) frames += this.#takeHeaders(this.replies[i]!);
    return frames;
  }

  #takeHeaders(source: FrameSource): number {
    const batch = this.#batch;
    const layers = this.#layers;
    let frames = 0;
    for (let n = 0; n < BATCHES_MAX && source.read(batch) > 0; n++) {
      const { view } = batch.region;
      for (let i = 0; i < batch.count; i++) {
        const at = batch.at[i]!;
        decode(view, at, at + batch.caplen[i]!, batch.linktype[i]!, layers);
        if (!readTargetPacket(view, layers, this.#header)) continue;
        if (this.production !== null) this.#noteHead(batch, i);
        this.#engine.onTargetHeader(this.#header);
      }
      frames += batch.count;
    }
    return frames;
  }

  /** What comparing wants to know of a reply: its status and how long ago it came. */
  #noteHead(batch: FrameBatch, i: number): void {
    const { cells } = this.#header;
    const { view } = batch.region;
    if (cells[Header.PayloadBytes] === 0) return;
    const at = this.#layers.l4 + tcpHeaderLen(view, this.#layers.l4);
    cells[Header.Status] = httpStatus(view, at, batch.at[i]! + batch.caplen[i]!);
    const arrivedNs = this.#epochNs + batch.sec[i]! * NS_PER_SECOND + batch.nsec[i]!;
    cells[Header.AgeUs] = (this.#nowNs - arrivedNs) / 1000;
  }

  #takeClients(): number {
    const rings = this.clients;
    if (rings.length === 0) return 0;
    const frames =
      rings.length === 1 ? this.#takeRing(rings[0]!, this.#batch, 0) : this.#takeBoth(rings[0]!, rings[1]!);
    // Before the rings' blocks are given back, as frames may leave from where they lie.
    if (frames > 0) this.#emitter.flush();
    for (let i = 0; i < rings.length; i++) rings[i]!.release();
    return frames;
  }

  #takeRing(ring: ClientRing, batch: FrameBatch, before: number): number {
    let frames = before;
    while (frames < CLIENT_FRAMES_MAX && ring.read(batch) > 0) {
      this.takeBatch(batch);
      frames += batch.count;
    }
    return frames;
  }

  /** Frames of two rings in the order of their stamps, as far as both have some: a session's may come through both. */
  #takeBoth(one: ClientRing, two: ClientRing): number {
    const a = this.#batch;
    const b = this.#other;
    if (two.read(b) === 0) return this.#takeRing(one, a, 0);
    let frames = 0;
    let i = 0;
    let j = 0;
    one.read(a);
    while (i < a.count && j < b.count) {
      if (isBefore(a, i, b, j)) {
        this.#takeOf(a, i++);
        if (i === a.count && frames < CLIENT_FRAMES_MAX) {
          one.read(a);
          i = 0;
        }
      } else {
        this.#takeOf(b, j++);
        if (j === b.count && frames < CLIENT_FRAMES_MAX) {
          two.read(b);
          j = 0;
        }
      }
      frames++;
    }
    for (; i < a.count; i++, frames++) this.#takeOf(a, i);
    for (; j < b.count; j++, frames++) this.#takeOf(b, j);
    return frames;
  }

  #takeOf(batch: FrameBatch, i: number): void {
    this.takeFrame(batch, i, this.#epochNs + batch.sec[i]! * NS_PER_SECOND + batch.nsec[i]!);
  }

  /** Clients' frames of one batch. The emitter must be flushed before the batch's memory changes. */
  takeBatch(batch: FrameBatch): void {
    for (let i = 0; i < batch.count; i++) this.#takeOf(batch, i);
  }

  takeFrame(batch: FrameBatch, i: number, arrivedNs: number): void {
    const layers = this.#layers;
    const { region } = batch;
    const at = batch.at[i]!;
    const linktype = batch.linktype[i]!;
    const end = at + batch.caplen[i]!;
    decode(region.view, at, end, linktype, layers);
    if (this.production?.take(region.view, layers, end, at + batch.len[i]!, arrivedNs)) return;
    this.#cells[AgentCell.Frames]! += 1;
    if (layers.l4 < 0) this.#cells[AgentCell.FramesForeign]! += 1;
    else if (isTlsHello(region.view, layers)) this.#noteTls(region.view, layers);
    const front = linktype === Linktype.EN10MB ? ETHERNET_BYTES : linktype === Linktype.LINUX_SLL2 ? SLL2_BYTES : 0;
    this.#emitter.frontBytes = front + batch.headroomBytes;
    this.#engine.onClientPacket(region, layers, batch.sum[i]! as SumState, arrivedNs);
  }

  /** The port of the first TLS session that was seen; 0: none. */
  tlsPort = 0;

  #noteTls(view: DataView, layers: Layers): void {
    this.#cells[AgentCell.TlsHellos]! += 1;
    if (this.tlsPort === 0) this.tlsPort = tcpDstPort(view, layers.l4);
  }
}

/** Whether frame `i` of one batch was stamped before frame `j` of another, or with it. */
function isBefore(a: FrameBatch, i: number, b: FrameBatch, j: number): boolean {
  const seconds = a.sec[i]! - b.sec[j]!;
  return seconds < 0 || (seconds === 0 && a.nsec[i]! <= b.nsec[j]!);
}

/** A TLS record with a ClientHello begins the payload (RFC 8446 sections 4 and 5.1). */
function isTlsHello(view: DataView, layers: Layers): boolean {
  const at = layers.payload;
  if (at < 0 || layers.ipEnd - at < 6) return false;
  return view.getUint8(at) === 22 && view.getUint8(at + 1) === 3 && view.getUint8(at + 5) === 1;
}
