/** The sinks over memory shared with the kernel, AF_XDP and PACKET_TX_RING, over veth: bytes, order, counts, faults. */
import assert from 'node:assert/strict';
import t from 'tap';
import { labUnavailable } from '../../lab/availability.ts';
import { type Lab, makeLab, pair } from '../../lab/lab.ts';
import { OperatorError } from '../../src/base/errors.ts';
import type { Region } from '../../src/base/region.ts';
import { AfXdpSink } from '../../src/device/af_xdp.ts';
import { openAfXdpSink, xdpQueueCount } from '../../src/device/af_xdp_open.ts';
import { linkFacts } from '../../src/device/link.ts';
import type { Sink } from '../../src/device/sink.ts';
import { openTxRingSink } from '../../src/device/tx_ring.ts';
import { anonymousRegion } from '../../src/sys/memory.ts';
import { openXdpTransmitSocket } from '../../src/sys/xdp.ts';
import { inNamespace } from './namespace.ts';
import { ethernet, pack, payloadOf } from './packets.ts';
import { Receiver } from './receiver.ts';

/** A kernel without CONFIG_XDP_SOCKETS refuses the socket, whatever the interface. */
function xdpUnavailable(): string | null {
  try {
    openAfXdpSink({ name: 'lo' }).close();
  } catch (error) {
    if (error instanceof OperatorError && error.code === 'UNSUPPORTED') return `needs AF_XDP: ${error.message}`;
  }
  return null;
}

const noLab = labUnavailable();
const skip = noLab ?? false;
const skipXdp = noLab ?? xdpUnavailable() ?? false;
const EXPERIMENTAL = 0x88b5;
const MAC_A = [2, 0, 0, 0, 0, 1];
const MAC_B = [2, 0, 0, 0, 0, 2];

let lab: Lab;
t.before(() => {
  if (skip === false) lab = makeLab(pair({ queues: 2 }));
});
t.teardown(() => lab?.teardown());

const a = <T>(run: () => T): T => inNamespace(lab.host('a').netns, run);
const b = <T>(run: () => T): T => inNamespace(lab.host('b').netns, run);
const isTest = (frame: Uint8Array): boolean => frame[12] === 0x88 && frame[13] === 0xb5;
const bytesOf = (frames: readonly Uint8Array[]): number => frames.reduce((sum, frame) => sum + frame.length, 0);
const frameOf = (payload: number, seed: number): Uint8Array =>
  ethernet(MAC_B, MAC_A, EXPERIMENTAL, payloadOf(payload, seed));
/** Every length class: shortest, each remainder of four, one chunk colour and none, the MTU. */
const testFrames = (count: number): Uint8Array[] =>
  Array.from({ length: count }, (_, i) => frameOf(46 + ((i * 131) % 1455), i));

interface Variant {
  readonly name: string;
  readonly skip: string | false;
  readonly mapped: boolean;
  readonly open: (name: string, region: Region) => Sink;
  readonly retains: boolean;
}

const VARIANTS: readonly Variant[] = [
  {
    name: 'af_xdp',
    skip: skipXdp,
    mapped: true,
    retains: false,
    open: (name) => openAfXdpSink({ name, ringFrames: 64 }),
  },
  {
    name: 'af_xdp from plain memory',
    skip: skipXdp,
    mapped: false,
    retains: false,
    open: (name) => openAfXdpSink({ name, queue: 1, mode: 'copy', ringFrames: 64 }),
  },
  {
    name: 'af_xdp straight from the region',
    skip: skipXdp,
    mapped: true,
    retains: true,
    open: (name, region) => openAfXdpSink({ name, ringFrames: 64, umem: region }),
  },
  { name: 'tx_ring', skip, mapped: true, retains: false, open: (name) => openTxRingSink({ name }) },
  {
    name: 'tx_ring from plain memory, past the qdisc',
    skip,
    mapped: false,
    retains: false,
    open: (name) => openTxRingSink({ name, qdiscBypass: true }),
  },
];

