/**
 * HOT: numbers the hosts of a capture: each IP address, of either version, gets the numbers 0, 1, 2… in the order of
 * its first look-up. What is known of a host is kept elsewhere, in arrays by that number. Budget 10 ns a look-up.
 *
 * Open addressing with linear probing, at most half full; the addresses themselves lie in one array by host, four words
 * each. An address that finds the table at `hostsMax` gets -1 and is counted in `untracked`.
 */
import { assert } from '../base/assert.ts';
import { mixEnd, mixWord } from './hash.ts';

export const HOSTS_MAX_DEFAULT = 4_194_304;
const HOSTS_MIN = 1024;

export class HostTable {
  /** Hosts numbered so far. */
  count = 0;
  /** Look-ups that found the table full. */
  untracked = 0;
  readonly #hostsMax: number;
  #room: number;
  #mask = HOSTS_MIN * 2 - 1;
  #shift = Math.clz32(HOSTS_MIN * 2 - 1);
  /** Host number + 1; 0 = free. */
  #slots = new Int32Array(HOSTS_MIN * 2);
  #words = new Int32Array(HOSTS_MIN * 4);
  #versions = new Uint8Array(HOSTS_MIN);

  constructor(hostsMax: number = HOSTS_MAX_DEFAULT) {
    assert(hostsMax >= 1 && hostsMax <= 1 << 26, 'hostsMax is 1 to 2^26');
    this.#hostsMax = hostsMax;
    this.#room = Math.min(HOSTS_MIN, hostsMax);
  }

  /** Number of an IPv4 address given as an int32 (`getInt32`), or -1. */
  idOfIpv4(address: number): number {
    const slots = this.#slots;
    const mask = this.#mask;
    for (let slot = Math.imul(address, 0x9e3779b1) >>> this.#shift; ; slot = (slot + 1) & mask) {
      const id = slots[slot]! - 1;
      if (id < 0) return this.#insert(slot, 4, address, 0, 0, 0);
      if (this.#words[id << 2] === address && this.#versions[id] === 4) return id;
    }
  }

  /** Number of the IPv6 address whose 16 bytes lie at `at`, or -1. */
  idOfIpv6(view: DataView, at: number): number {
    return this.#idOfWords(view.getInt32(at), view.getInt32(at + 4), view.getInt32(at + 8), view.getInt32(at + 12));
  }

  #idOfWords(a: number, b: number, c: number, d: number): number {
    const slots = this.#slots;
    const words = this.#words;
    const mask = this.#mask;
    for (let slot = slotOfIpv6(a, b, c, d) & mask; ; slot = (slot + 1) & mask) {
      const id = slots[slot]! - 1;
      if (id < 0) return this.#insert(slot, 6, a, b, c, d);
      const w = id << 2;
      if (words[w] !== a || words[w + 1] !== b || words[w + 2] !== c || words[w + 3] !== d) continue;
      if (this.#versions[id] === 6) return id;
    }
  }

  /** 4 or 6. Preconditions of this and `word`: 0 <= id < count. */
  version(id: number): 4 | 6 {
    return this.#versions[id] === 4 ? 4 : 6;
  }

  /** Word 0..3 of the address as u32, most significant first; an IPv4 address is word 0. */
  word(id: number, index: number): number {
    return this.#words[id * 4 + index]! >>> 0;
  }

  #insert(slot: number, version: number, a: number, b: number, c: number, d: number): number {
    if (this.count >= this.#room) {
      if (this.count >= this.#hostsMax) {
        this.untracked++;
        return -1;
      }
      this.#grow();
      return version === 4 ? this.idOfIpv4(a) : this.#idOfWords(a, b, c, d);
    }
    const id = this.count++;
    this.#slots[slot] = id + 1;
    const w = id << 2;
    this.#words[w] = a;
    this.#words[w + 1] = b;
    this.#words[w + 2] = c;
    this.#words[w + 3] = d;
    this.#versions[id] = version;
    return id;
  }

  #grow(): void {
    const room = Math.min(this.#room * 2, this.#hostsMax);
    const size = this.#slots.length * 2;
    const slots = new Int32Array(size);
    this.#words = grown(this.#words, new Int32Array(room * 4));
    this.#versions = grown(this.#versions, new Uint8Array(room));
    this.#mask = size - 1;
    this.#shift = Math.clz32(size - 1);
    for (let id = 0; id < this.count; id++) {
      let slot = this.#slotOf(id);
      while (slots[slot] !== 0) slot = (slot + 1) & this.#mask;
      slots[slot] = id + 1;
    }
    this.#slots = slots;
    this.#room = room;
  }

  #slotOf(id: number): number {
    const words = this.#words;
    const w = id << 2;
    if (this.#versions[id] === 4) return Math.imul(words[w]!, 0x9e3779b1) >>> this.#shift;
    return slotOfIpv6(words[w]!, words[w + 1]!, words[w + 2]!, words[w + 3]!) & this.#mask;
  }
}

function slotOfIpv6(a: number, b: number, c: number, d: number): number {
  return mixEnd(mixWord(mixWord(mixWord(mixWord(6, a), b), c), d));
}

/** Copies `from` to the front of `to`, which is not shorter. */
export function grown<T extends Int32Array | Uint32Array | Uint8Array | Float64Array>(from: T, to: T): T {
  to.set(from);
  return to;
}
