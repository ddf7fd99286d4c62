/** HOT: frames longer than their device takes: refused, skipped, cut, fragmented or resegmented. */
import type { FrameBatch } from '../base/batch.ts';
import { OperatorError } from '../base/errors.ts';
import type { Sink } from '../device/sink.ts';
import { OversizeSplitter, Split } from '../rewrite/oversize.ts';
import { Cause } from './causes.ts';
import { oversizeError } from './input.ts';
import { TAKE } from './select.ts';
import type { OversizePolicy } from './spec.ts';

export class OversizeStage {
  /** Frames that one frame may become. */
  readonly splitFramesMax: number;
  readonly #policy: OversizePolicy;
  readonly #sinks: readonly Sink[];
  readonly #limits: Uint32Array;
  readonly #splitters: readonly OversizeSplitter[];
  #error: OperatorError | null = null;

  constructor(policy: OversizePolicy, sinks: readonly Sink[]) {
    this.#policy = policy;
    this.#sinks = sinks;
    this.#limits = Uint32Array.from(sinks, (sink) => sink.limits.frameBytesMax);
    const splits = policy === 'fragment' || policy === 'segment' || policy === 'truncate';
    this.#splitters = splits ? sinks.map((sink) => new OversizeSplitter(policy, sink.limits.frameBytesMax)) : [];
    this.splitFramesMax = policy === 'fragment' || policy === 'segment' ? 512 : 1;
  }

  fits(batch: FrameBatch, i: number, route: number): boolean {
    return batch.caplen[i]! <= this.#limits[route]!;
  }

  /**
   * Appends what is made of a frame that does not fit to `out`; returns TAKE, or the Cause that nothing is sent for.
   */
  handle(batch: FrameBatch, i: number, route: number, out: FrameBatch): number {
    if (this.#policy === 'skip') return Cause.OversizeSkip;
    if (this.#policy === 'error') {
      this.#error ??= oversizeError('', batch.numberFirst + i, batch.caplen[i]!, this.#sinks[route]!);
      return Cause.Oversize;
    }
    switch (this.#splitters[route]!.split(batch, i, out)) {
      case Split.Done:
        return TAKE;
      case Split.NoRoom:
        return Cause.NoRoom;
      default:
        return Cause.NotSplittable;
    }
  }

  /** The first frame that was refused, as a sentence. */
  error(): OperatorError {
    return this.#error ?? new OperatorError('MTU', 'a packet is too long for its interface');
  }
}
