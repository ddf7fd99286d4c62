/**
 * Filter programs as the kernel runs them on a packet socket: direction in front, and for sockets without link-layer
 * header ("cooked") the offsets that libpcap compiled for SLL2 turned into those of the packet.
 *
 * Instructions and ancillary offsets: include/uapi/linux/filter.h.
 */

import { PACKET_OUTGOING, SockFilter } from '../sys/layout.ts';
import type { FilterProgram } from '../sys/libpcap.ts';
import { EtherType } from '../wire/protocol.ts';
import type { Direction } from './capture_source.ts';

const SKF_AD_OFF = -0x1000;
const AD_PROTOCOL = SKF_AD_OFF;
const AD_PKTTYPE = SKF_AD_OFF + 4;
const AD_IFINDEX = SKF_AD_OFF + 8;

const LD_W_ABS = 0x20;
const LD_H_ABS = 0x28;
const LD_W_LEN = 0x80;
const LDX_W_LEN = 0x81;
const JA = 0x05;
const JEQ_K = 0x15;
const RET_K = 0x06;
const CLASS_LD = 0x00;
const CLASS_LDX = 0x01;
const MODE_ABS = 0x20;
const MODE_IND = 0x40;
const MODE_MSH = 0xa0;

const ETHER_TYPE_AT = 12;

/** Bytes of the header that cooked captures begin with (LINKTYPE_LINUX_SLL2). */
export const SLL2_HEADER_BYTES = 20;
/** Offsets in it: protocol, interface index, packet type (tcpdump.org/linktypes/LINKTYPE_LINUX_SLL2.html). */
const SLL2_PROTOCOL = 0;
const SLL2_IFINDEX = 4;
const SLL2_PACKET_TYPE = 10;

type Instruction = readonly [code: number, jumpTrue: number, jumpFalse: number, k: number];

function encode(instructions: readonly Instruction[]): Uint8Array {
  const bytes = new Uint8Array(instructions.length * SockFilter.SIZE);
  const view = new DataView(bytes.buffer);
  instructions.forEach(([code, jumpTrue, jumpFalse, k], i) => {
    const at = i * SockFilter.SIZE;
    view.setUint16(at + SockFilter.CODE, code, true);
    view.setUint8(at + SockFilter.JT, jumpTrue);
    view.setUint8(at + SockFilter.JF, jumpFalse);
    view.setInt32(at + SockFilter.K, k, true);
  });
  return bytes;
}

/** `ret #snaplen`: everything, cut. */
export function acceptProgram(snaplen: number): FilterProgram {
  return encode([[RET_K, 0, 0, snaplen]]);
}

/**
 * What must be decided before the filter proper: only what leaves (`out`), and, where `loopbackIndex` is not 0, nothing
 * that leaves through that interface, as the loopback shows each packet a second time when it arrives.
 */
export function withDirection(program: FilterProgram, direction: Direction, loopbackIndex: number): FilterProgram {
  const front: Instruction[] = [];
  if (direction === 'out') {
    front.push([LD_W_ABS, 0, 0, AD_PKTTYPE], [JEQ_K, 1, 0, PACKET_OUTGOING], [RET_K, 0, 0, 0]);
  } else if (loopbackIndex !== 0) {
    front.push([LD_W_ABS, 0, 0, AD_IFINDEX], [JEQ_K, 0, 3, loopbackIndex]);
    front.push([LD_W_ABS, 0, 0, AD_PKTTYPE], [JEQ_K, 0, 1, PACKET_OUTGOING], [RET_K, 0, 0, 0]);
  }
  if (front.length === 0) return program;
  const head = encode(front);
  const whole = new Uint8Array(head.byteLength + program.byteLength);
  whole.set(head);
  whole.set(program, head.byteLength);
  return whole;
}

/** What leaves is judged by `outgoing`, anything else by `incoming`. */
export function byDirection(incoming: FilterProgram, outgoing: FilterProgram): FilterProgram {
  const head = encode([
    [LD_W_ABS, 0, 0, AD_PKTTYPE],
    [JEQ_K, 1, 0, PACKET_OUTGOING],
    [JA, 0, 0, outgoing.byteLength / SockFilter.SIZE],
  ]);
  return joined(head, outgoing, incoming);
}

/** Frames whose link header ends with a VLAN tag are judged by `tagged`, all others by `plain`. Ethernet only. */
export function byTag(plain: FilterProgram, tagged: FilterProgram): FilterProgram {
  const head = encode([
    [LD_H_ABS, 0, 0, ETHER_TYPE_AT],
    [JEQ_K, 2, 0, EtherType.Vlan],
    [JEQ_K, 1, 0, EtherType.ProviderVlan],
    [JEQ_K, 0, 1, EtherType.OldVlan],
    [JA, 0, 0, plain.byteLength / SockFilter.SIZE],
  ]);
  return joined(head, plain, tagged);
}

function joined(head: FilterProgram, first: FilterProgram, second: FilterProgram): FilterProgram {
  const whole = new Uint8Array(head.byteLength + first.byteLength + second.byteLength);
  whole.set(head);
  whole.set(first, head.byteLength);
  whole.set(second, head.byteLength + first.byteLength);
  return whole;
}

/**
 * A program compiled for SLL2 frames, for a cooked socket, whose packets begin behind that header. Null where it looks
 * at what the kernel does not have (the sender's address, the length with the header): it is then run in this process.
 */
export function cookedProgram(program: FilterProgram): FilterProgram | null {
  const cooked = program.slice();
  const view = new DataView(cooked.buffer);
  for (let at = 0; at < cooked.byteLength; at += SockFilter.SIZE) {
    const code = view.getUint16(at + SockFilter.CODE, true);
    const k = view.getInt32(at + SockFilter.K, true);
    if (code === LD_W_LEN || code === LDX_W_LEN) return null;
    if (code === RET_K) {
      // `k` is the snaplen: the kernel cuts without the header.
      if (k !== 0) view.setUint32(at + SockFilter.K, Math.max(1, (k >>> 0) - SLL2_HEADER_BYTES), true);
      continue;
    }
    if (!readsPacket(code) || k < 0) continue;
    const moved = cookedOffset(k);
    if (moved === null) return null;
    view.setInt32(at + SockFilter.K, moved, true);
  }
  return cooked;
}

function readsPacket(code: number): boolean {
  const mode = code & 0xe0;
  const kind = code & 0x07;
  if (kind === CLASS_LD) return mode === MODE_ABS || mode === MODE_IND;
  return kind === CLASS_LDX && mode === MODE_MSH;
}

function cookedOffset(k: number): number | null {
  if (k >= SLL2_HEADER_BYTES) return k - SLL2_HEADER_BYTES;
  if (k === SLL2_PROTOCOL) return AD_PROTOCOL;
  if (k === SLL2_IFINDEX) return AD_IFINDEX;
  if (k === SLL2_PACKET_TYPE) return AD_PKTTYPE;
  return null;
}
