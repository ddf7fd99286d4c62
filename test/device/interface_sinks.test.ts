/** Every sink onto an interface, over veth between two namespaces: what is pushed arrives, byte for byte. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import t from 'tap';
import { labUnavailable } from '../../lab/availability.ts';
import { type Lab, makeLab, pair } from '../../lab/lab.ts';
import { addressBytes } from '../../src/device/addressing.ts';
import { openAfPacketSink } from '../../src/device/af_packet.ts';
import { chooseBackend } from '../../src/device/backend.ts';
import { openLibpcapSink } from '../../src/device/libpcap.ts';
import { linkFacts } from '../../src/device/link.ts';
import { openSink } from '../../src/device/open.ts';
import { wireCounters, wireDifference } from '../../src/device/preflight.ts';
import { openRawIpSink } from '../../src/device/raw_ip.ts';
import { hasRawSocket, openRawSocketSink } from '../../src/device/raw_socket.ts';
import type { Sink } from '../../src/device/sink.ts';
import { openTunSink } from '../../src/device/tun.ts';
import { hasLibpcap } from '../../src/sys/libpcap.ts';
import { inNamespace } from './namespace.ts';
import { ethernet, ipv4Udp, ipv6Udp, pack, payloadOf } from './packets.ts';
import { Receiver } from './receiver.ts';

const skip = labUnavailable() ?? false;
const EXPERIMENTAL = 0x88b5;
const MAC_A = [2, 0, 0, 0, 0, 1];
const MAC_B = [2, 0, 0, 0, 0, 2];

let lab: Lab;
t.before(() => {
  if (skip === false) lab = makeLab(pair({}, 'both'));
});
t.teardown(() => lab?.teardown());

const a = <T>(run: () => T): T => inNamespace(lab.host('a').netns, run);
const b = <T>(run: () => T): T => inNamespace(lab.host('b').netns, run);
const isTest = (frame: Uint8Array): boolean => frame[12] === 0x88 && frame[13] === 0xb5;
const isDiscard = (frame: Uint8Array): boolean => {
  const l3 = frame[12] === 0x08 ? 14 + (frame[14]! & 15) * 4 : 54;
  return (frame[12] === 0x08 || frame[12] === 0x86) && frame[l3 + 2] === 0 && frame[l3 + 3] === 9;
};

/** Pushes all frames, flushing where the queue is full. */
function sendAll(sink: Sink, frames: readonly Uint8Array[], mapped = true): void {
  const { region, at, length } = pack(frames, mapped);
  const before = sink.counters.sent;
  let taken = 0;
  for (let i = 0; i < frames.length; i++) {
    if (sink.push(region, at[i]!, length[i]!)) continue;
    taken += sink.flush();
    assert.ok(sink.push(region, at[i]!, length[i]!), 'there is room after a flush');
  }
  taken += sink.flush();
  assert.equal(taken, sink.counters.sent - before);
  region.release();
}

/** One more interface in host a, with its other end there as well. */
function addInterface(name: string): void {
  const host = lab.host('a');
  host.run(['ip', 'link', 'add', name, 'type', 'veth', 'peer', 'name', `p${name}`]);
  host.run(['ip', 'link', 'set', name, 'up']);
  host.run(['ip', 'link', 'set', `p${name}`, 'up']);
}

const testFrames = (count: number): Uint8Array[] =>
  Array.from({ length: count }, (_, i) => ethernet(MAC_B, MAC_A, EXPERIMENTAL, payloadOf(46 + ((i * 131) % 1455), i)));

for (const mapped of [true, false]) {
  for (const qdiscBypass of [false, true]) {
    const name = `af_packet from ${mapped ? 'mapped' : 'plain'} memory, ${qdiscBypass ? 'past' : 'through'} the qdisc`;
    t.test(name, { skip }, (t) => {
      const receiver = b(() => new Receiver('eth0'));
      const sink = a(() => openAfPacketSink({ name: 'eth0', qdiscBypass, batchFrames: 64 }));
      t.teardown(() => {
        sink.close();
        receiver.close();
      });
      t.same(sink.limits, { linktype: 1, frameBytesMax: 1514, batchFramesMax: 64, retainsFrames: false });
      const before = a(() => wireCounters('eth0'));
      const frames = testFrames(300);
      sendAll(sink, frames, mapped);
      const got = receiver.take(300, isTest);
      assert.deepEqual(got, frames);
      t.equal(got.length, 300, 'all arrived, in order, unaltered');
      t.equal(sink.counters.sent, 300);
      t.equal(
        sink.counters.sentBytes,
        frames.reduce((sum, frame) => sum + frame.length, 0),
      );
      t.equal(sink.counters.failed, 0);
      t.same(
        wireDifference(
          before,
          a(() => wireCounters('eth0')),
        ),
        { packets: 300, dropped: 0 },
      );
      t.end();
    });
  }
}

