/**
 * The packet that an ICMP or ICMPv6 error quotes (`Layers.embedded`): rewriting its addresses and ports as a NAT does,
 * RFC 5508 section 4. The quoted checksums follow where they are there, and the error's own checksum stays true.
 */
import { checksumReplace16, checksumReplace16Udp, checksumReplace32, checksumReplace32Udp } from './checksum.ts';
import { icmpChecksumAt } from './icmp.ts';
import { icmpv6ChecksumAt } from './icmpv6.ts';
import { ipv4ChecksumAt, ipv4DstAt, ipv4FragmentOffset, ipv4HeaderLen, ipv4Protocol, ipv4SrcAt } from './ipv4.ts';
import { IPV6_HEADER_LEN, ipv6DstAt, ipv6NextHeader, ipv6SrcAt } from './ipv6.ts';
import type { Layers } from './layers.ts';
import { IpProtocol } from './protocol.ts';
import { tcpChecksumAt } from './tcp.ts';
import { udpChecksumAt } from './udp.ts';

/** Transport protocol of the quoted packet; extension headers are not looked behind. */
export function embeddedProtocol(view: DataView, layers: Layers): number {
  return layers.ipVersion === 6 ? ipv6NextHeader(view, layers.embedded) : ipv4Protocol(view, layers.embedded);
}

/** Offset of the quoted TCP or UDP ports, when both lie whole in the packet; else -1. */
export function embeddedPortsAt(view: DataView, layers: Layers): number {
  const protocol = embeddedProtocol(view, layers);
  if (protocol !== IpProtocol.Tcp && protocol !== IpProtocol.Udp) return -1;
  const l4 = embeddedTransportAt(view, layers);
  return l4 >= 0 && l4 + 4 <= layers.ipEnd ? l4 : -1;
}

/** Rewrites the quoted IPv4 source address. Preconditions: `embedded >= 0`, `ipVersion` is 4. */
export function rewriteEmbeddedSrcIpv4(view: DataView, layers: Layers, address: number): void {
  rewriteAddressWord(view, layers, ipv4SrcAt(layers.embedded), address);
}

/** Rewrites the quoted IPv4 destination address. Preconditions: `embedded >= 0`, `ipVersion` is 4. */
export function rewriteEmbeddedDstIpv4(view: DataView, layers: Layers, address: number): void {
  rewriteAddressWord(view, layers, ipv4DstAt(layers.embedded), address);
}

/** Rewrites word 0..3 of the quoted IPv6 source address. Preconditions: `embedded >= 0`, `ipVersion` is 6. */
export function rewriteEmbeddedSrcIpv6Word(view: DataView, layers: Layers, word: number, value: number): void {
  rewriteAddressWord(view, layers, ipv6SrcAt(layers.embedded) + 4 * word, value);
}

/** Rewrites word 0..3 of the quoted IPv6 destination address. Preconditions: `embedded >= 0`, `ipVersion` is 6. */
export function rewriteEmbeddedDstIpv6Word(view: DataView, layers: Layers, word: number, value: number): void {
  rewriteAddressWord(view, layers, ipv6DstAt(layers.embedded) + 4 * word, value);
}

/** Rewrites the quoted source port. Precondition: `embeddedPortsAt` is not -1. */
export function rewriteEmbeddedSrcPort(view: DataView, layers: Layers, port: number): void {
  rewritePort(view, layers, embeddedPortsAt(view, layers), port);
}

/** Rewrites the quoted destination port. Precondition: `embeddedPortsAt` is not -1. */
export function rewriteEmbeddedDstPort(view: DataView, layers: Layers, port: number): void {
  rewritePort(view, layers, embeddedPortsAt(view, layers) + 2, port);
}

/** Transport header of the quoted packet; -1 in later fragments and where it would lie behind the packet. */
function embeddedTransportAt(view: DataView, layers: Layers): number {
  const ip = layers.embedded;
  if (layers.ipVersion === 6) return ip + IPV6_HEADER_LEN;
  return ipv4FragmentOffset(view, ip) === 0 ? ip + ipv4HeaderLen(view, ip) : -1;
}

/** The quoted checksum field that covers addresses and ports, when it is there and in use; else -1. */
function embeddedChecksumAt(view: DataView, layers: Layers): number {
  const l4 = embeddedTransportAt(view, layers);
  if (l4 < 0) return -1;
  let at = -1;
  const protocol = embeddedProtocol(view, layers);
  if (protocol === IpProtocol.Tcp) at = tcpChecksumAt(l4);
  else if (protocol === IpProtocol.Udp) at = udpChecksumAt(l4);
  else if (protocol === IpProtocol.Icmpv6 && layers.ipVersion === 6) at = icmpv6ChecksumAt(l4);
  if (at < 0 || at + 2 > layers.ipEnd) return -1;
  return protocol === IpProtocol.Udp && view.getUint16(at) === 0 ? -1 : at;
}

/** Writes 16 bits that the error's checksum covers. Every quoted header lies at an even distance from it. */
function setCovered16(view: DataView, layers: Layers, at: number, after: number): void {
  const sumAt = layers.ipVersion === 6 ? icmpv6ChecksumAt(layers.l4) : icmpChecksumAt(layers.l4);
  const before = view.getUint16(at);
  view.setUint16(at, after);
  view.setUint16(sumAt, checksumReplace16(view.getUint16(sumAt), before, after));
}

function rewriteAddressWord(view: DataView, layers: Layers, at: number, after: number): void {
  const before = view.getUint32(at);
  setCovered16(view, layers, at, after >>> 16);
  setCovered16(view, layers, at + 2, after & 0xffff);
  if (layers.ipVersion === 4) {
    const sumAt = ipv4ChecksumAt(layers.embedded);
    setCovered16(view, layers, sumAt, checksumReplace32(view.getUint16(sumAt), before, after));
  }
  const sumAt = embeddedChecksumAt(view, layers);
  if (sumAt < 0) return;
  const isUdp = embeddedProtocol(view, layers) === IpProtocol.Udp;
  const field = view.getUint16(sumAt);
  const replaced = isUdp ? checksumReplace32Udp(field, before, after) : checksumReplace32(field, before, after);
  setCovered16(view, layers, sumAt, replaced);
}

function rewritePort(view: DataView, layers: Layers, at: number, after: number): void {
  const before = view.getUint16(at);
  setCovered16(view, layers, at, after);
  const sumAt = embeddedChecksumAt(view, layers);
  if (sumAt < 0) return;
  const isUdp = embeddedProtocol(view, layers) === IpProtocol.Udp;
  const field = view.getUint16(sumAt);
  const replaced = isUdp ? checksumReplace16Udp(field, before, after) : checksumReplace16(field, before, after);
  setCovered16(view, layers, sumAt, replaced);
}
