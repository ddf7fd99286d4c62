/**
 * HOT: as whom the copies of a session are played (`--clone`, `--client-pool`). No two sessions get one identity: who
 * has it is remembered for as long as a session may be silent. A copy has some candidates, always the same ones; it
 * keeps the one that it has, else takes the first that nobody has, else it is shed. Budget 60 ns a copy.
 *
 * - Without a pool copies come from the client's own address, on other ports. Both ways of the session must belong to
 *   the same worker (`filter.ts`): ports move by multiples of twice the number of workers.
 * - With a pool each copy comes from an address of the pool, on the client's port.
 */
import { mixEnd, mixWord } from '../../flow/hash.ts';
import type { IdentityMap } from '../admission.ts';
import type { CloneSpec } from './spec.ts';

/** Ports that copies get: from about here on. */
const PORT_FIRST = 1024;
const PORTS_END = 65_536;
const CANDIDATES = 4;
const PROBES = 8;

export interface IdentityMapOptions {
  readonly workers: number;
  readonly sessionsMax: number;
  /** A session silent for this long has gone. */
  readonly idleNs: number;
  readonly nowNs: () => number;
}

/** Who has which identity: a hash table of fixed size, entries expire. */
class Owners {
  readonly #mask: number;
  /** Fingerprint of the identity, and of its owner. */
  readonly #words: Int32Array;
  readonly #seenNs: Float64Array;
  readonly #idleNs: number;

  constructor(sessions: number, idleNs: number) {
    let slots = 1024;
    while (slots < sessions * 2) slots *= 2;
    this.#mask = slots - 1;
    this.#words = new Int32Array(slots * 2);
    this.#seenNs = new Float64Array(slots).fill(Number.NEGATIVE_INFINITY);
    this.#idleNs = idleNs;
  }

  /** Whether `owner` has the identity; then it has been seen now. */
  has(identity: number, owner: number, nowNs: number): boolean {
    for (let i = 0; i < PROBES; i++) {
      const slot = (identity + i) & this.#mask;
      if (this.#words[slot * 2] !== identity || this.#words[slot * 2 + 1] !== owner) continue;
      if (nowNs - this.#seenNs[slot]! >= this.#idleNs) continue;
      this.#seenNs[slot] = nowNs;
      return true;
    }
    return false;
  }

  /** Gives a free identity to `owner`; false: it is somebody's, or there is no room. */
  take(identity: number, owner: number, nowNs: number): boolean {
    let free = -1;
    for (let i = 0; i < PROBES; i++) {
      const slot = (identity + i) & this.#mask;
      const isFree = nowNs - this.#seenNs[slot]! >= this.#idleNs;
      if (isFree && free < 0) free = slot;
      if (!isFree && this.#words[slot * 2] === identity) return false;
    }
    if (free < 0) return false;
    this.#words[free * 2] = identity;
    this.#words[free * 2 + 1] = owner;
    this.#seenNs[free] = nowNs;
    return true;
  }
}

class CopyIdentities implements IdentityMap {
  readonly copies: number;
  readonly #pool: { readonly first: number; readonly addresses: number } | null;
  readonly #unit: number;
  readonly #owners: Owners;
  readonly #nowNs: () => number;

  constructor(spec: CloneSpec, options: IdentityMapOptions) {
    this.copies = spec.copies;
    this.#pool = spec.pool;
    this.#unit = 2 * options.workers;
    this.#owners = new Owners(options.sessionsMax, options.idleNs);
    this.#nowNs = options.nowNs;
  }

  map(key: Int32Array, copy: number): boolean {
    const port = key[4]! >>> 16;
    const client = mixWord(mixWord(mixWord(mixWord(0x2545f491, key[0]!), key[1]!), key[2]!), key[3]!);
    const owner = mixEnd(mixWord(mixWord(client, port), copy)) | 0;
    const now = this.#nowNs();
    const last = copy === 0 && this.#pool === null ? 1 : CANDIDATES;
    for (let nth = 0; nth < last; nth++) {
      const { identity, address, to } = this.#candidate(client, port, copy, nth);
      if (this.#owners.has(identity, owner, now)) return this.#write(key, address, to);
    }
    for (let nth = 0; nth < last; nth++) {
      const { identity, address, to } = this.#candidate(client, port, copy, nth);
      if (this.#owners.take(identity, owner, now)) return this.#write(key, address, to);
    }
    return false;
  }

  readonly #found = { identity: 0, address: 0, to: 0 };

  #candidate(
    client: number,
    port: number,
    copy: number,
    nth: number,
  ): { identity: number; address: number; to: number } {
    const found = this.#found;
    found.to = port;
    found.address = 0;
    if (this.#pool !== null) {
      const h = mixEnd(mixWord(mixWord(client, copy), nth));
      found.address = (this.#pool.first + (h % this.#pool.addresses)) | 0;
      found.identity = mixEnd(mixWord(mixWord(0x1f83d9ab, found.address), port)) | 0;
      return found;
    }
    if (copy > 0) found.to = this.#otherPort(port, copy, nth);
    found.identity = mixEnd(mixWord(mixWord(0x1f83d9ab, client), found.to)) | 0;
    return found;
  }

  /** Far from the client's own ports, which follow one another. */
  #otherPort(port: number, copy: number, nth: number): number {
    // A multiple of the unit, else another worker would have the copy's replies.
    const first = Math.ceil(PORT_FIRST / this.#unit) * this.#unit;
    const steps = Math.floor((PORTS_END - first) / this.#unit);
    const from = (Math.floor((port - first) / this.#unit) + steps) % steps;
    const step = (from + Math.floor((steps * (copy + nth * this.copies)) / (this.copies * CANDIDATES + 1))) % steps;
    return first + step * this.#unit + (port % this.#unit);
  }

  #write(key: Int32Array, address: number, port: number): boolean {
    if (this.#pool !== null) {
      key[0] = address;
      key[1] = key[2] = key[3] = 0;
    }
    key[4] = (port << 16) | (key[4]! & 0xffff);
    return true;
  }
}

export function identityMap(spec: CloneSpec, options: IdentityMapOptions): IdentityMap {
  return new CopyIdentities(spec, options);
}