t.test('a frame that the kernel refuses fails alone, by cause', { skip }, (t) => {
  const receiver = b(() => new Receiver('eth0'));
  const sink = a(() => openAfPacketSink({ name: 'eth0' }));
  t.teardown(() => {
    sink.close();
    receiver.close();
  });
  const frame = (length: number, i: number): Uint8Array => ethernet(MAC_B, MAC_A, EXPERIMENTAL, payloadOf(length, i));
  const tagged = Uint8Array.of(...MAC_B, ...MAC_A, 0x81, 0x00, 0, 5, 0x88, 0xb5, ...payloadOf(1500, 9));
  const good = [frame(100, 1), frame(1500, 2), frame(60, 3), frame(61, 4)];
  sendAll(sink, [
    good[0]!,
    frame(1501, 5),
    good[1]!,
    tagged,
    Uint8Array.of(1, 2, 3),
    good[2]!,
    frame(9000, 6),
    good[3]!,
  ]);
  // A packet socket hands a received VLAN tag over beside the frame.
  const untagged = ethernet(MAC_B, MAC_A, EXPERIMENTAL, payloadOf(1500, 9));
  assert.deepEqual(receiver.take(5, isTest), [good[0], good[1], untagged, good[2], good[3]]);
  t.same(
    [...sink.counters.causes].sort(),
    [
      ['EINVAL', 1],
      ['EMSGSIZE', 2],
    ].sort(),
  );
  t.equal(sink.counters.sent, 5, 'MTU + 14, and 4 more with a VLAN tag, are let through');
  t.equal(sink.counters.failed, 3);
  t.equal(sink.fault, null);
  t.end();
});

t.test('the interface goes down, or away, during a run', { skip }, (t) => {
  for (const [name, how, errno, sentence] of [
    [
      'dn0',
      ['ip', 'link', 'set', 'dn0', 'down'],
      'ENETDOWN',
      'dn0 went down during the run: ip link set dn0 up, then run again',
    ],
    ['rm0', ['ip', 'link', 'del', 'rm0'], 'ENXIO', 'rm0 was removed during the run: create it again, then run again'],
  ] as const) {
    const host = lab.host('a');
    addInterface(name);
    const sink = a(() => openAfPacketSink({ name, batchFrames: 8 }));
    sendAll(sink, testFrames(20));
    t.equal(sink.counters.sent, 20);
    host.run([...how]);
    const { region, at, length } = pack(testFrames(8));
    for (let i = 0; i < 8; i++) assert.ok(sink.push(region, at[i]!, length[i]!));
    t.equal(sink.flush(), 0);
    t.match(sink.fault, { code: 'INTERFACE', message: errno === 'ENETDOWN' ? sentence : /during the run/ });
    t.equal(sink.counters.sent + sink.counters.failed, 28, 'every frame pushed is sent or failed');
    t.equal(sink.counters.failed, 8);
    t.equal(sink.push(region, at[0]!, length[0]!), false, 'nothing is taken any more');
    t.equal(sink.flush(), 0);
    sink.close();
    region.release();
  }
  t.end();
});

t.test('a full queue is waited for, within bounds', { skip }, (t) => {
  const host = lab.host('a');
  addInterface('sl0');
  const shaped = host.run(
    ['tc', 'qdisc', 'add', 'dev', 'sl0', 'root', 'tbf', 'rate', '20mbit', 'burst', '3000', 'limit', '6000'],
    { check: false },
  );
  if (shaped.status !== 0) {
    t.pass('a shaped queue', { skip: `needs the tbf queue: ${shaped.stderr.trim()}` });
    t.end();
    return;
  }
  const sink = a(() => openAfPacketSink({ name: 'sl0', batchFrames: 64 }));
  sendAll(
    sink,
    Array.from({ length: 200 }, (_, i) => ethernet(MAC_B, MAC_A, EXPERIMENTAL, payloadOf(1000, i))),
  );
  t.equal(sink.counters.sent, 200, 'nothing is lost');
  t.ok(sink.counters.retriedNoBufs > 0, `${sink.counters.retriedNoBufs} retries`);
  host.run(['tc', 'qdisc', 'replace', 'dev', 'sl0', 'root', 'tbf', 'rate', '8bit', 'burst', '1600', 'limit', '1600']);
  const start = Date.now();
  sendAll(
    sink,
    Array.from({ length: 30 }, (_, i) => ethernet(MAC_B, MAC_A, EXPERIMENTAL, payloadOf(1000, i))),
  );
  t.ok(Date.now() - start < 10_000, 'a queue that never drains ends in failures');
  t.ok((sink.counters.causes.get('ENOBUFS') ?? 0) > 0);
  t.equal(sink.counters.sent + sink.counters.failed, 230);
  sink.close();
  t.end();
});

