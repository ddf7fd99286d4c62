/**
 * HOT: a capture kept in memory as it will be sent: edited, adapted to the device, in sending order. What a loop walks
 * again and again, and what `--preload-pcap` fills before the first packet leaves.
 *
 * Segments of anonymous memory hold records of 16 bytes header plus frame, 4-byte aligned, so a preloaded capture of
 * n bytes takes about n bytes (a pcap record header has 16 bytes, too).
 */
import { FrameBatch } from '../base/batch.ts';
import { FRAME_BYTES_MAX, plainRegion, type Region } from '../base/region.ts';
import { Route, type SendBatch } from './sendbatch.ts';

/** Record header: four u32. */
const SEC = 0;
const NSEC = 4;
const CAPLEN = 8;
const META = 12;
const HEADER_BYTES = 16;
/** Meta: the route, flags, and the link type in the upper half. */
const META_ROUTE = 0xff;
const META_LINKTYPE_SHIFT = 16;
const META_STARTS_FILE = 0x100;
const META_TRUNCATED = 0x200;

const SEGMENT_BYTES_MIN = 1 << 20;
/** Segments behind the first: a share of it, so that a wrong guess costs little. */
const NEXT_SEGMENT_BYTES = 32 << 20;
const SEGMENT_BYTES_MAX = 0x7fff_0000;
const SCRATCH_BYTES = 4 * FRAME_BYTES_MAX;

/** Makes memory for a segment: `sys/memory.ts` in production. The scratch tail serves edits made while looping. */
export type MakeRegion = (byteLength: number, scratchBytes: number) => Region;

export class Arena {
  readonly #make: MakeRegion;
  readonly #segments: Region[] = [];
  readonly #used: number[] = [];
  #segmentBytes: number;
  #segment = 0;
  #next = 0;
  packets = 0;
  frameBytes = 0;

  /**
   * `expectedBytes`: what the first segment is made for, the size of the inputs where it is known: an arena of one
   * segment can be sent from as it is (`region`). Memory is taken as it is filled.
   */
  constructor(make: MakeRegion, expectedBytes = 0) {
    this.#make = make;
    this.#segmentBytes = Math.min(SEGMENT_BYTES_MAX, Math.max(SEGMENT_BYTES_MIN, expectedBytes));
  }

  /** The memory that all frames lie in, or null where there is more than one segment. */
  get region(): Region | null {
    return this.#segments.length === 1 ? this.#segments[0]! : null;
  }

  /** Copies the frames of a prepared batch: the one copy of this path, made once, for any number of loops. */
  append(batch: SendBatch, from: number, to: number): void {
    for (let i = from; i < to; i++) {
      const caplen = batch.frames.caplen[i]!;
      const stored = batch.route[i] === Route.Elsewhere ? 0 : caplen;
      const segment = this.#reserve(HEADER_BYTES + stored);
      const at = this.#used[segment]!;
      const region = this.#segments[segment]!;
      const view = region.view;
      view.setUint32(at + SEC, batch.frames.sec[i]!, true);
      view.setUint32(at + NSEC, batch.frames.nsec[i]!, true);
      view.setUint32(at + CAPLEN, caplen, true);
      let meta = batch.route[i]! | (batch.frames.linktype[i]! << META_LINKTYPE_SHIFT);
      if (batch.startsFile && i === from) meta |= META_STARTS_FILE;
      if (caplen < batch.frames.len[i]!) meta |= META_TRUNCATED;
      view.setInt32(at + META, meta, true);
      if (stored > 0) copyFrame(batch.frames, i, region, at + HEADER_BYTES);
      this.#used[segment] = at + ((HEADER_BYTES + stored + 3) & ~3);
      this.packets++;
      this.frameBytes += stored;
    }
  }

  rewind(): void {
    this.#segment = 0;
    this.#next = 0;
  }

  /** Fills the batch with the next records of one segment; a record that starts a file starts a batch. 0 = end. */
  read(batch: SendBatch): number {
    while (this.#segment < this.#segments.length && this.#next >= this.#used[this.#segment]!) {
      this.#segment++;
      this.#next = 0;
    }
    batch.frames.count = 0;
    batch.startsFile = false;
    if (this.#segment >= this.#segments.length) return 0;
    const region = this.#segments[this.#segment]!;
    const used = this.#used[this.#segment]!;
    batch.frames.region = region;
    let count = 0;
    let at = this.#next;
    while (count < batch.frames.capacity && at < used) {
      const meta = region.view.getUint32(at + META, true);
      if ((meta & META_STARTS_FILE) !== 0) {
        if (count > 0) break;
        batch.startsFile = true;
      }
      at = this.#load(region.view, at, meta, batch, count++);
    }
    this.#next = at;
    batch.frames.count = count;
    return count;
  }

  release(): void {
    for (const region of this.#segments) region.release();
    this.#segments.length = 0;
    this.#used.length = 0;
  }

  #load(view: DataView, at: number, meta: number, batch: SendBatch, i: number): number {
    const frames = batch.frames;
    const caplen = view.getUint32(at + CAPLEN, true);
    const route = meta & META_ROUTE;
    frames.sec[i] = view.getUint32(at + SEC, true);
    frames.nsec[i] = view.getUint32(at + NSEC, true);
    frames.caplen[i] = caplen;
    frames.len[i] = (meta & META_TRUNCATED) !== 0 ? caplen + 1 : caplen;
    frames.at[i] = at + HEADER_BYTES;
    frames.linktype[i] = meta >>> META_LINKTYPE_SHIFT;
    batch.route[i] = route;
    const stored = route === Route.Elsewhere ? 0 : caplen;
    return at + ((HEADER_BYTES + stored + 3) & ~3);
  }

  #reserve(bytes: number): number {
    const last = this.#segments.length - 1;
    if (last >= 0 && this.#used[last]! + bytes <= this.#segmentBytes) return last;
    if (last >= 0) this.#segmentBytes = Math.max(NEXT_SEGMENT_BYTES, this.#segmentBytes >>> 3);
    this.#segments.push(this.#make(this.#segmentBytes, SCRATCH_BYTES));
    this.#used.push(0);
    return last + 1;
  }
}

/**
 * Four bytes a step: the frames of a capture are short, so `TypedArray.set` with a new view costs more. Not eight as
 * doubles: a bit pattern that is a signalling NaN need not survive.
 */
function copyFrame(frames: FrameBatch, i: number, to: Region, at: number): void {
  const from = frames.region.view;
  const start = frames.at[i]!;
  const length = frames.caplen[i]!;
  let k = 0;
  for (; k + 4 <= length; k += 4) to.view.setInt32(at + k, from.getInt32(start + k));
  for (; k < length; k++) to.view.setUint8(at + k, from.getUint8(start + k));
}

/** An empty batch to read an arena with. */
export function emptyFrames(capacity: number): FrameBatch {
  return new FrameBatch(capacity, plainRegion(0));
}
