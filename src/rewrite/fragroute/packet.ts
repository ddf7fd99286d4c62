/**
 * An IP packet on its own, as fragroute's rules see it: bytes from the IP header to the end of the packet, taken apart.
 * Not for the data plane: each packet is an object with bytes of its own.
 */
import { decode } from '../../wire/decode.ts';
import { fixIpv4Checksum, setIpv4HeaderLen, setIpv4TotalLen } from '../../wire/ipv4.ts';
import { IPV6_HEADER_LEN, setIpv6PayloadLen } from '../../wire/ipv6.ts';
import { Layers } from '../../wire/layers.ts';
import { Linktype } from '../../wire/linktype.ts';
import { IpProtocol } from '../../wire/protocol.ts';
import { tcpHeaderLen } from '../../wire/tcp.ts';
import { fixTransportChecksum } from '../../wire/verify.ts';

/** What an IP header's length can say. */
export const PACKET_BYTES_MAX = 65_535;
export const IPV4_HEADER_LEN_MAX = 60;
export const TCP_HEADER_LEN_MAX = 60;

export class Packet {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly version: 4 | 6;
  readonly layers: Layers = new Layers();
  /** Some rule made it: its frame is not the one that came in. */
  isMade: boolean;

  /** Takes over `bytes`, a whole IP packet. */
  constructor(bytes: Uint8Array, isMade: boolean) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.version = bytes[0]! >>> 4 === 6 ? 6 : 4;
    this.isMade = isMade;
    decode(this.view, 0, bytes.length, Linktype.RAW, this.layers);
  }

  copy(): Packet {
    return new Packet(this.bytes.slice(), true);
  }

  get isTcp(): boolean {
    return this.layers.l4 >= 0 && this.layers.l4Protocol === IpProtocol.Tcp && this.layers.payload >= 0;
  }

  get isFragment(): boolean {
    return this.layers.fragment !== 0;
  }

  /** Offset behind the fixed IPv4 header and its options, or behind the fixed IPv6 header. */
  get headerEnd(): number {
    return this.version === 4 ? (this.bytes[0]! & 15) << 2 : IPV6_HEADER_LEN;
  }

  /** Bytes of TCP payload; 0 where it is no whole TCP segment. */
  get tcpPayloadBytes(): number {
    return this.isTcp && !this.isFragment ? this.bytes.length - this.layers.payload : 0;
  }
}

/** A packet of `headers`, then `payload`, with lengths and checksums to match. */
export function joined(headers: Uint8Array, payload: Uint8Array): Packet {
  const bytes = new Uint8Array(headers.length + payload.length);
  bytes.set(headers);
  bytes.set(payload, headers.length);
  return finished(bytes);
}

/** Takes over `bytes`; sets the IP length and computes the checksums that can be. */
export function finished(bytes: Uint8Array): Packet {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes[0]! >>> 4 === 4) {
    setIpv4TotalLen(view, 0, bytes.length);
    fixIpv4Checksum(view, 0);
  } else {
    setIpv6PayloadLen(view, 0, bytes.length - IPV6_HEADER_LEN);
  }
  const packet = new Packet(bytes, true);
  fixTransportChecksum(packet.view, packet.layers);
  return packet;
}

/** Puts `extra` (a multiple of 4 bytes) behind the IPv4 options; null where the header has no room for it. */
export function withIpv4Options(packet: Packet, extra: Uint8Array): Packet | null {
  const end = packet.headerEnd;
  if (end + extra.length > IPV4_HEADER_LEN_MAX || packet.bytes.length + extra.length > PACKET_BYTES_MAX) return null;
  const bytes = spliced(packet.bytes, end, extra);
  setIpv4HeaderLen(new DataView(bytes.buffer), 0, end + extra.length);
  return finished(bytes);
}

/** Puts an extension header in front of everything that follows the IPv6 header. `extension[0]` is filled in. */
export function withIpv6Extension(packet: Packet, protocol: number, extension: Uint8Array): Packet | null {
  if (packet.bytes.length + extension.length - IPV6_HEADER_LEN > PACKET_BYTES_MAX) return null;
  const header = extension.slice();
  header[0] = packet.bytes[6]!;
  const bytes = spliced(packet.bytes, IPV6_HEADER_LEN, header);
  bytes[6] = protocol;
  return finished(bytes);
}

/** Puts `extra` (a multiple of 4 bytes) behind the TCP options; null where the header has no room for it. */
export function withTcpOptions(packet: Packet, extra: Uint8Array): Packet | null {
  const { l4 } = packet.layers;
  const headerLen = tcpHeaderLen(packet.view, l4);
  if (headerLen + extra.length > TCP_HEADER_LEN_MAX || packet.bytes.length + extra.length > PACKET_BYTES_MAX)
    return null;
  const bytes = spliced(packet.bytes, l4 + headerLen, extra);
  bytes[l4 + 12] = (((headerLen + extra.length) >>> 2) << 4) | (bytes[l4 + 12]! & 15);
  return finished(bytes);
}

function spliced(bytes: Uint8Array, at: number, extra: Uint8Array): Uint8Array {
  const out = new Uint8Array(bytes.length + extra.length);
  out.set(bytes.subarray(0, at));
  out.set(extra, at);
  out.set(bytes.subarray(at), at + extra.length);
  return out;
}
