/**
 * HOT: a session's connection at the target: opening it, losing it, opening another, ending the session.
 *
 * A session outlives its connections: where the target closes, resets, refuses or stays silent while the client goes on
 * with production, the session is Idle and its next request opens a connection of its own (a *renewal*). Requests that
 * the target has acknowledged in part are not repeated; those of which it has acknowledged nothing are.
 */
import { seqAdd } from '../wire/seq.ts';
import { Clock, type Core, clearFlag, hasFlag, setDeadline, setFlag } from './core.ts';
import { Count } from './counts.ts';
import { sendReset, sendSyn } from './packet_builder.ts';
import { resetSender } from './recovery.ts';
import { unqueue } from './scoreboard.ts';
import { lastSent, linkAfter, removeSegment, skipAll, skipSegment, skipUnsent } from './segment_list.ts';
import { Seg, SegFlag } from './segment_pool.ts';
import {
  CELLS,
  Cell,
  SessionFlag,
  TIME_FIRST_DEADLINE,
  TIME_LAST_DEADLINE,
  TIMES,
  Time,
  TimerMode,
} from './session_cells.ts';
import { isConnected, moveSession, State } from './states.ts';

/** Distance between the last connection's sequence numbers and the next one's: the target then takes it for newer. */
const RENEWAL_DISTANCE = 0x20000;
/** Connections in a row that may fail a request before it is given up. */
const BARREN_MAX = 2;

export function stateOf(core: Core, s: number): number {
  return core.cells[s * CELLS + Cell.State]!;
}

export function move(core: Core, s: number, to: State): void {
  moveSession(core.cells, s * CELLS + Cell.State, to);
}

/** Sends the SYN. Precondition: Free, Held or Idle; the client bytes sent first begin at `ClientSent`. */
export function connect(core: Core, s: number): void {
  const { cells } = core;
  const at = s * CELLS;
  const isRenewal = hasFlag(core, s, SessionFlag.HadConnection);
  const iss = isRenewal ? seqAdd(cells[at + Cell.SndNxt]!, RENEWAL_DISTANCE) : seqAdd(cells[at + Cell.ClientSent]!, -1);
  cells[at + Cell.Iss] = iss;
  cells[at + Cell.SndUna] = iss;
  cells[at + Cell.SndNxt] = seqAdd(iss, 1);
  cells[at + Cell.RcvNxt] = 0;
  cells[at + Cell.TsEcho] = 0;
  cells[at + Cell.ReplyBytes] = 0;
  cells[at + Cell.Unacknowledged] = 0;
  clearFlag(core, s, SessionFlag.Renew | SessionFlag.FinAcked | SessionFlag.Timestamps | SessionFlag.Sack);
  clearFlag(core, s, SessionFlag.WindowScale | SessionFlag.AckNow | SessionFlag.Ahead);
  setFlag(core, s, SessionFlag.HadConnection);
  if (isRenewal || !hasFlag(core, s, SessionFlag.HasIsn)) setFlag(core, s, SessionFlag.FreePass);
  move(core, s, State.SynSent);
  if (isRenewal) core.bump(Count.ConnectionsRenewed);
  core.pairing?.connected(s);
  resetSender(core, s);
  sendSyn(core, s);
  core.times[s * TIMES + Time.SynSent] = core.clock[Clock.Now]!;
  cells[at + Cell.TimerMode] = TimerMode.Syn;
  setDeadline(core, s, Time.Retransmit, core.clock[Clock.Now]! + core.options.rtoInitialNs);
}

/**
 * What is stored goes to a new connection, if a request begins with it; else the session waits for the next request.
 */
export function goIdle(core: Core, s: number): void {
  const { cells, pool } = core;
  const at = s * CELLS;
  const isDone = hasFlag(core, s, SessionFlag.ClientFin | SessionFlag.ClientReset);
  while (cells[at + Cell.Head]! >= 0 && cells[at + Cell.Head] !== cells[at + Cell.NextSend]) {
    skipSegment(core, s, cells[at + Cell.Head]!, Count.SkippedReset);
  }
  forgetConnection(core, s);
  const seg = cells[at + Cell.NextSend]!;
  if (seg >= 0 && pool.has(seg, SegFlag.Boundary) && pool.get(seg, Seg.ClientSeq) === cells[at + Cell.ClientSent]) {
    connect(core, s);
    return;
  }
  skipAll(core, s, Count.SkippedReset);
  if (isDone) endSession(core, s);
  else setFlag(core, s, SessionFlag.Skipping);
}

/** State Idle, no timers of a connection. */
function forgetConnection(core: Core, s: number): void {
  if (stateOf(core, s) !== State.Idle) move(core, s, State.Idle);
  resetSender(core, s);
  for (let which = TIME_FIRST_DEADLINE; which < Time.Life; which++) {
    core.times[s * TIMES + which] = Number.POSITIVE_INFINITY;
  }
  setDeadline(core, s, Time.Life, core.clock[Clock.Now]! + core.options.idleNs);
}

/** The connection is gone without an orderly end: by a RST, a refusal, silence. `cause`: a `Skipped*` counter. */
export function loseConnection(core: Core, s: number, cause: Count): void {
  const { cells, pool } = core;
  const at = s * CELLS;
  cells[at + Cell.Barren]! += 1;
  if (cells[at + Cell.Barren]! > BARREN_MAX || cause === Count.SkippedRefused || cause === Count.SkippedSilent) {
    skipAll(core, s, cause);
    goIdle(core, s);
    return;
  }
  // What is left of a request that the target has acknowledged in part cannot be sent to another connection.
  for (let seg = cells[at + Cell.Head]!; seg >= 0; seg = cells[at + Cell.Head]!) {
    if (pool.has(seg, SegFlag.Boundary) && pool.get(seg, Seg.Start) === 0) break;
    skipSegment(core, s, seg, cause);
  }
  sendAgain(core, s);
  goIdle(core, s);
}

