import assert from 'node:assert/strict';
import t from 'tap';
import { Rng } from '../../src/base/rng.ts';
import { decode } from '../../src/wire/decode.ts';
import { findIpLayer, findLayer, LAYERS_MAX, LayerKind, Layers, Wire } from '../../src/wire/layers.ts';
import { Linktype, linkHeaderLen, linktypeByName, linktypeName } from '../../src/wire/linktype.ts';
import { fixChecksums, verifyIpChecksum, verifyTransportChecksum } from '../../src/wire/verify.ts';
import { exactView } from './frames.ts';
import { VECTORS } from './vectors.ts';

const layers = new Layers();
const KIND_NAMES = Object.fromEntries(Object.entries(LayerKind).map(([name, kind]) => [kind, name]));
const names = (kinds: Iterable<number>): string => [...kinds].map((kind) => KIND_NAMES[kind] ?? kind).join(' ');

/** What holds for whatever is decoded: every offset in the frame, fields in agreement with each other. */
function assertSane(at: number, end: number): void {
  assert.ok(layers.count <= LAYERS_MAX);
  for (let i = 0; i < layers.count; i++) {
    assert.ok(
      layers.at[i]! >= at && layers.at[i]! <= layers.end[i]! && layers.end[i]! <= end,
      'a layer lies in the frame',
    );
    if (i > 0) assert.ok(layers.at[i]! >= layers.at[i - 1]!, 'layers are in order');
  }
  const { ip, l4, ipEnd, l3, payload, embedded } = layers;
  for (const offset of [
    ip,
    l4,
    ipEnd,
    l3,
    payload,
    embedded,
    layers.vlan,
    layers.macs,
    layers.tunnel,
    layers.ieee80211,
  ]) {
    assert.ok(offset === -1 || (offset >= at && offset <= end), 'an offset lies in the frame');
  }
  if (ip >= 0) assert.ok(ip + (layers.ipVersion === 4 ? 20 : 40) <= ipEnd, 'the fixed IP header is whole');
  if (l4 >= 0) {
    const fixed = { 6: 20, 17: 8, 132: 12, 1: 4, 58: 4 }[layers.l4Protocol] ?? 0;
    assert.ok(ip >= 0 && l4 > ip && l4 + fixed <= ipEnd, 'the fixed transport header is whole');
  }
}

t.test('vectors', async (t) => {
  for (const vector of VECTORS) {
    const { frame } = vector;
    const status = decode(exactView(frame), 0, frame.length, vector.linktype, layers);
    assert.equal(status, vector.status ?? Wire.Ok, `${vector.name}: status`);
    assert.equal(layers.status, status);
    assert.equal(names(layers.kind.slice(0, layers.count)), names(vector.kinds), `${vector.name}: layers`);
    for (const [field, value] of Object.entries(vector.expect ?? {})) {
      assert.equal(layers[field as keyof Layers], value, `${vector.name}: ${field}`);
    }
    if (layers.innerStatus !== Wire.Ok) assert.ok(vector.expect?.['innerStatus'], `${vector.name}: inner status`);
    assertSane(0, frame.length);
  }
  t.ok(VECTORS.length > 80, `${VECTORS.length} vectors`);
});

t.test('a frame decodes alike at any offset, in whatever surroundings', async (t) => {
  for (const { name, frame, linktype } of VECTORS) {
    decode(exactView(frame), 0, frame.length, linktype, layers);
    const expected = structuredClone({ ...layers });
    for (const fill of [0x00, 0x45, 0xff]) {
      const whole = new Uint8Array(frame.length + 300).fill(fill);
      whole.set(frame, 101);
      decode(new DataView(whole.buffer), 101, 101 + frame.length, linktype, layers);
      assertSane(101, 101 + frame.length);
      assert.deepEqual(
        [...layers.at.slice(0, layers.count)],
        [...expected.at.slice(0, layers.count)].map((at) => at + 101),
        name,
      );
      for (const [field, value] of Object.entries(expected)) {
        if (typeof value === 'boolean') assert.equal(layers[field as keyof Layers], value, `${name}: ${field}`);
      }
      assert.equal(layers.l4 < 0, expected.l4 < 0, name);
      if (layers.l4 >= 0) assert.equal(layers.l4, expected.l4 + 101, name);
      assert.equal(layers.status, expected.status, name);
      assert.equal(layers.innerStatus, expected.innerStatus, name);
    }
  }
  t.pass('every vector at offset 101');
});

