/**
 * One pass over the inputs: files one after the other, or pairs of files merged by time. A feed hands out pieces:
 * runs of frames of one file in one batch.
 */
import { BATCH_FRAMES, FrameBatch } from '../base/batch.ts';
import { plainRegion } from '../base/region.ts';
import type { CaptureReader } from '../pcap/reader.ts';
import { Route } from './sendbatch.ts';

export interface Piece {
  readonly batch: FrameBatch;
  readonly from: number;
  readonly to: number;
  /** Route of all frames of the piece, or -1: the cache decides. */
  readonly route: Route | -1;
  /** The first frame is the first of its file (or pair of files). */
  readonly startsFile: boolean;
  /** Index of the input. */
  readonly input: number;
}

export interface Feed {
  /**
   * The next piece, or null at the end of the pass. Throws the reader's OperatorError. Before a batch is filled again
   * `beforeRefill` is called with it: whoever still holds frames of it must let go.
   */
  next(): Piece | null;
  close(): void;
}

export type BeforeRefill = (batch: FrameBatch) => void;
export type OpenReader = (path: string) => CaptureReader;

/** Files in order. */
export class SequentialFeed implements Feed {
  readonly #inputs: readonly string[];
  readonly #open: OpenReader;
  readonly #beforeRefill: BeforeRefill;
  readonly #batch = new FrameBatch(BATCH_FRAMES, plainRegion(0));
  #reader: CaptureReader | null = null;
  #input = -1;
  #fresh = false;

  constructor(inputs: readonly string[], open: OpenReader, beforeRefill: BeforeRefill) {
    this.#inputs = inputs;
    this.#open = open;
    this.#beforeRefill = beforeRefill;
  }

  next(): Piece | null {
    for (;;) {
      if (this.#reader === null) {
        if (this.#input + 1 >= this.#inputs.length) return null;
        this.#input++;
        this.#reader = this.#open(this.#inputs[this.#input]!);
        this.#fresh = true;
      }
      this.#beforeRefill(this.#batch);
      const count = this.#reader.read(this.#batch);
      if (count > 0) {
        const startsFile = this.#fresh;
        this.#fresh = false;
        return { batch: this.#batch, from: 0, to: count, route: -1, startsFile, input: this.#input };
      }
      this.#reader.close();
      this.#reader = null;
    }
  }

  close(): void {
    this.#reader?.close();
    this.#reader = null;
  }
}

/** One side of a merged pair. */
class Side {
  readonly reader: CaptureReader;
  readonly batch = new FrameBatch(BATCH_FRAMES, plainRegion(0));
  readonly input: number;
  at = 0;

  constructor(reader: CaptureReader, input: number) {
    this.reader = reader;
    this.input = input;
  }

  /** A frame is there to be taken. */
  fill(beforeRefill: BeforeRefill): boolean {
    if (this.at < this.batch.count) return true;
    beforeRefill(this.batch);
    this.at = 0;
    this.batch.count = this.reader.read(this.batch);
    return this.batch.count > 0;
  }

  /** Index behind the last frame that is not later than the other side's next one. */
  runBefore(other: Side, orEqual: boolean): number {
    let i = this.at;
    while (i < this.batch.count && isBefore(this.batch, i, other.batch, other.at, orEqual)) i++;
    return i;
  }
}

function isBefore(a: FrameBatch, i: number, b: FrameBatch, j: number, orEqual: boolean): boolean {
  const seconds = a.sec[i]! - b.sec[j]!;
  if (seconds !== 0) return seconds < 0;
  const ns = a.nsec[i]! - b.nsec[j]!;
  return ns < 0 || (orEqual && ns === 0);
}

/** Inputs (1,2), (3,4)… merged by time; equal stamps: the odd file first. */
export class MergedFeed implements Feed {
  readonly #inputs: readonly string[];
  readonly #open: OpenReader;
  readonly #beforeRefill: BeforeRefill;
  #pair = 0;
  #sides: readonly [Side, Side] | null = null;
  #fresh = false;

  /** Preconditions: an even number of inputs. */
  constructor(inputs: readonly string[], open: OpenReader, beforeRefill: BeforeRefill) {
    this.#inputs = inputs;
    this.#open = open;
    this.#beforeRefill = beforeRefill;
  }

  next(): Piece | null {
    for (;;) {
      if (this.#sides === null) {
        if (this.#pair >= this.#inputs.length) return null;
        this.#openPair();
      }
      const [odd, even] = this.#sides!;
      const hasOdd = odd.fill(this.#beforeRefill);
      const hasEven = even.fill(this.#beforeRefill);
      if (!hasOdd && !hasEven) {
        this.close();
        continue;
      }
      if (!hasEven) return this.#take(odd, odd.batch.count, Route.Primary);
      if (!hasOdd) return this.#take(even, even.batch.count, Route.Secondary);
      const run = odd.runBefore(even, true);
      if (run > odd.at) return this.#take(odd, run, Route.Primary);
      return this.#take(even, even.runBefore(odd, false), Route.Secondary);
    }
  }

  close(): void {
    if (this.#sides !== null) for (const side of this.#sides) side.reader.close();
    this.#sides = null;
  }

  #openPair(): void {
    const first = this.#open(this.#inputs[this.#pair]!);
    const second = this.#open(this.#inputs[this.#pair + 1]!);
    this.#sides = [new Side(first, this.#pair), new Side(second, this.#pair + 1)];
    this.#pair += 2;
    this.#fresh = true;
  }

  #take(side: Side, to: number, route: Route): Piece {
    const startsFile = this.#fresh;
    this.#fresh = false;
    const from = side.at;
    side.at = to;
    return { batch: side.batch, from, to, route, startsFile, input: side.input };
  }
}
