/**
 * HOT: what a TCP sender does about time and loss: round-trip times and the retransmission time-out (RFC 6298), probes
 * of the tail and the wait for what was overtaken (RFC 8985 sections 7 and 6.2, simplified), loss told by what was sent
 * later and has arrived (`scoreboard.ts`), recovery (RFC 6675; RFC 6582 without SACK), time-outs that prove too early
 * (RFC 5682). How much may be under way: `congestion.ts`.
 */
import { seqBefore } from '../wire/seq.ts';
import { TcpFlag } from '../wire/tcp.ts';
import {
  collapseWindow,
  fitsCongestionWindow,
  growWindow,
  judgeLoss,
  mayGrow,
  resetWindow,
  restoreWindow,
  underWay,
} from './congestion.ts';
import { Clock, type Core, clearDeadline, hasFlag, setDeadline } from './core.ts';
import { Count } from './counts.ts';
import { sendControl } from './packet_builder.ts';
import {
  clearScoreboard,
  findLost,
  forgetSacks,
  markAllLost,
  markLost,
  noteResent,
  relaxDistance,
  unmarkLost,
} from './scoreboard.ts';
import { lastSent } from './segment_list.ts';
import { Seg, SegFlag } from './segment_pool.ts';
import { transmit } from './sender.ts';
import { CELLS, Cell, RecoveryMode, SessionFlag, TIMES, Time, TimerMode } from './session_cells.ts';
import { TICK_NS } from './timer_wheel.ts';

const DUPLICATE_ACKS = 3;
/** RFC 6298 section 2: the clock's granularity. */
const GRANULARITY_NS = 1_000_000;
/** Least time-out of a probe; and what it waits more for a single segment, as its acknowledgement may be delayed. */
const PROBE_MIN_NS = 10_000_000;
const ACK_DELAY_NS = 50_000_000;
/** Least time in which segments that were overtaken may still come. */
const REORDER_MIN_NS = 1_000_000;
const BACKOFF_MAX = 12;

/** Sender's state at the start of a connection. */
export function resetSender(core: Core, s: number): void {
  const { cells, times } = core;
  const at = s * CELLS;
  resetWindow(core, s);
  clearScoreboard(core, s);
  cells[at + Cell.DuplicateAcks] = 0;
  cells[at + Cell.Recovery] = RecoveryMode.None;
  cells[at + Cell.Backoff] = 0;
  cells[at + Cell.TimerMode] = TimerMode.None;
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
  const probe = probeNs(core, s);
  const mayProbe = cells[at + Cell.Backoff] === 0 && probe < rto && times[s * TIMES + Time.Srtt]! > 0;
  if (mayProbe) {
    cells[at + Cell.TimerMode] = TimerMode.TailProbe;
    setDeadline(core, s, Time.Retransmit, now + probe);
  } else if (anew || mode === TimerMode.None || mode === TimerMode.Persist) {
    cells[at + Cell.TimerMode] = TimerMode.Retransmit;
    setDeadline(core, s, Time.Retransmit, now + rto);
  }
}

/** How long to wait for news of what is in flight before something is done that brings some. */
function probeNs(core: Core, s: number): number {
  const at = s * CELLS;
  const srtt = core.times[s * TIMES + Time.Srtt]!;
  // Something was overtaken: it comes within a part of a round trip, or not at all (RFC 8985 section 6.2).
  if (hasOvertaken(core, s)) return Math.max(REORDER_MIN_NS, srtt / 4);
  const isSingle = core.cells[at + Cell.Head] === lastSent(core, s);
  return Math.max(PROBE_MIN_NS, 2 * srtt) + (isSingle ? ACK_DELAY_NS : 0);
}

/** Whether something that was sent later has arrived, and something sent before may still be under way. */
function hasOvertaken(core: Core, s: number): boolean {
  const { cells, pool } = core;
  const at = s * CELLS;
  const arrived = cells[at + Cell.ArrivedOrder]!;
  const resent = cells[at + Cell.ResentHead]!;
  if (resent >= 0 && seqBefore(pool.get(resent, Seg.Order), arrived)) return true;
  // The first one that is not judged yet (`findLost`), if it was sent.
  const judged = cells[at + Cell.Judged]!;
  const seg = judged < 0 ? cells[at + Cell.Head]! : pool.get(judged, Seg.Next);
  return seg >= 0 && seg !== cells[at + Cell.NextSend] && seqBefore(pool.get(seg, Seg.Order), arrived);
}

