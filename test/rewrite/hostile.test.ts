/** Seeded mutations of packets through every rule: no exception, no hang, no byte written outside the frame's own. */
import { deepEqual, equal, ok } from 'node:assert/strict';
import t from 'tap';
import { FrameBatch } from '../../src/base/batch.ts';
import { Rng } from '../../src/base/rng.ts';
import {
  compileRewriter,
  Direction,
  Edit,
  EMPTY_REWRITE,
  ENCAPSULATIONS,
  FRAMING_DEFAULTS,
  Framer,
  parseAddressMap,
  parsePortMap,
  type RewriteSpec,
} from '../../src/rewrite/index.ts';
import { OversizeSplitter, Split } from '../../src/rewrite/oversize.ts';
import { applyUniqueIp } from '../../src/rewrite/unique_ip.ts';
import { Linktype } from '../../src/wire/linktype.ts';
import { batchOf, build, HEADROOM_BYTES, type Shape } from './support.ts';

const ROUNDS = 4000;
const LINKTYPES = Object.values(Linktype);
const macs = { clientToServer: [2, 0, 0, 0, 0, 1], serverToClient: [2, 0, 0, 0, 0, 2] };

const SHAPES: readonly Shape[] = [
  { payload: new Uint8Array(40), tcpOptions: [1, 1, 5, 10, 0, 0, 0, 1, 0, 0, 0, 2] },
  {
    protocol: 'udp',
    payload: new Uint8Array(30),
    tags: [
      [0x8100, 5],
      [0x88a8, 6],
    ],
  },
  { protocol: 'icmp', payload: build({}).data.slice(14) },
  {
    version: 6,
    payload: new Uint8Array(10),
    extensions: [
      [0, [0, 1, 4, 0, 0, 0, 0]],
      [43, [0, 0, 0, 0, 0, 0, 0]],
    ],
  },
  { version: 6, protocol: 'icmp', payload: build({ version: 6 }).data.slice(14) },
  { version: 6, protocol: 'udp', payload: new Uint8Array(9), fragment: { offset: 0, more: true, id: 7 } },
  { labels: 2, options: [131, 7, 4, 1, 2, 3, 4, 0], payload: new Uint8Array(20), padding: 9 },
  { fragment: { offset: 1480, more: true, id: 1 }, payload: new Uint8Array(64) },
];

const EVERYTHING: RewriteSpec = {
  ...EMPTY_REWRITE,
  stripFcs: true,
  destinationMac: macs,
  sourceMac: macs,
  vlan: { kind: 'add', tag: 7, priority: null, cfi: null, tpid: 0x8100 },
  portMap: parsePortMap('-r', '0-65535:9'),
  seed: 5,
  pnat: [parseAddressMap('-N', '0.0.0.0/0:1.0.0.0/8,[::/0]:[fd00::/60]')],
  tcpSequenceSeed: 42,
  ttl: { mode: 'add', value: 3 },
  tos: 3,
  trafficClass: 3,
  flowLabel: 3,
  fixHeaderLength: true,
  fixChecksums: true,
  fixLength: 'pad',
  mtuTruncate: true,
  mtuBytes: 80,
};
const SPECS: readonly RewriteSpec[] = [
  EVERYTHING,
  { ...EVERYTHING, compat: 'tcprewrite', fixLength: 'trunc', vlan: { kind: 'delete' } },
  { ...EVERYTHING, seed: null, fuzz: { seed: 1, factor: 1 }, fixLength: null, mtuTruncate: false },
  ...ENCAPSULATIONS.map((encapsulation) => ({
    ...EVERYTHING,
    encapsulation,
    hdlcAddress: 15,
    hdlcControl: 0,
    userHeaders: encapsulation === 'user' ? [[1, 2, 3]] : [],
    vlan: encapsulation === 'enet' ? EVERYTHING.vlan : null,
  })),
];

