/** Fragroute's directives: what a receiver makes of the packets, sums, seeds, words that are refused. */
import { deepEqual, equal, ok } from 'node:assert/strict';
import t from 'tap';
import { DIRECTIVES, parseFragroute } from '../../src/rewrite/fragroute/index.ts';
import { batchOf, build, frameBytes, type Shape, sumErrors } from './support.ts';

const PAYLOAD = Uint8Array.from({ length: 120 }, (_, k) => (k * 7 + 3) & 255);

function made(rules: string, data: Uint8Array, seed = 1): Uint8Array[] {
  const batch = batchOf([{ data }], 1);
  const out = parseFragroute('rules', rules, seed).pass(batch, 0);
  ok(out !== null, rules);
  return Array.from({ length: out.count }, (_, k) => frameBytes(out, k));
}

interface Part {
  readonly offset: number;
  readonly data: Uint8Array;
}

/** Bytes as a receiver keeps them that prefers what came first, or what came last. */
function assembled(parts: readonly Part[], prefers: 'old' | 'new', total: number): Uint8Array {
  const out = new Uint8Array(total);
  const filled = new Uint8Array(total);
  for (const { offset, data } of parts) {
    for (const [k, byte] of data.entries()) {
      if (prefers === 'old' && filled[offset + k] === 1) continue;
      out[offset + k] = byte;
      filled[offset + k] = 1;
    }
  }
  ok(
    filled.every((cell) => cell === 1),
    'no hole',
  );
  return out;
}

function fragment(frame: Uint8Array): Part {
  if (frame[14]! >> 4 === 4) {
    return { offset: (((frame[20]! & 0x1f) << 8) | frame[21]!) * 8, data: frame.slice(34) };
  }
  equal(frame[20], 44);
  return { offset: ((frame[56]! << 8) | frame[57]!) & 0xfff8, data: frame.slice(62) };
}

const SHAPES: readonly Shape[] = [
  { payload: PAYLOAD },
  { payload: PAYLOAD, protocol: 'udp' },
  { version: 6, payload: PAYLOAD },
  { version: 6, protocol: 'udp', payload: PAYLOAD },
];

t.test('fragments come together again', (t) => {
  for (const shape of SHAPES) {
    const { data, l4, end } = build(shape);
    for (const [size, overlap] of [
      [8, ''],
      [24, ''],
      [8, 'old'],
      [16, 'new'],
      [24, 'win32'],
      [8, 'unix'],
    ] as const) {
      const frames = made(`ip_frag ${size} ${overlap}`, data);
      const parts = frames.map(fragment);
      const body = data.slice(l4, end);
      const prefers = overlap === 'new' || overlap === 'unix' ? 'new' : 'old';
      deepEqual(assembled(parts, prefers, body.length), body, `ip_frag ${size} ${overlap}`);
      if (overlap !== '') ok(frames.length > assembled.length, 'there is noise');
      ok(parts[0]!.data.length >= (shape.protocol === 'udp' ? 8 : 20), 'the first has the transport header');
      for (const frame of frames) equal(sumErrors(frame, 14).ip, 0);
    }
  }
  t.pass('IPv4 and IPv6');
  t.end();
});

t.test('segments come together again', (t) => {
  for (const version of [4, 6] as const) {
    const { data, l4, end } = build({ version, payload: PAYLOAD, flags: 0x19, seq: 0xffff_fff0 });
    for (const [size, overlap] of [
      [1, ''],
      [50, ''],
      [7, 'old'],
      [9, 'new'],
    ] as const) {
      const frames = made(`tcp_seg ${size} ${overlap}`, data);
      const seq = (frame: Uint8Array): number => new DataView(frame.buffer).getUint32(l4 + 4);
      const parts = frames.map((frame) => ({ offset: (seq(frame) - 0xffff_fff0) >>> 0, data: frame.slice(l4 + 20) }));
      deepEqual(
        assembled(parts, overlap === 'new' ? 'new' : 'old', PAYLOAD.length),
        data.slice(l4 + 20, end),
        `${size} ${overlap}`,
      );
      for (const frame of frames) deepEqual(sumErrors(frame, 14), { ip: 0, transport: 0 });
      equal(frames[0]![l4 + 13]! & 1, 0, 'FIN is not on the first');
      equal(frames.at(-1)![l4 + 13]! & 1, 1, 'but on the last');
    }
  }
  t.pass('IPv4 and IPv6');
  t.end();
});

