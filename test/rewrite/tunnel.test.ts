/** Packets inside tunnels edited where they lie and taken out; VLAN tags at any depth. */
import { deepEqual, equal } from 'node:assert/strict';
import t from 'tap';
import {
  compileRewriter,
  Direction,
  Edit,
  EMPTY_REWRITE,
  parseAddressMap,
  parsePortMap,
  parseTagRules,
  type RewriteSpec,
} from '../../src/rewrite/index.ts';
import { type Built, batchOf, build, frameBytes, onesSum, pseudoHeader, type Shape, sumErrors } from './support.ts';

const LINK = [2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 8];
const u16 = (n: number): number[] => [n >>> 8, n & 255];

/** An IPv4 packet around `body`, on Ethernet. */
function outer(protocol: number, body: readonly number[]): number[] {
  const header = [0x45, 0, ...u16(20 + body.length), 0, 1, 0, 0, 64, protocol, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2];
  header.splice(10, 2, ...u16(0xffff - onesSum(header)));
  return [...LINK, 8, 0, ...header, ...body];
}

function udp(payload: readonly number[], hasSum: boolean): number[] {
  const bytes = [...u16(50_000), ...u16(4789), ...u16(8 + payload.length), 0, 0, ...payload];
  if (!hasSum) return bytes;
  const sum = 0xffff - onesSum([...pseudoHeader([192, 0, 2, 1], [192, 0, 2, 2], 17, bytes.length), ...bytes]);
  bytes.splice(6, 2, ...u16(sum === 0 ? 0xffff : sum));
  return bytes;
}

interface Tunnel {
  readonly name: string;
  readonly data: Uint8Array;
  /** Offset of the inner IP header. */
  readonly ip: number;
  /** Sum over what the tunnel's own checksum covers; 0xffff where it is true, or where there is none. */
  readonly own: (frame: Uint8Array) => number;
  /** What is left without the tunnel. */
  readonly inside: Uint8Array;
}

function tunnels(inner: Built): Tunnel[] {
  const frame = [...inner.data];
  const packet = [...inner.data.slice(inner.ip, inner.end)];
  const type = inner.data[inner.ip]! >> 4 === 4 ? 0x0800 : 0x86dd;
  const bare = Uint8Array.from([...LINK, ...u16(type), ...packet]);
  const vxlan = [8, 0, 0, 0, 0, 0, 7, 0, ...frame];
  const gre = [0x80, 0, ...u16(type), 0, 0, 0, 0, ...packet];
  gre.splice(4, 2, ...u16(0xffff - onesSum(gre)));
  const udpSum = (data: Uint8Array): number =>
    onesSum([...pseudoHeader([192, 0, 2, 1], [192, 0, 2, 2], 17, data.length - 34), ...data.slice(34)]);
  const make = (name: string, data: number[], ip: number, inside: Uint8Array, own: Tunnel['own']): Tunnel => {
    return { name, data: Uint8Array.from(data), ip, inside, own };
  };
  const none = (): number => 0xffff;
  return [
    make('vxlan with sum', outer(17, udp(vxlan, true)), 50 + inner.ip, inner.data, udpSum),
    make('vxlan without', outer(17, udp(vxlan, false)), 50 + inner.ip, inner.data, none),
    make('gre with sum', outer(47, gre), 42, bare, (data) => onesSum(data.slice(34))),
    make('gre, ethernet', outer(47, [0, 0, 0x65, 0x58, ...frame]), 38 + inner.ip, inner.data, none),
    make('ip in ip', outer(type === 0x0800 ? 4 : 41, packet), 34, bare, none),
    make('mpls', [...LINK, 0x88, 0x47, 0, 1, 0x20, 64, 0, 2, 0x21, 64, ...packet], 22, bare, none),
  ];
}

const SHAPES: readonly Shape[] = [
  { payload: Uint8Array.from([1, 2, 3]) },
  { version: 6, protocol: 'udp', payload: Uint8Array.from([9, 8, 7, 6]) },
  { protocol: 'udp', tags: [[0x8100, 5]], payload: Uint8Array.from([5]) },
];
const RULES: Partial<RewriteSpec> = {
  pnat: [
    [...parseAddressMap('--pnat', '0.0.0.0/0:172.16.0.0/12'), ...parseAddressMap('--pnat', '[::/0]:[fd00:77::/61]')],
  ],
  portMap: parsePortMap('--portmap', '80:8080'),
  ttl: { mode: 'set', value: 9 },
};

function edited(data: Uint8Array, spec: Partial<RewriteSpec>): { data: Uint8Array; status: number; len: number } {
  const batch = batchOf([{ data }], 1);
  const status = compileRewriter({ ...EMPTY_REWRITE, ...spec }).edit(batch, 0, Direction.ClientToServer);
  return { data: frameBytes(batch, 0), status, len: batch.len[0]! };
}

t.test('inner, outer and every packet', (t) => {
  for (const shape of SHAPES) {
    const inner = build(shape);
    const alone = edited(inner.data, RULES).data;
    for (const tunnel of tunnels(inner)) {
      const { name, data, ip } = tunnel;
      equal(tunnel.own(data), 0xffff, `${name}: built true`);
      const one = edited(data, { ...RULES, layer: 'inner' });
      equal(one.status, Edit.Edited, name);
      deepEqual(
        one.data.slice(ip, ip + inner.end - inner.ip),
        alone.slice(inner.ip, inner.end),
        `${name}: the inner packet`,
      );
      deepEqual(sumErrors(one.data, ip), { ip: 0, transport: 0 }, name);
      equal(tunnel.own(one.data), 0xffff, `${name}: the tunnel's sum`);
      if (name === 'mpls') continue;
      deepEqual(one.data.slice(0, 34), data.slice(0, 34), `${name}: nothing around it`);
      const out = edited(data, { ...RULES, layer: 'outer' }).data;
      deepEqual(out.slice(ip), data.slice(ip), `${name}: nothing inside`);
      equal(out[22], 9);
      const all = edited(data, { ...RULES, layer: 'all' }).data;
      deepEqual(all.slice(ip, ip + inner.end - inner.ip), alone.slice(inner.ip, inner.end), `${name}: all, inside`);
      deepEqual(all.slice(14, 34), out.slice(14, 34), `${name}: all, outside`);
    }
  }
  t.pass('six tunnels');
  t.end();
});

