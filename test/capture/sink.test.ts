import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { FrameBatch } from '../../src/base/batch.ts';
import { OperatorError } from '../../src/base/errors.ts';
import { plainRegion } from '../../src/base/region.ts';
import { BlockKind, BlockQueue } from '../../src/capture/sink/block_queue.ts';
import { openCaptureSink } from '../../src/capture/sink/open.ts';
import { Rotation, RotationReason } from '../../src/capture/sink/rotation.ts';
import type { CaptureSink } from '../../src/capture/sink/sink.ts';
import { CACHED_BYTES_MAX } from '../../src/device/disk_file.ts';
import { cachedBytes } from '../../src/device/host.ts';
import { openCapture } from '../../src/pcap/index.ts';
import { assertFrames, FrameMaker, range, START_SEC, spec } from './sink_rig.ts';

const isRoot = process.getuid?.() === 0;
const hasTcpdump = spawnSync('tcpdump', ['--version']).status === 0;
const child = fileURLToPath(new URL('./sink_child.js', import.meta.url));

function scratch(t: { teardown(action: () => void): unknown }): string {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'tsr-sink-'));
  t.teardown(() => fs.rmSync(folder, { recursive: true, force: true }));
  return folder;
}

interface Packet {
  readonly data: Uint8Array;
  readonly len: number;
  readonly sec: number;
  readonly nsec: number;
}

/** Packets of a file up to its end or its fault. */
function read(file: string): { packets: Packet[]; error: string } {
  const packets: Packet[] = [];
  const reader = openCapture(file);
  const batch = new FrameBatch(256, plainRegion(0));
  let error = '';
  try {
    while (reader.read(batch) > 0) {
      for (let i = 0; i < batch.count; i++) {
        const at = batch.at[i]!;
        const data = batch.region.bytes.slice(at, at + batch.caplen[i]!);
        packets.push({ data, len: batch.len[i]!, sec: batch.sec[i]!, nsec: batch.nsec[i]! });
      }
    }
  } catch (caught) {
    error = (caught as Error).message;
  }
  reader.close();
  return { packets, error };
}

const readFiles = (files: readonly string[]): Packet[] => files.flatMap((file) => read(file).packets);
/** Bytes of all files. Files come and go while they are counted: what is above `limit` is counted again. */
function sizes(folder: string, limit: number): number {
  let sum = 0;
  for (let attempt = 0; attempt < 5; attempt++) {
    sum = 0;
    for (const name of fs.readdirSync(folder)) {
      sum += fs.statSync(path.join(folder, name), { throwIfNoEntry: false })?.size ?? 0;
    }
    if (sum <= limit) return sum;
  }
  return sum;
}

function write(sink: CaptureSink, maker: FrameMaker, batches: number): void {
  for (let n = 0; n < batches; n++) {
    sink.writeBatch(maker.next());
    sink.tick(Date.now());
  }
}

/** Every frame offered is in exactly one count. */
function conserved(sink: CaptureSink, offered: number): void {
  const { packets, droppedCompressor, droppedDiskFull, droppedEnded, droppedUnwritable } = sink.stats;
  assert.equal(packets + droppedCompressor + droppedDiskFull + droppedEnded + droppedUnwritable, offered);
}

t.test('both formats, both resolutions, plain and compressed', (t) => {
  const folder = scratch(t);
  for (const format of ['pcap', 'pcapng'] as const) {
    for (const timestampDigits of [6, 9] as const) {
      for (const codec of [null, 'zstd', 'gzip'] as const) {
        const file = path.join(folder, `${format}-${timestampDigits}-${codec}`);
        const compress = codec === null ? {} : { compress: { codec, level: 3 }, compressorBehind: 'wait' as const };
        const sink = openCaptureSink(spec(file, { format, timestampDigits, ...compress }));
        sink.setInterfaceCounts(0, { received: 9000, droppedByKernel: 7, droppedByInterface: 5 });
        const maker = new FrameMaker();
        write(sink, maker, 20);
        sink.close();
        assert.equal(sink.fault, null);
        assert.equal(sink.stats.packets, 5120);
        conserved(sink, 5120);
        const suffix = codec === null ? '' : codec === 'zstd' ? '.zst' : '.gz';
        assert.equal(sink.stats.fileBytes, fs.statSync(file + suffix).size);
        const { packets, error } = read(file + suffix);
        assert.equal(error, '');
        assertFrames(packets, range(0, 5120));
        const stamp = packets[4321]!;
        assert.equal(stamp.sec, START_SEC + 4);
        assert.equal(stamp.nsec, 321_000_000 + (timestampDigits === 9 ? 123_456 : 123_000));
      }
    }
  }
  const details = openCapture(path.join(folder, 'pcapng-9-null'), { details: true });
  const batch = new FrameBatch(256, plainRegion(0));
  while (details.read(batch) > 0) assert.ok(batch.count > 0);
  t.match(details.details!.interfaces[0], { filter: 'tcp port 80', os: 'Linux' });
  t.match(details.details!.sections[0], { application: 'tscap' });
  t.match(details.details!.statistics, [{ received: 9000, dropped: 5, droppedByOs: 7 }]);
  details.close();
  t.end();
});

