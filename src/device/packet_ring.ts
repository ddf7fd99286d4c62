/**
 * HOT: frames in the kernel's receive ring (TPACKET_V3), delivered where they lie. No copy, no call and no object per
 * frame: a batch is offsets into the ring. Its block goes back to the kernel with the next `read`, or with `release`
 * where several are wanted at once.
 *
 * What lies in front of a frame in the ring has been read by then, so record headers may be written there
 * (`batch.headroomBytes`); the VLAN tag that the kernel took out, and the header of cooked frames, are put there, too.
 * Frames are written over by nobody else before their block is released.
 */
import { BATCH_FRAMES, type FrameBatch, FrameSum } from '../base/batch.ts';
import type { OperatorError } from '../base/errors.ts';
import type { Region } from '../base/region.ts';
import { Errno } from '../sys/errno.ts';
import {
  POLLERR,
  POLLIN,
  TP_STATUS_BLK_TMO,
  TP_STATUS_CSUM_VALID,
  TP_STATUS_CSUMNOTREADY,
  TP_STATUS_KERNEL,
  TP_STATUS_USER,
  TP_STATUS_VLAN_VALID,
  Tpacket3Hdr,
  TpacketBlock,
} from '../sys/layout.ts';
import type { ReceiveRing } from '../sys/packet_ring.ts';
import { pauseMicroseconds, pollDescriptor } from '../sys/socket.ts';
import { type BpfProgram, runBpf } from '../wire/bpf.ts';
import type { CaptureSource, SourceInterface, SourceStatistics } from './capture_source.ts';
import { deviceFault } from './fault_error.ts';
import { SLL2_HEADER_BYTES } from './kernel_filter.ts';
import { interfaceExists } from './link.ts';
import { type BlockSource, RING_TAG_AT, RING_TAG_BYTES, RingBlock } from './ring_block.ts';

/** sockaddr_ll behind the frame's header in the ring (TPACKET_ALIGN(sizeof(struct tpacket3_hdr))). */
const ADDRESS = Tpacket3Hdr.SIZE;
/** How long `halt` waits for frames that the kernel counted but has not handed over. */
const DRAIN_MS_MAX = 1000;
/** Longest pause that lets full blocks gather, and the share of the ring that may gather. */
const GATHER_MS_MAX = 40;
const GATHER_SHARE = 16;
/** Between going down and being gone. */
const REMOVAL_PAUSE_US = 50_000;

export interface PacketRingSpec {
  readonly ring: ReceiveRing;
  readonly blockBytes: number;
  readonly blocks: number;
  /** Frames begin with a header of SLL2, made here. */
  readonly cooked: boolean;
  readonly interface: SourceInterface;
  readonly interfaceIndex: number;
  /** Run here, as the kernel cannot. */
  readonly filter: BpfProgram | null;
  /** Packets dropped by the interface since it exists; asked for seldom. */
  readonly interfaceDrops: () => number;
  /** Blocks stay the reader's until `release`, instead of until the next `read`. */
  readonly keepsBlocks: boolean;
}

/** The clock in milliseconds, for the end of a capture only. */
export type NowMs = () => number;

export class PacketRingSource implements CaptureSource, BlockSource {
  readonly name: string;
  readonly interfaces: readonly SourceInterface[];
  readonly fd: number;
  readonly statistics: SourceStatistics = { received: 0, droppedByKernel: 0, droppedByInterface: 0, frozen: 0 };
  fault: OperatorError | null = null;
  filtered = 0;
  ended = false;
  readonly #ring: ReceiveRing;
  readonly #region: Region;
  readonly #view: DataView;
  /** The ring as 32-bit words: headers are aligned, and words read faster than a DataView. */
  readonly #words: Int32Array;
  readonly #blockBytes: number;
  readonly #bytes: number;
  readonly #cooked: boolean;
  readonly #linktype: number;
  readonly #snaplen: number;
  readonly #interfaceIndex: number;
  readonly #filter: BpfProgram | null;
  readonly #interfaceDrops: () => number;
  readonly #interfaceDropsBefore: number;
  readonly #now: NowMs;
  readonly #keepsBlocks: boolean;
  /** Blocks that are not the kernel's: where the first begins, how many; and where the next one is to come. */
  #first = 0;
  #held = 0;
  #block = 0;
  /** What is left of the last one. */
  readonly #rest: RingBlock;
  /** Frames that came out of the ring. */
  #taken = 0;
  #headroom: number;
  /** Since the last `wait`: blocks taken, and those that were full rather than handed over because time had passed. */
  #blocksTaken = 0;
  #fullTaken = 0;
  #gatherMs = 0;
  #haltedMs = -1;