t.test('taken off', (t) => {
  for (const shape of SHAPES) {
    for (const { name, data, inside } of tunnels(build(shape))) {
      const out = edited(data, { decap: true });
      deepEqual([out.status, out.len, out.data], [Edit.Edited, inside.length, inside], name);
      deepEqual(edited(Uint8Array.from([...data, 0, 0, 0]), { decap: true }).data.length >= inside.length, true);
    }
  }
  const twice = tunnels(build(SHAPES[0]!)).find(({ name }) => name === 'gre, ethernet')!;
  const nested = outer(17, udp([8, 0, 0, 0, 0, 0, 7, 0, ...twice.data], true));
  deepEqual(edited(Uint8Array.from(nested), { decap: true }).data, twice.inside, 'a tunnel in a tunnel');
  const plain = build({}).data;
  equal(edited(plain, { decap: true }).status, Edit.Unchanged, 'nothing to take off');
  const part = Uint8Array.from(twice.data);
  part[20] = 0x20;
  equal(edited(part, { decap: true }).status, Edit.SoftError, 'a fragment of a tunnel');
  t.pass('six tunnels, and one in another');
  t.end();
});

t.test('VLAN tags', (t) => {
  const tag = (tpid: number, tci: number): readonly [number, number] => [tpid, tci];
  const table: readonly (readonly [Shape['tags'], readonly string[], Shape['tags']])[] = [
    [[], ['push:100'], [tag(0x8100, 100)]],
    [[tag(0x8100, 0x6005)], ['push:vid=7,tpid=802.1ad'], [tag(0x88a8, 0x6007), tag(0x8100, 0x6005)]],
    [[tag(0x8100, 5)], ['push:1.vid=7,1.pri=2,1.dei=1'], [tag(0x8100, 5), tag(0x8100, 0x5007)]],
    [[], ['push:1', 'push:2', 'push:2.vid=3'], [tag(0x8100, 2), tag(0x8100, 1), tag(0x8100, 3)]],
    [[tag(0x8100, 1)], ['push:3.vid=9'], [tag(0x8100, 1)]],
    [[tag(0x8100, 1), tag(0x8100, 2)], ['pop'], [tag(0x8100, 2)]],
    [[tag(0x8100, 1), tag(0x8100, 2)], ['pop:1'], [tag(0x8100, 1)]],
    [[tag(0x88a8, 1), tag(0x8100, 2), tag(0x8100, 3)], ['pop:all'], []],
    [[], ['pop', 'set:0.vid=4', 'map:1=2'], []],
    [
      [tag(0x8100, 1), tag(0x8100, 2)],
      ['set:1.vid=9,0.pri=7', 'set:0.dei=1'],
      [tag(0x8100, 0xf001), tag(0x8100, 9)],
    ],
    [[tag(0x8100, 1)], ['set:tpid=0x9100'], [tag(0x9100, 1)]],
    [[tag(0x8100, 12), tag(0x8100, 0x2014)], ['map:10-20=110-120'], [tag(0x8100, 112), tag(0x8100, 0x2078)]],
    [[tag(0x8100, 10), tag(0x8100, 10)], ['map:1.10=11'], [tag(0x8100, 10), tag(0x8100, 11)]],
    [[tag(0x8100, 10)], ['pop', 'push:4'], [tag(0x8100, 4)]],
  ];
  for (const [tags, rules, wanted] of table) {
    const parsed = rules.flatMap((rule) => parseTagRules('--vlan', rule));
    const from = build({ tags: tags ?? [] });
    const to = build({ tags: wanted ?? [] });
    const { data, status, len } = edited(from.data, { tags: parsed });
    deepEqual([data, len], [to.data, to.data.length], rules.join(' '));
    equal(status === Edit.Edited, Buffer.compare(from.data, to.data) !== 0, rules.join(' '));
    const then = edited(from.data, { tags: parsed, ttl: { mode: 'set', value: 5 } }).data;
    deepEqual(sumErrors(then, to.ip), { ip: 0, transport: 0 }, `${rules.join(' ')}, and more`);
  }
  const cooked = [0, 0, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0, 8, 0, ...build({}).data.slice(14)];
  const batch = batchOf([{ data: Uint8Array.from(cooked) }], 113);
  const rewriter = compileRewriter({ ...EMPTY_REWRITE, tags: parseTagRules('--vlan', 'push:100') });
  equal(rewriter.edit(batch, 0, Direction.ClientToServer), Edit.Edited);
  deepEqual([...frameBytes(batch, 0).slice(12, 22)], [0, 0, 0x81, 0, 0, 100, 8, 0, 0x45, 0], 'Linux cooked');
  const raw = batchOf([{ data: build({}).data.slice(14) }], 101);
  equal(rewriter.edit(raw, 0, Direction.ClientToServer), Edit.SoftError, 'no place for a tag');
  for (const bad of [
    '',
    'push',
    'push:5000',
    'push:pri=1',
    'push:0.vid=1,1.vid=2',
    'pop:8',
    'set:vid',
    'set:x=1',
    'map:2-1=1',
  ]) {
    t.throws(() => parseTagRules('--vlan', bad), { code: 'USAGE' }, bad);
  }
  t.end();
});