/** One valid packet with some bytes changed, perhaps cut. */
function mutant(rng: Rng): { data: Uint8Array; len: number } {
  const { data } = build(SHAPES[rng.below(SHAPES.length)]!);
  const changes = rng.below(6);
  for (let n = 0; n < changes; n++) data[rng.below(data.length)] = rng.nextUint32() & 0xff;
  const caplen = rng.below(3) === 0 ? rng.below(data.length + 1) : data.length;
  const len = rng.below(50) === 0 ? rng.nextUint32() : caplen + rng.below(3) * rng.below(90);
  return { data: data.slice(0, caplen), len };
}

/** The middle of three frames is worked on; the two others, and their headroom, are the guards. */
function guarded(rng: Rng, scratchBytes?: number): { batch: FrameBatch; check: () => void } {
  const fence = { data: new Uint8Array(64).fill(0xa5) };
  const linktype = rng.below(2) === 0 ? Linktype.EN10MB : LINKTYPES[rng.below(LINKTYPES.length)]!;
  const batch = batchOf([fence, mutant(rng), fence], linktype, scratchBytes);
  const region = batch.region;
  const before = region.bytes.slice(0, region.scratchStart);
  const first = batch.at[1]! - HEADROOM_BYTES;
  const last = batch.at[1]! + batch.caplen[1]!;
  return {
    batch,
    check() {
      deepEqual(region.bytes.slice(0, first), before.slice(0, first), 'in front');
      deepEqual(region.bytes.slice(last, region.scratchStart), before.slice(last), 'behind');
      ok(batch.at[1]! >= first && batch.at[1]! + batch.caplen[1]! <= region.byteLength, 'the frame lies in the region');
      ok(region.scratchNext <= region.byteLength);
      for (const i of [0, 2]) equal(batch.caplen[i], 64);
    },
  };
}

t.test('edits', (t) => {
  const statuses = new Set<number>();
  for (const [s, spec] of SPECS.entries()) {
    const rewriter = compileRewriter(spec);
    const rng = new Rng(1000 + s);
    for (let n = 0; n < ROUNDS / 4; n++) {
      const { batch, check } = guarded(rng, rng.below(20) === 0 ? 16 : 1000);
      const whole = batch.region.bytes.slice();
      const status = rewriter.edit(batch, 1, n % 2 === 0 ? Direction.ClientToServer : Direction.ServerToClient);
      check();
      if (status === Edit.NoRoom || (status === Edit.SoftError && !spec.stripFcs)) {
        deepEqual(batch.region.bytes, whole, 'left as it was');
      }
      statuses.add(status);
    }
    const { edited, unchanged, dropped, failed } = rewriter.counters;
    ok(edited + unchanged + dropped + failed <= ROUNDS / 4);
    ok(edited > 0 && failed > 0, `spec ${s}: ${edited} edited, ${failed} failed`);
  }
  t.same([...statuses].sort(), [Edit.Edited, Edit.Drop, Edit.SoftError, Edit.NoRoom], 'every end was reached');
  t.end();
});

t.test('framings, splits, unique addresses', (t) => {
  const rng = new Rng(77);
  const splits = new Set<number>();
  const policies = ['truncate', 'fragment', 'segment'] as const;
  for (let n = 0; n < ROUNDS; n++) {
    const one = guarded(rng, 500);
    const encapsulation = ENCAPSULATIONS[rng.below(ENCAPSULATIONS.length)]!;
    const userHeaders = [[1, 2, 3, 4, 5]];
    new Framer({ ...FRAMING_DEFAULTS, destinationMac: macs, sourceMac: macs, encapsulation, userHeaders }).toLinktype(
      one.batch,
      1,
    );
    one.check();
    const two = guarded(rng, 2000);
    const out = new FrameBatch(64, two.batch.region);
    const limit = 40 + rng.below(60);
    if (two.batch.caplen[1]! > limit) {
      const status = new OversizeSplitter(policies[n % 3]!, limit).split(two.batch, 1, out);
      splits.add(status);
      for (let k = 0; k < out.count; k++) ok(out.caplen[k]! <= limit && out.at[k]! >= two.batch.region.scratchStart);
      equal(status === Split.Done, out.count > 0);
    }
    two.check();
    const three = guarded(rng);
    applyUniqueIp(three.batch, 1, rng.nextUint32());
    three.check();
  }
  t.ok(splits.has(Split.Done) && splits.has(Split.NotSplittable));
  t.end();
});
