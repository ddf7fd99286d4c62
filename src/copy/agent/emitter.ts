/**
 * HOT: the engine's packets onto the wire: an Ethernet header in front where the way to the target wants one, frames
 * queued by reference and handed to the kernel in batches. Client packets go from where they lie in the receive ring.
 * Data packets that follow one another are handed over as one, which kernel or card cut into segments: of a 200 KB
 * upload's processor time that saves two thirds. Budget 30 ns a packet.
 *
 * What the kernel refuses is told to the engine and never stops anything; a device that broke is opened again.
 */
import { OperatorError } from '../../base/errors.ts';
import type { Region } from '../../base/region.ts';
import {
  openAfPacketSink,
  openRehearsalSink,
  openSegmentingSink,
  type SegmentingSink,
} from '../../device/af_packet.ts';
import { copyFrame } from '../../device/frame_copy.ts';
import { anonymousRegion } from '../../device/host.ts';
import { openRawIpSink } from '../../device/raw_ip.ts';
import { openRawSocketSink } from '../../device/raw_socket.ts';
import { VNET_BYTES, writeVnetNothing, writeVnetSegments, writeVnetSum } from '../../device/segmentation.ts';
import type { Sink } from '../../device/sink.ts';
import { IPV4_MIN_HEADER_LEN } from '../../wire/ipv4.ts';
import { IPV6_HEADER_LEN } from '../../wire/ipv6.ts';
import { TcpFlag, tcpHeaderLen } from '../../wire/tcp.ts';
import type { Emitter } from '../emitter.ts';
import type { AgentTarget } from './spec.ts';

const ETHERNET_BYTES = 14;
/** In front of every built packet: virtio-net and link header, aligned. */
const FRONT_BYTES = 24;
/** Longest packet that is to be cut into segments, IP header included. */
const JOINED_BYTES_MAX = 65_000;
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
  /** The sink, where it cuts packets into segments; its frames have a virtio-net header then. */
  segmenting: SegmentingSink | null = null;
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

  /** A way that leads nowhere. */
  openRehearsal(): void {
    const segments = this.spec.sender === 'af_packet' && this.spec.macs.byteLength > 0;
    const sink = openRehearsalSink(QUEUE_FRAMES, segments);
    this.segmenting = segments ? sink : null;
    this.sink = sink;
  }

  open(): void {
    this.segmenting = openSegmenting(this.spec);
    this.sink = this.segmenting ?? openSink(this.spec);
    this.failed = 0;
    this.tooLong = 0;
  }
}

function openSink({ device, sender }: AgentTarget): Sink {
  if (sender === 'raw_socket') return openRawSocketSink();
  if (sender === 'raw_ip') return openRawIpSink({ name: '', batchFrames: QUEUE_FRAMES });
  return openAfPacketSink({ name: device, batchFrames: QUEUE_FRAMES });
}

