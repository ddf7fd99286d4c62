/**
 * Rings and a sink of the classes that traffic meets, without a device behind them: what a program runs before there
 * is traffic, so that its code is compiled for it. No frame can leave or come in: there is no descriptor.
 */
import type { FrameSum } from '../base/batch.ts';
import type { Region } from '../base/region.ts';
import { HeaderRing, Tpacket2Receive } from '../sys/header_ring.ts';
import {
  TP_STATUS_CSUM_VALID,
  TP_STATUS_CSUMNOTREADY,
  TP_STATUS_USER,
  Tpacket3Hdr,
  TpacketBlock,
} from '../sys/layout.ts';
import { anonymousRegion } from '../sys/memory.ts';
import { ReceiveRing } from '../sys/packet_ring.ts';
import { HEADER_SLOT_BYTES, HEADER_SLOTS, HeaderSource } from './header_ring.ts';
import { LINKTYPE_ETHERNET } from './link.ts';
import { NO_DESCRIPTOR } from './message_queue.ts';
import { PacketRingSource } from './packet_ring.ts';

/** From a frame's header in the ring to the frame, as the kernel leaves room: an Ethernet header ends at 16 bytes. */
const START = 82;
const SNAPLEN = 262_144;

/** By `FrameSum`. */
const STATUS_OF_SUM = [TP_STATUS_USER, TP_STATUS_USER | TP_STATUS_CSUM_VALID, TP_STATUS_USER | TP_STATUS_CSUMNOTREADY];

/** Frames of clients: room for one, then its bytes, and with `handOver` the reader gets what was added. */
export class RehearsalRing {
  readonly source: PacketRingSource;
  readonly region: Region;
  readonly #words: Int32Array;
  readonly #blockBytes: number;
  #block = 0;
  #next = TpacketBlock.SIZE;
  #last = 0;
  #frames = 0;

  constructor(blockBytes: number, blocks: number) {
    this.region = anonymousRegion(blockBytes * blocks);
    this.#words = new Int32Array(this.region.bytes.buffer, 0, this.region.byteLength >>> 2);
    this.#blockBytes = blockBytes;
    this.source = new PacketRingSource(
      {
        ring: new ReceiveRing(NO_DESCRIPTOR, this.region),
        blockBytes,
        blocks,
        cooked: false,
        interface: { name: 'rehearsal', linktype: LINKTYPE_ETHERNET, snaplen: SNAPLEN },
        interfaceIndex: 0,
        filter: null,
        interfaceDrops: () => 0,
        keepsBlocks: true,
      },
      () => 0,
    );
  }

  /** Where a frame of so many bytes is to be written. Precondition: the reader is less than all blocks behind. */
  add(length: number, nowMs: number, sum: FrameSum): number {
    const bytes = (START + length + 15) & ~15;
    if (this.#next + bytes > this.#blockBytes) this.handOver();
    const frame = this.#block + this.#next;
    const word = frame >>> 2;
    const words = this.#words;
    words[word + (Tpacket3Hdr.NEXT_OFFSET >>> 2)] = bytes;
    words[word + (Tpacket3Hdr.SEC >>> 2)] = Math.floor(nowMs / 1000);
    words[word + (Tpacket3Hdr.NSEC >>> 2)] = Math.floor((nowMs % 1000) * 1e6);
    words[word + (Tpacket3Hdr.SNAPLEN >>> 2)] = length;
    words[word + (Tpacket3Hdr.LEN >>> 2)] = length;
    words[word + (Tpacket3Hdr.STATUS >>> 2)] = STATUS_OF_SUM[sum]!;
    words[word + (Tpacket3Hdr.MAC >>> 2)] = START | ((START + 14) << 16);
    this.#last = word;
    this.#next += bytes;
    this.#frames++;
    return frame + START;
  }

  handOver(): void {
    if (this.#frames === 0) return;
    const words = this.#words;
    words[this.#last + (Tpacket3Hdr.NEXT_OFFSET >>> 2)] = 0;
    words[(this.#block + TpacketBlock.NUM_PKTS) >>> 2] = this.#frames;
    words[(this.#block + TpacketBlock.OFFSET_TO_FIRST) >>> 2] = TpacketBlock.SIZE;
    Atomics.store(words, (this.#block + TpacketBlock.STATUS) >>> 2, TP_STATUS_USER);
    this.#block = (this.#block + this.#blockBytes) % this.region.byteLength;
    this.#next = TpacketBlock.SIZE;
    this.#frames = 0;
  }

  release(): void {
    this.region.release();
  }
}

/** Headers of replies, each handed over at once. */
export class RehearsalHeaders {
  readonly source: HeaderSource;
  readonly region: Region = anonymousRegion(HEADER_SLOTS * HEADER_SLOT_BYTES);
  readonly #words: Int32Array = new Int32Array(this.region.bytes.buffer, 0, this.region.byteLength >>> 2);
  #slot = 0;

  constructor() {
    this.source = new HeaderSource('rehearsal', LINKTYPE_ETHERNET, new HeaderRing(NO_DESCRIPTOR, this.region));
  }

  /** Where the next frame is to be written, of which `length` bytes are kept; then `handOver`. */
  next(length: number, frameBytes: number, nowMs: number): number {
    const at = this.#slot * HEADER_SLOT_BYTES;
    const word = at >>> 2;
    const words = this.#words;
    words[word + (Tpacket2Receive.LEN >>> 2)] = frameBytes;
    words[word + (Tpacket2Receive.SNAPLEN >>> 2)] = length;
    words[word + (Tpacket2Receive.MAC >>> 2)] = START;
    words[word + (Tpacket2Receive.SEC >>> 2)] = Math.floor(nowMs / 1000);
    words[word + (Tpacket2Receive.NSEC >>> 2)] = Math.floor((nowMs % 1000) * 1e6);
    return at + START;
  }

  handOver(): void {
    Atomics.store(this.#words, (this.#slot * HEADER_SLOT_BYTES) >>> 2, TP_STATUS_USER);
    this.#slot = (this.#slot + 1) % HEADER_SLOTS;
  }

  release(): void {
    this.region.release();
  }
}
