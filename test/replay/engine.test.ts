import assert from 'node:assert/strict';
import fs from 'node:fs';
import t from 'tap';
import { FaultSink } from '../../src/device/fault.ts';
import { MemorySink } from '../../src/device/memory.ts';
import { PrepCacheBuilder, PrepVerdict } from '../../src/pcap/index.ts';
import { Cause } from '../../src/replay/causes.ts';
import { SendEnd } from '../../src/replay/send.ts';
import { toFile } from '../../src/replay/spec.ts';
import { numberedPackets, numberOf, runEngine, scratchFolder, writeCapture } from './rig.ts';

const LOOP = { count: 1, delayNs: 0, uniqueIp: false, uniqueIpEvery: 1, preload: false };
const SELECT = { include: null, exclude: null, filter: null, limit: 0, durationNs: 0 };
const MS = 1_000_000;

t.test('every packet leaves, unchanged, in order, at its time', async (t) => {
  const folder = scratchFolder(t);
  const packets = numberedPackets(1000, MS, 7);
  const file = writeCapture(folder, 'a.pcap', packets);
  const run = runEngine({ inputs: [file], rate: { kind: 'multiplier', factor: 5 } });
  t.equal(run.result.end, SendEnd.Sent);
  t.equal(run.frames.length, 1000);
  run.frames.forEach((frame, n) => {
    assert.deepEqual(Buffer.from(frame.bytes), packets[n]!.data);
    assert.equal(run.sentAtNs[n], (n * MS) / 5);
  });
  t.same([run.read, run.skipped], [1000, 0]);
});

t.test('several files one after the other, each anchored where the one before ended', async (t) => {
  const folder = scratchFolder(t);
  const a = writeCapture(folder, 'a.pcap', numberedPackets(3, MS));
  const b = writeCapture(folder, 'b.pcap', numberedPackets(3, 10 * MS));
  const run = runEngine({ inputs: [a, b, a] });
  t.same(
    run.sentAtNs,
    [0, 1, 2, 2, 12, 22, 22, 23, 24].map((ms) => ms * MS),
  );
  t.same(
    run.result.files.map((file) => file.packets),
    [3, 3, 3],
  );
});

t.test('loops: kept in memory or read again, the same packets and times', async (t) => {
  const folder = scratchFolder(t);
  const file = writeCapture(folder, 'a.pcap', numberedPackets(5, MS));
  for (const preload of [false, true]) {
    const run = runEngine({ inputs: [file], loop: { ...LOOP, count: 3, delayNs: 1_500_000_000, preload } });
    t.equal(run.frames.length, 15);
    t.same(
      run.frames.map((frame) => numberOf(frame.bytes)),
      [...Array(15).keys()].map((n) => n % 5),
    );
    const loopNs = 4 * MS + 1_500_000_000;
    t.same(
      run.sentAtNs,
      [...Array(15).keys()].map((n) => Math.floor(n / 5) * loopNs + (n % 5) * MS),
    );
    t.equal(run.result.loops, 3);
    t.equal(run.read, 15);
  }
  const many = runEngine({ inputs: [file], rate: { kind: 'topspeed' }, loop: { ...LOOP, count: 10_000 } });
  t.equal(many.frames.length, 50_000);
  t.equal(many.result.loops, 10_000);
});

t.test('unique-ip: every loop has addresses of its own, sums stay valid, the first loop is the original', async (t) => {
  const folder = scratchFolder(t);
  const file = writeCapture(folder, 'a.pcap', numberedPackets(4, MS, 4));
  const loops = 300;
  const run = runEngine({
    inputs: [file],
    rate: { kind: 'topspeed' },
    loop: { ...LOOP, count: loops, uniqueIp: true },
  });
  const pairs = new Set(run.frames.map((frame) => Buffer.from(frame.bytes.subarray(26, 34)).toString('hex')));
  t.equal(pairs.size, 4 * loops);
  for (const frame of run.frames) {
    let sum = 0;
    for (let at = 14; at < 34; at += 2) sum += Buffer.from(frame.bytes).readUInt16BE(at);
    while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
    assert.equal(sum, 0xffff);
  }
  t.same([...run.frames[0]!.bytes.subarray(26, 34)], [10, 0, 0, 1, 10, 1, 0, 9]);
  const every2 = runEngine({
    inputs: [file],
    rate: { kind: 'topspeed' },
    loop: { ...LOOP, count: 6, uniqueIp: true, uniqueIpEvery: 2 },
  });
  t.same(
    every2.frames.filter((_, n) => n % 4 === 0).map((frame) => frame.bytes[29]),
    [1, 1, 0, 0, 255, 255],
    'new addresses every two loops',
  );
});