/** Pushes all frames with no flush but those that a full queue asks for; then drains. */
function sendAll(sink: Sink, region: Region, at: readonly number[], length: readonly number[]): void {
  const before = sink.counters.sent;
  let accepted = 0;
  for (let i = 0; i < at.length; i++) {
    if (sink.push(region, at[i]!, length[i]!)) continue;
    accepted += sink.flush();
    assert.ok(sink.push(region, at[i]!, length[i]!), 'there is room after a flush');
  }
  accepted += sink.flush();
  assert.equal(accepted, sink.counters.sent - before, 'flush tells what became of the frames');
  sink.drain();
}

for (const variant of VARIANTS) {
  t.test(`${variant.name}: more frames than the ring holds arrive in order, unaltered`, { skip: variant.skip }, (t) => {
    const frames = testFrames(5000);
    const { region, at, length } = pack(frames, variant.mapped);
    const receiver = b(() => new Receiver('eth0'));
    const sink = a(() => variant.open('eth0', region));
    t.teardown(() => {
      sink.close();
      receiver.close();
      region.release();
    });
    t.match(sink.limits, { linktype: 1, frameBytesMax: 1514, retainsFrames: variant.retains });
    sendAll(sink, region, at, length);
    const got = receiver.take(frames.length, isTest);
    assert.deepEqual(got, frames);
    t.equal(got.length, 5000, 'all arrived, in order, unaltered');
    t.equal(sink.counters.sent, 5000);
    t.equal(sink.counters.sentBytes, bytesOf(frames));
    t.equal(sink.counters.failed, 0);
    t.equal(sink.fault, null);
    t.end();
  });

  t.test(`${variant.name}: a frame that does not fit fails alone, by cause`, { skip: variant.skip }, (t) => {
    const tagged = Uint8Array.of(...MAC_B, ...MAC_A, 0x81, 0x00, 0, 5, 0x88, 0xb5, ...payloadOf(1500, 9));
    const overlong = Uint8Array.of(...MAC_B, ...MAC_A, 0x81, 0x00, 0, 5, 0x88, 0xb5, ...payloadOf(1501, 9));
    const good = [frameOf(0, 1), frameOf(1500, 2), frameOf(61, 3)];
    const all = [
      good[0]!,
      frameOf(1501, 4),
      good[1]!,
      tagged,
      overlong,
      Uint8Array.of(1, 2, 3),
      frameOf(9000, 5),
      good[2]!,
    ];
    const { region, at, length } = pack(all, variant.mapped);
    const receiver = b(() => new Receiver('eth0'));
    const sink = a(() => variant.open('eth0', region));
    t.teardown(() => {
      sink.close();
      receiver.close();
      region.release();
    });
    sendAll(sink, region, at, length);
    // A packet socket hands a received VLAN tag over beside the frame.
    const untagged = frameOf(1500, 9);
    assert.deepEqual(receiver.take(4, isTest), [good[0], good[1], untagged, good[2]]);
    t.same(
      [...sink.counters.causes].sort(),
      [
        ['EINVAL', 1],
        ['EMSGSIZE', 3],
      ].sort(),
    );
    t.equal(sink.counters.sent, 4, 'MTU + 14, and 4 more with a VLAN tag, are let through');
    t.equal(sink.counters.sentBytes, bytesOf([...good, tagged]));
    t.equal(sink.counters.failed, 4);
    t.equal(sink.fault, null);
    t.end();
  });

  t.test(`${variant.name}: the interface goes down, or away, during a run`, { skip: variant.skip }, (t) => {
    for (const [name, how, sentence] of [
      ['xd0', ['ip', 'link', 'set', 'xd0', 'down'], 'xd0 went down during the run: ip link set xd0 up, then run again'],
      ['xr0', ['ip', 'link', 'del', 'xr0'], 'xr0 was removed during the run: create it again, then run again'],
    ] as const) {
      const host = lab.host('a');
      host.run(['ip', 'link', 'add', name, 'numtxqueues', '2', 'type', 'veth', 'peer', 'name', `p${name}`]);
      for (const end of [name, `p${name}`]) host.run(['ip', 'link', 'set', end, 'up']);
      const { region, at, length } = pack(testFrames(20), variant.mapped);
      const sink = a(() => variant.open(name, region));
      sendAll(sink, region, at, length);
      t.equal(sink.counters.sent, 20);
      host.run([...how]);
      for (let i = 0; i < 8; i++) assert.ok(sink.push(region, at[i]!, length[i]!));
      t.equal(
        a(() => sink.flush()),
        0,
      );
      t.match(sink.fault, { code: 'INTERFACE', message: sentence });
      t.equal(sink.counters.sent, 20);
      t.equal(sink.counters.failed, 8, 'every frame pushed is sent or failed');
      t.equal(sink.push(region, at[0]!, length[0]!), false, 'nothing is taken any more');
      t.equal(sink.flush(), 0);
      sink.close();
      sink.close();
      region.release();
      if (name === 'xd0') host.run(['ip', 'link', 'del', name]);
    }
    t.end();
  });
}

