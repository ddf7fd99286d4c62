/**
 * HOT: what a TCP sender does about time and loss: round-trip times and the retransmission time-out (RFC 6298),
 * tail-loss probe (RFC 8985 section 7, simplified), fast retransmit and recovery (RFC 5681, RFC 6582; with SACK after
 * RFC 6675, simplified: the scoreboard is a bit per segment), congestion window (RFC 5681, RFC 6928).
 */
import { seqAfter, seqBefore, seqDelta } from '../wire/seq.ts';
import { TcpFlag } from '../wire/tcp.ts';
import { Clock, type Core, clearDeadline, clearFlag, hasFlag, setDeadline } from './core.ts';
import { Count } from './counts.ts';
import { segmentBytesMax, sendControl } from './packet_builder.ts';
import { lastSent } from './segment_list.ts';
import { Seg, SegFlag } from './segment_pool.ts';
import { transmit } from './sender.ts';
import { CELLS, Cell, RecoveryMode, SessionFlag, TIMES, Time, TimerMode } from './session_cells.ts';

const DUPLICATE_ACKS = 3;
const INITIAL_WINDOW_SEGMENTS = 10;
const WINDOW_MAX = 0x3fff_ffff;
const CONGESTION_WINDOW_MAX = 16_777_216;
/** RFC 6298 section 2: the clock's granularity. */
const GRANULARITY_NS = 1_000_000;
/** Least tail-loss time-out; the target's acknowledgement of a single segment may be delayed longer than that. */
const PROBE_MIN_NS = 10_000_000;
const BACKOFF_MAX = 12;

/** Sender's state at the start of a connection. */
export function resetSender(core: Core, s: number): void {
  const { cells, times } = core;
  const at = s * CELLS;
  cells[at + Cell.CongestionWindow] = core.options.congestionControl
    ? INITIAL_WINDOW_SEGMENTS * cells[at + Cell.SendMss]!
    : WINDOW_MAX;
  cells[at + Cell.SlowStartThreshold] = CONGESTION_WINDOW_MAX;
  cells[at + Cell.DuplicateAcks] = 0;
  cells[at + Cell.Recovery] = RecoveryMode.None;
  cells[at + Cell.HighSacked] = cells[at + Cell.SndUna]!;
  cells[at + Cell.SackedBytes] = 0;
  cells[at + Cell.Backoff] = 0;
  cells[at + Cell.TimerMode] = TimerMode.None;
  clearFlag(core, s, SessionFlag.Timing);
  clearDeadline(core, s, Time.Retransmit);
  times[s * TIMES + Time.Srtt] = 0;
  times[s * TIMES + Time.Rto] = core.options.rtoInitialNs;
  times[s * TIMES + Time.Progress] = core.clock[Clock.Now]!;
}

/** RFC 6298 section 2. */
export function sampleRtt(core: Core, s: number, rttNs: number): void {
  const t = s * TIMES;
  const times = core.times;
  const srtt = times[t + Time.Srtt]!;
  if (srtt === 0) {
    times[t + Time.Srtt] = Math.max(1, rttNs);
    times[t + Time.RttVar] = rttNs / 2;
  } else {
    times[t + Time.RttVar] = 0.75 * times[t + Time.RttVar]! + 0.25 * Math.abs(srtt - rttNs);
    times[t + Time.Srtt] = 0.875 * srtt + 0.125 * rttNs;
  }
  const rto = times[t + Time.Srtt]! + Math.max(GRANULARITY_NS, 4 * times[t + Time.RttVar]!);
  times[t + Time.Rto] = Math.min(core.options.rtoMaxNs, Math.max(core.options.rtoMinNs, rto));
}

