/**
 * HOT: packets towards a target: built from stored bytes, or a client's packet rewritten where it lies. The destination
 * always comes from the target table, the source from the session's key. Budget 100 ns, and 0.1 ns a byte for sums.
 *
 * Every packet carries our acknowledgement of all that the target has sent, and a window that is always open: nobody
 * reads the replies, so nothing can fill up.
 */
import { copyFrame } from '../device/frame_copy.ts';
import { checksumAdd, checksumFinish, checksumFold } from '../wire/checksum.ts';
import { fixIpv4Checksum, IPV4_DONT_FRAGMENT, IPV4_MIN_HEADER_LEN } from '../wire/ipv4.ts';
import { IPV6_HEADER_LEN } from '../wire/ipv6.ts';
import { IpProtocol } from '../wire/protocol.ts';
import { seqAdd } from '../wire/seq.ts';
import { TCP_MIN_HEADER_LEN, TcpFlag, tcpChecksumAt } from '../wire/tcp.ts';
import { setTcpMss, setTcpOption, setTcpTimestamps, setTcpWindowScale, TcpOption } from '../wire/tcpoption.ts';
import { SumState } from './client_packet.ts';
import { type Core, clearDeadline, clearFlag, hasFlag } from './core.ts';
import { Count } from './counts.ts';
import { Seg, SegFlag } from './segment_pool.ts';
import { CELLS, Cell, SessionFlag, Time } from './session_cells.ts';

/** Packets with less payload are not worth joining. */
const JOIN_BYTES_MIN = 512;
/** The window field of every packet: nothing is ever kept of what the target sends. */
const WINDOW = 0xffff;
const TTL = 64;
const TIMESTAMPS_LEN = 12;
/** Flags of client packets that have a meaning at the target as well; ECN and urgent data are between the old two. */
const KEPT_FLAGS = TcpFlag.Psh | TcpFlag.Ack;

/** Bytes of IP and TCP headers of a session's data segments. */
export function headerBytes(core: Core, s: number): number {
  const flags = core.cells[s * CELLS + Cell.Flags]!;
  const ip = (flags & SessionFlag.Ipv6) !== 0 ? IPV6_HEADER_LEN : IPV4_MIN_HEADER_LEN;
  return ip + TCP_MIN_HEADER_LEN + ((flags & SessionFlag.Timestamps) !== 0 ? TIMESTAMPS_LEN : 0);
}

/** Largest payload of a segment on the path as it is known now. */
export function segmentBytesMax(core: Core, s: number): number {
  const at = s * CELLS;
  const path = core.targets.mtu[core.cells[at + Cell.PortTarget]! & 0xffff]! - headerBytes(core, s);
  return Math.max(1, Math.min(core.cells[at + Cell.SendMss]!, path));
}

/** A segment without payload; false: the emitter has no room. */
export function sendControl(core: Core, s: number, flags: number, seq: number): boolean {
  return sendBytes(core, s, flags, seq, -1, 0, 0);
}

/** RST, without acknowledgement where `ack` is false (RFC 9293 section 3.10.7.3). */
export function sendReset(core: Core, s: number, seq: number, ack: boolean): boolean {
  const isSent = sendBytes(core, s, ack ? TcpFlag.Rst | TcpFlag.Ack : TcpFlag.Rst, seq, -1, 0, 0);
  if (isSent) core.bump(Count.ResetPackets);
  return isSent;
}

/** A pure acknowledgement. */
export function sendAck(core: Core, s: number): boolean {
  const isSent = sendControl(core, s, TcpFlag.Ack, core.cells[s * CELLS + Cell.SndNxt]!);
  if (isSent) core.bump(Count.AckPackets);
  return isSent;
}

