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
import { TP_STATUS_VLAN_TPID_VALID, Tpacket3Hdr } from '../../src/sys/layout.ts';
import { START_SEC, spec } from './sink_rig.ts';

const HEADER_BYTES = 96;
const BLOCK_BYTES = 512 * 1024;
/** From runs of the interpreter to optimised code. */
const ROUNDS = 80;

/** 32-bit halves of doubles that are no number, quiet and signalling, and of one that is. */
const HALVES = [0x7ff00000, 1, 0xfff80000, 0xdeadbeef, 0x7ff7ffff, 0xffffffff, 0x40490fdb, 0];

const TAG = 4;
const ADDRESSES = 12;

/** A block as the kernel fills it, frames of `lengthOf` bytes until it is full; from every 7th a tag was taken out. */
class MadeBlock {
  readonly region: Region = anonymousRegion(BLOCK_BYTES);
  readonly block: RingBlock;
  readonly batch: FrameBatch = new FrameBatch(1, this.region);
  /** As the file is to have them. */
  readonly lengths: number[] = [];
  readonly #pristine: Uint8Array;

  constructor(lengthOf: (n: number) => number, snaplen: number = 262_144) {
    this.block = new RingBlock(this.region, snaplen);
    const { words } = this.block;
    for (let i = 0; i < words.length; i++) words[i] = HALVES[(i * 5 + (i >>> 4)) % HALVES.length]!;
    let frame = 64;
    for (let n = 0; frame + HEADER_BYTES + lengthOf(n) <= BLOCK_BYTES; n++) {
      const word = frame >>> 2;
      const bytes = Math.min(snaplen, lengthOf(n));
      const next = HEADER_BYTES + ((bytes + 7) & ~7);
      words[word + RingWord.Next] = next;
      words[word + RingWord.Sec] = START_SEC + n;
      words[word + RingWord.Nsec] = 987_654_321 - n;
      words[word + RingWord.Caplen] = bytes;
      words[word + RingWord.Len] = lengthOf(n) + 5;
      words[word + RingWord.Status] = statusOf(n);
      words[word + RingWord.Start] = 0x7777_0000 + startOf(n);
      this.region.view.setUint32(frame + Tpacket3Hdr.VLAN_TCI, 0xabcd_0000 | tciOf(n), true);
      this.region.view.setUint16(frame + Tpacket3Hdr.VLAN_TPID, 0x88a8, true);
      this.lengths.push(this.#isTagged(n, bytes) ? Math.min(snaplen, bytes + TAG) : bytes);
      frame += next;
    }
    this.#pristine = this.region.bytes.slice();
  }

  #isTagged(n: number, bytes: number): boolean {
    return (statusOf(n) & RING_HAS_TAG) !== 0 && bytes >= ADDRESSES;
  }

