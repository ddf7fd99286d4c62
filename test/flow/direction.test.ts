/** Which side a packet is from: evidence, host tables, networks of servers, filters; IPv4 and IPv6 alike. */
import { deepEqual, equal } from 'node:assert/strict';
import fc from 'fast-check';
import t from 'tap';
import { BATCH_FRAMES, FrameBatch } from '../../src/base/batch.ts';
import { plainRegion } from '../../src/base/region.ts';
import { AddressFilter } from '../../src/flow/address_filter.ts';
import { HostTable } from '../../src/flow/hosts.ts';
import {
  AUTO_DEFAULTS,
  AutoClassifier,
  type AutoMode,
  type AutoSpec,
  addressText,
  type DirectionSpec,
  openClassifier,
  SERVICE_TCP,
  Side,
  Subject,
} from '../../src/flow/index.ts';
import { IpEnds } from '../../src/flow/ip_ends.ts';
import { drawServerNetworks, IPV6_MASK_FACTOR } from '../../src/flow/server_networks.ts';

/** Hosts are numbers; `v6` puts them at 2001:db8::a.b.c.d, whose last word is the IPv4 address. */
type Version = 4 | 6;

function addressBytes(host: number, version: Version): number[] {
  const low = [host >>> 24, (host >>> 16) & 255, (host >>> 8) & 255, host & 255];
  return version === 4 ? low : [0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, ...low];
}

interface PacketOptions {
  readonly version?: Version;
  readonly protocol?: number;
  readonly payload?: readonly number[];
  /** Offset field with flags, IPv4; IPv6 gets a Fragment header. */
  readonly fragment?: number;
  readonly sourceMac?: number;
}

function packet(src: number, dst: number, options: PacketOptions = {}): Uint8Array {
  const { version = 4, protocol = 17, payload = udp(5000, 6000), fragment, sourceMac = 1 } = options;
  const link = [2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, sourceMac];
  const addresses = [...addressBytes(src, version), ...addressBytes(dst, version)];
  if (version === 4) {
    const length = 20 + payload.length;
    const field = fragment ?? 0;
    const fixed = [0x45, 0, length >> 8, length & 255, 0, 7, field >> 8, field & 255, 64, protocol, 0, 0];
    return Uint8Array.from([...link, 8, 0, ...fixed, ...addresses, ...payload]);
  }
  const extension =
    fragment === undefined ? [] : [protocol, 0, (fragment << 3) >> 8, (fragment << 3) & 248, 0, 0, 0, 7];
  const length = payload.length + extension.length;
  const next = fragment === undefined ? protocol : 44;
  const fixed = [0x60, 0, 0, 0, length >> 8, length & 255, next, 64];
  return Uint8Array.from([...link, 0x86, 0xdd, ...fixed, ...addresses, ...extension, ...payload]);
}

const ports = (src: number, dst: number): number[] => [src >> 8, src & 255, dst >> 8, dst & 255];

function tcp(src: number, dst: number, flags: number): number[] {
  return [...ports(src, dst), 0, 0, 0, 1, 0, 0, 0, 1, 0x50, flags, 1, 0, 0, 0, 0, 0];
}

function udp(src: number, dst: number, payload: readonly number[] = [0, 1, 2, 3]): number[] {
  const length = 8 + payload.length;
  return [...ports(src, dst), length >> 8, length & 255, 0, 0, ...payload];
}

const ARP = Uint8Array.from([
  2,
  0,
  0,
  0,
  0,
  2,
  2,
  0,
  0,
  0,
  0,
  1,
  8,
  6,
  0,
  1,
  8,
  0,
  6,
  4,
  0,
  1,
  ...new Array(20).fill(9),
]);

function batchOf(frames: readonly Uint8Array[], linktype = 1): FrameBatch {
  const region = plainRegion(frames.reduce((sum, frame) => sum + frame.length, 0));
  const batch = new FrameBatch(Math.max(BATCH_FRAMES, frames.length), region);
  let at = 0;
  for (const [i, frame] of frames.entries()) {
    region.bytes.set(frame, at);
    batch.at[i] = at;
    batch.caplen[i] = batch.len[i] = frame.length;
    batch.linktype[i] = linktype;
    at += frame.length;
  }
  batch.count = frames.length;
  return batch;
}

