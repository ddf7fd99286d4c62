/** A comparison as the main thread sees it: sums, percentiles, the course of it, and which exchanges differ. */
import { histogramFloor, histogramQuantile } from '../../base/histogram.ts';
import { addressText } from '../agent/words.ts';
import {
  CompareCount,
  CompareHistogram,
  CompareRow,
  compareBuffer,
  DIFFERENCES,
  type DifferenceKind,
  Sample,
} from './rows.ts';
import { type CompareCourse, CompareSeries } from './series.ts';
import { CompareTotals } from './totals.ts';

export interface Percentiles {
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly max: number;
}

/** One side's replies among those compared. */
export interface SideSnapshot {
  readonly bytes: number;
  /** From the request's last byte to the reply's first, and to its last. */
  readonly firstByteNs: Percentiles;
  readonly lastByteNs: Percentiles;
}

export interface StatusPair {
  /** 0: the reply had no status line. */
  readonly production: number;
  readonly target: number;
  readonly count: number;
}

export interface CompareSnapshot {
  /** Requests that both sides answered; of them, those with the same status and as many bytes. */
  readonly compared: number;
  readonly same: number;
  readonly http: number;
  readonly statusEqual: number;
  readonly bytesEqual: number;
  readonly missingTarget: number;
  readonly missingProduction: number;
  readonly unanswered: number;
  readonly unfinished: number;
  /** Sent before the reply to the one before had come: their replies cannot be told apart. */
  readonly early: number;
  /** Not compared, as there was no room; waiting for their other half now. */
  readonly noRoom: number;
  readonly waiting: number;
  readonly productionPackets: number;
  /** Data of production that answers no copied request. */
  readonly productionUnpaired: number;
  readonly production: SideSnapshot;
  readonly target: SideSnapshot;
  /** Most frequent first. */
  readonly statuses: readonly StatusPair[];
}

/** Bars of a histogram: values of [from, to), ns or bytes. */
export interface Distribution {
  readonly from: readonly number[];
  readonly production: readonly number[];
  readonly target: readonly number[];
}

export interface DifferingExchange {
  readonly kind: DifferenceKind;
  readonly client: string;
  readonly clientPort: number;
  /** `10.0.0.9:80` */
  readonly target: string;
  /** Of the session; 0: what the server said before the first one. */
  readonly request: number;
  /** When it was sent to the target, seconds since the start; null: it answers none. */
  readonly seconds: number | null;
  readonly production: DifferingReply | null;
  readonly targetReply: DifferingReply | null;
}

export interface DifferingReply {
  readonly status: number;
  readonly bytes: number;
  readonly firstByteNs: number | null;
  readonly lastByteNs: number | null;
}

export interface CompareReport extends CompareSnapshot {
  readonly course: CompareCourse;
  readonly firstByteNs: Distribution;
  readonly lastByteNs: Distribution;
  readonly bytes: Distribution;
  /** How many exchanges of each kind there are; `exchanges` is a sample of them. */
  readonly differing: Readonly<Record<DifferenceKind, number>>;
  readonly exchanges: readonly DifferingExchange[];
}

export interface NamedTarget {
  readonly host: string;
  readonly port: number;
}

export class Comparison {
  readonly buffer: SharedArrayBuffer;
  readonly #rows: readonly CompareRow[];
  /** What crashed workers had found. */
  readonly #before = new CompareTotals();
  readonly #series = new CompareSeries();

  constructor(workers: number) {
    this.buffer = compareBuffer(workers);
    this.#rows = Array.from({ length: workers }, (_, worker) => new CompareRow(this.buffer, worker));
  }

  retire(worker: number): void {
    this.#before.retire(this.#rows[worker]!);
  }

  /** Once a second, for the course. */
  sample(seconds: number): void {
    this.#series.take(seconds, this.#totals());
  }

