/**
 * HOT: a block of a receive ring, for one who takes its frames without a batch: the frame at `frame` and the `left - 1`
 * behind it. Whoever takes some moves both on. Offsets are bytes from the region's start; a frame's header is
 * struct tpacket3_hdr of include/uapi/linux/if_packet.h, at a multiple of 8.
 */
import type { Region } from '../base/region.ts';
import { TP_STATUS_VLAN_VALID } from '../sys/layout.ts';

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

/** In the status: a tag was taken out of the frame. It is put back where frames become a batch, so these go there. */
export const RING_HAS_TAG: number = TP_STATUS_VLAN_VALID;

export class RingBlock {
  readonly region: Region;
  readonly words: Int32Array;
  frame = 0;
  left = 0;
  /** The frame taken last, where any of this block was. */
  last = 0;

  constructor(region: Region) {
    this.region = region;
    this.words = new Int32Array(region.bytes.buffer, region.bytes.byteOffset, region.byteLength >>> 2);
  }

  /** Seconds since 1970 of the frame whose header is at `frame`. */
  stampOf(frame: number): number {
    const word = frame >>> 2;
    return (this.words[word + RingWord.Sec]! >>> 0) + this.words[word + RingWord.Nsec]! * 1e-9;
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
