/**
 * HOT: the virtio-net header in front of a frame on its way into a packet socket (PACKET_VNET_HDR, packet(7)): what
 * the kernel, or the network card, is to do to a TCP packet. Fill in its checksum, and cut it into segments, each with
 * the same headers: sequence numbers and IP identifications go on, PSH stays with the last one. Cards that cannot are
 * helped by the kernel.
 */
import {
  LITTLE_ENDIAN,
  VIRTIO_NET_HDR_F_NEEDS_CSUM,
  VIRTIO_NET_HDR_GSO_TCPV4,
  VIRTIO_NET_HDR_GSO_TCPV6,
  VirtioNetHdr,
} from '../sys/layout.ts';
import { checksumAdd } from '../wire/checksum.ts';
import { fixIpv4Checksum } from '../wire/ipv4.ts';
import { IPV6_HEADER_LEN } from '../wire/ipv6.ts';
import { IpProtocol } from '../wire/protocol.ts';
import { TcpFlag, tcpChecksumAt, tcpHeaderLen } from '../wire/tcp.ts';

/** Bytes of the header; the frame follows. */
export const VNET_BYTES: number = VirtioNetHdr.SIZE;
const CHECKSUM_OFFSET = 16;

/** Nothing is left to do. */
export function writeVnetNothing(view: DataView, at: number): void {
  view.setUint32(at, 0);
  view.setUint32(at + 4, 0);
  view.setUint16(at + 8, 0);
}

/** The TCP checksum, whose field holds the sum of the pseudo-header, is to be filled in. */
export function writeVnetSum(view: DataView, at: number, tcp: number): void {
  view.setUint32(at, VIRTIO_NET_HDR_F_NEEDS_CSUM << 24);
  view.setUint16(at + VirtioNetHdr.GSO_SIZE, 0);
  view.setUint16(at + VirtioNetHdr.CSUM_START, tcp - at - VNET_BYTES, LITTLE_ENDIAN);
  view.setUint16(at + VirtioNetHdr.CSUM_OFFSET, CHECKSUM_OFFSET, LITTLE_ENDIAN);
}

/** The sum of the pseudo-header of a TCP packet of `bytes` bytes, IP header included (not inverted). */
export function tcpPseudoSum(view: DataView, ip: number, tcp: number, bytes: number): number {
  const addressBytes = tcp - ip === IPV6_HEADER_LEN ? 32 : 8;
  return checksumAdd(view, tcp - addressBytes, tcp, IpProtocol.Tcp + (bytes - (tcp - ip)));
}

/**
 * The packet at `ip` has grown to `bytes` bytes: it is to be cut into segments of `segmentBytes` payload, the last one
 * with PSH where `isPush`. Preconditions: headers without IP options or extensions; `bytes` up to 65,535.
 */
export function writeVnetSegments(
  view: DataView,
  at: number,
  ip: number,
  bytes: number,
  segmentBytes: number,
  isPush: boolean,
): void {
  const isIpv6 = view.getUint8(ip) >>> 4 === 6;
  const tcp = isIpv6 ? ip + IPV6_HEADER_LEN : ip + 20;
  if (isIpv6) view.setUint16(ip + 4, bytes - IPV6_HEADER_LEN);
  else {
    view.setUint16(ip + 2, bytes);
    fixIpv4Checksum(view, ip);
  }
  if (isPush) view.setUint8(tcp + 13, view.getUint8(tcp + 13) | TcpFlag.Psh);
  view.setUint16(tcpChecksumAt(tcp), tcpPseudoSum(view, ip, tcp, bytes));
  writeVnetSum(view, at, tcp);
  view.setUint8(at + VirtioNetHdr.GSO_TYPE, isIpv6 ? VIRTIO_NET_HDR_GSO_TCPV6 : VIRTIO_NET_HDR_GSO_TCPV4);
  view.setUint16(at + VirtioNetHdr.HDR_LEN, tcp + tcpHeaderLen(view, tcp) - at - VNET_BYTES, LITTLE_ENDIAN);
  view.setUint16(at + VirtioNetHdr.GSO_SIZE, segmentBytes, LITTLE_ENDIAN);
}
