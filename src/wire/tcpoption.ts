/**
 * HOT: TCP options, RFC 9293 section 3.2: MSS, window scale and timestamps (RFC 7323), SACK (RFC 2018), Fast Open
 * (RFC 7413), MPTCP (RFC 8684). An option is the offset of its kind byte.
 *
 * An option with a length below 2 or beyond the header ends the iteration: it neither loops nor leaves the header.
 */
import { checksumReplace16, checksumReplace16Odd, checksumReplace32, checksumReplace32Odd } from './checksum.ts';
import { Wire, type WireStatus } from './layers.ts';
import { setTcpChecksum, TCP_MIN_HEADER_LEN, tcpChecksum, tcpHeaderLen } from './tcp.ts';

const KIND = 0;
const LENGTH = 1;
const VALUE = 2;
const TIMESTAMP_ECHO = 6;
const SACK_BLOCK_LEN = 8;

export const TcpOption = {
  End: 0,
  Nop: 1,
  Mss: 2,
  WindowScale: 3,
  SackPermitted: 4,
  Sack: 5,
  Timestamps: 8,
  Md5: 19,
  Authentication: 29,
  Mptcp: 30,
  FastOpen: 34,
  Experiment1: 253,
  Experiment2: 254,
} as const;

export const TCP_MSS_OPTION_LEN = 4;
export const TCP_WINDOW_SCALE_OPTION_LEN = 3;
export const TCP_SACK_PERMITTED_OPTION_LEN = 2;
export const TCP_TIMESTAMPS_OPTION_LEN = 10;
/** RFC 7323 section 2.3: a larger shift is taken as 14. */
export const TCP_WINDOW_SCALE_MAX = 14;

/** Ok when every option up to the end of the list has a length that fits. Precondition: `checkTcp` said Ok. */
export function checkTcpOptions(view: DataView, tcp: number): WireStatus {
  const end = tcp + tcpHeaderLen(view, tcp);
  let at = tcp + TCP_MIN_HEADER_LEN;
  while (at < end) {
    const kind = view.getUint8(at + KIND);
    if (kind === TcpOption.End) return Wire.Ok;
    if (kind === TcpOption.Nop) {
      at += 1;
      continue;
    }
    if (at + VALUE > end) return Wire.BadLength;
    const length = view.getUint8(at + LENGTH);
    if (length < VALUE || at + length > end) return Wire.BadLength;
    at += length;
  }
  return Wire.Ok;
}

/** First option that is not a NOP, or -1. Precondition: `checkTcp` said Ok. */
export function firstTcpOption(view: DataView, tcp: number): number {
  return optionFrom(view, tcp + TCP_MIN_HEADER_LEN, tcp + tcpHeaderLen(view, tcp));
}

/** The option behind `option`, or -1. Precondition: `option` came from `firstTcpOption` or this. */
export function nextTcpOption(view: DataView, tcp: number, option: number): number {
  return optionFrom(view, option + view.getUint8(option + LENGTH), tcp + tcpHeaderLen(view, tcp));
}

function optionFrom(view: DataView, from: number, end: number): number {
  let at = from;
  while (at < end && view.getUint8(at + KIND) === TcpOption.Nop) at++;
  if (at + VALUE > end || view.getUint8(at + KIND) === TcpOption.End) return -1;
  const length = view.getUint8(at + LENGTH);
  return length < VALUE || at + length > end ? -1 : at;
}

/**
 * First option of a kind whose length is right for it, or -1. After a found option its accessors stay inside the
 * header. Precondition: `checkTcp` said Ok.
 */
export function findTcpOption(view: DataView, tcp: number, kind: number): number {
  const end = tcp + tcpHeaderLen(view, tcp);
  let at = optionFrom(view, tcp + TCP_MIN_HEADER_LEN, end);
  while (at >= 0) {
    if (view.getUint8(at + KIND) === kind && isLengthRight(kind, view.getUint8(at + LENGTH))) return at;
    at = optionFrom(view, at + view.getUint8(at + LENGTH), end);
  }
  return -1;
}

function isLengthRight(kind: number, length: number): boolean {
  switch (kind) {
    case TcpOption.Mss:
      return length === TCP_MSS_OPTION_LEN;
    case TcpOption.WindowScale:
      return length === TCP_WINDOW_SCALE_OPTION_LEN;
    case TcpOption.SackPermitted:
      return length === TCP_SACK_PERMITTED_OPTION_LEN;
    case TcpOption.Sack:
      return length >= VALUE + SACK_BLOCK_LEN && (length - VALUE) % SACK_BLOCK_LEN === 0;
    case TcpOption.Timestamps:
      return length === TCP_TIMESTAMPS_OPTION_LEN;
    case TcpOption.Mptcp:
      return length > VALUE;
    default:
      return true;
  }
}

export function tcpOptionKind(view: DataView, option: number): number {
  return view.getUint8(option + KIND);
}

/** Bytes of the option, kind and length included. */
export function tcpOptionLen(view: DataView, option: number): number {
  return view.getUint8(option + LENGTH);
}