/** P and s as a cache would have it. */
function split(spec: DirectionSpec, frames: readonly Uint8Array[], linktype = 1): string {
  const batch = batchOf(frames, linktype);
  const classifier = openClassifier(spec);
  const subjects = frames.map((_, i) => classifier.look(batch, i));
  if (!classifier.waits) {
    for (const [i, subject] of subjects.entries()) {
      equal(classifier.isPrimary(subject), classifier.isPrimary(classifier.look(batch, i)), 'final at once');
    }
  }
  equal(classifier.settle(), null);
  return subjects.map((subject) => (classifier.isPrimary(subject) ? 'P' : 's')).join('');
}

function auto(mode: AutoMode, changes: Partial<AutoSpec> = {}): AutoSpec {
  return { ...AUTO_DEFAULTS, mode, ...changes };
}

const CLIENT = 0x0a000001;
const SERVER = 0x14000001;
const OTHER = 0x5a000001;
const BOTH: readonly Version[] = [4, 6];

t.test('what one packet says about its sender', (t) => {
  const dns = (answer: boolean): number[] => [0, 1, answer ? 0x80 : 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
  const cases: [string, number, readonly number[], number | undefined, 'client' | 'server' | 'nothing'][] = [
    ['SYN', 6, tcp(1, 2, 2), undefined, 'client'],
    ['SYN-ACK', 6, tcp(1, 2, 18), undefined, 'server'],
    ['SYN with ECN', 6, tcp(1, 2, 0xc2), undefined, 'client'],
    ['SYN-ACK with ECN', 6, tcp(1, 2, 0x52), undefined, 'server'],
    ['ACK', 6, tcp(1, 2, 16), undefined, 'nothing'],
    ['RST', 6, tcp(1, 2, 4), undefined, 'nothing'],
    ['SYN with RST', 6, tcp(1, 2, 6), undefined, 'nothing'],
    ['to port 53', 17, udp(999, 53, dns(false)), undefined, 'client'],
    ['from port 53', 17, udp(53, 999, dns(true)), undefined, 'server'],
    ['53 to 53, query', 17, udp(53, 53, dns(false)), undefined, 'client'],
    ['53 to 53, response', 17, udp(53, 53, dns(true)), undefined, 'server'],
    ['53 to 53, shorter than a DNS header', 17, udp(53, 53, [1]), undefined, 'client'],
    ['mDNS', 17, udp(5353, 5353, dns(false)), undefined, 'nothing'],
    ['SYN in a first fragment', 6, tcp(1, 2, 2), 0x2000, 'client'],
    ['the bytes of a SYN in a later fragment', 6, tcp(1, 2, 2), 3, 'nothing'],
  ];
  for (const version of BOTH) {
    for (const [name, protocol, payload, fragment, says] of cases) {
      const options = { version, protocol, payload, ...(fragment === undefined ? {} : { fragment }) };
      if (version === 6 && fragment === 0x2000) continue;
      const frame = [packet(CLIENT, SERVER, options)];
      const found = `${split(auto('client'), frame)}${split(auto('server'), frame)}`;
      equal(found, { client: 'PP', server: 'ss', nothing: 'Ps' }[says], `${name}, IPv${version}`);
    }
    const [protocol, type, code] = version === 4 ? [1, 3, 3] : [58, 1, 4];
    const unreachable = (c: number) => [
      packet(CLIENT, SERVER, { version, protocol, payload: [type, c, ...new Array(30).fill(0)] }),
    ];
    equal(split(auto('client'), unreachable(code)), 's', 'port unreachable speaks for a server');
    equal(split(auto('client'), unreachable(0)), 'P', 'network unreachable says nothing');
  }
  const odd = [packet(CLIENT, SERVER, { protocol: 6, payload: tcp(1, 2, 0xc2) })];
  equal(split(auto('server', { compat: true }), odd), 's', 'the reference does not see a SYN with ECN bits');
  t.pass(`${cases.length} kinds of packets, both versions`);
  t.end();
});

t.test('modes', (t) => {
  for (const version of BOTH) {
    const syn = packet(CLIENT, SERVER, { version, protocol: 6, payload: tcp(1, 80, 2) });
    const synAck = packet(SERVER, CLIENT, { version, protocol: 6, payload: tcp(80, 1, 18) });
    const other = packet(OTHER, CLIENT, { version });
    const frames = [synAck, syn, other, ARP];
    equal(split(auto('bridge'), frames), 'sPss');
    equal(split(auto('server'), frames), 'sPss');
    equal(split(auto('client'), frames), 'sPPs');
    equal(split(auto('router'), frames), 'sPPs');
    equal(split(auto('first'), frames), 'PsPs');
    equal(split(auto('bridge', { nonIpPrimary: true }), frames), 'sPsP');
    equal(split(auto('router', { nonIpPrimary: true }), frames), 'sPsP', '--nonip turns the unknown of router round');
    equal(split(auto('bridge', { reverse: true }), frames), 'PsPs', 'packets without IP stay');
    const both = [syn, synAck, packet(CLIENT, SERVER, { version, protocol: 6, payload: tcp(9, 9, 18) })];
    equal(split(auto('bridge', { ratio: 2 }), both), 'PsP', 'once a server is less than twice once a client');
    equal(split(auto('bridge', { ratio: 1 }), both), 'sss', 'exactly at the ratio: a server');
    equal(
      split(
        {
          kind: 'port',
          services: new Uint8Array(65_536).fill(SERVICE_TCP, 80, 81),
          reverse: false,
          nonIpPrimary: false,
        },
        frames,
      ),
      'sPss',
    );
    const words = version === 4 ? [CLIENT] : [0x20010db8, 0, 0, CLIENT];
    const block = { version, words, prefixLength: version === 4 ? 30 : 126 };
    const cidr = { kind: 'cidr', blocks: [block], reverse: false, nonIpPrimary: false } as const;
    equal(split(cidr, frames), 'sPss');
    equal(split({ ...cidr, reverse: true, nonIpPrimary: true }, frames), 'PsPP');
    const asked: string[] = [];
    const matches = (v: 4 | 6, w: readonly number[]): boolean => asked.push(addressText(v, w)) > 1;
    equal(split({ kind: 'match', matches, reverse: false, nonIpPrimary: false }, [...frames, ...frames]), 'sPPssPPs');
    equal(asked.length, 3, 'each host is asked about once');
  }
  const mac = { kind: 'mac', macs: [[2, 0, 0, 0, 0, 7]], reverse: false, nonIpPrimary: true } as const;
  equal(split(mac, [packet(CLIENT, SERVER, { sourceMac: 7 }), packet(CLIENT, SERVER), ARP]), 'Pss');
  equal(split({ ...mac, reverse: true }, [packet(CLIENT, SERVER, { sourceMac: 7 }), ARP]), 'sP');
  equal(
    split(auto('bridge', { compat: true }), [
      packet(CLIENT, SERVER, { version: 6, protocol: 6, payload: tcp(1, 80, 2) }),
      packet(SERVER, CLIENT, { version: 6, protocol: 6, payload: tcp(80, 1, 18) }),
    ]),
    'PP',
    'the reference takes all IPv6 hosts for one',
  );
  const solicitation = [135, 0, 0, 0, 0, 0, 0, 0, ...new Array(16).fill(1)];
  const discovery = { version: 6, protocol: 58, payload: solicitation } as const;
  const conversation = [
    packet(SERVER, OTHER, discovery),
    packet(CLIENT, SERVER, { version: 6 }),
    packet(SERVER, CLIENT, { version: 6 }),
  ];
  equal(split(auto('first'), conversation), 'sPs', 'neighbor discovery is no more of a conversation than ARP');
  t.pass('every mode, both versions');
  t.end();
});

t.test('fragments go with the first of their datagram', (t) => {
  const services = new Uint8Array(65_536).fill(3, 0, 1024);
  const spec = { kind: 'port', services, reverse: false, nonIpPrimary: false } as const;
  const first = packet(CLIENT, SERVER, { payload: udp(5000, 53), fragment: 0x2000 });
  const later = packet(CLIENT, SERVER, { payload: [0x13, 0x88, 0x13, 0x88, 1, 2, 3, 4], fragment: 2 });
  const stranger = packet(OTHER, SERVER, { payload: [0, 53, 0, 53, 0, 8, 0, 0], fragment: 2 });
  equal(split(spec, [first, later, stranger]), 'PPs');
  equal(split({ ...spec, nonIpPrimary: true }, [stranger]), 'P', 'without a first fragment: as packets without ports');
  t.pass('IPv4');
  t.end();
});

t.test('router: networks of servers, against a search', (t) => {
  const side = fc.constantFrom(Side.Unknown, Side.Client, Side.Server);
  const hosts = fc.uniqueArray(fc.tuple(fc.integer({ min: 0, max: 0xffff }), side), {
    selector: ([n]) => n,
    maxLength: 30,
  });
  const bits = (a: number, b: number): number => Math.clz32(a ^ b);
  fc.assert(
    fc.property(hosts, fc.integer({ min: 16, max: 24 }), fc.integer({ min: 25, max: 32 }), (list, maxmask, minmask) => {
      const table = new HostTable();
      const sides = new Uint8Array(list.length);
      for (const [n, kind] of list) sides[table.idOfIpv4((0x0a00_0000 + n) | 0)] = kind;
      const of = (kind: Side): number[] => list.filter(([, k]) => k === kind).map(([n]) => n);
      const servers = of(Side.Server);
      const clients = of(Side.Client);
      let mask = maxmask;
      while (mask <= minmask && clients.some((c) => servers.some((s) => bits(c, s) >= mask))) mask++;
      const drawn = drawServerNetworks(table, sides, maxmask, minmask);
      const needed = servers.length > 0 && of(Side.Unknown).length > 0;
      if (!needed) return deepEqual('inside' in drawn && drawn.ipv4, 0);
      if (mask > minmask) return equal('prefix' in drawn, true);
      if (!('inside' in drawn)) throw new Error('a network was to be found');
      equal(drawn.ipv4, mask);
      for (const [id, [n, kind]] of list.entries()) {
        const inside = kind === Side.Unknown && servers.some((s) => bits(n, s) >= mask);
        equal(drawn.inside[id], inside ? 1 : 0, `host ${n}`);
      }
    }),
    { numRuns: 500 },
  );
  for (const version of BOTH) {
    const frames = [
      packet(SERVER, CLIENT, { version, protocol: 6, payload: tcp(80, 1, 18) }),
      packet(SERVER + 5, CLIENT, { version }),
      packet(0x28000000, SERVER, { version }),
      packet(SERVER + 0x8000, OTHER, { version, protocol: 6, payload: tcp(1, 80, 2) }),
    ];
    equal(split(auto('router', { maxmask: 8, minmask: 32 }), frames), 'ssPP', 'a neighbour of a server is a server');
    if (version === 4) equal(split(auto('router', { compat: true }), frames), 'sPPP', 'the reference knows none');
  }
  equal(IPV6_MASK_FACTOR * 32, 128, 'the longest mask is a host in both versions');
  const near = new AutoClassifier(auto('router'));
  const batch = batchOf([
    packet(SERVER, CLIENT, { protocol: 6, payload: tcp(80, 1, 18) }),
    packet(SERVER ^ 1, CLIENT, { protocol: 6, payload: tcp(1, 80, 2) }),
    packet(OTHER, CLIENT),
  ]);
  for (const i of [0, 1, 2]) near.look(batch, i);
  t.match(near.settle(), /client 20\.0\.0\.0 and server 20\.0\.0\.1 share 31 bits, so no network of up to \/30 parts/);
  t.end();
});

t.test('hosts, against a map; a full table', (t) => {
  const address = fc.oneof(
    fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }).map((a) => [a]),
    fc.array(fc.constantFrom(0, 1, -1, 0x20010db8), { minLength: 4, maxLength: 4 }),
  );
  fc.assert(
    fc.property(fc.array(address, { maxLength: 3000 }), (list) => {
      const table = new HostTable();
      const known = new Map<string, number>();
      const view = new DataView(new ArrayBuffer(16));
      for (const words of list) {
        for (const [k, word] of words.entries()) view.setInt32(k * 4, word);
        const id = words.length === 1 ? table.idOfIpv4(words[0]!) : table.idOfIpv6(view, 0);
        const key = words.join();
        equal(id, known.get(key) ?? known.size);
        known.set(key, id);
        equal(table.version(id), words.length === 1 ? 4 : 6);
        deepEqual(
          words.map((_, k) => table.word(id, k)),
          words.map((word) => word >>> 0),
        );
      }
      equal(table.count, known.size);
    }),
    { numRuns: 60 },
  );
  const full = new HostTable(3);
  deepEqual(
    [1, 2, 3, 4, 2, 5].map((a) => full.idOfIpv4(a)),
    [0, 1, 2, -1, 1, -1],
  );
  equal(full.untracked, 2);
  const big = new HostTable(5000);
  for (let a = 0; a < 6000; a++) equal(big.idOfIpv4(a * 7919), a < 5000 ? a : -1);
  const classifier = new AutoClassifier(auto('client', { reverse: true, nonIpPrimary: true }));
  equal(classifier.isPrimary(Subject.Untracked), false, 'a host that was not kept is unknown');
  t.pass('1 to 6,000 hosts');
  t.end();
});

