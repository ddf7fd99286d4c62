/** Frames for tests of sinks: plain Ethernet and IP packets with right lengths and checksums. */
import { plainRegion, type Region } from '../../src/base/region.ts';
import { anonymousRegion } from '../../src/sys/memory.ts';

export function ipv4Udp(source: string, destination: string, payload: Uint8Array): Uint8Array {
  const packet = new Uint8Array(28 + payload.length);
  const view = new DataView(packet.buffer);
  view.setUint8(0, 0x45);
  view.setUint16(2, packet.length);
  view.setUint16(4, 0x1234);
  view.setUint16(6, 0x4000);
  view.setUint8(8, 64);
  view.setUint8(9, 17);
  packet.set(source.split('.').map(Number), 12);
  packet.set(destination.split('.').map(Number), 16);
  view.setUint16(10, checksum(view, 0, 20));
  view.setUint16(20, 4000);
  view.setUint16(22, 9);
  view.setUint16(24, 8 + payload.length);
  packet.set(payload, 28);
  return packet;
}

/** Addresses as 16 bytes each; UDP with a right checksum, as IPv6 demands one. */
export function ipv6Udp(source: Uint8Array, destination: Uint8Array, payload: Uint8Array): Uint8Array {
  const packet = new Uint8Array(48 + payload.length);
  const view = new DataView(packet.buffer);
  view.setUint32(0, 0x6000_0000);
  view.setUint16(4, 8 + payload.length);
  view.setUint8(6, 17);
  view.setUint8(7, 64);
  packet.set(source, 8);
  packet.set(destination, 24);
  view.setUint16(40, 4000);
  view.setUint16(42, 9);
  view.setUint16(44, 8 + payload.length);
  packet.set(payload, 48);
  view.setUint16(46, checksum(view, 8, packet.length, 17 + 8 + payload.length));
  return packet;
}

function checksum(view: DataView, from: number, end: number, start = 0): number {
  let sum = start;
  for (let at = from; at < end; at += 2) sum += at + 1 < end ? view.getUint16(at) : view.getUint8(at) << 8;
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

export function ethernet(destination: number[], source: number[], type: number, payload: Uint8Array): Uint8Array {
  return Uint8Array.of(...destination, ...source, type >> 8, type & 0xff, ...payload);
}

/** Bytes that differ from frame to frame. */
export function payloadOf(length: number, seed: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (i * 7 + seed * 31) & 0xff);
}

export interface Packed {
  readonly region: Region;
  readonly at: number[];
  readonly length: number[];
}

/** Frames one behind the other in a region, mapped or plain. */
export function pack(frames: readonly Uint8Array[], mapped = true): Packed {
  const total = frames.reduce((sum, frame) => sum + frame.length + 3, 16);
  const region = mapped ? anonymousRegion(total) : plainRegion(total);
  const at: number[] = [];
  let next = 5;
  for (const frame of frames) {
    region.bytes.set(frame, next);
    at.push(next);
    next += frame.length + 3;
  }
  return { region, at, length: frames.map((frame) => frame.length) };
}
