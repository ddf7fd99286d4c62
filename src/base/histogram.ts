/**
 * HOT: a log-linear histogram of nanoseconds in an `Int32Array` that may be shared memory: 16 cells per power of two,
 * so a percentile is exact to 1/16 (6 %). One record costs about 3 ns (`perf_hooks.createHistogram`: 39).
 */
const SUB_BITS = 4;
const SUB = 1 << SUB_BITS;
/** Powers of two above the linear start: up to 2^47 ns, 39 hours. */
const OCTAVES = 44;
export const HISTOGRAM_CELLS: number = SUB * (OCTAVES + 1);

/** Counts one value; negative ones count as 0. */
export function histogramRecord(cells: Int32Array, ns: number): void {
  const index = cellOf(ns);
  cells[index] = cells[index]! + 1;
}

function cellOf(ns: number): number {
  if (!(ns >= SUB)) return ns > 0 ? ns | 0 : 0;
  // Below 2^31 the integer path; above, scale down first (2^20 keeps the top bits that matter).
  let value = ns;
  let octave = 0;
  if (value >= 0x4000_0000) {
    value = value / 0x10_0000;
    octave = 20;
  }
  const top = 31 - Math.clz32(value | 0);
  octave += top - SUB_BITS + 1;
  if (octave > OCTAVES) return HISTOGRAM_CELLS - 1;
  return octave * SUB + (((value | 0) >>> (top - SUB_BITS)) & (SUB - 1));
}

/** Smallest value of a cell, ns. */
export function histogramFloor(index: number): number {
  const octave = Math.floor(index / SUB);
  const sub = index % SUB;
  return octave === 0 ? sub : (SUB + sub) * 2 ** (octave - 1);
}

/** Adds the counts of `from` to `into`. */
export function histogramAdd(into: Int32Array, from: Int32Array): void {
  for (let i = 0; i < HISTOGRAM_CELLS; i++) into[i] = into[i]! + from[i]!;
}

/** Value below which the share `quantile` (0..1) of the records lies, ns; 0 when there are none. */
export function histogramQuantile(cells: Int32Array, quantile: number): number {
  let total = 0;
  for (let i = 0; i < HISTOGRAM_CELLS; i++) total += cells[i]!;
  if (total === 0) return 0;
  const wanted = Math.max(1, Math.ceil(total * quantile));
  let seen = 0;
  for (let i = 0; i < HISTOGRAM_CELLS; i++) {
    seen += cells[i]!;
    if (seen >= wanted) return histogramFloor(i);
  }
  return histogramFloor(HISTOGRAM_CELLS - 1);
}
