/**
 * HOT: a hierarchical timer wheel: one timer per number 0..capacity-1, O(1) to set, move and cancel. Budget 20 ns.
 *
 * Four levels of 64 slots; a tick is 2^19 ns (0.52 ms). A timer never fires early and at most one tick plus the
 * caller's own delay late. Further away than 2.4 hours it fires at that bound: the owner looks at its real deadline
 * and sets it again. After a clock jump forward everything due is handed out at once; a jump backward makes no timer
 * fire.
 *
 * (G. Varghese, T. Lauck: Hashed and hierarchical timing wheels, 1987.)
 */
export const TICK_NS = 524_288;
const SLOT_BITS = 6;
const SLOTS = 1 << SLOT_BITS;
const SLOT_MASK = SLOTS - 1;
const LEVELS = 4;
const TICKS_MAX = 2 ** (SLOT_BITS * LEVELS) - 1;
const NONE = -1;

export class TimerWheel {
  /** Numbers whose time has come, filled by `advance`. */
  readonly expired: Int32Array;
  /** Timers that are set. */
  count = 0;

  readonly #next: Int32Array;
  readonly #previous: Int32Array;
  /** Slot that holds the timer, or -1. */
  readonly #slot: Int32Array;
  /** Tick at which the timer is due; exact, as ticks stay below 2^53. */
  readonly #due: Float64Array;
  readonly #heads: Int32Array = new Int32Array(SLOTS * LEVELS).fill(NONE);
  /** Occupied slots, two words of 32 bits a level. */
  readonly #occupied: Int32Array = new Int32Array(2 * LEVELS);
  /** Last tick that was processed. */
  #tick = 0;

  constructor(capacity: number) {
    this.expired = new Int32Array(capacity);
    this.#next = new Int32Array(capacity).fill(NONE);
    this.#previous = new Int32Array(capacity).fill(NONE);
    this.#slot = new Int32Array(capacity).fill(NONE);
    this.#due = new Float64Array(capacity);
  }

  get byteLength(): number {
    return this.expired.length * 24;
  }

  isSet(id: number): boolean {
    return this.#slot[id]! >= 0;
  }

  /** Sets or moves a timer. A time that has passed fires with the next tick. */
  set(id: number, dueNs: number): void {
    if (this.#slot[id]! >= 0) this.cancel(id);
    this.#due[id] = Math.max(this.#tick + 1, Math.min(Math.ceil(dueNs / TICK_NS), this.#tick + TICKS_MAX));
    this.#insert(id);
    this.count++;
  }

  cancel(id: number): void {
    const slot = this.#slot[id]!;
    if (slot < 0) return;
    const next = this.#next[id]!;
    const previous = this.#previous[id]!;
    if (next >= 0) this.#previous[next] = previous;
    if (previous >= 0) this.#next[previous] = next;
    else this.#setHead(slot, next);
    this.#slot[id] = NONE;
    this.count--;
  }

  /** Moves time on; returns how many numbers stand in `expired`. Their timers are no longer set. */
  advance(nowNs: number): number {
    const until = Math.floor(nowNs / TICK_NS);
    let fired = 0;
    while (this.#tick < until) {
      if (this.count === 0) {
        this.#tick = until;
        break;
      }
      // With nothing in level 0 the next thing that can happen is the turn of a slot of level 1.
      const isEmpty = (this.#occupied[0]! | this.#occupied[1]!) === 0;
      this.#tick = isEmpty ? Math.min(until, this.#tick + SLOTS - (this.#tick % SLOTS)) : this.#tick + 1;
      if (this.#tick % SLOTS === 0) this.#cascade();
      fired = this.#takeSlot(this.#tick % SLOTS, fired);
    }
    return fired;
  }

  /** A time at or before which nothing is due: the caller may sleep until then. Infinity when no timer is set. */
  nextNs(): number {
    if (this.count === 0) return Number.POSITIVE_INFINITY;
    let span = 1;
    let best = Number.POSITIVE_INFINITY;
    for (let level = 0; level < LEVELS; level++) {
      const here = Math.floor(this.#tick / span);
      const steps = this.#stepsToOccupied(level, here % SLOTS);
      if (steps > 0) best = Math.min(best, (here + steps) * span);
      span *= SLOTS;
    }
    return best * TICK_NS;
  }

  /** Slots from `slot` (exclusive) to the next occupied one, 1..64; 0 when the level is empty. */
  #stepsToOccupied(level: number, slot: number): number {
    const low = this.#occupied[level * 2]!;
    const high = this.#occupied[level * 2 + 1]!;
    if ((low | high) === 0) return 0;
    for (let steps = 1; steps <= SLOTS; steps++) {
      const at = (slot + steps) & SLOT_MASK;
      if ((((at < 32 ? low : high) >>> (at & 31)) & 1) !== 0) return steps;
    }
    return 0;
  }

  #insert(id: number): void {
    const due = this.#due[id]!;
    let level = 0;
    let span = 1;
    // The level whose slots, counted from the present one, still reach the due time.
    while (level < LEVELS - 1 && Math.floor(due / span) - Math.floor(this.#tick / span) >= SLOTS) {
      level++;
      span *= SLOTS;
    }
    const slot = level * SLOTS + (Math.floor(due / span) % SLOTS);
    const head = this.#heads[slot]!;
    this.#next[id] = head;
    this.#previous[id] = NONE;
    if (head >= 0) this.#previous[head] = id;
    this.#slot[id] = slot;
    this.#setHead(slot, id);
  }

  #setHead(slot: number, id: number): void {
    this.#heads[slot] = id;
    const word = slot >>> 5;
    const bit = 1 << (slot & 31);
    this.#occupied[word] = id >= 0 ? this.#occupied[word]! | bit : this.#occupied[word]! & ~bit;
  }

  /** Hands the timers of upper levels' slots that begin at this tick down. */
  #cascade(): void {
    let span = SLOTS;
    for (let level = 1; level < LEVELS; level++) {
      const turn = Math.floor(this.#tick / span);
      const slot = level * SLOTS + (turn % SLOTS);
      let id = this.#heads[slot]!;
      this.#setHead(slot, NONE);
      while (id >= 0) {
        const next = this.#next[id]!;
        this.#insert(id);
        id = next;
      }
      if (turn % SLOTS !== 0) return;
      span *= SLOTS;
    }
  }

  #takeSlot(slot: number, from: number): number {
    let fired = from;
    let id = this.#heads[slot]!;
    if (id < 0) return fired;
    this.#setHead(slot, NONE);
    while (id >= 0) {
      this.#slot[id] = NONE;
      this.count--;
      this.expired[fired++] = id;
      id = this.#next[id]!;
    }
    return fired;
  }
}
