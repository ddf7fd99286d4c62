/**
 * HOT: UDP header, RFC 768. Accessors are unchecked: call `checkUdp` once per packet. A checksum of zero means "none"
 * (IPv4 only) and `rewrite*` neither fills it in nor produces it.
 */
import { checksumReplace16Udp } from './checksum.ts';
import { Wire, type WireStatus } from './layers.ts';

const SRC_PORT = 0;
const DST_PORT = 2;
const LENGTH = 4;
const CHECKSUM = 6;
export const UDP_HEADER_LEN = 8;

/**
 * After `Wire.Ok` no udp* accessor reads outside [udp, end). A length beyond `end` is no fault here: first fragments
 * and cut captures have it. Length 0 is none either: jumbograms (RFC 2675 section 4) and offloaded datagrams have it.
 */
export function checkUdp(view: DataView, udp: number, end: number): WireStatus {
  if (end - udp < UDP_HEADER_LEN) return Wire.Truncated;
  const length = view.getUint16(udp + LENGTH);
  return length < UDP_HEADER_LEN && length !== 0 ? Wire.BadLength : Wire.Ok;
}

export function udpSrcPort(view: DataView, udp: number): number {
  return view.getUint16(udp + SRC_PORT);
}

export function udpDstPort(view: DataView, udp: number): number {
  return view.getUint16(udp + DST_PORT);
}

/** Header and payload in bytes. */
export function udpLength(view: DataView, udp: number): number {
  return view.getUint16(udp + LENGTH);
}

export function udpChecksum(view: DataView, udp: number): number {
  return view.getUint16(udp + CHECKSUM);
}

/** Offset of the checksum field. */
export function udpChecksumAt(udp: number): number {
  return udp + CHECKSUM;
}

export function setUdpSrcPort(view: DataView, udp: number, port: number): void {
  view.setUint16(udp + SRC_PORT, port);
}

export function setUdpDstPort(view: DataView, udp: number, port: number): void {
  view.setUint16(udp + DST_PORT, port);
}

export function setUdpLength(view: DataView, udp: number, length: number): void {
  view.setUint16(udp + LENGTH, length);
}

export function setUdpChecksum(view: DataView, udp: number, sum: number): void {
  view.setUint16(udp + CHECKSUM, sum);
}

function rewriteWord(view: DataView, udp: number, offset: number, after: number): void {
  const before = view.getUint16(udp + offset);
  view.setUint16(udp + offset, after);
  view.setUint16(udp + CHECKSUM, checksumReplace16Udp(view.getUint16(udp + CHECKSUM), before, after));
}

export function rewriteUdpSrcPort(view: DataView, udp: number, port: number): void {
  rewriteWord(view, udp, SRC_PORT, port);
}

export function rewriteUdpDstPort(view: DataView, udp: number, port: number): void {
  rewriteWord(view, udp, DST_PORT, port);
}