/** Offset of the option's value: the Fast Open cookie, the experiment's identifier. */
export function tcpOptionValueAt(option: number): number {
  return option + VALUE;
}

/** Maximum segment size in bytes. */
export function tcpMss(view: DataView, option: number): number {
  return view.getUint16(option + VALUE);
}

/** Shift count as it stands; above `TCP_WINDOW_SCALE_MAX` it is to be taken as that. */
export function tcpWindowScale(view: DataView, option: number): number {
  return view.getUint8(option + VALUE);
}

export function tcpTimestampValue(view: DataView, option: number): number {
  return view.getUint32(option + VALUE);
}

export function tcpTimestampEcho(view: DataView, option: number): number {
  return view.getUint32(option + TIMESTAMP_ECHO);
}

/** Number of blocks of a SACK option, 1..4. */
export function tcpSackBlocks(view: DataView, option: number): number {
  return (view.getUint8(option + LENGTH) - VALUE) >>> 3;
}

/** First sequence number of block 0..n-1. */
export function tcpSackLeft(view: DataView, option: number, block: number): number {
  return view.getUint32(option + VALUE + SACK_BLOCK_LEN * block);
}

/** Sequence number behind block 0..n-1. */
export function tcpSackRight(view: DataView, option: number, block: number): number {
  return view.getUint32(option + VALUE + SACK_BLOCK_LEN * block + 4);
}

/** Bytes of the Fast Open cookie; 0 asks for one. */
export function tcpFastOpenCookieLen(view: DataView, option: number): number {
  return view.getUint8(option + LENGTH) - VALUE;
}

/** MPTCP subtype: 0 MP_CAPABLE, 1 MP_JOIN, 2 DSS, 3 ADD_ADDR, … (RFC 8684 section 8.1). */
export function tcpMptcpSubtype(view: DataView, option: number): number {
  return view.getUint8(option + VALUE) >>> 4;
}

/** Writes kind and length. */
export function setTcpOption(view: DataView, option: number, kind: number, length: number): void {
  view.setUint8(option + KIND, kind);
  view.setUint8(option + LENGTH, length);
}

/** Writes a whole MSS option, 4 bytes. */
export function setTcpMss(view: DataView, option: number, mss: number): void {
  setTcpOption(view, option, TcpOption.Mss, TCP_MSS_OPTION_LEN);
  view.setUint16(option + VALUE, mss);
}

/** Writes a whole window scale option, 3 bytes. */
export function setTcpWindowScale(view: DataView, option: number, shift: number): void {
  setTcpOption(view, option, TcpOption.WindowScale, TCP_WINDOW_SCALE_OPTION_LEN);
  view.setUint8(option + VALUE, shift);
}

/** Writes a whole timestamps option, 10 bytes. */
export function setTcpTimestamps(view: DataView, option: number, value: number, echo: number): void {
  setTcpOption(view, option, TcpOption.Timestamps, TCP_TIMESTAMPS_OPTION_LEN);
  view.setUint32(option + VALUE, value);
  view.setUint32(option + TIMESTAMP_ECHO, echo);
}

/** Writes a block of a SACK option. */
export function setTcpSackBlock(view: DataView, option: number, block: number, left: number, right: number): void {
  view.setUint32(option + VALUE + SACK_BLOCK_LEN * block, left);
  view.setUint32(option + VALUE + SACK_BLOCK_LEN * block + 4, right);
}

/** Rewrites 32 bits of an option and the TCP checksum; options may begin at odd offsets. */
function rewriteLong(view: DataView, tcp: number, at: number, after: number): void {
  const before = view.getUint32(at);
  view.setUint32(at, after);
  const sum = tcpChecksum(view, tcp);
  const even = ((at - tcp) & 1) === 0;
  setTcpChecksum(view, tcp, even ? checksumReplace32(sum, before, after) : checksumReplace32Odd(sum, before, after));
}

export function rewriteTcpMss(view: DataView, tcp: number, option: number, mss: number): void {
  const at = option + VALUE;
  const before = view.getUint16(at);
  view.setUint16(at, mss);
  const sum = tcpChecksum(view, tcp);
  const even = ((at - tcp) & 1) === 0;
  setTcpChecksum(view, tcp, even ? checksumReplace16(sum, before, mss) : checksumReplace16Odd(sum, before, mss));
}

export function rewriteTcpTimestampValue(view: DataView, tcp: number, option: number, value: number): void {
  rewriteLong(view, tcp, option + VALUE, value);
}

export function rewriteTcpTimestampEcho(view: DataView, tcp: number, option: number, echo: number): void {
  rewriteLong(view, tcp, option + TIMESTAMP_ECHO, echo);
}

/** Rewrites a block of a SACK option. */
export function rewriteTcpSackBlock(
  view: DataView,
  tcp: number,
  option: number,
  block: number,
  left: number,
  right: number,
): void {
  rewriteLong(view, tcp, option + VALUE + SACK_BLOCK_LEN * block, left);
  rewriteLong(view, tcp, option + VALUE + SACK_BLOCK_LEN * block + 4, right);
}
