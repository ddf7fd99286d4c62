/** Shared by the tests of this folder: captures in plain memory, independent checksums, packets built by hand. */
import { readFileSync } from 'node:fs';
import { FrameBatch } from '../../src/base/batch.ts';
import { plainRegion } from '../../src/base/region.ts';

export interface Record {
  readonly sec: number;
  readonly fraction: number;
  readonly len: number;
  readonly data: Uint8Array;
}

export interface Capture {
  readonly linktype: number;
  readonly nanoseconds: boolean;
  readonly records: readonly Record[];
}

/** Classic pcap, either byte order, written without the project's own reader on purpose. */
export function readPcap(path: string): Capture {
  const bytes = new Uint8Array(readFileSync(path));
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const magic = view.getUint32(0);
  const little = magic === 0xd4c3b2a1 || magic === 0x4d3cb2a1;
  const records: Record[] = [];
  for (let at = 24; at < bytes.length; ) {
    const caplen = view.getUint32(at + 8, little);
    records.push({
      sec: view.getUint32(at, little),
      fraction: view.getUint32(at + 4, little),
      len: view.getUint32(at + 12, little),
      data: bytes.slice(at + 16, at + 16 + caplen),
    });
    at += 16 + caplen;
  }
  const nanoseconds = view.getUint32(0, little) === 0xa1b23c4d;
  return { linktype: view.getUint32(20, little), nanoseconds, records };
}

/** Little-endian pcap as the reference tool writes it: snaplen 65535. */
export function writePcap(capture: Capture): Uint8Array {
  const length = capture.records.reduce((sum, record) => sum + 16 + record.data.length, 24);
  const bytes = new Uint8Array(length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, capture.nanoseconds ? 0xa1b23c4d : 0xa1b2c3d4, true);
  view.setUint16(4, 2, true);
  view.setUint16(6, 4, true);
  view.setUint32(16, 65_535, true);
  view.setUint32(20, capture.linktype, true);
  let at = 24;
  for (const { sec, fraction, len, data } of capture.records) {
    view.setUint32(at, sec, true);
    view.setUint32(at + 4, fraction, true);
    view.setUint32(at + 8, data.length, true);
    view.setUint32(at + 12, len, true);
    bytes.set(data, at + 16);
    at += 16 + data.length;
  }
  return bytes;
}

export const SCRATCH_BYTES = 300_000;
export const HEADROOM_BYTES = 16;

export interface Held {
  readonly data: Uint8Array;
  /** Bytes on the wire; those of `data` where absent. */
  readonly len?: number;
}

/** A batch over plain memory: `HEADROOM_BYTES` in front of each frame, as a capture file has. */
export function batchOf(frames: readonly Held[], linktype: number, scratchBytes: number = SCRATCH_BYTES): FrameBatch {
  const total = frames.reduce((sum, frame) => sum + HEADROOM_BYTES + frame.data.length, 0);
  const region = plainRegion(total, scratchBytes);
  const batch = new FrameBatch(frames.length, region);
  batch.headroomBytes = HEADROOM_BYTES;
  let at = 0;
  for (const [i, frame] of frames.entries()) {
    at += HEADROOM_BYTES;
    region.bytes.set(frame.data, at);
    batch.at[i] = at;
    batch.caplen[i] = frame.data.length;
    batch.len[i] = frame.len ?? frame.data.length;
    batch.linktype[i] = linktype;
    at += frame.data.length;
  }
  batch.count = frames.length;
  return batch;
}

/** A copy of frame `i`. */
export function frameBytes(batch: FrameBatch, i: number): Uint8Array {
  return batch.region.bytes.slice(batch.at[i]!, batch.at[i]! + batch.caplen[i]!);
}

export function hex(text: string): Uint8Array {
  return Uint8Array.from(text.replace(/[^0-9a-f]/gi, '').match(/../g) ?? [], (byte) => Number.parseInt(byte, 16));
}

/** RFC 1071, one byte at a time, with big integers: as unlike the product's as can be. */
export function onesSum(bytes: Iterable<number>): number {
  let total = 0n;
  let i = 0;
  for (const byte of bytes) total += BigInt(byte) << (i++ % 2 === 0 ? 8n : 0n);
  while (total > 0xffffn) total = (total & 0xffffn) + (total >> 16n);
  return Number(total);
}

