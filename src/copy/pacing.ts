/**
 * HOT: when a request may be sent. Within a request client timing is kept by itself: bytes are sent as they come. A new
 * request (the client had acknowledged more of production's reply before it) waits until the target's reply to the one
 * before has ended:
 * - the target has sent at least as many bytes as the client had acknowledged of production's reply, or
 * - it has sent some and has been silent for `replyQuietNs`, or
 * - the deadline after the request's arrival has passed: then it is sent anyway, and counted.
 *
 * A session in which many requests wait, and have waited long, catches up: a few requests more than usual are on their
 * way, so that the target has the next one when it has answered (`mayGoAhead`). A client's RST waits otherwise
 * (`mayAbort`).
 *
 * The deadline counts from each request's own arrival, so that it bounds the lag of a session, not only of a request.
 * It halves with every late request in a row, down to a 32nd: where a target never answers what production answers
 * (streams both ways), waiting is given up quickly. Pipelined requests, which acknowledge nothing new, do not wait.
 * A server that speaks first has its first bytes acknowledged by the client's first data: the same rule.
 */
import { histogramRecord } from '../base/histogram.ts';
import { seqDelta } from '../wire/seq.ts';
import { pairRequest } from './compare/hooks.ts';
import { Clock, type Core, clearFlag, hasFlag, setDeadline, setFlag } from './core.ts';
import { Count } from './counts.ts';
import { Seg, SegFlag } from './segment_pool.ts';
import { CELLS, Cell, SessionFlag, TIMES, Time } from './session_cells.ts';

const LATE_SHIFT_MAX = 5;
/** A session that another waits for is in a hurry. */
const HURRY_SHIFT = 3;
/** A server may leave pipelined requests unanswered once it sees a FIN: silence before that must be longer. */
const FIN_PATIENCE = 16;
/** Bytes that a reply lacks which is more likely under way than short, and how much longer it must be silent then. */
const QUIET_BYTES = 65_536;
const QUIET_PATIENCE = 16;
/** Requests ahead of the replies at most, taking each reply to be as long as the last. */
const AHEAD_REQUESTS = 4;
/** In a session with requests ahead, whose replies need not be as long as production's: the same. */
const AHEAD_PATIENCE = 16;
/** Packets that wait in a session that is behind, and its lag as a share of the reply deadline. */
const BEHIND_SEGMENTS = 64;
const BEHIND_SHARE = 32;
const REPLY_BYTES_MAX = 0x3fff_ffff;
/** What begins with an advance of the acknowledgement: requests, and the client's close. */
const PACED = SegFlag.Boundary | SegFlag.Fin | SegFlag.Reset;

/** Whether a segment may be sent now; if not, `Time.Pace` is set to when to ask again. */
export function mayBegin(core: Core, s: number, seg: number): boolean {
  if (!core.pool.has(seg, PACED)) return true;
  const flags = core.cells[s * CELLS + Cell.Flags]!;
  if (core.pool.has(seg, SegFlag.Reset)) return mayAbort(core, s, seg);
  if (core.options.noWait) return true;
  if ((flags & SessionFlag.FreePass) !== 0) return true;
  const at = s * CELLS;
  const awaited = seqDelta(core.cells[at + Cell.SentAck]!, core.pool.get(seg, Seg.ClientAck));
  if (awaited <= 0) return true;
  const replied = core.cells[at + Cell.ReplyBytes]!;
  const now = core.clock[Clock.Now]!;
  // A request ahead needs the replies to all but the last few before it.
  const isAhead = (flags & SessionFlag.Ahead) !== 0;
  const needed = isAhead && core.pool.has(seg, SegFlag.Boundary) ? -(AHEAD_REQUESTS - 1) * awaited : awaited;
  const quietNs = core.options.replyQuietNs * (isAhead ? AHEAD_PATIENCE : patience(core, seg, awaited - replied));
  const isOpen = isAhead || replied > 0;
  const quietAt = isOpen ? core.times[s * TIMES + Time.Reply]! + quietNs : Number.POSITIVE_INFINITY;
  // Replies that are compared must stay apart, whatever bytes of earlier ones are left over.
  const hasBegun = core.pairing === null || !(core.times[s * TIMES + Time.Reply]! <= core.pairing.sentNs(s));
  if (hasBegun && (replied >= needed || now >= quietAt)) {
    core.cells[at + Cell.LateInRow] = 0;
    // Replies that are shorter than production's leave nothing owed.
    if (isAhead && replied < needed) core.cells[at + Cell.ReplyBytes] = awaited;
    return true;
  }
  if (mayGoAhead(core, s, seg)) return true;
  const late = Math.min(core.cells[at + Cell.LateInRow]!, LATE_SHIFT_MAX);
  const shift = (flags & SessionFlag.Hurry) !== 0 ? late + HURRY_SHIFT : late;
  const deadline = core.pool.arrivedNs[seg]! + core.options.replyDeadlineNs / (1 << shift);
  if (now < deadline) {
    setDeadline(core, s, Time.Pace, hasBegun ? Math.min(deadline, quietAt) : deadline);
    return false;
  }
  if (core.pool.has(seg, SegFlag.Boundary)) {
    core.bump(Count.RequestsLate);
    core.cells[at + Cell.LateInRow]! += 1;
  }
  if (isAhead) core.cells[at + Cell.ReplyBytes] = awaited;
  return true;
}

