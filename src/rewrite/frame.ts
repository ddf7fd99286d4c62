/**
 * HOT: the frame being edited: one object, pointed at each packet in turn. `load` reads it from the batch and decodes
 * it, the edits change it, `store` writes position and lengths back.
 */
import type { FrameBatch } from '../base/batch.ts';
import { plainRegion, type Region, scratchReserve } from '../base/region.ts';
import { decode } from '../wire/decode.ts';
import { Layers } from '../wire/layers.ts';

/** Longest frame that an edit makes: an IP packet of 65,535 bytes and its link header. */
export const EDITED_BYTES_MAX: number = 65_535 + 272;

export class Frame {
  region: Region;
  view: DataView;
  bytes: Uint8Array;
  at = 0;
  caplen = 0;
  len = 0;
  linktype = 0;
  direction = 0;
  /** Bytes in front of `at` that may be overwritten. */
  headroomBytes = 0;
  /** Something of this packet was written. */
  changed = false;
  /** Its place, length or link type are not the batch's any more. */
  reframed = false;
  /** Its sums are to be computed anew. */
  recompute = false;
  /** What the sums of the IPv4 header and of the transport have grown by and do not say yet (`applyPending`). */
  ipSum = 0;
  transportSum = 0;
  readonly layers: Layers = new Layers();

  constructor() {
    this.region = plainRegion(0);
    this.view = this.region.view;
    this.bytes = this.region.bytes;
  }

  load(batch: FrameBatch, i: number): void {
    const region = batch.region;
    if (region !== this.region) {
      this.region = region;
      this.view = region.view;
      this.bytes = region.bytes;
    }
    this.at = batch.at[i]!;
    this.caplen = batch.caplen[i]!;
    this.len = batch.len[i]!;
    this.linktype = batch.linktype[i]!;
    this.headroomBytes = batch.headroomBytes;
    this.changed = false;
    this.recompute = false;
    this.reframed = false;
    this.ipSum = 0;
    this.transportSum = 0;
    this.decode();
  }

  decode(): void {
    decode(this.view, this.at, this.at + this.caplen, this.linktype, this.layers);
  }

  store(batch: FrameBatch, i: number): void {
    if (!this.reframed) return;
    batch.at[i] = this.at;
    batch.caplen[i] = this.caplen;
    batch.len[i] = this.len;
    batch.linktype[i] = this.linktype;
  }

  get end(): number {
    return this.at + this.caplen;
  }

  /**
   * Makes sure that `front` bytes before the frame and `tail` bytes behind it may be written, by moving it into the
   * region's scratch where they may not. False: the scratch is full, and nothing was changed.
   */
  makeRoom(front: number, tail: number): boolean {
    if (front <= this.headroomBytes && tail === 0 && front <= this.at) return true;
    const at = scratchReserve(this.region, front + this.caplen + tail);
    if (at < 0) return false;
    this.bytes.copyWithin(at + front, this.at, this.at + this.caplen);
    this.at = at + front;
    this.headroomBytes = front;
    this.reframed = true;
    this.decode();
    return true;
  }

  /** Takes `bytes` (negative: gives back) in front of the frame. Precondition: `makeRoom`. */
  growFront(bytes: number): void {
    this.at -= bytes;
    this.caplen += bytes;
    this.len += bytes;
    this.headroomBytes -= bytes;
    this.reframed = true;
  }

  /** Cuts the frame to `caplen` captured bytes of `len`. */
  cutTo(caplen: number, len: number): void {
    this.caplen = caplen;
    this.len = len;
    this.changed = true;
    this.reframed = true;
  }
}
