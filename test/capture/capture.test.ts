/** The library: batches as an async iterable; filters as the kernel runs them; what threads share. */
import path from 'node:path';
import t from 'tap';
import { hasProgram, labUnavailable } from '../../lab/availability.ts';
import { makeLab, pair } from '../../lab/lab.ts';
import { runProgram, until } from '../../lab/process.ts';
import { BATCH_FRAMES, FrameBatch } from '../../src/base/batch.ts';
import { plainRegion } from '../../src/base/region.ts';
import { CaptureControl } from '../../src/capture/control.ts';
import { CpuLimit } from '../../src/capture/cpu_limit.ts';
import { openCapture } from '../../src/capture/index.ts';
import { SourceMerge } from '../../src/capture/merge.ts';
import { openSession } from '../../src/capture/session.ts';
import { hasCap } from '../../src/device/cap_source.ts';
import type { CaptureSource } from '../../src/device/capture_source.ts';
import { acceptProgram, cookedProgram, withDirection } from '../../src/device/kernel_filter.ts';
import { openCaptureSource } from '../../src/device/open_source.ts';
import { openCapture as openFile } from '../../src/pcap/index.ts';
import { compileFilter, hasLibpcap } from '../../src/sys/libpcap.ts';
import { inNamespace } from '../device/namespace.ts';
import { packageRoot } from '../structure/repository.ts';

const skip = labUnavailable('ping') ?? false;
const FIXTURE = path.join(packageRoot(), 'fixtures/pcaps/mixed/in.pcap');

t.test('a file, batch by batch', async (t) => {
  const reader = openFile(FIXTURE);
  const batch = new FrameBatch(256, plainRegion(0));
  let frames = 0;
  while (reader.read(batch) > 0) frames += batch.count;
  reader.close();
  const capture = openCapture({ files: [FIXTURE, FIXTURE] });
  let seen = 0;
  for await (const each of capture) seen += each.count;
  t.equal(seen, 2 * frames, 'two files, one after the other');
  t.same(capture.counts(), {
    ...{ received: 2 * frames, delivered: 2 * frames, filtered: 0, shed: 0 },
    ...{ droppedByKernel: 0, droppedByInterface: 0, frozen: 0 },
  });
  t.same([...new Set(capture.interfaces.map((one) => one.linktype))], [1]);
  if (!hasLibpcap()) return;
  const some = openCapture({ files: [FIXTURE], filter: 'tcp', packets: 3, snaplen: 60 });
  let kept = 0;
  for await (const each of some) {
    kept += each.count;
    t.ok(
      each.caplen.subarray(0, each.count).every((length) => length <= 60),
      'snaplen',
    );
  }
  t.equal(kept, 3, 'as many as were wanted');
  const counts = some.counts();
  t.equal(counts.received, counts.delivered + counts.filtered);
});

t.test('an interface: batches, idle batches, stop, counts', { skip }, async (t) => {
  const lab = makeLab(pair());
  t.teardown(() => lab.teardown());
  const netns = { path: `/run/netns/${lab.host('b').netns}`, label: 'host b' };
  const capture = openCapture({ interfaces: ['eth0'], filter: 'icmp', netns, idleMs: 20, bufferBytes: 4 << 20 });
  t.same(capture.interfaces, [{ name: 'eth0', linktype: 1, snaplen: 262_144 }]);
  const pinging = lab.host('a').spawn(['ping', '-q', '-c', '10', '-i', '0.02', '10.77.0.2']);
  let frames = 0;
  let idle = 0;
  for await (const batch of capture) {
    if (batch.count === 0) idle++;
    frames += batch.count;
    for (let i = 0; i < batch.count; i++) t.equal(batch.region.view.getUint16(batch.at[i]! + 12), 0x0800);
    if (frames >= 20) capture.stop();
  }
  await pinging.ended;
  t.equal(frames, 20);
  t.ok(idle > 0, 'empty batches where nothing came');
  t.equal(capture.counts().received, 20);
  t.equal(capture.next(0), null, 'closed by the end of the loop');
  await t.rejects(
    openSession({ capture: { interfaces: ['nope'] }, output: { sink: null, print: null, anonymize: null } }),
    {
      code: 'INTERFACE',
    },
  );
});

