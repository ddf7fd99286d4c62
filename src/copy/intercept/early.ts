/**
 * HOT: replies that came before their session was registered (a SYN-ACK may overtake the registration, and after a
 * reconnect replies arrive before the sessions are registered anew). The newest `EARLY_SLOTS` are kept for a while.
 */
import { REPLY_BYTES_MAX } from '../tunnel/reply.ts';
import { hashKey } from '../tunnel/session_key.ts';

export const EARLY_SLOTS = 8_192;
export const EARLY_MS_MAX = 1_000;
const SLOT_BYTES = 128;
const NONE = -1;

/** `bytes[at..at + length)` is a record that `key` waits for. */
export type EarlyReply = (bytes: Uint8Array, at: number, length: number) => void;

export class EarlyReplies {
  /** Kept now. */
  count = 0;
  /** Given up: nobody registered their session in time. */
  expired = 0;
  readonly #bytes = new Uint8Array(EARLY_SLOTS * SLOT_BYTES);
  readonly #length = new Uint8Array(EARLY_SLOTS);
  readonly #hash = new Int32Array(EARLY_SLOTS);
  readonly #keptAtMs = new Float64Array(EARLY_SLOTS);
  /** Chains of slots of equal hash, newest first. */
  readonly #first = new Int32Array(EARLY_SLOTS).fill(NONE);
  readonly #after = new Int32Array(EARLY_SLOTS).fill(NONE);
  /** Oldest slot and the one behind the newest; slots between them may have been taken (length 0). */
  #oldest = 0;
  #next = 0;
  #used = 0;
  /** Slots of one session, to be handed out oldest first. */
  readonly #found = new Int32Array(EARLY_SLOTS);

  keep(key: Int32Array, bytes: Uint8Array, at: number, length: number, nowMs: number): void {
    if (length > REPLY_BYTES_MAX) return;
    this.expire(nowMs);
    if (this.#used === EARLY_SLOTS) this.#dropOldest();
    const slot = this.#next;
    const hash = hashKey(key);
    for (let i = 0; i < length; i++) this.#bytes[slot * SLOT_BYTES + i] = bytes[at + i]!;
    this.#length[slot] = length;
    this.#hash[slot] = hash;
    this.#keptAtMs[slot] = nowMs;
    const chain = hash & (EARLY_SLOTS - 1);
    this.#after[slot] = this.#first[chain]!;
    this.#first[chain] = slot;
    this.#next = (slot + 1) % EARLY_SLOTS;
    this.#used++;
    this.count++;
  }

  /** Hands out what was kept of a session, oldest first. */
  release(key: Int32Array, use: EarlyReply): void {
    if (this.count === 0) return;
    const hash = hashKey(key);
    let found = 0;
    for (let slot = this.#first[hash & (EARLY_SLOTS - 1)]!; slot !== NONE; slot = this.#after[slot]!) {
      if (this.#hash[slot] === hash) this.#found[found++] = slot;
    }
    for (let i = found - 1; i >= 0; i--) {
      const slot = this.#found[i]!;
      use(this.#bytes, slot * SLOT_BYTES, this.#length[slot]!);
      this.#unlink(slot);
      this.#length[slot] = 0;
      this.count--;
    }
  }

  /** Gives up what has waited too long. */
  expire(nowMs: number): void {
    while (this.#used > 0) {
      const isTaken = this.#length[this.#oldest] === 0;
      if (!isTaken && nowMs - this.#keptAtMs[this.#oldest]! < EARLY_MS_MAX) return;
      this.#dropOldest();
    }
  }

  #dropOldest(): void {
    const slot = this.#oldest;
    if (this.#length[slot] !== 0) {
      this.#unlink(slot);
      this.#length[slot] = 0;
      this.count--;
      this.expired++;
    }
    this.#oldest = (slot + 1) % EARLY_SLOTS;
    this.#used--;
  }

  #unlink(slot: number): void {
    const chain = this.#hash[slot]! & (EARLY_SLOTS - 1);
    if (this.#first[chain] === slot) {
      this.#first[chain] = this.#after[slot]!;
      return;
    }
    let at = this.#first[chain]!;
    while (this.#after[at] !== slot) at = this.#after[at]!;
    this.#after[at] = this.#after[slot]!;
  }
}