/** Something new was acknowledged. `acked`: sequence numbers, SndUna already moved. */
export function noteAdvance(core: Core, s: number, acked: number): void {
  const { cells, times } = core;
  const at = s * CELLS;
  times[s * TIMES + Time.Progress] = core.clock[Clock.Now]!;
  cells[at + Cell.Backoff] = 0;
  cells[at + Cell.DuplicateAcks] = 0;
  if (cells[at + Cell.WindowBefore]! < 0) undoTimeout(core, s);
  if (mayGrow(core, s)) growWindow(core, s, acked);
  if (cells[at + Cell.Recovery] !== RecoveryMode.None) {
    if (!seqBefore(cells[at + Cell.SndUna]!, cells[at + Cell.RecoverSeq]!)) leaveRecovery(core, s);
    // Without SACK an acknowledgement that ends short of all shows the next hole (RFC 6582).
    else if (cells[at + Cell.Recovery] === RecoveryMode.Fast && !hasFlag(core, s, SessionFlag.Sack)) {
      markFirstLost(core, s);
    }
  }
  takeLosses(core, s, cells[at + Cell.Distance]!);
  armRetransmission(core, s, true);
}

function leaveRecovery(core: Core, s: number): void {
  const at = s * CELLS;
  const { cells } = core;
  const isInflated = cells[at + Cell.Recovery] === RecoveryMode.Fast && !hasFlag(core, s, SessionFlag.Sack);
  if (isInflated) cells[at + Cell.CongestionWindow] = cells[at + Cell.SlowStartThreshold]!;
  relaxDistance(core, s);
  cells[at + Cell.Recovery] = RecoveryMode.None;
  cells[at + Cell.EpochLost] = 0;
  cells[at + Cell.WindowBefore] = 0;
}

/** An acknowledgement without news while something is in flight, or with new SACK blocks. */
export function noteDuplicateAck(core: Core, s: number, hasNewSack: boolean): void {
  const { cells } = core;
  const at = s * CELLS;
  core.bump(Count.TargetDuplicateAcks);
  if (hasFlag(core, s, SessionFlag.Sack)) {
    if (!hasNewSack) return;
    takeLosses(core, s, cells[at + Cell.Distance]!);
    armRetransmission(core, s, false);
    return;
  }
  const duplicates = cells[at + Cell.DuplicateAcks]! + 1;
  cells[at + Cell.DuplicateAcks] = duplicates;
  if (cells[at + Cell.Recovery] === RecoveryMode.Fast) {
    cells[at + Cell.CongestionWindow]! += cells[at + Cell.SendMss]!;
  } else if (cells[at + Cell.Recovery] === RecoveryMode.None && duplicates >= DUPLICATE_ACKS) {
    markFirstLost(core, s);
    takeLosses(core, s, cells[at + Cell.Distance]!);
    cells[at + Cell.CongestionWindow]! += DUPLICATE_ACKS * cells[at + Cell.SendMss]!;
  }
}

/** What came after a time-out was sent before it: the target was only slow, and nothing need be sent again. */
function undoTimeout(core: Core, s: number): void {
  unmarkLost(core, s);
  restoreWindow(core, s);
  core.cells[s * CELLS + Cell.Recovery] = RecoveryMode.None;
}

function markFirstLost(core: Core, s: number): void {
  const head = core.cells[s * CELLS + Cell.Head]!;
  if (head >= 0 && core.pool.has(head, SegFlag.Sent) && !core.pool.has(head, SegFlag.Lost)) markLost(core, s, head);
}

/** Looks for what was lost, and begins recovery when there is something. */
function takeLosses(core: Core, s: number, distance: number): void {
  const { cells } = core;
  const at = s * CELLS;
  if (cells[at + Cell.WindowBefore]! < 0) undoTimeout(core, s);
  findLost(core, s, distance);
  if (cells[at + Cell.LostHead]! < 0) return;
  const isFirst = cells[at + Cell.Recovery] === RecoveryMode.None;
  if (isFirst) {
    cells[at + Cell.Recovery] = RecoveryMode.Fast;
    cells[at + Cell.RecoverSeq] = cells[at + Cell.SndNxt]!;
    if (!hasFlag(core, s, SessionFlag.Sack)) cells[at + Cell.SlowStartThreshold] = cells[at + Cell.CongestionWindow]!;
  }
  judgeLoss(core, s);
  if (!isFirst) return;
  resendLost(core, s, true, Count.RetransmittedFast);
  armRetransmission(core, s, true);
}

