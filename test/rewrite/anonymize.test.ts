import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { OperatorError } from '../../src/base/errors.ts';
import { type AnonymizeSpec, openAnonymizer, readAnonymizeKey } from '../../src/rewrite/anonymize.ts';
import { AddressPseudonyms } from '../../src/rewrite/anonymize_addresses.ts';
import { CryptoPan } from '../../src/rewrite/cryptopan.ts';
import { Edit } from '../../src/rewrite/rewriter.ts';
import { decode } from '../../src/wire/decode.ts';
import { Layers } from '../../src/wire/layers.ts';
import { Checksum, verifyIpChecksum, verifyTransportChecksum } from '../../src/wire/verify.ts';
import { packageRoot } from '../structure/repository.ts';
import * as frames from '../wire/frames.ts';
import { batchOf, frameBytes, readPcap } from './support.ts';

/** Key and pairs of the Crypto-PAn source distribution: sample.c, sample_trace_raw.dat, sample_trace_sanitized.dat. */
const SAMPLE_KEY = Uint8Array.of(
  ...[21, 34, 23, 141, 51, 164, 207, 128, 19, 10, 91, 22, 73, 144, 125, 16],
  ...[216, 152, 143, 131, 121, 121, 101, 39, 98, 87, 76, 45, 42, 132, 34, 2],
);
const SAMPLE_TRACE: readonly (readonly [string, string])[] = [
  ['128.11.68.132', '135.242.180.132'],
  ['129.118.74.4', '134.136.186.123'],
  ['130.132.252.244', '133.68.164.234'],
  ['141.223.7.43', '141.167.8.160'],
  ['141.233.145.108', '141.129.237.235'],
  ['152.163.225.39', '151.140.114.167'],
  ['156.29.3.236', '147.225.12.42'],
  ['165.247.96.84', '162.9.99.234'],
  ['166.107.77.190', '160.132.178.185'],
  ['192.102.249.13', '252.138.62.131'],
  ['192.215.32.125', '252.43.47.189'],
  ['193.150.244.223', '253.169.52.216'],
  ['198.51.77.238', '249.18.186.254'],
  ['202.49.198.20', '245.206.7.234'],
  ['207.105.49.5', '241.118.205.138'],
  ['208.147.89.59', '227.237.98.191'],
  ['216.254.18.172', '235.7.16.162'],
  ['24.0.250.221', '100.15.198.226'],
  ['38.15.67.68', '64.3.66.187'],
  ['4.3.88.225', '124.60.155.63'],
  ['63.97.7.140', '95.97.9.123'],
  ['64.39.15.238', '0.219.7.41'],
  ['10.185.25.118', '117.161.29.118'],
];
/** What independent implementations (Go, Rust, C++) agree on for IPv6 with the same key. */
const SAMPLE_IPV6: readonly (readonly [string, string])[] = [
  ['00000000000000000000000000000001', '78fff0019fc020df8380b1f1070400ed'],
  ['0000000000000000000000000000ffff', '78fff0019fc020df8380b1f10704f838'],
  ['20010db8000000000000000000000001', '440102bc603fd91d027fff8ee6f1dc1e'],
  ['20010db8000000000000000000000002', '440102bc603fd91d027fff8ee6f1dc1c'],
];
const root = packageRoot();
const spec = (more: Partial<AnonymizeSpec> = {}): AnonymizeSpec => ({ key: SAMPLE_KEY, payload: 'keep', ...more });

const toInt = (dotted: string): number => dotted.split('.').reduce((sum, part) => (sum << 8) | Number(part), 0);
const commonBits = (a: number, b: number): number => Math.clz32(a ^ b);

t.test('Crypto-PAn as published', (t) => {
  const pan = new CryptoPan(SAMPLE_KEY);
  const all = new AddressPseudonyms(SAMPLE_KEY, true, false);
  for (const [from, to] of SAMPLE_TRACE) {
    const bytes = Uint8Array.from(from.split('.'), Number);
    pan.map(bytes, 32, bytes);
    assert.equal(bytes.join('.'), to);
    assert.equal(all.map4(toInt(from)), toInt(to));
    assert.equal(all.map4(toInt(from)), toInt(to), 'from the cache');
  }
  for (const [from, to] of SAMPLE_IPV6) {
    const bytes = Uint8Array.from(frames.hex(from));
    const view = new DataView(bytes.buffer);
    all.map6(view, 0);
    const mapped = [...all.words].map((word) => (word >>> 0).toString(16).padStart(8, '0')).join('');
    assert.equal(mapped, to);
  }
  t.pass('IPv4 and IPv6 vectors');
  t.end();
});

