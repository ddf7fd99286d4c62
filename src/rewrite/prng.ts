/**
 * The reference tool's pseudo-random generator: what `--seed`, `--enet-mac-seed`, `--tcp-sequence` and `--fuzz-seed`
 * mean is defined by it, so the same seed gives the same packets. A linear congruential generator (the C standard's
 * sample `rand`), three steps for one result of 31 bits.
 */
export class SeedPrng {
  /** u32. */
  state: number;

  constructor(seed: number) {
    this.state = seed >>> 0;
  }

  /** Uniform in [0, 2^31). */
  next(): number {
    const first = step(this.state);
    const second = step(first);
    const third = step(second);
    this.state = third;
    const high = (((first >>> 16) % 2048) << 10) ^ ((second >>> 16) % 1024);
    return ((high << 10) ^ ((third >>> 16) % 1024)) >>> 0;
  }
}

function step(n: number): number {
  return (Math.imul(n, 1_103_515_245) + 12_345) >>> 0;
}

/** Results thrown away before a user's seed is used. */
const MIXING_ROUNDS = 5;

/** A generator after five rounds on the seed, as address seeds, sequence seeds and fuzzing begin. */
export function mixedPrng(seed: number): SeedPrng {
  const prng = new SeedPrng(seed);
  for (let round = 0; round < MIXING_ROUNDS; round++) prng.next();
  return prng;
}

/** The number that `--tcp-sequence=seed` adds: the fifth result, u32. */
export function tcpSequenceShift(seed: number): number {
  const prng = new SeedPrng(seed);
  let shift = 0;
  for (let round = 0; round < MIXING_ROUNDS; round++) shift = prng.next();
  return shift >>> 0;
}

/** Mask of `--enet-mac-seed`: six bytes, no two alike. */
export function macSeedMask(seed: number): Uint8Array {
  const prng = new SeedPrng(seed);
  const mask = new Uint8Array(6);
  for (let i = 0; i < 6; i++) {
    let byte = prng.next() % 256;
    while (mask.subarray(0, i).includes(byte)) byte = prng.next() % 256;
    mask[i] = byte;
  }
  return mask;
}
