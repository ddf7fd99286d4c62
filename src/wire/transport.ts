/**
 * HOT: what transports have in common: ports, and the checksum that covers the IP addresses (pseudo-header). Everything
 * here is about the outermost IP packet of a decoded frame and keeps its checksums true in the same call.
 */
import { checksumReplace16, checksumReplace16Udp, checksumReplace32, checksumReplace32Udp } from './checksum.ts';
import { icmpv6ChecksumAt } from './icmpv6.ts';
import {
  IPV4_MIN_HEADER_LEN,
  ipv4DstAt,
  ipv4FinalDstAt,
  ipv4HeaderLen,
  ipv4SrcAt,
  rewriteIpv4Dst,
  rewriteIpv4Src,
} from './ipv4.ts';
import { ipv6DstAt, ipv6SrcAt } from './ipv6.ts';
import { ipv6FinalDstAt } from './ipv6extension.ts';
import type { Layers } from './layers.ts';
import { IpProtocol } from './protocol.ts';
import { tcpChecksumAt } from './tcp.ts';
import { udpChecksumAt } from './udp.ts';

const SRC_PORT = 0;
const DST_PORT = 2;
/** UDP-Lite (RFC 3828) and DCCP (RFC 4340) have their checksum where UDP has it. */
const OTHER_CHECKSUM_LEN = 8;

/**
 * Offset of the checksum field that covers the IP addresses, or -1: no such field, no checksum (UDP zero), a later
 * fragment, or the header is cut.
 */
export function coveringChecksumAt(view: DataView, layers: Layers): number {
  const l4 = layers.l4;
  if (l4 < 0) return -1;
  switch (layers.l4Protocol) {
    case IpProtocol.Tcp:
      return tcpChecksumAt(l4);
    case IpProtocol.Udp:
      return view.getUint16(udpChecksumAt(l4)) === 0 ? -1 : udpChecksumAt(l4);
    case IpProtocol.Icmpv6:
      return layers.ipVersion === 6 ? icmpv6ChecksumAt(l4) : -1;
    case IpProtocol.UdpLite:
    case IpProtocol.Dccp:
      return l4 + OTHER_CHECKSUM_LEN <= layers.ipEnd ? udpChecksumAt(l4) : -1;
    default:
      return -1;
  }
}

/** Updates the checksum field at `sumAt` (-1: none) for a 32-bit value on an even offset; UDP's zero rule kept. */
function coverLong(view: DataView, sumAt: number, protocol: number, before: number, after: number): void {
  if (sumAt < 0) return;
  const field = view.getUint16(sumAt);
  view.setUint16(
    sumAt,
    protocol === IpProtocol.Udp || protocol === IpProtocol.UdpLite
      ? checksumReplace32Udp(field, before, after)
      : checksumReplace32(field, before, after),
  );
}

/** Offset of the address that the pseudo-header takes as destination: the final one of a source-routed packet. */
export function coveredDstAt(view: DataView, layers: Layers): number {
  const ip = layers.ip;
  if (layers.ipVersion === 6) {
    const final = layers.ipv6Routing < 0 ? -1 : ipv6FinalDstAt(view, layers.ipv6Routing);
    return final < 0 ? ipv6DstAt(ip) : final;
  }
  const headerLen = ipv4HeaderLen(view, ip);
  if (headerLen === IPV4_MIN_HEADER_LEN || ip + headerLen > layers.ipEnd) return ipv4DstAt(ip);
  return ipv4FinalDstAt(view, ip);
}

/** Rewrites the IPv4 source address, header checksum and transport checksum. Precondition: `ipVersion` is 4. */
export function rewriteSrcIpv4(view: DataView, layers: Layers, address: number): void {
  const before = view.getUint32(ipv4SrcAt(layers.ip));
  rewriteIpv4Src(view, layers.ip, address);
  coverLong(view, coveringChecksumAt(view, layers), layers.l4Protocol, before, address);
}

/** Rewrites the IPv4 destination address, header checksum and transport checksum. Precondition: `ipVersion` is 4. */
export function rewriteDstIpv4(view: DataView, layers: Layers, address: number): void {
  const at = ipv4DstAt(layers.ip);
  const before = view.getUint32(at);
  const isCovered = coveredDstAt(view, layers) === at;
  rewriteIpv4Dst(view, layers.ip, address);
  if (isCovered) coverLong(view, coveringChecksumAt(view, layers), layers.l4Protocol, before, address);
}

/** Rewrites word 0..3 of the IPv6 source address and the transport checksum. Precondition: `ipVersion` is 6. */
export function rewriteSrcIpv6Word(view: DataView, layers: Layers, word: number, value: number): void {
  const at = ipv6SrcAt(layers.ip) + 4 * word;
  const before = view.getUint32(at);
  view.setUint32(at, value);
  coverLong(view, coveringChecksumAt(view, layers), layers.l4Protocol, before, value);
}

/** Rewrites word 0..3 of the IPv6 destination address and the transport checksum. Precondition: `ipVersion` is 6. */
export function rewriteDstIpv6Word(view: DataView, layers: Layers, word: number, value: number): void {
  const at = ipv6DstAt(layers.ip);
  const before = view.getUint32(at + 4 * word);
  view.setUint32(at + 4 * word, value);
  if (coveredDstAt(view, layers) !== at) return;
  coverLong(view, coveringChecksumAt(view, layers), layers.l4Protocol, before, value);
}

/** TCP or UDP with its header whole: `srcPort` and the other port functions may be called. */
export function hasPorts(layers: Layers): boolean {
  return layers.l4 >= 0 && (layers.l4Protocol === IpProtocol.Tcp || layers.l4Protocol === IpProtocol.Udp);
}

/** Source port of TCP, UDP or SCTP. */
export function srcPort(view: DataView, layers: Layers): number {
  return view.getUint16(layers.l4 + SRC_PORT);
}

/** Destination port of TCP, UDP or SCTP. */
export function dstPort(view: DataView, layers: Layers): number {
  return view.getUint16(layers.l4 + DST_PORT);
}

function rewritePort(view: DataView, layers: Layers, at: number, port: number): void {
  const before = view.getUint16(at);
  view.setUint16(at, port);
  const isUdp = layers.l4Protocol === IpProtocol.Udp;
  const sumAt = isUdp ? udpChecksumAt(layers.l4) : tcpChecksumAt(layers.l4);
  const field = view.getUint16(sumAt);
  view.setUint16(sumAt, isUdp ? checksumReplace16Udp(field, before, port) : checksumReplace16(field, before, port));
}

/** Rewrites the source port and the checksum. Precondition: `hasPorts`. */
export function rewriteSrcPort(view: DataView, layers: Layers, port: number): void {
  rewritePort(view, layers, layers.l4 + SRC_PORT, port);
}

/** Rewrites the destination port and the checksum. Precondition: `hasPorts`. */
export function rewriteDstPort(view: DataView, layers: Layers, port: number): void {
  rewritePort(view, layers, layers.l4 + DST_PORT, port);
}
