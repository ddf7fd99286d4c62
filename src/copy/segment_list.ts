/** HOT: the list of a session's segments: sent and unacknowledged ones first, then those that wait. */
import { seqAdd, seqDelta } from '../wire/seq.ts';
import { type Core, clearFlag, setFlag } from './core.ts';
import { Count } from './counts.ts';
import { noteArrived, unqueue } from './scoreboard.ts';
import { Seg, SegFlag } from './segment_pool.ts';
import { CELLS, Cell, SessionFlag } from './session_cells.ts';

/** Links a segment behind `previous` (-1: at the front). */
export function linkAfter(core: Core, s: number, previous: number, seg: number): void {
  const { cells, pool } = core;
  const at = s * CELLS;
  const next = previous < 0 ? cells[at + Cell.Head]! : pool.get(previous, Seg.Next);
  pool.set(seg, Seg.Previous, previous);
  pool.set(seg, Seg.Next, next);
  if (previous < 0) cells[at + Cell.Head] = seg;
  else pool.set(previous, Seg.Next, seg);
  if (next < 0) cells[at + Cell.Tail] = seg;
  else pool.set(next, Seg.Previous, seg);
  cells[at + Cell.Segments]! += 1;
  cells[at + Cell.StoredUnits]! += pool.units(seg);
  // A new segment is unsent; it comes first of these when it stands directly before the one that did.
  if (next === cells[at + Cell.NextSend]) cells[at + Cell.NextSend] = seg;
}

/** Unlinks a segment and gives it back. */
export function removeSegment(core: Core, s: number, seg: number): void {
  const { cells, pool } = core;
  const at = s * CELLS;
  const previous = pool.get(seg, Seg.Previous);
  const next = pool.get(seg, Seg.Next);
  if (previous < 0) cells[at + Cell.Head] = next;
  else pool.set(previous, Seg.Next, next);
  if (next < 0) cells[at + Cell.Tail] = previous;
  else pool.set(next, Seg.Previous, previous);
  if (cells[at + Cell.NextSend] === seg) cells[at + Cell.NextSend] = next;
  if (pool.has(seg, SegFlag.Sacked)) cells[at + Cell.SackedBytes]! -= pool.targetSpan(seg);
  unqueue(core, s, seg);
  if (cells[at + Cell.Judged] === seg) cells[at + Cell.Judged] = -1;
  if (cells[at + Cell.SackedLast] === seg) cells[at + Cell.SackedLast] = -1;
  if (core.placeable === seg) core.placeable = -1;
  cells[at + Cell.Segments]! -= 1;
  cells[at + Cell.StoredUnits]! -= pool.units(seg);
  pool.give(seg);
}

/** Frees what is acknowledged up to `ack`. Precondition: SndUna before `ack`, not after SndNxt. */
export function acknowledge(core: Core, s: number, ack: number): void {
  const { cells, pool } = core;
  const at = s * CELLS;
  cells[at + Cell.SndUna] = ack;
  while (cells[at + Cell.Head]! >= 0 && cells[at + Cell.Head] !== cells[at + Cell.NextSend]) {
    const seg = cells[at + Cell.Head]!;
    const done = seqDelta(pool.get(seg, Seg.TargetSeq), ack);
    if (done <= 0) return;
    if (done < pool.targetSpan(seg)) {
      trimFront(core, s, seg, done);
      return;
    }
    if (pool.has(seg, SegFlag.Boundary)) core.bump(Count.RequestsDelivered);
    if (pool.has(seg, SegFlag.Fin | SegFlag.OwnFin)) setFlag(core, s, SessionFlag.FinAcked);
    if (!pool.has(seg, SegFlag.Sacked)) noteArrived(core, s, seg);
    removeSegment(core, s, seg);
  }
}

/** Cuts acknowledged bytes off the front of a sent segment. */
function trimFront(core: Core, s: number, seg: number, bytes: number): void {
  const pool = core.pool;
  if (pool.has(seg, SegFlag.Sacked)) core.cells[s * CELLS + Cell.SackedBytes]! -= bytes;
  if (pool.has(seg, SegFlag.Lost)) core.cells[s * CELLS + Cell.LostBytes]! -= bytes;
  pool.set(seg, Seg.Start, pool.get(seg, Seg.Start) + bytes);
  pool.set(seg, Seg.Length, pool.get(seg, Seg.Length) - bytes);
  pool.set(seg, Seg.TargetSeq, seqAdd(pool.get(seg, Seg.TargetSeq), bytes));
  pool.set(seg, Seg.ClientSeq, seqAdd(pool.get(seg, Seg.ClientSeq), bytes));
}

/** Frees one segment that will not be delivered; `cause`: one of the `Skipped*` counters. */
export function skipSegment(core: Core, s: number, seg: number, cause: Count): void {
  if (core.pool.has(seg, SegFlag.Boundary)) core.bump(cause);
  core.add(Count.SkippedBytes, core.pool.get(seg, Seg.Length));
  removeSegment(core, s, seg);
}

/** Frees everything that was not sent yet. Returns whether the client's FIN was among it. */
export function skipUnsent(core: Core, s: number, cause: Count): boolean {
  let hadFin = false;
  for (let seg = core.cells[s * CELLS + Cell.NextSend]!; seg >= 0; ) {
    const next = core.pool.get(seg, Seg.Next);
    hadFin = hadFin || core.pool.has(seg, SegFlag.Fin | SegFlag.Reset);
    skipSegment(core, s, seg, cause);
    seg = next;
  }
  return hadFin;
}

/** Frees everything. */
export function skipAll(core: Core, s: number, cause: Count): void {
  for (let seg = core.cells[s * CELLS + Cell.Head]!; seg >= 0; seg = core.cells[s * CELLS + Cell.Head]!) {
    skipSegment(core, s, seg, cause);
  }
  clearFlag(core, s, SessionFlag.GapCertain);
}

/** The last segment that was sent and is not acknowledged, or -1. */
export function lastSent(core: Core, s: number): number {
  const at = s * CELLS;
  const next = core.cells[at + Cell.NextSend]!;
  return next < 0 ? core.cells[at + Cell.Tail]! : core.pool.get(next, Seg.Previous);
}

/** Cuts a segment that was not sent in two, `bytes` in the first; false: no segment is free. */
export function splitSegment(core: Core, s: number, seg: number, bytes: number): boolean {
  const pool = core.pool;
  const length = pool.get(seg, Seg.Length);
  const rest = pool.take(length - bytes);
  if (rest < 0) return false;
  pool.set(rest, Seg.ClientSeq, seqAdd(pool.get(seg, Seg.ClientSeq), bytes));
  pool.set(rest, Seg.ClientAck, pool.get(seg, Seg.ClientAck));
  pool.set(rest, Seg.Flags, pool.get(seg, Seg.Flags) & ~SegFlag.Boundary);
  pool.set(rest, Seg.Length, length - bytes);
  pool.arrivedNs[rest] = pool.arrivedNs[seg]!;
  const bytesOf = pool.region.bytes;
  const from = pool.bytesAt(seg) + bytes;
  bytesOf.copyWithin(pool.bytesAt(rest), from, from + length - bytes);
  pool.set(seg, Seg.Length, bytes);
  pool.unmark(seg, SegFlag.Push);
  linkAfter(core, s, seg, rest);
  if (core.placeable === seg) core.placeable = -1;
  return true;
}
