/** Frames of a receive ring that go into files without becoming a batch: the same bytes, whatever they are. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import t from 'tap';
import { FrameBatch } from '../../src/base/batch.ts';
import type { Region } from '../../src/base/region.ts';
import { openCaptureSink } from '../../src/capture/sink/open.ts';
import type { CaptureSink } from '../../src/capture/sink/sink.ts';
import { anonymousRegion } from '../../src/device/host.ts';
import { RING_HAS_TAG, RingBlock, RingWord } from '../../src/device/ring_block.ts';
import { START_SEC, spec } from './sink_rig.ts';

const HEADER_BYTES = 96;
const BLOCK_BYTES = 512 * 1024;
/** From runs of the interpreter to optimised code. */
const ROUNDS = 120;

/** 32-bit halves of doubles that are no number, quiet and signalling, and of one that is. */
const HALVES = [0x7ff00000, 1, 0xfff80000, 0xdeadbeef, 0x7ff7ffff, 0xffffffff, 0x40490fdb, 0];

/** A block as the kernel fills it, frames of `lengthOf` bytes until it is full; every 50th with a tag taken out. */
class MadeBlock {
  readonly region: Region = anonymousRegion(BLOCK_BYTES);
  readonly block: RingBlock = new RingBlock(this.region);
  readonly batch: FrameBatch = new FrameBatch(1, this.region);
  readonly lengths: number[] = [];

  constructor(lengthOf: (n: number) => number) {
    const { words } = this.block;
    for (let i = 0; i < words.length; i++) words[i] = HALVES[(i * 5 + (i >>> 4)) % HALVES.length]!;
    let frame = 64;
    for (let n = 0; frame + HEADER_BYTES + lengthOf(n) <= BLOCK_BYTES; n++) {
      const word = frame >>> 2;
      const bytes = lengthOf(n);
      const next = HEADER_BYTES + ((bytes + 7) & ~7);
      words[word + RingWord.Next] = next;
      words[word + RingWord.Sec] = START_SEC + n;
      words[word + RingWord.Nsec] = 987_654_321 - n;
      words[word + RingWord.Caplen] = bytes;
      words[word + RingWord.Len] = bytes + 5;
      words[word + RingWord.Status] = n % 50 === 49 ? RING_HAS_TAG : 1;
      words[word + RingWord.Start] = 0x7777_0000 + HEADER_BYTES - 10 - (n % 3);
      this.lengths.push(bytes);
      frame += next;
    }
  }

  /** Gives all frames to the sink, as the capturing thread does. */
  offer(sink: CaptureSink): void {
    const { block, batch, lengths } = this;
    block.frame = 64;
    block.left = lengths.length;
    while (block.left > 0) {
      sink.writeBlock(block);
      if (block.left === 0) return;
      const word = block.frame >>> 2;
      const bytes = block.words[word + RingWord.Caplen]!;
      batch.count = 1;
      batch.at[0] = block.frame + (block.words[word + RingWord.Start]! & 0xffff);
      batch.caplen[0] = bytes;
      batch.len[0] = bytes + 5;
      batch.sec[0] = block.words[word + RingWord.Sec]!;
      batch.nsec[0] = block.words[word + RingWord.Nsec]!;
      batch.linktype[0] = 1;
      block.frame += block.words[word + RingWord.Next]!;
      block.left--;
      sink.writeBatch(batch);
    }
  }

  /** The records that a pcap file is to have. */
  records(unitNs: number): Uint8Array {
    const parts: Uint8Array[] = [];
    let frame = 64;
    for (const [n, bytes] of this.lengths.entries()) {
      const fraction = Math.floor((987_654_321 - n) / unitNs);
      parts.push(new Uint8Array(Uint32Array.of(START_SEC + n, fraction, bytes, bytes + 5).buffer));
      const at = frame + HEADER_BYTES - 10 - (n % 3);
      parts.push(this.region.bytes.slice(at, at + bytes));
      frame += HEADER_BYTES + ((bytes + 7) & ~7);
    }
    return Buffer.concat(parts);
  }
}