t.test('packets chosen by address', (t) => {
  const block = (words: number[], prefixLength: number) => ({
    version: words.length === 1 ? (4 as const) : (6 as const),
    words,
    prefixLength,
  });
  for (const version of BOTH) {
    const inside = version === 4 ? block([0x0a000000], 8) : block([0x20010db8, 0, 0, 0x0a000000], 104);
    const frames = [
      packet(CLIENT, SERVER, { version }),
      packet(SERVER, CLIENT, { version }),
      packet(CLIENT, CLIENT + 1, { version }),
      packet(SERVER, OTHER, { version }),
      ARP,
    ];
    const batch = batchOf(frames);
    const chosen = (end: 'source' | 'destination' | 'both' | 'either', include: boolean): string => {
      const filter = new AddressFilter(end, [inside], include);
      return frames.map((_, i) => (filter.takes(batch, i) ? '1' : '0')).join('');
    };
    deepEqual(
      ['source', 'destination', 'both', 'either'].map((end) => chosen(end as 'source', true)),
      ['10101', '01101', '00101', '11101'],
    );
    equal(chosen('source', false), '01011', 'packets without IP are never left out');
  }
  t.pass('four ends, both versions');
  t.end();
});

t.test('the short way through plain frames finds what a whole decode finds', (t) => {
  const seeds = [
    packet(CLIENT, SERVER, { protocol: 6, payload: tcp(1, 80, 2) }),
    packet(CLIENT, SERVER, { payload: udp(5000, 53) }),
    packet(CLIENT, SERVER, { payload: udp(5000, 53), fragment: 0x2000 }),
    packet(CLIENT, SERVER, { version: 6, protocol: 6, payload: tcp(1, 80, 18) }),
  ];
  const change = fc.tuple(fc.nat(60), fc.integer({ min: 0, max: 255 }));
  const short = new IpEnds();
  const whole = new IpEnds();
  fc.assert(
    fc.property(fc.constantFrom(...seeds), fc.array(change, { maxLength: 3 }), fc.nat(60), (seed, changes, cut) => {
      const frame = seed.slice(0, Math.max(0, seed.length - (cut > 30 ? 0 : cut)));
      for (const [at, value] of changes) if (at < frame.length) frame[at] = value;
      const batch = batchOf([frame]);
      const isIp = whole.decode(batch, 0);
      equal(short.findTransport(batch, 0), isIp);
      if (!isIp) return;
      const { layers } = whole;
      const found = [short.l4, short.l4Protocol, short.ipEnd, short.fragment, short.version, short.srcAt, short.dstAt];
      const told = [
        layers.l4,
        layers.l4Protocol,
        layers.ipEnd,
        layers.fragment,
        whole.version,
        whole.srcAt,
        whole.dstAt,
      ];
      deepEqual(found, told);
      equal(short.find(batch, 0), true);
      deepEqual([short.version, short.srcAt, short.dstAt], told.slice(4));
    }),
    { numRuns: 5000 },
  );
  t.pass('5,000 frames');
  t.end();
});

t.test('addresses as text (RFC 5952)', (t) => {
  const cases: [number[], string][] = [
    [[0], '0.0.0.0'],
    [[0xffffffff], '255.255.255.255'],
    [[0, 0, 0, 0], '::'],
    [[0, 0, 0, 1], '::1'],
    [[0x20010db8, 0, 0, 1], '2001:db8::1'],
    [[0x20010db8, 0, 0x00010000, 0], '2001:db8:0:0:1::'],
    [[0x20010000, 0x00000001, 0, 0x00000001], '2001:0:0:1::1'],
    [[0x20010db8, 0x00010001, 0x00010001, 0x00010001], '2001:db8:1:1:1:1:1:1'],
    [[0x20010db8, 0x00000001, 0x00010001, 0x00010001], '2001:db8:0:1:1:1:1:1'],
    [[0, 0, 0xffff, 0xc0000201], '::ffff:192.0.2.1'],
    [[0xfe800000, 0, 0xabcd, 0xef000001], 'fe80::abcd:ef00:1'],
  ];
  for (const [words, text] of cases) equal(addressText(words.length === 1 ? 4 : 6, words), text);
  t.pass(`${cases.length} addresses`);
  t.end();
});