t.test('what a file cannot say is counted', (t) => {
  const file = path.join(scratch(t), 'x.pcap');
  const sink = openCaptureSink(spec(file));
  const maker = new FrameMaker();
  const batch = maker.next(4);
  batch.linktype[1] = 113;
  sink.writeBatch(batch);
  sink.close();
  t.equal(sink.stats.droppedUnwritable, 1);
  assertFrames(read(file).packets, [0, 2, 3]);
  conserved(sink, 4);
  t.end();
});

t.test('names of tcpdump', { skip: hasTcpdump ? false : 'needs tcpdump' }, (t) => {
  const folder = scratch(t);
  const source = path.join(folder, 'source');
  const whole = openCaptureSink(spec(source));
  write(whole, new FrameMaker(), 40);
  whole.close();
  for (const files of [undefined, 1, 3, 12]) {
    const theirs = fs.mkdtempSync(path.join(folder, 'theirs-'));
    const ours = fs.mkdtempSync(path.join(folder, 'ours-'));
    const ring = files === undefined ? [] : ['-W', String(files)];
    const run = spawnSync('tcpdump', ['-r', source, '-w', path.join(theirs, 'x%H'), '-C', '1', ...ring, '-Z', 'root']);
    assert.equal(run.status, 0, String(run.stderr));
    const rotation = { naming: 'tcpdump' as const, fileBytes: 1_000_000, ...(files === undefined ? {} : { files }) };
    const sink = openCaptureSink(spec(path.join(ours, 'x%H'), { rotation }));
    write(sink, new FrameMaker(), 40);
    sink.close();
    t.same(fs.readdirSync(ours), fs.readdirSync(theirs), `-C 1 -W ${files}`);
    for (const name of fs.readdirSync(ours)) {
      t.equal(fs.statSync(path.join(ours, name)).size, fs.statSync(path.join(theirs, name)).size, name);
    }
  }
  t.end();
});

t.test('names by time, of tcpdump and of dumpcap', (t) => {
  const noon = new Date(2024, 0, 31, 12, 0, 0).getTime();
  const timed = new Rotation('/d/x-%Y%m%d-%H%M%S.pcap', '', { naming: 'tcpdump', durationMs: 60_000, files: 2 });
  t.equal(timed.begin(noon), '/d/x-20240131-120000.pcap');
  t.notOk(timed.isTimeDue(noon + 59_999));
  t.ok(timed.isTimeDue(noon + 60_000));
  timed.finished(RotationReason.Time);
  t.equal(timed.begin(noon + 61_000), '/d/x-20240131-120101.pcap');
  t.notOk(timed.isOver);
  timed.finished(RotationReason.Time);
  t.ok(timed.isOver, '-W without -C ends the capture');
  const both = new Rotation('x%S', '.gz', { naming: 'tcpdump', durationMs: 60_000, fileBytes: 1000, files: 10 });
  t.equal(both.begin(noon), 'x000.gz');
  t.equal(both.due(1000, 5), RotationReason.None);
  t.equal(both.due(1001, 5), RotationReason.Size);
  t.equal(both.begin(noon + 5000), 'x001.gz', 'the time in the name is that of the period');
  both.finished(RotationReason.Time);
  t.equal(both.begin(noon + 63_000), 'x030.gz');
  const dumpcap = new Rotation('/d/x.pcapng', '', {
    naming: 'dumpcap',
    fileBytes: 1000,
    intervalMs: 3_600_000,
    files: 3,
  });
  t.equal(dumpcap.begin(noon), '/d/x_00001_20240131120000.pcapng');
  t.equal(dumpcap.due(1000, 1), RotationReason.Size);
  t.equal(dumpcap.begin(noon + 1000), '/d/x_00002_20240131120001.pcapng');
  // Of UTC, as dumpcap counts: half past in India.
  const hour = Math.ceil((noon + 1000) / 3_600_000) * 3_600_000;
  t.notOk(dumpcap.isTimeDue(hour - 1));
  t.ok(dumpcap.isTimeDue(hour), 'at the full hour');
  t.equal(dumpcap.filesKept, 3);
  const named = new Rotation('x.pcap.zst', '.zst', { naming: 'dumpcap', packets: 9 });
  t.match(named.begin(noon), /^x_00001_\d+\.pcap\.zst$/, 'a name that ends as compressed files do');
  const hourly = new Rotation('x-%H', '', { naming: 'tcpdump', durationMs: 3_600_000 });
  t.equal(hourly.begin(noon), 'x-12');
  hourly.finished(RotationReason.Asked);
  t.equal(hourly.begin(noon + 1000), 'x-121', 'SIGHUP within a period writes over nothing');
  hourly.finished(RotationReason.Time);
  t.equal(hourly.begin(noon + 3_600_000), 'x-13');
  t.end();
});

