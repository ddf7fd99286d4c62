/** HOT: what an agent's threads share: orders downwards; counters, gauges and the lag histogram upwards. */
import { HISTOGRAM_CELLS, histogramAdd } from '../../base/histogram.ts';
import { COUNTS } from '../counts.ts';

/** Cells of a worker's row behind those of the engine (`Count`). */
export const AgentCell = {
  /** Frames that reached the engine, and those in them that were no TCP packet of a service. */
  Frames: 0,
  FramesForeign: 1,
  /** Client packets that the kernel dropped because the ring was full; reply headers likewise. */
  KernelDrops: 2,
  ReplyDrops: 3,
  /** Frames that the kernel took, and those that it refused. */
  FramesSent: 4,
  FramesRefused: 5,
  /** Devices that broke and were opened again. */
  Reopened: 6,
  /** Sessions open, segments stored, bytes that they take. */
  SessionsOpen: 7,
  SegmentsUsed: 8,
  /** Tunnel: connected or not, reconnects, replies, replies lost at the far end. */
  TunnelUp: 9,
  TunnelConnects: 10,
  TunnelReplies: 11,
  TunnelLost: 12,
  /** First bytes of TLS connections. */
  TlsHellos: 13,
} as const;
export type AgentCell = (typeof AgentCell)[keyof typeof AgentCell];
export const AGENT_CELLS = 14;
const ROW_CELLS = Math.ceil((COUNTS + AGENT_CELLS) / 16) * 16;

/** Gauges: not summed over a worker's former lives. */
export const GAUGES: readonly number[] = [AgentCell.SessionsOpen, AgentCell.SegmentsUsed, AgentCell.TunnelUp];

export const AgentOrder = { Run: 0, Close: 1, Stop: 2 } as const;
const ORDER = 0;
const SHED = 1;

export class AgentRows {
  readonly buffer: SharedArrayBuffer;
  readonly workers: number;
  readonly #orders: Int32Array;

  constructor(workers: number, buffer?: SharedArrayBuffer) {
    this.workers = workers;
    this.buffer = buffer ?? new SharedArrayBuffer(64 + workers * (ROW_CELLS * 8 + HISTOGRAM_CELLS * 4));
    this.#orders = new Int32Array(this.buffer, 0, 16);
  }

  get order(): number {
    return Atomics.load(this.#orders, ORDER);
  }

  set order(order: number) {
    if (order > this.order) Atomics.store(this.#orders, ORDER, order);
  }

  /** No session begins while this is set. */
  get sheds(): boolean {
    return Atomics.load(this.#orders, SHED) !== 0;
  }

  set sheds(isShedding: boolean) {
    Atomics.store(this.#orders, SHED, isShedding ? 1 : 0);
  }

  /** The engine's counters of a worker, `COUNTS` cells. */
  counts(worker: number): Float64Array {
    return new Float64Array(this.buffer, 64 + worker * ROW_CELLS * 8, COUNTS);
  }

  /** The agent's own, `AGENT_CELLS`. */
  cells(worker: number): Float64Array {
    return new Float64Array(this.buffer, 64 + (worker * ROW_CELLS + COUNTS) * 8, AGENT_CELLS);
  }

  lag(worker: number): Int32Array {
    const at = 64 + this.workers * ROW_CELLS * 8 + worker * HISTOGRAM_CELLS * 4;
    return new Int32Array(this.buffer, at, HISTOGRAM_CELLS);
  }
}

/** Sums over all workers, former lives of crashed ones included. */
export class AgentTotals {
  readonly counts: Float64Array = new Float64Array(COUNTS);
  readonly cells: Float64Array = new Float64Array(AGENT_CELLS);
  readonly lag: Int32Array = new Int32Array(HISTOGRAM_CELLS);

  add(rows: AgentRows, worker: number): void {
    const counts = rows.counts(worker);
    const cells = rows.cells(worker);
    for (let i = 0; i < COUNTS; i++) this.counts[i]! += counts[i]!;
    for (let i = 0; i < AGENT_CELLS; i++) this.cells[i]! += cells[i]!;
    histogramAdd(this.lag, rows.lag(worker));
  }

  addTotals(other: AgentTotals): void {
    for (let i = 0; i < COUNTS; i++) this.counts[i]! += other.counts[i]!;
    for (let i = 0; i < AGENT_CELLS; i++) this.cells[i]! += other.cells[i]!;
    histogramAdd(this.lag, other.lag);
  }

  /** Keeps a worker's row that is about to begin anew. */
  retire(rows: AgentRows, worker: number): void {
    this.add(rows, worker);
    for (const gauge of GAUGES) this.cells[gauge] = 0;
    rows.counts(worker).fill(0);
    rows.cells(worker).fill(0);
    rows.lag(worker).fill(0);
  }
}