t.test('one packet through each directive', (t) => {
  const timestamps = [1, 1, 8, 10, 0, 1, 0, 0, 0, 0, 0, 9];
  const lines: readonly (readonly [string, number, boolean])[] = [
    // rule, packets of an IPv4 TCP segment, every sum true
    ['delay first 5', 1, true],
    ['drop first 100', 0, true],
    ['dup last 100', 2, true],
    ['echo hello world', 1, true],
    ['ip_chaff dup', 2, true],
    ['ip_chaff opt', 2, true],
    ['ip_chaff 3', 2, true],
    ['ip_frag 64', 3, true],
    ['ip_opt lsrr 4 10.9.8.7 10.9.8.6', 1, true],
    ['ip_opt ssrr 8 10.9.8.7', 1, true],
    ['ip_opt raw 0101', 1, true],
    ['ip_tos 16', 1, true],
    ['ip_ttl 3', 1, true],
    ['ip6_opt route 1 2001:db8::9', 1, true],
    ['ip6_opt raw 60 0104deadbeef', 1, true],
    ['ip6_qos 7 99', 1, true],
    ['order random', 1, true],
    ['order reverse', 1, true],
    ['print', 1, true],
    ['tcp_chaff cksum', 2, false],
    ['tcp_chaff null', 2, true],
    ['tcp_chaff paws', 2, true],
    ['tcp_chaff rexmit', 2, true],
    ['tcp_chaff seq', 2, true],
    ['tcp_chaff syn', 2, true],
    ['tcp_chaff 4', 2, true],
    ['tcp_opt mss 1000', 1, true],
    ['tcp_opt wscale 3', 1, true],
    ['tcp_opt raw "\\x01\\x01"', 1, true],
    ['tcp_seg 60', 2, true],
  ];
  const seen = new Set(lines.map(([rule]) => rule.split(' ')[0]!));
  deepEqual([...seen].sort(), Object.keys(DIRECTIVES).sort(), 'all sixteen');
  for (const version of [4, 6] as const) {
    const { data } = build({ version, payload: PAYLOAD, tcpOptions: timestamps });
    for (const [rule, count, isTrue] of lines) {
      const frames = made(rule, data);
      // Without the IP header's own options: routes move the pseudo-header's destination.
      equal(frames.length, version === 6 && rule === 'ip_frag 64' ? 3 : count, `IPv${version} ${rule}`);
      if (/ip_opt|ip6_opt route/.test(rule)) continue;
      const wrong = frames.filter((frame) => sumErrors(frame, 14).transport !== 0).length;
      equal(wrong, isTrue ? 0 : 1, `IPv${version} ${rule}: sums`);
      for (const frame of frames) equal(sumErrors(frame, 14).ip, 0, rule);
    }
  }
  t.pass(`${lines.length} rules, IPv4 and IPv6`);
  t.end();
});

t.test('seeds, lines, packets that stay', (t) => {
  const { data } = build({ payload: PAYLOAD });
  const rules = 'tcp_seg 30 new\nip_frag 16 old # small\n\norder random\ndup random 50\ndrop last 50\n';
  t.same(made(rules, data, 7), made(rules, data, 7), 'the same seed');
  t.notSame(made(rules, data, 7), made(rules, data, 8), 'another seed');
  const batch = batchOf(
    [{ data }, { data: Uint8Array.from([...data.slice(0, 12), 8, 6, 0, 1]) }, { data: data.slice(0, 70) }],
    1,
  );
  const engine = parseFragroute('rules', 'echo two words\nprint', 1);
  t.equal(engine.pass(batch, 0)?.count, 1);
  t.match(engine.lines, ['two words', /^10\.1\.2\.1 > 10\.1\.2\.2: protocol 6, 160 bytes, ttl 64 id 119$/]);
  t.equal(engine.pass(batch, 1), null, 'no IP');
  t.equal(engine.cut, 0);
  t.equal(engine.pass(batch, 2), null, 'cut by the capture');
  t.equal(engine.cut, 1);
  const many = parseFragroute('rules', 'ip_chaff dup\n'.repeat(40), 1);
  t.equal(many.pass(batch, 0), null, 'one packet that would become a million millions');
  t.same([many.tooMany, many.cut], [1, 0]);
  for (const version of [4, 6] as const) {
    const fragments = parseFragroute('rules', 'ip_frag 64\nprint', 1);
    fragments.pass(batchOf([{ data: build({ version, payload: PAYLOAD }).data }], 1), 0);
    t.match(fragments.lines, [/ fragment at 0$/, / fragment at 64$/, / fragment at 128$/], `IPv${version}`);
  }
  t.equal(parseFragroute('rules', '# nothing\n\n', 1).isIdle, true);
  const bad: readonly (readonly [string, RegExp])[] = [
    ['ip_frag 0', /^rules line 1: ip_frag: the size must be between 1 and 65535, not "0"$/],
    ['tcp_seg -8', /the size must be between 1 and 65535/],
    ['ip_frag 12', /a multiple of 8/],
    ['ip_frag 8 newer', /"newer" is none of old, new, win32, unix/],
    ['drop middle 5', /"middle" is none of first, last, random/],
    ['drop first 101', /the probability must be between 1 and 100/],
    ['delay first', /is written as "delay first\|last\|random MS"/],
    ['\nip_opt lsrr 5 1.2.3.4', /^rules line 2: ip_opt: the pointer must be a multiple of 4/],
    ['ip_opt lsrr 4 nobody', /"nobody" is no IPv4 address/],
    ['ip6_opt route 2 2001:db8::1', /the segments left must be between 0 and 1/],
    ['ip_opt raw xyz', /needs bytes in hexadecimal/],
    ['tcp_chaff loud', /is none of cksum, null, paws, rexmit, seq, syn and no TTL/],
    ['ip_chaff 0', /the TTL must be between 1 and 255/],
    ['nonsense', /is no directive; there are delay, drop/],
  ];
  for (const [text, message] of bad) t.throws(() => parseFragroute('rules', text, 1), { code: 'USAGE', message });
  t.end();
});