t.test('rotation: no packet lost or split, rings, an index, SIGHUP', (t) => {
  const folder = scratch(t);
  const index = path.join(folder, 'index');
  const maker = new FrameMaker();
  const start = Date.now();
  const sink = openCaptureSink(
    spec(path.join(folder, 'x.pcap'), { indexPath: index, rotation: { naming: 'dumpcap', packets: 700 } }),
    start,
  );
  write(sink, maker, 10);
  sink.rotate();
  write(sink, maker, 1);
  sink.close();
  const lines = fs.readFileSync(index, 'utf8').trim().split('\n');
  const entries = lines.map(
    (line) => JSON.parse(line) as { file: string; packets: number; fileBytes: number; reason: string; last: string },
  );
  t.same(
    entries.map((entry) => entry.packets),
    [700, 700, 700, 460, 256],
  );
  t.same(
    entries.map((entry) => entry.reason),
    ['packets', 'packets', 'packets', 'asked', 'end'],
  );
  let frame = 0;
  for (const entry of entries) {
    assert.equal(fs.statSync(entry.file).size, entry.fileBytes);
    frame += entry.packets;
    const last = new Date((START_SEC + Math.floor((frame - 1) / 1000)) * 1000 + ((frame - 1) % 1000));
    assert.equal(entry.last, last.toISOString(), 'also where a batch is split between files');
  }
  assertFrames(readFiles(entries.map((entry) => entry.file)), range(0, 11 * 256));
  const ring = fs.mkdtempSync(path.join(folder, 'ring-'));
  const kept = openCaptureSink(
    spec(path.join(ring, 'x.pcap'), { rotation: { naming: 'dumpcap', packets: 256, files: 3 } }),
  );
  write(kept, new FrameMaker(), 9);
  kept.close();
  const left = fs.readdirSync(ring).sort();
  t.same(
    left.map((name) => name.slice(0, 7)),
    ['x_00007', 'x_00008', 'x_00009'],
  );
  t.equal(kept.stats.filesRemoved, 6);
  const queue = new BlockQueue();
  queue.publish(BlockKind.Records, 100, 7, 90);
  queue.publish(BlockKind.Records, 100, 5, 60);
  queue.release();
  t.same([queue.pendingPackets, queue.pendingBytes], [5, 60], 'what a compressor that died did not take');
  const quiet = fs.mkdtempSync(path.join(folder, 'quiet-'));
  const timed = openCaptureSink(
    spec(path.join(quiet, 'x%s'), { rotation: { naming: 'tcpdump', durationMs: 1000 } }),
    start,
  );
  const frames = new FrameMaker();
  timed.writeBatch(frames.next(5));
  for (let ms = 0; ms < 5000; ms += 100) timed.tick(start + ms);
  t.equal(fs.readdirSync(quiet).length, 1, 'no empty files in quiet times');
  timed.writeBatch(frames.next(5));
  timed.close();
  t.equal(fs.readdirSync(quiet).length, 2);
  t.end();
});