t.test('a thread that fails and ends while the main thread is busy', async (t) => {
  // In a process of its own: here something else would keep the event loop alive.
  const session = new URL('../../src/capture/session.js', import.meta.url).href;
  const script = `
    import(${JSON.stringify(session)}).then(async ({ openSession }) => {
      const output = { sink: null, print: null, anonymize: null };
      const opening = openSession({ capture: { files: ['/nonexistent/x.pcap'] }, output });
      for (const end = Date.now() + 2000; Date.now() < end; );
      await opening.catch((error) => console.log(error.message));
    });`;
  const done = runProgram([process.execPath, '-e', script], { check: false });
  t.match(done.stdout, /cannot open .*x\.pcap: No such file/, 'says why');
  t.equal(done.status, 0, done.stderr);
});

const withCap = skip === false && !hasCap() ? 'the package cap is not built' : skip;
t.test('cap: what is given up is not handed out later', { skip: withCap }, async (t) => {
  const lab = makeLab(pair());
  t.teardown(() => lab.teardown());
  const spec = { name: 'eth0', backend: 'cap', filter: 'icmp[icmptype] = icmp-echo', snaplen: 262_144 } as const;
  const ring = { promiscuous: true, direction: 'inout', bufferBytes: 1 << 20, retireMs: 10, stamps: 'host' } as const;
  const source = inNamespace(lab.host('b').netns, () =>
    openCaptureSource({ ...spec, ...ring, fanoutGroup: null, interfaceIndex: 0 }),
  );
  t.teardown(() => source.close());
  const ping = (bytes: number): Promise<void> => {
    const before = source.statistics.received;
    lab.host('a').run(['ping', '-q', '-c', '3', '-i', '0.01', '-s', String(bytes), '10.77.0.2']);
    return until('three packets', () => source.statistics.received === before + 3);
  };
  await ping(100);
  t.equal(source.shed(), 3);
  await ping(200);
  const batch = new FrameBatch(BATCH_FRAMES, plainRegion(0));
  t.equal(source.read(batch), 3);
  t.same([...batch.len.subarray(0, 3)], [242, 242, 242]);
});

t.test('filters for the kernel', { skip: hasProgram('tcpdump') ? false : 'needs libpcap' }, async (t) => {
  const word = (program: Uint8Array, i: number): [number, number] => {
    const view = new DataView(program.buffer, program.byteOffset);
    return [view.getUint16(i * 8, true), view.getInt32(i * 8 + 4, true)];
  };
  t.same(word(acceptProgram(96), 0), [0x06, 96]);
  const ip = cookedProgram(compileFilter('ip', 276, 100))!;
  t.same(word(ip, 0), [0x28, -0x1000], 'the protocol is ancillary data of the kernel');
  t.same(word(ip, ip.byteLength / 8 - 2), [0x06, 80], 'the kernel cuts without the header');
  t.equal(cookedProgram(compileFilter('greater 200', 276)), null, 'the length with header is not known to it');
  t.equal(cookedProgram(compileFilter('ether[12] = 1', 276)), null, "nor is the sender's address at its offset");
  const out = withDirection(acceptProgram(96), 'out', 0);
  t.equal(out.byteLength, 4 * 8);
  t.same(word(out, 0), [0x20, -0x1000 + 4], 'packet type first');
  t.equal(withDirection(acceptProgram(96), 'inout', 1).byteLength, 6 * 8, 'the loopback once');
  t.equal(withDirection(acceptProgram(96), 'inout', 0).byteLength, 8);
});

t.test('threads share the packets that are wanted', async (t) => {
  const control = new CaptureControl(2);
  t.equal(control.claim(5), 5, 'no limit');
  control.limit(10);
  control.run();
  t.equal(control.claim(6), 6);
  t.equal(control.shouldStop(), false);
  t.equal(new CaptureControl(2, control.orders, control.counters.buffer).claim(6), 4);
  t.equal(control.shouldStop(), true, 'full');
  t.equal(control.claim(1), 0);
});

t.test('a share of the processor', async (t) => {
  let cpu = 0;
  const limit = new CpuLimit(50, 0, () => cpu);
  cpu = 40;
  t.notOk(limit.isOver(10), 'a burst is allowed');
  cpu = 70;
  t.ok(limit.isOver(20), 'more is not');
  t.notOk(limit.isOver(60), 'until time has passed');
});