/** Bytes [offset, offset + length) of a stored segment (-1: none). */
export function sendBytes(
  core: Core,
  s: number,
  flags: number,
  seq: number,
  seg: number,
  offset: number,
  length: number,
): boolean {
  const header = headerBytes(core, s);
  const at = core.emitter.reserve(header + length);
  if (at < 0) {
    core.bump(Count.SendQueueFull);
    return false;
  }
  const view = core.emitter.region.view;
  const tcp = writeIp(core, s, view, at, header + length);
  writeTcp(core, s, view, tcp, flags, seq);
  if (hasFlag(core, s, SessionFlag.Timestamps)) {
    const cells = s * CELLS;
    setTcpOption(view, tcp + TCP_MIN_HEADER_LEN, TcpOption.Nop, TcpOption.Nop);
    const echo = core.cells[cells + Cell.TsEcho]!;
    setTcpTimestamps(view, tcp + TCP_MIN_HEADER_LEN + 2, core.cells[cells + Cell.TsValue]!, echo);
    view.setUint8(tcp + 12, ((TCP_MIN_HEADER_LEN + TIMESTAMPS_LEN) >>> 2) << 4);
  }
  if (length > 0) {
    copyFrame(core.emitter.region, at + header, core.pool.region, core.pool.bytesAt(seg) + offset, length);
  }
  finish(core, s, view, tcp, at, header + length);
  noteRun(core, s, seq, length);
  return true;
}

/** Takes note of a data packet that more data may join. */
function noteRun(core: Core, s: number, seq: number, length: number): void {
  if (length < JOIN_BYTES_MIN) return;
  core.runSession = s;
  core.runSeq = seqAdd(seq, length) | 0;
  core.runBytes = length;
  core.runAck = core.cells[s * CELLS + Cell.RcvNxt]!;
}

/**
 * Sends bytes of a stored segment with the packet that was handed over last, where they follow its own; false: they
 * want a packet.
 */
export function joinBytes(
  core: Core,
  s: number,
  flags: number,
  seq: number,
  seg: number,
  offset: number,
  length: number,
): boolean {
  if (core.runSession !== s || core.runSeq !== seq || length > core.runBytes) return false;
  const at = s * CELLS;
  if (core.runAck !== core.cells[at + Cell.RcvNxt]) return false;
  const isPush = (flags & TcpFlag.Psh) !== 0;
  const packet = core.packet;
  const isPlaced = seg === core.placeable && offset === 0 && length === packet.payloadBytes;
  const isJoined = isPlaced
    ? core.emitter.join(packet.region, packet.payload, length, isPush, true)
    : core.emitter.join(core.pool.region, core.pool.bytesAt(seg) + offset, length, isPush, false);
  if (!isJoined) return false;
  if (isPlaced) core.bump(Count.PacketsInPlace);
  if (length < core.runBytes) core.runSession = -1;
  core.runSeq = seqAdd(seq, length) | 0;
  core.cells[at + Cell.IpId] = (core.cells[at + Cell.IpId]! + 1) & 0xffff;
  core.bump(Count.PacketsSent);
  noteAcknowledged(core, s);
  return true;
}

/** A SYN with the options that the client offered, rebuilt: Fast Open, MPTCP and unknown ones are left out. */
export function sendSyn(core: Core, s: number): boolean {
  const c = core.cells;
  const cells = s * CELLS;
  const isIpv6 = hasFlag(core, s, SessionFlag.Ipv6);
  const fixed = (isIpv6 ? IPV6_HEADER_LEN : IPV4_MIN_HEADER_LEN) + TCP_MIN_HEADER_LEN;
  const hasTs = hasFlag(core, s, SessionFlag.ClientTimestamps);
  const hasSack = hasFlag(core, s, SessionFlag.ClientSack);
  const shift = c[cells + Cell.ClientShift]!;
  const optionBytes = 4 + (hasTs ? 12 : hasSack ? 4 : 0) + (shift >= 0 ? 4 : 0);
  const at = core.emitter.reserve(fixed + optionBytes);
  if (at < 0) {
    core.bump(Count.SendQueueFull);
    return false;
  }
  const view = core.emitter.region.view;
  const tcp = writeIp(core, s, view, at, fixed + optionBytes);
  writeTcp(core, s, view, tcp, TcpFlag.Syn, c[cells + Cell.Iss]!);
  view.setUint32(tcp + 8, 0);
  view.setUint8(tcp + 12, ((TCP_MIN_HEADER_LEN + optionBytes) >>> 2) << 4);
  let option = tcp + TCP_MIN_HEADER_LEN;
  const path = core.targets.mtu[c[cells + Cell.PortTarget]! & 0xffff]! - fixed;
  setTcpMss(view, option, Math.min(c[cells + Cell.ClientMss]! || path, path));
  option += 4;
  if (hasTs) {
    if (hasSack) setTcpOption(view, option, TcpOption.SackPermitted, 2);
    else setTcpOption(view, option, TcpOption.Nop, TcpOption.Nop);
    setTcpTimestamps(view, option + 2, c[cells + Cell.TsValue]!, 0);
    option += 12;
  } else if (hasSack) {
    setTcpOption(view, option, TcpOption.Nop, TcpOption.Nop);
    setTcpOption(view, option + 2, TcpOption.SackPermitted, 2);
    option += 4;
  }
  if (shift >= 0) {
    view.setUint8(option, TcpOption.Nop);
    setTcpWindowScale(view, option + 1, shift);
  }
  finish(core, s, view, tcp, at, fixed + optionBytes);
  core.bump(Count.SynPackets);
  return true;
}