t.test('selection: ranges, filter, limit, duration; what is left out is counted by cause', async (t) => {
  const folder = scratchFolder(t);
  const file = writeCapture(folder, 'a.pcap', numberedPackets(100, MS, 2));
  const numbers = (run: ReturnType<typeof runEngine>) => run.frames.map((frame) => numberOf(frame.bytes) + 1);
  const rate = { kind: 'topspeed' } as const;
  const include = [
    { first: 3, last: 5 },
    { first: 98, last: Number.POSITIVE_INFINITY },
  ];
  const some = runEngine({ inputs: [file], rate, select: { ...SELECT, include } });
  t.same(numbers(some), [3, 4, 5, 98, 99, 100]);
  t.equal(some.result.tally[Cause.NotIncluded], 94);
  const rest = runEngine({ inputs: [file], rate, select: { ...SELECT, exclude: include } });
  t.equal(rest.frames.length, 94);
  const filtered = runEngine({ inputs: [file], rate, select: { ...SELECT, filter: 'src host 10.0.0.2' } });
  t.same(
    numbers(filtered),
    [...Array(50).keys()].map((n) => 2 * n + 2),
  );
  t.equal(filtered.result.tally[Cause.Filtered], 50);
  t.same([filtered.read, filtered.skipped], [100, 50]);
  const limited = runEngine({ inputs: [file], rate, select: { ...SELECT, limit: 130 }, loop: { ...LOOP, count: 0 } });
  t.equal(limited.frames.length, 130);
  t.equal(limited.read, 130, 'what was read ahead does not count');
  const timed = runEngine({ inputs: [file], select: { ...SELECT, durationNs: 10 * MS } });
  t.equal(timed.frames.length, 10);
  t.equal(timed.result.end, SendEnd.Duration);
});

t.test('an endless loop over nothing ends', async (t) => {
  const folder = scratchFolder(t);
  const file = writeCapture(folder, 'a.pcap', numberedPackets(3, MS));
  const run = runEngine({ inputs: [file], select: { ...SELECT, filter: 'tcp' }, loop: { ...LOOP, count: 0 } });
  t.equal(run.frames.length, 0);
});

t.test('dual files: merged by time, odd to the first output, even to the second', async (t) => {
  const folder = scratchFolder(t);
  const a = writeCapture(folder, 'a.pcap', numberedPackets(600, 2 * MS));
  const b = writeCapture(folder, 'b.pcap', numberedPackets(400, 3 * MS));
  const run = runEngine({ inputs: [a, b], split: { kind: 'dualfile' }, secondary: toFile('second') });
  const [first, second] = run.sinks as [MemorySink, MemorySink];
  t.equal(first.frames.length, 600);
  t.equal(second.frames.length, 400);
  t.same(
    run.sentAtNs,
    [...Array(600).keys()].map((n) => n * 2 * MS),
  );
});

t.test('cache: primary, secondary, not sent, and packets behind its end', async (t) => {
  const folder = scratchFolder(t);
  const file = writeCapture(folder, 'a.pcap', numberedPackets(10, MS));
  const cache = new PrepCacheBuilder();
  for (let n = 0; n < 9; n++) {
    cache.add([PrepVerdict.Primary, PrepVerdict.Secondary, PrepVerdict.Skip][n % 3]!);
  }
  const path = `${folder}/cache`;
  cache.write(path);
  const run = runEngine({ inputs: [file], split: { kind: 'cache', path }, secondary: toFile('second') });
  const [first, second] = run.sinks as [MemorySink, MemorySink];
  t.same(
    first.frames.map((frame) => numberOf(frame.bytes)),
    [0, 3, 6],
  );
  t.same(
    second.frames.map((frame) => numberOf(frame.bytes)),
    [1, 4, 7],
  );
  t.equal(run.result.tally[Cause.CacheSkip], 3);
  t.equal(run.result.tally[Cause.CacheShort], 1);
  t.equal(run.read, 10);
});

t.test('a truncated capture: every whole packet leaves, then the fault is named', async (t) => {
  const folder = scratchFolder(t);
  const file = writeCapture(folder, 'a.pcap', numberedPackets(20, MS));
  fs.truncateSync(file, fs.statSync(file).size - 3);
  for (const preload of [false, true]) {
    const run = runEngine({ inputs: [file], loop: { ...LOOP, preload } });
    t.equal(run.frames.length, 19);
    t.match(run.result.fault?.message, /a\.pcap.*packet 20/);
  }
});