/**
 * Whether a session that is behind may send a request before the reply to the one before. Where each request waits
 * for a reply that comes by way of three busy programs, a session is as fast as that way is short, and never makes up
 * what it fell behind by while there was no processor. Many waiting packets tell it from a dialogue with a slow target;
 * and a session keeps its turns again when it has caught up and rested.
 */
function mayGoAhead(core: Core, s: number, seg: number): boolean {
  if (core.cells[s * CELLS + Cell.Segments]! < BEHIND_SEGMENTS || core.pairing !== null) return false;
  if (!core.pool.has(seg, SegFlag.Boundary) || hasFlag(core, s, SessionFlag.Ahead)) return false;
  const now = core.clock[Clock.Now]!;
  const behindNs = core.options.replyDeadlineNs / BEHIND_SHARE;
  if (now - core.pool.arrivedNs[seg]! < behindNs || now - core.times[s * TIMES + Time.Reply]! >= behindNs) return false;
  setFlag(core, s, SessionFlag.Ahead);
  return true;
}

/** How many times as long as usual the target must be silent; `missing`: bytes that its reply lacks. */
function patience(core: Core, seg: number, missing: number): number {
  if (core.pool.has(seg, SegFlag.Fin)) return FIN_PATIENCE;
  return core.pairing !== null && missing > QUIET_BYTES ? QUIET_PATIENCE : 1;
}

/**
 * A RST takes requests away that the target has and has not come to, while production had answered them: it goes when
 * the target has answered as much, or has had nothing to say for the time of a reply. Behind a FIN it says no more than
 * that nobody reads on.
 */
function mayAbort(core: Core, s: number, seg: number): boolean {
  const { cells, times } = core;
  const at = s * CELLS;
  const awaited = seqDelta(cells[at + Cell.SentAck]!, core.pool.get(seg, Seg.ClientAck));
  if (cells[at + Cell.ReplyBytes]! >= awaited && !hasFlag(core, s, SessionFlag.ClientFin)) return true;
  const isHurried = hasFlag(core, s, SessionFlag.Hurry);
  const heard = Math.max(times[s * TIMES + Time.Reply]!, times[s * TIMES + Time.Progress]!, core.pool.arrivedNs[seg]!);
  const due = heard + core.options.replyDeadlineNs / (1 << (isHurried ? HURRY_SHIFT : 0));
  if (core.clock[Clock.Now]! >= due) return true;
  setDeadline(core, s, Time.Pace, due);
  return false;
}

/** Takes note of a segment that was sent for the first time: what the target's next bytes answer. */
export function noteBegun(core: Core, s: number, seg: number): void {
  const at = s * CELLS;
  const { cells, times } = core;
  const now = core.clock[Clock.Now]!;
  histogramRecord(core.lag, now - core.pool.arrivedNs[seg]!);
  if (core.pairing !== null) pairRequest(core, core.pairing, s, seg);
  const ack = core.pool.get(seg, Seg.ClientAck);
  const awaited = seqDelta(cells[at + Cell.SentAck]!, ack);
  if (awaited > 0) {
    const isQuiet = now - times[s * TIMES + Time.Reply]! >= core.options.replyQuietNs;
    const left = cells[at + Cell.ReplyBytes]! - awaited;
    // What the target sent beyond production's reply answers pipelined requests, if it is still sending. What it owes
    // while a request is ahead stays owed: less than 0.
    if (hasFlag(core, s, SessionFlag.Ahead)) {
      cells[at + Cell.ReplyBytes] = left;
      if (left < 0 && core.pool.has(seg, SegFlag.Boundary)) core.bump(Count.RequestsAhead);
    } else cells[at + Cell.ReplyBytes] = isQuiet ? 0 : Math.max(0, left);
    if (isQuiet && now - core.pool.arrivedNs[seg]! < core.options.replyQuietNs) clearFlag(core, s, SessionFlag.Ahead);
    cells[at + Cell.SentAck] = ack;
  }
  if (!core.pool.has(seg, SegFlag.Boundary)) return;
  core.bump(Count.RequestsSent);
  cells[at + Cell.RequestsSent]! += 1;
  if (hasFlag(core, s, SessionFlag.FreePass)) clearFlag(core, s, SessionFlag.FreePass);
}

/** Takes note of new bytes (or a FIN) of the target. */
export function noteReply(core: Core, s: number, bytes: number): void {
  const at = s * CELLS;
  core.cells[at + Cell.ReplyBytes] = Math.min(REPLY_BYTES_MAX, core.cells[at + Cell.ReplyBytes]! + bytes);
  core.times[s * TIMES + Time.Reply] = core.clock[Clock.Now]!;
}