type Assertions = Pick<typeof t, 'teardown' | 'equal'>;

const V4 = (i: number): Uint8Array => ipv4Udp('192.0.2.77', '10.77.0.2', payloadOf(20 + i, i));
const V6 = (i: number): Uint8Array =>
  ipv6Udp(addressBytes('2001:db8::77'), addressBytes('fd77::2'), payloadOf(20 + i, i));

function checkIpSink(t: Assertions, open: () => Sink): void {
  const receiver = b(() => new Receiver('eth0'));
  const sink = a(open);
  t.teardown(() => {
    sink.close();
    receiver.close();
  });
  t.equal(sink.limits.linktype, 101);
  // Spoofed sources, both families in turn: order is kept.
  const packets = [V4(1), V4(2), V6(3), V6(4), V4(5), V6(6), V4(7)];
  sendAll(sink, [...packets, Uint8Array.of(0x45, 0), Uint8Array.of(0x12), new Uint8Array(40)]);
  const got = receiver.take(packets.length, isDiscard).map((frame) => frame.subarray(14));
  assert.deepEqual(
    got.map((packet) => [...packet]),
    packets.map((packet) => [...packet]),
  );
  t.equal(sink.counters.sent, packets.length);
  t.equal(sink.counters.failed, 3, 'what is no IP packet');
}

t.test('raw_ip: IPv4 and IPv6 with spoofed sources', { skip }, (t) => {
  checkIpSink(t, () => openRawIpSink({ name: 'eth0' }));
  t.end();
});

t.test('raw_ip by the routing table: unreachable and oversize packets fail by cause', { skip }, (t) => {
  checkIpSink(t, () => openRawIpSink({ name: '' }));
  const sink = a(() => openRawIpSink({ name: '' }));
  t.teardown(() => sink.close());
  sendAll(sink, [
    ipv4Udp('10.77.0.1', '203.0.113.1', payloadOf(9, 1)),
    ipv4Udp('10.77.0.1', '10.77.0.2', payloadOf(3000, 1)),
  ]);
  t.same([...sink.counters.causes.keys()], ['ENETUNREACH', 'EMSGSIZE']);
  t.equal(sink.fault, null);
  t.end();
});

t.test('raw_socket: the npm package', { skip: skip || (hasRawSocket() ? false : 'raw-socket is not built') }, (t) => {
  checkIpSink(t, () => openRawSocketSink());
  t.end();
});

