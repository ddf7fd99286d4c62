/**
 * HOT: which of a session's segments in flight have arrived, count as lost, or were sent again. Segments are told apart
 * by the order of their transmissions (RFC 8985 with numbers in the place of times): what was sent `DISTANCE` before
 * something that has arrived counts as lost, be it the first transmission of new bytes or the fifth of old ones.
 *
 * Of thousands of segments in flight an acknowledgement looks at a few: at those that it names anew, and at those
 * behind the last one that was looked at. What is lost, and what was sent again, stands in a list of its own.
 */
import { assert } from '../base/assert.ts';
import { seqAfter, seqBefore, seqDelta } from '../wire/seq.ts';
import { Clock, type Core, hasFlag } from './core.ts';
import { Seg, SegFlag } from './segment_pool.ts';
import { CELLS, Cell, RecoveryMode, SessionFlag } from './session_cells.ts';
import { Header } from './target_header.ts';

/** Transmissions that may overtake one another (RFC 5681: duplicate acknowledgements), and on odd paths. */
const DISTANCE = 3;
const DISTANCE_MAX = 96;
/** Blocks of the acknowledgement before, two cells each. */
export const SACK_CELLS = 8;

/** Nothing is in flight. */
export function clearScoreboard(core: Core, s: number): void {
  const { cells } = core;
  const at = s * CELLS;
  cells[at + Cell.SackedBytes] = 0;
  cells[at + Cell.LostBytes] = 0;
  cells[at + Cell.SendOrder] = 0;
  cells[at + Cell.ArrivedOrder] = 0;
  for (let list = Cell.LostHead; list <= Cell.ResentTail; list++) cells[at + list] = -1;
  cells[at + Cell.Judged] = -1;
  cells[at + Cell.SackedLast] = -1;
  cells[at + Cell.Distance] = DISTANCE;
  forgetBlocks(core, s);
}

function forgetBlocks(core: Core, s: number): void {
  for (let cell = 0; cell < SACK_CELLS; cell++) core.sacks[s * SACK_CELLS + cell] = 0;
}

/** Numbers a transmission. */
export function noteSent(core: Core, s: number, seg: number): void {
  const at = s * CELLS + Cell.SendOrder;
  core.cells[at] = (core.cells[at]! + 1) | 0;
  core.pool.set(seg, Seg.Order, core.cells[at]!);
  core.pool.sentNs[seg] = core.clock[Clock.Now]!;
}

/** A segment was sent again: it waits in the other list now. */
export function noteResent(core: Core, s: number, seg: number): void {
  assert(!core.pool.has(seg, SegFlag.Sacked), 'what has arrived is not sent again');
  unqueue(core, s, seg);
  core.pool.mark(seg, SegFlag.Retransmitted);
  noteSent(core, s, seg);
  core.pool.mark(seg, SegFlag.Resent);
  link(core, s, Cell.ResentHead, core.cells[s * CELLS + Cell.ResentTail]!, seg);
}

/** A segment is known to have arrived: what that says about the path, and about those sent before it. */
export function noteArrived(core: Core, s: number, seg: number): void {
  const { cells, pool } = core;
  const at = s * CELLS;
  const agoNs = core.clock[Clock.Now]! - pool.sentNs[seg]!;
  if (!pool.has(seg, SegFlag.Retransmitted)) {
    const isLost = pool.has(seg, SegFlag.Lost);
    if (isLost) noteOvertaken(core, s, pool.targetSpan(seg));
    // Karn: what was sent twice is not timed. Without SACK a hole that is filled tells of segments that came long ago.
    const isTimed = hasFlag(core, s, SessionFlag.Sack) || cells[at + Cell.Recovery] === RecoveryMode.None;
    if (isTimed && core.clock[Clock.RoundTrip]! < 0) core.clock[Clock.RoundTrip] = agoNs;
    // What was in flight at the time-out and comes without being sent again tells that nothing was lost; what was sent
    // after it and comes first, that something was.
    const before = cells[at + Cell.WindowBefore]!;
    if (before > 0) cells[at + Cell.WindowBefore] = isLost ? -before : 0;
    // Behind a time-out nobody knows yet which transmission has arrived.
  } else if (cells[at + Cell.WindowBefore] !== 0) return;
  const order = pool.get(seg, Seg.Order);
  if (seqAfter(order, cells[at + Cell.ArrivedOrder]!)) cells[at + Cell.ArrivedOrder] = order;
}

