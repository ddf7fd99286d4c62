/**
 * HOT: what the threads of one replay share: commands downwards, counters upwards, in one SharedArrayBuffer.
 *
 * Commands are Int32 cells written by the main thread. Each worker owns one row of Float64 cells and one latency
 * histogram; it is their only writer, and readers may see counts a few packets old, never torn ones (8-byte aligned).
 */
import { HISTOGRAM_CELLS } from '../base/histogram.ts';

/** What the workers are to do. */
export const Command = { Wait: 0, Run: 1, Pause: 2, Stop: 3 } as const;
export type Command = (typeof Command)[keyof typeof Command];

/** Cells of a worker's row; two outputs at most. */
export const Cell = {
  Read: 0,
  Skipped: 1,
  Edited: 2,
  Loop: 3,
  LatenessLast: 4,
  LatenessMax: 5,
  /** Packets read before the start: counted, kept in memory. */
  Prepared: 6,
  FirstSentNs: 7,
  LastSentNs: 8,
  Sent: 9, // and 10 for the second output
  SentBytes: 11, // 12
  Failed: 13, // 14
  Truncated: 15, // 16
} as const;
const ROW_CELLS = 24;

const CONTROL_INT32 = 8; // command, ready count, prompt answer, spare
const COMMAND = 0;
const READY = 1;
const ANSWER = 2;

const CONTROL_FLOAT64 = 4; // start, pause shift, spare
const START_NS = 0;
const SHIFT_NS = 1;

export class Progress {
  readonly buffer: SharedArrayBuffer;
  readonly workers: number;
  readonly #control: Int32Array;
  readonly #times: Float64Array;
  readonly #rows: Float64Array;
  readonly #histograms: Int32Array;

  constructor(workers: number, buffer: SharedArrayBuffer = new SharedArrayBuffer(Progress.byteLength(workers))) {
    this.buffer = buffer;
    this.workers = workers;
    this.#control = new Int32Array(buffer, 0, CONTROL_INT32);
    let at = CONTROL_INT32 * 4;
    this.#times = new Float64Array(buffer, at, CONTROL_FLOAT64);
    at += CONTROL_FLOAT64 * 8;
    this.#rows = new Float64Array(buffer, at, workers * ROW_CELLS);
    at += workers * ROW_CELLS * 8;
    this.#histograms = new Int32Array(buffer, at, workers * HISTOGRAM_CELLS);
    // Nobody has answered: the first side to look at a fresh buffer says so, before anybody can have asked.
    if (this.command === Command.Wait && this.ready === 0) this.answer(-1);
  }

  static byteLength(workers: number): number {
    return CONTROL_INT32 * 4 + CONTROL_FLOAT64 * 8 + workers * (ROW_CELLS * 8 + HISTOGRAM_CELLS * 4);
  }

  get command(): Command {
    return Atomics.load(this.#control, COMMAND) as Command;
  }

  /** Wakes whoever waits for a command. */
  order(command: Command): void {
    Atomics.store(this.#control, COMMAND, command);
    Atomics.notify(this.#control, COMMAND);
  }

  /** Blocks while the command is `command`, at most `timeoutMs`. Not on the main thread. */
  waitWhile(command: Command, timeoutMs: number): void {
    Atomics.wait(this.#control, COMMAND, command, timeoutMs);
  }

  /** Schedule zero, on the shared clock. */
  get startNs(): number {
    return this.#times[START_NS]!;
  }
  set startNs(ns: number) {
    this.#times[START_NS] = ns;
  }

  /** Time spent paused: the schedule lies this much later. */
  get shiftNs(): number {
    return this.#times[SHIFT_NS]!;
  }
  set shiftNs(ns: number) {
    this.#times[SHIFT_NS] = ns;
  }

  workerReady(): number {
    return Atomics.add(this.#control, READY, 1) + 1;
  }

  get ready(): number {
    return Atomics.load(this.#control, READY);
  }

  /** `--oneatatime`: how many packets the operator wants next; -1 while nobody has answered. */
  answer(packets: number): void {
    Atomics.store(this.#control, ANSWER, packets);
    Atomics.notify(this.#control, ANSWER);
  }

  takeAnswer(timeoutMs: number): number {
    Atomics.wait(this.#control, ANSWER, -1, timeoutMs);
    return Atomics.exchange(this.#control, ANSWER, -1);
  }

  /** A worker's own cells, indexed by `Cell`. */
  row(worker: number): Float64Array {
    const at = worker * ROW_CELLS;
    return new Float64Array(this.buffer, this.#rows.byteOffset + at * 8, ROW_CELLS);
  }

  histogram(worker: number): Int32Array {
    const at = worker * HISTOGRAM_CELLS;
    return new Int32Array(this.buffer, this.#histograms.byteOffset + at * 4, HISTOGRAM_CELLS);
  }

  /** Sum of one cell over the workers. */
  sum(cell: number): number {
    let total = 0;
    for (let w = 0; w < this.workers; w++) total += this.#rows[w * ROW_CELLS + cell]!;
    return total;
  }

  max(cell: number): number {
    let most = 0;
    for (let w = 0; w < this.workers; w++) most = Math.max(most, this.#rows[w * ROW_CELLS + cell]!);
    return most;
  }
}
