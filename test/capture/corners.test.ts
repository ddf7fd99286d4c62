/** What seldom happens to files being written: the clock is put back, a pipe is asked for its next file. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import t from 'tap';
import { openCaptureSink } from '../../src/capture/sink/open.ts';
import { Rotation } from '../../src/capture/sink/rotation.ts';
import { anonymousRegion } from '../../src/device/host.ts';
import { RingBlock, RingWord } from '../../src/device/ring_block.ts';
import { FrameMaker, START_SEC, spec } from './sink_rig.ts';

const HOUR_MS = 3_600_000;
const START_MS = START_SEC * 1000;
const PCAP_HEADER_BYTES = 24;

function scratch(t: { teardown(action: () => void): unknown }): string {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'tsr-corners-'));
  t.teardown(() => fs.rmSync(folder, { recursive: true, force: true }));
  return folder;
}

t.test('a clock that is put back: what is buffered is written, a file is no hour longer', (t) => {
  const file = path.join(scratch(t), 'back.pcap');
  const sink = openCaptureSink(spec(file), START_MS);
  sink.writeBatch(new FrameMaker().next(10));
  sink.tick(START_MS + 10);
  t.equal(fs.statSync(file).size, PCAP_HEADER_BYTES, 'not written yet');
  sink.tick(START_MS - HOUR_MS);
  t.ok(fs.statSync(file).size > PCAP_HEADER_BYTES);
  sink.close();
  for (const naming of ['tcpdump', 'dumpcap'] as const) {
    const rotation = new Rotation('x.pcap', '', { naming, durationMs: 60_000 });
    rotation.begin(START_MS);
    t.equal(rotation.isTimeDue(START_MS + 59_999), false);
    t.equal(rotation.isTimeDue(START_MS - HOUR_MS), false);
    t.equal(rotation.isTimeDue(START_MS - HOUR_MS + 59_999), false);
    t.equal(rotation.isTimeDue(START_MS - HOUR_MS + 60_000), true);
  }
  t.end();
});

t.test('a pipe that is asked for its next file stays the only one', (t) => {
  const folder = scratch(t);
  const fifo = path.join(folder, 'fifo');
  assert.equal(spawnSync('mkfifo', [fifo]).status, 0);
  const reader = fs.openSync(fifo, fs.constants.O_RDWR | fs.constants.O_NONBLOCK);
  const sink = openCaptureSink(spec(fifo));
  sink.writeBatch(new FrameMaker(() => 60).next(10));
  sink.rotate();
  t.equal(fs.readSync(reader, new Uint8Array(65_536)), PCAP_HEADER_BYTES + 10 * 76, 'it is flushed');
  sink.writeBatch(new FrameMaker(() => 60).next(1));
  sink.close();
  t.equal(fs.readSync(reader, new Uint8Array(65_536)), 76);
  fs.closeSync(reader);
  t.strictSame(fs.readdirSync(folder), ['fifo']);
  t.equal(sink.stats.packets, 11);
  t.equal(sink.fault, null);
  t.end();
});

t.test('a name that comes again is a new file: nobody waits until the old one is emptied', (t) => {
  const folder = scratch(t);
  const rotation = { naming: 'tcpdump', fileBytes: 1000, files: 2 } as const;
  const sink = openCaptureSink(spec(path.join(folder, 'r'), { rotation }));
  const maker = new FrameMaker(() => 60);
  sink.writeBatch(maker.next(14));
  sink.flush();
  const first = path.join(folder, 'r0');
  const reader = fs.openSync(first, 'r');
  const bytes = fs.fstatSync(reader).size;
  sink.writeBatch(maker.next(28));
  sink.close();
  t.strictSame(fs.readdirSync(folder).toSorted(), ['r0', 'r1']);
  t.equal(sink.stats.filesRemoved, 2, 'both names came again');
  t.ok(fs.statSync(first).ino !== fs.fstatSync(reader).ino);
  t.equal(fs.fstatSync(reader).size, bytes, 'who reads the old one reads it to its end');
  t.equal(fs.readFileSync(first).readUInt32BE(PCAP_HEADER_BYTES + 16), 2 * 13, 'the third file: 13 frames are in each');
  fs.closeSync(reader);
  t.end();
});

t.test('a rotation while the compressor’s block is empty', { skip: hasZstd() }, (t) => {
  const folder = scratch(t);
  const sink = openCaptureSink(
    spec(path.join(folder, 'z'), { compress: { codec: 'zstd', level: 1 }, compressorBehind: 'wait' }),
  );
  sink.prepareBlocks();
  const block = endOfRing();
  sink.writeBlock(block);
  t.equal(block.left, 1, 'the last frame of a ring becomes a batch');
  sink.rotate();
  const maker = new FrameMaker(() => 60);
  sink.writeBatch(maker.next(100));
  sink.close();
  t.equal(sink.stats.packets, 100);
  const { stdout } = spawnSync('zstd', ['-dc', path.join(folder, 'z1.zst')]);
  assert.equal(stdout.length, PCAP_HEADER_BYTES + 100 * 76);
  for (let n = 0; n < 100; n++) assert.equal(stdout.readUInt32BE(PCAP_HEADER_BYTES + n * 76 + 16), n);
  t.end();
});

function hasZstd(): string | false {
  return spawnSync('zstd', ['--version']).status === 0 ? false : 'needs zstd';
}

/** One frame that ends where the ring ends. */
function endOfRing(): RingBlock {
  const region = anonymousRegion(4096);
  const block = new RingBlock(region, 262_144);
  block.words[RingWord.Caplen] = 60;
  block.words[RingWord.Start] = 4096 - 60;
  block.left = 1;
  return block;
}
