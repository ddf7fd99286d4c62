/**
 * HOT: what was decided of the first fragment of a datagram, for the later ones, which name no ports. Direct-mapped: of
 * two datagrams with one slot the newer one is remembered.
 */
import { ipv4Dst, ipv4Id, ipv4Src } from '../wire/ipv4.ts';
import { ipv6DstWord, ipv6SrcWord } from '../wire/ipv6.ts';
import { ipv6FragmentId } from '../wire/ipv6extension.ts';
import type { Layers } from '../wire/layers.ts';
import { mixEnd, mixWord } from './hash.ts';

const SLOTS = 4096;

export class FragmentMemo {
  readonly #keys = new Int32Array(SLOTS);
  readonly #values = new Int32Array(SLOTS);

  /** Preconditions of both: the packet is a fragment. */
  remember(view: DataView, layers: Layers, value: number): void {
    const key = keyOf(view, layers);
    this.#keys[key & (SLOTS - 1)] = key;
    this.#values[key & (SLOTS - 1)] = value;
  }

  /** The value of the datagram's first fragment, or `otherwise` where it was not seen or is forgotten. */
  recall(view: DataView, layers: Layers, otherwise: number): number {
    const key = keyOf(view, layers);
    return this.#keys[key & (SLOTS - 1)] === key ? this.#values[key & (SLOTS - 1)]! : otherwise;
  }
}

/** Addresses, identification, in IPv4 the protocol too, name a datagram (RFC 791 section 3.2, RFC 8200 4.5). */
function keyOf(view: DataView, layers: Layers): number {
  const ip = layers.ip;
  let key: number;
  if (layers.ipVersion === 4) {
    key = mixWord(mixWord(4, ipv4Src(view, ip)), ipv4Dst(view, ip));
    key = mixWord(mixWord(key, ipv4Id(view, ip)), layers.l4Protocol);
  } else {
    key = mixWord(6, layers.ipv6Fragment < 0 ? 0 : ipv6FragmentId(view, layers.ipv6Fragment));
    for (let i = 0; i < 4; i++) key = mixWord(mixWord(key, ipv6SrcWord(view, ip, i)), ipv6DstWord(view, ip, i));
  }
  return mixEnd(key) | 0 || 1;
}
