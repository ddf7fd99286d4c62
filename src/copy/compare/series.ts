/**
 * The course of a comparison: histograms of a second each. When there are `SLOTS_MAX` of them, each two become one and
 * slots are twice as long: percentiles stay true however long the run is, and memory stays what it is (5.5 MB).
 */
import { HISTOGRAM_CELLS, histogramAdd, histogramQuantile } from '../../base/histogram.ts';
import { CompareCount, CompareHistogram } from './rows.ts';
import type { CompareTotals } from './totals.ts';

export const SLOTS_MAX = 480;
const SLOT_SECONDS = 1;
const SIDES = [CompareHistogram.ProductionLast, CompareHistogram.TargetLast] as const;
const COUNTED = [
  CompareCount.Compared,
  CompareCount.Same,
  CompareCount.MissingTarget,
  CompareCount.MissingProduction,
] as const;

interface Slot {
  readonly histograms: readonly [Int32Array, Int32Array];
  readonly counts: Float64Array;
}

/** One array a column; times to the last byte in ns, null where nothing was compared. */
export interface CompareCourse {
  readonly slotSeconds: number;
  /** Beginnings of the slots, seconds since the start. */
  readonly seconds: readonly number[];
  readonly compared: readonly number[];
  readonly differing: readonly number[];
  readonly missing: readonly number[];
  readonly production: CoursePercentiles;
  readonly target: CoursePercentiles;
}

export interface CoursePercentiles {
  readonly p50: readonly (number | null)[];
  readonly p99: readonly (number | null)[];
}

const emptySlot = (): Slot => ({
  histograms: [new Int32Array(HISTOGRAM_CELLS), new Int32Array(HISTOGRAM_CELLS)],
  counts: new Float64Array(COUNTED.length),
});

export class CompareSeries {
  #slots: Slot[] = [];
  #slotSeconds = SLOT_SECONDS;
  /** What the totals were when they were looked at last. */
  readonly #before: Slot = emptySlot();

  /** Takes what has come since the last call, a second ago, into the slot that most of it belongs to. */
  take(now: number, totals: CompareTotals): void {
    const seconds = Math.max(0, now - SLOT_SECONDS / 2);
    while (seconds / this.#slotSeconds >= SLOTS_MAX) this.#halve();
    const index = Math.floor(seconds / this.#slotSeconds);
    while (this.#slots.length <= index) this.#slots.push(emptySlot());
    const slot = this.#slots[index]!;
    COUNTED.forEach((count, i) => {
      slot.counts[i]! += totals.counts[count]! - this.#before.counts[i]!;
      this.#before.counts[i] = totals.counts[count]!;
    });
    SIDES.forEach((side, i) => {
      const from = totals.histograms[side]!;
      const before = this.#before.histograms[i as 0 | 1];
      const into = slot.histograms[i as 0 | 1];
      for (let cell = 0; cell < HISTOGRAM_CELLS; cell++) {
        into[cell]! += from[cell]! - before[cell]!;
        before[cell] = from[cell]!;
      }
    });
  }

  #halve(): void {
    const slots: Slot[] = [];
    for (let i = 0; i < this.#slots.length; i += 2) {
      const slot = this.#slots[i]!;
      const next = this.#slots[i + 1];
      if (next !== undefined) {
        histogramAdd(slot.histograms[0], next.histograms[0]);
        histogramAdd(slot.histograms[1], next.histograms[1]);
        for (let c = 0; c < COUNTED.length; c++) slot.counts[c]! += next.counts[c]!;
      }
      slots.push(slot);
    }
    this.#slots = slots;
    this.#slotSeconds *= 2;
  }

  course(): CompareCourse {
    const slots = this.#slots;
    const percentile = (side: 0 | 1, quantile: number): (number | null)[] =>
      slots.map(({ counts, histograms }) => (counts[0] === 0 ? null : histogramQuantile(histograms[side], quantile)));
    return {
      slotSeconds: this.#slotSeconds,
      seconds: slots.map((_, i) => i * this.#slotSeconds),
      compared: slots.map(({ counts }) => counts[0]!),
      differing: slots.map(({ counts }) => counts[0]! - counts[1]!),
      missing: slots.map(({ counts }) => counts[2]! + counts[3]!),
      production: { p50: percentile(0, 0.5), p99: percentile(0, 0.99) },
      target: { p50: percentile(1, 0.5), p99: percentile(1, 0.99) },
    };
  }
}
