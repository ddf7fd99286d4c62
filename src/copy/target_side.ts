/**
 * HOT: what a target's segments do to a session. The target's bytes themselves are never needed: their number is
 * acknowledged, past holes as well, since nobody reads them.
 */
import { seqAdd, seqAfter, seqBefore, seqDelta } from '../wire/seq.ts';
import { TcpFlag } from '../wire/tcp.ts';
import { wake } from './client_side.ts';
import { pairReply } from './compare/hooks.ts';
import { initialWindow } from './congestion.ts';
import { Clock, type Core, clearFlag, hasFlag, setDeadline, setFlag } from './core.ts';
import { Count } from './counts.ts';
import { connectionClosed, endSession, loseConnection, move, stateOf } from './lifecycle.ts';
import { noteReply } from './pacing.ts';
import { sendAck, sendReset } from './packet_builder.ts';
import { armRetransmission, noteAdvance, noteDuplicateAck, resetSender, sampleRtt } from './recovery.ts';
import { noteSacks } from './scoreboard.ts';
import { acknowledge } from './segment_list.ts';
import { leavePersist } from './sender.ts';
import { CELLS, Cell, RecoveryMode, SessionFlag, TIMES, Time, TimerMode } from './session_cells.ts';
import { isConnected, State } from './states.ts';
import { Header } from './target_header.ts';

/** RFC 9293 section 3.7.1: what a side that names no MSS takes. */
const MSS_DEFAULT = 536;
const MSS_DEFAULT_IPV6 = 1220;
const MSS_MIN = 64;
/** Acknowledgements may be this old; older ones, or those of before the connection, are another connection's. */
const ACK_AGE_MAX = 1 << 24;
/** A target's numbers are at most a window from what is expected, and never less than this is taken for one. */
const WINDOW_MIN = 1 << 20;
/** Acknowledge at once when this many segments' bytes wait for it: a target in slow start depends on it. */
const ACK_SEGMENTS = 4;
/** Part of the first time-out after which a SYN is repeated that an old connection's remains have answered. */
const ASK_AGAIN_SHARE = 8;

/** Takes a target's header into session `s`. */
export function takeTargetHeader(core: Core, s: number, h: Int32Array): void {
  const state = stateOf(core, s);
  core.bump(Count.TargetHeaders);
  core.add(Count.TargetBytes, h[Header.PayloadBytes]!);
  if (state === State.SynSent) takeSynAnswer(core, s, h);
  else if (isConnected(state)) takeSegment(core, s, h);
  else if (state === State.Linger) takeLate(core, s, h);
  else core.bump(Count.TargetStray);
}

/** RFC 9293 section 3.10.7.3. */
function takeSynAnswer(core: Core, s: number, h: Int32Array): void {
  const { cells } = core;
  const at = s * CELLS;
  const flags = h[Header.Flags]!;
  if ((flags & TcpFlag.Ack) === 0) {
    core.bump(Count.TargetInvalid);
    return;
  }
  if (h[Header.Ack] !== cells[at + Cell.SndNxt]) {
    // Of a connection that the target still has with the same ports: it answers our RST by forgetting it.
    core.bump(Count.TargetInvalid);
    if ((flags & TcpFlag.Rst) !== 0) return;
    sendReset(core, s, h[Header.Ack]!, false);
    askAgain(core, s);
    return;
  }
  if ((flags & TcpFlag.Rst) !== 0) {
    core.bump(Count.TargetRefused);
    loseConnection(core, s, Count.SkippedRefused);
    return;
  }
  if ((flags & TcpFlag.Syn) === 0) {
    core.bump(Count.TargetInvalid);
    return;
  }
  open(core, s, h);
}

/** The target has answered, if for another connection: the next SYN comes soon, and is none of the tries in vain. */
function askAgain(core: Core, s: number): void {
  const { cells, clock, options, times } = core;
  const at = s * CELLS;
  if (clock[Clock.Now]! - times[s * TIMES + Time.Progress]! > options.silentNs) return;
  if (cells[at + Cell.Backoff]! > 0) cells[at + Cell.Backoff]! -= 1;
  setDeadline(core, s, Time.Retransmit, clock[Clock.Now]! + options.rtoInitialNs / ASK_AGAIN_SHARE);
}

