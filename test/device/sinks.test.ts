/** Sinks that need neither root nor an interface: memory, file, planned faults, traces. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { FrameBatch } from '../../src/base/batch.ts';
import { FaultSink, LOSS_CAUSE, REFUSED_CAUSE } from '../../src/device/fault.ts';
import { openFileSink, TraceSink } from '../../src/device/file.ts';
import { openFrameFilter } from '../../src/device/filter.ts';
import { MemorySink } from '../../src/device/memory.ts';
import { openSink } from '../../src/device/open.ts';
import type { Sink } from '../../src/device/sink.ts';
import { openCapture } from '../../src/pcap/index.ts';
import { hasLibpcap } from '../../src/sys/libpcap.ts';
import { ethernet, ipv4Udp, pack, payloadOf } from './packets.ts';

const frames = Array.from({ length: 1000 }, (_, i) =>
  ethernet([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2], 0x88b5, payloadOf(20 + (i % 300), i)),
);
const packed = pack(frames);
t.teardown(() => packed.region.release());

/** Pushes every frame with its time: second i, nanosecond i * 1000 + 1. */
function sendAll(sink: Sink): void {
  for (let i = 0; i < frames.length; i++) {
    sink.setTime?.(i, i * 1000 + 1);
    if (sink.push(packed.region, packed.at[i]!, packed.length[i]!)) continue;
    if (sink.fault !== null) return;
    sink.flush();
    assert.ok(sink.push(packed.region, packed.at[i]!, packed.length[i]!) || sink.fault !== null);
  }
  sink.flush();
}

interface Read {
  readonly sec: number;
  readonly nsec: number;
  readonly bytes: Uint8Array;
}

function readAll(file: string): { linktype: number; frames: Read[] } {
  const reader = openCapture(file);
  const batch = new FrameBatch(64, packed.region);
  const found: Read[] = [];
  while (reader.read(batch) > 0) {
    for (let i = 0; i < batch.count; i++) {
      const bytes = batch.region.bytes.slice(batch.at[i]!, batch.at[i]! + batch.caplen[i]!);
      found.push({ sec: batch.sec[i]!, nsec: batch.nsec[i]!, bytes });
    }
  }
  const linktype = reader.info.interfaces[0]!.linktype;
  reader.close();
  return { linktype, frames: found };
}

const expected = frames.map((bytes, i) => ({ sec: i, nsec: i * 1000 + 1, bytes }));

t.test('memory keeps copies with their times, and refuses what is too long', (t) => {
  const sink = new MemorySink({ frameBytesMax: 300, batchFramesMax: 10 });
  sendAll(sink);
  const fits = expected.filter((frame) => frame.bytes.length <= 300);
  assert.deepEqual(sink.frames, fits);
  t.equal(sink.counters.sent, fits.length);
  t.equal(sink.counters.causes.get('EMSGSIZE'), 1000 - fits.length);
  t.equal(sink.counters.sent + sink.counters.failed, 1000);
  t.end();
});

for (const [name, digits] of [
  ['out.pcap', 9],
  ['out.pcapng', 9],
  ['micro.pcap', 6],
] as const) {
  t.test(`file: ${name} with ${digits} digits reads back`, (t) => {
    const file = path.join(t.testdir(), name);
    const sink = openFileSink({ path: file, linktype: 101, timestampDigits: digits });
    sendAll(sink);
    t.ok(fs.statSync(file).size > 100_000, 'a flush reaches the file');
    sink.close();
    sink.close();
    const back = readAll(file);
    t.equal(back.linktype, 101);
    const nsec = (n: number): number => (digits === 9 ? n : Math.floor(n / 1000) * 1000);
    assert.deepEqual(
      back.frames,
      expected.map((frame) => ({ ...frame, nsec: nsec(frame.nsec) })),
    );
    t.equal(sink.counters.sent, 1000);
    t.equal(
      sink.counters.sentBytes,
      frames.reduce((sum, frame) => sum + frame.length, 0),
    );
    t.end();
  });
}

t.test(
  'file: a disk that is full is the fault of the device, counted frame by frame',
  {
    skip: fs.existsSync('/dev/full') ? false : 'needs /dev/full',
  },
  (t) => {
    const sink = openSink({ name: '/dev/full', backend: 'file' });
    sendAll(sink);
    t.match(sink.fault, { code: 'FILE', message: /\/dev\/full/ });
    t.equal(sink.counters.sent, 0);
    t.equal(sink.counters.failed, 256, 'the first batch; nothing was taken after it');
    t.equal(sink.push(packed.region, packed.at[0]!, 20), false);
    sink.close();
    t.throws(() => openFileSink({ path: '/nonexistent/x.pcap' }), { code: 'FILE' });
    t.end();
  },
);

t.test('trace writes what passes, and passes it on', (t) => {
  const file = path.join(t.testdir(), 'trace.pcap');
  const inner = new MemorySink({ batchFramesMax: 7 });
  const sink = new TraceSink(inner, { path: file });
  sendAll(sink);
  sink.close();
  assert.deepEqual(inner.frames, expected);
  assert.deepEqual(readAll(file).frames, expected);
  t.equal(sink.tracedFrames, 1000);
  t.equal(sink.counters.sent, 1000);
  t.end();
});

