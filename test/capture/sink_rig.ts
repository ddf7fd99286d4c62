/** Shared by the tests of capture sinks: frames of every length in mapped memory, and reading back. */
import assert from 'node:assert/strict';
import { FrameBatch } from '../../src/base/batch.ts';
import type { Region } from '../../src/base/region.ts';
import type { CaptureSinkSpec } from '../../src/capture/sink/sink.ts';
import { anonymousRegion } from '../../src/device/host.ts';

const SLOT_BYTES = 2048;
const SLOTS = 256;
export const START_SEC = 1_700_000_000;

/** Frame n has its number in its first bytes, and a length that follows from it. */
export class FrameMaker {
  readonly region: Region = anonymousRegion(SLOTS * SLOT_BYTES);
  readonly batch: FrameBatch = new FrameBatch(SLOTS, this.region);
  /** Frames made so far. */
  count = 0;
  readonly #lengthOf: (n: number) => number;

  constructor(lengthOf: (n: number) => number = variedLength) {
    this.#lengthOf = lengthOf;
    for (let i = 0; i < this.region.byteLength; i++) this.region.bytes[i] = (i * 7) & 0xff;
  }

  /** The next `count` frames, at most 256. */
  next(count: number = SLOTS): FrameBatch {
    const { batch, region } = this;
    batch.count = count;
    for (let i = 0; i < count; i++) {
      const n = this.count++;
      const at = i * SLOT_BYTES;
      batch.at[i] = at;
      batch.caplen[i] = this.#lengthOf(n);
      batch.len[i] = this.#lengthOf(n) + 3;
      batch.sec[i] = START_SEC + Math.floor(n / 1000);
      batch.nsec[i] = (n % 1000) * 1_000_000 + 123_456;
      batch.linktype[i] = 1;
      batch.interfaceIndex[i] = 0;
      region.view.setUint32(at, n);
    }
    return batch;
  }
}

export function variedLength(n: number): number {
  return 60 + ((n * 37) % 1455);
}

export function spec(path: string, more: Partial<CaptureSinkSpec> = {}): CaptureSinkSpec {
  return {
    path,
    format: 'pcap',
    timestampDigits: 9,
    interfaces: [{ name: 'eth1', linktype: 1, snaplen: 262_144, filter: 'tcp port 80' }],
    application: 'tscap',
    os: 'Linux',
    ...more,
  };
}

/** Asserts that the packets read are frames `numbers` in this order, whole. */
export function assertFrames(read: readonly { data: Uint8Array; len: number }[], numbers: readonly number[]): void {
  assert.equal(read.length, numbers.length);
  for (const [i, packet] of read.entries()) {
    const view = new DataView(packet.data.buffer, packet.data.byteOffset, packet.data.length);
    const n = view.getUint32(0);
    assert.equal(n, numbers[i], `packet ${i}`);
    assert.equal(packet.data.length, variedLength(n));
    assert.equal(packet.len, variedLength(n) + 3);
    const at = (n % SLOTS) * SLOT_BYTES;
    for (let k = 4; k < packet.data.length; k += 97) assert.equal(packet.data[k], ((at + k) * 7) & 0xff);
  }
}

export const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i);