/** Null: not for this way, or not known to this kernel. */
function openSegmenting({ device, sender, macs }: AgentTarget): SegmentingSink | null {
  if (sender !== 'af_packet' || macs.byteLength === 0) return null;
  try {
    return openSegmentingSink({ name: device, batchFrames: QUEUE_FRAMES });
  } catch (error) {
    if (error instanceof OperatorError && error.code === 'UNSUPPORTED') return null;
    throw error;
  }
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
  /** The packet handed over last, while more can join it; its place, length and first payload. */
  #joinWay: Way | null = null;
  #joinView: DataView;
  #joinIp = 0;
  #joinBytes = 0;
  #joinSegment = 0;
  #joinPush = false;
  readonly #tooLong: DataView = new DataView(new ArrayBuffer(HEADER_BYTES));
  #tooLongBytes = 0;

  /**
   * Opens a socket for each way out, none where `isRehearsal`. Throws INTERFACE or PERMISSION with the line to type.
   */
  constructor(targets: readonly AgentTarget[], isRehearsal: boolean = false) {
    this.#headers = new DataView(new ArrayBuffer(targets.length * 16));
    this.#joinView = this.#headers;
    this.#hasHeader = new Uint8Array(targets.length);
    for (let i = 0; i < targets.length; i++) this.#addTarget(targets[i]!, i);
    for (const way of this.#ways) {
      if (isRehearsal) way.openRehearsal();
      else way.open();
    }
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

  fillsSums(target: number): boolean {
    return this.#wayOf[target]!.segmenting !== null;
  }

  sendBuilt(at: number, length: number, target: number): void {
    if (this.onSyn !== null && isSyn(this.region.view, at)) {
      this.#syns++;
      this.onSyn(this.region.view, at, target);
    }
    this.#queue(this.region, at, length, target, true);
  }

  sendInPlace(region: Region, at: number, length: number, target: number): boolean {
    const front = this.#wayOf[target]!.segmenting === null ? 0 : VNET_BYTES;
    if (this.#hasHeader[target] === 0 || this.frontBytes >= ETHERNET_BYTES + front) {
      return this.#queue(region, at, length, target, false);
    }
    const to = this.reserve(length);
    if (to < 0) return false;
    copyFrame(this.region, to, region, at, length);
    return this.#queue(this.region, to, length, target, false);
  }

  join(region: Region, at: number, length: number, isPush: boolean, isFixed: boolean): boolean {
    const way = this.#joinWay;
    const bytes = this.#joinBytes + length;
    if (way === null || bytes > JOINED_BYTES_MAX) return false;
    if (isFixed) {
      if (!way.segmenting!.append(region, at, length)) return false;
    } else {
      const to = this.#next;
      if (to + length > REGION_BYTES || !way.segmenting!.append(this.region, to, length)) return false;
      copyFrame(this.region, to, region, at, length);
      this.#next = (to + length + FRONT_BYTES + 7) & ~7;
    }
    if (this.#joinSegment === 0) this.#joinSegment = this.#joinBytes - headerBytes(this.#joinView, this.#joinIp);
    this.#joinBytes = bytes;
    this.#joinPush = isPush;
    return true;
  }

  /** Nothing more joins the packet handed over last: its headers are made true. */
  #endJoin(): void {
    this.#joinWay = null;
    if (this.#joinSegment === 0) return;
    const ip = this.#joinIp;
    const at = ip - ETHERNET_BYTES - VNET_BYTES;
    writeVnetSegments(this.#joinView, at, ip, this.#joinBytes, this.#joinSegment, this.#joinPush);
    this.#joinSegment = 0;
  }

  /** `isBuilt`: its TCP checksum is yet to be filled in where `fillsSums`. */
  #queue(region: Region, at: number, length: number, target: number, isBuilt: boolean): boolean {
    const way = this.#wayOf[target]!;
    const sink = way.sink;
    if (this.#joinWay !== null) this.#endJoin();
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
    if (way.segmenting !== null) {
      from -= VNET_BYTES;
      bytes += VNET_BYTES;
      if (isBuilt) writeVnetSum(region.view, from, tcpOf(region.view, at));
      else writeVnetNothing(region.view, from);
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
    if (way.segmenting !== null) {
      this.#joinWay = way;
      this.#joinView = region.view;
      this.#joinIp = at;
      this.#joinBytes = length;
      this.#joinSegment = 0;
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
    if (this.#joinWay !== null) this.#endJoin();
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
      way.segmenting = null;
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

  /** Why the kernel or a device refused frames; null: it refused none. */
  refusal(): string | null {
    for (const { sink } of this.#ways) {
      if (sink === null) return 'the device is closed';
      if (sink.fault !== null) return sink.fault.message;
      for (const cause of sink.counters.causes.keys()) return cause;
    }
    return null;
  }

  close(): void {
    for (const way of this.#ways) way.sink?.close();
    this.region.release();
  }
}

/** Packets that leave have neither IP options nor extension headers. */
function tcpOf(view: DataView, ip: number): number {
  return view.getUint8(ip) >>> 4 === 6 ? ip + IPV6_HEADER_LEN : ip + IPV4_MIN_HEADER_LEN;
}

/** Bytes of the IP and TCP headers. */
function headerBytes(view: DataView, ip: number): number {
  const tcp = tcpOf(view, ip);
  return tcp - ip + tcpHeaderLen(view, tcp);
}

function isSyn(view: DataView, ip: number): boolean {
  return (view.getUint8(tcpOf(view, ip) + 13) & (TcpFlag.Syn | TcpFlag.Ack)) === TcpFlag.Syn;
}