t.test(
  'raw_socket in a worker: through a process of its own',
  {
    skip: skip || (hasRawSocket() ? false : 'raw-socket is not built'),
  },
  async (t) => {
    const receiver = b(() => new Receiver('eth0'));
    const packets = Array.from({ length: 600 }, (_, i) => (i % 3 === 0 ? V6(i) : V4(i)));
    const frames = [...packets, Uint8Array.of(0x45, 0), new Uint8Array(40)];
    const url = JSON.stringify(new URL('../../src/device/open.js', import.meta.url).href);
    const script = `
    const { workerData, parentPort } = await import('node:worker_threads');
    const { openSink } = await import(${url});
    const { inNamespace } = await import(${JSON.stringify(new URL('./namespace.js', import.meta.url).href)});
    const { pack } = await import(${JSON.stringify(new URL('./packets.js', import.meta.url).href)});
    const sink = inNamespace(workerData.netns, () => openSink({ name: '', backend: 'raw_socket' }));
    const { region, at, length } = pack(workerData.frames);
    for (let i = 0; i < at.length; i++)
      if (!sink.push(region, at[i], length[i])) { sink.flush(); sink.push(region, at[i], length[i]); }
    sink.flush();
    parentPort.postMessage({ counters: sink.counters, fault: sink.fault });
    sink.close();`;
    const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(script)}`), {
      workerData: { netns: lab.host('a').netns, frames },
    });
    t.teardown(() => {
      receiver.close();
      return worker.terminate();
    });
    const [said] = (await once(worker, 'message')) as [{ counters: Sink['counters']; fault: unknown }];
    const got = receiver.take(600, isDiscard).map((frame) => [...frame.subarray(14)]);
    assert.deepEqual(
      got,
      packets.map((packet) => [...packet]),
    );
    t.equal(said.counters.sent, 600);
    t.equal(said.counters.failed, 2);
    t.equal(said.fault, null);
  },
);

t.test('libpcap', { skip: skip || (hasLibpcap() ? false : 'needs libpcap') }, (t) => {
  const receiver = b(() => new Receiver('eth0'));
  const sink = a(() => openLibpcapSink({ name: 'eth0' }));
  t.teardown(() => {
    sink.close();
    receiver.close();
  });
  const frames = testFrames(300);
  sendAll(sink, [...frames, ethernet(MAC_B, MAC_A, EXPERIMENTAL, payloadOf(5000, 1))]);
  assert.deepEqual(receiver.take(300, isTest), frames);
  t.equal(sink.counters.sent, 300);
  t.same([...sink.counters.causes], [['EMSGSIZE', 1]]);
  t.throws(() => a(() => openLibpcapSink({ name: 'nosuch0' })), { code: 'INTERFACE' });
  t.end();
});

t.test('tap: made when no such interface exists; frames come in on it', { skip }, (t) => {
  t.equal(
    a(() => chooseBackend('tap7')),
    'tap',
  );
  t.equal(
    a(() => chooseBackend('eth0')),
    'af_packet',
  );
  const sink = a(() => openSink({ name: 'tap7', backend: 'auto' }));
  t.equal(
    a(() => chooseBackend('tap7')),
    'af_packet',
    'now it exists',
  );
  const receiver = a(() => new Receiver('tap7'));
  t.teardown(() => {
    sink.close();
    receiver.close();
  });
  const before = a(() => wireCounters('tap7', true));
  const frames = testFrames(300);
  sendAll(sink, frames);
  assert.deepEqual(receiver.take(300, isTest), frames);
  t.equal(
    wireDifference(
      before,
      a(() => wireCounters('tap7', true)),
    )?.packets,
    300,
  );
  t.throws(() => a(() => openTunSink({ kind: 'tap', name: 'tap7' })), { code: 'INTERFACE', message: /tap7 is in use/ });
  t.throws(() => a(() => openTunSink({ kind: 'tap', name: 'eth0' })), { message: /eth0 exists and is no tap device/ });
  t.throws(() => a(() => openTunSink({ kind: 'tap', name: 'tap-of-a-long-name' })), { code: 'USAGE' });
  lab.host('a').run(['ip', 'link', 'set', 'tap7', 'down']);
  sendAll(sink, testFrames(3));
  t.match(sink.fault, { code: 'INTERFACE', message: /tap7 went down/ });
  t.same([...sink.counters.causes], [['ENETDOWN', 3]]);
  t.end();
});

t.test('tun: packets come in on it; af_packet onto a tun wants packets, too', { skip }, (t) => {
  const sink = a(() => openTunSink({ kind: 'tun', name: 'tun7' }));
  const receiver = a(() => new Receiver('tun7'));
  t.teardown(() => {
    sink.close();
    receiver.close();
  });
  t.same(sink.limits, { linktype: 101, frameBytesMax: 1500, batchFramesMax: 256, retainsFrames: false });
  const packets = [V4(1), V6(2), V4(3)];
  sendAll(sink, packets, false);
  assert.deepEqual(receiver.take(3), packets);
  const facts = a(() => linkFacts('tun7'));
  t.match(facts, { linktype: 101, headerBytes: 0, up: true });
  const onto = a(() => openAfPacketSink({ name: 'tun7' }));
  t.equal(onto.limits.linktype, 101);
  const leaving = a(() => new Receiver('tun7', true));
  sendAll(onto, [V4(1), V6(2)]);
  t.equal(onto.counters.sent, 2);
  assert.deepEqual(leaving.take(2), [V4(1), V6(2)]);
  leaving.close();
  onto.close();
  t.end();
});

t.test('without CAP_NET_RAW the line to type is named', { skip }, (t) => {
  const script = `
    const { openSink } = await import(${JSON.stringify(new URL('../../src/device/open.js', import.meta.url).href)});
    for (const backend of ['af_packet', 'raw_ip', 'tap'])
      try { openSink({ name: backend === 'tap' ? 'tap9' : 'lo', backend }); console.log('opened'); }
      catch (error) { console.log(error.code, error.message); }`;
  const run = spawnSync(
    'setpriv',
    [
      '--bounding-set=-net_raw,-net_admin',
      '--inh-caps=-net_raw,-net_admin',
      process.execPath,
      '--input-type=module',
      '-e',
      script,
    ],
    { encoding: 'utf8' },
  );
  const lines = run.stdout.trim().split('\n');
  t.equal(lines.length, 3, run.stderr);
  t.match(lines[0], /^PERMISSION no permission to open a packet socket on lo: .*sudo setcap cap_net_raw\+ep \S*node/);
  t.match(lines[1], /^PERMISSION no permission to open a raw IPv4 socket: .*cap_net_raw/);
  t.match(lines[2], /^PERMISSION no permission to open tap tap9: .*cap_net_admin/);
  t.end();
});