/** Writes the IP header; returns the TCP header's offset. */
function writeIp(core: Core, s: number, view: DataView, at: number, length: number): number {
  const c = core.cells;
  const cells = s * CELLS;
  const target = (c[cells + Cell.PortTarget]! & 0xffff) * 4;
  const words = core.targets.words;
  if (!hasFlag(core, s, SessionFlag.Ipv6)) {
    view.setUint32(at, 0x45000000 | length);
    const id = (c[cells + Cell.IpId]! + 1) & 0xffff;
    c[cells + Cell.IpId] = id;
    view.setUint32(at + 4, (id << 16) | IPV4_DONT_FRAGMENT);
    view.setUint32(at + 8, (TTL << 24) | (IpProtocol.Tcp << 16));
    view.setUint32(at + 12, c[cells + Cell.Address0]!);
    view.setUint32(at + 16, words[target]!);
    fixIpv4Checksum(view, at);
    return at + IPV4_MIN_HEADER_LEN;
  }
  view.setUint32(at, 0x60000000);
  view.setUint32(at + 4, ((length - IPV6_HEADER_LEN) << 16) | (IpProtocol.Tcp << 8) | TTL);
  for (let word = 0; word < 4; word++) {
    view.setUint32(at + 8 + 4 * word, c[cells + Cell.Address0 + word]!);
    view.setUint32(at + 24 + 4 * word, words[target + word]!);
  }
  return at + IPV6_HEADER_LEN;
}

/** Writes the 20 bytes of the TCP header, checksum 0. */
function writeTcp(core: Core, s: number, view: DataView, tcp: number, flags: number, seq: number): void {
  const c = core.cells;
  const cells = s * CELLS;
  const portTarget = c[cells + Cell.PortTarget]!;
  view.setUint32(tcp, (portTarget & 0xffff0000) | core.targets.ports[portTarget & 0xffff]!);
  view.setUint32(tcp + 4, seq);
  view.setUint32(tcp + 8, (flags & TcpFlag.Ack) !== 0 ? c[cells + Cell.RcvNxt]! : 0);
  view.setUint32(tcp + 12, ((TCP_MIN_HEADER_LEN >>> 2) << 28) | (flags << 16) | WINDOW);
  view.setUint32(tcp + 16, 0);
}

/** Computes the checksum, hands the packet over; what it acknowledges need not be acknowledged again. */
function finish(core: Core, s: number, view: DataView, tcp: number, at: number, length: number): void {
  const isIpv6 = tcp - at === IPV6_HEADER_LEN;
  const target = core.cells[s * CELLS + Cell.PortTarget]! & 0xffff;
  // Source and destination lie right in front of the TCP header: one sum covers them and the segment.
  const from = isIpv6 ? at + 8 : at + 12;
  const isFilled = core.emitter.fillsSums(target);
  const sum = checksumAdd(view, from, isFilled ? tcp : at + length, IpProtocol.Tcp + (at + length - tcp));
  view.setUint16(tcpChecksumAt(tcp), isFilled ? sum : checksumFinish(sum));
  core.runSession = -1;
  core.emitter.sendBuilt(at, length, target);
  core.bump(Count.PacketsSent);
  noteAcknowledged(core, s);
}

function noteAcknowledged(core: Core, s: number): void {
  core.cells[s * CELLS + Cell.Unacknowledged] = 0;
  clearFlag(core, s, SessionFlag.AckNow);
  clearDeadline(core, s, Time.Ack);
}

