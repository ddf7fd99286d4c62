/**
 * HOT: which reply answers which request, on both sides of each copied session. Budget 100 ns a request.
 *
 * An exchange is a request as the session engine tells requests apart (the client's acknowledgement has advanced
 * before it sends data), known by the sequence number of its first byte. Both servers acknowledge a request with the
 * first segment that answers it: data that acknowledges more than what lies before an exchange, and no more than it,
 * is of its reply. That holds whatever comes late, again or not at all. Two rules on top, for HTTP:
 *
 * - Data behind a status line belongs to that reply until another status line comes: servers acknowledge the next
 *   request while they still send.
 * - A status line begins the reply to the next request that has none, but not to one whose reply was complete by its
 *   length before the next request left, and not behind bytes that were not seen: then what it acknowledges tells.
 *   Where production has answered several pipelined requests of an exchange, so does the target.
 *
 * Production's replies that answer bytes which have not been sent to the target yet wait, as a *run* of their own.
 * An exchange is judged once both sides have gone on to a later one, or the session has ended.
 */
import { seqAdd, seqAfter, seqBefore, seqDelta } from '../../wire/seq.ts';
import { EX_TIMES, EX_WORDS, Ex, Exchanges, ExTime, Mark } from './exchanges.ts';
import { isFramed, isInterim } from './http_status.ts';
import { HAS_PRODUCTION, RUN_WAITS, S, S_CELLS } from './pairing_cells.ts';
import { CompareCount, type CompareRow } from './rows.ts';
import { Verdict } from './verdict.ts';

/** Exchanges and runs of one session that may wait: those of some seconds. Then the oldest is judged as it is. */
export const WAITING_MAX = 8192;
/** Farther ahead nothing of the same reply can be. */
const DISTANCE_MAX = 1 << 28;

export class Pairing {
  readonly verdict: Verdict;
  readonly #row: CompareRow;
  readonly #exchanges: Exchanges;
  readonly #words: Int32Array;
  readonly #times: Float64Array;
  readonly #cells: Int32Array;
  readonly #sessions: number;
  /** Requests sent after this have not had time for a reply: set when the agent ends. */
  #endNs = Number.POSITIVE_INFINITY;

  /** `sessions`: cells of the engine's table, for `capacity` sessions. */
  constructor(row: CompareRow, sessions: Int32Array, capacity: number, exchangesMax: number) {
    this.#row = row;
    this.#exchanges = new Exchanges(exchangesMax);
    this.#words = this.#exchanges.words;
    this.#times = this.#exchanges.times;
    this.#cells = new Int32Array(capacity * S_CELLS);
    this.#sessions = capacity;
    this.verdict = new Verdict(row, this.#exchanges, sessions);
  }

  /** Exchanges and runs that wait now. */
  get waiting(): number {
    return this.#exchanges.used;
  }

  get byteLength(): number {
    return this.#words.byteLength + this.#times.byteLength + this.#cells.byteLength;
  }

  /** The session opens a connection with the target: what was sent on the one before is not answered any more. */
  connected(s: number): void {
    this.#disconnected(s);
    this.#cells[s * S_CELLS + S.Connection]! += 1;
  }

  /** Requests behind the last reply of a connection were not answered together with it, if that one was whole. */
  #disconnected(s: number): void {
    const words = this.#words;
    const at = s * S_CELLS;
    const connection = this.#cells[at + S.Connection]!;
    const cursor = this.#cells[at + S.Cursor]! - 1;
    const isCurrent = cursor >= 0 && words[cursor * EX_WORDS + Ex.Connection] === connection;
    if (isCurrent && (words[cursor * EX_WORDS + Ex.Marks]! & Mark.Early) !== 0) return;
    let x = isCurrent ? words[cursor * EX_WORDS + Ex.Next]! : this.#cells[at + S.Head]! - 1;
    for (; x >= 0; x = words[x * EX_WORDS + Ex.Next]!) {
      const w = x * EX_WORDS;
      if (words[w + Ex.Connection] === connection) words[w + Ex.Marks]! &= ~Mark.Early;
    }
  }

