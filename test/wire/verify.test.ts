import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { Rng } from '../../src/base/rng.ts';
import * as w from '../../src/wire/index.ts';
import { packageRoot } from '../structure/repository.ts';
import { type Bytes, ethernet, exactView, hex, icmp, icmpv6, ipv4, ipv6, SRC6, sctp, tcp, udp } from './frames.ts';
import { VECTORS } from './vectors.ts';

const { Checksum, Fixed, IpProtocol, Linktype } = w;
const layers = new w.Layers();
const DATA: Bytes = hex('68656c6c6f21ff00ff');

function open(frame: Bytes | Uint8Array, length = frame.length): DataView {
  const view = exactView(frame, length);
  w.decode(view, 0, length, Linktype.EN10MB, layers);
  return view;
}

function bytesOf(view: DataView): string {
  return Buffer.from(view.buffer, view.byteOffset, view.byteLength).toString('hex');
}

const routed = (type: number): Bytes => ipv6(43, [6, 2, type, 1, 0, 0, 0, 0, ...SRC6.slice(0, 15), 2, ...tcp(6, DATA)]);
/** Frames whose sums are right, with padding behind some. */
const TRUE: Readonly<Record<string, Bytes>> = {
  tcp: ethernet(0x0800, ipv4(6, tcp(4, DATA))),
  'tcp padded': [...ethernet(0x0800, ipv4(6, tcp(4))), 1, 2, 3, 4, 5, 6],
  'tcp with IPv4 options': ethernet(0x0800, ipv4(6, tcp(4, DATA), { options: hex('94040000') })),
  udp: ethernet(0x0800, ipv4(17, udp(4, DATA))),
  icmp: ethernet(0x0800, ipv4(1, icmp(8, DATA))),
  'icmp error': ethernet(0x0800, ipv4(1, icmp(3, [0, 0, 0, 0, ...ipv4(17, udp(4, DATA))]))),
  sctp: ethernet(0x0800, ipv4(132, sctp(DATA))),
  tcp6: ethernet(0x86dd, ipv6(6, tcp(6, DATA))),
  'tcp6 padded': [...ethernet(0x86dd, ipv6(6, tcp(6))), 7, 7, 7],
  udp6: ethernet(0x86dd, ipv6(17, udp(6, DATA))),
  icmp6: ethernet(0x86dd, ipv6(58, icmpv6(128, DATA))),
  'atomic fragment': ethernet(0x86dd, ipv6(44, [6, 0, 0, 0, 0, 0, 0, 9, ...tcp(6, DATA)])),
  'source-routed': ethernet(0x86dd, routed(0)),
  'segment-routed': ethernet(0x86dd, routed(4)),
};

t.test('verdicts', async (t) => {
  for (const [name, frame] of Object.entries(TRUE)) {
    const view = open(frame);
    t.equal(w.verifyIpChecksum(view, layers), layers.ipVersion === 4 ? Checksum.True : Checksum.Absent, name);
    t.equal(w.verifyTransportChecksum(view, layers), Checksum.True, name);
    for (let at = layers.l4; at < layers.ipEnd; at++) {
      const value = view.getUint8(at);
      view.setUint8(at, value ^ 0x10);
      assert.notEqual(w.verifyTransportChecksum(view, layers), Checksum.True, `${name}: byte ${at} changed`);
      view.setUint8(at, value);
    }
  }
  const verdict = (frame: Bytes, length = frame.length): number[] => {
    const view = open(frame, length);
    return [w.verifyIpChecksum(view, layers), w.verifyTransportChecksum(view, layers)];
  };
  const zero = (version: number): Bytes => udp(version, DATA).map((byte, i) => (i === 6 || i === 7 ? 0 : byte));
  t.same(verdict(ethernet(0x0800, ipv4(17, zero(4)))), [Checksum.True, Checksum.Absent], 'UDP without checksum');
  t.same(verdict(ethernet(0x86dd, ipv6(17, zero(6)))), [Checksum.Absent, Checksum.False], 'which IPv6 does not allow');
  const vxlan = udp(6, [...hex('08000000 00002a00'), ...TRUE['tcp']!], 4789).map((b, i) =>
    i === 6 || i === 7 ? 0 : b,
  );
  t.same(verdict(ethernet(0x86dd, ipv6(17, vxlan))), [Checksum.Absent, Checksum.Absent], 'but to tunnels');
  t.same(verdict(ethernet(0x0806, DATA)), [Checksum.Absent, Checksum.Absent], 'no IP');
  t.same(verdict(TRUE['tcp']!, 56), [Checksum.True, Checksum.Unknown], 'cut');
  t.same(verdict(TRUE['tcp with IPv4 options']!, 36), [Checksum.Unknown, Checksum.Unknown], 'options cut');
  for (const flagsOffset of [0x2000, 0x0003]) {
    t.same(verdict(ethernet(0x0800, ipv4(17, udp(4, DATA), { flagsOffset }))), [Checksum.True, Checksum.Unknown]);
  }
  t.same(verdict(ethernet(0x0800, ipv4(2, DATA))), [Checksum.True, Checksum.Absent], 'IGMP');
});