/** Sets the timer for what is in flight, or none. `anew`: something was acknowledged, so that it starts again. */
export function armRetransmission(core: Core, s: number, anew: boolean): void {
  const { cells, times } = core;
  const at = s * CELLS;
  const mode = cells[at + Cell.TimerMode]!;
  if (cells[at + Cell.SndUna] === cells[at + Cell.SndNxt]) {
    if (mode === TimerMode.Retransmit || mode === TimerMode.TailProbe) {
      cells[at + Cell.TimerMode] = TimerMode.None;
      clearDeadline(core, s, Time.Retransmit);
    }
    return;
  }
  const now = core.clock[Clock.Now]!;
  const rto = Math.min(core.options.rtoMaxNs, times[s * TIMES + Time.Rto]! * (1 << cells[at + Cell.Backoff]!));
  const probe = Math.max(PROBE_MIN_NS, 2 * times[s * TIMES + Time.Srtt]!);
  // One segment alone may wait for the target's delayed acknowledgement: there the time-out is as soon as a probe.
  const mayProbe =
    cells[at + Cell.Recovery] === RecoveryMode.None &&
    cells[at + Cell.Backoff] === 0 &&
    probe < rto &&
    times[s * TIMES + Time.Srtt]! > 0 &&
    cells[at + Cell.Head] !== lastSent(core, s);
  if (mayProbe) {
    cells[at + Cell.TimerMode] = TimerMode.TailProbe;
    setDeadline(core, s, Time.Retransmit, now + probe);
  } else if (anew || mode === TimerMode.None || mode === TimerMode.Persist) {
    cells[at + Cell.TimerMode] = TimerMode.Retransmit;
    setDeadline(core, s, Time.Retransmit, now + rto);
  }
}

/** Something new was acknowledged. `acked`: sequence numbers, SndUna already moved. */
export function noteAdvance(core: Core, s: number, acked: number): void {
  const { cells, times } = core;
  const at = s * CELLS;
  const now = core.clock[Clock.Now]!;
  times[s * TIMES + Time.Progress] = now;
  if (hasFlag(core, s, SessionFlag.Timing) && !seqBefore(cells[at + Cell.SndUna]!, cells[at + Cell.RttSeq]!)) {
    clearFlag(core, s, SessionFlag.Timing);
    sampleRtt(core, s, now - times[s * TIMES + Time.RttStart]!);
  }
  cells[at + Cell.Backoff] = 0;
  cells[at + Cell.DuplicateAcks] = 0;
  if (cells[at + Cell.Recovery] === RecoveryMode.None) growWindow(core, s, acked);
  else if (!seqBefore(cells[at + Cell.SndUna]!, cells[at + Cell.RecoverSeq]!)) leaveRecovery(core, s);
  else {
    if (cells[at + Cell.Recovery] === RecoveryMode.Loss) growWindow(core, s, acked);
    const segments = 1 + Math.ceil(acked / Math.max(1, cells[at + Cell.SendMss]!));
    retransmitHoles(core, s, segments);
  }
  armRetransmission(core, s, true);
}

