/** What a fragroute directive is: it turns the packets that one packet has become so far into others. */

import { OperatorError } from '../../base/errors.ts';
import type { Rng } from '../../base/rng.ts';
import type { Packet } from './packet.ts';

export interface RuleContext {
  readonly rng: Rng;
  /** A line for the operator (`echo`, `print`). */
  readonly say: (line: string) => void;
}

/** The packets in the order in which they leave. May change the array that it is given. */
export type Rule = (packets: Packet[], context: RuleContext) => Packet[];

/** A directive's words behind its name, and how to refuse them. */
export class Words {
  readonly name: string;
  readonly args: readonly string[];
  readonly #where: string;

  constructor(where: string, name: string, args: readonly string[]) {
    this.#where = where;
    this.name = name;
    this.args = args;
  }

  /** Throws the usage error that names file, line and directive. */
  refuse(why: string): never {
    throw new OperatorError('USAGE', `${this.#where}: ${this.name}: ${why}`);
  }

  count(least: number, most: number, usage: string): void {
    if (this.args.length < least || this.args.length > most) this.refuse(`is written as "${usage}"`);
  }

  /** The word at `index` as a whole number. */
  number(index: number, what: string, least: number, most: number): number {
    const text = this.args[index] ?? '';
    const n = /^(-?\d+|0x[0-9a-f]+)$/i.test(text) ? Number(text) : Number.NaN;
    if (!(n >= least && n <= most)) this.refuse(`${what} must be between ${least} and ${most}, not "${text}"`);
    return n;
  }

  /** The word at `index`, one of `words`. */
  choice<T extends string>(index: number, words: readonly T[]): T {
    const text = this.args[index] ?? '';
    const found = words.find((word) => word === text.toLowerCase());
    if (found === undefined) this.refuse(`"${text}" is none of ${words.join(', ')}`);
    return found;
  }

  /** The words from `index` on as bytes: `0102ff`, `01 02 ff`, `\x01\x02`, `0x01`. */
  bytes(index: number, most: number): Uint8Array {
    const text = this.args.slice(index).join(' ');
    const hex = text.replace(/\\x|0x/gi, ' ').replace(/[\s:,]+/g, '');
    if (hex === '' || hex.length % 2 !== 0 || !/^[0-9a-f]+$/i.test(hex)) {
      this.refuse(`needs bytes in hexadecimal as 0102ff or \\x01\\x02\\xff, not "${text}"`);
    }
    if (hex.length / 2 > most) this.refuse(`takes at most ${most} bytes, not ${hex.length / 2}`);
    return Uint8Array.from(hex.match(/../g)!, (pair) => Number.parseInt(pair, 16));
  }
}

/** How overlapping pieces are laid: so that a host that keeps older or newer bytes sees the true ones. */
export type Overlap = 'none' | 'old' | 'new';

/** `old` and `win32` favour older bytes, `new` and `unix` newer ones. */
export function overlapOf(words: Words, index: number): Overlap {
  if (words.args.length <= index) return 'none';
  const word = words.choice(index, ['old', 'new', 'win32', 'unix']);
  return word === 'old' || word === 'win32' ? 'old' : 'new';
}

export function randomBytes(rng: Rng, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) bytes[i] = rng.below(256);
  return bytes;
}

/** `bytes` and end-of-list zeros, to a multiple of `unit`. */
export function paddedTo(bytes: Uint8Array, unit: number): Uint8Array {
  const out = new Uint8Array(Math.ceil(bytes.length / unit) * unit);
  out.set(bytes);
  return out;
}
