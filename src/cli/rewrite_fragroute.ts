/** `--fragroute` as a stage of a rewriting: which packets pass through the rules, and what comes out. */
import type { FrameBatch } from '../base/batch.ts';
import { type Fragroute, parseFragroute } from '../rewrite/fragroute/index.ts';
import type { FragrouteChoice } from './rewrite_file_spec.ts';
import { Side } from './rewrite_side.ts';
import { bump, type RewriteTally } from './rewrite_tally.ts';

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

  /**
   * The packets that frame `i` becomes, valid until the next call; null: it stays as it is, being no IP packet, or for
   * a reason that is counted as a failure.
   */
  pass(batch: FrameBatch, i: number, tally: RewriteTally): FrameBatch | null {
    const engine = this.#engine;
    const { cut, tooMany } = engine;
    const made = engine.pass(batch, i);
    if (made === null) {
      bump(tally.failed, 'fragroute-cut', engine.cut - cut);
      bump(tally.failed, 'fragroute-too-many', engine.tooMany - tooMany);
    }
    return made;
  }

  /** Hands over the lines of `echo` and `print`. */
  drain(say: (line: string) => void): void {
    const { lines } = this.#engine;
    if (lines.length === 0) return;
    for (const line of lines) say(line);
    lines.length = 0;
  }
}
