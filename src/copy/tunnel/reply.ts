/**
 * HOT: the header of one reply of the target, as it travels through the tunnel. Big-endian; 40 bytes over IPv4 without
 * SACK blocks, 64 over IPv6:
 *
 * ```
 *  0 u8  family (4, 6)      4 u16 client port     12 u32 acknowledgment    24 u32 TSval
 *  1 u8  TCP flags          6 u16 service port    16 u16 window            28 u32 TSecr
 *  2 u8  bits, SACK blocks  8 u32 sequence        18 u16 MSS (0 = none)    32 client, service address (4 or 16 each)
 *  3 u8  window scale                             20 u32 payload bytes     .. SACK blocks, left and right edge
 * ```
 * Window and window scale stand as in the header; the payload's length comes from the IP header (a packet that is yet
 * to be segmented counts whole), as nobody needs the payload itself.
 */
import { ipv4HeaderLen, ipv4TotalLen } from '../../wire/ipv4.ts';
import { ipv6DstWord, ipv6PayloadLen, ipv6SrcWord } from '../../wire/ipv6.ts';
import { Fragment, type Layers } from '../../wire/layers.ts';
import { IpProtocol } from '../../wire/protocol.ts';
import { checkTcp, tcpAck, tcpDstPort, tcpFlags, tcpHeaderLen, tcpSeq, tcpSrcPort, tcpWindow } from '../../wire/tcp.ts';
import {
  firstTcpOption,
  nextTcpOption,
  TcpOption,
  tcpMss,
  tcpOptionKind,
  tcpOptionLen,
  tcpTimestampEcho,
  tcpTimestampValue,
  tcpWindowScale,
} from '../../wire/tcpoption.ts';
import { KEY_CLIENT, KEY_PORTS, KEY_SERVICE, KEY_WORDS, setKeyPorts, setKeyV4 } from './session_key.ts';

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
const TSECR = 28;
const FIXED = 32;

const HAS_WSCALE = 1;
const SACK_PERMITTED = 2;
const HAS_TIMESTAMPS = 4;
const SACK_SHIFT = 4;
export const SACK_BLOCKS_MAX = 4;
const SACK_BLOCK = 8;

export const REPLY_BYTES_MIN: number = FIXED + 8;
export const REPLY_BYTES_MAX: number = FIXED + 32 + SACK_BLOCKS_MAX * SACK_BLOCK;

/** One reply header, decoded. Made once, filled again and again. */
export class Reply {
  /** 4 or 6. */
  family = 0;
  /** Flags of `TcpFlag`. */
  flags = 0;
  seq = 0;
  ack = 0;
  /** As in the header, unscaled. */
  window = 0;
  payloadBytes = 0;
  /** 0 = no such option. */
  mss = 0;
  /** -1 = no such option. */
  windowScale = -1;
  sackPermitted = false;
  hasTimestamps = false;
  tsVal = 0;
  tsEcr = 0;
  sackBlocks = 0;
  /** Left and right edge of each block. */
  readonly sack: Uint32Array = new Uint32Array(2 * SACK_BLOCKS_MAX);
  /** Session, see `session_key.ts`. */
  readonly key: Int32Array = new Int32Array(KEY_WORDS);

  get clientPort(): number {
    return this.key[KEY_PORTS]! >>> 16;
  }

  get servicePort(): number {
    return this.key[KEY_PORTS]! & 0xffff;
  }
}

/**
 * Writes the record of a decoded frame at `to`. `len`: the frame's bytes on the wire. Returns the record's bytes, or 0:
 * no whole TCP header. Precondition: REPLY_BYTES_MAX bytes are free at `to`.
 */
export function encodeReply(
  frame: DataView,
  layers: Layers,
  at: number,
  caplen: number,
  len: number,
  out: DataView,
  to: number,
): number {
  const tcp = layers.l4;
  if (tcp < 0 || layers.l4Protocol !== IpProtocol.Tcp || layers.fragment === Fragment.Later) return 0;
  if (checkTcp(frame, tcp, at + caplen) !== 0) return 0;
  const isV4 = layers.ipVersion === 4;
  out.setUint8(to + FAMILY, isV4 ? 4 : 6);
  out.setUint8(to + FLAGS, tcpFlags(frame, tcp));
  out.setUint16(to + CLIENT_PORT, tcpDstPort(frame, tcp));
  out.setUint16(to + SERVICE_PORT, tcpSrcPort(frame, tcp));
  out.setUint32(to + SEQ, tcpSeq(frame, tcp));
  out.setUint32(to + ACK, tcpAck(frame, tcp));
  out.setUint16(to + WINDOW, tcpWindow(frame, tcp));
  out.setUint32(to + PAYLOAD, payloadBytes(frame, layers, at + len));
  const sackAt = writeAddresses(frame, layers.ip, isV4, out, to + FIXED);
  return writeOptions(frame, tcp, out, to, sackAt) - to;
}