/** A packet to be built; everything has a default. */
export interface Shape {
  readonly version?: 4 | 6;
  readonly protocol?: 'tcp' | 'udp' | 'icmp';
  /** 4 or 16 bytes. */
  readonly src?: readonly number[];
  readonly dst?: readonly number[];
  readonly ports?: readonly [number, number];
  readonly seq?: number;
  readonly ack?: number;
  /** TCP flags. */
  readonly flags?: number;
  /** TCP options, a multiple of 4 bytes. */
  readonly tcpOptions?: readonly number[];
  readonly payload?: Uint8Array;
  readonly ttl?: number;
  readonly id?: number;
  /** IPv4 options, a multiple of 4 bytes. */
  readonly options?: readonly number[];
  /** IPv6 extension headers: [its protocol number, its bytes from the length byte on]. */
  readonly extensions?: readonly (readonly [number, readonly number[]])[];
  readonly fragment?: { readonly offset: number; readonly more: boolean; readonly id: number };
  readonly dontFragment?: boolean;
  /** Added to the transport checksum: 0 = true. */
  readonly wrongBy?: number;
  readonly ipWrongBy?: number;
  readonly udpZero?: boolean;
  /** TPID and TCI a tag, outermost first. */
  readonly tags?: readonly (readonly [number, number])[];
  readonly labels?: number;
  /** Ethernet trailer. */
  readonly padding?: number;
}

export interface Built {
  readonly data: Uint8Array;
  /** Offset of the IP header. */
  readonly ip: number;
  readonly l4: number;
  /** End of the IP packet. */
  readonly end: number;
}

const u16 = (value: number): number[] => [(value >>> 8) & 0xff, value & 0xff];
const u32 = (value: number): number[] => [...u16(value >>> 16), ...u16(value & 0xffff)];
const NUMBER = { tcp: 6, udp: 17, icmp: 1 } as const;

export function protocolNumber(shape: Shape): number {
  const { protocol = 'tcp', version = 4 } = shape;
  return protocol === 'icmp' && version === 6 ? 58 : NUMBER[protocol];
}

/** Bytes of the pseudo-header. */
export function pseudoHeader(src: Iterable<number>, dst: Iterable<number>, protocol: number, length: number): number[] {
  return [...src, ...dst, ...u32(length), 0, 0, 0, protocol];
}

export function defaultAddress(version: 4 | 6, host: number): number[] {
  return version === 4 ? [10, 1, 2, host] : [0x20, 1, 0xd, 0xb8, ...new Array<number>(11).fill(0), host];
}

/** The transport header and payload with a true checksum (moved by `wrongBy`). */
function transport(shape: Shape, src: readonly number[], dst: readonly number[]): number[] {
  const { protocol = 'tcp', ports = [40_000, 80], payload = new Uint8Array(0), wrongBy = 0, version = 4 } = shape;
  let bytes: number[];
  let sumAt: number;
  if (protocol === 'tcp') {
    const options = shape.tcpOptions ?? [];
    const offset = (20 + options.length) << 2;
    bytes = [...u16(ports[0]), ...u16(ports[1]), ...u32(shape.seq ?? 1000), ...u32(shape.ack ?? 2000), offset];
    bytes.push(shape.flags ?? 0x18, ...u16(0x1000), 0, 0, 0, 0, ...options, ...payload);
    sumAt = 16;
  } else if (protocol === 'udp') {
    bytes = [...u16(ports[0]), ...u16(ports[1]), ...u16(8 + payload.length), 0, 0, ...payload];
    sumAt = 6;
  } else {
    bytes = [version === 6 ? 128 : 8, 0, 0, 0, 0, 7, 0, 9, ...payload];
    sumAt = 2;
  }
  if (shape.udpZero === true) return bytes;
  const covered =
    protocol === 'icmp' && version === 4 ? [] : pseudoHeader(src, dst, protocolNumber(shape), bytes.length);
  let sum = 0xffff - onesSum([...covered, ...bytes]);
  if (protocol === 'udp' && sum === 0) sum = 0xffff;
  bytes.splice(sumAt, 2, ...u16((sum + wrongBy) & 0xffff));
  return bytes;
}