/** Everything stored counts as not sent. */
function sendAgain(core: Core, s: number): void {
  const { cells, pool } = core;
  const at = s * CELLS;
  const end = cells[at + Cell.NextSend]!;
  const head = cells[at + Cell.Head]!;
  for (let seg = head; seg >= 0 && seg !== end; ) {
    const next = pool.get(seg, Seg.Next);
    if (pool.has(seg, SegFlag.Boundary)) core.bump(Count.RequestsResent);
    unqueue(core, s, seg);
    pool.unmark(seg, SegFlag.Sent | SegFlag.Sacked | SegFlag.Retransmitted);
    if (pool.has(seg, SegFlag.OwnFin)) removeSegment(core, s, seg);
    seg = next;
  }
  cells[at + Cell.NextSend] = cells[at + Cell.Head]!;
  cells[at + Cell.SackedBytes] = 0;
  if (cells[at + Cell.Head]! >= 0) cells[at + Cell.ClientSent] = pool.get(cells[at + Cell.Head]!, Seg.ClientSeq);
}

/**
 * Ends the connection in order because the bytes that it wants next will not come; the next request opens another.
 * Precondition: what was not sent has been given up, or begins a request.
 */
export function closeForRenewal(core: Core, s: number): void {
  const state = stateOf(core, s);
  if (!isConnected(state) || hasFlag(core, s, SessionFlag.Renew)) return;
  setFlag(core, s, SessionFlag.Renew);
  core.bump(Count.RequestsCut);
  if (state === State.FinSent || state === State.LastAck) return;
  const fin = core.pool.take(0);
  if (fin < 0) {
    // Not even room for a FIN: the connection is left to the target's own time-outs.
    skipAll(core, s, Count.SkippedFull);
    goIdle(core, s);
    return;
  }
  core.pool.mark(fin, SegFlag.OwnFin);
  core.pool.set(fin, Seg.ClientSeq, core.cells[s * CELLS + Cell.ClientSent]!);
  linkAfter(core, s, lastSent(core, s), fin);
}

/**
 * The client has gone without a FIN that was seen (idle, its port used again, the agent stops): what is stored is
 * delivered, then the connection is closed. Sessions without a connection end at once.
 */
export function finishClient(core: Core, s: number): void {
  if (hasFlag(core, s, SessionFlag.ClientFin | SessionFlag.ClientReset)) return;
  const state = stateOf(core, s);
  setFlag(core, s, SessionFlag.ClientFin);
  clearFlag(core, s, SessionFlag.Skipping);
  if (state === State.Idle || state === State.Linger) {
    endSession(core, s);
    return;
  }
  if (hasFlag(core, s, SessionFlag.Renew) || state === State.FinSent || state === State.LastAck) return;
  const end = cutAtGap(core, s, Count.SkippedGap);
  const fin = core.pool.take(0);
  if (fin < 0) {
    endSession(core, s);
    return;
  }
  core.pool.mark(fin, SegFlag.OwnFin);
  core.pool.set(fin, Seg.ClientSeq, end);
  linkAfter(core, s, core.cells[s * CELLS + Cell.Tail]!, fin);
}

/** Frees what lies behind a gap; returns the sequence number up to which client bytes are stored. */
export function cutAtGap(core: Core, s: number, cause: Count): number {
  const { cells, pool } = core;
  let end = cells[s * CELLS + Cell.ClientSent]!;
  for (let seg = cells[s * CELLS + Cell.NextSend]!; seg >= 0; ) {
    const next = pool.get(seg, Seg.Next);
    if (!pool.has(seg, SegFlag.OwnFin)) {
      if (pool.get(seg, Seg.ClientSeq) === end) end = seqAdd(end, pool.clientSpan(seg)) | 0;
      else skipSegment(core, s, seg, cause);
    }
    seg = next;
  }
  cells[s * CELLS + Cell.ClientNext] = end;
  return end;
}

/** Both FINs are acknowledged: the session lingers, or opens its next connection. */
export function connectionClosed(core: Core, s: number): void {
  if (hasFlag(core, s, SessionFlag.Renew)) {
    goIdle(core, s);
    return;
  }
  skipUnsent(core, s, Count.SkippedClosing);
  move(core, s, State.Linger);
  core.times[s * TIMES + Time.Retransmit] = Number.POSITIVE_INFINITY;
  setDeadline(core, s, Time.Life, core.clock[Clock.Now]! + core.options.lingerNs);
  if (hasFlag(core, s, SessionFlag.Hurry)) endSession(core, s);
}

/** The client's RST, once everything before it is sent. */
export function sendClientReset(core: Core, s: number): void {
  // Without room in the emitter it would be lost: then the next tick sends it.
  if (!sendReset(core, s, core.cells[s * CELLS + Cell.SndNxt]!, true)) {
    setDeadline(core, s, Time.Pace, core.clock[Clock.Now]! + 1);
    return;
  }
  endSession(core, s);
}

/** Frees a session, and starts the incarnation that waited for its end. */
export function endSession(core: Core, s: number): void {
  skipAll(core, s, Count.SkippedClosing);
  core.pairing?.sessionEnded(s);
  core.wheel.cancel(s);
  for (let which = TIME_FIRST_DEADLINE; which <= TIME_LAST_DEADLINE; which++) {
    core.times[s * TIMES + which] = Number.POSITIVE_INFINITY;
  }
  move(core, s, State.Free);
  core.bump(Count.SessionsEnded);
  const successor = core.table.give(s);
  if (successor >= 0 && stateOf(core, successor) === State.Held) connect(core, successor);
}
