/**
 * HOT: pseudonyms of IPv4, IPv6 and MAC addresses behind caches of fixed size: a hit costs some 5 ns, a miss what
 * Crypto-PAn costs.
 *
 * Which addresses stay what they are (`scope: 'unicast'`): those that name no host. IPv4 0.0.0.0, 127.0.0.0/8,
 * 224.0.0.0/3 (multicast and above); IPv6 ::, ::1, multicast but for solicited-node addresses, whose last 24 bits are
 * those of a host and get a pseudonym of their own. The first bits that tell unicast from multicast stay (IPv4 4, IPv6
 * 10), and a pseudonym that would fall on one of the kept addresses is mapped once more, so that no two hosts become
 * one.
 */
import { CryptoPan } from './cryptopan.ts';

const SLOTS_4 = 65_536;
const SLOTS_6 = 16_384;
const SLOTS_MAC = 4096;
const CLASS_BITS_4 = 4;
const CLASS_BITS_6 = 10;
const OUI_BITS = 24;
/** Mappings of one key must not say anything of one another. */
const DOMAIN_MAC = 1;
const DOMAIN_NODE = 2;
/** Times that a pseudonym may fall on a kept address before it is taken as it is; each time is 1 in 16 at most. */
const WALKS_MAX = 64;

export class AddressPseudonyms {
  readonly #pan: CryptoPan;
  readonly #panMac: CryptoPan;
  readonly #panNode: CryptoPan;
  readonly #isAll: boolean;
  readonly #keptMacBits: number;
  readonly #bytes: Uint8Array = new Uint8Array(16);
  /** Address, pseudonym; a slot that is all zero is empty. */
  readonly #slots4: Int32Array = new Int32Array(2 * SLOTS_4);
  readonly #slots6: Int32Array = new Int32Array(8 * SLOTS_6);
  /** High 16 bits, low 32 bits of address and pseudonym. */
  readonly #slotsMac: Int32Array = new Int32Array(4 * SLOTS_MAC);
  /** Result of `map6`. */
  readonly words: Int32Array = new Int32Array(4);
  /** Result of `mapMac`. */
  macHigh = 0;
  macLow = 0;

  constructor(key: Uint8Array, isAll: boolean, keepsOui: boolean) {
    this.#pan = new CryptoPan(key);
    this.#panMac = new CryptoPan(key, DOMAIN_MAC);
    this.#panNode = new CryptoPan(key, DOMAIN_NODE);
    this.#isAll = isAll;
    this.#keptMacBits = keepsOui ? OUI_BITS : 0;
  }