/** An Ethernet frame. */
export function build(shape: Shape): Built {
  const { version = 4, tags = [], labels = 0 } = shape;
  const src = shape.src ?? defaultAddress(version, 1);
  const dst = shape.dst ?? defaultAddress(version, 2);
  const link = [2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];
  for (const [tpid, tci] of tags) link.push(...u16(tpid), ...u16(tci));
  link.push(...u16(labels > 0 ? 0x8847 : version === 4 ? 0x0800 : 0x86dd));
  for (let n = 0; n < labels; n++) link.push(0, 1, 0x20 | (n === labels - 1 ? 1 : 0), 64);
  const body = shape.fragment === undefined || shape.fragment.offset === 0 ? transport(shape, src, dst) : [];
  if (shape.fragment !== undefined && shape.fragment.offset > 0) body.push(...(shape.payload ?? []));
  const header = version === 4 ? header4(shape, src, dst, body.length) : header6(shape, src, dst, body.length);
  const packet = [...header, ...body];
  const data = Uint8Array.from([...link, ...packet, ...new Array<number>(shape.padding ?? 0).fill(0x5a)]);
  const ip = link.length;
  return { data, ip, l4: ip + header.length, end: ip + packet.length };
}

function header4(shape: Shape, src: readonly number[], dst: readonly number[], bodyLen: number): number[] {
  const options = shape.options ?? [];
  const { fragment } = shape;
  const headerLen = 20 + options.length;
  let bits = shape.dontFragment === true ? 0x4000 : 0;
  if (fragment !== undefined) bits = (fragment.more ? 0x2000 : 0) | (fragment.offset >> 3);
  const start = [0x40 | (headerLen >> 2), 0, ...u16(headerLen + bodyLen), ...u16(fragment?.id ?? shape.id ?? 0x77)];
  const bytes = [...start, ...u16(bits), shape.ttl ?? 64, protocolNumber(shape), 0, 0, ...src, ...dst, ...options];
  const sum = 0xffff - onesSum(bytes);
  bytes.splice(10, 2, ...u16((sum + (shape.ipWrongBy ?? 0)) & 0xffff));
  return bytes;
}

function header6(shape: Shape, src: readonly number[], dst: readonly number[], bodyLen: number): number[] {
  const chain: (readonly [number, readonly number[]])[] = [...(shape.extensions ?? [])];
  const { fragment } = shape;
  if (fragment !== undefined) {
    chain.push([44, [0, ...u16(fragment.offset | (fragment.more ? 1 : 0)), ...u32(fragment.id)]]);
  }
  const numbers = [...chain.map(([number]) => number), protocolNumber(shape)];
  const extensions = chain.flatMap(([, bytes], n) => [numbers[n + 1]!, ...bytes]);
  return [
    ...[0x60, 0, 0, 0],
    ...[...u16(extensions.length + bodyLen), numbers[0]!, shape.ttl ?? 64],
    ...[...src, ...dst, ...extensions],
  ];
}

/** How wrong the sums of a whole packet are: 0 = true. Found without the project's own code. */
export function sumErrors(data: Uint8Array, ip: number): { readonly ip: number; readonly transport: number } {
  const isV4 = data[ip]! >> 4 === 4;
  const headerLen = isV4 ? (data[ip]! & 15) * 4 : 40;
  const length = isV4 ? data[ip + 2]! * 256 + data[ip + 3]! : 40 + data[ip + 4]! * 256 + data[ip + 5]!;
  let protocol = data[ip + (isV4 ? 9 : 6)]!;
  let l4 = ip + headerLen;
  let isLater = isV4 && ((data[ip + 6]! & 0x1f) !== 0 || data[ip + 7]! !== 0);
  let isPart = isLater || (isV4 && (data[ip + 6]! & 0x20) !== 0);
  while (!isV4 && [0, 43, 44, 60].includes(protocol)) {
    if (protocol === 44) {
      isLater ||= ((data[l4 + 2]! << 8) | (data[l4 + 3]! & 0xf8)) !== 0;
      isPart ||= isLater || (data[l4 + 3]! & 1) !== 0;
    }
    const next = data[l4]!;
    l4 += protocol === 44 ? 8 : 8 + 8 * data[l4 + 1]!;
    protocol = next;
  }
  const ipError = isV4 ? 0xffff - onesSum(data.slice(ip, ip + headerLen)) : 0;
  const whole = data.slice(l4, Math.min(ip + length, data.length));
  const addresses = isV4 ? data.slice(ip + 12, ip + 20) : data.slice(ip + 8, ip + 40);
  if (isPart || ip + length > data.length) return { ip: ipError % 0xffff, transport: 0 };
  if (protocol === 17 && whole[6] === 0 && whole[7] === 0) return { ip: ipError % 0xffff, transport: 0 };
  const covered = protocol === 1 ? [] : pseudoHeader(addresses, [], protocol, whole.length);
  const error = ![1, 6, 17, 58].includes(protocol) ? 0 : (0xffff - onesSum([...covered, ...whole])) % 0xffff;
  return { ip: ipError % 0xffff, transport: error };
}
