/**
 * HOT: sends a session's stored segments in order, as far as pacing, the target's window and the congestion window
 * allow. What was lost is `recovery.ts`'s.
 */
import { seqAdd, seqDelta } from '../wire/seq.ts';
import { TcpFlag } from '../wire/tcp.ts';
import { fitsCongestionWindow } from './congestion.ts';
import { Clock, type Core, clearDeadline, hasFlag, setDeadline } from './core.ts';
import { Count } from './counts.ts';
import { mayBegin, noteBegun } from './pacing.ts';
import {
  dataFlags,
  joinBytes,
  mayPlace,
  segmentBytesMax,
  sendBytes,
  sendControl,
  sendInPlace,
} from './packet_builder.ts';
import { armRetransmission } from './recovery.ts';
import { noteSent } from './scoreboard.ts';
import { splitSegment } from './segment_list.ts';
import { Seg, SegFlag } from './segment_pool.ts';
import { CELLS, Cell, SessionFlag, TIMES, Time, TimerMode } from './session_cells.ts';
import { maySendData, moveSession, State } from './states.ts';
import { TICK_NS } from './timer_wheel.ts';

const RENEWAL_WAIT_NS = 2_000_000_000;
const ANY_END = SegFlag.Fin | SegFlag.OwnFin | SegFlag.Reset;

/** Why `pump` stopped. */
export const Stop = {
  /** Nothing waits. */
  Empty: 0,
  /** No connection, pacing, windows, or no room in the emitter: an event or a deadline goes on. */
  Wait: 1,
  /** The bytes that come next are not there. */
  Gap: 2,
  /** The client's RST is next. */
  Reset: 3,
} as const;
export type Stop = (typeof Stop)[keyof typeof Stop];

/** Sends what may be sent. */
export function pump(core: Core, s: number): Stop {
  const { cells, pool } = core;
  const at = s * CELLS;
  for (;;) {
    const seg = cells[at + Cell.NextSend]!;
    if (seg < 0) return Stop.Empty;
    const isReset = pool.has(seg, SegFlag.Reset);
    // A RST may follow our FIN; nothing else may.
    if (!maySendData(cells[at + Cell.State]!) && !(isReset && cells[at + Cell.State]! >= State.Open)) return Stop.Wait;
    if (!pool.has(seg, SegFlag.OwnFin) && pool.get(seg, Seg.ClientSeq) !== cells[at + Cell.ClientSent]!)
      return Stop.Gap;
    if (!mayBegin(core, s, seg)) return Stop.Wait;
    if (isReset) {
      // A RST throws away what is still on its way: it waits until that has arrived.
      return cells[at + Cell.SndUna] === cells[at + Cell.SndNxt] ? Stop.Reset : Stop.Wait;
    }
    if (!pool.has(seg, ANY_END) && !fitsWindows(core, s, seg)) return Stop.Wait;
    if (!transmitFirst(core, s, seg)) {
      // No room in the emitter: the next tick finds some.
      setDeadline(core, s, Time.Pace, core.clock[Clock.Now]! + TICK_NS);
      return Stop.Wait;
    }
  }
}

/** Whether the windows have room for a segment. A target's window that is small but open gets a part of it. */
function fitsWindows(core: Core, s: number, seg: number): boolean {
  const { cells } = core;
  const at = s * CELLS;
  const length = core.pool.get(seg, Seg.Length);
  const flight = seqDelta(cells[at + Cell.SndUna]!, cells[at + Cell.SndNxt]!);
  const window = cells[at + Cell.PeerWindow]!;
  if (flight + length > window) {
    // While something is in flight its acknowledgement brings the window's next edge.
    if (flight > 0) return false;
    if (window === 0 || !splitSegment(core, s, seg, window)) {
      armPersist(core, s);
      return false;
    }
    return true;
  }
  return fitsCongestionWindow(core, s, length);
}