/** A segment was taken for lost, and was not: on this path packets overtake one another farther than was thought. */
function noteOvertaken(core: Core, s: number, bytes: number): void {
  const { cells } = core;
  const at = s * CELLS;
  cells[at + Cell.Distance] = Math.min(DISTANCE_MAX, 2 * cells[at + Cell.Distance]!);
  const lost = cells[at + Cell.EpochLost]!;
  if (lost > 0) cells[at + Cell.EpochLost] = Math.max(0, lost - bytes);
}

/** At the end of a recovery: farther than usual is not for ever. */
export function relaxDistance(core: Core, s: number): void {
  const at = s * CELLS + Cell.Distance;
  core.cells[at] = Math.max(DISTANCE, core.cells[at]! - 1);
}

/** Takes the SACK blocks of a header; returns whether any names something new. SndUna has moved already. */
export function noteSacks(core: Core, s: number, h: Int32Array): boolean {
  const blocks = Math.min(h[Header.SackBlocks]!, SACK_CELLS / 2);
  const known = core.sacks;
  const at = s * SACK_CELLS;
  let isNew = false;
  for (let b = 0; b < blocks; b++) {
    const left = h[Header.Sack0 + 2 * b]!;
    const right = h[Header.Sack0 + 2 * b + 1]!;
    // RFC 2883: bytes that came twice. The first of them had been late, if they were sent again since others had come.
    if (b === 0 && !seqAfter(right, h[Header.Ack]!)) {
      const isSentTwice = core.cells[s * CELLS + Cell.Recovery] === RecoveryMode.Fast;
      if (isSentTwice && seqAfter(right, left)) noteOvertaken(core, s, seqDelta(left, right));
      continue;
    }
    // Most blocks stood in the acknowledgement before, or have grown at one end since: that end is looked at.
    let from = left;
    let to = right;
    for (let cell = at; cell < at + SACK_CELLS; cell += 2) {
      const knownLeft = known[cell]!;
      const knownRight = known[cell + 1]!;
      if (knownLeft === knownRight) continue;
      if (left === knownLeft && !seqBefore(right, knownRight)) from = knownRight;
      else if (right === knownRight && seqBefore(left, knownLeft)) to = knownLeft;
    }
    if (seqBefore(from, to) && noteSack(core, s, left, right, from, to)) isNew = true;
  }
  for (let b = 0; b < SACK_CELLS / 2; b++) {
    known[at + 2 * b] = b < blocks ? h[Header.Sack0 + 2 * b]! : 0;
    known[at + 2 * b + 1] = b < blocks ? h[Header.Sack0 + 2 * b + 1]! : 0;
  }
  return isNew;
}

/**
 * Marks the segments of [from, to) that a SACK block names, or that are named by it and the ones before: packets may be
 * parts of segments. Returns whether any is new.
 */
function noteSack(core: Core, s: number, left: number, right: number, from: number, to: number): boolean {
  const { cells, pool } = core;
  const at = s * CELLS;
  const una = cells[at + Cell.SndUna]!;
  if (!seqAfter(right, left) || seqBefore(left, una) || seqAfter(right, cells[at + Cell.SndNxt]!)) return false;
  const last = cells[at + Cell.SackedLast]!;
  const isBehind = last >= 0 && !seqBefore(from, pool.get(last, Seg.TargetSeq));
  const end = cells[at + Cell.NextSend]!;
  let isNew = false;
  for (let seg = isBehind ? last : cells[at + Cell.Head]!; seg >= 0 && seg !== end; seg = pool.get(seg, Seg.Next)) {
    const first = pool.get(seg, Seg.TargetSeq);
    if (!seqBefore(first, to)) break;
    const span = pool.targetSpan(seg);
    if (seqBefore(first, left) || seqDelta(first, right) < span || pool.has(seg, SegFlag.Sacked)) continue;
    noteArrived(core, s, seg);
    unqueue(core, s, seg);
    pool.mark(seg, SegFlag.Sacked);
    cells[at + Cell.SackedBytes]! += span;
    isNew = true;
    const high = cells[at + Cell.SackedLast]!;
    if (high < 0 || seqAfter(first, pool.get(high, Seg.TargetSeq))) cells[at + Cell.SackedLast] = seg;
  }
  return isNew;
}

/** Finds what counts as lost by now, `distance` transmissions before what has arrived last. */
export function findLost(core: Core, s: number, distance: number): void {
  const { cells, pool } = core;
  const at = s * CELLS;
  const limit = (cells[at + Cell.ArrivedOrder]! - distance) | 0;
  for (let seg = cells[at + Cell.ResentHead]!; seg >= 0; seg = cells[at + Cell.ResentHead]!) {
    if (seqAfter(pool.get(seg, Seg.Order), limit)) break;
    markLost(core, s, seg);
  }
  const end = cells[at + Cell.NextSend]!;
  for (;;) {
    const judged = cells[at + Cell.Judged]!;
    const seg = judged < 0 ? cells[at + Cell.Head]! : pool.get(judged, Seg.Next);
    if (seg < 0 || seg === end) return;
    if (!pool.has(seg, SegFlag.Sacked | SegFlag.Lost | SegFlag.Resent)) {
      if (seqAfter(pool.get(seg, Seg.Order), limit)) return;
      markLost(core, s, seg);
    }
    cells[at + Cell.Judged] = seg;
  }
}