t.test('prefixes are kept, hosts stay apart, what names no host stays', (t) => {
  const map = new AddressPseudonyms(SAMPLE_KEY, false, false);
  const host = fc.integer().filter((a) => a !== 0 && a >>> 0 < 0xe000_0000 && a >>> 24 !== 127);
  const isWalked = (a: number): boolean => a >>> 28 === 7 || a >>> 28 === 0;
  fc.assert(
    fc.property(host, fc.integer({ min: 0, max: 31 }), fc.integer(), (a, bits, noise) => {
      const b = bits === 0 ? noise : (a & ~(-1 >>> bits)) | (noise & (-1 >>> bits));
      const mapped = map.map4(a);
      assert.ok(mapped >>> 0 < 0xe000_0000 && mapped >>> 24 !== 127 && mapped !== 0);
      if (b >>> 0 >= 0xe000_0000 || isWalked(a) || isWalked(b)) return;
      assert.equal(commonBits(mapped, map.map4(b)), commonBits(a, b));
    }),
    { numRuns: 3000, seed: 11 },
  );
  for (const kept of ['0.0.0.0', '127.0.0.1', '224.0.0.251', '239.255.255.250', '255.255.255.255']) {
    assert.equal(map.map4(toInt(kept)), toInt(kept));
  }
  const seen = new Set<number>();
  for (let a = toInt('112.0.0.0'); a < toInt('112.0.0.0') + 20_000; a++) seen.add(map.map4(a));
  t.equal(seen.size, 20_000, 'no two hosts become one, next to kept addresses as well');
  map.mapMac(0x0200, 0x0000_0001);
  t.equal(map.macHigh & 0x0300, 0x0200, 'local unicast stays local unicast');
  map.mapMac(0xffff, -1);
  t.same([map.macHigh, map.macLow], [0xffff, -1]);
  const oui = new AddressPseudonyms(SAMPLE_KEY, false, true);
  oui.mapMac(0x001f, 0xf33c_e113 | 0);
  t.same([oui.macHigh, oui.macLow >>> 24], [0x001f, 0xf3], 'the vendor is kept where asked for');
  t.not(oui.macLow & 0xff_ffff, 0x3c_e113);
  t.end();
});

interface Verdicts {
  readonly ip: number;
  readonly transport: number;
}

function verdicts(data: Uint8Array, linktype: number): Verdicts {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const layers = new Layers();
  decode(view, 0, data.length, linktype, layers);
  return { ip: verifyIpChecksum(view, layers), transport: verifyTransportChecksum(view, layers) };
}

/** Every IPv4 address and MAC of hosts in the headers, as bytes to look for. */
function hostBytes(data: Uint8Array, linktype: number): string[] {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const layers = new Layers();
  decode(view, 0, data.length, linktype, layers);
  const found: string[] = [];
  const take = (at: number, length: number): void => {
    found.push(Buffer.from(data.subarray(at, at + length)).toString('hex'));
  };
  if (layers.ip >= 0 && layers.ipVersion === 4 && view.getUint8(layers.ip + 12) < 224) take(layers.ip + 12, 4);
  if (layers.ip >= 0 && layers.ipVersion === 6) take(layers.ip + 8, 16);
  return found.filter((address) => !/^0+1?$|^7f/.test(address));
}

t.test('recorded traffic: sums stay true, addresses and payloads are gone', (t) => {
  const cases = fs.readdirSync(path.join(root, 'fixtures/pcaps'));
  let checked = 0;
  for (const name of cases) {
    const file = path.join(root, 'fixtures/pcaps', name, 'in.pcap');
    if (!fs.existsSync(file)) continue;
    const capture = readPcap(file);
    for (const payload of ['keep', 'zero', 'cut'] as const) {
      const batch = batchOf(capture.records, capture.linktype);
      const anonymizer = openAnonymizer(spec({ payload }));
      for (let i = 0; i < batch.count; i++) {
        const before = capture.records[i]!;
        anonymizer.edit(batch, i);
        const after = frameBytes(batch, i);
        assert.equal(batch.len[i], before.len);
        const was = verdicts(before.data, capture.linktype);
        const is = verdicts(after, capture.linktype);
        if (payload !== 'cut') {
          assert.equal(is.ip, was.ip, `${name} ${i}`);
          const fragmentsLose = payload === 'zero' && was.transport === Checksum.Unknown;
          if (!fragmentsLose) assert.equal(is.transport, was.transport, `${name} frame ${i} ${payload}`);
        }
        if (payload === 'keep') continue;
        const text = Buffer.from(after).toString('hex');
        for (const address of hostBytes(before.data, capture.linktype)) {
          assert.ok(!text.includes(address), `${name} ${i} holds ${address}`);
        }
        checked++;
      }
    }
  }
  t.ok(checked > 200, `${checked} frames`);
  t.end();
});

