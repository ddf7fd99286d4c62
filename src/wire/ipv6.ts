/**
 * HOT: IPv6 header, RFC 8200 section 3. Accessors are unchecked: call `checkIpv6` once per packet. An address is four
 * numbers in [0, 2^32), word 0 first. No checksum of its own; the transport's covers the addresses.
 */
import { Wire, type WireStatus } from './layers.ts';

const VERSION_CLASS_FLOW = 0;
const PAYLOAD_LEN = 4;
const NEXT_HEADER = 6;
const HOP_LIMIT = 7;
const SRC = 8;
const DST = 24;
export const IPV6_HEADER_LEN = 40;
export const IPV6_ADDRESS_LEN = 16;

/** After `Wire.Ok` no ipv6* accessor of this file reads outside [ip, end). */
export function checkIpv6(view: DataView, ip: number, end: number): WireStatus {
  if (end - ip < IPV6_HEADER_LEN) return Wire.Truncated;
  return view.getUint8(ip + VERSION_CLASS_FLOW) >>> 4 === 6 ? Wire.Ok : Wire.BadVersion;
}

export function ipv6TrafficClass(view: DataView, ip: number): number {
  return (view.getUint16(ip + VERSION_CLASS_FLOW) >>> 4) & 0xff;
}

export function ipv6FlowLabel(view: DataView, ip: number): number {
  return view.getUint32(ip + VERSION_CLASS_FLOW) & 0xfffff;
}

/** Bytes behind the fixed header; 0 in jumbograms and in packets captured before segmentation offload. */
export function ipv6PayloadLen(view: DataView, ip: number): number {
  return view.getUint16(ip + PAYLOAD_LEN);
}

export function ipv6NextHeader(view: DataView, ip: number): number {
  return view.getUint8(ip + NEXT_HEADER);
}

export function ipv6HopLimit(view: DataView, ip: number): number {
  return view.getUint8(ip + HOP_LIMIT);
}

/** Word 0..3 of the source address. */
export function ipv6SrcWord(view: DataView, ip: number, word: number): number {
  return view.getUint32(ip + SRC + 4 * word);
}

/** Word 0..3 of the destination address. */
export function ipv6DstWord(view: DataView, ip: number, word: number): number {
  return view.getUint32(ip + DST + 4 * word);
}

/** Offset of the 16 bytes of the source address. */
export function ipv6SrcAt(ip: number): number {
  return ip + SRC;
}

/** Offset of the 16 bytes of the destination address. */
export function ipv6DstAt(ip: number): number {
  return ip + DST;
}

/** Destination in ff00::/8. */
export function isIpv6DstMulticast(view: DataView, ip: number): boolean {
  return view.getUint8(ip + DST) === 0xff;
}

/** Writes version 6, traffic class and flow label. */
export function setIpv6VersionClassFlow(view: DataView, ip: number, trafficClass: number, flowLabel: number): void {
  view.setUint32(ip + VERSION_CLASS_FLOW, 0x60000000 | (trafficClass << 20) | flowLabel);
}

export function setIpv6TrafficClass(view: DataView, ip: number, trafficClass: number): void {
  setIpv6VersionClassFlow(view, ip, trafficClass, ipv6FlowLabel(view, ip));
}

export function setIpv6FlowLabel(view: DataView, ip: number, flowLabel: number): void {
  setIpv6VersionClassFlow(view, ip, ipv6TrafficClass(view, ip), flowLabel);
}

export function setIpv6PayloadLen(view: DataView, ip: number, length: number): void {
  view.setUint16(ip + PAYLOAD_LEN, length);
}

export function setIpv6NextHeader(view: DataView, ip: number, protocol: number): void {
  view.setUint8(ip + NEXT_HEADER, protocol);
}

export function setIpv6HopLimit(view: DataView, ip: number, hopLimit: number): void {
  view.setUint8(ip + HOP_LIMIT, hopLimit);
}

/** The transport checksum covers this field: see `transport.ts`. */
export function setIpv6SrcWord(view: DataView, ip: number, word: number, value: number): void {
  view.setUint32(ip + SRC + 4 * word, value);
}

/** The transport checksum covers this field: see `transport.ts`. */
export function setIpv6DstWord(view: DataView, ip: number, word: number, value: number): void {
  view.setUint32(ip + DST + 4 * word, value);
}
