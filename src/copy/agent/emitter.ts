/**
 * HOT: the engine's packets onto the wire: an Ethernet header in front where the way to the target wants one, frames
 * queued by reference and handed to the kernel in batches. Client packets go from where they lie in the receive ring.
 * Budget 30 ns a packet.
 *
 * What the kernel refuses is told to the engine and never stops anything; a device that broke is opened again.
 */
import type { Region } from '../../base/region.ts';
import { openAfPacketSink } from '../../device/af_packet.ts';
import { anonymousRegion } from '../../device/host.ts';
import { openRawIpSink } from '../../device/raw_ip.ts';
import { openRawSocketSink } from '../../device/raw_socket.ts';
import type { Sink } from '../../device/sink.ts';
import { TcpFlag } from '../../wire/tcp.ts';
import type { Emitter } from '../emitter.ts';
import type { AgentTarget } from './spec.ts';

const ETHERNET_BYTES = 14;
/** In front of every built packet: a link header, aligned. */
const FRONT_BYTES = 16;
const REGION_BYTES = 4 * 1024 * 1024;
const QUEUE_FRAMES = 256;
const REOPEN_NS = 500_000_000;
const TOO_LONG = 'EMSGSIZE';
/** IPv6 and TCP headers without options; an IPv4 packet too long for anything is longer than that. */
const HEADER_BYTES = 60;

/** Told of what the kernel refused: `CopyEngine.onSendError`. */
export type SendErrorHandler = (view: DataView, at: number, length: number, isTooLong: boolean) => void;
/** A SYN leaves for a target: whoever hands replies back has to know of it. */
export type SynHandler = (view: DataView, ip: number, target: number) => void;

/** One way out: a device and its queue. */
class Way {
  readonly targets: number[] = [];
  readonly spec: AgentTarget;
  sink: Sink | null = null;
  /** Counters of the sinks before this one. */
  sentBefore = 0;
  refusedBefore = 0;
  tooLong = 0;
  failed = 0;
  retryNs = 0;
  /** The longest packet of the batch at hand, told when one is too long. */
  longestAt = 0;
  longest = 0;
  longestRegion: Region | null = null;

  constructor(spec: AgentTarget) {
    this.spec = spec;
  }

  open(): void {
    this.sink = openSink(this.spec);
    this.failed = 0;
    this.tooLong = 0;
  }
}

/** The device that a target's packets leave by. Throws INTERFACE, PERMISSION or UNSUPPORTED. */
export function openSink({ device, sender }: AgentTarget): Sink {
  if (sender === 'raw_socket') return openRawSocketSink();
  if (sender === 'raw_ip') return openRawIpSink({ name: '', batchFrames: QUEUE_FRAMES });
  return openAfPacketSink({ name: device, batchFrames: QUEUE_FRAMES });
}

export class FrameEmitter implements Emitter {
  readonly region: Region = anonymousRegion(REGION_BYTES);
  /** Bytes that may be written in front of the client packet at hand. */
  frontBytes = 0;
  /** Devices opened again after a fault. */
  reopened = 0;
  /** Nobody swallows replies now: nothing leaves, packets count as refused. */
  isShut = false;
  onSendError: SendErrorHandler = () => {};
  onSyn: SynHandler | null = null;
  /** Called before packets leave among which there is a SYN. */
  beforeSyns: () => void = () => {};
  #syns = 0;
  readonly #ways: Way[] = [];
  readonly #wayOf: Way[] = [];
  /** Fourteen bytes a target, at 16 each. */
  readonly #headers: DataView;
  readonly #hasHeader: Uint8Array;
  #next = FRONT_BYTES;
  readonly #tooLong: DataView = new DataView(new ArrayBuffer(HEADER_BYTES));
  #tooLongBytes = 0;

  /** Opens a socket for each way out. Throws INTERFACE or PERMISSION with the line to type. */
  constructor(targets: readonly AgentTarget[]) {
    this.#headers = new DataView(new ArrayBuffer(targets.length * 16));
    this.#hasHeader = new Uint8Array(targets.length);
    for (let i = 0; i < targets.length; i++) this.#addTarget(targets[i]!, i);
    for (const way of this.#ways) way.open();
  }

  #addTarget(target: AgentTarget, index: number): void {
    const same = (way: Way): boolean =>
      way.spec.sender === target.sender && (way.spec.device === target.device || target.sender !== 'af_packet');
    let way = this.#ways.find(same);
    if (way === undefined) {
      way = new Way(target);
      this.#ways.push(way);
    }
    way.targets.push(index);
    this.#wayOf.push(way);
    this.setMacs(index, target.macs, target.address.length === 4);
  }

  /** The Ethernet addresses of a target's next hop, also when it has moved. */
  setMacs(target: number, macs: Uint8Array, isIpv6: boolean): void {
    this.#hasHeader[target] = macs.byteLength === 12 ? 1 : 0;
    for (let i = 0; i < macs.byteLength; i++) this.#headers.setUint8(target * 16 + i, macs[i]!);
    this.#headers.setUint16(target * 16 + 12, isIpv6 ? 0x86dd : 0x0800);
  }