  /** Pseudonym of an IPv4 address; both are signed 32-bit numbers. */
  map4(address: number): number {
    if (this.#keeps4(address)) return address;
    const slot = (Math.imul(address, 0x9e3779b1) >>> 16) * 2;
    const slots = this.#slots4;
    if (slots[slot] === address && address !== 0) return slots[slot + 1]!;
    const mapped = this.#walk4(address);
    slots[slot] = address;
    slots[slot + 1] = mapped;
    return mapped;
  }

  #keeps4(address: number): boolean {
    if (this.#isAll) return false;
    // signed: 224.0.0.0 and above are -2^29 to -1
    return address === 0 || (address >= -0x2000_0000 && address < 0) || address >>> 24 === 127;
  }

  #walk4(address: number): number {
    let mapped = address;
    for (let n = 0; n < WALKS_MAX; n++) {
      const bytes = this.#bytes;
      for (let i = 0; i < 4; i++) bytes[i] = mapped >>> (24 - 8 * i);
      this.#pan.map(bytes, 32, bytes, this.#isAll ? 0 : CLASS_BITS_4);
      mapped = (bytes[0]! << 24) | (bytes[1]! << 16) | (bytes[2]! << 8) | bytes[3]!;
      if (!this.#keeps4(mapped)) break;
    }
    return mapped;
  }

  /** Leaves the pseudonym of the IPv6 address at `at` in `words`. */
  map6(view: DataView, at: number): void {
    const a = view.getInt32(at);
    const b = view.getInt32(at + 4);
    const c = view.getInt32(at + 8);
    const d = view.getInt32(at + 12);
    const words = this.words;
    words[0] = a;
    words[1] = b;
    words[2] = c;
    words[3] = d;
    if (!this.#isAll && a >>> 24 === 0xff) {
      if (isSolicitedNode(a, b, c, d)) words[3] = (d & ~0xff_ffff) | this.#mapNode(d & 0xff_ffff);
      return;
    }
    if (this.#keeps6(a, b, c, d)) return;
    const mixed = Math.imul(Math.imul(a ^ Math.imul(b, 0x85ebca6b), 0xc2b2ae35) ^ c, 0x9e3779b1) ^ d;
    const slot = (Math.imul(mixed, 0x9e3779b1) >>> 18) * 8;
    const slots = this.#slots6;
    const isHit = slots[slot] === a && slots[slot + 1] === b && slots[slot + 2] === c && slots[slot + 3] === d;
    if (!isHit || (a | b | c | d) === 0) {
      this.#walk6();
      slots[slot] = a;
      slots[slot + 1] = b;
      slots[slot + 2] = c;
      slots[slot + 3] = d;
      for (let w = 0; w < 4; w++) slots[slot + 4 + w] = words[w]!;
    } else for (let w = 0; w < 4; w++) words[w] = slots[slot + 4 + w]!;
  }

  #keeps6(a: number, b: number, c: number, d: number): boolean {
    return !this.#isAll && a === 0 && b === 0 && c === 0 && (d === 0 || d === 1);
  }

  /** Maps `words` in place. */
  #walk6(): void {
    const words = this.words;
    const bytes = this.#bytes;
    for (let n = 0; n < WALKS_MAX; n++) {
      for (let i = 0; i < 16; i++) bytes[i] = words[i >>> 2]! >>> (24 - 8 * (i & 3));
      this.#pan.map(bytes, 128, bytes, this.#isAll ? 0 : CLASS_BITS_6);
      for (let w = 0; w < 4; w++) {
        words[w] = (bytes[4 * w]! << 24) | (bytes[4 * w + 1]! << 16) | (bytes[4 * w + 2]! << 8) | bytes[4 * w + 3]!;
      }
      if (!this.#keeps6(words[0]!, words[1]!, words[2]!, words[3]!)) break;
    }
  }

  /** The 24 bits of a solicited-node address, which its MAC address repeats. */
  #mapNode(node: number): number {
    const bytes = this.#bytes;
    bytes[0] = node >>> 16;
    bytes[1] = node >>> 8;
    bytes[2] = node;
    this.#panNode.map(bytes, 24, bytes);
    return (bytes[0]! << 16) | (bytes[1]! << 8) | bytes[2]!;
  }

  /** Leaves the pseudonym of a MAC address in `macHigh`, `macLow` (signed). Group and all-zero addresses stay. */
  mapMac(high: number, low: number): void {
    this.macHigh = high;
    this.macLow = low;
    if ((high & 0x0100) !== 0) {
      // 33:33:ff:xx:xx:xx, RFC 2464 section 7
      if (high === 0x3333 && low >>> 24 === 0xff) this.macLow = (0xff << 24) | this.#mapNode(low & 0xff_ffff);
      return;
    }
    if ((high | low) === 0) return;
    const slot = (Math.imul(low ^ Math.imul(high, 0x85ebca6b), 0x9e3779b1) >>> 20) * 4;
    const slots = this.#slotsMac;
    if (slots[slot] !== high || slots[slot + 1] !== low) {
      slots[slot] = high;
      slots[slot + 1] = low;
      this.#mapHost(high, low);
      slots[slot + 2] = this.macHigh;
      slots[slot + 3] = this.macLow;
    }
    this.macHigh = slots[slot + 2]!;
    this.macLow = slots[slot + 3]!;
  }

  #mapHost(high: number, low: number): void {
    const bytes = this.#bytes;
    const first = high >>> 8;
    bytes[0] = first;
    bytes[1] = high;
    for (let i = 0; i < 4; i++) bytes[2 + i] = low >>> (24 - 8 * i);
    this.#panMac.map(bytes, 48, bytes, this.#keptMacBits);
    // universal or local, unicast: these two bits stay
    bytes[0] = (bytes[0]! & 0xfc) | (first & 3);
    this.macHigh = (bytes[0]! << 8) | bytes[1]!;
    this.macLow = (bytes[2]! << 24) | (bytes[3]! << 16) | (bytes[4]! << 8) | bytes[5]!;
  }
}

/** ff02::1:ff00:0/104, RFC 4291 section 2.7.1. */
function isSolicitedNode(a: number, b: number, c: number, d: number): boolean {
  return a >>> 16 === 0xff02 && (a & 0xffff) === 0 && b === 0 && c === 1 && d >>> 24 === 0xff;
}
