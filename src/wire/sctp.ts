/** SCTP common header, RFC 9260 section 3.1. Its checksum is a CRC32c over the whole packet, without pseudo-header. */
import { crc32c } from './crc32c.ts';
import { Wire, type WireStatus } from './layers.ts';

const SRC_PORT = 0;
const DST_PORT = 2;
const TAG = 4;
const CHECKSUM = 8;
export const SCTP_HEADER_LEN = 12;
/** What the checksum field counts as. */
const ZEROS: DataView = new DataView(new ArrayBuffer(4));

/** After `Wire.Ok` no sctp* accessor reads outside [sctp, end). */
export function checkSctp(_view: DataView, sctp: number, end: number): WireStatus {
  return end - sctp < SCTP_HEADER_LEN ? Wire.Truncated : Wire.Ok;
}

export function sctpSrcPort(view: DataView, sctp: number): number {
  return view.getUint16(sctp + SRC_PORT);
}

export function sctpDstPort(view: DataView, sctp: number): number {
  return view.getUint16(sctp + DST_PORT);
}

export function sctpTag(view: DataView, sctp: number): number {
  return view.getUint32(sctp + TAG);
}

/** The CRC as a number; on the wire its least significant byte is first (RFC 9260 appendix A). */
export function sctpChecksum(view: DataView, sctp: number): number {
  return view.getUint32(sctp + CHECKSUM, true);
}

/** CRC32c of [sctp, end) with the field taken as zero; the packet is not touched. */
export function computeSctpChecksum(view: DataView, sctp: number, end: number): number {
  const before = crc32c(view, sctp, sctp + CHECKSUM);
  return crc32c(view, sctp + SCTP_HEADER_LEN, end, crc32c(ZEROS, 0, ZEROS.byteLength, before));
}

export function setSctpSrcPort(view: DataView, sctp: number, port: number): void {
  view.setUint16(sctp + SRC_PORT, port);
}

export function setSctpDstPort(view: DataView, sctp: number, port: number): void {
  view.setUint16(sctp + DST_PORT, port);
}

export function setSctpTag(view: DataView, sctp: number, tag: number): void {
  view.setUint32(sctp + TAG, tag);
}

export function setSctpChecksum(view: DataView, sctp: number, crc: number): void {
  view.setUint32(sctp + CHECKSUM, crc, true);
}
