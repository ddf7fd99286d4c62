/**
 * HOT: clients that a test server answers as ever (`tsintercept --except`): a copy from one of their addresses would
 * bring replies to real people, so none is made. Budget 5 ns a network.
 */

/** One network: four words of its address (IPv4: the first), most significant first, and the prefix's length. */
export interface SparedNetwork {
  readonly isIpv6: boolean;
  readonly words: readonly number[];
  /** 0..32 or 0..128. */
  readonly prefixLength: number;
}

const WORDS = 4;

export class SparedNetworks {
  readonly count: number;
  readonly #isIpv6: Uint8Array;
  readonly #words: Int32Array;
  readonly #masks: Int32Array;

  constructor(networks: readonly SparedNetwork[]) {
    this.count = networks.length;
    this.#isIpv6 = Uint8Array.from(networks, (network) => (network.isIpv6 ? 1 : 0));
    this.#words = new Int32Array(networks.length * WORDS);
    this.#masks = new Int32Array(networks.length * WORDS);
    for (let n = 0; n < networks.length; n++) {
      const { words, prefixLength } = networks[n]!;
      for (let word = 0; word < words.length; word++) {
        const bits = Math.min(32, Math.max(0, prefixLength - 32 * word));
        const mask = bits === 0 ? 0 : -1 << (32 - bits);
        this.#masks[n * WORDS + word] = mask;
        this.#words[n * WORDS + word] = words[word]! & mask;
      }
    }
  }

  /** Whether one of them holds the address at `at` of `words`; IPv4: in the first word, the others are 0. */
  holds(words: Int32Array, at: number, isIpv6: boolean): boolean {
    const version = isIpv6 ? 1 : 0;
    for (let n = 0; n < this.count; n++) {
      if (this.#isIpv6[n] !== version) continue;
      let differs = 0;
      for (let word = 0; word < WORDS; word++) {
        const own = n * WORDS + word;
        differs |= (words[at + word]! & this.#masks[own]!) ^ this.#words[own]!;
      }
      if (differs === 0) return true;
    }
    return false;
  }
}