t.test(
  'a trace that cannot be written does not stop what it traces',
  {
    skip: fs.existsSync('/dev/full') ? false : 'needs /dev/full',
  },
  (t) => {
    const inner = new MemorySink();
    const sink = new TraceSink(inner, { path: '/dev/full' });
    for (let round = 0; round < 10; round++) sendAll(sink);
    sink.close();
    t.match(sink.traceFault, { code: 'FILE' });
    t.equal(inner.frames.length, 10_000);
    t.equal(sink.fault, null);
    t.end();
  },
);

t.test('faults: what is planned happens, is counted, and happens again with the same seed', (t) => {
  const run = (seed: number): { inner: MemorySink; sink: FaultSink } => {
    const inner = new MemorySink({ batchFramesMax: 16 });
    const plan = {
      dropPercent: 10,
      corruptPercent: 5,
      duplicatePercent: 5,
      reorderPercent: 10,
      refusePercent: 3,
      seed,
    };
    const sink = new FaultSink(inner, plan);
    sendAll(sink);
    sink.close();
    return { inner, sink };
  };
  const { inner, sink } = run(3);
  const { tally, counters } = sink;
  t.ok(Math.abs(tally.dropped - 100) < 40, `${tally.dropped} of 1000 dropped`);
  for (const n of [tally.corrupted, tally.duplicated, tally.reordered, tally.refused]) t.ok(n > 5, `${n} times`);
  t.equal(counters.causes.get(LOSS_CAUSE), tally.dropped);
  t.equal(counters.causes.get(REFUSED_CAUSE), tally.refused);
  t.equal(counters.sent + counters.failed, 1000 + tally.duplicated, 'every frame is sent or failed');
  t.equal(inner.frames.length, counters.sent);
  const known = new Set(frames.map((frame) => Buffer.from(frame).toString('hex')));
  const strange = inner.frames.filter((frame) => !known.has(Buffer.from(frame.bytes).toString('hex')));
  t.equal(strange.length, tally.corrupted, 'as many altered frames as counted');
  for (const { bytes } of strange) {
    const near = frames.some((frame) => frame.length === bytes.length && bitsBetween(frame, bytes) === 1);
    assert.ok(near, 'one bit was flipped');
  }
  assert.deepEqual(run(3).inner.frames, inner.frames, 'the same seed');
  assert.notDeepEqual(run(4).inner.frames, inner.frames, 'another seed');
  t.end();
});

function bitsBetween(a: Uint8Array, b: Uint8Array): number {
  let bits = 0;
  for (let i = 0; i < a.length; i++) for (let x = a[i]! ^ b[i]!; x !== 0; x &= x - 1) bits++;
  return bits;
}

t.test('faults: 0 and 100 percent are exact; nothing is held back by a flush', (t) => {
  const all = new FaultSink(new MemorySink(), { dropPercent: 100, seed: 1 });
  sendAll(all);
  t.equal(all.counters.sent, 0);
  t.equal(all.counters.failed, 1000);
  const inner = new MemorySink();
  const none = new FaultSink(inner, { seed: 1 });
  sendAll(none);
  assert.deepEqual(inner.frames, expected);
  const swapped = new MemorySink();
  const reorder = new FaultSink(swapped, { reorderPercent: 100, seed: 1 });
  assert.ok(reorder.push(packed.region, packed.at[0]!, packed.length[0]!));
  t.equal(reorder.flush(), 1, 'the frame that waited for another one leaves');
  assert.ok(reorder.push(packed.region, packed.at[1]!, packed.length[1]!));
  assert.ok(reorder.push(packed.region, packed.at[2]!, packed.length[2]!));
  t.equal(reorder.flush(), 2);
  assert.deepEqual(
    swapped.frames.map((frame) => frame.bytes),
    [frames[0], frames[2], frames[1]],
  );
  for (const sink of [all, none, reorder]) sink.close();
  t.end();
});

t.test('filter: compiled once per link type, run here', { skip: hasLibpcap() ? false : 'needs libpcap' }, (t) => {
  const filter = openFrameFilter('udp dst port 9', 1);
  const packet = ipv4Udp('10.0.0.1', '10.0.0.2', payloadOf(8, 1));
  const framed = ethernet([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2], 0x0800, packet);
  const { region, at, length } = pack([framed, packet, frames[0]!]);
  const batch = new FrameBatch(4, region);
  [1, 101, 1, 249].forEach((linktype, i) => {
    batch.at[i] = at[i % 3]!;
    batch.caplen[i] = length[i % 3]!;
    batch.len[i] = length[i % 3]!;
    batch.linktype[i] = linktype;
  });
  t.same(
    [0, 1, 2, 3].map((i) => filter.matches(batch, i)),
    [true, true, false, false],
  );
  t.throws(() => openFrameFilter('tcp prot 80', 1), {
    code: 'USAGE',
    message: /syntax error at "prot" \(character 5\)/,
  });
  region.release();
  t.end();
});
