/**
 * `ip_frag SIZE [old|new|win32|unix]`: each packet in fragments of SIZE bytes, the first one longer where the transport
 * header asks for it. With overlap, bytes of noise are sent at the same offsets: behind the true ones for a host that
 * keeps older bytes, before them for one that keeps newer bytes.
 */
import type { Rng } from '../../base/rng.ts';
import {
  fixIpv4Checksum,
  IPV4_MORE_FRAGMENTS,
  ipv4FragmentOffset,
  ipv4Id,
  ipv4MoreFragments,
  setIpv4Fragment,
  setIpv4Id,
  setIpv4TotalLen,
} from '../../wire/ipv4.ts';
import { IPV6_HEADER_LEN, setIpv6NextHeader, setIpv6PayloadLen } from '../../wire/ipv6.ts';
import {
  IPV6_FRAGMENT_LEN,
  ipv6ExtensionLen,
  ipv6ExtensionNext,
  isIpv6Extension,
  setIpv6ExtensionNext,
  setIpv6Fragment,
} from '../../wire/ipv6extension.ts';
import { IpProtocol } from '../../wire/protocol.ts';
import { Packet } from './packet.ts';
import { type Overlap, overlapOf, type Rule, randomBytes, type Words } from './rule.ts';

const UNIT = 8;

export function ipFragRule(words: Words): Rule {
  words.count(1, 2, 'ip_frag SIZE [old|new|win32|unix]');
  const size = words.number(0, 'the size', 1, 65_535);
  if (size % UNIT !== 0) words.refuse(`the size must be a multiple of ${UNIT}, not ${size}`);
  const overlap = overlapOf(words, 1);
  return (packets, { rng }) =>
    packets.flatMap((packet) =>
      packet.version === 4 ? fragments4(packet, size, overlap, rng) : fragments6(packet, size, overlap, rng),
    );
}

/** Bytes of the first fragment's payload: the whole transport header, in units of eight. */
function firstBytes(packet: Packet, from: number, size: number): number {
  const { payload } = packet.layers;
  return payload < from ? size : Math.max(size, Math.ceil((payload - from) / UNIT) * UNIT);
}

interface Piece {
  readonly offset: number;
  readonly data: Uint8Array;
  readonly isLast: boolean;
}

function pieces(body: Uint8Array, first: number, size: number, overlap: Overlap, rng: Rng): Piece[] {
  const out: Piece[] = [];
  for (let offset = 0; offset < body.length; ) {
    const length = Math.min(offset === 0 ? first : size, body.length - offset);
    const isLast = offset + length === body.length;
    const real = { offset, data: body.slice(offset, offset + length), isLast };
    // The first stays alone: filters look at it. So does a last one whose odd length no other fragment may have.
    if (overlap === 'none' || offset === 0 || isLast) out.push(real);
    else {
      const noise = { offset, data: randomBytes(rng, length), isLast };
      if (overlap === 'old') out.push(real, noise);
      else out.push(noise, real);
    }
    offset += length;
  }
  return out;
}

function fragments4(packet: Packet, size: number, overlap: Overlap, rng: Rng): Packet[] {
  const headerLen = packet.headerEnd;
  const body = packet.bytes.subarray(headerLen);
  const first = firstBytes(packet, headerLen, size);
  if (body.length <= first) return [packet];
  const before = ipv4FragmentOffset(packet.view, 0);
  const more = ipv4MoreFragments(packet.view, 0);
  const id = ipv4Id(packet.view, 0) || 1 + rng.below(65_535);
  return pieces(body, first, size, overlap, rng).map(({ offset, data, isLast }) => {
    const bytes = new Uint8Array(headerLen + data.length);
    bytes.set(packet.bytes.subarray(0, headerLen));
    bytes.set(data, headerLen);
    const view = new DataView(bytes.buffer);
    setIpv4TotalLen(view, 0, bytes.length);
    setIpv4Id(view, 0, id);
    setIpv4Fragment(view, 0, isLast && !more ? 0 : IPV4_MORE_FRAGMENTS, before + offset);
    fixIpv4Checksum(view, 0);
    return new Packet(bytes, true);
  });
}

/** Packets that are fragments already stay: their header says one offset only. */
function fragments6(packet: Packet, size: number, overlap: Overlap, rng: Rng): Packet[] {
  if (packet.layers.ipv6Fragment >= 0) return [packet];
  const { end, nextAt, next } = perHopEnd(packet);
  const body = packet.bytes.subarray(end);
  const first = firstBytes(packet, end, size);
  if (body.length <= first) return [packet];
  const id = rng.nextUint32();
  return pieces(body, first, size, overlap, rng).map(({ offset, data, isLast }) => {
    const bytes = new Uint8Array(end + IPV6_FRAGMENT_LEN + data.length);
    bytes.set(packet.bytes.subarray(0, end));
    bytes.set(data, end + IPV6_FRAGMENT_LEN);
    const view = new DataView(bytes.buffer);
    if (nextAt < 0) setIpv6NextHeader(view, 0, IpProtocol.Fragment);
    else setIpv6ExtensionNext(view, nextAt, IpProtocol.Fragment);
    setIpv6Fragment(view, end, next, offset, !isLast, id);
    setIpv6PayloadLen(view, 0, bytes.length - IPV6_HEADER_LEN);
    return new Packet(bytes, true);
  });
}

/** Where the headers end that every router looks at (RFC 8200 section 4.5), and the field that says what follows. */
function perHopEnd(packet: Packet): { end: number; nextAt: number; next: number } {
  const { view, bytes } = packet;
  let at = IPV6_HEADER_LEN;
  let protocol = bytes[6]!;
  let found = { end: at, nextAt: -1, next: protocol };
  while (isIpv6Extension(protocol) && at + UNIT <= bytes.length) {
    const length = ipv6ExtensionLen(view, at, protocol);
    const following = ipv6ExtensionNext(view, at);
    if (at + length > bytes.length) break;
    if (protocol === IpProtocol.HopByHop || protocol === IpProtocol.Routing) {
      found = { end: at + length, nextAt: at, next: following };
    }
    at += length;
    protocol = following;
  }
  return found;
}
