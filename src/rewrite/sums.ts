/** HOT: computes a packet's checksums anew: IP header, TCP, UDP, ICMP, ICMPv6. Lengths come from the IP header. */
import { checksumAdd, checksumFinish, checksumFinishUdp, pseudoHeaderSum } from '../wire/checksum.ts';
import { icmpChecksumAt } from '../wire/icmp.ts';
import { icmpv6ChecksumAt } from '../wire/icmpv6.ts';
import { fixIpv4Checksum, ipv4FinalDstAt, ipv4HeaderLen, ipv4SrcAt, ipv4TotalLen } from '../wire/ipv4.ts';
import { IPV6_ADDRESS_LEN, IPV6_HEADER_LEN, ipv6DstAt, ipv6PayloadLen, ipv6SrcAt } from '../wire/ipv6.ts';
import { ipv6FinalDstAt } from '../wire/ipv6extension.ts';
import { Fragment, type Layers } from '../wire/layers.ts';
import { IpProtocol } from '../wire/protocol.ts';
import { TCP_MIN_HEADER_LEN, tcpChecksumAt } from '../wire/tcp.ts';
import { UDP_HEADER_LEN, udpChecksum, udpChecksumAt, udpLength } from '../wire/udp.ts';
import type { Frame } from './frame.ts';

const IPV4_ADDRESS_LEN = 4;

/**
 * Whether the IP header's length is exactly what the frame had on the wire: the reference tool computes sums of such
 * packets only, and leaves padded ones alone.
 */
export function fillsFrame(frame: Frame): boolean {
  const { view, layers } = frame;
  const ip = layers.ip;
  const length = layers.ipVersion === 4 ? ipv4TotalLen(view, ip) : IPV6_HEADER_LEN + ipv6PayloadLen(view, ip);
  return length === frame.at + frame.len - ip;
}

/**
 * Writes true checksums wherever all covered bytes are there: not over the payload of fragments and cut packets. A UDP
 * sum of zero (none) stays.
 */
export function recomputeSums(frame: Frame): void {
  const { view, layers } = frame;
  const ip = layers.ip;
  if (ip < 0) return;
  if (layers.ipVersion === 4) {
    const headerLen = ipv4HeaderLen(view, ip);
    if (headerLen < 20 || ip + headerLen > frame.end) return;
    fixIpv4Checksum(view, ip);
  }
  frame.changed = true;
  if (layers.l4 < 0 || layers.fragment !== Fragment.None || layers.ipCut) return;
  const isV6 = layers.ipVersion === 6;
  switch (layers.l4Protocol) {
    case IpProtocol.Tcp:
      if (layers.ipEnd - layers.l4 < TCP_MIN_HEADER_LEN) return;
      writeSum(view, layers, tcpChecksumAt(layers.l4), layers.ipEnd - layers.l4, true);
      return;
    case IpProtocol.Udp:
      recomputeUdp(view, layers);
      return;
    case IpProtocol.Icmp:
      if (!isV6) writeSum(view, layers, icmpChecksumAt(layers.l4), layers.ipEnd - layers.l4, false);
      return;
    case IpProtocol.Icmpv6:
      if (isV6) writeSum(view, layers, icmpv6ChecksumAt(layers.l4), layers.ipEnd - layers.l4, true);
      return;
  }
}

/** UDP's own length counts where it fits: behind it there may be padding. */
function recomputeUdp(view: DataView, layers: Layers): void {
  const udp = layers.l4;
  const available = layers.ipEnd - udp;
  if (available < UDP_HEADER_LEN || udpChecksum(view, udp) === 0) return;
  const announced = udpLength(view, udp);
  const length = announced < UDP_HEADER_LEN || announced > available ? available : announced;
  writeSum(view, layers, udpChecksumAt(udp), length, true);
}

function writeSum(view: DataView, layers: Layers, at: number, length: number, hasPseudoHeader: boolean): void {
  const dstAt = pseudoDestinationAt(view, layers);
  if (dstAt < 0) return;
  const { l4, l4Protocol } = layers;
  let sum = 0;
  if (hasPseudoHeader) {
    const isV4 = layers.ipVersion === 4;
    const srcAt = isV4 ? ipv4SrcAt(layers.ip) : ipv6SrcAt(layers.ip);
    sum = pseudoHeaderSum(view, srcAt, dstAt, isV4 ? IPV4_ADDRESS_LEN : IPV6_ADDRESS_LEN, l4Protocol, length);
  }
  view.setUint16(at, 0);
  sum = checksumAdd(view, l4, l4 + length, sum);
  view.setUint16(at, l4Protocol === IpProtocol.Udp ? checksumFinishUdp(sum) : checksumFinish(sum));
}

/** Offset of the destination address in the pseudo-header; -1 where source routing hides it. */
function pseudoDestinationAt(view: DataView, layers: Layers): number {
  if (layers.ipVersion === 4) return ipv4FinalDstAt(view, layers.ip);
  return layers.ipv6Routing >= 0 ? ipv6FinalDstAt(view, layers.ipv6Routing) : ipv6DstAt(layers.ip);
}