t.test('a disk limit is never exceeded', (t) => {
  const folder = scratch(t);
  const limit = 4 << 20;
  for (const codec of [null, 'gzip'] as const) {
    for (const diskFull of ['remove-oldest', 'stop'] as const) {
      const place = fs.mkdtempSync(path.join(folder, 'limit-'));
      const compress = codec === null ? {} : { compress: { codec, level: 1 }, compressorBehind: 'wait' as const };
      const sink = openCaptureSink(
        spec(path.join(place, 'x'), {
          ...compress,
          diskBytesMax: limit,
          diskFull,
          indexPath: path.join(place, 'index'),
          rotation: { naming: 'dumpcap', fileBytes: codec === null ? 600_000 : 2_000_000 },
        }),
      );
      const maker = new FrameMaker();
      let most = 0;
      for (let n = 0; n < (codec === null ? 100 : 1200); n++) {
        write(sink, maker, 1);
        if (n % 5 === 0) most = Math.max(most, sizes(place, limit));
      }
      sink.close();
      assert.ok(Math.max(most, sizes(place, limit)) <= limit, `${most} of ${limit}`);
      conserved(sink, maker.count);
      const names = fs
        .readdirSync(place)
        .filter((name) => name !== 'index')
        .sort();
      for (const name of names) assert.equal(read(path.join(place, name)).error, '', name);
      if (diskFull === 'stop') t.ok(sink.stats.droppedDiskFull > 0 && sink.stats.isDiskFull, 'stops and counts');
      else t.ok(sink.stats.filesRemoved > 0 && sink.stats.droppedDiskFull === 0, 'the oldest files make room');
    }
  }
  t.end();
});

t.test('a disk limit and files by the time: the newest packets are kept', (t) => {
  const folder = scratch(t);
  const limit = 4 << 20;
  const rotation = { naming: 'tcpdump' as const, durationMs: 3_600_000 };
  const sink = openCaptureSink(spec(path.join(folder, 'x-%Y'), { diskBytesMax: limit, rotation }));
  const maker = new FrameMaker();
  for (let n = 0; n < 60; n++) {
    write(sink, maker, 1);
    assert.ok(sizes(folder, limit) <= limit);
  }
  sink.close();
  conserved(sink, maker.count);
  t.equal(sink.stats.droppedDiskFull, 0);
  t.ok(sink.stats.filesRemoved > 2);
  const names = fs.readdirSync(folder).sort((a, b) => Number(a.slice(6)) - Number(b.slice(6)));
  const packets = readFiles(names.map((name) => path.join(folder, name)));
  assertFrames(packets, range(maker.count - packets.length, maker.count));
  t.ok(packets.reduce((sum, one) => sum + one.data.length, 0) > limit / 2, 'most of the room is used');
  t.end();
});

t.test(
  'a full disk: counted, valid, and on again when there is room',
  { skip: isRoot ? false : 'needs root (mount)' },
  (t) => {
    const folder = scratch(t);
    for (const codec of [null, 'zstd'] as const) {
      const disk = path.join(folder, `disk-${codec}`);
      fs.mkdirSync(disk);
      const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=2M', 'tmpfs', disk]);
      if (mounted.status !== 0) {
        t.comment('cannot mount a tmpfs here');
        continue;
      }
      t.teardown(() => spawnSync('umount', ['-l', disk]));
      const ballast = path.join(disk, 'ballast');
      fs.writeFileSync(ballast, Buffer.alloc(codec === null ? 1_000_000 : 2_000_000));
      const compress = codec === null ? {} : { compress: { codec, level: 1 }, compressorBehind: 'wait' as const };
      const file = path.join(disk, 'x.pcap');
      const sink = openCaptureSink(spec(file, { ...compress, flushMs: 0 }));
      const maker = new FrameMaker();
      // compressed frames are small: the file fills when its ballast leaves little
      for (let n = 0; n < 400 && !sink.stats.isDiskFull; n++) write(sink, maker, 1);
      sink.flush();
      t.ok(sink.stats.isDiskFull, `${codec}: it says so`);
      t.equal(sink.fault, null, 'no fault');
      const name = codec === null ? file : `${file}.zst`;
      const before = read(name);
      assert.equal(before.error, '', 'valid while the disk is full');
      fs.truncateSync(ballast, 0);
      write(sink, maker, 2);
      sink.close();
      conserved(sink, maker.count);
      const after = read(name);
      assert.equal(after.error, '');
      assert.equal(after.packets.length, sink.stats.packets);
      t.ok(sink.stats.droppedDiskFull > 0 && after.packets.length >= before.packets.length + 256, 'it goes on');
      t.notOk(sink.stats.isDiskFull);
      spawnSync('umount', [disk]);
    }
    t.end();
  },
);

