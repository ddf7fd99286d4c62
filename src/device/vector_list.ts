/**
 * HOT: what one gathering write takes: pieces of memory in order, and where the records in them end, so that a write
 * that stops half-way can be cut back to a whole record. Nothing is allocated after construction.
 */
import type { Region } from '../base/region.ts';
import { IOVEC_BYTES, IOVECS_MAX } from '../sys/disk.ts';
import { anonymousRegion } from '../sys/memory.ts';

/** A record has 16 bytes at least, so that a block of 1 MiB has no more than this. */
export const RECORDS_MAX = 65_536;

const TWO_32 = 0x1_0000_0000;

export class VectorList {
  readonly vectors: Region = anonymousRegion(IOVEC_BYTES * IOVECS_MAX);
  /** Bytes of each record, in order. */
  readonly lengths: Uint32Array = new Uint32Array(RECORDS_MAX);
  pieces = 0;
  bytes = 0;
  records = 0;
  /** Where the last piece ends, to see that the next one continues it. */
  #end = 0;

  /** True when `pieces` more pieces and one more record fit. */
  hasRoom(pieces: number): boolean {
    return this.pieces + pieces <= IOVECS_MAX && this.records < RECORDS_MAX;
  }

  /** Adds memory; what continues the last piece makes it longer. Precondition: `hasRoom`. */
  add(address: number, bytes: number): void {
    const view = this.vectors.view;
    this.bytes += bytes;
    if (address === this.#end && this.pieces > 0) {
      const at = (this.pieces - 1) * IOVEC_BYTES + 8;
      view.setUint32(at, view.getUint32(at, true) + bytes, true);
    } else {
      const at = this.pieces * IOVEC_BYTES;
      view.setUint32(at, address >>> 0, true);
      view.setUint32(at + 4, Math.floor(address / TWO_32), true);
      view.setUint32(at + 8, bytes, true);
      this.pieces++;
    }
    this.#end = address + bytes;
  }

  endRecord(bytes: number): void {
    this.lengths[this.records++] = bytes;
  }

  /** Takes the first `bytes` out of piece `first` and those behind it. Returns the first piece that is left. */
  skip(first: number, bytes: number): number {
    const view = this.vectors.view;
    let piece = first;
    let left = bytes;
    while (piece < this.pieces) {
      const at = piece * IOVEC_BYTES;
      const length = view.getUint32(at + 8, true);
      if (left < length) {
        const address = view.getUint32(at + 4, true) * TWO_32 + view.getUint32(at, true) + left;
        view.setUint32(at, address >>> 0, true);
        view.setUint32(at + 4, Math.floor(address / TWO_32), true);
        view.setUint32(at + 8, length - left, true);
        return piece;
      }
      left -= length;
      piece++;
    }
    return piece;
  }

  /** Records that lie whole in the first `bytes`. */
  wholeRecords(bytes: number): number {
    let end = 0;
    let n = 0;
    for (; n < this.records; n++) {
      end += this.lengths[n]!;
      if (end > bytes) return n;
    }
    return n;
  }

  /** Shortens the list to the records that lie whole in its first `bytes`. Before anything of it was skipped. */
  keepWithin(bytes: number): void {
    const records = this.wholeRecords(bytes);
    let left = 0;
    for (let n = 0; n < records; n++) left += this.lengths[n]!;
    this.records = records;
    this.bytes = left;
    this.#end = 0;
    const view = this.vectors.view;
    let piece = 0;
    for (; left > 0; piece++) {
      const at = piece * IOVEC_BYTES + 8;
      const length = Math.min(left, view.getUint32(at, true));
      view.setUint32(at, length, true);
      left -= length;
    }
    this.pieces = piece;
  }

  clear(): void {
    this.pieces = 0;
    this.bytes = 0;
    this.records = 0;
    this.#end = 0;
  }

  release(): void {
    this.vectors.release();
  }
}
