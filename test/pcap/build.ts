/** Captures built byte by byte for tests, and the reading of a whole file into comparable values. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { FrameBatch } from '../../src/base/batch.ts';
import { plainRegion } from '../../src/base/region.ts';
import { Rng } from '../../src/base/rng.ts';
import { type OpenCaptureOptions, openCapture } from '../../src/pcap/index.ts';

export interface TestPacket {
  readonly sec: number;
  readonly nsec: number;
  readonly len: number;
  readonly data: Uint8Array;
}

export interface ReadPacket {
  readonly number: number;
  readonly sec: number;
  readonly nsec: number;
  readonly caplen: number;
  readonly len: number;
  readonly linktype: number;
  readonly interfaceIndex: number;
  readonly hex: string;
}

export interface ReadResult {
  readonly packets: ReadPacket[];
  /** null: the capture ended well. */
  readonly error: Error | null;
  /** Largest region that a batch lay in. */
  readonly regionBytesMax: number;
}

/** A directory of this test process, in memory where there is such a file system. */
export function scratchDirectory(teardown: (action: () => void) => void): string {
  const base = fs.existsSync('/dev/shm') ? '/dev/shm' : os.tmpdir();
  const directory = fs.mkdtempSync(path.join(base, 'tsreplay-pcap-'));
  teardown(() => fs.rmSync(directory, { recursive: true, force: true }));
  return directory;
}

export function readAll(file: string, options: OpenCaptureOptions = {}, batchFrames = 7): ReadResult {
  const packets: ReadPacket[] = [];
  let regionBytesMax = 0;
  let error: Error | null = null;
  const batch = new FrameBatch(batchFrames, plainRegion(0));
  try {
    const reader = openCapture(file, { scratchBytes: 0, windowBytes: 65_536, ...options });
    try {
      while (reader.read(batch) > 0) {
        regionBytesMax = Math.max(regionBytesMax, batch.region.byteLength);
        for (let i = 0; i < batch.count; i++) packets.push(frameOf(batch, i));
      }
    } finally {
      reader.close();
    }
  } catch (caught) {
    error = caught as Error;
  }
  return { packets, error, regionBytesMax };
}

function frameOf(batch: FrameBatch, i: number): ReadPacket {
  const at = batch.at[i]!;
  const caplen = batch.caplen[i]!;
  const copy = Buffer.from(batch.region.bytes.subarray(at, at + caplen));
  // what a rewriter may do: everything in front of the frame that is said to be free, and the frame
  batch.region.bytes.fill(0xa5, at - batch.headroomBytes, at + caplen);
  return {
    number: batch.numberFirst + i,
    sec: batch.sec[i]!,
    nsec: batch.nsec[i]!,
    caplen,
    len: batch.len[i]!,
    linktype: batch.linktype[i]!,
    interfaceIndex: batch.interfaceIndex[i]!,
    hex: copy.toString('hex'),
  };
}

export interface PcapShape {
  readonly big?: boolean;
  readonly magic?: number;
  readonly major?: number;
  readonly minor?: number;
  readonly snaplen?: number;
  readonly linktypeWord?: number;
}

export const Magic = { Us: 0xa1b2c3d4, Ns: 0xa1b23c4d, Kuznetsov: 0xa1b2cd34 } as const;

export function buildPcap(packets: readonly TestPacket[], shape: PcapShape = {}): Buffer {
  const { big = false, magic = Magic.Us, major = 2, minor = 4, snaplen = 262_144, linktypeWord = 1 } = shape;
  const u32 = (...values: number[]): Buffer => words(values, big);
  const version = Buffer.alloc(4);
  big ? version.writeUInt16BE(major, 0) : version.writeUInt16LE(major, 0);
  big ? version.writeUInt16BE(minor, 2) : version.writeUInt16LE(minor, 2);
  const parts: Uint8Array[] = [u32(magic), version, u32(0, 0, snaplen, linktypeWord)];
  for (const { sec, nsec, len, data } of packets) {
    const swapped = major === 543 || minor < 3;
    const lengths = swapped ? [len, data.length] : [data.length, len];
    parts.push(u32(sec, magic === Magic.Ns ? nsec : Math.floor(nsec / 1000), ...lengths));
    if (magic === Magic.Kuznetsov) parts.push(u32(7, 0x08000001));
    parts.push(data);
  }
  return Buffer.concat(parts);
}

function words(values: readonly number[], big: boolean): Buffer {
  const bytes = Buffer.alloc(values.length * 4);
  values.forEach((value, i) => {
    big ? bytes.writeUInt32BE(value >>> 0, i * 4) : bytes.writeUInt32LE(value >>> 0, i * 4);
  });
  return bytes;
}

export type OptionSpec = readonly [code: number, value: Uint8Array | string];

/** Blocks of a pcapng file in one byte order. */
export class Blocks {
  readonly parts: Buffer[] = [];
  readonly big: boolean;

