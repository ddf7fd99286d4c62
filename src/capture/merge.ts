/**
 * HOT: frames of several sources in the order of their stamps, as runs of one source where they lie.
 *
 * A source with nothing to read may still get a frame that is older than those of the others: the kernel hands a block
 * over when it is full or `retireMs` have passed. So a frame waits until every source has a later one, or until none
 * with an earlier stamp can come any more: at most `holdMs`, and not at all where its own source's buffer is filling.
 * No packet is lost for the sake of order.
 */
import { FrameBatch } from '../base/batch.ts';
import { plainRegion } from '../base/region.ts';
import type { CaptureSource } from '../device/capture_source.ts';
import { RING_BATCH_FRAMES } from '../device/packet_ring.ts';

/** What is known of one source: frames read and not handed out, and when they were read. */
interface Head {
  readonly source: CaptureSource;
  readonly batch: FrameBatch;
  at: number;
  readMs: number;
}

/** Timers of the kernel are late by some milliseconds, and a block may begin just behind a tick of its timer. */
const TIMER_SLACK_MS = 20;

/** How long a frame may wait for those of others, with blocks that are handed over after `retireMs`. */
export function holdOf(retireMs: number): number {
  return 2 * retireMs + TIMER_SLACK_MS;
}

export class SourceMerge {
  readonly #heads: readonly Head[];
  readonly #holdMs: number;
  readonly #nowMs: () => number;
  readonly #wallMs: () => number;
  /** Frames are here that wait for those of others. */
  isHolding = false;

  /** `nowMs`: a clock that does not jump; `wallMs`: milliseconds since 1970, as stamps count. */
  constructor(
    sources: readonly CaptureSource[],
    holdMs: number,
    nowMs: () => number = () => performance.now(),
    wallMs: () => number = () => Date.now(),
  ) {
    this.#heads = sources.map((source) => ({
      source,
      batch: new FrameBatch(RING_BATCH_FRAMES, plainRegion(0)),
      at: 0,
      readMs: 0,
    }));
    this.#holdMs = holdMs;
    this.#nowMs = nowMs;
    this.#wallMs = wallMs;
  }

  /** The next run of frames into `out`, valid until the next call. Returns their number; 0: none yet. */
  read(out: FrameBatch): number {
    const nowMs = this.#nowMs();
    const isOneQuiet = this.#fill(nowMs);
    const first = this.#earliest(null);
    this.isHolding = false;
    out.count = 0;
    if (first === null) return 0;
    const isForced = !isOneQuiet || nowMs - first.readMs >= this.#holdMs || first.source.isFilling === true;
    // Seconds as a number are exact to 240 ns now: enough for what has to wait, not to compare frames by.
    const until = isForced ? Number.POSITIVE_INFINITY : (this.#wallMs() - this.#holdMs) / 1000;
    const count = takeRun(first, this.#earliest(first), until, out);
    this.isHolding = count === 0;
    return count;
  }

  /** Reads where everything was handed out. True: a source has nothing, and is not at its end. */
  #fill(nowMs: number): boolean {
    let isOneQuiet = false;
    for (const head of this.#heads) {
      if (head.at < head.batch.count || head.source.ended) continue;
      head.at = 0;
      head.readMs = nowMs;
      if (head.source.read(head.batch) === 0 && !head.source.ended) isOneQuiet = true;
    }
    return isOneQuiet;
  }

  /** The head with the earliest frame, `other` left out; null: there is none. Of equal ones the first. */
  #earliest(other: Head | null): Head | null {
    let found: Head | null = null;
    for (const head of this.#heads) {
      if (head === other || head.at >= head.batch.count) continue;
      if (found === null || isEarlier(head.batch, head.at, found.batch, found.at)) found = head;
    }
    return found;
  }

  /** Gives up the frames that were read and not handed out. Returns how many. To be called before the sources shed. */
  shed(): number {
    let frames = 0;
    for (const head of this.#heads) {
      frames += head.batch.count - head.at;
      head.at = head.batch.count;
    }
    return frames;
  }
}

function isEarlier(a: FrameBatch, i: number, b: FrameBatch, k: number): boolean {
  return a.sec[i]! === b.sec[k]! ? a.nsec[i]! < b.nsec[k]! : a.sec[i]! < b.sec[k]!;
}

/** Frames of `head` up to the first one of `next`, with stamps up to `until` seconds, into `out`. */
function takeRun(head: Head, next: Head | null, until: number, out: FrameBatch): number {
  const { batch } = head;
  const from = head.at;
  let count = 0;
  for (let i = from; i < batch.count && count < out.capacity; i++, count++) {
    if (batch.sec[i]! + batch.nsec[i]! * 1e-9 > until) break;
    if (next !== null && isEarlier(next.batch, next.at, batch, i)) break;
    out.at[count] = batch.at[i]!;
    out.caplen[count] = batch.caplen[i]!;
    out.len[count] = batch.len[i]!;
    out.sec[count] = batch.sec[i]!;
    out.nsec[count] = batch.nsec[i]!;
    out.linktype[count] = batch.linktype[i]!;
    out.interfaceIndex[count] = batch.interfaceIndex[i]!;
    out.sum[count] = batch.sum[i]!;
  }
  head.at = from + count;
  out.region = batch.region;
  out.headroomBytes = batch.headroomBytes;
  out.numberFirst = batch.numberFirst + from;
  out.count = count;
  return count;
}
