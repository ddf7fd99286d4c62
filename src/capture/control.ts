/** HOT: what the threads of one capture share: orders downwards, counters upwards, the packets still wanted. */
import { SharedCounters } from '../ring/counters.ts';
import type { CaptureShared } from './capture.ts';

/** Cells of a worker's row. */
export const Cell = {
  Received: 0,
  Filtered: 1,
  Shed: 2,
  DroppedByKernel: 3,
  DroppedByInterface: 4,
  Frozen: 5,
  Written: 6,
  Bytes: 7,
  DroppedDiskFull: 8,
  DroppedCompressor: 9,
  DroppedUnwritable: 10,
  FileBytes: 11,
  Files: 12,
  FilesRemoved: 13,
  DiskFull: 14,
  DroppedBroken: 15,
} as const;

export type CaptureCounters = SharedCounters<typeof Cell>;

const Order = { Wait: 0, Run: 1, Stop: 2 } as const;
const ORDER = 0;
const ROTATIONS = 1;
const LEFT = 2;
const HAS_LIMIT = 3;
const FLUSHES = 4;
const CELLS = 8;

export class CaptureControl implements CaptureShared {
  readonly orders: SharedArrayBuffer;
  readonly counters: CaptureCounters;
  readonly #cells: Int32Array;

  constructor(workers: number, orders?: SharedArrayBuffer, counters?: SharedArrayBuffer) {
    this.orders = orders ?? new SharedArrayBuffer(CELLS * 4);
    this.counters = new SharedCounters(Cell, workers, counters);
    this.#cells = new Int32Array(this.orders);
  }

  /** Frames that all workers together may write. Before they start. */
  limit(packets: number): void {
    this.#cells[LEFT] = packets;
    this.#cells[HAS_LIMIT] = 1;
  }

  get isLimited(): boolean {
    return this.#cells[HAS_LIMIT] !== 0;
  }

  claim(wanted: number): number {
    if (this.#cells[HAS_LIMIT] === 0) return wanted;
    const left = Atomics.sub(this.#cells, LEFT, wanted);
    const granted = Math.max(0, Math.min(left, wanted));
    if (granted < wanted) Atomics.add(this.#cells, LEFT, wanted - granted);
    if (left <= wanted) this.stop();
    return granted;
  }

  run(): void {
    Atomics.compareExchange(this.#cells, ORDER, Order.Wait, Order.Run);
    Atomics.notify(this.#cells, ORDER);
  }

  stop(): void {
    Atomics.store(this.#cells, ORDER, Order.Stop);
    Atomics.notify(this.#cells, ORDER);
  }

  /** In a worker: blocks until it may write, or the capture is over before it began. */
  waitForRun(): void {
    Atomics.wait(this.#cells, ORDER, Order.Wait);
  }

  shouldStop(): boolean {
    return Atomics.load(this.#cells, ORDER) === Order.Stop;
  }

  /** Each worker begins its next file. */
  rotate(): void {
    Atomics.add(this.#cells, ROTATIONS, 1);
  }

  /** Grows with each `rotate`. */
  get rotations(): number {
    return Atomics.load(this.#cells, ROTATIONS);
  }

  flush(): void {
    Atomics.add(this.#cells, FLUSHES, 1);
  }

  get flushes(): number {
    return Atomics.load(this.#cells, FLUSHES);
  }
}
