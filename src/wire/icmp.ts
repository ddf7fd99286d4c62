/** ICMP, RFC 792. Accessors are unchecked: call `checkIcmp` once per packet. */
import { checksumReplace16 } from './checksum.ts';
import { Wire, type WireStatus } from './layers.ts';

const TYPE = 0;
const CODE = 1;
const CHECKSUM = 2;
const ID = 4;
const SEQUENCE = 6;
/** Type, code and checksum: all that every message has. */
export const ICMP_MIN_LEN = 4;
export const ICMP_HEADER_LEN = 8;
const IPV4_MIN_LEN = 20;

export const IcmpType = {
  EchoReply: 0,
  Unreachable: 3,
  SourceQuench: 4,
  Redirect: 5,
  Echo: 8,
  TimeExceeded: 11,
  ParameterProblem: 12,
} as const;

/** After `Wire.Ok` icmpType, icmpCode and icmpChecksum do not read outside [icmp, end). */
export function checkIcmp(_view: DataView, icmp: number, end: number): WireStatus {
  return end - icmp < ICMP_MIN_LEN ? Wire.Truncated : Wire.Ok;
}

export function icmpType(view: DataView, icmp: number): number {
  return view.getUint8(icmp + TYPE);
}

export function icmpCode(view: DataView, icmp: number): number {
  return view.getUint8(icmp + CODE);
}

export function icmpChecksum(view: DataView, icmp: number): number {
  return view.getUint16(icmp + CHECKSUM);
}

/** Offset of the checksum field. */
export function icmpChecksumAt(icmp: number): number {
  return icmp + CHECKSUM;
}

/** Identifier of echo messages. Precondition: 8 bytes are there. */
export function icmpId(view: DataView, icmp: number): number {
  return view.getUint16(icmp + ID);
}

/** Sequence number of echo messages. Precondition: 8 bytes are there. */
export function icmpSequence(view: DataView, icmp: number): number {
  return view.getUint16(icmp + SEQUENCE);
}

export function isIcmpError(type: number): boolean {
  switch (type) {
    case IcmpType.Unreachable:
    case IcmpType.SourceQuench:
    case IcmpType.Redirect:
    case IcmpType.TimeExceeded:
    case IcmpType.ParameterProblem:
      return true;
    default:
      return false;
  }
}

/**
 * Offset of the IPv4 header that an error quotes, when its 20 bytes lie whole before `end`; else -1. What follows it
 * is the first 8 bytes or more of that packet; its own total length says more than is there.
 */
export function icmpEmbeddedAt(view: DataView, icmp: number, end: number): number {
  const at = icmp + ICMP_HEADER_LEN;
  if (at + IPV4_MIN_LEN > end || !isIcmpError(view.getUint8(icmp + TYPE))) return -1;
  return view.getUint8(at) >>> 4 === 4 ? at : -1;
}

export function setIcmpType(view: DataView, icmp: number, type: number): void {
  view.setUint8(icmp + TYPE, type);
}

export function setIcmpCode(view: DataView, icmp: number, code: number): void {
  view.setUint8(icmp + CODE, code);
}

export function setIcmpChecksum(view: DataView, icmp: number, sum: number): void {
  view.setUint16(icmp + CHECKSUM, sum);
}

export function setIcmpId(view: DataView, icmp: number, id: number): void {
  view.setUint16(icmp + ID, id);
}

export function setIcmpSequence(view: DataView, icmp: number, sequence: number): void {
  view.setUint16(icmp + SEQUENCE, sequence);
}

/** Rewrites the identifier of an echo message and the checksum. */
export function rewriteIcmpId(view: DataView, icmp: number, id: number): void {
  const before = view.getUint16(icmp + ID);
  view.setUint16(icmp + ID, id);
  view.setUint16(icmp + CHECKSUM, checksumReplace16(view.getUint16(icmp + CHECKSUM), before, id));
}
