/**
 * TCP segments as plain objects, and as bytes. Written apart from `src`, so that the engine's bytes have a second
 * reader.
 */
import assert from 'node:assert/strict';

export const FIN = 1;
export const SYN = 2;
export const RST = 4;
export const PSH = 8;
export const ACK = 16;

export interface Segment {
  src: number[];
  dst: number[];
  srcPort: number;
  dstPort: number;
  seq: number;
  ack: number;
  flags: number;
  window: number;
  mss?: number;
  shift?: number;
  sackPermitted?: boolean;
  ts?: [number, number];
  sack?: [number, number][];
  payload: Uint8Array;
  /** Option kinds as they stood, when parsed. */
  kinds?: number[];
  /** Odd options that clients send: raw bytes. */
  extra?: number[];
}

export function onesSum(bytes: Uint8Array, from: number, to: number, start = 0): number {
  let sum = start;
  for (let i = from; i < to; i += 2) sum += (bytes[i]! << 8) | (i + 1 < to ? bytes[i + 1]! : 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 0x10000);
  return sum;
}

function optionBytes(segment: Segment): number[] {
  const out: number[] = [];
  const u32 = (n: number): number[] => [(n >>> 24) & 255, (n >>> 16) & 255, (n >>> 8) & 255, n & 255];
  if (segment.mss !== undefined) out.push(2, 4, segment.mss >> 8, segment.mss & 255);
  if (segment.sackPermitted) out.push(4, 2, 1, 1);
  if (segment.ts) out.push(1, 1, 8, 10, ...u32(segment.ts[0]), ...u32(segment.ts[1]));
  if (segment.shift !== undefined) out.push(1, 3, 3, segment.shift);
  if (segment.sack && segment.sack.length > 0) {
    const blocks = segment.sack.slice(0, 3);
    out.push(1, 1, 5, 2 + 8 * blocks.length, ...blocks.flatMap(([l, r]) => [...u32(l), ...u32(r)]));
  }
  out.push(...(segment.extra ?? []));
  while (out.length % 4 !== 0) out.push(0);
  return out;
}

/** An Ethernet frame. `isSumTrue`: false leaves the TCP checksum as captures before offload have it. */
export function encode(segment: Segment, isSumTrue = true): Uint8Array {
  const isIpv6 = segment.src.length === 16;
  const options = optionBytes(segment);
  const ip = 14;
  const tcp = ip + (isIpv6 ? 40 : 20);
  const tcpLength = 20 + options.length + segment.payload.length;
  const bytes = new Uint8Array(tcp + tcpLength);
  const view = new DataView(bytes.buffer);
  view.setUint16(12, isIpv6 ? 0x86dd : 0x0800);
  if (isIpv6) {
    view.setUint32(ip, 0x60000000);
    view.setUint16(ip + 4, tcpLength);
    bytes[ip + 6] = 6;
    bytes[ip + 7] = 60;
    bytes.set(segment.src, ip + 8);
    bytes.set(segment.dst, ip + 24);
  } else {
    view.setUint32(ip, 0x45020000 | (20 + tcpLength));
    view.setUint32(ip + 4, 0x12344000);
    view.setUint16(ip + 8, 0x3906);
    bytes.set(segment.src, ip + 12);
    bytes.set(segment.dst, ip + 16);
    view.setUint16(ip + 10, ~onesSum(bytes, ip, ip + 20) & 0xffff);
  }
  view.setUint16(tcp, segment.srcPort);
  view.setUint16(tcp + 2, segment.dstPort);
  view.setUint32(tcp + 4, segment.seq);
  view.setUint32(tcp + 8, segment.ack);
  bytes[tcp + 12] = (5 + options.length / 4) << 4;
  bytes[tcp + 13] = segment.flags;
  view.setUint16(tcp + 14, segment.window);
  bytes.set(options, tcp + 20);
  bytes.set(segment.payload, tcp + 20 + options.length);
  const from = isIpv6 ? ip + 8 : ip + 12;
  view.setUint16(tcp + 16, isSumTrue ? ~onesSum(bytes, from, bytes.length, 6 + tcpLength) & 0xffff : 0x1234);
  return bytes;
}

/** Parses an IP packet and checks everything that a receiver would drop it for. */
export function parse(bytes: Uint8Array): Segment {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const isIpv6 = bytes[0]! >> 4 === 6;
  const tcp = isIpv6 ? 40 : 20;
  if (isIpv6) assert.equal(view.getUint16(4) + 40, bytes.length, 'IPv6 length');
  else {
    assert.equal(bytes[0], 0x45, 'IPv4 without options');
    assert.equal(view.getUint16(2), bytes.length, 'IPv4 total length');
    assert.equal(onesSum(bytes, 0, 20), 0xffff, 'IPv4 checksum');
    assert.equal(bytes[1]! & 3, 0, 'no ECN bits');
  }
  assert.equal(bytes[isIpv6 ? 6 : 9], 6, 'TCP');
  assert.equal(onesSum(bytes, isIpv6 ? 8 : 12, bytes.length, 6 + bytes.length - tcp), 0xffff, 'TCP checksum');
  const header = (bytes[tcp + 12]! >> 4) * 4;
  const segment: Segment = {
    src: [...bytes.slice(isIpv6 ? 8 : 12, isIpv6 ? 24 : 16)],
    dst: [...bytes.slice(isIpv6 ? 24 : 16, tcp)],
    srcPort: view.getUint16(tcp),
    dstPort: view.getUint16(tcp + 2),
    seq: view.getUint32(tcp + 4),
    ack: view.getUint32(tcp + 8),
    flags: bytes[tcp + 13]!,
    window: view.getUint16(tcp + 14),
    payload: bytes.slice(tcp + header),
    kinds: [],
  };
  for (let i = tcp + 20; i < tcp + header; ) {
    const kind = bytes[i]!;
    if (kind === 0) break;
    if (kind === 1) {
      i++;
      continue;
    }
    const length = bytes[i + 1]!;
    assert.ok(length >= 2 && i + length <= tcp + header, 'an option has a length that fits');
    segment.kinds!.push(kind);
    if (kind === 2) segment.mss = view.getUint16(i + 2);
    if (kind === 3) segment.shift = bytes[i + 2]!;
    if (kind === 4) segment.sackPermitted = true;
    if (kind === 8) segment.ts = [view.getUint32(i + 2), view.getUint32(i + 6)];
    i += length;
  }
  return segment;
}
