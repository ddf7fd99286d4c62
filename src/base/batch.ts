import type { Region } from './region.ts';

/** What is known of the transport checksum of a frame. */
export const FrameSum = {
  Unknown: 0,
  /** Found right by the network card or the kernel. */
  Valid: 1,
  /** Left to hardware that the frame never met: the bytes are good, the field is not. */
  Absent: 2,
} as const;
export type FrameSum = (typeof FrameSum)[keyof typeof FrameSum];

/**
 * A batch of frames in one region, as a structure of arrays. Readers and receive rings fill it, rewriters change
 * `at`/`caplen`/`len`, sinks send from it. Everything is allocated once.
 *
 * Lifetime: the frames of a batch are valid until the next `read` of whoever filled it.
 */
export class FrameBatch {
  readonly capacity: number;
  /** Frames in use: 0..count-1. */
  count = 0;
  /** The region that every `at` of this batch counts from. */
  region: Region;
  /** Offset of the frame's first byte in the region. */
  readonly at: Uint32Array;
  /** Bytes present. */
  readonly caplen: Uint32Array;
  /** Bytes the frame had on the wire; `caplen < len` means cut by the snaplen. */
  readonly len: Uint32Array;
  /** Capture time, seconds and nanoseconds since 1970 (UTC). */
  readonly sec: Float64Array;
  readonly nsec: Uint32Array;
  /** LINKTYPE_ value of the frame (`wire/linktype.ts`); may differ from frame to frame in pcapng. */
  readonly linktype: Uint16Array;
  /** pcapng interface number over the whole file; 0 in pcap. */
  readonly interfaceIndex: Uint16Array;
  /** `FrameSum` of each frame. */
  readonly sum: Uint8Array;
  /** Number of the first frame, counted from 1 in its file. Frame i has number `numberFirst + i`. */
  numberFirst = 1;
  /** Bytes that may be overwritten in front of each frame (its own record header), the least over the batch. */
  headroomBytes = 0;

  constructor(capacity: number, region: Region) {
    this.capacity = capacity;
    this.region = region;
    this.at = new Uint32Array(capacity);
    this.caplen = new Uint32Array(capacity);
    this.len = new Uint32Array(capacity);
    this.sec = new Float64Array(capacity);
    this.nsec = new Uint32Array(capacity);
    this.linktype = new Uint16Array(capacity);
    this.interfaceIndex = new Uint16Array(capacity);
    this.sum = new Uint8Array(capacity);
  }
}

/** Frames of a usual batch: fits the cache, amortises a call (measured: 64 to 256 a `sendmmsg` are alike). */
export const BATCH_FRAMES = 256;
