/** HOT: what the parts of the session engine share: memory, clock, counters. One per engine; no module state. */
import { HISTOGRAM_CELLS } from '../base/histogram.ts';
import type { Region } from '../base/region.ts';
import { ClientPacket } from './client_packet.ts';
import type { Pairing } from './compare/pairing.ts';
import { COUNTS, type Count } from './counts.ts';
import type { Emitter } from './emitter.ts';
import type { EngineOptions } from './options.ts';
import { SACK_CELLS } from './scoreboard.ts';
import { SEGMENT_BYTES, SEGMENT_UNITS, SegmentPool, SMALL_SEGMENT_BYTES } from './segment_pool.ts';
import { CELLS, Cell, TIMES, Time } from './session_cells.ts';
import { SessionTable } from './session_table.ts';
import type { Targets } from './targets.ts';
import { TimerWheel } from './timer_wheel.ts';

/** Memory from which on a part of it is for short requests, and that part. */
const SMALL_SEGMENTS_FROM = 1 << 20;
const SMALL_SHARE = 8;

export class Core {
  options: EngineOptions;
  readonly targets: Targets;
  readonly emitter: Emitter;
  readonly table: SessionTable;
  readonly pool: SegmentPool;
  readonly wheel: TimerWheel;
  readonly counts: Float64Array;
  /** Time from a client packet's arrival to the emission of its bytes: cells of `base/histogram.ts`. */
  readonly lag: Int32Array;
  /** Of the table, for short. */
  readonly cells: Int32Array;
  readonly times: Float64Array;
  /** SACK blocks of each session's last acknowledgement: `SACK_CELLS` each. */
  readonly sacks: Int32Array;
  /** Memory that one session's segments may take, in units of a small one; Infinity: what others leave. */
  readonly sessionUnits: number;
  /**
   * In cells, because fields that hold doubles are boxed: now, start, last shed, last capture loss, arrival at hand,
   * arrival of the target's segment at hand, round trip that it shows (-1: none).
   */
  readonly clock: Float64Array = new Float64Array(7);
  readonly packet: ClientPacket = new ClientPacket();
  /** The segment whose bytes are the packet at hand, whole, which may be sent from where it lies; -1: none. */
  placeable = -1;
  /** Told of requests and replies where both sides' replies are compared (`--compare`). */
  pairing: Pairing | null = null;
  /** The packet handed over last, if more data can join it: its session (-1: none), the sequence number behind it… */
  runSession = -1;
  runSeq = 0;
  /** …its own payload, and what it acknowledges. */
  runBytes = 0;
  runAck = 0;
  /** No new sessions (`CopyEngine.shedNew`), and none of any kind (`closeAll`). */
  sheds = false;
  closes = false;

  constructor(options: EngineOptions, targets: Targets, emitter: Emitter, counts?: Float64Array, pool?: Region) {
    this.options = options;
    this.targets = targets;
    this.emitter = emitter;
    this.table = new SessionTable(options.maxSessions);
    const smallBytes = options.memoryBytes < SMALL_SEGMENTS_FROM ? 0 : Math.floor(options.memoryBytes / SMALL_SHARE);
    const largeBytes = options.memoryBytes - smallBytes;
    this.pool = new SegmentPool(
      Math.max(1, Math.floor(largeBytes / SEGMENT_BYTES)),
      Math.floor(smallBytes / SMALL_SEGMENT_BYTES),
      pool,
    );
    this.wheel = new TimerWheel(options.maxSessions);
    this.counts = counts ?? new Float64Array(COUNTS);
    this.lag = new Int32Array(HISTOGRAM_CELLS);
    this.cells = this.table.cells;
    this.times = this.table.times;
    this.sacks = new Int32Array(options.maxSessions * SACK_CELLS);
    this.sessionUnits =
      options.sessionBytes === 0
        ? Number.POSITIVE_INFINITY
        : Math.max(8 * SEGMENT_UNITS, Math.floor(options.sessionBytes / SMALL_SEGMENT_BYTES));
    this.clock[Clock.Start] = Number.NaN;
    this.clock[Clock.Shed] = Number.NEGATIVE_INFINITY;
    this.clock[Clock.Loss] = Number.NEGATIVE_INFINITY;
  }

  bump(count: Count): void {
    this.counts[count]! += 1;
  }

  add(count: Count, by: number): void {
    this.counts[count]! += by;
  }
}

/** Cells of `Core.clock`. */
export const Clock = { Now: 0, Start: 1, Shed: 2, Loss: 3, Arrived: 4, Replied: 5, RoundTrip: 6 } as const;

export function hasFlag(core: Core, s: number, flag: number): boolean {
  return (core.cells[s * CELLS + Cell.Flags]! & flag) !== 0;
}

export function setFlag(core: Core, s: number, flag: number): void {
  core.cells[s * CELLS + Cell.Flags]! |= flag;
}

export function clearFlag(core: Core, s: number, flag: number): void {
  core.cells[s * CELLS + Cell.Flags]! &= ~flag;
}

/** Sets a deadline (`Time.Retransmit` … `Time.Life`); the wheel is touched only when it is nearer than all others. */
export function setDeadline(core: Core, s: number, which: number, dueNs: number): void {
  const t = s * TIMES;
  core.times[t + which] = dueNs;
  if (dueNs >= core.times[t + Time.Wheel]!) return;
  core.times[t + Time.Wheel] = dueNs;
  core.wheel.set(s, dueNs);
}

/** The wheel still fires at the old time, finds nothing due and is set to the next deadline: cheaper than moving it. */
export function clearDeadline(core: Core, s: number, which: number): void {
  core.times[s * TIMES + which] = Number.POSITIVE_INFINITY;
}