/**
 * Sends again what counts as lost, as far as the congestion window allows; `isForced`: the first of it in any case.
 * Without room in the emitter the next tick goes on.
 */
export function resendLost(core: Core, s: number, isForced: boolean, kind: Count): void {
  const { cells, pool } = core;
  const at = s * CELLS;
  let mayPass = isForced;
  for (let seg = cells[at + Cell.LostHead]!; seg >= 0; seg = cells[at + Cell.LostHead]!) {
    if (!mayPass && !fitsCongestionWindow(core, s, pool.targetSpan(seg))) return;
    if (!retransmit(core, s, seg, kind)) {
      setDeadline(core, s, Time.Pace, core.clock[Clock.Now]! + TICK_NS);
      return;
    }
    mayPass = false;
  }
}

/**
 * Behind a time-out new bytes go first, as their acknowledgement tells whether anything was lost (RFC 5682): without
 * any, what counts as lost is sent again.
 */
export function resendIfNeeded(core: Core, s: number): void {
  if (underWay(core, s) > 0) return;
  core.cells[s * CELLS + Cell.WindowBefore] = 0;
  resendLost(core, s, false, Count.RetransmittedFast);
}

function retransmit(core: Core, s: number, seg: number, kind: Count): boolean {
  if (!transmit(core, s, seg)) return false;
  noteResent(core, s, seg);
  core.bump(kind);
  return true;
}

/** RFC 6298 section 5: the time-out. */
export function onTimeout(core: Core, s: number): void {
  const { cells } = core;
  const at = s * CELLS;
  collapseWindow(core, s);
  if (cells[at + Cell.Backoff]! < BACKOFF_MAX) cells[at + Cell.Backoff]! += 1;
  cells[at + Cell.DuplicateAcks] = 0;
  cells[at + Cell.Recovery] = RecoveryMode.Loss;
  cells[at + Cell.RecoverSeq] = cells[at + Cell.SndNxt]!;
  if (cells[at + Cell.Backoff]! > 1) forgetSacks(core, s);
  markAllLost(core, s);
  resendLost(core, s, true, Count.RetransmittedTimeout);
  cells[at + Cell.TimerMode] = TimerMode.Retransmit;
  armRetransmission(core, s, true);
}

/**
 * Sends the last segment again, so that its acknowledgement shows what is missing before it; in recovery the first one,
 * which all others wait for. Where something was overtaken, it counts as lost now.
 */
export function onTailProbe(core: Core, s: number): void {
  const at = s * CELLS;
  if (hasOvertaken(core, s)) takeLosses(core, s, 1);
  else {
    const isRecovering = core.cells[at + Cell.Recovery] !== RecoveryMode.None;
    const seg = isRecovering ? firstMissing(core, s) : lastMissing(core, s);
    if (seg >= 0) retransmit(core, s, seg, Count.RetransmittedProbe);
  }
  resendLost(core, s, false, Count.RetransmittedFast);
  core.cells[at + Cell.TimerMode] = TimerMode.Retransmit;
  setDeadline(core, s, Time.Retransmit, core.clock[Clock.Now]! + core.times[s * TIMES + Time.Rto]!);
}

/** The first segment in flight that has not arrived, or -1: a target may name even the very first in a SACK block. */
function firstMissing(core: Core, s: number): number {
  const end = core.cells[s * CELLS + Cell.NextSend]!;
  let seg = core.cells[s * CELLS + Cell.Head]!;
  while (seg >= 0 && seg !== end && core.pool.has(seg, SegFlag.Sacked)) seg = core.pool.get(seg, Seg.Next);
  return seg === end ? -1 : seg;
}

/** The last segment in flight that has not arrived, or -1. */
function lastMissing(core: Core, s: number): number {
  let seg = lastSent(core, s);
  while (seg >= 0 && core.pool.has(seg, SegFlag.Sacked)) seg = core.pool.get(seg, Seg.Previous);
  return seg;
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