/** Lengths of 0 are those of packets above 64 KiB that are not segmented yet: the frame's end is the packet's then. */
function payloadBytes(frame: DataView, layers: Layers, frameEnd: number): number {
  const { ip, l4 } = layers;
  let end = frameEnd;
  if (layers.ipVersion === 4) {
    const total = ipv4TotalLen(frame, ip);
    if (total !== 0) end = ip + total;
    if (total !== 0 && total < ipv4HeaderLen(frame, ip)) return 0;
  } else {
    const payload = ipv6PayloadLen(frame, ip);
    if (payload !== 0) end = ip + 40 + payload;
  }
  const bytes = end - l4 - tcpHeaderLen(frame, l4);
  return Math.max(bytes, 0);
}

/** The client is where a reply goes. Returns the offset behind the addresses. */
function writeAddresses(frame: DataView, ip: number, isV4: boolean, out: DataView, at: number): number {
  if (isV4) {
    out.setUint32(at, frame.getUint32(ip + 16));
    out.setUint32(at + 4, frame.getUint32(ip + 12));
    return at + 8;
  }
  for (let i = 0; i < 4; i++) {
    out.setUint32(at + 4 * i, ipv6DstWord(frame, ip, i));
    out.setUint32(at + 16 + 4 * i, ipv6SrcWord(frame, ip, i));
  }
  return at + 32;
}

/** Returns the end of the record. */
function writeOptions(frame: DataView, tcp: number, out: DataView, to: number, sackAt: number): number {
  let bits = 0;
  let windowScale = 0;
  let mss = 0;
  let tsVal = 0;
  let tsEcr = 0;
  let blocks = 0;
  for (let option = firstTcpOption(frame, tcp); option >= 0; option = nextTcpOption(frame, tcp, option)) {
    const kind = tcpOptionKind(frame, option);
    const length = tcpOptionLen(frame, option);
    if (kind === TcpOption.Mss && length === 4) mss = tcpMss(frame, option);
    else if (kind === TcpOption.WindowScale && length === 3) {
      bits |= HAS_WSCALE;
      windowScale = tcpWindowScale(frame, option);
    } else if (kind === TcpOption.SackPermitted && length === 2) bits |= SACK_PERMITTED;
    else if (kind === TcpOption.Timestamps && length === 10) {
      bits |= HAS_TIMESTAMPS;
      tsVal = tcpTimestampValue(frame, option);
      tsEcr = tcpTimestampEcho(frame, option);
    } else if (kind === TcpOption.Sack && length > 2 && (length - 2) % SACK_BLOCK === 0) {
      blocks = Math.min(SACK_BLOCKS_MAX, (length - 2) / SACK_BLOCK);
      for (let i = 0; i < 2 * blocks; i++) out.setUint32(sackAt + 4 * i, frame.getUint32(option + 2 + 4 * i));
    }
  }
  out.setUint8(to + BITS, bits | (blocks << SACK_SHIFT));
  out.setUint8(to + WSCALE, windowScale);
  out.setUint16(to + MSS, mss);
  out.setUint32(to + TSVAL, tsVal);
  out.setUint32(to + TSECR, tsEcr);
  return sackAt + blocks * SACK_BLOCK;
}

/** Bytes of the record at `at`, or 0: it is none, or does not end before `end`. */
export function replyBytes(view: DataView, at: number, end: number): number {
  if (end - at < REPLY_BYTES_MIN) return 0;
  const family = view.getUint8(at + FAMILY);
  const blocks = view.getUint8(at + BITS) >>> SACK_SHIFT;
  if ((family !== 4 && family !== 6) || blocks > SACK_BLOCKS_MAX) return 0;
  const bytes = FIXED + (family === 4 ? 8 : 32) + blocks * SACK_BLOCK;
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
export function decodeReply(view: DataView, at: number, end: number, out: Reply): number {
  const bytes = replyBytes(view, at, end);
  if (bytes === 0) return 0;
  const bits = view.getUint8(at + BITS);
  out.family = view.getUint8(at + FAMILY);
  out.flags = view.getUint8(at + FLAGS);
  out.seq = view.getUint32(at + SEQ);
  out.ack = view.getUint32(at + ACK);
  out.window = view.getUint16(at + WINDOW);
  out.payloadBytes = view.getUint32(at + PAYLOAD);
  out.mss = view.getUint16(at + MSS);
  out.windowScale = (bits & HAS_WSCALE) === 0 ? -1 : view.getUint8(at + WSCALE);
  out.sackPermitted = (bits & SACK_PERMITTED) !== 0;
  out.hasTimestamps = (bits & HAS_TIMESTAMPS) !== 0;
  out.tsVal = view.getUint32(at + TSVAL);
  out.tsEcr = view.getUint32(at + TSECR);
  out.sackBlocks = bits >>> SACK_SHIFT;
  const sackAt = at + bytes - out.sackBlocks * SACK_BLOCK;
  for (let i = 0; i < 2 * out.sackBlocks; i++) out.sack[i] = view.getUint32(sackAt + 4 * i);
  replyKey(view, at, out.key);
  return bytes;
}