/** Takes the SYN-ACK's terms, acknowledges it, sends what waits. */
function open(core: Core, s: number, h: Int32Array): void {
  const { cells, times } = core;
  const at = s * CELLS;
  const now = core.clock[Clock.Now]!;
  const isIpv6 = hasFlag(core, s, SessionFlag.Ipv6);
  const mss = h[Header.Mss]! || (isIpv6 ? MSS_DEFAULT_IPV6 : MSS_DEFAULT);
  const wanted = core.options.mss > 0 ? Math.min(mss, core.options.mss) : mss;
  cells[at + Cell.RcvNxt] = seqAdd(h[Header.Seq]!, 1);
  cells[at + Cell.SndUna] = cells[at + Cell.SndNxt]!;
  cells[at + Cell.PeerShift] = 0;
  if (h[Header.Shift]! >= 0 && cells[at + Cell.ClientShift]! >= 0) {
    setFlag(core, s, SessionFlag.WindowScale);
    cells[at + Cell.PeerShift] = h[Header.Shift]!;
  }
  cells[at + Cell.PeerWindow] = h[Header.Window]!;
  if (h[Header.HasTimestamps] === 1 && hasFlag(core, s, SessionFlag.ClientTimestamps)) {
    setFlag(core, s, SessionFlag.Timestamps);
    cells[at + Cell.TsEcho] = h[Header.TsValue]!;
  }
  if (h[Header.SackPermitted] === 1 && hasFlag(core, s, SessionFlag.ClientSack)) setFlag(core, s, SessionFlag.Sack);
  // The MSS counts what a segment without options may carry (RFC 6691).
  const options = hasFlag(core, s, SessionFlag.Timestamps) ? 12 : 0;
  cells[at + Cell.SendMss] = Math.max(MSS_MIN, wanted - options);
  const isFirstTry = cells[at + Cell.Backoff] === 0;
  const startedAt = times[s * TIMES + Time.SynSent]!;
  resetSender(core, s);
  initialWindow(core, s);
  if (isFirstTry) sampleRtt(core, s, now - startedAt);
  core.bump(Count.ConnectionsOpened);
  move(core, s, State.Open);
  setFlag(core, s, SessionFlag.AckNow);
  afterSegment(core, s);
}

/** A segment of an established connection, RFC 9293 section 3.10.7.4. */
function takeSegment(core: Core, s: number, h: Int32Array): void {
  const { cells } = core;
  const at = s * CELLS;
  const flags = h[Header.Flags]!;
  const hasAck = (flags & TcpFlag.Ack) !== 0;
  const isReset = (flags & TcpFlag.Rst) !== 0;
  if (!isInWindow(core, s, h[Header.Seq]!) || (hasAck ? !isAckPossible(core, s, h[Header.Ack]!) : !isReset)) {
    core.bump(Count.TargetInvalid);
    return;
  }
  if (isReset) {
    takeTargetReset(core, s);
    return;
  }
  if (h[Header.HasTimestamps] === 1 && seqAfter(h[Header.TsValue]!, cells[at + Cell.TsEcho]!)) {
    cells[at + Cell.TsEcho] = h[Header.TsValue]!;
  }
  if ((flags & TcpFlag.Syn) !== 0) {
    // The SYN-ACK again: our acknowledgement was lost.
    setFlag(core, s, SessionFlag.AckNow);
    afterSegment(core, s);
    return;
  }
  takeAck(core, s, h);
  takePayload(core, s, h);
  afterSegment(core, s);
}

/** Late segments of an earlier connection of the same ports have other numbers. */
function isInWindow(core: Core, s: number, seq: number): boolean {
  const at = s * CELLS;
  const shift = hasFlag(core, s, SessionFlag.WindowScale) ? core.cells[at + Cell.ClientShift]! : 0;
  return Math.abs(seqDelta(core.cells[at + Cell.RcvNxt]!, seq)) <= Math.max(WINDOW_MIN, 0xffff << shift);
}

/** Not of what was never sent on this connection, nor older than it. */
function isAckPossible(core: Core, s: number, ack: number): boolean {
  const at = s * CELLS;
  const { cells } = core;
  const una = cells[at + Cell.SndUna]!;
  const oldest = Math.min(ACK_AGE_MAX, seqDelta(cells[at + Cell.Iss]!, una) >>> 0);
  return !seqAfter(ack, cells[at + Cell.SndNxt]!) && seqDelta(ack, una) <= oldest;
}

function takeAck(core: Core, s: number, h: Int32Array): void {
  const { cells } = core;
  const at = s * CELLS;
  const ack = h[Header.Ack]!;
  const una = cells[at + Cell.SndUna]!;
  const acked = seqDelta(una, ack);
  if (acked < 0) return;
  const windowBefore = cells[at + Cell.PeerWindow]!;
  cells[at + Cell.PeerWindow] = h[Header.Window]! << cells[at + Cell.PeerShift]!;
  core.clock[Clock.RoundTrip] = -1;
  if (acked > 0) acknowledge(core, s, ack);
  const hasNewSack = hasFlag(core, s, SessionFlag.Sack) && noteSacks(core, s, h);
  if (core.clock[Clock.RoundTrip]! >= 0) sampleRtt(core, s, core.clock[Clock.RoundTrip]!);
  if (acked > 0) {
    cells[at + Cell.Barren] = 0;
    noteAdvance(core, s, acked);
  } else if (una !== cells[at + Cell.SndNxt]) {
    const isPlain = h[Header.PayloadBytes] === 0 && (h[Header.Flags]! & TcpFlag.Fin) === 0;
    const isSame = windowBefore === cells[at + Cell.PeerWindow];
    if (hasNewSack || (isPlain && isSame)) noteDuplicateAck(core, s, hasNewSack);
  }
  if (cells[at + Cell.TimerMode] === TimerMode.Persist) {
    // Answers of a closed window are progress: the target is there.
    core.times[s * TIMES + Time.Progress] = core.clock[Clock.Now]!;
    leavePersist(core, s);
  }
}

