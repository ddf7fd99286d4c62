/**
 * HOT: what becomes of one address: network maps and the seed, compiled into flat arrays of numbers.
 *
 * The seed's formula works on 32-bit words in little-endian order, as the reference tool does on the machines it is
 * used on, so that both give the same addresses for the same seed on every machine.
 */
import { sumDelta32 } from '../wire/checksum.ts';
import { prefixMask } from './cidr.ts';
import { mixedPrng } from './prng.ts';
import type { AddressMap } from './spec.ts';

const CLASS_D = 0xe;

/** Pairs of one map and one IP version: `words` numbers a pair in each array. */
class PairTable {
  readonly count: number;
  readonly from: Uint32Array;
  readonly fromMask: Uint32Array;
  /** Network bits of the target, host bits zero. */
  readonly to: Uint32Array;
  readonly toMask: Uint32Array;

  constructor(map: AddressMap, version: 4 | 6) {
    const pairs = map.filter((pair) => pair.from.version === version);
    const words = version === 4 ? 1 : 4;
    this.count = pairs.length;
    this.from = new Uint32Array(pairs.length * words);
    this.fromMask = new Uint32Array(pairs.length * words);
    this.to = new Uint32Array(pairs.length * words);
    this.toMask = new Uint32Array(pairs.length * words);
    for (const [p, { from, to }] of pairs.entries()) {
      for (let w = 0; w < words; w++) {
        const at = p * words + w;
        this.fromMask[at] = prefixMask(from.prefixLength, w);
        this.from[at] = (from.words[w]! & this.fromMask[at]!) >>> 0;
        this.toMask[at] = prefixMask(to.prefixLength, w);
        this.to[at] = (to.words[w]! & this.toMask[at]!) >>> 0;
      }
    }
  }

  map4(address: number): number {
    for (let p = 0; p < this.count; p++) {
      if ((address & this.fromMask[p]!) >>> 0 === this.from[p]!) {
        return (this.to[p]! | (address & ~this.toMask[p]!)) >>> 0;
      }
    }
    return address;
  }

  /** Index of the first word of the pair that holds the address, or -1. */
  find6(a: number, b: number, c: number, d: number): number {
    for (let at = 0; at < 4 * this.count; at += 4) {
      if (
        (a & this.fromMask[at]!) >>> 0 === this.from[at]! &&
        (b & this.fromMask[at + 1]!) >>> 0 === this.from[at + 1]! &&
        (c & this.fromMask[at + 2]!) >>> 0 === this.from[at + 2]! &&
        (d & this.fromMask[at + 3]!) >>> 0 === this.from[at + 3]!
      ) {
        return at;
      }
    }
    return -1;
  }
}

/** Edits one role of address (source, destination) in one direction. */
export class AddressEditor {
  /** Nothing to do for any address. */
  readonly idle: boolean;
  readonly #tables4: readonly PairTable[];
  readonly #tables6: readonly PairTable[];
  readonly #seeded: boolean;
  /** The seed's state as a little-endian word of its big-endian bytes. */
  readonly #seedWord: number;
  readonly #skipMulticast: boolean;
  readonly #words: Uint32Array = new Uint32Array(4);

  /** The maps apply one after another, the seed last. */
  constructor(maps: readonly AddressMap[], seed: number | null, skipMulticast: boolean) {
    this.#tables4 = maps.map((map) => new PairTable(map, 4)).filter((table) => table.count > 0);
    this.#tables6 = maps.map((map) => new PairTable(map, 6)).filter((table) => table.count > 0);
    this.#seeded = seed !== null;
    this.#seedWord = seed === null ? 0 : swap32(mixedPrng(seed).state);
    this.#skipMulticast = skipMulticast;
    this.idle = this.#tables4.length === 0 && this.#tables6.length === 0 && seed === null;
  }

  /** New value of an IPv4 address, u32. */
  map4(address: number): number {
    if (this.#skipMulticast && address >>> 28 === CLASS_D) return address;
    let mapped = address;
    for (let t = 0; t < this.#tables4.length; t++) mapped = this.#tables4[t]!.map4(mapped);
    return this.#seeded ? this.#seed4(mapped) : mapped;
  }

  /**
   * Edits the IPv6 address at `at` in place. Returns the change of the ones-complement sum (`sumDelta32`), 0 when the
   * address stays; a changed address whose sum happens to stay returns 0xffff, which is zero in that arithmetic.
   */
  edit6(view: DataView, at: number): number {
    if (this.#skipMulticast && view.getUint8(at) === 0xff) return 0;
    const words = this.#words;
    for (let w = 0; w < 4; w++) words[w] = view.getUint32(at + 4 * w);
    for (let t = 0; t < this.#tables6.length; t++) this.#apply6(this.#tables6[t]!);
    if (this.#seeded) this.#seed6();
    let delta = 0;
    for (let w = 0; w < 4; w++) {
      const before = view.getUint32(at + 4 * w);
      const after = words[w]!;
      if (before === after) continue;
      view.setUint32(at + 4 * w, after);
      delta = sumDelta32(delta, before, after);
    }
    return delta;
  }

  #apply6(table: PairTable): void {
    const words = this.#words;
    const at = table.find6(words[0]!, words[1]!, words[2]!, words[3]!);
    if (at < 0) return;
    for (let w = 0; w < 4; w++) words[w] = table.to[at + w]! | (words[w]! & ~table.toMask[at + w]!);
  }

  #scramble(word: number): number {
    const little = swap32(word);
    return swap32(((little ^ this.#seedWord) - (little & this.#seedWord)) | 0);
  }

  /** Multicast stays multicast, everything else stays (or gets) out of it. */
  #seed4(address: number): number {
    const scrambled = this.#scramble(address);
    if (address >>> 28 === CLASS_D) return ((scrambled & 0x0fff_ffff) | 0xe000_0000) >>> 0;
    return scrambled >>> 28 === CLASS_D ? (scrambled & 0x7fff_ffff) >>> 0 : scrambled;
  }

  #seed6(): void {
    const words = this.#words;
    const wasMulticast = words[0]! >>> 24 === 0xff;
    for (let w = 0; w < 4; w++) words[w] = this.#scramble(words[w]!);
    if (wasMulticast) words[0] = words[0]! | 0xff00_0000;
    else if (words[0]! >>> 24 === 0xff) words[0] = (words[0]! & 0x00ff_ffff) | 0xaa00_0000;
  }
}

/** Reverses the bytes of a u32. */
function swap32(word: number): number {
  return ((word << 24) | ((word & 0xff00) << 8) | ((word >>> 8) & 0xff00) | (word >>> 24)) >>> 0;
}
