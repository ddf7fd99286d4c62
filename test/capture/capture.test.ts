/** The library: batches as an async iterable; filters as the kernel runs them; what threads share. */
import path from 'node:path';
import t from 'tap';
import { hasProgram, labUnavailable } from '../../lab/availability.ts';
import { makeLab, pair } from '../../lab/lab.ts';
import { FrameBatch } from '../../src/base/batch.ts';
import { plainRegion } from '../../src/base/region.ts';
import { CaptureControl } from '../../src/capture/control.ts';
import { CpuLimit } from '../../src/capture/cpu_limit.ts';
import { openCapture } from '../../src/capture/index.ts';
import { openSession } from '../../src/capture/session.ts';
import { acceptProgram, cookedProgram, withDirection } from '../../src/device/kernel_filter.ts';
import { openCapture as openFile } from '../../src/pcap/index.ts';
import { compileFilter, hasLibpcap } from '../../src/sys/libpcap.ts';
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
