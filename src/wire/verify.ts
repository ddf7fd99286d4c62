/**
 * HOT: checks and recomputes the checksums of the outermost IP packet of a decoded frame. Lengths come from the IP
 * header, so that padded frames are right; fragments and cut packets have their IP header's sum only.
 */
import { checksumAdd, checksumFinish, checksumFinishUdp, pseudoHeaderSum } from './checksum.ts';
import { icmpChecksumAt } from './icmp.ts';
import { icmpv6ChecksumAt } from './icmpv6.ts';
import { fixIpv4Checksum, ipv4HeaderLen, ipv4SrcAt, isIpv4ChecksumTrue } from './ipv4.ts';
import { IPV6_ADDRESS_LEN, ipv6SrcAt } from './ipv6.ts';
import { Fragment, type Layers } from './layers.ts';
import { IpProtocol } from './protocol.ts';
import { computeSctpChecksum, sctpChecksum, setSctpChecksum } from './sctp.ts';
import { tcpChecksumAt } from './tcp.ts';
import { coveredDstAt } from './transport.ts';
import { udpChecksum, udpChecksumAt, udpLength } from './udp.ts';

export const Checksum = {
  /** No such header, or a header without checksum: IPv6, UDP over IPv4 with zero, other transports. */
  Absent: 0,
  True: 1,
  False: 2,
  /** The covered bytes are not all there: fragment or cut capture. */
  Unknown: 3,
} as const;
export type ChecksumVerdict = (typeof Checksum)[keyof typeof Checksum];

/** Bits of what `fixChecksums` wrote. */
export const Fixed = { Ip: 1, Transport: 2 } as const;

/** Verdict on the IPv4 header checksum. */
export function verifyIpChecksum(view: DataView, layers: Layers): ChecksumVerdict {
  const ip = layers.ip;
  if (ip < 0 || layers.ipVersion !== 4) return Checksum.Absent;
  if (ip + ipv4HeaderLen(view, ip) > layers.ipEnd) return Checksum.Unknown;
  return isIpv4ChecksumTrue(view, ip) ? Checksum.True : Checksum.False;
}

/** Verdict on the checksum of TCP, UDP, ICMP, ICMPv6 or SCTP. */
export function verifyTransportChecksum(view: DataView, layers: Layers): ChecksumVerdict {
  const l4 = layers.l4;
  const protocol = layers.l4Protocol;
  if (layers.ip < 0 || !isSummed(protocol, layers.ipVersion)) return Checksum.Absent;
  // The zero of UDP is legible in first fragments and cut packets too. Over IPv6 it is a fault (RFC 8200 section 8.1)
  // but for tunnels (RFC 6935 section 5).
  if (l4 >= 0 && protocol === IpProtocol.Udp && udpChecksum(view, l4) === 0) {
    return layers.ipVersion === 4 || layers.tunnel >= 0 ? Checksum.Absent : Checksum.False;
  }
  if (!isWhole(layers)) return Checksum.Unknown;
  if (protocol === IpProtocol.Sctp) {
    return sctpChecksum(view, l4) === computeSctpChecksum(view, l4, layers.ipEnd) ? Checksum.True : Checksum.False;
  }
  const end = transportEnd(view, layers);
  return checksumFinish(checksumAdd(view, l4, end, pseudoSum(view, layers, end))) === 0
    ? Checksum.True
    : Checksum.False;
}

/**
 * Recomputes the IPv4 header checksum and the transport's. Fragments and cut packets: the IP header's only, if it is
 * whole. UDP zero stays zero over IPv4 and is filled in over IPv6. Returns `Fixed` bits of what was written.
 */
export function fixChecksums(view: DataView, layers: Layers): number {
  const ip = layers.ip;
  if (ip < 0) return 0;
  let fixed = 0;
  if (layers.ipVersion === 4 && ip + ipv4HeaderLen(view, ip) <= layers.ipEnd) {
    fixIpv4Checksum(view, ip);
    fixed |= Fixed.Ip;
  }
  return fixTransportChecksum(view, layers) ? fixed | Fixed.Transport : fixed;
}

/** Recomputes the transport's checksum; false when it was left alone (see `fixChecksums`). */
export function fixTransportChecksum(view: DataView, layers: Layers): boolean {
  const l4 = layers.l4;
  const protocol = layers.l4Protocol;
  if (layers.ip < 0 || !isSummed(protocol, layers.ipVersion) || !isWhole(layers)) return false;
  if (protocol === IpProtocol.Sctp) {
    setSctpChecksum(view, l4, computeSctpChecksum(view, l4, layers.ipEnd));
    return true;
  }
  const isUdp = protocol === IpProtocol.Udp;
  if (isUdp && layers.ipVersion === 4 && udpChecksum(view, l4) === 0) return false;
  const end = transportEnd(view, layers);
  const at = fieldAt(l4, protocol);
  view.setUint16(at, 0);
  const sum = checksumAdd(view, l4, end, pseudoSum(view, layers, end));
  view.setUint16(at, isUdp ? checksumFinishUdp(sum) : checksumFinish(sum));
  return true;
}

function isSummed(protocol: number, ipVersion: number): boolean {
  switch (protocol) {
    case IpProtocol.Tcp:
    case IpProtocol.Udp:
    case IpProtocol.Sctp:
      return true;
    case IpProtocol.Icmp:
      return ipVersion === 4;
    case IpProtocol.Icmpv6:
      return ipVersion === 6;
    default:
      return false;
  }
}

function isWhole(layers: Layers): boolean {
  return layers.l4 >= 0 && !layers.ipCut && layers.fragment === Fragment.None;
}

function fieldAt(l4: number, protocol: number): number {
  switch (protocol) {
    case IpProtocol.Tcp:
      return tcpChecksumAt(l4);
    case IpProtocol.Udp:
      return udpChecksumAt(l4);
    case IpProtocol.Icmpv6:
      return icmpv6ChecksumAt(l4);
    default:
      return icmpChecksumAt(l4);
  }
}

/** UDP's own length rules where it is plausible; 0 (jumbograms, offload) and too large lengths mean "to the end". */
function transportEnd(view: DataView, layers: Layers): number {
  if (layers.l4Protocol !== IpProtocol.Udp) return layers.ipEnd;
  const length = udpLength(view, layers.l4);
  return length < 8 || layers.l4 + length > layers.ipEnd ? layers.ipEnd : layers.l4 + length;
}

function pseudoSum(view: DataView, layers: Layers, end: number): number {
  const length = end - layers.l4;
  const protocol = layers.l4Protocol;
  if (layers.ipVersion === 6) {
    return pseudoHeaderSum(view, ipv6SrcAt(layers.ip), coveredDstAt(view, layers), IPV6_ADDRESS_LEN, protocol, length);
  }
  if (protocol === IpProtocol.Icmp) return 0;
  return pseudoHeaderSum(view, ipv4SrcAt(layers.ip), coveredDstAt(view, layers), 4, protocol, length);
}
