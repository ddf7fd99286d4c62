/** Which side sent a packet, by its number in a tcpprep cache. */
import type { FrameBatch } from '../base/batch.ts';
import { OperatorError } from '../base/errors.ts';
import { groupDigits } from '../base/units.ts';
import { type PrepCache, PrepVerdict, readPrepCache } from '../pcap/prep_cache.ts';
import { type Router, Side } from './rewrite_side.ts';

export class CacheRouter implements Router {
  readonly #cache: PrepCache;
  readonly #path: string;

  constructor(cache: PrepCache, path: string) {
    this.#cache = cache;
    this.#path = path;
  }

  sideOf(batch: FrameBatch, i: number): Side {
    return this.sideOfNumber(batch.numberFirst + i);
  }

  /** `number` counts from 1. */
  sideOfNumber(number: number): Side {
    if (number > this.#cache.packets) throw this.#tooShort(number);
    const verdict = this.#cache.verdictOf(number);
    if (verdict === PrepVerdict.Skip) return Side.DontSend;
    return verdict === PrepVerdict.Primary ? Side.Client : Side.Server;
  }

  #tooShort(number: number): OperatorError {
    const known = groupDigits(this.#cache.packets);
    return new OperatorError(
      'FORMAT',
      `${this.#path} knows ${known} packets and says nothing about packet ${groupDigits(number)}: ` +
        'make a cache of this capture',
    );
  }
}

/** Throws `OperatorError` where there is no such cache. */
export function readCacheRouter(path: string): CacheRouter {
  return new CacheRouter(readPrepCache(path), path);
}