t.test('workers: flows stay together and in order, nothing twice, one schedule', async (t) => {
  const folder = scratchFolder(t);
  const file = writeCapture(folder, 'a.pcap', numberedPackets(2000, MS, 50));
  for (const rate of [
    { kind: 'multiplier', factor: 1 },
    { kind: 'pps', pps: 1000, burst: 1 },
  ] as const) {
    const seen = new Map<number, number>();
    for (let worker = 0; worker < 3; worker++) {
      const run = runEngine({ inputs: [file], workers: 3, rate }, { worker });
      t.ok(run.frames.length > 200, 'a fair share');
      run.frames.forEach((frame, k) => {
        const number = numberOf(frame.bytes);
        assert.ok(!seen.has(number));
        seen.set(number, run.sentAtNs[k]!);
        assert.equal(run.sentAtNs[k], number * MS, 'due as if one worker sent all');
      });
      const flowsHere = new Set(run.frames.map((frame) => numberOf(frame.bytes) % 50));
      t.equal(flowsHere.size * 40, run.frames.length, 'whole flows');
    }
    t.equal(seen.size, 2000);
  }
});

t.test('shards: machines share the flows without talking to each other', async (t) => {
  const folder = scratchFolder(t);
  const file = writeCapture(folder, 'a.pcap', numberedPackets(1000, MS, 100));
  const numbers: number[] = [];
  for (let index = 0; index < 4; index++) {
    const run = runEngine({ inputs: [file], rate: { kind: 'topspeed' }, shard: { index, count: 4 } });
    numbers.push(...run.frames.map((frame) => numberOf(frame.bytes)));
    t.equal(run.result.tally[Cause.OtherShard], 1000 - run.frames.length);
  }
  t.same(
    numbers.sort((a, b) => a - b),
    [...Array(1000).keys()],
  );
});

t.test('oversize: error names the packet, the other policies do what they say', async (t) => {
  const folder = scratchFolder(t);
  const packets = numberedPackets(10, MS);
  packets[4] = numberedPackets(5, MS, 1, 3000)[4]!;
  const file = writeCapture(folder, 'a.pcap', packets);
  const small = () => [new MemorySink({ name: 'eth1', frameBytesMax: 1514 })];
  const failing = runEngine({ inputs: [file] }, { sinks: small() });
  t.match(failing.result.fault?.message, /packet 5 has 3042 bytes, eth1 takes frames of 1514.*--oversize/);
  const skipped = runEngine({ inputs: [file], oversize: 'skip' }, { sinks: small() });
  t.equal(skipped.frames.length, 9);
  t.equal(skipped.result.tally[Cause.OversizeSkip], 1);
  const cut = runEngine({ inputs: [file], oversize: 'truncate' }, { sinks: small() });
  t.equal(cut.frames[4]?.bytes.length, 1514);
  const fragmented = runEngine({ inputs: [file], oversize: 'fragment' }, { sinks: small() });
  t.equal(fragmented.frames.length, 12, '3,028 bytes of IP become three fragments');
  t.equal(fragmented.read, 10);
});

t.test('frames that the device refuses are counted, and the run goes on', async (t) => {
  const folder = scratchFolder(t);
  const file = writeCapture(folder, 'a.pcap', numberedPackets(2000, MS));
  const inner = new MemorySink();
  const sink = new FaultSink(inner, { refusePercent: 10, seed: 3 });
  const run = runEngine({ inputs: [file], rate: { kind: 'topspeed' } }, { sinks: [sink] });
  t.ok(sink.counters.failed > 100 && sink.counters.failed < 300);
  t.equal(sink.counters.sent + sink.counters.failed, 2000);
  t.equal(run.read, 2000);
});

t.test('one at a time: the operator says how many go', async (t) => {
  const folder = scratchFolder(t);
  const file = writeCapture(folder, 'a.pcap', numberedPackets(10, MS));
  const asked: number[] = [];
  const answers = [1, 3, 0];
  const ask = (packet: number) => {
    asked.push(packet);
    return answers.shift()!;
  };
  const run = runEngine({ inputs: [file], rate: { kind: 'oneatatime' } }, { ask });
  t.equal(run.frames.length, 4);
  t.same(asked, [1, 2, 5]);
});