  /**
   * `length` bytes of the client from `seq` on are sent for the first time on this connection, as `targetSeq`.
   * `begins`: a request begins with them. `opens`: they are the client's first. `marks`: of `Mark`, how it left.
   * `arrivedNs`: when they were captured.
   */
  requestSent(
    s: number,
    seq: number,
    length: number,
    begins: boolean,
    opens: boolean,
    marks: number,
    targetSeq: number,
    arrivedNs: number,
    nowNs: number,
  ): void {
    const at = s * S_CELLS;
    if (begins) this.#begin(s, seq, opens, marks, targetSeq);
    const x = this.#cells[at + S.Sending]! - 1;
    if (x < 0) return;
    const w = x * EX_WORDS;
    const t = x * EX_TIMES;
    const end = seqAdd(seq, length) | 0;
    if (seqAfter(end, this.#words[w + Ex.End]!)) this.#words[w + Ex.End] = end;
    const times = this.#times;
    // Where a reply begins before the request has ended, what counts is the byte that came before it.
    if (Number.isNaN(times[t + ExTime.TargetFirst]!)) times[t + ExTime.TargetRequest] = nowNs;
    if (!(arrivedNs > times[t + ExTime.ProductionFirst]!)) times[t + ExTime.ProductionRequest] = arrivedNs;
    if (this.#cells[at + S.RunHead]! > 0) this.#adopt(s, this.#words[w + Ex.End]!);
    if (begins) this.#settle(s);
  }

  #begin(s: number, seq: number, opens: boolean, marks: number, targetSeq: number): void {
    const cells = this.#cells;
    const at = s * S_CELLS;
    // Runs that answer nothing behind this are of what came before.
    if (cells[at + S.RunHead]! > 0) this.#adoptBefore(s, seq, opens, targetSeq);
    const before = cells[at + S.Tail]! - 1;
    const again = this.#exchanges.find(cells[at + S.Head]! - 1, before, seq);
    const x = again >= 0 ? again : this.#append(s, seq);
    cells[at + S.Sending] = x + 1;
    if (x < 0) return;
    const w = x * EX_WORDS;
    const t = x * EX_TIMES;
    this.#words[w + Ex.Connection] = cells[at + S.Connection]!;
    this.#words[w + Ex.TargetBegin] = targetSeq;
    // The first request of a connection has none before it.
    const isFirst = cells[at + S.SentOn] !== cells[at + S.Connection];
    cells[at + S.SentOn] = cells[at + S.Connection]!;
    this.#words[w + Ex.Marks] = isFirst ? 0 : marks;
    // What it did not wait for may end in the middle of a packet that answers both.
    if (!isFirst && (marks & Mark.Early) !== 0 && before >= 0) this.#words[before * EX_WORDS + Ex.Marks]! |= Mark.Early;
    if (again < 0) return;
    // Sent again on a new connection.
    this.#words[w + Ex.TargetStatus] = 0;
    this.#words[w + Ex.TargetHeads] = 0;
    this.#times[t + ExTime.TargetFirst] = Number.NaN;
    this.#times[t + ExTime.TargetLast] = Number.NaN;
    this.#times[t + ExTime.TargetBytes] = 0;
  }

  /** A new exchange behind the others, or -1. */
  #append(s: number, seq: number): number {
    const cells = this.#cells;
    const at = s * S_CELLS;
    cells[at + S.Ordinal]! += 1;
    if (cells[at + S.Count]! >= WAITING_MAX || this.#exchanges.isFull) this.#judgeHead(s);
    const x = this.#exchanges.take();
    if (x < 0) {
      this.#row.bump(CompareCount.NoRoom);
      return -1;
    }
    this.#link(s, x);
    const w = x * EX_WORDS;
    this.#words[w + Ex.Begin] = seq;
    this.#words[w + Ex.End] = seq;
    this.#words[w + Ex.Ordinal] = cells[at + S.Ordinal]!;
    return x;
  }

  #link(s: number, x: number): void {
    const cells = this.#cells;
    const at = s * S_CELLS;
    const tail = cells[at + S.Tail]! - 1;
    if (tail < 0) cells[at + S.Head] = x + 1;
    else this.#words[tail * EX_WORDS + Ex.Next] = x;
    cells[at + S.Tail] = x + 1;
    cells[at + S.Count]! += 1;
  }

  /** What a server says before any request: exchange 0. */
  #greeting(s: number, isn: number, targetIss: number): number {
    const x = this.#exchanges.take();
    if (x < 0) return -1;
    const w = x * EX_WORDS;
    this.#link(s, x);
    this.#words[w + Ex.Begin] = isn;
    this.#words[w + Ex.End] = seqAdd(isn, 1) | 0;
    this.#words[w + Ex.Connection] = this.#cells[s * S_CELLS + S.Connection]!;
    this.#words[w + Ex.TargetBegin] = targetIss;
    return x;
  }