  constructor(big = false) {
    this.big = big;
  }

  get bytes(): Buffer {
    return Buffer.concat(this.parts);
  }

  u32(...values: number[]): Buffer {
    return words(values, this.big);
  }

  u16(...values: number[]): Buffer {
    const bytes = Buffer.alloc(values.length * 2);
    values.forEach((value, i) => {
      this.big ? bytes.writeUInt16BE(value, i * 2) : bytes.writeUInt16LE(value, i * 2);
    });
    return bytes;
  }

  options(list: readonly OptionSpec[]): Buffer {
    if (list.length === 0) return Buffer.alloc(0);
    const parts: Buffer[] = [];
    for (const [code, value] of list) {
      const bytes = Buffer.from(value);
      parts.push(this.u16(code, bytes.length), bytes, Buffer.alloc(-bytes.length & 3));
    }
    return Buffer.concat([...parts, Buffer.alloc(4)]);
  }

  block(type: number, ...body: Uint8Array[]): this {
    const content = Buffer.concat(body);
    const padded = Buffer.concat([content, Buffer.alloc(-content.length & 3)]);
    const total = padded.length + 12;
    this.parts.push(Buffer.concat([this.u32(type, total), padded, this.u32(total)]));
    return this;
  }

  section(options: readonly OptionSpec[] = [], minor = 0): this {
    const length = this.u32(0xffffffff, 0xffffffff);
    return this.block(0x0a0d0d0a, this.u32(0x1a2b3c4d), this.u16(1, minor), length, this.options(options));
  }

  interface(linktype: number, snaplen: number, options: readonly OptionSpec[] = []): this {
    return this.block(1, this.u16(linktype, 0), this.u32(snaplen), this.options(options));
  }

  enhanced(id: number, stamp: bigint, data: Uint8Array, len: number, options: readonly OptionSpec[] = []): this {
    const padding = Buffer.alloc(-data.length & 3);
    const head = this.u32(id, Number(stamp >> 32n), Number(stamp & 0xffffffffn), data.length, len);
    return this.block(6, head, data, padding, this.options(options));
  }

  obsolete(id: number, stamp: bigint, data: Uint8Array, len: number): this {
    const head = this.u32(Number(stamp >> 32n), Number(stamp & 0xffffffffn), data.length, len);
    return this.block(2, this.u16(id, 0), head, data);
  }

  simple(data: Uint8Array, len: number): this {
    return this.block(3, this.u32(len), data);
  }
}

/** Ethernet-looking frames of many lengths, 0 among them. */
export function randomPackets(seed: number, count: number, bytesMax = 200): TestPacket[] {
  const rng = new Rng(seed);
  const packets: TestPacket[] = [];
  for (let i = 0; i < count; i++) {
    const data = new Uint8Array(i === 1 ? 0 : rng.below(bytesMax));
    for (let k = 0; k < data.length; k++) data[k] = rng.below(256);
    const nsec = rng.below(1_000_000) * 1000;
    packets.push({ sec: 1_700_000_000 + i, nsec, len: data.length + (rng.below(3) === 0 ? 100 : 0), data });
  }
  return packets;
}

/** A pcapng file with every block type, two sections of both byte orders and different interfaces. */
export function everyBlock(): Buffer {
  const data = Buffer.from('00112233445566778899aabb08004500', 'hex');
  const little = new Blocks(false)
    .section([
      [1, 'first section'],
      [2, 'machine'],
      [3, 'system'],
      [4, 'program'],
    ])
    .interface(1, 0, [
      [2, 'eth0'],
      [9, Uint8Array.of(9)],
      [13, Uint8Array.of(4)],
    ])
    .interface(101, 64, [[9, Uint8Array.of(0x8a)]])
    .enhanced(0, 1_700_000_000_123_456_789n, data, 60, [[1, 'a comment']])
    .enhanced(1, (1_700_000_001n << 10n) + 512n, data.subarray(0, 5), 5)
    .block(4, Buffer.from('0000000000000000', 'hex'))
    .simple(data.subarray(0, 13), 13)
    .block(5, new Blocks(false).u32(0, 0, 0))
    .block(0x0000000a, Buffer.from('4b534c54040000004142434400000000', 'hex'));
  const big = new Blocks(true)
    .section()
    .block(0xbad, Buffer.from('0000000701020304', 'hex'))
    .block(0x40000bad, Buffer.from('00000007', 'hex'))
    .block(0x12345678, Buffer.alloc(40))
    .interface(113, 96, [
      [9, Uint8Array.of(6)],
      [14, Buffer.from('0000000000000e10', 'hex')],
    ])
    .obsolete(0, 1_700_000_002_500_000n, data, 16)
    .enhanced(0, 1_700_000_003_000_001n, data.subarray(0, 1), 1);
  return Buffer.concat([little.bytes, big.bytes]);
}