const VXLAN = (inner: number[]): number[] => frames.udp(4, [0x08, 0, 0, 0, 0, 0, 7, 0, ...inner], 4789);

t.test('tunnels, tags and quoted packets', (t) => {
  const inner = frames.ethernet(0x0800, frames.ipv4(6, frames.tcp(4, frames.hex('c0ffee c0ffee c0ffee'))));
  const outer = frames.ethernet(0x0800, frames.ipv4(17, VXLAN(inner)));
  const quoted = frames.ipv4(17, frames.udp(4, frames.hex('736563726574')));
  const error = frames.ethernet(0x0800, frames.ipv4(1, frames.icmp(3, [0, 0, 0, 0, ...quoted])));
  const tagged = frames.ethernet(0x8100, [0, 5, 0x88, 0x47, 0, 0, 0x11, 0xff, ...frames.ipv4(6, frames.tcp(4))]);
  const gre = frames.ethernet(0x0800, frames.ipv4(47, [0, 0, 0x86, 0xdd, ...frames.ipv6(6, frames.tcp(6, [1, 2, 3]))]));
  for (const [name, data] of Object.entries({ outer, error, tagged, gre })) {
    for (const payload of ['keep', 'zero'] as const) {
      const batch = batchOf([{ data: Uint8Array.from(data) }], 1);
      const anonymizer = openAnonymizer(spec({ payload }));
      t.equal(anonymizer.edit(batch, 0), Edit.Edited, name);
      t.equal(anonymizer.counters.opaque, 0, `${name} is understood`);
      const after = frameBytes(batch, 0);
      t.same(verdicts(after, 1), verdicts(Uint8Array.from(data), 1), `${name} ${payload}: outer sums`);
      const text = Buffer.from(after).toString('hex');
      for (const address of [frames.SRC4, frames.DST4, frames.SRC6, frames.DST6, frames.MACS.slice(0, 6)]) {
        t.notOk(text.includes(Buffer.from(address).toString('hex')), `${name} ${payload}`);
      }
      t.equal(
        text.includes('c0ffee') || text.includes('736563726574'),
        payload === 'keep' && 'outererror'.includes(name),
      );
    }
  }
  const batch = batchOf([{ data: Uint8Array.from(outer) }], 1);
  openAnonymizer(spec({ payload: 'zero' })).edit(batch, 0);
  const innerAt = outer.length - inner.length;
  const is = verdicts(frameBytes(batch, 0).slice(innerAt), 1);
  t.same(is, { ip: Checksum.True, transport: Checksum.True }, 'sums inside the tunnel');
  t.end();
});

t.test('other transports, options, padding', (t) => {
  const sctp = frames.ethernet(0x0800, frames.ipv4(132, frames.sctp(frames.hex('00000010 facade facade facade'))));
  const route = frames.hex('01 07 0b 08 0a000001 0a000002');
  const routed = frames.ethernet(0x0800, frames.ipv4(17, frames.udp(4, [1, 2, 3]), { options: route }));
  const padded = [
    ...frames.ethernet(0x0800, frames.ipv4(17, frames.udp(4, [1]))),
    ...frames.hex('0a000001 0a000002 ff'),
  ];
  const qinq = frames.ethernet(0x88a8, [0, 5, 0x81, 0, 0, 6, 0x86, 0xdd, ...frames.ipv6(17, frames.udp(6, [1, 2, 3]))]);
  for (const [name, data] of Object.entries({ sctp, routed, padded, qinq })) {
    const batch = batchOf([{ data: Uint8Array.from(data) }], 1);
    const anonymizer = openAnonymizer(spec({ payload: 'zero' }));
    anonymizer.edit(batch, 0);
    const after = frameBytes(batch, 0);
    const was = verdicts(Uint8Array.from(data), 1);
    t.equal(was.transport, Checksum.True, `${name}: true before`);
    t.same(verdicts(after, 1), was, `${name}: true afterwards`);
    const text = Buffer.from(after).toString('hex');
    t.notOk(/0a000001|0a000002|20010db8|facade/.test(text), name);
  }
  t.end();
});