  /** Gives all frames to the sink, as the capturing thread does. */
  offer(sink: CaptureSink): void {
    const { block, batch, lengths } = this;
    this.region.bytes.set(this.#pristine);
    block.frame = 64;
    block.left = lengths.length;
    while (block.left > 0) {
      sink.writeBlock(block);
      if (block.left === 0) return;
      const n = lengths.length - block.left;
      const word = block.frame >>> 2;
      const bytes = block.words[word + RingWord.Caplen]!;
      const isTagged = this.#isTagged(n, bytes);
      batch.count = 1;
      batch.at[0] = isTagged ? block.putTag(block.frame) : block.frame + startOf(n);
      batch.caplen[0] = lengths[n]!;
      batch.len[0] = block.words[word + RingWord.Len]! + (isTagged ? TAG : 0);
      batch.sec[0] = block.words[word + RingWord.Sec]!;
      batch.nsec[0] = block.words[word + RingWord.Nsec]!;
      batch.linktype[0] = 1;
      block.frame += block.words[word + RingWord.Next]!;
      block.left--;
      sink.writeBatch(batch);
    }
  }

  /** The frames that a file is to have: bytes, and length on the wire. */
  frames(): { data: Uint8Array; len: number }[] {
    const found = [];
    let frame = 64;
    for (const [n, length] of this.lengths.entries()) {
      const view = new DataView(this.#pristine.buffer, frame);
      const bytes = view.getUint32(RingWord.Caplen << 2, true);
      const len = view.getUint32(RingWord.Len << 2, true);
      const data = this.#pristine.slice(frame + startOf(n), frame + startOf(n) + bytes);
      frame += HEADER_BYTES + ((bytes + 7) & ~7);
      if (!this.#isTagged(n, bytes)) {
        found.push({ data, len });
        continue;
      }
      const ethertype = n % 2 === 0 ? [0x88, 0xa8] : [0x81, 0x00];
      const tag = Uint8Array.from([...ethertype, tciOf(n) >> 8, tciOf(n) & 255]);
      const whole = Buffer.concat([data.slice(0, ADDRESSES), tag, data.slice(ADDRESSES)]);
      found.push({ data: whole.subarray(0, length), len: len + TAG });
    }
    return found;
  }

  /** The records that a pcap file is to have. */
  records(unitNs: number): Uint8Array {
    const parts = this.frames().map(({ data, len }, n) => {
      const fraction = Math.floor((987_654_321 - n) / unitNs);
      return [new Uint8Array(Uint32Array.of(START_SEC + n, fraction, data.length, len).buffer), data];
    });
    return Buffer.concat(parts.flat());
  }

  /** The enhanced packet blocks that a pcapng file is to have. */
  packetBlocks(digits: 6 | 9): Uint8Array {
    const parts = this.frames().map(({ data, len }, n) => {
      const units = BigInt(START_SEC + n) * 10n ** BigInt(digits) + BigInt(987_654_321 - n) / 10n ** BigInt(9 - digits);
      const padding = -data.length & 3;
      const total = 32 + data.length + padding;
      const header = Uint32Array.of(6, total, 0, Number(units >> 32n), Number(units & 0xffff_ffffn), data.length, len);
      const end = new Uint8Array(Uint32Array.of(total).buffer);
      return [new Uint8Array(header.buffer), data, new Uint8Array(padding), end];
    });
    return Buffer.concat(parts.flat());
  }
}

const startOf = (n: number): number => HEADER_BYTES - 10 - (n % 3);
const tciOf = (n: number): number => (n * 37) & 0xffff;
/** Tags with their own ethertype, and tags whose ethertype the kernel does not say. */
const statusOf = (n: number): number => (n % 7 !== 6 ? 1 : n % 2 === 0 ? 1 | TAGGED : 1 | RING_HAS_TAG);
const TAGGED: number = RING_HAS_TAG | TP_STATUS_VLAN_TPID_VALID;

const LENGTHS: Readonly<Record<string, (n: number) => number>> = {
  short: (n) => 40 + (n % 97),
  long: (n) => 760 + ((n * 31) % 5000),
  mixed: (n) => (n % 3 === 0 ? 54 + (n % 7) : (n * 131) % 1515),
};

const FORMATS = [
  ['pcap', 9],
  ['pcap', 6],
  ['pcapng', 9],
  ['pcapng', 6],
] as const;

function scratch(t: { teardown(action: () => void): unknown }): string {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'tsr-blocks-'));
  t.teardown(() => fs.rmSync(folder, { recursive: true, force: true }));
  return folder;
}

t.test('every length and every bit, from the first block to optimised code', (t) => {
  const folder = scratch(t);
  for (const [name, lengthOf] of Object.entries(LENGTHS)) {
    for (const [format, timestampDigits] of FORMATS) {
      const file = path.join(folder, `${name}-${timestampDigits}.${format}`);
      const made = new MadeBlock(lengthOf);
      const sink = openCaptureSink(spec(file, { format, timestampDigits }));
      for (let round = 0; round < ROUNDS; round++) made.offer(sink);
      sink.close();
      assert.equal(sink.stats.packets, made.lengths.length * ROUNDS);
      assert.equal(sink.stats.bytes, made.lengths.reduce((sum, bytes) => sum + bytes, 0) * ROUNDS);
      const wanted =
        format === 'pcap' ? made.records(timestampDigits === 9 ? 1 : 1000) : made.packetBlocks(timestampDigits);
      const found = fs.readFileSync(file);
      const start = found.length - wanted.length * ROUNDS;
      assert.equal(start, headerBytes(found, format));
      for (let round = 0; round < ROUNDS; round++) {
        const at = start + round * wanted.length;
        assert.equal(found.compare(wanted, 0, wanted.length, at, at + wanted.length), 0, `${file}, round ${round}`);
      }
      fs.rmSync(file);
    }
  }
  t.ok(true);
  t.end();
});

/** Of a section and its interface. */
function headerBytes(file: Buffer, format: 'pcap' | 'pcapng'): number {
  if (format === 'pcap') return 24;
  const section = file.readUInt32LE(4);
  return section + file.readUInt32LE(section + 4);
}

t.test('a tag does not make a frame longer than what is kept of each', (t) => {
  const file = path.join(scratch(t), 'cut.pcap');
  const made = new MadeBlock(LENGTHS['mixed']!, 100);
  t.ok(made.frames().some(({ data, len }) => data.length === 100 && len > 104));
  const sink = openCaptureSink(spec(file));
  made.offer(sink);
  sink.close();
  t.equal(fs.readFileSync(file).compare(made.records(1), 0, undefined, 24), 0);
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