t.test('a compressor that is behind drops and counts, within bounds', (t) => {
  const folder = scratch(t);
  const file = path.join(folder, 'x.pcap');
  const sink = openCaptureSink(spec(file, { compress: { codec: 'zstd', level: 19 } }));
  const maker = new FrameMaker();
  write(sink, maker, 800);
  t.ok(sink.stats.droppedCompressor > 0);
  sink.close();
  conserved(sink, maker.count);
  const { packets, error } = read(`${file}.zst`);
  t.equal(error, '');
  t.equal(packets.length, sink.stats.packets);
  t.end();
});

t.test('what cannot be opened is an operator’s fault', (t) => {
  const folder = scratch(t);
  const missing = path.join(folder, 'none/x.pcap');
  for (const more of [{}, { compress: { codec: 'zstd', level: 3 } as const }]) {
    t.throws(() => openCaptureSink(spec(missing, more)), OperatorError);
    t.throws(() => openCaptureSink(spec(missing, more)), /none\/x\.pcap.*No such file/);
  }
  t.throws(() => openCaptureSink(spec(folder)), OperatorError);
  const usage = [
    { interfaces: [] },
    { diskBytesMax: 5 },
    { compress: { codec: 'gzip', level: 12 } as const },
    { rotation: { naming: 'dumpcap', files: 0 } as const },
    { path: '-', rotation: { naming: 'dumpcap', packets: 5 } as const },
  ];
  for (const more of usage)
    t.throws(() => openCaptureSink({ ...spec(path.join(folder, 'x')), ...more }), OperatorError);
  t.end();
});

t.test('standard output: a reader that leaves ends the capture, without a fault', async (t) => {
  const run = spawn('/bin/sh', ['-c', `"${process.execPath}" "${child}" - pcap | head -c 3000000 > /dev/null`]);
  let text = '';
  run.stderr.on('data', (data: Buffer) => (text += data.toString()));
  await new Promise((resolve) => run.on('close', resolve));
  const report = JSON.parse(text) as { fault: string | null; packets: number; droppedEnded: number; offered: number };
  t.equal(report.fault, null);
  t.ok(report.packets > 1000 && report.offered < 100_000, `${report.packets} of ${report.offered}`);
  t.equal(report.packets + report.droppedEnded, report.offered);
});

t.test('kill -9 leaves at most one incomplete record', async (t) => {
  const folder = scratch(t);
  for (const [format, codec] of [
    ['pcap', '-'],
    ['pcapng', '-'],
    ['pcap', 'zstd'],
  ] as const) {
    const file = path.join(folder, `${format}${codec}`);
    const run = spawn(process.execPath, [child, file, format, codec], { stdio: 'ignore' });
    const name = codec === 'zstd' ? `${file}.zst` : file;
    const least = codec === 'zstd' ? 20_000 : 5_000_000;
    const until = Date.now() + 20_000;
    while (Date.now() < until && !(fs.existsSync(name) && fs.statSync(name).size > least)) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    run.kill('SIGKILL');
    await new Promise((resolve) => run.on('close', resolve));
    const { packets } = read(name);
    assertFrames(packets, range(0, packets.length));
    t.ok(packets.length > 1000, `${packets.length} packets`);
    if (codec !== '-') continue;
    const bytes = packets.reduce((sum, packet) => sum + packet.data.length + (format === 'pcap' ? 16 : 35), 0);
    t.ok(fs.statSync(name).size - bytes < 4000, 'what is behind the last packet is less than a record');
    fs.rmSync(name);
  }
});

const tmpType = spawnSync('stat', ['-f', '-c', '%T', os.tmpdir()], { encoding: 'utf8' }).stdout.trim();
const noDisk = tmpType === 'tmpfs' ? 'needs a file system with a disk behind it' : false;

t.test('written pages leave the page cache', { skip: noDisk }, (t) => {
  const folder = scratch(t);
  for (const pageCache of ['keep', 'drop'] as const) {
    const file = path.join(folder, pageCache);
    const sink = openCaptureSink(spec(file, { pageCache }));
    const maker = new FrameMaker(() => 1500);
    let most = 0;
    for (let n = 0; n < 24; n++) {
      write(sink, maker, 20);
      sink.flush();
      most = Math.max(most, cachedBytes(file));
    }
    const size = 24 * 20 * 256 * 1516;
    sink.close();
    if (pageCache === 'keep') t.ok(cachedBytes(file) > size * 0.9, 'kept pages are there: the measure measures');
    else {
      // readahead and metadata aside
      t.ok(cachedBytes(file) < 1 << 20, `${cachedBytes(file)} bytes of ${size} left`);
      t.ok(most <= CACHED_BYTES_MAX + (2 << 20), `${most} bytes at most while writing`);
    }
  }
  t.end();
});