t.test('neighbour discovery, ARP, and what is not understood', (t) => {
  const target = frames.SRC6;
  const option = [1, 1, ...frames.MACS.slice(6, 12)];
  const solicit = frames.icmpv6(135, [0, 0, 0, 0, ...target, ...option]);
  const arp = frames.hex('0001 0800 06 04 0001 020000000001 0a000001 000000000000 0a000002');
  const list = [
    frames.ethernet(0x86dd, frames.ipv6(58, solicit)),
    frames.ethernet(0x0806, arp),
    frames.ethernet(0x88cc, frames.hex('0a000001 20010db8000000000000000000000001')),
    frames.ethernet(0x0800, frames.hex('4500')),
  ];
  const anonymizer = openAnonymizer(spec());
  for (const [i, data] of list.entries()) {
    const batch = batchOf([{ data: Uint8Array.from(data) }], 1);
    anonymizer.edit(batch, 0);
    const text = Buffer.from(frameBytes(batch, 0)).toString('hex');
    t.notOk(text.includes('0a000001') || text.includes('20010db800'), `frame ${i}`);
    t.notOk(text.includes('020000000001') || text.includes('020000000002'), `frame ${i}`);
    if (i === 0) t.equal(verdicts(frameBytes(batch, 0), 1).transport, Checksum.True);
    if (i === 1) t.equal(text.slice(64, 76), '000000000000', 'an address that is asked for stays empty');
  }
  t.equal(anonymizer.counters.opaque, 2, 'LLDP and a cut header are zeroed');
  t.end();
});

const opened = new Map<string, ReturnType<typeof openAnonymizer>>();
function openFor(payload: AnonymizeSpec['payload']): ReturnType<typeof openAnonymizer> {
  let found = opened.get(payload);
  if (found === undefined) {
    found = openAnonymizer(spec({ payload }));
    opened.set(payload, found);
  }
  return found;
}

t.test('hostile bytes: nothing outside the frame is touched, nothing throws', (t) => {
  const seeds = fs
    .readdirSync(path.join(root, 'fixtures/pcaps'))
    .map((name) => path.join(root, 'fixtures/pcaps', name, 'in.pcap'))
    .filter((file) => fs.existsSync(file))
    .map(readPcap);
  fc.assert(
    fc.property(
      fc.nat(),
      fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 8 }),
      fc.nat(200),
      fc.constantFrom('keep', 'zero', 'cut'),
      (pick, edits, cut, payload) => {
        const capture = seeds[pick % seeds.length]!;
        const record = capture.records[(pick >>> 4) % capture.records.length]!;
        const data = Uint8Array.from(record.data);
        for (const [at, value] of edits) data[at % Math.min(data.length, 120)] = value;
        const kept = data.slice(0, Math.max(1, data.length - cut));
        const guard = new Uint8Array(64).fill(0xa5);
        const batch = batchOf([{ data: guard }, { data: kept }, { data: guard }], capture.linktype);
        openFor(payload as 'keep').edit(batch, 1);
        assert.deepEqual(frameBytes(batch, 0), guard);
        assert.deepEqual(frameBytes(batch, 2), guard);
        assert.ok(batch.caplen[1]! <= kept.length);
      },
    ),
    { numRuns: 4000, seed: 7 },
  );
  t.pass('4,000 frames');
  t.end();
});

t.test('key files', (t) => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'tsr-key-'));
  t.teardown(() => fs.rmSync(folder, { recursive: true, force: true }));
  const file = path.join(folder, 'key');
  fs.writeFileSync(file, SAMPLE_KEY);
  t.same(readAnonymizeKey(file), SAMPLE_KEY);
  fs.writeFileSync(file, `${Buffer.from(SAMPLE_KEY).toString('hex')}\n`);
  t.same(readAnonymizeKey(file), SAMPLE_KEY);
  for (const bad of ['', 'short', 'x'.repeat(64), 'y'.repeat(5000)]) {
    fs.writeFileSync(file, bad);
    t.throws(() => readAnonymizeKey(file), OperatorError, `${bad.length} bytes`);
  }
  t.throws(() => readAnonymizeKey(path.join(folder, 'none')), /ENOENT.*head -c 32/);
  t.throws(() => readAnonymizeKey(folder), /EISDIR/);
  t.end();
});