t.test('fixing makes the same bytes from any sums', async (t) => {
  for (const [name, frame] of Object.entries(TRUE)) {
    const view = open(frame);
    const sumAt: Record<number, number> = { 6: 16, 17: 6, 1: 2, 58: 2, 132: 8 };
    const at = layers.l4 + sumAt[layers.l4Protocol]!;
    view.setUint16(at, 0xdead);
    if (layers.ipVersion === 4) view.setUint16(layers.ip + 10, 0xbeef);
    if (layers.l4Protocol === IpProtocol.Sctp) view.setUint16(at + 2, 0xdead);
    t.equal(w.fixChecksums(view, layers), layers.ipVersion === 4 ? Fixed.Ip | Fixed.Transport : Fixed.Transport, name);
    t.equal(bytesOf(view), Buffer.from(frame).toString('hex'), name);
  }
});

t.test('fixing leaves alone what it cannot know', async (t) => {
  const wrongIp = (frame: Bytes): Bytes => frame.map((byte, i) => (i === 24 ? byte ^ 0xff : byte));
  const cases: readonly (readonly [string, Bytes, number, number])[] = [
    ['cut', TRUE['tcp']!, 58, Fixed.Ip],
    ['options cut', TRUE['tcp with IPv4 options']!, 36, 0],
    ['fragment', ethernet(0x0800, ipv4(17, udp(4, DATA), { flagsOffset: 0x2000 })), 51, Fixed.Ip],
    ['later fragment', ethernet(0x0800, ipv4(17, udp(4, DATA), { flagsOffset: 1 })), 51, Fixed.Ip],
    [
      'no checksum',
      ethernet(
        0x0800,
        ipv4(
          17,
          udp(4, DATA).map((b, i) => (i === 6 || i === 7 ? 0 : b)),
        ),
      ),
      51,
      Fixed.Ip,
    ],
    ['IGMP', ethernet(0x0800, ipv4(2, DATA)), 43, Fixed.Ip],
  ];
  for (const [name, frame, length, fixed] of cases) {
    const view = open(wrongIp(frame), length);
    t.equal(w.fixChecksums(view, layers), fixed, name);
    const expected = fixed === 0 ? wrongIp(frame) : frame;
    t.equal(bytesOf(view), Buffer.from(expected.slice(0, length)).toString('hex'), name);
  }
  const view = open(ethernet(0x86dd, ipv6(44, [6, 0, 0, 1, 0, 0, 0, 9, ...tcp(6, DATA)])));
  t.equal(w.fixChecksums(view, layers), 0, 'an IPv6 fragment is not touched');
  const zero = open(
    ethernet(
      0x86dd,
      ipv6(
        17,
        udp(6, DATA).map((b, i) => (i === 6 || i === 7 ? 0 : b)),
      ),
    ),
  );
  t.equal(w.fixChecksums(zero, layers), Fixed.Transport);
  t.equal(w.verifyTransportChecksum(zero, layers), Checksum.True, 'IPv6 wants a UDP checksum');
});

function rewriteAll(view: DataView, rng: Rng): void {
  if (layers.ipVersion === 4) {
    w.rewriteSrcIpv4(view, layers, rng.nextUint32());
    w.rewriteDstIpv4(view, layers, rng.nextUint32());
    w.rewriteIpv4Ttl(view, layers.ip, rng.below(256));
    w.rewriteIpv4Tos(view, layers.ip, rng.below(256));
    w.rewriteIpv4Id(view, layers.ip, rng.below(65536));
  } else {
    for (let i = 0; i < 4; i++) {
      w.rewriteSrcIpv6Word(view, layers, i, rng.nextUint32());
      w.rewriteDstIpv6Word(view, layers, i, rng.nextUint32());
    }
  }
  if (!w.hasPorts(layers)) return;
  w.rewriteSrcPort(view, layers, rng.below(65536));
  w.rewriteDstPort(view, layers, rng.below(65536));
}

t.test('rewriting is what recomputing says', async (t) => {
  const rng = new Rng(99);
  for (const [name, frame] of Object.entries(TRUE)) {
    const view = open(frame);
    for (let i = 0; i < 500; i++) {
      rewriteAll(view, rng);
      assert.notEqual(w.verifyIpChecksum(view, layers), Checksum.False, name);
      if (layers.l4Protocol !== IpProtocol.Sctp) {
        assert.equal(w.verifyTransportChecksum(view, layers), Checksum.True, name);
      }
      const incremental = bytesOf(view);
      w.fixChecksums(view, layers);
      if (layers.l4Protocol !== IpProtocol.Sctp) assert.equal(bytesOf(view), incremental, name);
    }
  }
  for (const { name, frame, linktype } of VECTORS) {
    const view = exactView(frame);
    w.decode(view, 0, frame.length, linktype, layers);
    const before = [w.verifyIpChecksum(view, layers), w.verifyTransportChecksum(view, layers)];
    if (layers.ip >= 0) rewriteAll(view, rng);
    const after = [w.verifyIpChecksum(view, layers), w.verifyTransportChecksum(view, layers)];
    assert.deepEqual(after, before, `${name}: sums are as true as they were`);
  }
  t.pass('500 rewrites of each');
});

