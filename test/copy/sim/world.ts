/** A deterministic world: events in time order, links with seeded loss, duplication, delay and reordering. */
import { Rng } from '../../../src/base/rng.ts';

export const MS = 1_000_000;

export class World {
  now = 0;
  readonly rng: Rng;
  /** Called with the time before each event. */
  onTime: (now: number) => void = () => {};
  readonly #heap: { at: number; order: number; run: () => void }[] = [];
  #order = 0;

  constructor(seed: number) {
    this.rng = new Rng(seed);
  }

  after(ns: number, run: () => void): void {
    this.at(this.now + ns, run);
  }

  at(at: number, run: () => void): void {
    const heap = this.#heap;
    heap.push({ at: Math.max(at, this.now), order: this.#order++, run });
    let i = heap.length - 1;
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if (!isBefore(heap[i]!, heap[parent]!)) break;
      [heap[i], heap[parent]] = [heap[parent]!, heap[i]!];
      i = parent;
    }
  }

  /** Runs until nothing is left or the time is over; returns whether nothing is left. */
  run(untilNs: number): boolean {
    while (this.#heap.length > 0) {
      const event = this.#pop();
      if (event.at > untilNs) return false;
      this.now = event.at;
      this.onTime(this.now);
      event.run();
    }
    return true;
  }

  chance(share: number): boolean {
    return share > 0 && this.rng.below(1_000_000) < share * 1_000_000;
  }

  #pop(): { at: number; run: () => void } {
    const heap = this.#heap;
    const top = heap[0]!;
    const last = heap.pop()!;
    if (heap.length > 0) heap[0] = last;
    for (let i = 0; ; ) {
      let least = i;
      for (const child of [2 * i + 1, 2 * i + 2]) {
        if (child < heap.length && isBefore(heap[child]!, heap[least]!)) least = child;
      }
      if (least === i) return top;
      [heap[i], heap[least]] = [heap[least]!, heap[i]!];
      i = least;
    }
  }
}

function isBefore(a: { at: number; order: number }, b: { at: number; order: number }): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}

export interface LinkTraits {
  readonly delayNs: number;
  /** Up to this much more, so that packets overtake one another. */
  readonly jitterNs?: number;
  readonly loss?: number;
  readonly duplication?: number;
  /** Bytes a second, and bytes that may wait for their turn; without them a packet takes no time. */
  readonly rate?: number;
  readonly queueBytes?: number;
}

/** One direction of a path. */
export class Link<T> {
  isDown = false;
  /** Packets that found no room before the wire. */
  overflowed = 0;
  /** When the wire is free again. */
  #freeAt = 0;
  readonly #world: World;
  readonly #traits: LinkTraits;
  readonly #deliver: (packet: T) => void;

  constructor(world: World, traits: LinkTraits, deliver: (packet: T) => void) {
    this.#world = world;
    this.#traits = traits;
    this.#deliver = deliver;
  }

  send(packet: T, bytes = 0): void {
    const wait = this.#queue(bytes);
    if (wait < 0) return;
    const copies = this.#world.chance(this.#traits.duplication ?? 0) ? 2 : 1;
    for (let i = 0; i < copies; i++) {
      if (this.isDown || this.#world.chance(this.#traits.loss ?? 0)) continue;
      const jitter = this.#traits.jitterNs ? this.#world.rng.below(this.#traits.jitterNs) : 0;
      this.#world.after(wait + this.#traits.delayNs + jitter, () => this.#deliver(packet));
    }
  }

  /** How long a packet waits and takes, or -1: there is no room. */
  #queue(bytes: number): number {
    const { queueBytes = Number.POSITIVE_INFINITY, rate } = this.#traits;
    if (rate === undefined) return 0;
    const { now } = this.#world;
    const from = Math.max(now, this.#freeAt);
    if (((from - now) * rate) / 1e9 + bytes > queueBytes) {
      this.overflowed++;
      return -1;
    }
    this.#freeAt = from + (bytes * 1e9) / rate;
    return this.#freeAt - now;
  }
}
