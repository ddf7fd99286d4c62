/**
 * A window that slides over the uncompressed bytes of a capture. Readers parse records in it; frames are offsets into
 * its region. One implementation maps a file, the other streams into anonymous memory; nothing is ever read whole.
 */
import type { ErrorCode } from '../base/errors.ts';
import type { Region } from '../base/region.ts';
import { fileRegion, MAP_ALIGN_BYTES, populate } from '../sys/memory.ts';

/** Why a window ends before the capture does. `what` continues a sentence that names the file. */
export interface WindowFault {
  readonly code: ErrorCode;
  readonly what: string;
}

export interface CaptureWindow {
  /** Where the bytes lie now. Replaced or overwritten by `show`. */
  readonly region: Region;
  /** Region offset behind the last valid byte. */
  readonly end: number;
  /** Offset in the uncompressed stream of the region's byte 0; may be negative. */
  readonly base: number;
  /** Nothing comes behind `end`. */
  readonly ended: boolean;
  /** Why nothing comes, when that is not the end of the capture. */
  readonly fault: WindowFault | null;
  /** The caller gave up waiting: `ended`, but neither the end nor a fault. */
  readonly stopped: boolean;
  /** Bytes of the whole stream, -1 where not known. */
  readonly byteLength: number;
  /**
   * Moves the window so that `need` bytes from stream offset `from` on lie in it, more where that costs nothing, fewer
   * when `ended`. Returns the region offset of `from`, which is beyond `end` when the stream is shorter than that.
   * Everything in front of `from` may be gone. Preconditions: `from` never decreases; frames handed out are done with.
   */
  show(from: number, need: number): number;
  close(): void;
}

/** Bytes whose pages are mapped at a time: beyond it nothing is gained, and page tables stay in the cache. */
const POPULATE_BYTES = 1 << 20;

/** Window over a regular file, mapped `MAP_PRIVATE`: the cost of a window is two system calls and its page faults. */
export class MappedWindow implements CaptureWindow {
  region: Region;
  end: number;
  base = 0;
  ended: boolean;
  readonly fault: null = null;
  readonly stopped = false;
  readonly byteLength: number;
  readonly #fd: number;
  readonly #closeFd: (fd: number) => void;
  readonly #windowBytes: number;
  readonly #scratchBytes: number;
  /** Region offset up to which pages are mapped. */
  #populated = 0;

  /** Takes over `fd`. Preconditions: `byteLength` > 0. */
  constructor(
    fd: number,
    closeFd: (fd: number) => void,
    byteLength: number,
    windowBytes: number,
    scratchBytes: number,
  ) {
    this.#fd = fd;
    this.#closeFd = closeFd;
    this.#windowBytes = Math.max(MAP_ALIGN_BYTES, windowBytes);
    this.#scratchBytes = scratchBytes;
    this.byteLength = byteLength;
    this.end = Math.min(this.#windowBytes, byteLength);
    this.ended = this.end === byteLength;
    this.region = fileRegion(fd, 0, this.end, scratchBytes);
  }

  show(from: number, need: number): number {
    let at = from - this.base;
    if (!this.ended && at + need > this.end) at = this.#slide(from, need);
    // half a step ahead of the records, since a batch reads on behind `need`
    if (at + need + POPULATE_BYTES / 2 > this.#populated && this.#populated < this.end) {
      const start = Math.max(this.#populated, Math.min(at, this.end - 1));
      const length = Math.min(Math.max(POPULATE_BYTES, at + need - start), this.end - start);
      populate(this.region, start, length);
      this.#populated = start + length;
    }
    return at;
  }

  #slide(from: number, need: number): number {
    const base = Math.min(from, this.byteLength - 1);
    const aligned = base - (base % MAP_ALIGN_BYTES);
    const wanted = Math.max(this.#windowBytes, from - aligned + need);
    const length = Math.min(wanted, this.byteLength - aligned);
    this.region.release();
    this.region = fileRegion(this.#fd, aligned, length, this.#scratchBytes);
    this.base = aligned;
    this.#populated = 0;
    this.end = length;
    this.ended = aligned + length === this.byteLength;
    return from - aligned;
  }

  close(): void {
    this.region.release();
    this.#closeFd(this.#fd);
  }
}