/** Everything in flight that has not been named in a SACK block counts as lost. */
export function markAllLost(core: Core, s: number): void {
  const { cells, pool } = core;
  const at = s * CELLS;
  const end = cells[at + Cell.NextSend]!;
  for (let seg = cells[at + Cell.Head]!; seg >= 0 && seg !== end; seg = pool.get(seg, Seg.Next)) {
    if (!pool.has(seg, SegFlag.Sacked | SegFlag.Lost)) markLost(core, s, seg);
    cells[at + Cell.Judged] = seg;
  }
}

/** What counts as lost and was not sent again is under way after all. */
export function unmarkLost(core: Core, s: number): void {
  const { cells } = core;
  const at = s * CELLS;
  for (let seg = cells[at + Cell.LostHead]!; seg >= 0; seg = cells[at + Cell.LostHead]!) unqueue(core, s, seg);
  cells[at + Cell.Judged] = -1;
}

export function markLost(core: Core, s: number, seg: number): void {
  const { cells, pool } = core;
  const at = s * CELLS;
  unqueue(core, s, seg);
  pool.mark(seg, SegFlag.Lost);
  const span = pool.targetSpan(seg);
  cells[at + Cell.LostBytes]! += span;
  if (cells[at + Cell.EpochLost]! >= 0) cells[at + Cell.EpochLost]! += span;
  // What is lost for the second time comes first, as all that follows waits for it.
  const seq = pool.get(seg, Seg.TargetSeq);
  let previous = cells[at + Cell.LostTail]!;
  if (previous >= 0 && seqAfter(pool.get(previous, Seg.TargetSeq), seq)) {
    previous = -1;
    let next = cells[at + Cell.LostHead]!;
    while (seqBefore(pool.get(next, Seg.TargetSeq), seq)) {
      previous = next;
      next = pool.get(next, Seg.QueueNext);
    }
  }
  link(core, s, Cell.LostHead, previous, seg);
}

/** Links a segment into a list behind `previous` (-1: at its front). `list`: the head's cell; the tail's is next. */
function link(core: Core, s: number, list: number, previous: number, seg: number): void {
  const { cells, pool } = core;
  const at = s * CELLS + list;
  const next = previous < 0 ? cells[at]! : pool.get(previous, Seg.QueueNext);
  pool.set(seg, Seg.QueuePrevious, previous);
  pool.set(seg, Seg.QueueNext, next);
  if (previous < 0) cells[at] = seg;
  else pool.set(previous, Seg.QueueNext, seg);
  if (next < 0) cells[at + 1] = seg;
  else pool.set(next, Seg.QueuePrevious, seg);
}

/** Takes a segment out of the list that it is in, if it is in one. */
export function unqueue(core: Core, s: number, seg: number): void {
  const { cells, pool } = core;
  if (!pool.has(seg, SegFlag.Lost | SegFlag.Resent)) return;
  const isLost = pool.has(seg, SegFlag.Lost);
  const at = s * CELLS + (isLost ? Cell.LostHead : Cell.ResentHead);
  const previous = pool.get(seg, Seg.QueuePrevious);
  const next = pool.get(seg, Seg.QueueNext);
  if (previous < 0) cells[at] = next;
  else pool.set(previous, Seg.QueueNext, next);
  if (next < 0) cells[at + 1] = previous;
  else pool.set(next, Seg.QueuePrevious, previous);
  if (isLost) cells[s * CELLS + Cell.LostBytes]! -= pool.targetSpan(seg);
  pool.unmark(seg, SegFlag.Lost | SegFlag.Resent);
}

/** A receiver may discard what it has named in SACK blocks (RFC 2018 section 8). */
export function forgetSacks(core: Core, s: number): void {
  const { cells, pool } = core;
  const at = s * CELLS;
  const end = cells[at + Cell.NextSend]!;
  for (let seg = cells[at + Cell.Head]!; seg >= 0 && seg !== end; seg = pool.get(seg, Seg.Next)) {
    pool.unmark(seg, SegFlag.Sacked);
  }
  cells[at + Cell.SackedBytes] = 0;
  cells[at + Cell.SackedLast] = -1;
  forgetBlocks(core, s);
}
