/**
 * HOT: a block of a receive ring, for one who takes its frames without a batch: the frame at `frame` and the `left - 1`
 * behind it. Whoever takes some moves both on. Offsets are bytes from the region's start; a frame's header is
 * struct tpacket3_hdr of include/uapi/linux/if_packet.h, at a multiple of 8.
 */
import type { Region } from '../base/region.ts';
import { TP_STATUS_VLAN_TPID_VALID, TP_STATUS_VLAN_VALID, Tpacket3Hdr } from '../sys/layout.ts';

const ETHERTYPE_VLAN = 0x8100;

/**
 * 32-bit words of a frame's header (`Tpacket3Hdr` of sys/layout.ts has their bytes). From `Sec` on, four in a row are
 * those of a pcap record with nanoseconds: seconds, nanoseconds, bytes present, bytes on the wire.
 */
export const RingWord = {
  /** Bytes to the next header. */
  Next: 0,
  Sec: 1,
  Nsec: 2,
  Caplen: 3,
  Len: 4,
  Status: 5,
  /** In the low 16 bits: from the header to the frame's first byte. */
  Start: 6,
} as const;

/** In the status: a tag was taken out of the frame (`putTag`). */
export const RING_HAS_TAG: number = TP_STATUS_VLAN_VALID;
/** What a tag makes a frame longer by, and the addresses in front of it. */
export const RING_TAG_BYTES = 4;
export const RING_TAG_AT = 12;

export class RingBlock {
  readonly region: Region;
  readonly words: Int32Array;
  frame = 0;
  left = 0;
  /** The frame taken last, where any of this block was. */
  last = 0;
  /** Bytes that are kept of a frame. */
  readonly snaplen: number;

  constructor(region: Region, snaplen: number) {
    this.region = region;
    this.snaplen = snaplen;
    this.words = new Int32Array(region.bytes.buffer, region.bytes.byteOffset, region.byteLength >>> 2);
  }

  /** Seconds since 1970 of the frame whose header is at `frame`. */
  stampOf(frame: number): number {
    const word = frame >>> 2;
    return (this.words[word + RingWord.Sec]! >>> 0) + this.words[word + RingWord.Nsec]! * 1e-9;
  }

  /**
   * The 802.1Q tag of the frame whose header is at `frame` goes back to where it was: the addresses move 4 bytes into
   * the headroom. Once for a frame; it has 12 bytes at least. Returns where it begins now.
   */
  putTag(frame: number): number {
    const view = this.region.view;
    const from = frame + (this.words[(frame >>> 2) + RingWord.Start]! & 0xffff);
    const to = from - RING_TAG_BYTES;
    view.setUint32(to, view.getUint32(from));
    view.setUint32(to + 4, view.getUint32(from + 4));
    view.setUint32(to + 8, view.getUint32(from + 8));
    view.setUint16(to + RING_TAG_AT, this.tagProtocol(frame));
    view.setUint16(to + RING_TAG_AT + 2, view.getUint32(frame + Tpacket3Hdr.VLAN_TCI, true) & 0xffff);
    return to;
  }

  /** The ethertype of the tag that was taken out. */
  tagProtocol(frame: number): number {
    const status = this.words[(frame >>> 2) + RingWord.Status]!;
    if ((status & TP_STATUS_VLAN_TPID_VALID) === 0) return ETHERTYPE_VLAN;
    return this.region.view.getUint16(frame + Tpacket3Hdr.VLAN_TPID, true);
  }
}

/** A ring whose blocks can be taken so. */
export interface BlockSource {
  /**
   * The block being read, or the next; null: nothing is there now. The one before is the kernel's again. Those taken
   * are counted with `took`.
   */
  nextBlock(): RingBlock | null;
  took(frames: number): void;
}
