/**
 * HOT: IPv4 header, RFC 791 section 3.1. Accessors are unchecked: call `checkIpv4` once per packet. Addresses are
 * numbers in [0, 2^32). `rewrite*` changes a field and keeps the header checksum true; the transport's sum, where it
 * covers the field, is the caller's (`transport.ts`).
 */
import { checksum, checksumReplace16, checksumReplace32 } from './checksum.ts';
import { Wire, type WireStatus } from './layers.ts';

const VERSION_IHL = 0;
const TOS = 1;
const TOTAL_LEN = 2;
const ID = 4;
const FLAGS_OFFSET = 6;
const TTL = 8;
const PROTOCOL = 9;
const CHECKSUM = 10;
const SRC = 12;
const DST = 16;
const OPTIONS = 20;
export const IPV4_MIN_HEADER_LEN = 20;

export const IPV4_DONT_FRAGMENT = 0x4000;
export const IPV4_MORE_FRAGMENTS = 0x2000;
const OFFSET_MASK = 0x1fff;

export const Ipv4Option = { End: 0, Nop: 1, RecordRoute: 7, LooseSourceRoute: 131, StrictSourceRoute: 137 } as const;

/**
 * After `Wire.Ok` no ipv4* accessor reads outside [ip, end). A total length beyond `end` is no fault here: that is a
 * capture cut by its snaplen. A total length of 0 is none either: packets captured before segmentation offload have it.
 * Voided by `setIpv4HeaderLen`.
 */
export function checkIpv4(view: DataView, ip: number, end: number): WireStatus {
  if (end - ip < IPV4_MIN_HEADER_LEN) return Wire.Truncated;
  const first = view.getUint8(ip + VERSION_IHL);
  if (first >>> 4 !== 4) return Wire.BadVersion;
  const headerLen = (first & 15) << 2;
  if (headerLen < IPV4_MIN_HEADER_LEN) return Wire.BadLength;
  const totalLen = view.getUint16(ip + TOTAL_LEN);
  if (totalLen < headerLen && totalLen !== 0) return Wire.BadLength;
  return end - ip < headerLen ? Wire.Truncated : Wire.Ok;
}

export function ipv4HeaderLen(view: DataView, ip: number): number {
  return (view.getUint8(ip + VERSION_IHL) & 15) << 2;
}

/** Type of service: DSCP and ECN. */
export function ipv4Tos(view: DataView, ip: number): number {
  return view.getUint8(ip + TOS);
}

/** Header and payload in bytes; 0 in packets captured before segmentation offload. */
export function ipv4TotalLen(view: DataView, ip: number): number {
  return view.getUint16(ip + TOTAL_LEN);
}

export function ipv4Id(view: DataView, ip: number): number {
  return view.getUint16(ip + ID);
}

export function ipv4DontFragment(view: DataView, ip: number): boolean {
  return (view.getUint16(ip + FLAGS_OFFSET) & IPV4_DONT_FRAGMENT) !== 0;
}

export function ipv4MoreFragments(view: DataView, ip: number): boolean {
  return (view.getUint16(ip + FLAGS_OFFSET) & IPV4_MORE_FRAGMENTS) !== 0;
}

/** Fragment offset in bytes. */
export function ipv4FragmentOffset(view: DataView, ip: number): number {
  return (view.getUint16(ip + FLAGS_OFFSET) & OFFSET_MASK) << 3;
}

/** More-fragments bit and offset in one number: 0 = not a fragment. */
export function ipv4FragmentBits(view: DataView, ip: number): number {
  return view.getUint16(ip + FLAGS_OFFSET) & (IPV4_MORE_FRAGMENTS | OFFSET_MASK);
}

export function ipv4Ttl(view: DataView, ip: number): number {
  return view.getUint8(ip + TTL);
}

export function ipv4Protocol(view: DataView, ip: number): number {
  return view.getUint8(ip + PROTOCOL);
}

export function ipv4Checksum(view: DataView, ip: number): number {
  return view.getUint16(ip + CHECKSUM);
}

/** Offset of the checksum field. */
export function ipv4ChecksumAt(ip: number): number {
  return ip + CHECKSUM;
}

export function ipv4Src(view: DataView, ip: number): number {
  return view.getUint32(ip + SRC);
}

export function ipv4Dst(view: DataView, ip: number): number {
  return view.getUint32(ip + DST);
}

/** Offset of the source address. */
export function ipv4SrcAt(ip: number): number {
  return ip + SRC;
}

/** Offset of the destination address. */
export function ipv4DstAt(ip: number): number {
  return ip + DST;
}

/** 224.0.0.0/4. */
export function isIpv4Multicast(address: number): boolean {
  return address >>> 28 === 14;
}

/** True when the header checksum is right. Precondition: `checkIpv4` said Ok. */
export function isIpv4ChecksumTrue(view: DataView, ip: number): boolean {
  return checksum(view, ip, ip + ipv4HeaderLen(view, ip)) === 0;
}

