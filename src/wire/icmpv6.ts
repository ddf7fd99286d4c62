/** ICMPv6, RFC 4443. Accessors are unchecked: call `checkIcmpv6` once per packet. Its checksum has a pseudo-header. */
import { Wire, type WireStatus } from './layers.ts';

const TYPE = 0;
const CODE = 1;
const CHECKSUM = 2;
const ID = 4;
const SEQUENCE = 6;
export const ICMPV6_MIN_LEN = 4;
export const ICMPV6_HEADER_LEN = 8;
const IPV6_LEN = 40;

export const Icmpv6Type = {
  Unreachable: 1,
  PacketTooBig: 2,
  TimeExceeded: 3,
  ParameterProblem: 4,
  Echo: 128,
  EchoReply: 129,
  NeighborSolicitation: 135,
  NeighborAdvertisement: 136,
  Redirect: 137,
} as const;

/** After `Wire.Ok` icmpv6Type, icmpv6Code and icmpv6Checksum do not read outside [icmp, end). */
export function checkIcmpv6(_view: DataView, icmp: number, end: number): WireStatus {
  return end - icmp < ICMPV6_MIN_LEN ? Wire.Truncated : Wire.Ok;
}

export function icmpv6Type(view: DataView, icmp: number): number {
  return view.getUint8(icmp + TYPE);
}

export function icmpv6Code(view: DataView, icmp: number): number {
  return view.getUint8(icmp + CODE);
}

export function icmpv6Checksum(view: DataView, icmp: number): number {
  return view.getUint16(icmp + CHECKSUM);
}

/** Offset of the checksum field. */
export function icmpv6ChecksumAt(icmp: number): number {
  return icmp + CHECKSUM;
}

/** Identifier of echo messages. Precondition: 8 bytes are there. */
export function icmpv6Id(view: DataView, icmp: number): number {
  return view.getUint16(icmp + ID);
}

/** Sequence number of echo messages. Precondition: 8 bytes are there. */
export function icmpv6Sequence(view: DataView, icmp: number): number {
  return view.getUint16(icmp + SEQUENCE);
}

/** RFC 4443 section 2.1: error messages have types below 128; of those, 1 to 4 quote a packet. */
export function isIcmpv6Error(type: number): boolean {
  return type >= Icmpv6Type.Unreachable && type <= Icmpv6Type.ParameterProblem;
}

/** Offset of the IPv6 header that an error quotes, when its 40 bytes lie whole before `end`; else -1. */
export function icmpv6EmbeddedAt(view: DataView, icmp: number, end: number): number {
  const at = icmp + ICMPV6_HEADER_LEN;
  if (at + IPV6_LEN > end || !isIcmpv6Error(view.getUint8(icmp + TYPE))) return -1;
  return view.getUint8(at) >>> 4 === 6 ? at : -1;
}

export function setIcmpv6Type(view: DataView, icmp: number, type: number): void {
  view.setUint8(icmp + TYPE, type);
}

export function setIcmpv6Code(view: DataView, icmp: number, code: number): void {
  view.setUint8(icmp + CODE, code);
}

export function setIcmpv6Checksum(view: DataView, icmp: number, sum: number): void {
  view.setUint16(icmp + CHECKSUM, sum);
}

export function setIcmpv6Id(view: DataView, icmp: number, id: number): void {
  view.setUint16(icmp + ID, id);
}

export function setIcmpv6Sequence(view: DataView, icmp: number, sequence: number): void {
  view.setUint16(icmp + SEQUENCE, sequence);
}