  #totals(): CompareTotals {
    const totals = new CompareTotals();
    totals.addTotals(this.#before);
    for (const row of this.#rows) totals.addRow(row);
    return totals;
  }

  snapshot(): CompareSnapshot {
    return snapshotOf(this.#totals());
  }

  report(targets: readonly NamedTarget[]): CompareReport {
    const totals = this.#totals();
    for (const row of this.#rows) totals.addSamples(row);
    const { histograms } = totals;
    const distribution = (production: CompareHistogram, target: CompareHistogram): Distribution =>
      distributionOf(histograms[production]!, histograms[target]!);
    return {
      ...snapshotOf(totals),
      course: this.#series.course(),
      firstByteNs: distribution(CompareHistogram.ProductionFirst, CompareHistogram.TargetFirst),
      lastByteNs: distribution(CompareHistogram.ProductionLast, CompareHistogram.TargetLast),
      bytes: distribution(CompareHistogram.ProductionBytes, CompareHistogram.TargetBytes),
      differing: Object.fromEntries(DIFFERENCES.map((kind, i) => [kind, totals.differing[i]!])) as Record<
        DifferenceKind,
        number
      >,
      exchanges: totals.samples.flatMap((samples, kind) =>
        samples.map((sample) => exchangeOf(DIFFERENCES[kind]!, sample, targets)),
      ),
    };
  }
}

function snapshotOf({ counts, histograms, statuses }: CompareTotals): CompareSnapshot {
  const side = (bytes: CompareCount, first: CompareHistogram, last: CompareHistogram): SideSnapshot => ({
    bytes: counts[bytes]!,
    firstByteNs: percentilesOf(histograms[first]!),
    lastByteNs: percentilesOf(histograms[last]!),
  });
  return {
    compared: counts[CompareCount.Compared]!,
    same: counts[CompareCount.Same]!,
    http: counts[CompareCount.Http]!,
    statusEqual: counts[CompareCount.StatusEqual]!,
    bytesEqual: counts[CompareCount.BytesEqual]!,
    missingTarget: counts[CompareCount.MissingTarget]!,
    missingProduction: counts[CompareCount.MissingProduction]!,
    unanswered: counts[CompareCount.Unanswered]!,
    unfinished: counts[CompareCount.Unfinished]!,
    early: counts[CompareCount.Early]!,
    noRoom: counts[CompareCount.NoRoom]!,
    waiting: counts[CompareCount.Waiting]!,
    productionPackets: counts[CompareCount.ProductionPackets]!,
    productionUnpaired: counts[CompareCount.ProductionUnpaired]!,
    production: side(CompareCount.ProductionBytes, CompareHistogram.ProductionFirst, CompareHistogram.ProductionLast),
    target: side(CompareCount.TargetBytes, CompareHistogram.TargetFirst, CompareHistogram.TargetLast),
    statuses: [...statuses]
      .map(([key, count]) => ({ production: (key - 1) >>> 16, target: (key - 1) & 0xffff, count }))
      .sort((a, b) => b.count - a.count || a.production - b.production || a.target - b.target),
  };
}

function percentilesOf(cells: Int32Array): Percentiles {
  return {
    p50: histogramQuantile(cells, 0.5),
    p90: histogramQuantile(cells, 0.9),
    p99: histogramQuantile(cells, 0.99),
    max: histogramQuantile(cells, 1),
  };
}

/** Four bars for each doubling, from the least value that occurs often enough to be seen to the greatest. */
function distributionOf(production: Int32Array, target: Int32Array): Distribution {
  const bars = (cells: Int32Array): number[] => {
    const sums: number[] = [];
    for (let cell = 0; cell < cells.length; cell += CELLS_OF_BAR) {
      let sum = 0;
      for (let i = 0; i < CELLS_OF_BAR; i++) sum += cells[cell + i]!;
      sums.push(sum);
    }
    return sums;
  };
  const [a, b] = [bars(production), bars(target)];
  const most = Math.max(...a, ...b);
  if (most === 0) return { from: [], production: [], target: [] };
  // A few that are far from all others would leave no room for them: they count with the first and the last bar.
  const isShown = (i: number): boolean => Math.max(a[i]!, b[i]!) >= most * BAR_SHARE_MIN;
  const shown = a.map((_, i) => i).filter(isShown);
  const [first, end] = [shown[0]!, shown.at(-1)! + 1];
  for (const sums of [a, b]) {
    for (let i = 0; i < first; i++) sums[first]! += sums[i]!;
    for (let i = end; i < sums.length; i++) sums[end - 1]! += sums[i]!;
  }
  const from = a.map((_, i) => histogramFloor(i * CELLS_OF_BAR));
  return { from: from.slice(first, end), production: a.slice(first, end), target: b.slice(first, end) };
}

const CELLS_OF_BAR = 4;
const BAR_SHARE_MIN = 0.002;

function exchangeOf(kind: DifferenceKind, cells: Float64Array, targets: readonly NamedTarget[]): DifferingExchange {
  const at = (cell: number): number => cells[cell]!;
  const words = [0, 1, 2, 3].map((word) => at(Sample.Address0 + word) >>> 0);
  const isIpv6 = at(Sample.IsIpv6) === 1;
  const orNull = (value: number): number | null => (Number.isNaN(value) ? null : value);
  const reply = (status: number, bytes: number, first: number, last: number): DifferingReply | null =>
    at(bytes) === 0
      ? null
      : { status: at(status), bytes: at(bytes), firstByteNs: orNull(at(first)), lastByteNs: orNull(at(last)) };
  const { host, port } = targets[at(Sample.Target)]!;
  const seconds = orNull(at(Sample.At));
  return {
    kind,
    client: addressText(isIpv6 ? (words as unknown as readonly [number, number, number, number]) : [words[0]!]),
    clientPort: at(Sample.Port),
    target: `${host.includes(':') ? `[${host}]` : host}:${port}`,
    request: at(Sample.Ordinal),
    seconds: seconds === null ? null : seconds / 1e9,
    production: reply(Sample.ProductionStatus, Sample.ProductionBytes, Sample.ProductionFirst, Sample.ProductionLast),
    targetReply: reply(Sample.TargetStatus, Sample.TargetBytes, Sample.TargetFirst, Sample.TargetLast),
  };
}