/** Whether the packet at hand, which `seg` holds whole, may be sent from where it lies. */
export function mayPlace(core: Core, s: number, seg: number): boolean {
  const packet = core.packet;
  return (
    seg === core.placeable &&
    packet.isPlain &&
    packet.hasTimestamps === hasFlag(core, s, SessionFlag.Timestamps) &&
    packet.payloadBytes <= segmentBytesMax(core, s)
  );
}

/**
 * Rewrites the client's packet at hand and sends it from where it lies. Source, destination, ports, both sequence
 * numbers, flags, window and timestamps change; the payload is not touched, nor read where its sum is known.
 * Precondition: `mayPlace`.
 */
export function sendInPlace(core: Core, s: number, seg: number): boolean {
  const packet = core.packet;
  const view = packet.region.view;
  const ip = packet.ip;
  const tcp = packet.tcp;
  const from = packet.srcAt;
  const isKnown = packet.sum === SumState.True;
  // The field itself is part of the sum, as it is of the sum of the whole, which is all ones when it is right.
  const before = isKnown ? checksumAdd(view, from, packet.payload) : 0;
  rewriteIp(core, s, view, ip);
  const kept = view.getUint8(tcp + 13) & KEPT_FLAGS;
  const headerLen = view.getUint8(tcp + 12) & 0xf0;
  writeTcp(core, s, view, tcp, kept | TcpFlag.Ack, core.pool.get(seg, Seg.TargetSeq));
  view.setUint8(tcp + 12, headerLen);
  if (packet.hasTimestamps) {
    view.setUint32(tcp + 24, core.cells[s * CELLS + Cell.TsValue]!);
    view.setUint32(tcp + 28, core.cells[s * CELLS + Cell.TsEcho]!);
  }
  if (isKnown) {
    const after = checksumAdd(view, from, packet.payload);
    view.setUint16(tcpChecksumAt(tcp), checksumFinish(after + (~before & 0xffff)));
  } else {
    const start = checksumFold(IpProtocol.Tcp + (packet.ipEnd - tcp));
    view.setUint16(tcpChecksumAt(tcp), checksumFinish(checksumAdd(view, from, packet.ipEnd, start)));
  }
  const target = core.cells[s * CELLS + Cell.PortTarget]! & 0xffff;
  // The bytes have been changed: whatever comes of it, this packet is not sent from here a second time.
  core.placeable = -1;
  core.runSession = -1;
  if (!core.emitter.sendInPlace(packet.region, ip, packet.ipEnd - ip, target)) {
    core.bump(Count.SendQueueFull);
    return false;
  }
  core.bump(Count.PacketsSent);
  core.bump(Count.PacketsInPlace);
  noteRun(core, s, core.pool.get(seg, Seg.TargetSeq), packet.payloadBytes);
  noteAcknowledged(core, s);
  return true;
}

/** Addresses, and what routers between client and production have left in the header: TTL, ECN. */
function rewriteIp(core: Core, s: number, view: DataView, ip: number): void {
  const c = core.cells;
  const cells = s * CELLS;
  const target = (c[cells + Cell.PortTarget]! & 0xffff) * 4;
  const words = core.targets.words;
  if (!hasFlag(core, s, SessionFlag.Ipv6)) {
    view.setUint8(ip + 1, view.getUint8(ip + 1) & 0xfc);
    view.setUint16(ip + 6, IPV4_DONT_FRAGMENT);
    view.setUint8(ip + 8, TTL);
    view.setUint32(ip + 12, c[cells + Cell.Address0]!);
    view.setUint32(ip + 16, words[target]!);
    fixIpv4Checksum(view, ip);
    return;
  }
  view.setUint32(ip, view.getUint32(ip) & ~0x00300000);
  view.setUint8(ip + 7, TTL);
  for (let word = 0; word < 4; word++) {
    view.setUint32(ip + 8 + 4 * word, c[cells + Cell.Address0 + word]!);
    view.setUint32(ip + 24 + 4 * word, words[target + word]!);
  }
}

/** Flags of a data segment's last piece. */
export function dataFlags(core: Core, seg: number): number {
  return core.pool.has(seg, SegFlag.Push) ? TcpFlag.Ack | TcpFlag.Psh : TcpFlag.Ack;
}
