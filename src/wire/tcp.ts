/**
 * HOT: TCP header, RFC 9293 section 3.1. Accessors are unchecked: call `checkTcp` once per packet. Options are in
 * `tcpoption.ts`. `rewrite*` changes a field and keeps the checksum true.
 */
import { checksumReplace16, checksumReplace32 } from './checksum.ts';
import { Wire, type WireStatus } from './layers.ts';

const SRC_PORT = 0;
const DST_PORT = 2;
const SEQ = 4;
const ACK = 8;
const OFFSET_FLAGS = 12;
const FLAGS = 13;
const WINDOW = 14;
const CHECKSUM = 16;
const URGENT = 18;
export const TCP_MIN_HEADER_LEN = 20;
export const TCP_MAX_HEADER_LEN = 60;

export const TcpFlag = { Fin: 1, Syn: 2, Rst: 4, Psh: 8, Ack: 16, Urg: 32, Ece: 64, Cwr: 128 } as const;

/** After `Wire.Ok` no tcp* accessor reads outside [tcp, end). Voided by `setTcpHeaderLen`. */
export function checkTcp(view: DataView, tcp: number, end: number): WireStatus {
  if (end - tcp < TCP_MIN_HEADER_LEN) return Wire.Truncated;
  const headerLen = tcpHeaderLen(view, tcp);
  if (headerLen < TCP_MIN_HEADER_LEN) return Wire.BadLength;
  return end - tcp < headerLen ? Wire.Truncated : Wire.Ok;
}

export function tcpSrcPort(view: DataView, tcp: number): number {
  return view.getUint16(tcp + SRC_PORT);
}

export function tcpDstPort(view: DataView, tcp: number): number {
  return view.getUint16(tcp + DST_PORT);
}

export function tcpSeq(view: DataView, tcp: number): number {
  return view.getUint32(tcp + SEQ);
}

export function tcpAck(view: DataView, tcp: number): number {
  return view.getUint32(tcp + ACK);
}

/** Bytes of header and options. */
export function tcpHeaderLen(view: DataView, tcp: number): number {
  return (view.getUint8(tcp + OFFSET_FLAGS) >>> 4) << 2;
}

/** The eight flags of `TcpFlag`. */
export function tcpFlags(view: DataView, tcp: number): number {
  return view.getUint8(tcp + FLAGS);
}

/** The window as it stands: to be shifted by the window scale agreed on in the SYNs. */
export function tcpWindow(view: DataView, tcp: number): number {
  return view.getUint16(tcp + WINDOW);
}

export function tcpChecksum(view: DataView, tcp: number): number {
  return view.getUint16(tcp + CHECKSUM);
}

/** Offset of the checksum field. */
export function tcpChecksumAt(tcp: number): number {
  return tcp + CHECKSUM;
}

export function tcpUrgent(view: DataView, tcp: number): number {
  return view.getUint16(tcp + URGENT);
}

/** Sequence numbers that the segment takes: payload plus one each for SYN and FIN. `end`: the IP packet's end. */
export function tcpSegmentLen(view: DataView, tcp: number, end: number): number {
  const flags = view.getUint8(tcp + FLAGS);
  return end - tcp - tcpHeaderLen(view, tcp) + (flags & TcpFlag.Fin) + ((flags & TcpFlag.Syn) >>> 1);
}

export function setTcpSrcPort(view: DataView, tcp: number, port: number): void {
  view.setUint16(tcp + SRC_PORT, port);
}

export function setTcpDstPort(view: DataView, tcp: number, port: number): void {
  view.setUint16(tcp + DST_PORT, port);
}

export function setTcpSeq(view: DataView, tcp: number, seq: number): void {
  view.setUint32(tcp + SEQ, seq);
}

export function setTcpAck(view: DataView, tcp: number, ack: number): void {
  view.setUint32(tcp + ACK, ack);
}

/** Writes the header's length (20..60, a multiple of 4) and clears the reserved bits. */
export function setTcpHeaderLen(view: DataView, tcp: number, headerLen: number): void {
  view.setUint8(tcp + OFFSET_FLAGS, (headerLen >>> 2) << 4);
}

export function setTcpFlags(view: DataView, tcp: number, flags: number): void {
  view.setUint8(tcp + FLAGS, flags);
}

export function setTcpWindow(view: DataView, tcp: number, window: number): void {
  view.setUint16(tcp + WINDOW, window);
}

export function setTcpChecksum(view: DataView, tcp: number, sum: number): void {
  view.setUint16(tcp + CHECKSUM, sum);
}

export function setTcpUrgent(view: DataView, tcp: number, urgent: number): void {
  view.setUint16(tcp + URGENT, urgent);
}

/** Rewrites the 16-bit word at `tcp + offset` (even) and the checksum. */
function rewriteWord(view: DataView, tcp: number, offset: number, after: number): void {
  const before = view.getUint16(tcp + offset);
  view.setUint16(tcp + offset, after);
  view.setUint16(tcp + CHECKSUM, checksumReplace16(view.getUint16(tcp + CHECKSUM), before, after));
}

/** Rewrites the 32-bit value at `tcp + offset` (even) and the checksum. */
function rewriteLong(view: DataView, tcp: number, offset: number, after: number): void {
  const before = view.getUint32(tcp + offset);
  view.setUint32(tcp + offset, after);
  view.setUint16(tcp + CHECKSUM, checksumReplace32(view.getUint16(tcp + CHECKSUM), before, after));
}

export function rewriteTcpSrcPort(view: DataView, tcp: number, port: number): void {
  rewriteWord(view, tcp, SRC_PORT, port);
}

export function rewriteTcpDstPort(view: DataView, tcp: number, port: number): void {
  rewriteWord(view, tcp, DST_PORT, port);
}

export function rewriteTcpSeq(view: DataView, tcp: number, seq: number): void {
  rewriteLong(view, tcp, SEQ, seq);
}

export function rewriteTcpAck(view: DataView, tcp: number, ack: number): void {
  rewriteLong(view, tcp, ACK, ack);
}

export function rewriteTcpFlags(view: DataView, tcp: number, flags: number): void {
  rewriteWord(view, tcp, OFFSET_FLAGS, (view.getUint16(tcp + OFFSET_FLAGS) & 0xff00) | flags);
}

export function rewriteTcpWindow(view: DataView, tcp: number, window: number): void {
  rewriteWord(view, tcp, WINDOW, window);
}
