/**
 * HOT: sessions -> a number: which agent a reply belongs to, or (on the agent's side) which sessions are registered.
 * Open addressing with linear probing in one typed array; removal moves later entries back, so that a table that lives
 * for months needs no rebuilding. Doubles when three quarters are taken, up to `slotsMax`.
 */
import { assert } from '../../base/assert.ts';
import { hashKey, KEY_WORDS } from './session_key.ts';

/** Key, value, hash. */
const SLOT_WORDS = KEY_WORDS + 2;
const VALUE = KEY_WORDS;
const HASH = KEY_WORDS + 1;
const SLOTS_MIN = 1024;
/** Value of a free slot. */
const FREE = 0;

export class SessionMap {
  /** Sessions held. */
  count = 0;
  readonly #slotsMax: number;
  #cells: Int32Array;
  #mask: number;

  /** `sessionsMax`: sessions that it may hold, rounded up to a table of a power of two. */
  constructor(sessionsMax: number) {
    let slots = SLOTS_MIN;
    while (slots - (slots >>> 2) < sessionsMax) slots *= 2;
    assert(slots <= 1 << 24, 'at most 2^24 slots');
    this.#slotsMax = slots;
    this.#cells = new Int32Array(SLOTS_MIN * SLOT_WORDS);
    this.#mask = SLOTS_MIN - 1;
  }

  get byteLength(): number {
    return this.#cells.byteLength;
  }

  /** Value of the session, or 0. */
  get(key: Int32Array): number {
    const at = this.#find(key, hashKey(key));
    return this.#cells[at + VALUE]!;
  }

  /** Sets the value (not 0) of a session; returns the value before, 0 = it is new, -1 = the table is full. */
  set(key: Int32Array, value: number): number {
    assert(value > 0, 'values are above 0');
    const hash = hashKey(key);
    let at = this.#find(key, hash);
    const before = this.#cells[at + VALUE]!;
    if (before === FREE) {
      if (this.count >= this.#mask + 1 - ((this.#mask + 1) >>> 2)) {
        if (this.#mask + 1 >= this.#slotsMax) return -1;
        this.#grow();
        at = this.#find(key, hash);
      }
      for (let i = 0; i < KEY_WORDS; i++) this.#cells[at + i] = key[i]!;
      this.#cells[at + HASH] = hash;
      this.count++;
    }
    this.#cells[at + VALUE] = value;
    return before;
  }

  /** Removes a session; returns its value, 0 = there was none. */
  delete(key: Int32Array): number {
    const at = this.#find(key, hashKey(key));
    const value = this.#cells[at + VALUE]!;
    if (value !== FREE) this.#remove(at);
    return value;
  }

  /** Removes every session of this value; returns how many. */
  deleteValue(value: number): number {
    const cells = this.#cells;
    let removed = 0;
    for (let at = 0; at < cells.length; at += SLOT_WORDS) {
      // What moves into the hole is looked at again; what moves to the end from the front has been looked at.
      while (cells[at + VALUE] === value) {
        this.#remove(at);
        removed++;
      }
    }
    return removed;
  }

  /** Copies the key of slot `index` (0..slots-1) into `key`; returns its value, 0 = the slot is free. */
  keyAt(index: number, key: Int32Array): number {
    const at = index * SLOT_WORDS;
    const value = this.#cells[at + VALUE]!;
    if (value !== FREE) for (let i = 0; i < KEY_WORDS; i++) key[i] = this.#cells[at + i]!;
    return value;
  }

  get slots(): number {
    return this.#mask + 1;
  }

  clear(): void {
    this.#cells.fill(0);
    this.count = 0;
  }

  /** Slot of the key, or the free slot where it belongs. At least a quarter of the slots is free. */
  #find(key: Int32Array, hash: number): number {
    const cells = this.#cells;
    for (let slot = hash & this.#mask; ; slot = (slot + 1) & this.#mask) {
      const at = slot * SLOT_WORDS;
      if (cells[at + VALUE] === FREE) return at;
      if (cells[at + HASH] !== hash) continue;
      let same = true;
      for (let i = 0; i < KEY_WORDS; i++) if (cells[at + i] !== key[i]) same = false;
      if (same) return at;
    }
  }

  /** Knuth, The Art of Computer Programming 3, 6.4, algorithm R. */
  #remove(at: number): void {
    const cells = this.#cells;
    const mask = this.#mask;
    let hole = at / SLOT_WORDS;
    for (let slot = (hole + 1) & mask; cells[slot * SLOT_WORDS + VALUE] !== FREE; slot = (slot + 1) & mask) {
      const home = cells[slot * SLOT_WORDS + HASH]! & mask;
      if (((slot - home) & mask) < ((slot - hole) & mask)) continue;
      cells.copyWithin(hole * SLOT_WORDS, slot * SLOT_WORDS, (slot + 1) * SLOT_WORDS);
      hole = slot;
    }
    cells[hole * SLOT_WORDS + VALUE] = FREE;
    this.count--;
  }

  #grow(): void {
    const before = this.#cells;
    const slots = (this.#mask + 1) * 2;
    const cells = new Int32Array(slots * SLOT_WORDS);
    for (let from = 0; from < before.length; from += SLOT_WORDS) {
      if (before[from + VALUE] === FREE) continue;
      let slot = before[from + HASH]! & (slots - 1);
      while (cells[slot * SLOT_WORDS + VALUE] !== FREE) slot = (slot + 1) & (slots - 1);
      for (let i = 0; i < SLOT_WORDS; i++) cells[slot * SLOT_WORDS + i] = before[from + i]!;
    }
    this.#cells = cells;
    this.#mask = slots - 1;
  }
}
