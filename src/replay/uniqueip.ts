/**
 * `--unique-ip`: new addresses in every loop, or every few loops. Files are mapped afresh in each loop, so their frames
 * are changed where they lie; an arena's frames must survive, so each is copied to scratch memory first.
 */
import { scratchReserve } from '../base/region.ts';
import { applyUniqueIp } from '../rewrite/unique_ip.ts';
import { Route, type SendBatch } from './sendbatch.ts';

export class UniqueIp {
  readonly #every: number;
  #step = 0;
  #copy = false;

  /** `every`: loops per set of addresses, >= 1; may be a fraction, as in tcpreplay. */
  constructor(every: number) {
    this.#every = every;
  }

  startLoop(loop: number, framesAreKept: boolean): void {
    this.#step = Math.floor(loop / this.#every);
    this.#copy = framesAreKept;
  }

  /** Changes frames from `from` on; returns the first one not reached (the count: all done) when scratch is full. */
  apply(batch: SendBatch, from: number): number {
    const frames = batch.frames;
    if (this.#step === 0) return frames.count;
    for (let i = from; i < frames.count; i++) {
      if (batch.route[i] === Route.Elsewhere) continue;
      const length = frames.caplen[i]!;
      if (this.#copy) {
        const at = scratchReserve(frames.region, length);
        if (at < 0) return i;
        const start = frames.at[i]!;
        frames.region.bytes.copyWithin(at, start, start + length);
        frames.at[i] = at;
      }
      applyUniqueIp(frames, i, this.#step);
    }
    return frames.count;
  }
}
