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
