/**
 * HOT: counters of several threads in one SharedArrayBuffer.
 *
 * Each worker owns one row and is its only writer. It bumps a private copy and publishes it once per batch, so that no
 * cache line is fought over for a packet. Readers may see a row a batch old; a cell is never torn, as it is eight
 * bytes, aligned. Cells are numbers, exact up to 2^53.
 */
import { assert } from '../base/assert.ts';

const CELL_BYTES = 8;
/** Rows start on lines of their own: two workers never write the same cache line (64 bytes; some fetch pairs). */
const ROW_ALIGN_CELLS = 16;

/** Names of counters -> cell numbers, as an `as const` object of 0, 1, 2… */
export type CellNames = Readonly<Record<string, number>>;

export class SharedCounters<Names extends CellNames> {
  /** Hand this to a worker and make its `SharedCounters` from it. */
  readonly buffer: SharedArrayBuffer;
  readonly rows: number;
  readonly names: Names;
  readonly #cells: number;
  readonly #rowCells: number;
  readonly #shared: Float64Array;

  constructor(names: Names, rows: number, buffer?: SharedArrayBuffer) {
    this.names = names;
    this.rows = rows;
    this.#cells = Math.max(0, ...Object.values(names)) + 1;
    this.#rowCells = Math.ceil(this.#cells / ROW_ALIGN_CELLS) * ROW_ALIGN_CELLS;
    const byteLength = rows * this.#rowCells * CELL_BYTES;
    this.buffer = buffer ?? new SharedArrayBuffer(byteLength);
    assert(this.buffer.byteLength === byteLength, 'the buffer was made for the same names and rows');
    this.#shared = new Float64Array(this.buffer);
  }

  /** The row that worker `row` writes. One writer per row. */
  row(row: number): CounterRow {
    assert(row >= 0 && row < this.rows, 'the row exists');
    const first = row * this.#rowCells;
    return new CounterRow(new Float64Array(this.buffer, first * CELL_BYTES, this.#cells));
  }

  /** One cell of one worker, as last published. */
  at(row: number, cell: number): number {
    return this.#shared[row * this.#rowCells + cell]!;
  }

  /** One cell over all workers, as last published. */
  sum(cell: number): number {
    let total = 0;
    for (let row = 0; row < this.rows; row++) total += this.at(row, cell);
    return total;
  }

  /** Every counter by name over all workers: for reports and `/metrics`. */
  totals(): Record<keyof Names & string, number> {
    const totals: Record<string, number> = {};
    for (const [name, cell] of Object.entries(this.names)) totals[name] = this.sum(cell);
    return totals as Record<keyof Names & string, number>;
  }
}

export class CounterRow {
  /** The private copy: bump it in the loop. */
  readonly cells: Float64Array;
  readonly #shared: Float64Array;

  constructor(shared: Float64Array) {
    this.#shared = shared;
    this.cells = new Float64Array(shared.length);
    this.cells.set(shared);
  }

  add(cell: number, n: number): void {
    this.cells[cell] = this.cells[cell]! + n;
  }

  /** Makes the private copy visible. Once per batch. */
  publish(): void {
    this.#shared.set(this.cells);
  }
}
