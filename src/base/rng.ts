/** Seeded pseudo-random generator (xorshift32, Marsaglia 2003): one seed, one run. Not for secrets. */
export class Rng {
  #state: number;

  constructor(seed: number) {
    this.#state = seed | 0 || 0x9e3779b9 | 0;
  }

  /** Uniform in [0, 2^32). */
  nextUint32(): number {
    let x = this.#state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#state = x;
    return x >>> 0;
  }

  /** Uniform in [0, limit); limit in 1..2^32. */
  below(limit: number): number {
    return Math.floor((this.nextUint32() / 0x1_0000_0000) * limit);
  }
}