/** Frames that come at times of a clock: [when it can be read, its stamp], milliseconds. */
class TimedSource implements CaptureSource {
  readonly name = 'timed';
  readonly interfaces = [{ name: 'timed', linktype: 1, snaplen: 65_535 }];
  readonly fd = -1;
  readonly fault = null;
  readonly statistics = { received: 0, droppedByKernel: 0, droppedByInterface: 0, frozen: 0 };
  readonly filtered = 0;
  ended = false;
  isFilling = false;
  readonly #frames: [number, number][];
  readonly #clock: { ms: number };
  readonly #index: number;

  constructor(index: number, clock: { ms: number }, frames: [number, number][]) {
    this.#index = index;
    this.#clock = clock;
    this.#frames = frames;
  }

  read(batch: FrameBatch): number {
    batch.count = 0;
    for (; (this.#frames[0]?.[0] ?? Number.POSITIVE_INFINITY) <= this.#clock.ms; batch.count++) {
      const [, stamp] = this.#frames.shift()!;
      batch.sec[batch.count] = Math.floor(stamp / 1000);
      batch.nsec[batch.count] = (stamp % 1000) * 1_000_000;
      batch.interfaceIndex[batch.count] = this.#index;
    }
    if (batch.count === 0 && this.#frames.length === 0) this.ended = true;
    return batch.count;
  }

  wait(): void {}
  shed(): number {
    return 0;
  }
  updateStatistics(): void {}
  halt(): void {}
  close(): void {}
}

t.test('frames of several sources wait for each other, for a bounded time', async (t) => {
  const clock = { ms: 1000 };
  const one = new TimedSource(0, clock, [
    [1000, 980],
    [1000, 985],
    [1000, 999],
    [3000, 2999],
  ]);
  const two = new TimedSource(1, clock, [
    [1010, 984],
    [1010, 990],
    [9000, 8999],
  ]);
  const merge = new SourceMerge(
    [one, two],
    40,
    () => clock.ms,
    () => clock.ms,
  );
  const batch = new FrameBatch(16, plainRegion(0));
  const stamps = (): number[] =>
    Array.from({ length: merge.read(batch) }, (_, i) => batch.sec[i]! * 1000 + batch.nsec[i]! / 1e6);
  t.same(stamps(), [], 'the other may still have an earlier one');
  t.ok(merge.isHolding);
  clock.ms = 1010;
  t.same(stamps(), [980, 984, 985, 990]);
  t.same(stamps(), [], 'nothing of the other is here');
  clock.ms = 1040;
  t.same(stamps(), [999], 'but none can come any more that is earlier');
  t.same(stamps(), []);
  t.notOk(merge.isHolding);
  clock.ms = 3000;
  t.same(stamps(), []);
  one.isFilling = true;
  t.same(stamps(), [2999], 'a buffer that fills is emptied');
  clock.ms = 9000;
  t.same(stamps(), [8999], 'a source at its end is not waited for');
  t.same([one.ended, merge.shed()], [true, 0]);
  merge.close();
});

t.test('two interfaces: one stream in the order of time', { skip }, async (t) => {
  const second = {
    a: { host: 'a', iface: 'eth1', v4: '10.78.0.1/24' },
    b: { host: 'b', iface: 'eth1', v4: '10.78.0.2/24' },
  };
  const lab = makeLab({ hosts: ['a', 'b'], links: [...pair().links, second] });
  t.teardown(() => lab.teardown());
  const netns = { path: `/run/netns/${lab.host('b').netns}`, label: 'host b' };
  const capture = openCapture({
    interfaces: ['eth0', 'eth1'],
    filter: 'icmp',
    netns,
    idleMs: 20,
  });
  const pings = ['10.77.0.2', '10.78.0.2'].map((to, n) =>
    lab.host('a').spawn(['ping', '-q', '-c', String(100 + 300 * n), '-i', n === 0 ? '0.01' : '0.003', to]),
  );
  const each = [0, 0];
  let before = 0;
  let turns = 0;
  let last = -1;
  for await (const batch of capture) {
    if (batch.count === 0 && pings.every((one) => !one.running)) capture.stop();
    for (let i = 0; i < batch.count; i++) {
      const index = batch.interfaceIndex[i]!;
      const stamp = batch.sec[i]! + batch.nsec[i]! * 1e-9;
      if (stamp < before) t.fail(`${stamp} behind ${before}`);
      before = stamp;
      each[index]!++;
      if (index !== last) turns++;
      last = index;
    }
  }
  t.match(capture.counts(), { received: 1000, delivered: 1000, droppedByKernel: 0 });
  t.same(each, [200, 800]);
  t.ok(turns > 20, `${turns} turns`);
});