t.test('af_xdp: a frame outside the region that is the UMEM is refused', { skip: skipXdp }, (t) => {
  const mapped = pack(testFrames(4));
  const other = pack(testFrames(4));
  const sink = a(() => openAfXdpSink({ name: 'eth0', umem: mapped.region }));
  t.teardown(() => {
    sink.close();
    mapped.region.release();
    other.region.release();
  });
  sendAll(sink, other.region, other.at, other.length);
  sendAll(sink, mapped.region, mapped.at, mapped.length);
  t.same([...sink.counters.causes], [['EFAULT', 4]]);
  t.equal(sink.counters.sent, 4);
  t.end();
});

t.test('af_xdp: a descriptor that the kernel refuses is no sent frame', { skip: skipXdp }, (t) => {
  const umem = anonymousRegion(65_536);
  const limits = { linktype: 1, frameBytesMax: 1514, batchFramesMax: 32, retainsFrames: true };
  const common = { umem, chunkBytes: 4096, ringFrames: 64, queue: 0 };
  // The kernel is told of 8192 bytes, the sink of 65,536: what lies behind is refused.
  const socket = a(() => {
    const { ifindex } = linkFacts('eth0');
    return openXdpTransmitSocket({ ...common, ifindex, mode: 'copy', umemBytes: 8192, unaligned: true });
  });
  const explain = (errno: number): Error => new Error(`errno ${errno}`);
  const nowMs = (): number => performance.now();
  const sink = new AfXdpSink({ ...common, name: 'eth0', limits, socket, umemIsRegion: true, explain, nowMs });
  t.teardown(() => {
    sink.close();
    umem.release();
  });
  const frame = frameOf(100, 1);
  for (const at of [64, 9000, 500, 20_000, 7000]) {
    umem.bytes.set(frame, at);
    assert.ok(sink.push(umem, at, frame.length));
  }
  sink.drain();
  t.equal(sink.counters.sent, 3);
  t.same([...sink.counters.causes], [['EINVAL', 2]]);
  t.end();
});

t.test('af_xdp: one sink a queue, and what is refused with a remedy', { skip: skipXdp }, (t) => {
  t.equal(
    a(() => xdpQueueCount('eth0')),
    2,
  );
  const sinks = [0, 1].map((queue) => a(() => openAfXdpSink({ name: 'eth0', queue })));
  const receiver = b(() => new Receiver('eth0'));
  t.teardown(() => {
    for (const sink of sinks) sink.close();
    receiver.close();
  });
  const { region, at, length } = pack(testFrames(100));
  for (const [i, sink] of sinks.entries()) {
    t.equal(sink.queue, i);
    sendAll(sink, region, at, length);
    t.equal(sink.counters.sent, 100);
  }
  t.equal(receiver.take(200, isTest).length, 200, 'both queues reach the far side');
  region.release();
  const refused = (queue: number, name = 'eth0', mode: 'auto' | 'zerocopy' = 'auto'): unknown => {
    try {
      a(() => openAfXdpSink({ name, queue, mode })).close();
      return null;
    } catch (error) {
      return error;
    }
  };
  t.match(refused(1), { code: 'RESOURCE', message: /^queue 1 of eth0 already has an AF_XDP socket: / });
  t.match(refused(2), { code: 'INTERFACE', message: /^eth0 has 2 transmit queues, .*: ethtool -L eth0 / });
  t.match(refused(0, 'nope'), { code: 'INTERFACE', message: /nope/ });
  sinks[0]!.close();
  if (!sinks[0]!.isZeroCopy) {
    t.match(refused(0, 'eth0', 'zerocopy'), {
      code: 'UNSUPPORTED',
      message: /does not send zero-copy .*: use mode auto/,
    });
  }
  t.equal(refused(0), null, 'a closed sink leaves its queue');
  t.end();
});
