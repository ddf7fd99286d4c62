/** `--fragroute` as a stage of a rewriting: which packets pass through the rules, and what comes out. */
import type { FrameBatch } from '../base/batch.ts';
import { type Fragroute, parseFragroute } from '../rewrite/fragroute/index.ts';
import type { FragrouteChoice } from './rewrite_file_spec.ts';
import { Side } from './rewrite_side.ts';

export class FragrouteStage {
  readonly #direction: FragrouteChoice['direction'];
  readonly #engine: Fragroute;

  /** `text`: the rules. Throws `OperatorError('USAGE')` naming the line. */
  constructor(choice: FragrouteChoice, text: string) {
    this.#direction = choice.direction;
    this.#engine = parseFragroute(choice.path, text, choice.seed);
  }

  get isIdle(): boolean {
    return this.#engine.isIdle;
  }

  takes(side: Side): boolean {
    if (this.#direction === 'both') return true;
    return (this.#direction === 'c2s') === (side === Side.Client);
  }

  /** The packets that frame `i` becomes, valid until the next call; null: it holds no whole IP packet and stays. */
  pass(batch: FrameBatch, i: number): FrameBatch | null {
    return this.#engine.pass(batch, i);
  }
}
