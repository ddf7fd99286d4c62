/** A comparison of replies as lines of the report. */
import { formatNs, groupDigits } from '../base/units.ts';
import type { CompareSnapshot, Percentiles } from '../copy/agent/index.ts';

const n = groupDigits;
/** Pairs of differing statuses that are named. */
const PAIRS_MAX = 20;

/** `98.50 %`: never rounded up to 100. */
export function share(part: number, whole: number): string {
  if (whole === 0) return '-';
  if (part === whole) return '100 %';
  return `${(Math.floor((part / whole) * 10_000) / 100).toFixed(2)} %`;
}

/** `1.08x`; `-` where there is nothing to divide by. */
export function ratio(target: number, production: number): string {
  return production > 0 ? `${(target / production).toFixed(2)}x` : '-';
}

/** `200`; `none` where the reply had no status line. */
export function statusText(status: number): string {
  return status === 0 ? 'none' : String(status);
}

export function compareLines(compare: CompareSnapshot): string[] {
  const { bytesEqual, compared, http, same, statusEqual } = compare;
  const lines = [
    `Replies compared: ${n(compared)}, of which ${share(same, compared)} are alike (status and length)`,
    `\tStatus: ${http === 0 ? 'no HTTP' : `${share(statusEqual, http)} equal of ${n(http)}`}`,
    ...statusLines(compare),
    `\tLength: ${share(bytesEqual, compared)} equal`,
  ];
  const missing = missingCauses(compare);
  if (missing.length > 0) lines.push(`\tNot compared: ${missing.join(', ')}`);
  if (compared > 0) lines.push(...table(compare));
  return lines;
}

function statusLines({ statuses }: CompareSnapshot): string[] {
  const differing = statuses.filter(({ production, target }) => production !== target);
  const lines = differing
    .slice(0, PAIRS_MAX)
    .map(({ production, target, count }) => `\t\t${statusText(production)} -> ${statusText(target)}: ${n(count)}`);
  if (differing.length > PAIRS_MAX) lines.push(`\t\tand ${differing.length - PAIRS_MAX} more pairs`);
  return lines;
}

function missingCauses(compare: CompareSnapshot): string[] {
  const causes: [number, string][] = [
    [compare.missingTarget, 'replies missing at the test server'],
    [compare.missingProduction, 'replies missing at production'],
    [compare.unanswered, 'requests that neither answered'],
    [compare.unfinished, 'requests under way at the end'],
    [compare.early, 'requests that did not wait for the reply to the one before'],
    [compare.noRoom, 'requests without room'],
  ];
  return causes.filter(([count]) => count > 0).map(([count, cause]) => `${n(count)} ${cause}`);
}

function table({ production, target }: CompareSnapshot): string[] {
  const rows: string[][] = [['', 'production', 'test server', 'ratio']];
  const add = (name: string, a: Percentiles, b: Percentiles): void => {
    for (const quantile of ['p50', 'p90', 'p99'] as const) {
      const [left, right] = [a[quantile], b[quantile]];
      rows.push([`${name} ${quantile}`, formatNs(left), formatNs(right), ratio(right, left)]);
    }
  };
  add('First byte', production.firstByteNs, target.firstByteNs);
  add('Last byte', production.lastByteNs, target.lastByteNs);
  rows.push(['Bytes', n(production.bytes), n(target.bytes), ratio(target.bytes, production.bytes)]);
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  const pad = (cell: string, column: number): string =>
    column === 0 ? cell.padEnd(widths[0]!) : cell.padStart(widths[column]!);
  return rows.map((row) => `\t${row.map(pad).join('  ')}`);
}