/** Slow start with appropriate byte counting (RFC 3465, L = 2), then about a segment per round trip. */
function growWindow(core: Core, s: number, acked: number): void {
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

function leaveRecovery(core: Core, s: number): void {
  const at = s * CELLS;
  const { cells } = core;
  if (cells[at + Cell.Recovery] === RecoveryMode.Fast) {
    cells[at + Cell.CongestionWindow] = cells[at + Cell.SlowStartThreshold]!;
  }
  cells[at + Cell.Recovery] = RecoveryMode.None;
}

/** An acknowledgement without news while something is in flight, or with new SACK blocks. */
export function noteDuplicateAck(core: Core, s: number, hasNewSack: boolean): void {
  const { cells } = core;
  const at = s * CELLS;
  core.bump(Count.TargetDuplicateAcks);
  const duplicates = cells[at + Cell.DuplicateAcks]! + 1;
  cells[at + Cell.DuplicateAcks] = duplicates;
  if (cells[at + Cell.Recovery] !== RecoveryMode.None) {
    if (hasFlag(core, s, SessionFlag.Sack)) {
      if (hasNewSack) retransmitHoles(core, s, 1);
    } else if (cells[at + Cell.Recovery] === RecoveryMode.Fast) {
      cells[at + Cell.CongestionWindow]! += cells[at + Cell.SendMss]!;
    }
    return;
  }
  const isBeyond =
    hasNewSack &&
    seqDelta(cells[at + Cell.SndUna]!, cells[at + Cell.HighSacked]!) > DUPLICATE_ACKS * cells[at + Cell.SendMss]!;
  if (duplicates >= DUPLICATE_ACKS || isBeyond) enterRecovery(core, s);
}

function enterRecovery(core: Core, s: number): void {
  const { cells } = core;
  const at = s * CELLS;
  shrinkThreshold(core, s);
  const inflation = hasFlag(core, s, SessionFlag.Sack) ? 0 : DUPLICATE_ACKS * cells[at + Cell.SendMss]!;
  cells[at + Cell.CongestionWindow] = cells[at + Cell.SlowStartThreshold]! + inflation;
  beginRecovery(core, s, RecoveryMode.Fast);
  retransmitHoles(core, s, 1);
  armRetransmission(core, s, true);
}

function shrinkThreshold(core: Core, s: number): void {
  const { cells } = core;
  const at = s * CELLS;
  if (!core.options.congestionControl) return;
  const flight = seqDelta(cells[at + Cell.SndUna]!, cells[at + Cell.SndNxt]!);
  cells[at + Cell.SlowStartThreshold] = Math.max(flight >>> 1, 2 * cells[at + Cell.SendMss]!);
}

/** What is in flight counts as not retransmitted in this recovery. */
function beginRecovery(core: Core, s: number, mode: number): void {
  const { cells, pool } = core;
  const at = s * CELLS;
  cells[at + Cell.Recovery] = mode;
  cells[at + Cell.RecoverSeq] = cells[at + Cell.SndNxt]!;
  const end = cells[at + Cell.NextSend]!;
  for (let seg = cells[at + Cell.Head]!; seg >= 0 && seg !== end; seg = pool.get(seg, Seg.Next)) {
    pool.unmark(seg, SegFlag.Retransmitted);
  }
}

/** Retransmits up to `most` segments that count as lost, from the first on. */
function retransmitHoles(core: Core, s: number, most: number): void {
  const { cells, pool } = core;
  const at = s * CELLS;
  const recover = cells[at + Cell.RecoverSeq]!;
  const end = cells[at + Cell.NextSend]!;
  let left = most;
  for (let seg = cells[at + Cell.Head]!; seg >= 0 && seg !== end && left > 0; seg = pool.get(seg, Seg.Next)) {
    if (!seqBefore(pool.get(seg, Seg.TargetSeq), recover)) return;
    if (!countsAsLost(core, s, seg)) continue;
    if (!retransmit(core, s, seg, Count.RetransmittedFast)) return;
    left--;
  }
}

function countsAsLost(core: Core, s: number, seg: number): boolean {
  const { cells, pool } = core;
  const at = s * CELLS;
  if (pool.has(seg, SegFlag.Sacked)) return false;
  const highSacked = cells[at + Cell.HighSacked]!;
  // Sent again, and what was sent after that has arrived: it was lost again.
  if (pool.has(seg, SegFlag.Retransmitted)) return seqAfter(highSacked, pool.get(seg, Seg.RetransmitMark));
  if (seg === cells[at + Cell.Head] || cells[at + Cell.Recovery] === RecoveryMode.Loss) return true;
  return hasFlag(core, s, SessionFlag.Sack) && seqBefore(pool.get(seg, Seg.TargetSeq), highSacked);
}

function retransmit(core: Core, s: number, seg: number, kind: Count): boolean {
  if (!transmit(core, s, seg)) return false;
  core.pool.mark(seg, SegFlag.Retransmitted);
  core.pool.set(seg, Seg.RetransmitMark, core.cells[s * CELLS + Cell.SndNxt]!);
  // Karn: what was sent twice cannot be timed.
  clearFlag(core, s, SessionFlag.Timing);
  core.bump(kind);
  return true;
}

/** Marks the segments that a SACK block names; returns whether any is new. */
export function noteSack(core: Core, s: number, left: number, right: number): boolean {
  const { cells, pool } = core;
  const at = s * CELLS;
  const una = cells[at + Cell.SndUna]!;
  if (!seqAfter(right, left) || seqBefore(left, una) || seqAfter(right, cells[at + Cell.SndNxt]!)) return false;
  let isNew = false;
  const end = cells[at + Cell.NextSend]!;
  for (let seg = cells[at + Cell.Head]!; seg >= 0 && seg !== end; seg = pool.get(seg, Seg.Next)) {
    const first = pool.get(seg, Seg.TargetSeq);
    if (!seqBefore(first, right)) break;
    const span = pool.targetSpan(seg);
    if (seqBefore(first, left) || seqDelta(first, right) < span || pool.has(seg, SegFlag.Sacked)) continue;
    pool.mark(seg, SegFlag.Sacked);
    cells[at + Cell.SackedBytes]! += span;
    isNew = true;
  }
  if (seqAfter(right, cells[at + Cell.HighSacked]!)) cells[at + Cell.HighSacked] = right;
  return isNew;
}

/** RFC 6298 section 5: the time-out. */
export function onTimeout(core: Core, s: number): void {
  const { cells, pool } = core;
  const at = s * CELLS;
  if (cells[at + Cell.Backoff] === 0) shrinkThreshold(core, s);
  if (core.options.congestionControl) cells[at + Cell.CongestionWindow] = cells[at + Cell.SendMss]!;
  if (cells[at + Cell.Backoff]! < BACKOFF_MAX) cells[at + Cell.Backoff]! += 1;
  cells[at + Cell.DuplicateAcks] = 0;
  beginRecovery(core, s, RecoveryMode.Loss);
  if (cells[at + Cell.Backoff]! > 1) forgetSacks(core, s);
  const head = cells[at + Cell.Head]!;
  if (head >= 0 && pool.has(head, SegFlag.Sent)) retransmit(core, s, head, Count.RetransmittedTimeout);
  cells[at + Cell.TimerMode] = TimerMode.Retransmit;
  armRetransmission(core, s, true);
}

/** A receiver may discard what it has named in SACK blocks (RFC 2018 section 8). */
function forgetSacks(core: Core, s: number): void {
  const { cells, pool } = core;
  const at = s * CELLS;
  const end = cells[at + Cell.NextSend]!;
  for (let seg = cells[at + Cell.Head]!; seg >= 0 && seg !== end; seg = pool.get(seg, Seg.Next)) {
    pool.unmark(seg, SegFlag.Sacked);
  }
  cells[at + Cell.SackedBytes] = 0;
  cells[at + Cell.HighSacked] = cells[at + Cell.SndUna]!;
}

/** Sends the last segment again, so that its acknowledgement shows what is missing before it. */
export function onTailProbe(core: Core, s: number): void {
  const last = lastSent(core, s);
  if (last >= 0) retransmit(core, s, last, Count.RetransmittedProbe);
  const at = s * CELLS;
  core.cells[at + Cell.TimerMode] = TimerMode.Retransmit;
  setDeadline(core, s, Time.Retransmit, core.clock[Clock.Now]! + core.times[s * TIMES + Time.Rto]!);
}

/** Probes a closed window: a number that was acknowledged already makes the target tell its window. */
export function onPersist(core: Core, s: number): void {
  const { cells, times } = core;
  const at = s * CELLS;
  if (sendControl(core, s, TcpFlag.Ack, (cells[at + Cell.SndUna]! - 1) | 0)) core.bump(Count.WindowProbes);
  if (cells[at + Cell.Backoff]! < BACKOFF_MAX) cells[at + Cell.Backoff]! += 1;
  const wait = Math.min(core.options.rtoMaxNs, times[s * TIMES + Time.Rto]! * (1 << cells[at + Cell.Backoff]!));
  setDeadline(core, s, Time.Retransmit, core.clock[Clock.Now]! + wait);
}

/** The first part of a connection's window: the target's MSS is known now. */
export function initialWindow(core: Core, s: number): void {
  if (!core.options.congestionControl) return;
  core.cells[s * CELLS + Cell.CongestionWindow] = INITIAL_WINDOW_SEGMENTS * segmentBytesMax(core, s);
}
