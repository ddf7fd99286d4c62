/**
 * HOT: exchanges that wait for their other half: a request and the replies of both sides, in typed arrays of fixed
 * size. Memory is touched only as far as exchanges wait.
 */

import { seqAfter, seqBefore, seqDelta } from '../../wire/seq.ts';

/** Words of an exchange. Sequence numbers are signed 32-bit, in the client's numbering unless they say otherwise. */
export const Ex = {
  Next: 0,
  /** The request's first byte, and the one behind its last. A run of production that waits: its ACK number. */
  Begin: 1,
  End: 2,
  /** 1: the session's first request; 0: what the server said before. */
  Ordinal: 3,
  /** Number of the connection that the request was sent on last; its first byte in that connection's numbering. */
  Connection: 4,
  TargetBegin: 5,
  /** HTTP status, 0: none was seen. */
  ProductionStatus: 6,
  TargetStatus: 7,
  /** Of `Mark`. */
  Marks: 8,
  /** Status lines seen, interim ones left out: more than one where requests are pipelined. */
  ProductionHeads: 9,
  TargetHeads: 10,
} as const;
export const EX_WORDS = 11;

/** Doubles of an exchange; times in ns on the engine's clock, NaN: not there. */
export const ExTime = {
  /** The request's last byte: captured, sent. */
  ProductionRequest: 0,
  TargetRequest: 1,
  ProductionFirst: 2,
  ProductionLast: 3,
  TargetFirst: 4,
  TargetLast: 5,
  ProductionBytes: 6,
  TargetBytes: 7,
} as const;
export const EX_TIMES = 8;

/** How a request was sent. */
export const Mark = {
  /** The target had answered the one before with as many bytes as production, or been silent for long. */
  Apart: 1,
  /** Without waiting for the reply to the one before, or the next one did not wait for this one's. */
  Early: 2,
} as const;

const NONE = -1;

export class Exchanges {
  readonly capacity: number;
  readonly words: Int32Array;
  readonly times: Float64Array;
  used = 0;
  #free = NONE;
  /** From here on none was ever taken. */
  #fresh = 0;

  constructor(capacity: number) {
    this.capacity = capacity;
    this.words = new Int32Array(capacity * EX_WORDS);
    this.times = new Float64Array(capacity * EX_TIMES);
  }

  get isFull(): boolean {
    return this.used === this.capacity;
  }

  /** A record without any half, or -1. */
  take(): number {
    let x = this.#free;
    if (x >= 0) this.#free = this.words[x * EX_WORDS + Ex.Next]!;
    else if (this.#fresh < this.capacity) x = this.#fresh++;
    else return NONE;
    this.used++;
    this.words.fill(0, x * EX_WORDS, (x + 1) * EX_WORDS);
    this.words[x * EX_WORDS + Ex.Next] = NONE;
    const t = x * EX_TIMES;
    this.times.fill(Number.NaN, t, t + ExTime.ProductionBytes);
    this.times[t + ExTime.ProductionBytes] = 0;
    this.times[t + ExTime.TargetBytes] = 0;
    return x;
  }

  give(x: number): void {
    this.words[x * EX_WORDS + Ex.Next] = this.#free;
    this.#free = x;
    this.used--;
  }

  /** The exchange that begins at `seq`, or -1. */
  find(head: number, tail: number, seq: number): number {
    // Nearly always: it is sent for the first time.
    if (tail < 0 || seqAfter(seq, this.words[tail * EX_WORDS + Ex.Begin]!)) return -1;
    let x = head;
    while (x >= 0 && this.words[x * EX_WORDS + Ex.Begin] !== seq) x = this.words[x * EX_WORDS + Ex.Next]!;
    return x;
  }

  /** The newest exchange from `head` on that begins before `ack`, or -1. */
  newestBefore(head: number, ack: number): number {
    let found = -1;
    for (let x = head; x >= 0; x = this.words[x * EX_WORDS + Ex.Next]!) {
      if (seqBefore(this.words[x * EX_WORDS + Ex.Begin]!, ack)) found = x;
    }
    return found;
  }

  /** Whether exchange `x` (-1: none) may have been acknowledged with `ack`; its FIN counts one more. */
  endsAt(x: number, ack: number): boolean {
    if (x < 0) return false;
    const w = x * EX_WORDS;
    return seqBefore(this.words[w + Ex.Begin]!, ack) && seqDelta(this.words[w + Ex.End]!, ack) <= 1;
  }

  /** Production has answered more pipelined requests of this exchange, with more bytes. */
  lacksHeads(x: number): boolean {
    const w = x * EX_WORDS;
    const t = x * EX_TIMES;
    if (this.words[w + Ex.TargetHeads]! >= this.words[w + Ex.ProductionHeads]!) return false;
    return this.times[t + ExTime.TargetBytes]! < this.times[t + ExTime.ProductionBytes]!;
  }
}
