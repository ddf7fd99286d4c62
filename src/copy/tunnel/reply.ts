/**
 * HOT: the header of one reply of the target, as it travels through the tunnel. Big-endian; 36 bytes over IPv4 without
 * SACK blocks, 60 over IPv6; 8 more where somebody compares replies. Budget 60 ns to write, 40 ns to read.
 *
 * ```
 *  0 u8  family (4, 6)            4 u16 client port     12 u32 acknowledgment    24 u32 TSval
 *  1 u8  TCP flags                6 u16 service port    16 u16 window            28 client address (4 or 16)
 *  2 u8  bits, SACK blocks << 4   8 u32 sequence        18 u16 MSS (0 = none)    .. service address
 *  3 u8  window scale                                   20 u32 payload bytes     .. SACK blocks: left, right edge
 *                                                                                .. head: u16 HTTP status, u16 0,
 *                                                                                   u32 age in µs
 * ```
 * Window and window scale stand as in the header; the payload's length comes from the IP header (a packet that is yet
 * to be segmented counts whole), as nobody needs the payload itself.
 */

import type { Layers } from '../../wire/layers.ts';
import { tcpHeaderLen } from '../../wire/tcp.ts';
import { Header, readTargetPacket, type TargetHeader } from '../target_header.ts';
import { KEY_CLIENT, KEY_SERVICE, setKeyPorts, setKeyV4 } from './session_key.ts';

const FAMILY = 0;
const FLAGS = 1;
const BITS = 2;
const WSCALE = 3;
const CLIENT_PORT = 4;
const SERVICE_PORT = 6;
const SEQ = 8;
const ACK = 12;
const WINDOW = 16;
const MSS = 18;
const PAYLOAD = 20;
const TSVAL = 24;
const FIXED = 28;

const HAS_WSCALE = 1;
const SACK_PERMITTED = 2;
const HAS_TIMESTAMPS = 4;
const HAS_HEAD = 8;
const SACK_SHIFT = 4;
const SACK_BLOCKS_MAX = 4;
const SACK_BLOCK = 8;
const HEAD_BYTES = 8;

export const REPLY_BYTES_MIN: number = FIXED + 8;
export const REPLY_BYTES_MAX: number = FIXED + 32 + SACK_BLOCKS_MAX * SACK_BLOCK + HEAD_BYTES;

/**
 * Reads a decoded frame of which only the headers were captured; `frameEnd`: where it ended on the wire. False: it has
 * no whole TCP header.
 */
export function readReply(frame: DataView, layers: Layers, frameEnd: number, out: TargetHeader): boolean {
  if (!readTargetPacket(frame, layers, out)) return false;
  if (!layers.ipLengthZero) return true;
  // Above 64 KiB and not segmented yet: the frame's end is the packet's.
  const bytes = frameEnd - layers.l4 - tcpHeaderLen(frame, layers.l4);
  out.cells[Header.PayloadBytes] = bytes;
  return bytes >= 0;
}

/**
 * Writes a record at `at`; returns its bytes. `withHead`: with status and age, where it has data. Precondition:
 * REPLY_BYTES_MAX bytes are free.
 */
export function writeReply(from: TargetHeader, out: DataView, at: number, withHead: boolean = false): number {
  const cells = from.cells;
  const isV4 = cells[Header.IsIpv6] === 0;
  const words = isV4 ? 1 : 4;
  const blocks = cells[Header.SackBlocks]!;
  const shift = cells[Header.Shift]!;
  let bits = blocks << SACK_SHIFT;
  if (shift >= 0) bits |= HAS_WSCALE;
  if (cells[Header.SackPermitted] !== 0) bits |= SACK_PERMITTED;
  if (cells[Header.HasTimestamps] !== 0) bits |= HAS_TIMESTAMPS;
  const hasHead = withHead && cells[Header.PayloadBytes]! > 0;
  if (hasHead) bits |= HAS_HEAD;
  out.setUint8(at + FAMILY, isV4 ? 4 : 6);
  out.setUint8(at + FLAGS, cells[Header.Flags]!);
  out.setUint8(at + BITS, bits);
  out.setUint8(at + WSCALE, Math.max(shift, 0));
  out.setUint16(at + CLIENT_PORT, cells[Header.ClientPort]!);
  out.setUint16(at + SERVICE_PORT, cells[Header.TargetPort]!);
  out.setInt32(at + SEQ, cells[Header.Seq]!);
  out.setInt32(at + ACK, cells[Header.Ack]!);
  out.setUint16(at + WINDOW, cells[Header.Window]!);
  out.setUint16(at + MSS, cells[Header.Mss]!);
  out.setInt32(at + PAYLOAD, cells[Header.PayloadBytes]!);
  out.setInt32(at + TSVAL, cells[Header.TsValue]!);
  let to = at + FIXED;
  for (let word = 0; word < words; word++, to += 4) out.setInt32(to, cells[Header.Client0 + word]!);
  for (let word = 0; word < words; word++, to += 4) out.setInt32(to, cells[Header.Target0 + word]!);
  for (let edge = 0; edge < 2 * blocks; edge++, to += 4) out.setInt32(to, cells[Header.Sack0 + edge]!);
  if (!hasHead) return to - at;
  out.setUint32(to, cells[Header.Status]! << 16);
  out.setInt32(to + 4, cells[Header.AgeUs]!);
  return to + HEAD_BYTES - at;
}

