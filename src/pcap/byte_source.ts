/** Bytes of a capture in their order: from a descriptor, or decoded from it. Blocks; nothing is read whole. */

import type { Region } from '../base/region.ts';
import { groupDigits } from '../base/units.ts';
import { Decode, type Decoder, GzipDecoder, ZstdDecoder } from '../sys/compression.ts';
import { describeErrno } from '../sys/errno.ts';
import { copyBytes, isTransient, readInto, waitReadable } from '../sys/file.ts';
import { anonymousRegion } from '../sys/memory.ts';
import type { WindowFault } from './window.ts';

export interface ByteSource {
  /** Why `fill` returned 0, when that is not the end. */
  readonly fault: WindowFault | null;
  /** The wait was given up because the caller's `shouldStop` said so. */
  readonly stopped: boolean;
  /** Puts 1 to `capacity` bytes to region offset `at`. 0: the end, a fault, or stopped. */
  fill(region: Region, at: number, capacity: number): number;
  close(): void;
}

/** Input buffer: several pipe buffers, small enough to stay in a core's cache. */
const INPUT_BYTES = 262_144;
/** How soon a blocked wait sees `shouldStop`. */
const STOP_POLL_MS = 100;

/** A descriptor's bytes, with a buffer in front from which the first bytes can be looked at. */
export class DescriptorSource implements ByteSource {
  fault: WindowFault | null = null;
  stopped = false;
  /** Unread bytes are input.bytes[begin, end). */
  readonly input: Region = anonymousRegion(INPUT_BYTES);
  begin = 0;
  end = 0;
  readonly #fd: number;
  readonly #closeFd: ((fd: number) => void) | null;
  readonly #mustWait: boolean;
  readonly #shouldStop: (() => boolean) | null;
  #ended = false;

  /** `mustWait`: a pipe, socket or terminal. `closeFd`: null where the descriptor is the caller's. */
  constructor(
    fd: number,
    closeFd: ((fd: number) => void) | null,
    mustWait: boolean,
    shouldStop: (() => boolean) | null,
  ) {
    this.#fd = fd;
    this.#closeFd = closeFd;
    this.#mustWait = mustWait;
    this.#shouldStop = shouldStop;
  }

  /** Blocks until `count` bytes are buffered or nothing more comes. Returns the bytes buffered. */
  peek(count: number): number {
    while (this.end - this.begin < count && this.#read(this.input, this.end, INPUT_BYTES - this.end) > 0);
    return this.end - this.begin;
  }

  /** Replaces an empty buffer. Returns the bytes buffered, 0 at the end. */
  refill(): number {
    this.begin = 0;
    this.end = 0;
    return this.#read(this.input, 0, INPUT_BYTES);
  }

  fill(region: Region, at: number, capacity: number): number {
    const buffered = Math.min(this.end - this.begin, capacity);
    if (buffered === 0) return this.#readTo(region, at, capacity);
    copyBytes(region.address + at, this.input.address + this.begin, buffered);
    this.begin += buffered;
    return buffered;
  }

  close(): void {
    this.input.release();
    this.#closeFd?.(this.#fd);
  }

  #read(region: Region, at: number, capacity: number): number {
    const bytes = this.#readTo(region, at, capacity);
    this.end += bytes;
    return bytes;
  }

  #readTo(region: Region, at: number, capacity: number): number {
    while (!this.#ended) {
      if (this.#mustWait && !this.#waitReadable()) return 0;
      const result = readInto(this.#fd, region.address + at, capacity);
      if (result > 0) return result;
      if (isTransient(result)) continue;
      this.#ended = true;
      if (result < 0) this.fault = { code: 'FILE', what: `reading failed: ${describeErrno(-result)}` };
    }
    return 0;
  }

  /** False: stopped. */
  #waitReadable(): boolean {
    const shouldStop = this.#shouldStop;
    if (shouldStop === null) return waitReadable(this.#fd, -1);
    while (!waitReadable(this.#fd, STOP_POLL_MS)) {
      if (!shouldStop()) continue;
      this.stopped = true;
      return false;
    }
    return true;
  }
}

export type Compression = 'none' | 'gzip' | 'zstd';

/** Bytes that `compressionOf` looks at. */
export const COMPRESSION_MAGIC_BYTES = 4;

const ZSTD_MAGIC = 0xfd2fb528;
/** Skippable frames: 0x184d2a50 to 0x184d2a5f. */
const ZSTD_SKIPPABLE = 0x184d2a50;

export function compressionOf(view: DataView, at: number, available: number): Compression {
  if (available >= 2 && view.getUint16(at) === 0x1f8b) return 'gzip';
  if (available < COMPRESSION_MAGIC_BYTES) return 'none';
  const word = view.getUint32(at, true);
  return word === ZSTD_MAGIC || (word & 0xfffffff0) === ZSTD_SKIPPABLE ? 'zstd' : 'none';
}

/** Decoded bytes of a gzip or zstd stream; members or frames that follow one another are one stream. */
export class DecodedSource implements ByteSource {
  fault: WindowFault | null = null;
  readonly #source: DescriptorSource;
  readonly #decoder: Decoder;
  readonly #kind: Compression;
  /** Compressed bytes taken. */
  #taken = 0;
  /** Between two members: nothing begun, so the end of the input is the end. */
  #between = false;
  #done = false;

  constructor(source: DescriptorSource, kind: Compression) {
    this.#source = source;
    this.#kind = kind;
    this.#decoder = kind === 'gzip' ? new GzipDecoder() : new ZstdDecoder();
  }

  get stopped(): boolean {
    return this.#source.stopped;
  }

  fill(region: Region, at: number, capacity: number): number {
    const source = this.#source;
    const decoder = this.#decoder;
    while (!this.#done) {
      // a decoder may still hold output after it has taken all input, so it is asked before more is waited for
      const status = this.#between
        ? Decode.More
        : decoder.step(source.input.address + source.begin, source.end - source.begin, region.address + at, capacity);
      const produced = this.#between ? 0 : decoder.produced;
      if (!this.#between) {
        source.begin += decoder.consumed;
        this.#taken += decoder.consumed;
      }
      if (status === Decode.FrameEnd) this.#between = true;
      if (status === Decode.Corrupt) this.#fail(`${this.#kind} data is corrupt (${decoder.why})`);
      if (produced > 0) return produced;
      if (status === Decode.Corrupt) return 0;
      if (source.begin === source.end && source.refill() === 0) this.#inputEnded();
      if (this.#between && !this.#done) this.#nextMember();
    }
    return 0;
  }

  close(): void {
    this.#decoder.close();
    this.#source.close();
  }

  #inputEnded(): void {
    if (this.#source.fault !== null) this.fault = this.#source.fault;
    else if (!this.#between && !this.#source.stopped) this.#fail(`the ${this.#kind} data ends early`);
    this.#done = true;
  }

  /** After a complete member: zero padding is skipped, another member begun, anything else refused. */
  #nextMember(): void {
    const source = this.#source;
    if (this.#kind === 'zstd') {
      this.#between = false;
      return;
    }
    while (source.begin < source.end && source.input.bytes[source.begin] === 0) {
      source.begin++;
      this.#taken++;
    }
    if (source.begin === source.end) return;
    if (source.input.bytes[source.begin] !== 0x1f) {
      this.#fail(`something that is not ${this.#kind} follows the ${this.#kind} data`);
      return;
    }
    this.#decoder.restart();
    this.#between = false;
  }

  #fail(what: string): void {
    this.#done = true;
    this.fault = { code: 'FORMAT', what: `${what} at compressed byte ${groupDigits(this.#taken)}` };
  }
}