t.test('every length of every vector: no read outside the frame', async (t) => {
  let cases = 0;
  for (const { frame, linktype } of VECTORS) {
    for (let length = 0; length <= frame.length; length++) {
      const view = exactView(frame, length);
      decode(view, 0, length, linktype, layers);
      assertSane(0, length);
      verifyIpChecksum(view, layers);
      verifyTransportChecksum(view, layers);
      fixChecksums(view, layers);
      cases++;
    }
  }
  t.ok(cases > 7000, `${cases} cases`);
});

t.test('mutations: no read outside the frame, no hang, sane offsets', async (t) => {
  const seed = 20_240_607;
  const rng = new Rng(seed);
  const linktypes = Object.values(Linktype);
  const statuses = new Set<number>();
  const started = performance.now();
  for (let i = 0; i < 20_000; i++) {
    const vector = VECTORS[rng.below(VECTORS.length)]!;
    const bytes = Uint8Array.from(vector.frame);
    const changes = 1 + rng.below(6);
    for (let n = 0; n < changes; n++) bytes[rng.below(bytes.length)] = rng.below(4) === 0 ? 0xff : rng.below(256);
    const length = rng.below(3) === 0 ? rng.below(bytes.length + 1) : bytes.length;
    const view = exactView(bytes, length);
    const linktype = rng.below(8) === 0 ? linktypes[rng.below(linktypes.length)]! : vector.linktype;
    try {
      statuses.add(decode(view, 0, length, linktype, layers));
      assertSane(0, length);
      const whole = fixChecksums(view, layers);
      assert.notEqual(verifyIpChecksum(view, layers), 2);
      if ((whole & 2) !== 0) assert.equal(verifyTransportChecksum(view, layers), 1, 'a recomputed sum is true');
    } catch (error) {
      throw new Error(`case ${i} of seed ${seed}: ${vector.name}: ${Buffer.from(bytes).toString('hex')}`, {
        cause: error,
      });
    }
  }
  t.equal(statuses.size, 5, 'every status was met');
  t.ok(performance.now() - started < 30_000, 'in bounded time');
});

t.test('layers are reset, and found by kind', async (t) => {
  const vxlan = VECTORS.find(({ name }) => name === 'VXLAN')!;
  decode(exactView(vxlan.frame), 0, vxlan.frame.length, vxlan.linktype, layers);
  t.equal(findIpLayer(layers, 0), 1);
  t.equal(layers.at[findIpLayer(layers, 1)], 14 + 20 + 8 + 8 + 14);
  t.equal(findIpLayer(layers, 2), -1);
  t.equal(findLayer(layers, LayerKind.Tcp), 6);
  t.equal(findLayer(layers, LayerKind.Arp), -1);
  decode(exactView([]), 0, 0, Linktype.USER0, layers);
  const fresh = new Layers();
  for (const field of Object.keys(fresh) as (keyof Layers)[]) {
    if (['kind', 'at', 'end', 'nextAt', 'nextEnd', 'status'].includes(field)) continue;
    t.equal(layers[field], fresh[field], field);
  }
});

t.test('link types by name and number', async (t) => {
  t.equal(linktypeName(1), 'EN10MB');
  t.equal(linktypeName(12), 'RAW');
  t.equal(linktypeName(999), 'LINKTYPE_999');
  for (const [name, value] of [
    ['EN10MB', 1],
    ['enet', 1],
    ['DLT_LINUX_SLL2', 276],
    ['linktype_raw', 101],
    ['ieee802-11', 105],
    ['147', 147],
    ['70000', -1],
    ['nonsense', -1],
  ] as const) {
    t.equal(linktypeByName(name), value, name);
  }
  for (const value of Object.values(Linktype)) t.ok(linktypeByName(linktypeName(value)) >= 0);
  t.equal(linkHeaderLen(Linktype.LINUX_SLL), 16);
  t.equal(linkHeaderLen(Linktype.IEEE802_11), -1);
});