/** Bytes of the record at `at`, or 0: it is none, or does not end before `end`. */
export function replyBytes(view: DataView, at: number, end: number): number {
  if (end - at < REPLY_BYTES_MIN) return 0;
  const family = view.getUint8(at + FAMILY);
  const blocks = view.getUint8(at + BITS) >>> SACK_SHIFT;
  if ((family !== 4 && family !== 6) || blocks > SACK_BLOCKS_MAX || view.getInt32(at + PAYLOAD) < 0) return 0;
  const headBytes = (view.getUint8(at + BITS) & HAS_HEAD) === 0 ? 0 : HEAD_BYTES;
  const bytes = FIXED + (family === 4 ? 8 : 32) + blocks * SACK_BLOCK + headBytes;
  return at + bytes <= end ? bytes : 0;
}

/** The session of a record. Precondition: `replyBytes` said that it is whole. */
export function replyKey(view: DataView, at: number, key: Int32Array): void {
  setKeyPorts(key, view.getUint16(at + CLIENT_PORT), view.getUint16(at + SERVICE_PORT));
  if (view.getUint8(at + FAMILY) === 4) {
    setKeyV4(key, KEY_CLIENT, view.getInt32(at + FIXED));
    setKeyV4(key, KEY_SERVICE, view.getInt32(at + FIXED + 4));
    return;
  }
  for (let i = 0; i < 8; i++) key[i] = view.getInt32(at + FIXED + 4 * i);
}

/** Decodes the record at `at` into `out`; returns its bytes, or 0: it is none, or does not end before `end`. */
export function decodeReply(view: DataView, at: number, end: number, out: TargetHeader): number {
  const bytes = replyBytes(view, at, end);
  if (bytes === 0) return 0;
  const cells = out.cells;
  const bits = view.getUint8(at + BITS);
  const words = view.getUint8(at + FAMILY) === 4 ? 1 : 4;
  const blocks = bits >>> SACK_SHIFT;
  cells.fill(0);
  cells[Header.IsIpv6] = words === 1 ? 0 : 1;
  cells[Header.Flags] = view.getUint8(at + FLAGS);
  cells[Header.ClientPort] = view.getUint16(at + CLIENT_PORT);
  cells[Header.TargetPort] = view.getUint16(at + SERVICE_PORT);
  cells[Header.Seq] = view.getInt32(at + SEQ);
  cells[Header.Ack] = view.getInt32(at + ACK);
  cells[Header.Window] = view.getUint16(at + WINDOW);
  cells[Header.Mss] = view.getUint16(at + MSS);
  cells[Header.PayloadBytes] = view.getInt32(at + PAYLOAD);
  cells[Header.Shift] = (bits & HAS_WSCALE) === 0 ? -1 : view.getUint8(at + WSCALE);
  cells[Header.SackPermitted] = (bits & SACK_PERMITTED) === 0 ? 0 : 1;
  cells[Header.HasTimestamps] = (bits & HAS_TIMESTAMPS) === 0 ? 0 : 1;
  cells[Header.TsValue] = view.getInt32(at + TSVAL);
  cells[Header.SackBlocks] = blocks;
  let from = at + FIXED;
  for (let word = 0; word < words; word++, from += 4) cells[Header.Client0 + word] = view.getInt32(from);
  for (let word = 0; word < words; word++, from += 4) cells[Header.Target0 + word] = view.getInt32(from);
  for (let edge = 0; edge < 2 * blocks; edge++, from += 4) cells[Header.Sack0 + edge] = view.getInt32(from);
  if ((bits & HAS_HEAD) === 0) return bytes;
  cells[Header.Status] = view.getUint16(from);
  cells[Header.AgeUs] = view.getInt32(from + 4);
  return bytes;
}

/** The key under which a header's session is registered. */
export function keyOfHeader(header: TargetHeader, key: Int32Array): void {
  const cells = header.cells;
  setKeyPorts(key, cells[Header.ClientPort]!, cells[Header.TargetPort]!);
  if (cells[Header.IsIpv6] === 0) {
    setKeyV4(key, KEY_CLIENT, cells[Header.Client0]!);
    setKeyV4(key, KEY_SERVICE, cells[Header.Target0]!);
    return;
  }
  for (let word = 0; word < 4; word++) {
    key[KEY_CLIENT + word] = cells[Header.Client0 + word]!;
    key[KEY_SERVICE + word] = cells[Header.Target0 + word]!;
  }
}