  constructor(spec: PacketRingSpec, now: NowMs) {
    this.#ring = spec.ring;
    this.#region = spec.ring.region;
    this.#view = spec.ring.region.view;
    this.#rest = new RingBlock(this.#region, spec.interface.snaplen);
    this.#words = this.#rest.words;
    this.#blockBytes = spec.blockBytes;
    this.#bytes = spec.blockBytes * spec.blocks;
    this.#cooked = spec.cooked;
    this.#linktype = spec.interface.linktype;
    this.#snaplen = spec.interface.snaplen;
    this.#interfaceIndex = spec.interfaceIndex;
    this.#filter = spec.filter;
    this.#interfaceDrops = spec.interfaceDrops;
    this.#interfaceDropsBefore = spec.interfaceDrops();
    this.#keepsBlocks = spec.keepsBlocks;
    this.#now = now;
    this.#headroom = 0;
    this.name = spec.interface.name;
    this.interfaces = [spec.interface];
    this.fd = spec.ring.fd;
  }

  read(batch: FrameBatch): number {
    batch.region = this.#region;
    batch.count = 0;
    while (batch.count === 0) {
      if (this.#rest.left === 0) {
        if (!this.#keepsBlocks) this.release();
        if (!this.#takeBlock()) return this.#atEnd();
      }
      this.#fill(batch);
      if (this.#filter !== null) this.#keepAccepted(batch, this.#filter);
    }
    return batch.count;
  }

  /** Not where a header is to be made, or a filter to be run, for each frame. */
  get blocks(): BlockSource | null {
    return this.#cooked || this.#filter !== null ? null : this;
  }

  nextBlock(): RingBlock | null {
    if (this.#rest.left > 0) return this.#rest;
    this.release();
    if (this.#takeBlock()) return this.#rest;
    this.#atEnd();
    return null;
  }

  took(frames: number): void {
    this.#taken += frames;
  }

  /** Block status is written by the kernel last: an atomic load orders what is read after it. */
  #takeBlock(): boolean {
    const status = Atomics.load(this.#words, (this.#block + TpacketBlock.STATUS) >>> 2);
    // Once around, the next block is one that is held.
    if ((status & TP_STATUS_USER) === 0 || this.#held * this.#blockBytes === this.#bytes) return false;
    this.#rest.left = this.#words[(this.#block + TpacketBlock.NUM_PKTS) >>> 2]!;
    this.#rest.frame = this.#block + this.#words[(this.#block + TpacketBlock.OFFSET_TO_FIRST) >>> 2]!;
    this.#block = this.#behind(this.#block);
    this.#held++;
    this.#blocksTaken++;
    if ((status & TP_STATUS_BLK_TMO) === 0) this.#fullTaken++;
    return true;
  }

  #behind(block: number): number {
    const next = block + this.#blockBytes;
    return next === this.#bytes ? 0 : next;
  }

  /** Blocks of which every frame was read go back to the kernel. */
  release(): void {
    const kept = this.#rest.left > 0 ? 1 : 0;
    for (; this.#held > kept; this.#held--) {
      Atomics.store(this.#words, (this.#first + TpacketBlock.STATUS) >>> 2, TP_STATUS_KERNEL);
      this.#first = this.#behind(this.#first);
    }
  }

  /** Frames of the block into the batch, as many as it holds. */
  #fill(batch: FrameBatch): void {
    const words = this.#words;
    const { at, caplen, len, sec, nsec, linktype, interfaceIndex, sum } = batch;
    const count = Math.min(this.#rest.left, batch.capacity);
    const snaplen = this.#snaplen;
    const type = this.#linktype;
    const index = this.#interfaceIndex;
    let frame = this.#rest.frame;
    this.#headroom = 0x7fff_ffff;
    for (let i = 0; i < count; i++) {
      const word = frame >>> 2;
      const status = words[word + (Tpacket3Hdr.STATUS >>> 2)]!;
      const kept = words[word + (Tpacket3Hdr.SNAPLEN >>> 2)]!;
      const start = words[word + (Tpacket3Hdr.MAC >>> 2)]! & 0xffff;
      at[i] = frame + start;
      caplen[i] = kept;
      len[i] = words[word + (Tpacket3Hdr.LEN >>> 2)]!;
      sec[i] = words[word + (Tpacket3Hdr.SEC >>> 2)]! >>> 0;
      nsec[i] = words[word + (Tpacket3Hdr.NSEC >>> 2)]!;
      linktype[i] = type;
      interfaceIndex[i] = index;
      sum[i] = sumOf(status);
      if (this.#cooked) this.#cook(batch, i, frame, status);
      else if ((status & TP_STATUS_VLAN_VALID) !== 0 && kept >= RING_TAG_AT) this.#putTag(batch, i, frame);
      if (caplen[i]! > snaplen) caplen[i] = snaplen;
      const headroom = at[i]! - frame - ADDRESS;
      if (headroom < this.#headroom) this.#headroom = headroom;
      frame += words[word + (Tpacket3Hdr.NEXT_OFFSET >>> 2)]!;
    }
    this.#rest.frame = frame;
    this.#rest.left -= count;
    this.#taken += count;
    batch.count = count;
    batch.headroomBytes = this.#headroom;
  }

  #putTag(batch: FrameBatch, i: number, frame: number): void {
    batch.at[i] = this.#rest.putTag(frame);
    batch.caplen[i] = batch.caplen[i]! + RING_TAG_BYTES;
    batch.len[i] = batch.len[i]! + RING_TAG_BYTES;
  }

  /** LINKTYPE_LINUX_SLL2 from the sockaddr_ll of the frame; a tag becomes the packet's first four bytes. */
  #cook(batch: FrameBatch, i: number, frame: number, status: number): void {
    const view = this.#view;
    const from = frame + ADDRESS;
    let at = batch.at[i]!;
    let added = SLL2_HEADER_BYTES;
    let protocol = view.getUint16(from + 2);
    if ((status & TP_STATUS_VLAN_VALID) !== 0) {
      at -= RING_TAG_BYTES;
      added += RING_TAG_BYTES;
      view.setUint16(at, view.getUint32(frame + Tpacket3Hdr.VLAN_TCI, true) & 0xffff);
      view.setUint16(at + 2, protocol);
      protocol = this.#rest.tagProtocol(frame);
    }
    at -= SLL2_HEADER_BYTES;
    view.setUint32(at, protocol * 0x1_0000);
    view.setUint32(at + 4, view.getUint32(from + 4, true));
    view.setUint16(at + 8, view.getUint16(from + 8, true));
    view.setUint8(at + 10, view.getUint8(from + 10));
    view.setUint8(at + 11, view.getUint8(from + 11));
    view.setUint32(at + 12, view.getUint32(from + 12));
    view.setUint32(at + 16, view.getUint32(from + 16));
    batch.at[i] = at;
    batch.caplen[i] = batch.caplen[i]! + added;
    batch.len[i] = batch.len[i]! + added;
  }

  #keepAccepted(batch: FrameBatch, filter: BpfProgram): void {
    const { at, caplen, len, sec, nsec, sum } = batch;
    let kept = 0;
    for (let i = 0; i < batch.count; i++) {
      if (runBpf(filter, this.#view, at[i]!, caplen[i]!, len[i]!) === 0) continue;
      if (kept !== i) {
        at[kept] = at[i]!;
        caplen[kept] = caplen[i]!;
        len[kept] = len[i]!;
        sec[kept] = sec[i]!;
        nsec[kept] = nsec[i]!;
        sum[kept] = sum[i]!;
      }
      kept++;
    }
    this.filtered += batch.count - kept;
    batch.count = kept;
  }

  get isFilling(): boolean {
    const ahead = this.#first + Math.max(1, (this.#bytes / this.#blockBytes) >>> 2) * this.#blockBytes;
    const block = ahead % this.#bytes;
    return (Atomics.load(this.#words, (block + TpacketBlock.STATUS) >>> 2) & TP_STATUS_USER) !== 0;
  }

  /** Nothing in the ring: at the end once everything that the kernel counted has been taken. Returns 0. */
  #atEnd(): number {
    if (this.#haltedMs < 0) return 0;
    this.updateStatistics();
    const { received, droppedByKernel } = this.statistics;
    const missing = received - droppedByKernel - this.#taken;
    this.ended = missing <= 0 || this.#now() - this.#haltedMs > DRAIN_MS_MAX;
    return 0;
  }

  shed(): number {
    let frames = this.#rest.left;
    this.#rest.left = 0;
    this.release();
    // At most once around: the kernel may fill blocks as fast as they are released.
    for (let seen = 0; seen < this.#bytes && this.#takeBlock(); seen += this.#blockBytes) {
      frames += this.#rest.left;
      this.#rest.left = 0;
      this.release();
    }
    this.#taken += frames;
    return frames;
  }

  wait(timeoutMs: number): void {
    if (this.#rest.left > 0 || this.ended) return;
    if (timeoutMs > 0 && this.#gather(timeoutMs)) return;
    const events = pollDescriptor(this.fd, POLLIN, timeoutMs);
    if ((events & POLLERR) !== 0) this.#break();
  }

  /**
   * Where blocks fill one after the other, waking up for each costs more than reading it: a pause lets some gather,
   * as long as they are a small share of the ring. Measured, 5 million frames of 64 bytes: 300 wake-ups instead of
   * 1,430. Returns whether there is a block then.
   */
  #gather(timeoutMs: number): boolean {
    const most = this.#bytes / this.#blockBytes / GATHER_SHARE;
    const taken = this.#blocksTaken;
    const full = this.#fullTaken;
    this.#blocksTaken = 0;
    // one of them may be handed over early at any load: the kernel's timer runs on its own (Linux 6.18)
    if ((taken > 0 && full === 0) || this.#haltedMs >= 0) this.#gatherMs = 0;
    else if (taken > most) this.#gatherMs >>= 1;
    else if (taken > 0 && taken * 2 <= most) this.#gatherMs = Math.min(GATHER_MS_MAX, this.#gatherMs * 2 + 1);
    this.#fullTaken = 0;
    if (this.#gatherMs === 0 || taken === 0) return false;
    pauseMicroseconds(Math.min(this.#gatherMs, timeoutMs) * 1000);
    return (Atomics.load(this.#words, (this.#block + TpacketBlock.STATUS) >>> 2) & TP_STATUS_USER) !== 0;
  }

  #break(): void {
    const errno = this.#ring.takeError();
    if (errno <= 0) return;
    // A removed interface goes down first.
    pauseMicroseconds(REMOVAL_PAUSE_US);
    const isGone = this.name !== 'any' && !interfaceExists(this.name);
    this.fault ??= deviceFault(this.name, isGone ? Errno.ENODEV : errno);
    this.halt();
  }

  /** After a poll of `fd` by somebody else. */
  noticeError(): void {
    this.#break();
  }

  updateStatistics(): void {
    this.#ring.updateStatistics();
    const { received, dropped, frozen } = this.#ring.statistics;
    this.statistics.received = received;
    this.statistics.droppedByKernel = dropped;
    this.statistics.frozen = frozen;
  }

  halt(): void {
    if (this.#haltedMs >= 0) return;
    this.#haltedMs = this.#now();
    this.#ring.refuseAll();
    this.statistics.droppedByInterface = Math.max(0, this.#interfaceDrops() - this.#interfaceDropsBefore);
  }

  close(): void {
    this.ended = true;
    this.#ring.close();
  }
}

/** Frames of a batch: a block of 64-byte frames is some thousands. */
export const RING_BATCH_FRAMES: number = BATCH_FRAMES * 16;

function sumOf(status: number): number {
  if ((status & TP_STATUS_CSUMNOTREADY) !== 0) return FrameSum.Absent;
  return (status & TP_STATUS_CSUM_VALID) !== 0 ? FrameSum.Valid : FrameSum.Unknown;
}
