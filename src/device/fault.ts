/**
 * Planned faults in front of any sink: frames dropped, corrupted, doubled, swapped with the next one, refused. Seeded,
 * so that a run can be repeated. For tests of receivers (`--loss`) and of our own engines.
 */
import type { Region } from '../base/region.ts';
import { scratchReserve } from '../base/region.ts';
import { Rng } from '../base/rng.ts';
import { anonymousRegion } from '../sys/memory.ts';
import type { Sink, SinkCounters, SinkLimits } from './sink.ts';

export interface FaultPlan {
  /** Percent of frames, 0 to 100. */
  readonly dropPercent?: number;
  /** One bit of the frame is flipped, in a copy. */
  readonly corruptPercent?: number;
  readonly duplicatePercent?: number;
  /** The frame leaves behind the next one of its batch. */
  readonly reorderPercent?: number;
  /** Counted as failed with cause `REFUSED`, as if the kernel had said no. */
  readonly refusePercent?: number;
  readonly seed: number;
}

/** Cause of frames that were dropped because it was asked for. */
export const LOSS_CAUSE = 'loss asked for';
export const REFUSED_CAUSE = 'REFUSED';

/** What was done to frames so far. */
export interface FaultTally {
  dropped: number;
  corrupted: number;
  duplicated: number;
  reordered: number;
  refused: number;
}

const SCRATCH_BYTES = 1024 * 1024;

export class FaultSink implements Sink {
  readonly name: string;
  readonly limits: SinkLimits;
  readonly counters: SinkCounters;
  readonly tally: FaultTally = { dropped: 0, corrupted: 0, duplicated: 0, reordered: 0, refused: 0 };
  #inner: Sink;
  #plan: Required<FaultPlan>;
  #rng: Rng;
  #scratch: Region = anonymousRegion(0, SCRATCH_BYTES);
  /** The frame that waits for the next one. */
  #held: { region: Region; at: number; length: number } | null = null;
  #sentEarly = 0;

  constructor(inner: Sink, plan: FaultPlan) {
    this.#inner = inner;
    this.#plan = {
      dropPercent: 0,
      corruptPercent: 0,
      duplicatePercent: 0,
      reorderPercent: 0,
      refusePercent: 0,
      ...plan,
    };
    this.#rng = new Rng(plan.seed);
    this.name = inner.name;
    this.limits = inner.limits;
    this.counters = inner.counters;
  }

  get fault(): Error | null {
    return this.#inner.fault;
  }

  setTime(sec: number, nsec: number): void {
    this.#inner.setTime?.(sec, nsec);
  }

  #happens(percent: number): boolean {
    return percent > 0 && this.#rng.below(1_000_000) < percent * 10_000;
  }

  push(region: Region, at: number, length: number): boolean {
    if (this.fault !== null) return false;
    if (this.#happens(this.#plan.dropPercent)) {
      this.tally.dropped++;
      this.counters.fail(LOSS_CAUSE);
      return true;
    }
    if (this.#happens(this.#plan.refusePercent)) {
      this.tally.refused++;
      this.counters.fail(REFUSED_CAUSE);
      return true;
    }
    if (length > 0 && this.#happens(this.#plan.corruptPercent)) return this.#pushCorrupted(region, at, length);
    if (this.#held === null && this.#happens(this.#plan.reorderPercent)) {
      this.#held = { region, at, length };
      return true;
    }
    this.#pass(region, at, length);
    if (this.#happens(this.#plan.duplicatePercent)) {
      this.tally.duplicated++;
      this.#pass(region, at, length);
    }
    if (this.#held !== null) {
      this.tally.reordered++;
      this.#passHeld();
    }
    return true;
  }

  #pushCorrupted(region: Region, at: number, length: number): boolean {
    let copy = scratchReserve(this.#scratch, length);
    if (copy < 0) {
      this.#flushInner();
      copy = scratchReserve(this.#scratch, length);
    }
    this.#scratch.bytes.set(region.bytes.subarray(at, at + length), copy);
    const bit = this.#rng.below(length * 8);
    const place = copy + (bit >> 3);
    this.#scratch.bytes[place] = this.#scratch.bytes[place]! ^ (1 << (bit & 7));
    this.tally.corrupted++;
    this.#pass(this.#scratch, copy, length);
    return true;
  }

  #pass(region: Region, at: number, length: number): void {
    if (this.#inner.push(region, at, length)) return;
    this.#flushInner();
    if (!this.#inner.push(region, at, length)) this.counters.fail('device gone');
  }

  #passHeld(): void {
    const held = this.#held;
    this.#held = null;
    if (held !== null) this.#pass(held.region, held.at, held.length);
  }

  /** The inner sink may retain frames: it must have let go of the scratch copies before they are overwritten. */
  #flushInner(): void {
    this.#sentEarly += this.#inner.flush();
    if (this.#scratch.scratchNext === this.#scratch.scratchStart) return;
    if (this.limits.retainsFrames) this.#inner.drain();
    this.#scratch.scratchNext = this.#scratch.scratchStart;
  }

  flush(): number {
    this.#passHeld();
    this.#flushInner();
    const sent = this.#sentEarly;
    this.#sentEarly = 0;
    return sent;
  }

  drain(): void {
    this.flush();
    this.#inner.drain();
  }

  close(): void {
    this.drain();
    this.#inner.close();
    this.#scratch.release();
  }
}