/**
 * Offset of the address that the transport's pseudo-header takes as destination: the last one of a source route that
 * is not used up (RFC 1122 section 3.2.1.8), else the header's. Precondition: `checkIpv4` said Ok.
 */
export function ipv4FinalDstAt(view: DataView, ip: number): number {
  const headerEnd = ip + ipv4HeaderLen(view, ip);
  let at = ip + OPTIONS;
  while (at < headerEnd) {
    const kind = view.getUint8(at);
    if (kind === Ipv4Option.End) break;
    if (kind === Ipv4Option.Nop) {
      at += 1;
      continue;
    }
    if (at + 1 >= headerEnd) break;
    const length = view.getUint8(at + 1);
    if (length < 2 || at + length > headerEnd) break;
    if (kind === Ipv4Option.LooseSourceRoute || kind === Ipv4Option.StrictSourceRoute) {
      // The pointer (third byte) counts from 1; behind the last address the route is used up.
      if (length >= 7 && view.getUint8(at + 2) <= length - 3) return at + length - 4;
    }
    at += length;
  }
  return ip + DST;
}

/** Writes version 4 and the header's length (20..60, a multiple of 4). */
export function setIpv4HeaderLen(view: DataView, ip: number, headerLen: number): void {
  view.setUint8(ip + VERSION_IHL, 0x40 | (headerLen >>> 2));
}

export function setIpv4Tos(view: DataView, ip: number, tos: number): void {
  view.setUint8(ip + TOS, tos);
}

export function setIpv4TotalLen(view: DataView, ip: number, totalLen: number): void {
  view.setUint16(ip + TOTAL_LEN, totalLen);
}

export function setIpv4Id(view: DataView, ip: number, id: number): void {
  view.setUint16(ip + ID, id);
}

/** `flags`: `IPV4_DONT_FRAGMENT`, `IPV4_MORE_FRAGMENTS` or 0; `offset` in bytes, a multiple of 8. */
export function setIpv4Fragment(view: DataView, ip: number, flags: number, offset: number): void {
  view.setUint16(ip + FLAGS_OFFSET, flags | (offset >>> 3));
}

export function setIpv4Ttl(view: DataView, ip: number, ttl: number): void {
  view.setUint8(ip + TTL, ttl);
}

export function setIpv4Protocol(view: DataView, ip: number, protocol: number): void {
  view.setUint8(ip + PROTOCOL, protocol);
}

export function setIpv4Checksum(view: DataView, ip: number, sum: number): void {
  view.setUint16(ip + CHECKSUM, sum);
}

export function setIpv4Src(view: DataView, ip: number, address: number): void {
  view.setUint32(ip + SRC, address);
}

export function setIpv4Dst(view: DataView, ip: number, address: number): void {
  view.setUint32(ip + DST, address);
}

/** Computes and writes the header checksum. Precondition: the whole header lies in the view. */
export function fixIpv4Checksum(view: DataView, ip: number): void {
  view.setUint16(ip + CHECKSUM, 0);
  view.setUint16(ip + CHECKSUM, checksum(view, ip, ip + ipv4HeaderLen(view, ip)));
}

/** Rewrites the 16-bit word at `ip + offset` (even) and the header checksum. */
function rewriteWord(view: DataView, ip: number, offset: number, after: number): void {
  const before = view.getUint16(ip + offset);
  view.setUint16(ip + offset, after);
  view.setUint16(ip + CHECKSUM, checksumReplace16(view.getUint16(ip + CHECKSUM), before, after));
}

export function rewriteIpv4Tos(view: DataView, ip: number, tos: number): void {
  rewriteWord(view, ip, VERSION_IHL, (view.getUint8(ip + VERSION_IHL) << 8) | tos);
}

export function rewriteIpv4TotalLen(view: DataView, ip: number, totalLen: number): void {
  rewriteWord(view, ip, TOTAL_LEN, totalLen);
}

export function rewriteIpv4Id(view: DataView, ip: number, id: number): void {
  rewriteWord(view, ip, ID, id);
}

export function rewriteIpv4Fragment(view: DataView, ip: number, flags: number, offset: number): void {
  rewriteWord(view, ip, FLAGS_OFFSET, flags | (offset >>> 3));
}

export function rewriteIpv4Ttl(view: DataView, ip: number, ttl: number): void {
  rewriteWord(view, ip, TTL, (ttl << 8) | view.getUint8(ip + PROTOCOL));
}

/** The transport checksum covers this field too: see `transport.ts`. */
export function rewriteIpv4Src(view: DataView, ip: number, address: number): void {
  const before = view.getUint32(ip + SRC);
  view.setUint32(ip + SRC, address);
  view.setUint16(ip + CHECKSUM, checksumReplace32(view.getUint16(ip + CHECKSUM), before, address));
}

/** The transport checksum covers this field too: see `transport.ts`. */
export function rewriteIpv4Dst(view: DataView, ip: number, address: number): void {
  const before = view.getUint32(ip + DST);
  view.setUint32(ip + DST, address);
  view.setUint16(ip + CHECKSUM, checksumReplace32(view.getUint16(ip + CHECKSUM), before, address));
}
