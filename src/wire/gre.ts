/** GRE, RFC 2784 and RFC 2890 (key, sequence); version 1 of PPTP, RFC 2637 section 4.1. */
import { Wire, type WireStatus } from './layers.ts';

const FLAGS_VERSION = 0;
const PROTOCOL = 2;
const OPTIONAL = 4;
export const GRE_MIN_LEN = 4;

export const GreFlag = { Checksum: 0x8000, Routing: 0x4000, Key: 0x2000, Sequence: 0x1000, Ack: 0x0080 } as const;
const VERSION_MASK = 7;

/**
 * After `Wire.Ok` no gre* accessor reads outside [gre, end). Source routing (RFC 1701, obsolete) is Unsupported: its
 * length is in a list.
 */
export function checkGre(view: DataView, gre: number, end: number): WireStatus {
  if (end - gre < GRE_MIN_LEN) return Wire.Truncated;
  const flags = view.getUint16(gre + FLAGS_VERSION);
  if ((flags & VERSION_MASK) > 1) return Wire.BadVersion;
  if ((flags & GreFlag.Routing) !== 0) return Wire.Unsupported;
  return end - gre < greHeaderLen(view, gre) ? Wire.Truncated : Wire.Ok;
}

export function greFlags(view: DataView, gre: number): number {
  return view.getUint16(gre + FLAGS_VERSION);
}

export function greVersion(view: DataView, gre: number): number {
  return view.getUint16(gre + FLAGS_VERSION) & VERSION_MASK;
}

/** EtherType of what follows. */
export function greProtocol(view: DataView, gre: number): number {
  return view.getUint16(gre + PROTOCOL);
}

export function greHeaderLen(view: DataView, gre: number): number {
  const flags = view.getUint16(gre + FLAGS_VERSION);
  let length = GRE_MIN_LEN;
  if ((flags & GreFlag.Checksum) !== 0) length += 4;
  if ((flags & GreFlag.Key) !== 0) length += 4;
  if ((flags & GreFlag.Sequence) !== 0) length += 4;
  if ((flags & VERSION_MASK) === 1 && (flags & GreFlag.Ack) !== 0) length += 4;
  return length;
}

/** Offset of the checksum over GRE header and payload, or -1. */
export function greChecksumAt(view: DataView, gre: number): number {
  return (view.getUint16(gre + FLAGS_VERSION) & (GreFlag.Checksum | VERSION_MASK)) === GreFlag.Checksum
    ? gre + OPTIONAL
    : -1;
}

/** Offset of the four-byte key, or -1. */
export function greKeyAt(view: DataView, gre: number): number {
  const flags = view.getUint16(gre + FLAGS_VERSION);
  if ((flags & GreFlag.Key) === 0) return -1;
  return gre + OPTIONAL + ((flags & GreFlag.Checksum) !== 0 ? 4 : 0);
}

/** Offset of the four-byte sequence number, or -1. */
export function greSequenceAt(view: DataView, gre: number): number {
  const flags = view.getUint16(gre + FLAGS_VERSION);
  if ((flags & GreFlag.Sequence) === 0) return -1;
  return gre + OPTIONAL + ((flags & GreFlag.Checksum) !== 0 ? 4 : 0) + ((flags & GreFlag.Key) !== 0 ? 4 : 0);
}

/** Writes flags with version, and protocol. */
export function setGre(view: DataView, gre: number, flags: number, protocol: number): void {
  view.setUint16(gre + FLAGS_VERSION, flags);
  view.setUint16(gre + PROTOCOL, protocol);
}