const LENGTHS: Readonly<Record<string, (n: number) => number>> = {
  short: (n) => 40 + (n % 97),
  long: (n) => 760 + ((n * 31) % 5000),
  mixed: (n) => (n % 3 === 0 ? 54 + (n % 7) : (n * 131) % 1515),
};

function scratch(t: { teardown(action: () => void): unknown }): string {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'tsr-blocks-'));
  t.teardown(() => fs.rmSync(folder, { recursive: true, force: true }));
  return folder;
}

t.test('every length and every bit, from the first block to optimised code', (t) => {
  const folder = scratch(t);
  for (const [name, lengthOf] of Object.entries(LENGTHS)) {
    for (const timestampDigits of [9, 6] as const) {
      const file = path.join(folder, `${name}-${timestampDigits}.pcap`);
      const made = new MadeBlock(lengthOf);
      const sink = openCaptureSink(spec(file, { timestampDigits }));
      for (let round = 0; round < ROUNDS; round++) made.offer(sink);
      sink.close();
      assert.equal(sink.stats.packets, made.lengths.length * ROUNDS);
      assert.equal(sink.stats.bytes, made.lengths.reduce((sum, bytes) => sum + bytes, 0) * ROUNDS);
      const wanted = made.records(timestampDigits === 9 ? 1 : 1000);
      const found = fs.readFileSync(file);
      assert.equal(found.length, 24 + wanted.length * ROUNDS);
      for (let round = 0; round < ROUNDS; round++) {
        const at = 24 + round * wanted.length;
        assert.equal(found.compare(wanted, 0, wanted.length, at, at + wanted.length), 0, `${name}, round ${round}`);
      }
      fs.rmSync(file);
    }
  }
  t.ok(true);
  t.end();
});

t.test('other ways out take the same frames: compressed, pcapng', (t) => {
  const folder = scratch(t);
  const made = new MadeBlock(LENGTHS['mixed']!);
  const zstd = openCaptureSink(
    spec(path.join(folder, 'z.pcap'), { compress: { codec: 'zstd', level: 1 }, compressorBehind: 'wait' }),
  );
  const pcapng = openCaptureSink(spec(path.join(folder, 'n.pcapng'), { format: 'pcapng' }));
  for (const sink of [zstd, pcapng]) {
    for (let round = 0; round < 5; round++) made.offer(sink);
    sink.close();
    t.equal(sink.stats.packets, made.lengths.length * 5);
    t.equal(sink.fault, null);
  }
  t.end();
});

t.test('files of a rotation hold whole records, each frame in one of them', (t) => {
  const folder = scratch(t);
  const made = new MadeBlock(LENGTHS['mixed']!);
  const rotation = { naming: 'tcpdump', fileBytes: 100_000 } as const;
  const index = path.join(folder, 'index');
  const sink = openCaptureSink(spec(path.join(folder, 'r'), { rotation, indexPath: index }));
  for (let round = 0; round < 4; round++) made.offer(sink);
  sink.close();
  let packets = 0;
  for (const line of fs.readFileSync(index, 'utf8').trim().split('\n')) {
    const entry = JSON.parse(line) as { file: string; packets: number; first: string; last: string };
    packets += entry.packets;
    const bytes = fs.readFileSync(entry.file);
    assert.ok(bytes.length <= 100_000 + 16 + 1515, `${bytes.length}`);
    let at = 24;
    let found = 0;
    for (; at < bytes.length; found++) at += 16 + bytes.readUInt32LE(at + 8);
    assert.equal(at, bytes.length);
    assert.equal(found, entry.packets);
    const firstMs = Math.floor((bytes.readUInt32LE(24) + bytes.readUInt32LE(28) * 1e-9) * 1000);
    assert.equal(entry.first, new Date(firstMs).toISOString());
    assert.ok(Date.parse(entry.last) >= START_SEC * 1000);
  }
  t.equal(packets, made.lengths.length * 4);
  const counted = openCaptureSink(
    spec(path.join(folder, 'c'), { rotation: { naming: 'tcpdump', packets: 10 }, pageCache: 'keep' }),
  );
  made.offer(counted);
  counted.close();
  t.equal(counted.stats.files, Math.ceil(made.lengths.length / 10));
  t.equal(counted.stats.packets, made.lengths.length);
  t.end();
});