  reserve(length: number): number {
    if (length + FRONT_BYTES * 2 > REGION_BYTES) return -1;
    if (this.#next + length > REGION_BYTES) this.flush();
    const at = this.#next;
    this.#next = (at + length + FRONT_BYTES + 7) & ~7;
    return at;
  }

  sendBuilt(at: number, length: number, target: number): void {
    if (this.onSyn !== null && isSyn(this.region.view, at)) {
      this.#syns++;
      this.onSyn(this.region.view, at, target);
    }
    this.#queue(this.region, at, length, target);
  }

  sendInPlace(region: Region, at: number, length: number, target: number): boolean {
    if (this.#hasHeader[target] === 1 && this.frontBytes < ETHERNET_BYTES) return false;
    return this.#queue(region, at, length, target);
  }

  #queue(region: Region, at: number, length: number, target: number): boolean {
    const way = this.#wayOf[target]!;
    const sink = way.sink;
    if (this.isShut || sink === null || sink.fault !== null) {
      this.onSendError(region.view, at, length, false);
      return true;
    }
    let from = at;
    let bytes = length;
    if (this.#hasHeader[target] === 1) {
      from = at - ETHERNET_BYTES;
      bytes = length + ETHERNET_BYTES;
      const header = target * 16;
      const view = region.view;
      view.setUint32(from, this.#headers.getUint32(header));
      view.setUint32(from + 4, this.#headers.getUint32(header + 4));
      view.setUint32(from + 8, this.#headers.getUint32(header + 8));
      view.setUint16(from + 12, this.#headers.getUint16(header + 12));
    }
    if (!sink.push(region, from, bytes)) {
      this.#flushWay(way);
      if (!sink.push(region, from, bytes)) {
        this.onSendError(region.view, at, length, false);
        return true;
      }
    }
    if (length > way.longest) {
      way.longest = length;
      way.longestAt = at;
      way.longestRegion = region;
    }
    return true;
  }

  /** Hands everything queued to the kernel. */
  flush(): void {
    for (let i = 0; i < this.#ways.length; i++) this.#flushWay(this.#ways[i]!);
    this.#next = FRONT_BYTES;
  }

  #flushWay(way: Way): void {
    const sink = way.sink;
    if (sink === null) return;
    if (this.#syns > 0) {
      this.#syns = 0;
      this.beforeSyns();
    }
    sink.flush();
    const failed = sink.counters.failed - way.failed;
    if (failed > 0) this.#tell(way, sink, failed);
    way.longest = 0;
  }

  /** The queue says how many were refused and why, not which: the longest one stands for those that were too long. */
  #tell(way: Way, sink: Sink, failed: number): void {
    way.failed = sink.counters.failed;
    const tooLong = (sink.counters.causes.get(TOO_LONG) ?? 0) - way.tooLong;
    way.tooLong += tooLong;
    const view = way.longestRegion!.view;
    const at = way.longestAt;
    for (let i = tooLong; i < failed; i++) this.onSendError(view, at, way.longest, false);
    if (tooLong === 0) return;
    // Told later: the engine answers it with packets, which must not meet this batch.
    for (let i = 0; i < HEADER_BYTES; i += 4) this.#tooLong.setUint32(i, view.getUint32(at + i));
    this.#tooLongBytes = way.longest;
  }

  /** Tells the engine of a packet that was too long. Once a turn, when nothing is queued. */
  tellTooLong(): void {
    const length = this.#tooLongBytes;
    if (length === 0) return;
    this.#tooLongBytes = 0;
    this.onSendError(this.#tooLong, 0, length, true);
  }

  /** Opens devices that broke; they may be down for long. */
  repair(nowNs: number): void {
    for (let i = 0; i < this.#ways.length; i++) {
      const way = this.#ways[i]!;
      const isBroken = way.sink === null || way.sink.fault !== null;
      if (isBroken && nowNs >= way.retryNs) this.#reopen(way, nowNs);
    }
  }

  #reopen(way: Way, nowNs: number): void {
    way.retryNs = nowNs + REOPEN_NS;
    const sink = way.sink;
    if (sink !== null) {
      way.sentBefore += sink.counters.sent;
      way.refusedBefore += sink.counters.failed;
      sink.close();
      way.sink = null;
    }
    try {
      way.open();
      this.reopened++;
    } catch {
      // Still down, or gone: tried again later; the packets of the meantime are counted as refused.
    }
  }

  sent(): number {
    let frames = 0;
    for (const way of this.#ways) frames += way.sentBefore + (way.sink?.counters.sent ?? 0);
    return frames;
  }

  refused(): number {
    let frames = 0;
    for (const way of this.#ways) frames += way.refusedBefore + (way.sink?.counters.failed ?? 0);
    return frames;
  }

  close(): void {
    for (const way of this.#ways) way.sink?.close();
    this.region.release();
  }
}

/** A built packet has no IP options. */
function isSyn(view: DataView, ip: number): boolean {
  const tcp = view.getUint8(ip) >>> 4 === 6 ? ip + 40 : ip + 20;
  return (view.getUint8(tcp + 13) & (TcpFlag.Syn | TcpFlag.Ack)) === TcpFlag.Syn;
}
