/**
 * Window over bytes that arrive in their order: a file that is read, a pipe, the output of a decoder. They are put
 * straight into one anonymous region that stays in the cache; what a move copies is the rest of one record, so that a
 * record is never split.
 */
import type { Region } from '../base/region.ts';
import { anonymousRegion } from '../sys/memory.ts';
import type { ByteSource } from './byte_source.ts';
import type { CaptureWindow, WindowFault } from './window.ts';

const GROW_BYTES = 65_536;

export class StreamWindow implements CaptureWindow {
  region: Region;
  end = 0;
  base = 0;
  ended = false;
  readonly byteLength: number;
  readonly #source: ByteSource;
  readonly #scratchBytes: number;

  /** `byteLength`: of the file, -1 where there is none. */
  constructor(source: ByteSource, byteLength: number, windowBytes: number, scratchBytes: number) {
    this.byteLength = byteLength;
    this.#source = source;
    this.#scratchBytes = scratchBytes;
    this.region = anonymousRegion(Math.max(GROW_BYTES, windowBytes), scratchBytes);
  }

  get fault(): WindowFault | null {
    return this.#source.fault;
  }

  get stopped(): boolean {
    return this.#source.stopped;
  }

  show(from: number, need: number): number {
    let at = from - this.base;
    if (this.ended || at + need <= this.end) return at;
    this.#keep(Math.min(at, this.end), need);
    at = from - this.base;
    while (!this.ended && this.end < at + need) {
      if (at >= this.end) {
        // still in front of `from`: what is there is skipped
        this.base += this.end;
        at -= this.end;
        this.end = 0;
      }
      const bytes = this.#source.fill(this.region, this.end, this.region.scratchStart - this.end);
      if (bytes === 0) this.ended = true;
      this.end += bytes;
    }
    return at;
  }

  close(): void {
    this.region.release();
    this.#source.close();
  }

  /** Moves bytes [at, end) to the front of a region that holds `need` bytes. */
  #keep(at: number, need: number): void {
    const old = this.region;
    if (need > old.scratchStart) {
      const bigger = Math.ceil(need / GROW_BYTES) * GROW_BYTES;
      this.region = anonymousRegion(bigger, this.#scratchBytes);
      this.region.bytes.set(old.bytes.subarray(at, this.end));
      old.release();
    } else {
      old.bytes.copyWithin(0, at, this.end);
    }
    this.end -= at;
    this.base += at;
  }
}