function takePayload(core: Core, s: number, h: Int32Array): void {
  const { cells } = core;
  const at = s * CELLS;
  const bytes = h[Header.PayloadBytes]!;
  const hasFin = (h[Header.Flags]! & TcpFlag.Fin) !== 0;
  if (bytes === 0 && !hasFin) {
    // A keep-alive probe asks with a number that was acknowledged.
    if (seqBefore(h[Header.Seq]!, cells[at + Cell.RcvNxt]!)) setFlag(core, s, SessionFlag.AckNow);
    return;
  }
  if (core.pairing !== null) pairReply(core, core.pairing, s, h, cells[at + Cell.RcvNxt]!);
  const end = seqAdd(h[Header.Seq]!, bytes + (hasFin ? 1 : 0)) | 0;
  const fresh = seqDelta(cells[at + Cell.RcvNxt]!, end);
  if (fresh <= 0) {
    core.bump(Count.TargetRetransmitted);
    setFlag(core, s, SessionFlag.AckNow);
    return;
  }
  cells[at + Cell.RcvNxt] = end;
  noteReply(core, s, fresh);
  const waiting = cells[at + Cell.Unacknowledged]! + fresh;
  cells[at + Cell.Unacknowledged] = waiting;
  if (waiting >= ACK_SEGMENTS * cells[at + Cell.SendMss]!) setFlag(core, s, SessionFlag.AckNow);
  else if (waiting === fresh) setDeadline(core, s, Time.Ack, core.clock[Clock.Now]! + core.options.ackDelayNs);
  if (hasFin) takeFin(core, s);
}

function takeFin(core: Core, s: number): void {
  setFlag(core, s, SessionFlag.AckNow);
  const state = stateOf(core, s);
  if (state === State.Open) move(core, s, State.TargetClosed);
  else if (state === State.FinSent) move(core, s, State.LastAck);
}

/** After anything that may let bytes go: sends them, acknowledges what they did not, ends what is over. */
export function afterSegment(core: Core, s: number): void {
  if (stateOf(core, s) === State.LastAck && hasFlag(core, s, SessionFlag.FinAcked)) {
    sendAck(core, s);
    connectionClosed(core, s);
    return;
  }
  wake(core, s);
  if (!isConnected(stateOf(core, s))) return;
  if (hasFlag(core, s, SessionFlag.AckNow) && !sendAck(core, s)) {
    clearFlag(core, s, SessionFlag.AckNow);
    setDeadline(core, s, Time.Ack, core.clock[Clock.Now]! + core.options.ackDelayNs);
  }
}

/** The target has thrown the connection away. */
function takeTargetReset(core: Core, s: number): void {
  core.bump(Count.TargetReset);
  if (hasFlag(core, s, SessionFlag.ClientReset) && !hasWork(core, s)) {
    endSession(core, s);
    return;
  }
  loseConnection(core, s, Count.SkippedReset);
}

function hasWork(core: Core, s: number): boolean {
  return core.cells[s * CELLS + Cell.Segments]! > 1;
}

/** Behind the end only the target's own retransmissions come: its last FIN wants its acknowledgement again. */
function takeLate(core: Core, s: number, h: Int32Array): void {
  if ((h[Header.Flags]! & TcpFlag.Rst) !== 0) {
    // Production's last replies may still wait in the ring: whoever compares needs the session until its time is over.
    if (core.pairing === null) endSession(core, s);
  } else if (h[Header.PayloadBytes]! > 0 || (h[Header.Flags]! & TcpFlag.Fin) !== 0) sendAck(core, s);
}

/** The path has become narrower: what is in flight is sent again in smaller segments. */
export function afterTooLong(core: Core, s: number): void {
  if (!isConnected(stateOf(core, s))) return;
  const at = s * CELLS;
  if (core.cells[at + Cell.SndUna] === core.cells[at + Cell.SndNxt]) return;
  core.cells[at + Cell.TimerMode] = TimerMode.Retransmit;
  core.cells[at + Cell.Recovery] = RecoveryMode.None;
  armRetransmission(core, s, true);
  core.cells[at + Cell.TimerMode] = TimerMode.Retransmit;
  setDeadline(core, s, Time.Retransmit, core.clock[Clock.Now]! + 1);
}