/** RFC 9293 section 3.8.6.1: a closed window is probed, first after the retransmission time-out, then less often. */
function armPersist(core: Core, s: number): void {
  const at = s * CELLS;
  if (core.cells[at + Cell.TimerMode] === TimerMode.Persist) return;
  core.cells[at + Cell.TimerMode] = TimerMode.Persist;
  core.cells[at + Cell.Backoff] = 0;
  setDeadline(core, s, Time.Retransmit, core.clock[Clock.Now]! + core.times[s * TIMES + Time.Rto]!);
}

/** Sends a segment for the first time; false: the emitter has no room. */
function transmitFirst(core: Core, s: number, seg: number): boolean {
  const { cells, pool } = core;
  const at = s * CELLS;
  pool.set(seg, Seg.TargetSeq, cells[at + Cell.SndNxt]!);
  if (!transmit(core, s, seg)) return false;
  const next = seqAdd(cells[at + Cell.SndNxt]!, pool.targetSpan(seg)) | 0;
  cells[at + Cell.SndNxt] = next;
  cells[at + Cell.NextSend] = pool.get(seg, Seg.Next);
  if (!pool.has(seg, SegFlag.OwnFin)) {
    cells[at + Cell.ClientSent] = seqAdd(pool.get(seg, Seg.ClientSeq), pool.clientSpan(seg));
  }
  pool.mark(seg, SegFlag.Sent);
  noteSent(core, s, seg);
  if (pool.has(seg, SegFlag.Fin | SegFlag.OwnFin)) noteFinSent(core, s);
  else noteBegun(core, s, seg);
  armRetransmission(core, s, false);
  return true;
}

function noteFinSent(core: Core, s: number): void {
  core.bump(Count.FinPackets);
  const state = core.cells[s * CELLS + Cell.State];
  moveSession(core.cells, s * CELLS + Cell.State, state === State.TargetClosed ? State.LastAck : State.FinSent);
  // A session that goes on with another connection does not wait long for this one's end.
  const wait = hasFlag(core, s, SessionFlag.Renew) ? RENEWAL_WAIT_NS : core.options.finWaitNs;
  setDeadline(core, s, Time.Life, core.clock[Clock.Now]! + wait);
}

/** Sends a segment's bytes, in as many packets as the path wants; false: the emitter had no room for the first one. */
export function transmit(core: Core, s: number, seg: number): boolean {
  const pool = core.pool;
  const seq = pool.get(seg, Seg.TargetSeq);
  if (pool.has(seg, SegFlag.Fin | SegFlag.OwnFin)) return sendControl(core, s, TcpFlag.Fin | TcpFlag.Ack, seq);
  const length = pool.get(seg, Seg.Length);
  if (joinBytes(core, s, dataFlags(core, seg), seq, seg, 0, length)) {
    core.bump(Count.DataPackets);
    core.add(Count.BytesSent, length);
    return true;
  }
  if (mayPlace(core, s, seg)) {
    if (!sendInPlace(core, s, seg)) return false;
    core.bump(Count.DataPackets);
    core.add(Count.BytesSent, length);
    return true;
  }
  const most = segmentBytesMax(core, s);
  let offset = 0;
  while (offset < length) {
    const piece = Math.min(most, length - offset);
    const flags = offset + piece === length ? dataFlags(core, seg) : TcpFlag.Ack;
    // What finds no room after the first piece counts as lost on the way: retransmission sends it.
    const from = seqAdd(seq, offset) | 0;
    const isJoined = joinBytes(core, s, flags, from, seg, offset, piece);
    if (!isJoined && !sendBytes(core, s, flags, from, seg, offset, piece)) return offset > 0;
    core.bump(Count.DataPackets);
    core.add(Count.BytesSent, piece);
    offset += piece;
  }
  return true;
}

/** Ends the wait for a closed window once it has opened. */
export function leavePersist(core: Core, s: number): void {
  const at = s * CELLS;
  if (core.cells[at + Cell.TimerMode] !== TimerMode.Persist || core.cells[at + Cell.PeerWindow] === 0) return;
  core.cells[at + Cell.TimerMode] = TimerMode.None;
  core.cells[at + Cell.Backoff] = 0;
  clearDeadline(core, s, Time.Retransmit);
}
