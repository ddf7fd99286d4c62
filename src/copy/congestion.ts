/**
 * HOT: the congestion window: slow start and avoidance (RFC 5681, RFC 6928), and how much of it is left after loss.
 *
 * What is sent here has come through a congestion control before, that of production's client: a copy is no more than
 * that. Loss on the short way to a target is more often a bad cable's than a full queue's. So a few lost segments cost
 * nothing (as in BBR, draft-ietf-ccwg-bbr section 2.7: 2 % of what was in flight); more than that cost a part of the
 * window (RFC 9438 section 4.6: 30 %); and a time-out, which means that nothing comes back, costs all of it.
 */
import { seqDelta } from '../wire/seq.ts';
import { type Core, hasFlag } from './core.ts';
import { segmentBytesMax } from './packet_builder.ts';
import { CELLS, Cell, RecoveryMode, SessionFlag } from './session_cells.ts';

const INITIAL_WINDOW_SEGMENTS = 10;
/** Without congestion control. */
const WINDOW_MAX = 0x3fff_ffff;
export const CONGESTION_WINDOW_MAX = 16_777_216;
/** Share of the window that may be lost in one recovery without a consequence: one in so many bytes; or one segment. */
const TOLERATED_SHARE = 50;
/** What is left of the window. */
const KEPT_SHARE = 0.7;

/** The first part of a connection's window: the target's MSS is known now. */
export function initialWindow(core: Core, s: number): void {
  if (!core.options.congestionControl) return;
  core.cells[s * CELLS + Cell.CongestionWindow] = INITIAL_WINDOW_SEGMENTS * segmentBytesMax(core, s);
}

export function resetWindow(core: Core, s: number): void {
  const { cells } = core;
  const at = s * CELLS;
  const first = INITIAL_WINDOW_SEGMENTS * cells[at + Cell.SendMss]!;
  cells[at + Cell.CongestionWindow] = core.options.congestionControl ? first : WINDOW_MAX;
  cells[at + Cell.SlowStartThreshold] = CONGESTION_WINDOW_MAX;
  cells[at + Cell.EpochLost] = 0;
  cells[at + Cell.WindowBefore] = 0;
}

/** Bytes under way: neither named in SACK blocks nor counted as lost (RFC 6675: pipe). */
export function underWay(core: Core, s: number): number {
  const { cells } = core;
  const at = s * CELLS;
  const flight = seqDelta(cells[at + Cell.SndUna]!, cells[at + Cell.SndNxt]!);
  return flight - cells[at + Cell.SackedBytes]! - cells[at + Cell.LostBytes]!;
}

/** Whether `length` bytes more may be under way. */
export function fitsCongestionWindow(core: Core, s: number, length: number): boolean {
  const bytes = underWay(core, s);
  return bytes === 0 || bytes + length <= core.cells[s * CELLS + Cell.CongestionWindow]!;
}

/** Whether the window may grow: there is no recovery, or one that has cost nothing, or one from nothing. */
export function mayGrow(core: Core, s: number): boolean {
  const at = s * CELLS;
  return core.cells[at + Cell.Recovery] !== RecoveryMode.Fast || core.cells[at + Cell.EpochLost]! >= 0;
}

/** Slow start with appropriate byte counting (RFC 3465, L = 2), then about a segment per round trip. */
export function growWindow(core: Core, s: number, acked: number): void {
  const at = s * CELLS;
  const { cells } = core;
  const window = cells[at + Cell.CongestionWindow]!;
  const flight = seqDelta(cells[at + Cell.SndUna]!, cells[at + Cell.SndNxt]!) + acked;
  // A window that is not used says nothing about the path (RFC 7661).
  if (flight * 2 < window || window >= CONGESTION_WINDOW_MAX) return;
  const mss = cells[at + Cell.SendMss]!;
  const isSlowStart = window < cells[at + Cell.SlowStartThreshold]!;
  cells[at + Cell.CongestionWindow] =
    window + (isSlowStart ? Math.min(acked, 2 * mss) : Math.max(1, Math.floor((mss * Math.min(acked, mss)) / window)));
}

/** In recovery, whenever more counts as lost: the window is reduced once, when that is more than may be. */
export function judgeLoss(core: Core, s: number): void {
  const { cells } = core;
  const at = s * CELLS;
  if (!core.options.congestionControl) return;
  const window = cells[at + Cell.CongestionWindow]!;
  const lost = cells[at + Cell.EpochLost]!;
  const mss = cells[at + Cell.SendMss]!;
  if (lost <= mss || lost * TOLERATED_SHARE <= window) return;
  cells[at + Cell.EpochLost] = -1;
  const kept = Math.max(Math.floor(window * KEPT_SHARE), 2 * mss);
  cells[at + Cell.CongestionWindow] = kept;
  cells[at + Cell.SlowStartThreshold] = kept;
}

/** After a time-out. */
export function collapseWindow(core: Core, s: number): void {
  const { cells } = core;
  const at = s * CELLS;
  if (!core.options.congestionControl) return;
  const mss = cells[at + Cell.SendMss]!;
  if (cells[at + Cell.Backoff] === 0 && hasFlag(core, s, SessionFlag.Sack)) {
    // RFC 5682: with SACK it shows in what arrives next whether anything was lost.
    cells[at + Cell.WindowBefore] = cells[at + Cell.CongestionWindow]!;
  } else cells[at + Cell.WindowBefore] = 0;
  if (cells[at + Cell.Backoff] === 0) {
    const flight = seqDelta(cells[at + Cell.SndUna]!, cells[at + Cell.SndNxt]!);
    cells[at + Cell.SlowStartThreshold] = Math.max(flight >>> 1, 2 * mss);
  }
  cells[at + Cell.CongestionWindow] = mss;
  cells[at + Cell.EpochLost] = -1;
}

/** The time-out was too early: nothing had been lost. */
export function restoreWindow(core: Core, s: number): void {
  const { cells } = core;
  const at = s * CELLS;
  const before = Math.abs(cells[at + Cell.WindowBefore]!);
  cells[at + Cell.CongestionWindow] = before;
  cells[at + Cell.SlowStartThreshold] = before;
  cells[at + Cell.WindowBefore] = 0;
  cells[at + Cell.EpochLost] = 0;
}