  /** Waiting runs that acknowledge no more than `end` go to the newest exchange. */
  #adopt(s: number, end: number): void {
    const cells = this.#cells;
    const at = s * S_CELLS;
    for (let run = cells[at + S.RunHead]! - 1; run >= 0; run = cells[at + S.RunHead]! - 1) {
      if (seqAfter(this.#words[run * EX_WORDS + Ex.Begin]!, end)) return;
      this.#mergeRun(s, cells[at + S.Tail]! - 1);
    }
  }

  /** A request begins at `seq`: waiting runs that do not acknowledge any of it are of what came before. */
  #adoptBefore(s: number, seq: number, opens: boolean, targetSeq: number): void {
    const cells = this.#cells;
    const at = s * S_CELLS;
    for (let run = cells[at + S.RunHead]! - 1; run >= 0; run = cells[at + S.RunHead]! - 1) {
      const ack = this.#words[run * EX_WORDS + Ex.Begin]!;
      if (seqAfter(ack, seq)) return;
      let tail = cells[at + S.Tail]! - 1;
      if (tail < 0 && opens && ack === seq) {
        tail = this.#greeting(s, seqAdd(seq, -1) | 0, seqAdd(targetSeq, -1) | 0);
      }
      this.#mergeRun(s, this.#exchanges.endsAt(tail, ack) ? tail : -1);
    }
  }

