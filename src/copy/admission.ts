/**
 * HOT: which clients are copied (`--percent`, `--ramp`), and as whom (`--clone`, `--client-pool`).
 *
 * A client is admitted by a hash of its address alone, so that all its connections are, now and later, in every worker.
 * While the ramp rises clients are added and none is taken away.
 */
import { mixEnd, mixWord } from '../flow/hash.ts';

/** Another seed than the session table's, so that a share of clients is no share of its slots. */
const SEED = 0x3c6ef372;

export function clientHash(word0: number, word1: number, word2: number, word3: number): number {
  return mixEnd(mixWord(mixWord(mixWord(mixWord(SEED, word0), word1), word2), word3));
}

/** Whether a client is copied `sinceStartNs` after the start. `hash`: of `clientHash`. */
export function isAdmitted(hash: number, percent: number, rampNs: number, sinceStartNs: number): boolean {
  if (percent >= 100 && rampNs === 0) return true;
  const share = rampNs > 0 && sinceStartNs < rampNs ? (percent * sinceStartNs) / rampNs : percent;
  return hash < (share / 100) * 0x1_0000_0000;
}

/**
 * As whom a client's session is played. `key` holds four address words and, in the high half of cell 4, the port; the
 * map writes the identity of copy 0..copies-1 over it. It must be a function of its input for as long as the session
 * lives, and no two sessions may get the same identity at one target; false: no identity is free, the copy is shed.
 */
export interface IdentityMap {
  readonly copies: number;
  map(key: Int32Array, copy: number): boolean;
}

/** Clients as they are, once. */
export const SAME_IDENTITY: IdentityMap = {
  copies: 1,
  map(): boolean {
    return true;
  },
};
