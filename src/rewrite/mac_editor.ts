/**
 * HOT: MAC edits of Ethernet frames: pairs by direction, substitutions, seeded addresses. The last 32 bits of an
 * address are a signed number in here: V8 keeps larger ones in heap numbers.
 */
import {
  ethernetDstHigh,
  ethernetDstLow,
  ethernetSrcHigh,
  ethernetSrcLow,
  setEthernetDst,
  setEthernetSrc,
} from '../wire/ethernet.ts';
import type { Frame } from './frame.ts';
import { macSeedMask } from './prng.ts';
import type { Mac, MacPair, RewriteSpec } from './spec.ts';

/** First 16 bits of a MAC address. */
export function macHigh(mac: Mac): number {
  return (mac[0]! << 8) | mac[1]!;
}

/** Last 32 bits of a MAC address. */
export function macLow(mac: Mac): number {
  return ((mac[2]! << 24) | (mac[3]! << 16) | (mac[4]! << 8) | mac[5]!) >>> 0;
}

/** Broadcast, any multicast, VRRP's virtual router (00:00:5e:00:01, RFC 5798 section 7.3). */
function isGroup(high: number, low: number): boolean {
  return (high & 0x0100) !== 0 || isVrrp(high, low);
}

function isVrrp(high: number, low: number): boolean {
  return high === 0 && low >>> 8 === 0x5e0001;
}

/** What the seed leaves alone: ff:…, IPv4 and IPv6 multicast, VRRP. */
function isSeedExempt(high: number, low: number): boolean {
  return high >>> 8 === 0xff || (high === 0x0100 && low >>> 24 === 0x5e) || high === 0x3333 || isVrrp(high, low);
}

/** One number a direction, -1 where there is no address. */
class PairWords {
  readonly high: Int32Array;
  readonly low: Int32Array;

  constructor(pair: MacPair) {
    const macs = [pair.clientToServer, pair.serverToClient];
    this.high = Int32Array.from(macs, (mac) => (mac === null ? -1 : macHigh(mac)));
    this.low = Int32Array.from(macs, (mac) => (mac === null ? -1 : macLow(mac)));
  }
}

export class MacEditor {
  readonly idle: boolean;
  readonly #destination: PairWords;
  readonly #source: PairWords;
  /** fromHigh, fromLow, toHigh, toLow a substitution. */
  readonly #substitutions: Int32Array;
  readonly #skipGroup: boolean;
  readonly #seeded: boolean;
  readonly #keepBytes: number;
  readonly #mask: Uint8Array;
  #high = 0;
  #low = 0;

  constructor(spec: RewriteSpec) {
    this.#destination = new PairWords(spec.destinationMac);
    this.#source = new PairWords(spec.sourceMac);
    this.#substitutions = Int32Array.from(
      spec.substituteMacs.flatMap(({ from, to }) => [macHigh(from), macLow(from), macHigh(to), macLow(to)]),
    );
    this.#skipGroup = spec.skipL2Broadcast;
    this.#seeded = spec.macSeed !== null;
    this.#keepBytes = spec.macSeed?.keepBytes ?? 0;
    this.#mask = spec.macSeed === null ? new Uint8Array(6) : macSeedMask(spec.macSeed.seed);
    const pairs = [spec.destinationMac, spec.sourceMac];
    const hasPair = pairs.some((pair) => pair.clientToServer !== null || pair.serverToClient !== null);
    this.idle = !hasPair && this.#substitutions.length === 0 && !this.#seeded;
  }

  /** Edits the two addresses at `macs`. */
  apply(frame: Frame, macs: number): void {
    const view = frame.view;
    const direction = frame.direction;
    const dstHigh = ethernetDstHigh(view, macs);
    const dstLow = ethernetDstLow(view, macs) | 0;
    this.#edit(dstHigh, dstLow, this.#destination.high[direction]!, this.#destination.low[direction]!);
    if (this.#high !== dstHigh || this.#low !== dstLow) {
      setEthernetDst(view, macs, this.#high, this.#low);
      frame.changed = true;
    }
    const srcHigh = ethernetSrcHigh(view, macs);
    const srcLow = ethernetSrcLow(view, macs) | 0;
    this.#edit(srcHigh, srcLow, this.#source.high[direction]!, this.#source.low[direction]!);
    if (this.#high !== srcHigh || this.#low !== srcLow) {
      setEthernetSrc(view, macs, this.#high, this.#low);
      frame.changed = true;
    }
  }

  /** Leaves the new address in `#high`, `#low`. */
  #edit(high: number, low: number, pairHigh: number, pairLow: number): void {
    this.#high = high;
    this.#low = low;
    if (this.#skipGroup && isGroup(high, low)) return;
    if (pairHigh >= 0) {
      this.#high = pairHigh;
      this.#low = pairLow;
    }
    const list = this.#substitutions;
    for (let s = 0; s < list.length; s += 4) {
      if (this.#high !== list[s]! || this.#low !== list[s + 1]!) continue;
      this.#high = list[s + 2]!;
      this.#low = list[s + 3]!;
    }
    if (this.#seeded && !isSeedExempt(high, low)) this.#scramble();
  }

  #scramble(): void {
    let high = 0;
    let low = 0;
    for (let i = 0; i < 6; i++) {
      const before = i < 2 ? (this.#high >>> (8 - 8 * i)) & 0xff : (this.#low >>> (40 - 8 * i)) & 0xff;
      const m = this.#mask[i]!;
      let after = i < this.#keepBytes ? before : ((before ^ m) - (before & m)) & 0xff;
      if (i === 0 && this.#keepBytes === 0) after &= 0xfe;
      if (i < 2) high = (high << 8) | after;
      else low = (low << 8) | after;
    }
    this.#high = high;
    this.#low = low;
  }
}
