/**
 * HOT: the sessions: fixed-size records in two typed arrays and a hash index with open addressing. Budget 40 ns a
 * lookup.
 *
 * The key is what the target sees: client address (IPv4 or IPv6), client port, target. The index leads to the oldest
 * incarnation of a key; newer ones, of a client that used its port again, hang behind it (`Cell.Newer`). The index has
 * twice as many slots as there are sessions, so that a probe ends soon. Nothing grows.
 */
import { assert } from '../base/assert.ts';
import { mixEnd, mixWord } from '../flow/hash.ts';
import { CELLS, Cell, TIME_FIRST_DEADLINE, TIMES, Time } from './session_cells.ts';

const NONE = -1;

export class SessionTable {
  readonly capacity: number;
  readonly cells: Int32Array;
  readonly times: Float64Array;
  /** Sessions taken. */
  count = 0;
  /** Key of the lookup at hand: four address words, port and target. Fill, then `lookup`. */
  readonly key: Int32Array = new Int32Array(5);
  /** Hash of the key at hand, set by `lookup`. */
  hash = 0;

  readonly #index: Int32Array;
  readonly #mask: number;
  readonly #freeNext: Int32Array;
  #freeFirst: number;

  constructor(capacity: number) {
    assert(capacity >= 1 && capacity <= 1 << 24, 'capacity is 1..2^24');
    this.capacity = capacity;
    this.cells = new Int32Array(capacity * CELLS);
    this.times = new Float64Array(capacity * TIMES);
    let slots = 4;
    while (slots < capacity * 2) slots *= 2;
    this.#index = new Int32Array(slots).fill(NONE);
    this.#mask = slots - 1;
    this.#freeNext = new Int32Array(capacity);
    for (let i = 0; i < capacity; i++) this.#freeNext[i] = i + 1 < capacity ? i + 1 : NONE;
    this.#freeFirst = 0;
  }

  get byteLength(): number {
    return this.cells.byteLength + this.times.byteLength + this.#index.byteLength + this.#freeNext.byteLength;
  }

  /** Oldest session of `key`, or -1. */
  lookup(): number {
    this.hash = this.#hashKey();
    const slot = this.#find();
    return slot < 0 ? NONE : this.#index[slot]!;
  }

  /**
   * A record for `key` behind its other incarnations (precondition: `lookup` was called for it), cells 0, or -1: the
   * table is full.
   */
  take(): number {
    const id = this.#freeFirst;
    if (id < 0) return NONE;
    this.#freeFirst = this.#freeNext[id]!;
    this.#reset(id);
    const slot = this.#find();
    if (slot >= 0) this.#appendTo(this.#index[slot]!, id);
    else this.#index[this.#freeSlot()] = id;
    this.count++;
    return id;
  }

  /** Gives a record back. Returns the next newer incarnation that now is the oldest, or -1. */
  give(id: number): number {
    const at = id * CELLS;
    for (let word = 0; word < 5; word++) this.key[word] = this.cells[at + word]!;
    this.hash = this.cells[at + Cell.Hash]!;
    const slot = this.#find();
    assert(slot >= 0, 'a session taken is in the index');
    const newer = this.cells[at + Cell.Newer]!;
    let successor = NONE;
    if (this.#index[slot] !== id) this.#unlink(this.#index[slot]!, id, newer);
    else if (newer >= 0) {
      this.#index[slot] = newer;
      successor = newer;
    } else this.#removeSlot(slot);
    this.#freeNext[id] = this.#freeFirst;
    this.#freeFirst = id;
    this.count--;
    return successor;
  }

  #reset(id: number): void {
    const at = id * CELLS;
    const cells = this.cells;
    cells.fill(0, at, at + CELLS);
    for (let word = 0; word < 5; word++) cells[at + word] = this.key[word]!;
    cells[at + Cell.Hash] = this.hash;
    cells[at + Cell.Newer] = NONE;
    cells[at + Cell.Head] = NONE;
    cells[at + Cell.Tail] = NONE;
    cells[at + Cell.NextSend] = NONE;
    const t = id * TIMES;
    this.times.fill(0, t, t + TIME_FIRST_DEADLINE);
    this.times.fill(Number.POSITIVE_INFINITY, t + TIME_FIRST_DEADLINE, t + Time.Wheel + 1);
  }

  #hashKey(): number {
    const key = this.key;
    let h = mixWord(0x51ab3c9d, key[0]!);
    h = mixWord(mixWord(mixWord(h, key[1]!), key[2]!), key[3]!);
    return mixEnd(mixWord(h, key[4]!)) | 0;
  }

  /** Slot of the key at hand, or -1. At least half of the slots is free, so that the probe ends. */
  #find(): number {
    const index = this.#index;
    const mask = this.#mask;
    for (let slot = this.hash & mask; ; slot = (slot + 1) & mask) {
      const id = index[slot]!;
      if (id < 0) return NONE;
      if (this.#isKey(id)) return slot;
    }
  }

  #isKey(id: number): boolean {
    const at = id * CELLS;
    const cells = this.cells;
    const key = this.key;
    return (
      cells[at] === key[0] &&
      cells[at + 4] === key[4] &&
      cells[at + 1] === key[1] &&
      cells[at + 2] === key[2] &&
      cells[at + 3] === key[3]
    );
  }

  #freeSlot(): number {
    let slot = this.hash & this.#mask;
    while (this.#index[slot]! >= 0) slot = (slot + 1) & this.#mask;
    return slot;
  }

  /** Empties a slot and closes the hole behind it, so that no probe ends too soon (no tombstones). */
  #removeSlot(hole: number): void {
    const index = this.#index;
    const mask = this.#mask;
    let empty = hole;
    for (let slot = (hole + 1) & mask; index[slot]! >= 0; slot = (slot + 1) & mask) {
      const home = this.cells[index[slot]! * CELLS + Cell.Hash]! & mask;
      if (((slot - home) & mask) < ((slot - empty) & mask)) continue;
      index[empty] = index[slot]!;
      empty = slot;
    }
    index[empty] = NONE;
  }

  #appendTo(oldest: number, id: number): void {
    let last = oldest;
    for (let newer = this.cells[last * CELLS + Cell.Newer]!; newer >= 0; ) {
      last = newer;
      newer = this.cells[last * CELLS + Cell.Newer]!;
    }
    this.cells[last * CELLS + Cell.Newer] = id;
  }

  #unlink(oldest: number, id: number, newer: number): void {
    let before = oldest;
    while (this.cells[before * CELLS + Cell.Newer] !== id) before = this.cells[before * CELLS + Cell.Newer]!;
    this.cells[before * CELLS + Cell.Newer] = newer;
  }
}
