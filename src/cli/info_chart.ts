/** Charts in characters: eighths of a block, so that a column of six rows shows 48 steps. */
const COLUMN_BLOCKS = ' ▁▂▃▄▅▆▇█';
const ROW_BLOCKS = ['', '▏', '▎', '▍', '▌', '▋', '▊', '▉', '█'];

/** Columns `height` rows high; each value that is not 0 shows. Top row first. */
export function columnChart(values: readonly number[], height: number): string[] {
  const most = values.reduce((max, value) => Math.max(max, value), 0);
  const steps = values.map((value) =>
    most === 0 ? 0 : Math.max(value > 0 ? 1 : 0, Math.round((value / most) * height * 8)),
  );
  const rows: string[] = [];
  for (let row = height - 1; row >= 0; row--) {
    rows.push(steps.map((step) => COLUMN_BLOCKS[Math.min(8, Math.max(0, step - row * 8))]).join(''));
  }
  return rows;
}

/** A bar of up to `width` characters for `value` of `most`; anything above 0 shows. */
export function bar(value: number, most: number, width: number): string {
  if (value <= 0 || most <= 0) return '';
  const eighths = Math.max(1, Math.round((value / most) * width * 8));
  return `${'█'.repeat(Math.floor(eighths / 8))}${ROW_BLOCKS[eighths % 8]}`;
}

/** `values` shared out over `columns` columns, whole sums kept; fewer values stay as they are. */
export function gather(values: readonly number[], columns: number): number[] {
  if (values.length <= columns) return [...values];
  const out = new Array<number>(columns).fill(0);
  for (const [i, value] of values.entries()) out[Math.floor((i * columns) / values.length)]! += value;
  return out;
}
