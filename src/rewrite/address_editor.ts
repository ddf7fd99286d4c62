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

/** Numbers of one pair and one word: network, its mask, target network (host bits zero), host mask of the target. */
const CELLS = 4;
const FROM = 0;
const FROM_MASK = 1;
const TO = 2;
const HOST_MASK = 3;
/** Cells of one IPv6 pair. */
const PAIR6 = 4 * CELLS;

/** Pairs of one map and one IP version in one array: fewer loads a pair than an array for each number. */
function pairTable(map: AddressMap, version: 4 | 6): Int32Array {
  const pairs = map.filter((pair) => pair.from.version === version);
  const words = version === 4 ? 1 : 4;
  const table = new Int32Array(pairs.length * words * CELLS);
  for (const [p, { from, to }] of pairs.entries()) {
    for (let w = 0; w < words; w++) {
      const at = (p * words + w) * CELLS;
      const fromMask = prefixMask(from.prefixLength, w);
      const toMask = prefixMask(to.prefixLength, w);
      table[at + FROM] = from.words[w]! & fromMask;
      table[at + FROM_MASK] = fromMask;
      table[at + TO] = to.words[w]! & toMask;
      table[at + HOST_MASK] = ~toMask;
    }
  }
  return table;
}

/** New value of an IPv4 address. */
function mapped4(table: Int32Array, address: number): number {
  for (let p = 0; p < table.length; p += CELLS) {
    if ((address & table[p + FROM_MASK]!) === table[p + FROM]!)
      return table[p + TO]! | (address & table[p + HOST_MASK]!);
  }
  return address;
}

/** Maps the IPv6 address at `at`; returns the change of its sum. */
function map6(table: Int32Array, view: DataView, at: number): number {
  for (let p = 0; p < table.length; p += PAIR6) {
    if (!holds6(table, p, view, at)) continue;
    let delta = 0;
    for (let w = 0; w < 4; w++) {
      const cell = p + w * CELLS;
      const word = view.getInt32(at + 4 * w);
      const mapped = table[cell + TO]! | (word & table[cell + HOST_MASK]!);
      delta = replaceWord(view, at + 4 * w, word, mapped, delta);
    }
    return delta;
  }
  return 0;
}

function holds6(table: Int32Array, p: number, view: DataView, at: number): boolean {
  for (let w = 0; w < 4; w++) {
    const cell = p + w * CELLS;
    const mask = table[cell + FROM_MASK]!;
    if (mask === 0) return true;
    if ((view.getInt32(at + 4 * w) & mask) !== table[cell + FROM]!) return false;
  }
  return true;
}

/** Edits one role of address (source, destination) in one direction. */
export class AddressEditor {
  /** Nothing to do for any address. */
  readonly idle: boolean;
  readonly #tables4: readonly Int32Array[];
  readonly #tables6: readonly Int32Array[];
  readonly #seeded: boolean;
  /** The seed's state as a little-endian word of its big-endian bytes. */
  readonly #seedWord: number;
  readonly #skipMulticast: boolean;
  /** 255.255.255.255 is left alone with multicast. */
  readonly #skipLimited: boolean;

  /** The maps apply one after another, the seed last. */
  constructor(maps: readonly AddressMap[], seed: number | null, skipMulticast: boolean, skipLimited = false) {
    this.#tables4 = maps.map((map) => pairTable(map, 4)).filter((table) => table.length > 0);
    this.#tables6 = maps.map((map) => pairTable(map, 6)).filter((table) => table.length > 0);
    this.#seeded = seed !== null;
    this.#seedWord = seed === null ? 0 : swap32(mixedPrng(seed).state);
    this.#skipMulticast = skipMulticast;
    this.#skipLimited = skipLimited;
    this.idle = this.#tables4.length === 0 && this.#tables6.length === 0 && seed === null;
  }

  /** New value of an IPv4 address, both signed. */
  map4(address: number): number {
    if (this.#skipMulticast && (address >>> 28 === CLASS_D || (this.#skipLimited && address === -1))) return address;
    let mapped = address;
    for (let t = 0; t < this.#tables4.length; t++) mapped = mapped4(this.#tables4[t]!, mapped);
    return this.#seeded ? this.#seed4(mapped) : mapped;
  }

  /**
   * Edits the IPv6 address at `at` in place. Returns the change of the ones-complement sum, 0 when the address stays; a
   * changed address whose sum happens to stay returns 0xffff, which is zero in that arithmetic. Not folded.
   */
  edit6(view: DataView, at: number): number {
    if (this.#skipMulticast && view.getUint8(at) === 0xff) return 0;
    let delta = 0;
    for (let t = 0; t < this.#tables6.length; t++) delta += map6(this.#tables6[t]!, view, at);
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