t.test('a datagram rewritten in fragments is right when it is put together', async (t) => {
  const datagram = udp(4, [...DATA, ...DATA, ...DATA]);
  const rng = new Rng(3);
  for (let i = 0; i < 200; i++) {
    const addresses = [rng.nextUint32(), rng.nextUint32()] as const;
    const parts = [datagram.slice(0, 16), datagram.slice(16)].map((part, n) => {
      const view = open(ethernet(0x0800, ipv4(17, part, { flagsOffset: n === 0 ? 0x2000 : 2 })));
      w.rewriteSrcIpv4(view, layers, addresses[0]);
      w.rewriteDstIpv4(view, layers, addresses[1]);
      assert.equal(w.verifyIpChecksum(view, layers), Checksum.True);
      return [...new Uint8Array(view.buffer, view.byteOffset, view.byteLength)];
    });
    const whole = open(ethernet(0x0800, ipv4(17, [...parts[0]!.slice(34), ...parts[1]!.slice(34)])));
    whole.setUint32(26, addresses[0]);
    whole.setUint32(30, addresses[1]);
    assert.equal(w.verifyTransportChecksum(whole, layers), Checksum.True);
  }
  t.pass('200 datagrams');
});

const tcpdump = spawnSync('tcpdump', ['--version']).status === 0;

t.test('tcpdump finds no fault', { skip: tcpdump ? false : 'needs tcpdump' }, async (t) => {
  const rng = new Rng(11);
  const records: Uint8Array[] = [];
  for (const frame of [...Object.values(TRUE), ...fixtureFrames()]) {
    const view = open(frame);
    if (layers.ip < 0) continue;
    w.fixChecksums(view, layers);
    rewriteAll(view, rng);
    if (layers.l4Protocol === IpProtocol.Sctp) w.fixChecksums(view, layers);
    records.push(new Uint8Array(view.buffer, view.byteOffset, view.byteLength));
  }
  const good = judge(t, records);
  t.equal(good.faults, 0, `tcpdump on ${records.length} rewritten packets`);
  t.ok(good.correct > 10, `${good.correct} sums were called correct`);
  const bad = records.map((bytes) => bytes.map((byte, i) => (i === bytes.length - 1 ? byte ^ 0x55 : byte)));
  t.ok(judge(t, bad).faults > 10, 'and it does look');
});

/** What tcpdump says of Ethernet frames: sums called wrong, sums called right. */
function judge(t: { testdir(): string }, frames: readonly Uint8Array[]): { faults: number; correct: number } {
  const header = Buffer.alloc(24);
  header.writeUInt32LE(0xa1b2c3d4);
  header.writeUInt16LE(2, 4);
  header.writeUInt16LE(4, 6);
  header.writeUInt32LE(262144, 16);
  header.writeUInt32LE(1, 20);
  const parts = frames.flatMap((frame) => {
    const record = Buffer.alloc(16);
    record.writeUInt32LE(frame.length, 8);
    record.writeUInt32LE(frame.length, 12);
    return [record, frame];
  });
  const file = path.join(t.testdir(), 'judged.pcap');
  fs.writeFileSync(file, Buffer.concat([header, ...parts]));
  const run = spawnSync('tcpdump', ['-nnvvr', file], { encoding: 'utf8', maxBuffer: 1 << 27 });
  assert.equal(run.status, 0, run.stderr);
  const count = (pattern: RegExp): number => run.stdout.match(pattern)?.length ?? 0;
  return {
    faults: count(/incorrect|bad cksum|bad udp cksum|wrong icmp6? cksum|bad icmp6 cksum/g),
    correct: count(/\(correct\)|udp sum ok|icmp6 sum ok/g),
  };
}

/** Whole Ethernet frames of the fixtures in little-endian classic pcap. */
function fixtureFrames(): Uint8Array[] {
  const folder = path.join(packageRoot(), 'fixtures', 'pcaps');
  const frames: Uint8Array[] = [];
  for (const name of fs.existsSync(folder) ? fs.readdirSync(folder) : []) {
    const file = path.join(folder, name, 'in.pcap');
    if (!fs.existsSync(file)) continue;
    const bytes = fs.readFileSync(file);
    const magic = bytes.readUInt32LE(0);
    if ((magic !== 0xa1b2c3d4 && magic !== 0xa1b23c4d) || bytes.readUInt32LE(20) !== 1) continue;
    for (let at = 24; at + 16 <= bytes.length; ) {
      const caplen = bytes.readUInt32LE(at + 8);
      if (caplen === bytes.readUInt32LE(at + 12)) frames.push(bytes.subarray(at + 16, at + 16 + caplen));
      at += 16 + caplen;
    }
  }
  return frames;
}
