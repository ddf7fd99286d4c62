/**
 * HOT: what becomes of one address: network maps and the seed, compiled into flat arrays of numbers.
 *
 * Addresses are signed 32-bit numbers in here: V8 keeps those in registers, larger ones in heap numbers wherever a call
 * is not inlined (measured: half the cost of a map).
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
  readonly from: Int32Array;
  readonly fromMask: Int32Array;
  /** Network bits of the target, host bits zero. */
  readonly to: Int32Array;
  readonly toMask: Int32Array;

  constructor(map: AddressMap, version: 4 | 6) {
    const pairs = map.filter((pair) => pair.from.version === version);
    const words = version === 4 ? 1 : 4;
    this.count = pairs.length;
    this.from = new Int32Array(pairs.length * words);
    this.fromMask = new Int32Array(pairs.length * words);
    this.to = new Int32Array(pairs.length * words);
    this.toMask = new Int32Array(pairs.length * words);
    for (const [p, { from, to }] of pairs.entries()) {
      for (let w = 0; w < words; w++) {
        const at = p * words + w;
        this.fromMask[at] = prefixMask(from.prefixLength, w);
        this.from[at] = from.words[w]! & this.fromMask[at]!;
        this.toMask[at] = prefixMask(to.prefixLength, w);
        this.to[at] = to.words[w]! & this.toMask[at]!;
      }
    }
  }

  map4(address: number): number {
    for (let p = 0; p < this.count; p++) {
      if ((address & this.fromMask[p]!) === this.from[p]!) return this.to[p]! | (address & ~this.toMask[p]!);
    }
    return address;
  }

  /** Maps the address at `at`; returns the change of its sum. */
  edit6(view: DataView, at: number): number {
    const a = view.getInt32(at);
    const b = view.getInt32(at + 4);
    const c = view.getInt32(at + 8);
    const d = view.getInt32(at + 12);
    const { to, toMask } = this;
    const p = this.#find6(a, b, c, d);
    if (p < 0) return 0;
    let delta = replaceWord(view, at, a, to[p]! | (a & ~toMask[p]!), 0);
    delta = replaceWord(view, at + 4, b, to[p + 1]! | (b & ~toMask[p + 1]!), delta);
    delta = replaceWord(view, at + 8, c, to[p + 2]! | (c & ~toMask[p + 2]!), delta);
    return replaceWord(view, at + 12, d, to[p + 3]! | (d & ~toMask[p + 3]!), delta);
  }

  /** Index of the first word of the pair that holds the address, or -1. */
  #find6(a: number, b: number, c: number, d: number): number {
    for (let at = 0; at < 4 * this.count; at += 4) {
      if (
        (a & this.fromMask[at]!) === this.from[at]! &&
        (b & this.fromMask[at + 1]!) === this.from[at + 1]! &&
        (c & this.fromMask[at + 2]!) === this.from[at + 2]! &&
        (d & this.fromMask[at + 3]!) === this.from[at + 3]!
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

  /** The maps apply one after another, the seed last. */
  constructor(maps: readonly AddressMap[], seed: number | null, skipMulticast: boolean) {
    this.#tables4 = maps.map((map) => new PairTable(map, 4)).filter((table) => table.count > 0);
    this.#tables6 = maps.map((map) => new PairTable(map, 6)).filter((table) => table.count > 0);
    this.#seeded = seed !== null;
    this.#seedWord = seed === null ? 0 : swap32(mixedPrng(seed).state);
    this.#skipMulticast = skipMulticast;
    this.idle = this.#tables4.length === 0 && this.#tables6.length === 0 && seed === null;
  }

  /** New value of an IPv4 address, both signed. */
  map4(address: number): number {
    if (this.#skipMulticast && address >>> 28 === CLASS_D) return address;
    let mapped = address;
    for (let t = 0; t < this.#tables4.length; t++) mapped = this.#tables4[t]!.map4(mapped);
    return this.#seeded ? this.#seed4(mapped) : mapped;
  }

  /**
   * Edits the IPv6 address at `at` in place. Returns the change of the ones-complement sum, 0 when the address stays; a
   * changed address whose sum happens to stay returns 0xffff, which is zero in that arithmetic. Not folded.
   */
  edit6(view: DataView, at: number): number {
    if (this.#skipMulticast && view.getUint8(at) === 0xff) return 0;
    let delta = 0;
    for (let t = 0; t < this.#tables6.length; t++) delta += this.#tables6[t]!.edit6(view, at);
    return this.#seeded ? delta + this.#seed6(view, at) : delta;
  }

  #scramble(word: number): number {
    const little = swap32(word);
    return swap32(((little ^ this.#seedWord) - (little & this.#seedWord)) | 0);
  }

  /** Multicast stays multicast, everything else stays (or gets) out of it. */
  #seed4(address: number): number {
    const scrambled = this.#scramble(address);
    if (address >>> 28 === CLASS_D) return (scrambled & 0x0fff_ffff) | 0xe000_0000;
    return scrambled >>> 28 === CLASS_D ? scrambled & 0x7fff_ffff : scrambled;
  }

  #seed6(view: DataView, at: number): number {
    const first = view.getInt32(at);
    let scrambled = this.#scramble(first);
    if (first >>> 24 === 0xff) scrambled |= 0xff00_0000;
    else if (scrambled >>> 24 === 0xff) scrambled = (scrambled & 0x00ff_ffff) | 0xaa00_0000;
    let delta = replaceWord(view, at, first, scrambled, 0);
    for (let w = 4; w < 16; w += 4) {
      const word = view.getInt32(at + w);
      delta = replaceWord(view, at + w, word, this.#scramble(word), delta);
    }
    return delta;
  }
}

/** Writes a word that changed; returns `delta` grown by the change of the sum. */
function replaceWord(view: DataView, at: number, before: number, after: number, delta: number): number {
  if (before === after) return delta;
  view.setInt32(at, after);
  return sumDelta32(delta, before, after);
}

/** Reverses the bytes of a word. */
function swap32(word: number): number {
  return (word << 24) | ((word & 0xff00) << 8) | ((word >>> 8) & 0xff00) | (word >>> 24);
}
