/**
 * HOT: flow hashes of decoded frames. Budget 20 ns.
 *
 * Which packets stay together decides which order is kept when frames are spread over workers by `shardOf`:
 * - `FlowKey.FiveTuple`: both directions of a session hash alike. Fragments, first and later ones, hash by address pair
 *   alone, so that all fragments of a datagram stay together and in order; against unfragmented packets of the same
 *   session their order is not kept, since a later fragment does not name its ports.
 * - `FlowKey.Addresses`: everything between two hosts hashes alike, fragmented or not: order is kept in every flow, at
 *   the price of coarser shares. For captures that hold fragments.
 * Packets in a tunnel hash by the outer header, so that a tunnel's own sequence is kept. Frames without IP hash to 0.
 */

import { ipv4Dst, ipv4Src } from '../wire/ipv4.ts';
import { ipv6DstWord, ipv6SrcWord } from '../wire/ipv6.ts';
import { Fragment, type Layers } from '../wire/layers.ts';
import { IpProtocol } from '../wire/protocol.ts';
import { dstPort, srcPort } from '../wire/transport.ts';

export const FlowKey = { FiveTuple: 0, Addresses: 1 } as const;
export type FlowKey = (typeof FlowKey)[keyof typeof FlowKey];

/**
 * Takes one 32-bit word into a hash: a multiplication and a shift, both one-to-one in the word and in the state.
 * MurmurHash3's own block step has two multiplications more, which took 30 ns more on IPv6 and spread no better.
 */
export function mixWord(state: number, word: number): number {
  const h = Math.imul(state ^ word, 0x9e3779b1);
  return h ^ (h >>> 15);
}

/** Spreads every bit over the whole hash: the finalisation of MurmurHash3 (public domain). */
export function mixEnd(state: number): number {
  let h = state ^ (state >>> 16);
  h = Math.imul(h, 0x85ebca6b);
  h ^= h >>> 13;
  h = Math.imul(h, 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

/**
 * Hash in [0, 2^32) of the outermost IP packet, the same for both directions: the sum of the two ends' hashes does not
 * depend on which is the source.
 */
export function flowHash(view: DataView, layers: Layers, key: FlowKey = FlowKey.FiveTuple): number {
  const ip = layers.ip;
  if (ip < 0) return 0;
  let src: number;
  let dst: number;
  if (layers.ipVersion === 4) {
    src = mixWord(4, ipv4Src(view, ip));
    dst = mixWord(4, ipv4Dst(view, ip));
  } else {
    src = dst = 6;
    for (let i = 0; i < 4; i++) {
      src = mixWord(src, ipv6SrcWord(view, ip, i));
      dst = mixWord(dst, ipv6DstWord(view, ip, i));
    }
  }
  if (key === FlowKey.Addresses || layers.fragment !== Fragment.None) return mixEnd((mixEnd(src) + mixEnd(dst)) | 0);
  const protocol = layers.l4Protocol;
  if (layers.l4 >= 0 && isPorted(protocol)) {
    src = mixWord(src, srcPort(view, layers));
    dst = mixWord(dst, dstPort(view, layers));
  }
  return mixEnd(mixWord((mixEnd(src) + mixEnd(dst)) | 0, protocol));
}

/** Share 0..shards-1 of a hash; `shards` up to 65,536. Uses the hash's high half. */
export function shardOf(hash: number, shards: number): number {
  return ((hash >>> 16) * shards) >>> 16;
}

function isPorted(protocol: number): boolean {
  return protocol === IpProtocol.Tcp || protocol === IpProtocol.Udp || protocol === IpProtocol.Sctp;
}
