/** HOT: which packets are asked for: number ranges and a filter. Numbers count from 1 in each file. */
import type { FrameBatch } from '../base/batch.ts';
import { Cause } from './causes.ts';
import type { PacketRanges, SelectSpec } from './spec.ts';

/** Takes the packet. */
export const TAKE = -1;

/** Runs a filter on a frame of the batch. */
export interface FrameFilter {
  matches(batch: FrameBatch, i: number): boolean;
}

/** A walk along sorted ranges with packet numbers that mostly rise: O(1) a packet. */
class RangeWalk {
  readonly #ranges: PacketRanges;
  #at = 0;
  #lastNumber = 0;

  constructor(ranges: PacketRanges) {
    this.#ranges = ranges;
  }

  has(number: number): boolean {
    if (number < this.#lastNumber) this.#at = 0;
    this.#lastNumber = number;
    while (this.#at < this.#ranges.length && this.#ranges[this.#at]!.last < number) this.#at++;
    return this.#at < this.#ranges.length && this.#ranges[this.#at]!.first <= number;
  }
}

export class Select {
  readonly #include: RangeWalk | null;
  readonly #exclude: RangeWalk | null;
  readonly #filter: FrameFilter | null;

  constructor(spec: SelectSpec, filter: FrameFilter | null) {
    this.#include = spec.include === null ? null : new RangeWalk(spec.include);
    this.#exclude = spec.exclude === null ? null : new RangeWalk(spec.exclude);
    this.#filter = filter;
  }

  /** `TAKE`, or the Cause that frame `i` is skipped for. */
  causeOf(batch: FrameBatch, i: number): number {
    const number = batch.numberFirst + i;
    if (this.#include?.has(number) === false) return Cause.NotIncluded;
    if (this.#exclude?.has(number) === true) return Cause.Excluded;
    if (this.#filter !== null && !this.#filter.matches(batch, i)) return Cause.Filtered;
    return TAKE;
  }
}
