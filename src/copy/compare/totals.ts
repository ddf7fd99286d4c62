/** Sums of the rows of all workers, former lives of crashed ones included. */
import { HISTOGRAM_CELLS, histogramAdd } from '../../base/histogram.ts';
import {
  COMPARE_COUNTS,
  COMPARE_HISTOGRAMS,
  CompareCount,
  type CompareRow,
  DIFFERENCES,
  SAMPLE_CELLS,
  SAMPLES_OF_KIND,
  STATUS_SLOTS,
} from './rows.ts';

export class CompareTotals {
  readonly counts: Float64Array = new Float64Array(COMPARE_COUNTS);
  readonly differing: Float64Array = new Float64Array(DIFFERENCES.length);
  readonly histograms: readonly Int32Array[] = Array.from(
    { length: COMPARE_HISTOGRAMS },
    () => new Int32Array(HISTOGRAM_CELLS),
  );
  /** Key: `CompareRow.statusKeys`. */
  readonly statuses: Map<number, number> = new Map();
  /** One array of `SAMPLE_CELLS` for each exchange that was kept, by kind. */
  readonly samples: readonly Float64Array[][] = DIFFERENCES.map(() => []);

  addRow(row: CompareRow): void {
    for (let i = 0; i < COMPARE_COUNTS; i++) this.counts[i]! += row.counts[i]!;
    row.histograms.forEach((cells, i) => {
      histogramAdd(this.histograms[i]!, cells);
    });
    for (let slot = 0; slot < STATUS_SLOTS; slot++) {
      if (row.statusCounts[slot]! > 0) this.#addStatus(row.statusKeys[slot]!, row.statusCounts[slot]!);
    }
    DIFFERENCES.forEach((_, kind) => {
      this.differing[kind]! += row.differing[kind]!;
    });
  }

  addSamples(row: CompareRow): void {
    DIFFERENCES.forEach((_, kind) => {
      const kept = Math.min(row.differing[kind]!, SAMPLES_OF_KIND);
      for (let i = 0; i < kept; i++) {
        const at = (kind * SAMPLES_OF_KIND + i) * SAMPLE_CELLS;
        this.samples[kind]!.push(row.samples.slice(at, at + SAMPLE_CELLS));
      }
    });
  }

  addTotals(other: CompareTotals): void {
    for (let i = 0; i < COMPARE_COUNTS; i++) this.counts[i]! += other.counts[i]!;
    other.histograms.forEach((cells, i) => {
      histogramAdd(this.histograms[i]!, cells);
    });
    for (const [key, count] of other.statuses) this.#addStatus(key, count);
    DIFFERENCES.forEach((_, kind) => {
      this.differing[kind]! += other.differing[kind]!;
      this.samples[kind]!.push(...other.samples[kind]!);
    });
  }

  #addStatus(key: number, count: number): void {
    this.statuses.set(key, (this.statuses.get(key) ?? 0) + count);
  }

  /** Keeps a row that is about to begin anew; what waited there is lost. */
  retire(row: CompareRow): void {
    this.addRow(row);
    this.addSamples(row);
    this.counts[CompareCount.Waiting] = 0;
    for (const samples of this.samples) samples.splice(SAMPLES_OF_KIND);
    row.clear();
  }
}