  /** The oldest waiting run becomes part of exchange `x`; -1: of none. */
  #mergeRun(s: number, x: number): void {
    const cells = this.#cells;
    const times = this.#times;
    const at = s * S_CELLS;
    const run = cells[at + S.RunHead]! - 1;
    const next = this.#words[run * EX_WORDS + Ex.Next]!;
    cells[at + S.RunHead] = next + 1;
    if (next < 0) cells[at + S.RunTail] = 0;
    cells[at + S.Count]! -= 1;
    if (cells[at + S.Run] === run + 1) {
      cells[at + S.Run] = x + 1;
      cells[at + S.Flags]! &= ~RUN_WAITS;
    }
    if (x < 0) this.#row.bump(CompareCount.ProductionUnpaired);
    else {
      const from = run * EX_TIMES;
      const to = x * EX_TIMES;
      const first = times[from + ExTime.ProductionFirst]!;
      const last = times[from + ExTime.ProductionLast]!;
      const status = this.#words[run * EX_WORDS + Ex.ProductionStatus]!;
      this.#addProduction(x, times[from + ExTime.ProductionBytes]!, status, first);
      // One of the run's own was counted with its status.
      const more = this.#words[run * EX_WORDS + Ex.ProductionHeads]! - (status > 0 && !isInterim(status) ? 1 : 0);
      this.#words[x * EX_WORDS + Ex.ProductionHeads]! += more;
      times[to + ExTime.ProductionLast] = last;
    }
    this.#exchanges.give(run);
  }

  /** `fresh` bytes of the target that were not seen before, which acknowledge `ack` in the connection's numbering. */
  targetReply(s: number, ack: number, fresh: number, hasHole: boolean, status: number, atNs: number): void {
    const x = this.#answeredByTarget(s, ack, hasHole, status);
    if (x < 0) return;
    const w = x * EX_WORDS;
    const t = x * EX_TIMES;
    const times = this.#times;
    if (times[t + ExTime.TargetBytes] === 0) {
      times[t + ExTime.TargetFirst] = atNs;
      this.#words[w + Ex.TargetStatus] = status;
    } else if (status > 0 && isInterim(this.#words[w + Ex.TargetStatus]!)) this.#words[w + Ex.TargetStatus] = status;
    if (status > 0 && !isInterim(status)) this.#words[w + Ex.TargetHeads]! += 1;
    times[t + ExTime.TargetBytes]! += fresh;
    times[t + ExTime.TargetLast] = atNs;
    const at = s * S_CELLS;
    if (this.#cells[at + S.Cursor] === x + 1) return;
    this.#cells[at + S.Cursor] = x + 1;
    this.#settle(s);
  }

  #answeredByTarget(s: number, ack: number, hasHole: boolean, status: number): number {
    const words = this.#words;
    const at = s * S_CELLS;
    const connection = this.#cells[at + S.Connection]!;
    const cursor = this.#cells[at + S.Cursor]! - 1;
    const current = cursor >= 0 && words[cursor * EX_WORDS + Ex.Connection] === connection ? cursor : -1;
    // Replies come in the order of the requests: what was passed over is not answered any more.
    const reached = current < 0 ? 0 : words[current * EX_WORDS + Ex.Ordinal]!;
    let newest = -1;
    let unanswered = -1;
    const first = current >= 0 ? current : this.#cells[at + S.Head]! - 1;
    for (let x = first; x >= 0; x = words[x * EX_WORDS + Ex.Next]!) {
      const w = x * EX_WORDS;
      if (words[w + Ex.Connection] !== connection) continue;
      // What follows on this connection begins later still.
      if (!seqBefore(words[w + Ex.TargetBegin]!, ack)) break;
      newest = x;
      // Whatever begins now does not answer what came before.
      if ((words[w + Ex.Marks]! & Mark.Apart) !== 0) unanswered = -1;
      if (unanswered < 0 && words[w + Ex.Ordinal]! > reached && this.#times[x * EX_TIMES + ExTime.TargetBytes] === 0) {
        unanswered = x;
      }
    }
    if (status > 0 && !hasHole) {
      if (current >= 0 && (unanswered < 0 || this.#exchanges.lacksHeads(current))) return current;
      return unanswered >= 0 ? unanswered : newest;
    }
    if (current < 0 || newest < 0) return newest >= 0 ? newest : current;
    if (status === 0 && isFramed(words[current * EX_WORDS + Ex.TargetStatus]!)) return current;
    return words[newest * EX_WORDS + Ex.Ordinal]! > words[current * EX_WORDS + Ex.Ordinal]! ? newest : current;
  }

  /** A segment of the target that was overtaken by what follows it, or came again. */
  targetStatusAgain(s: number, ack: number, status: number): void {
    const cursor = this.#cells[s * S_CELLS + S.Cursor]! - 1;
    if (cursor < 0 || !seqBefore(this.#words[cursor * EX_WORDS + Ex.TargetBegin]!, ack)) return;
    this.#lateStatus(cursor, Ex.TargetStatus, status);
  }

  #lateStatus(x: number, which: number, status: number): void {
    const w = x * EX_WORDS;
    if (this.#words[w + which] === 0) this.#words[w + which] = status;
  }

  /** The target speaks first. `isn`: the client's; `iss`: ours. */
  targetGreeting(s: number, isn: number, iss: number): void {
    const at = s * S_CELLS;
    if (this.#cells[at + S.Tail]! > 0 || this.#cells[at + S.Ordinal]! > 0) return;
    if (this.#greeting(s, isn, iss) >= 0) this.#adopt(s, seqAdd(isn, 1) | 0);
  }

  /** Whether the request that was sent last has some reply, or there is none. */
  isAnswered(s: number): boolean {
    const x = this.#cells[s * S_CELLS + S.Sending]! - 1;
    return x < 0 || this.#times[x * EX_TIMES + ExTime.TargetBytes]! > 0;
  }

  /** When the request that was sent last ended, ns; NaN: there is none. */
  sentNs(s: number): number {
    const x = this.#cells[s * S_CELLS + S.Sending]! - 1;
    return x < 0 ? Number.NaN : this.#times[x * EX_TIMES + ExTime.TargetRequest]!;
  }

  /** Whether `targetReply` would find nothing that was asked: the server may be speaking first. */
  hasAskedNothing(s: number): boolean {
    return this.#cells[s * S_CELLS + S.Tail] === 0 && this.#cells[s * S_CELLS + S.Ordinal] === 0;
  }

  /** Production's SYN-ACK: its data begins behind `seq`. */
  productionOpened(s: number, seq: number): void {
    const at = s * S_CELLS;
    if ((this.#cells[at + S.Flags]! & HAS_PRODUCTION) !== 0) return;
    this.#cells[at + S.Flags]! |= HAS_PRODUCTION;
    this.#cells[at + S.ProductionNext] = seqAdd(seq, 1);
  }

  /** A segment of production with `bytes` > 0 of data. */
  productionReply(s: number, seq: number, ack: number, bytes: number, status: number, atNs: number): void {
    const cells = this.#cells;
    const at = s * S_CELLS;
    const end = seqAdd(seq, bytes) | 0;
    let fresh = bytes;
    if ((cells[at + S.Flags]! & HAS_PRODUCTION) !== 0) {
      fresh = seqDelta(cells[at + S.ProductionNext]!, end);
      if (fresh <= 0) {
        this.#row.bump(CompareCount.ProductionRetransmitted);
        const run = cells[at + S.Run]! - 1;
        // Overtaken by what follows it.
        if (run >= 0 && status > 0 && ack === cells[at + S.RunAck]) this.#lateStatus(run, Ex.ProductionStatus, status);
        return;
      }
      if (fresh > DISTANCE_MAX) fresh = bytes;
    }
    cells[at + S.Flags]! |= HAS_PRODUCTION;
    cells[at + S.ProductionNext] = end;
    const isNew = this.#isNewRun(s, ack, status);
    if (isNew) this.#startRun(s, ack);
    const run = cells[at + S.Run]! - 1;
    if (run < 0) {
      this.#row.bump(CompareCount.ProductionUnpaired);
      return;
    }
    this.#addProduction(run, fresh, status, atNs);
    if (isNew) this.#settle(s);
  }

  #isNewRun(s: number, ack: number, status: number): boolean {
    const at = s * S_CELLS;
    const run = this.#cells[at + S.Run]! - 1;
    if (run < 0) return true;
    if (!seqAfter(ack, this.#cells[at + S.RunAck]!)) return false;
    return status > 0 || !isFramed(this.#words[run * EX_WORDS + Ex.ProductionStatus]!);
  }

  /** Finds the exchange that `ack` acknowledges; where that has not been sent yet, a run begins that waits for it. */
  #startRun(s: number, ack: number): void {
    const cells = this.#cells;
    const words = this.#words;
    const at = s * S_CELLS;
    let found = cells[at + S.Tail]! - 1;
    // Nearly always the newest, or one that is yet to come.
    if (found >= 0 && !seqBefore(words[found * EX_WORDS + Ex.Begin]!, ack))
      found = this.#exchanges.newestBefore(cells[at + S.Head]! - 1, ack);
    cells[at + S.RunAck] = ack;
    cells[at + S.Flags]! &= ~RUN_WAITS;
    if (found < 0 || seqAfter(ack, words[found * EX_WORDS + Ex.End]!)) {
      found = this.#waitingRun(s, ack);
      cells[at + S.Flags]! |= RUN_WAITS;
    }
    cells[at + S.Run] = found + 1;
  }

  #waitingRun(s: number, ack: number): number {
    const cells = this.#cells;
    const at = s * S_CELLS;
    if (cells[at + S.Count]! >= WAITING_MAX) return -1;
    const run = this.#exchanges.take();
    if (run < 0) return -1;
    this.#words[run * EX_WORDS + Ex.Begin] = ack;
    const tail = cells[at + S.RunTail]! - 1;
    if (tail < 0) cells[at + S.RunHead] = run + 1;
    else this.#words[tail * EX_WORDS + Ex.Next] = run;
    cells[at + S.RunTail] = run + 1;
    cells[at + S.Count]! += 1;
    return run;
  }

  #addProduction(x: number, bytes: number, status: number, atNs: number): void {
    const w = x * EX_WORDS;
    const t = x * EX_TIMES;
    const times = this.#times;
    if (times[t + ExTime.ProductionBytes] === 0) {
      times[t + ExTime.ProductionFirst] = atNs;
      this.#words[w + Ex.ProductionStatus] = status;
    } else if (status > 0 && isInterim(this.#words[w + Ex.ProductionStatus]!)) {
      this.#words[w + Ex.ProductionStatus] = status;
    }
    if (status > 0 && !isInterim(status)) this.#words[w + Ex.ProductionHeads]! += 1;
    times[t + ExTime.ProductionBytes]! += bytes;
    times[t + ExTime.ProductionLast] = atNs;
  }

  /** Judges, from the oldest on, what both sides have left behind. */
  #settle(s: number): void {
    const cells = this.#cells;
    const words = this.#words;
    const at = s * S_CELLS;
    while (cells[at + S.Head] !== cells[at + S.Tail]) {
      const w = (cells[at + S.Head]! - 1) * EX_WORDS;
      const ordinal = words[w + Ex.Ordinal]!;
      const run = cells[at + S.Run]! - 1;
      const hasWaiting = (cells[at + S.Flags]! & RUN_WAITS) !== 0;
      if (run < 0 || (!hasWaiting && words[run * EX_WORDS + Ex.Ordinal]! <= ordinal)) return;
      const cursor = cells[at + S.Cursor]! - 1;
      if (!this.#isGivenUp(s, w) && (cursor < 0 || words[cursor * EX_WORDS + Ex.Ordinal]! <= ordinal)) return;
      this.#judgeHead(s);
    }
  }

  /** Sent on a connection that is no more, and not sent again: a later request was, on the one there is. */
  #isGivenUp(s: number, w: number): boolean {
    const words = this.#words;
    const at = s * S_CELLS;
    const connection = this.#cells[at + S.Connection]!;
    const sending = this.#cells[at + S.Sending]! - 1;
    if (words[w + Ex.Connection] === connection || sending < 0) return false;
    const newest = sending * EX_WORDS;
    return words[newest + Ex.Connection] === connection && words[newest + Ex.Ordinal]! > words[w + Ex.Ordinal]!;
  }

  #judgeHead(s: number): void {
    const cells = this.#cells;
    const at = s * S_CELLS;
    const x = cells[at + S.Head]! - 1;
    if (x < 0) return;
    const next = this.#words[x * EX_WORDS + Ex.Next]!;
    cells[at + S.Head] = next + 1;
    if (next < 0) cells[at + S.Tail] = 0;
    cells[at + S.Count]! -= 1;
    if (cells[at + S.Sending] === x + 1) cells[at + S.Sending] = 0;
    if (cells[at + S.Cursor] === x + 1) cells[at + S.Cursor] = 0;
    if (cells[at + S.Run] === x + 1 && (cells[at + S.Flags]! & RUN_WAITS) === 0) cells[at + S.Run] = 0;
    this.verdict.judge(s, x, this.#times[x * EX_TIMES + ExTime.TargetRequest]! > this.#endNs);
    this.#exchanges.give(x);
  }

  /** The session is over: judges what it has left. */
  sessionEnded(s: number): void {
    const cells = this.#cells;
    const at = s * S_CELLS;
    this.#disconnected(s);
    for (let run = cells[at + S.RunHead]! - 1; run >= 0; run = cells[at + S.RunHead]! - 1) {
      const tail = cells[at + S.Tail]! - 1;
      this.#mergeRun(s, this.#exchanges.endsAt(tail, this.#words[run * EX_WORDS + Ex.Begin]!) ? tail : -1);
    }
    while (cells[at + S.Head]! > 0) this.#judgeHead(s);
    cells.fill(0, at, at + S_CELLS);
  }

  /** From now on a request that was sent after `sinceNs` and has one reply only is unfinished. */
  ending(sinceNs: number): void {
    this.#endNs = sinceNs;
  }

  /** Judges everything. */
  finish(): void {
    for (let s = 0; s < this.#sessions; s++) this.sessionEnded(s);
  }
}
