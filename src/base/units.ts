/** Units as operators write and read them. */

export const NS_PER_SECOND = 1_000_000_000;
export const NS_PER_MS = 1_000_000;
export const NS_PER_US = 1_000;

/** `1234567` -> `1,234,567`. */
export function groupDigits(n: number): string {
  return Math.round(n)
    .toString()
    .replace(/\B(?=(\d{3})+$)/g, ',');
}

/** Nanoseconds as an operator reads them: `850 ns`, `12.3 µs`, `4.56 ms`, `1.20 s`. */
export function formatNs(ns: number): string {
  const abs = Math.abs(ns);
  if (abs < NS_PER_US) return `${Math.round(ns)} ns`;
  if (abs < NS_PER_MS) return `${(ns / NS_PER_US).toFixed(1)} µs`;
  if (abs < NS_PER_SECOND) return `${(ns / NS_PER_MS).toFixed(2)} ms`;
  return `${(ns / NS_PER_SECOND).toFixed(2)} s`;
}
