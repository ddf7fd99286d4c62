/**
 * HOT: what a worker has found out by comparing, in shared memory: it is the only writer, the main thread reads. Of
 * fixed size: counters, histograms, a table of pairs of statuses, samples of exchanges that differ.
 */
import { HISTOGRAM_CELLS, histogramRecord } from '../../base/histogram.ts';
import { Rng } from '../../base/rng.ts';

export const CompareCount = {
  /** Requests that both sides answered. */
  Compared: 0,
  /** Of them: the same status and as many bytes. */
  Same: 1,
  /** Of them: one status line at least was seen. */
  Http: 2,
  StatusEqual: 3,
  BytesEqual: 4,
  /** Reply bytes of those compared. */
  ProductionBytes: 5,
  TargetBytes: 6,
  /** Answered by one side only; by neither. */
  MissingTarget: 7,
  MissingProduction: 8,
  Unanswered: 9,
  /** The agent ended before both halves were there. */
  Unfinished: 10,
  /** No room: not compared. */
  NoRoom: 11,
  /** Packets of production that were looked at; data that belongs to no copied request; data that came again. */
  ProductionPackets: 12,
  ProductionUnpaired: 13,
  ProductionRetransmitted: 14,
  /** Pairs of statuses beyond the table. */
  StatusesBeyond: 15,
  /** Exchanges that wait now. */
  Waiting: 16,
  /** Sent before the reply to the one before: their replies cannot be told apart, unless both sides' are alike. */
  Early: 17,
} as const;
export type CompareCount = (typeof CompareCount)[keyof typeof CompareCount];
export const COMPARE_COUNTS = 18;

/** Histograms: times to the first and to the last byte of a reply, ns; lengths of replies, bytes. */
export const CompareHistogram = {
  ProductionFirst: 0,
  TargetFirst: 1,
  ProductionLast: 2,
  TargetLast: 3,
  ProductionBytes: 4,
  TargetBytes: 5,
} as const;
export type CompareHistogram = (typeof CompareHistogram)[keyof typeof CompareHistogram];
export const COMPARE_HISTOGRAMS = 6;

/** Slots of the table of pairs: production's status in the high, the target's in the low half of a key. */
export const STATUS_SLOTS = 256;

/** Ways to differ; of each a sample is kept. The first that applies. */
export const DIFFERENCES = ['status', 'missingTarget', 'missingProduction', 'bytes'] as const;
export type DifferenceKind = (typeof DIFFERENCES)[number];
export const SAMPLES_OF_KIND = 100;

/** Cells of a sample. */
export const Sample = {
  Address0: 0,
  Port: 4,
  Target: 5,
  IsIpv6: 6,
  Ordinal: 7,
  /** When the request was sent, ns on the engine's clock. */
  At: 8,
  ProductionStatus: 9,
  TargetStatus: 10,
  ProductionBytes: 11,
  TargetBytes: 12,
  /** Times to the first and the last byte, ns; NaN: no reply. */
  ProductionFirst: 13,
  ProductionLast: 14,
  TargetFirst: 15,
  TargetLast: 16,
} as const;
export const SAMPLE_CELLS = 17;

const KINDS = DIFFERENCES.length;
const COUNT_BYTES = COMPARE_COUNTS * 8;
const KIND_BYTES = KINDS * 8;
const SAMPLE_BYTES = KINDS * SAMPLES_OF_KIND * SAMPLE_CELLS * 8;
const PAIR_BYTES = STATUS_SLOTS * 8;
const ROW_BYTES = COUNT_BYTES + KIND_BYTES + SAMPLE_BYTES + PAIR_BYTES * 2 + COMPARE_HISTOGRAMS * HISTOGRAM_CELLS * 4;

/** Memory for the rows of `workers` workers. */
export function compareBuffer(workers: number): SharedArrayBuffer {
  return new SharedArrayBuffer(workers * ROW_BYTES);
}

export class CompareRow {
  readonly counts: Float64Array;
  /** Exchanges of each kind of difference; the samples are a random choice of them. */
  readonly differing: Float64Array;
  readonly samples: Float64Array;
  readonly statusKeys: Float64Array;
  readonly statusCounts: Float64Array;
  readonly histograms: readonly Int32Array[];
  readonly #rng: Rng;

  constructor(buffer: SharedArrayBuffer, worker: number) {
    let end = worker * ROW_BYTES;
    const take = (bytes: number): number => {
      end += bytes;
      return end - bytes;
    };
    this.counts = new Float64Array(buffer, take(COUNT_BYTES), COMPARE_COUNTS);
    this.differing = new Float64Array(buffer, take(KIND_BYTES), KINDS);
    this.samples = new Float64Array(buffer, take(SAMPLE_BYTES), KINDS * SAMPLES_OF_KIND * SAMPLE_CELLS);
    this.statusKeys = new Float64Array(buffer, take(PAIR_BYTES), STATUS_SLOTS);
    this.statusCounts = new Float64Array(buffer, take(PAIR_BYTES), STATUS_SLOTS);
    this.histograms = Array.from(
      { length: COMPARE_HISTOGRAMS },
      () => new Int32Array(buffer, take(HISTOGRAM_CELLS * 4), HISTOGRAM_CELLS),
    );
    this.#rng = new Rng(worker + 1);
  }

  bump(count: CompareCount): void {
    this.counts[count]! += 1;
  }

  record(histogram: CompareHistogram, value: number): void {
    histogramRecord(this.histograms[histogram]!, value);
  }

  /** Counts a pair of statuses, either of them 0 where there was none. */
  addStatuses(production: number, target: number): void {
    // Never 0, which is a free slot.
    const key = production * 0x10000 + target + 1;
    let slot = (production * 31 + target) % STATUS_SLOTS;
    for (let n = 0; n < STATUS_SLOTS; n++) {
      if (this.statusKeys[slot] === 0) this.statusKeys[slot] = key;
      if (this.statusKeys[slot] === key) {
        this.statusCounts[slot]! += 1;
        return;
      }
      slot = (slot + 1) % STATUS_SLOTS;
    }
    this.bump(CompareCount.StatusesBeyond);
  }

  /** Counts a difference; where a sample of it goes (offset in `samples`), or -1: this one is not kept. */
  sampleAt(kind: number): number {
    const seen = this.differing[kind]!;
    this.differing[kind] = seen + 1;
    // Each has the same chance to be among those kept (Vitter 1985, algorithm R).
    const slot = seen < SAMPLES_OF_KIND ? seen : this.#rng.below(seen + 1);
    return slot < SAMPLES_OF_KIND ? (kind * SAMPLES_OF_KIND + slot) * SAMPLE_CELLS : -1;
  }

  /** Back to nothing. */
  clear(): void {
    for (const cells of [this.counts, this.differing, this.samples, this.statusKeys, this.statusCounts]) cells.fill(0);
    for (const cells of this.histograms) cells.fill(0);
  }
}
