/** Frames too long for their device: segments, fragments, cuts. And addresses that change from loop to loop. */
import { deepEqual, equal, ok } from 'node:assert/strict';
import fc from 'fast-check';
import t from 'tap';
import { FrameBatch } from '../../src/base/batch.ts';
import { OversizeSplitter, Split } from '../../src/rewrite/oversize.ts';
import { applyUniqueIp } from '../../src/rewrite/unique_ip.ts';
import { Linktype } from '../../src/wire/linktype.ts';
import { type Built, batchOf, build, frameBytes, onesSum, pseudoHeader, type Shape, sumErrors } from './support.ts';

type Policy = 'truncate' | 'fragment' | 'segment';

function split(policy: Policy, data: Uint8Array, limit: number, len = data.length) {
  const batch = batchOf([{ data, len }], Linktype.EN10MB);
  batch.sec[0] = 77;
  const out = new FrameBatch(1024, batch.region);
  const splitter = new OversizeSplitter(policy, limit);
  const status = splitter.split(batch, 0, out);
  const frames = Array.from({ length: out.count }, (_, k) => frameBytes(out, k));
  for (let k = 0; k < out.count; k++) equal(out.sec[k], 77);
  deepEqual(frameBytes(batch, 0), data, 'the frame that went in stays');
  return { status, frames, splitter, out };
}

const word = (data: Uint8Array, at: number): number => data[at]! * 256 + data[at + 1]!;
const long = (data: Uint8Array, at: number): number => word(data, at) * 0x1_0000 + word(data, at + 2);

/** Headers of every segment against those of the packet, and the payloads put together. */
function checkSegments(built: Built, shape: Shape, frames: readonly Uint8Array[], limit: number): void {
  const tcpLen = (built.data[built.l4 + 12]! >> 4) * 4;
  const payloadAt = built.l4 + tcpLen;
  const flags = built.data[built.l4 + 13]!;
  const seq = long(built.data, built.l4 + 4);
  let offset = 0;
  const payload: number[] = [];
  for (const [n, frame] of frames.entries()) {
    const isLast = n === frames.length - 1;
    ok(frame.length <= limit);
    equal(frame.length === limit, isLast ? frame.length === limit : true, 'all but the last are full');
    deepEqual(sumErrors(frame, built.ip), { ip: 0, transport: 0 });
    deepEqual(frame.slice(0, built.ip), built.data.slice(0, built.ip), 'link header');
    equal(long(frame, built.l4 + 4), (seq + offset) % 2 ** 32);
    equal(long(frame, built.l4 + 8), long(built.data, built.l4 + 8));
    let wanted = flags;
    if (!isLast) wanted &= ~0x09;
    if (n > 0) wanted &= ~0x80;
    equal(frame[built.l4 + 13], wanted);
    deepEqual(frame.slice(built.l4 + 20, payloadAt), built.data.slice(built.l4 + 20, payloadAt), 'options');
    if ((shape.version ?? 4) === 4) {
      equal(word(frame, built.ip + 4), (word(built.data, built.ip + 4) + n) & 0xffff);
      equal(word(frame, built.ip + 2), frame.length - built.ip);
    } else {
      equal(word(frame, built.ip + 4), frame.length - built.ip - 40);
    }
    payload.push(...frame.slice(payloadAt));
    offset += frame.length - payloadAt;
  }
  deepEqual(Uint8Array.from(payload), built.data.slice(payloadAt, built.end));
}

t.test('segments of TCP super-packets', (t) => {
  const shapes = fc.record({
    version: fc.constantFrom(4 as const, 6 as const),
    seq: fc.nat(0xffffffff),
    id: fc.constantFrom(0, 0x7777, 0xfffe),
    flags: fc.constantFrom(0x10, 0x19, 0x98, 0xd9),
    tcpOptions: fc.constantFrom<number[]>([], [1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8]),
    payload: fc.integer({ min: 1500, max: 9000 }).map((n) => new Uint8Array(n).map((_, i) => (i * 7) & 0xff)),
    tags: fc.constantFrom<(readonly [number, number])[]>([], [[0x8100, 5]]),
    wrongBy: fc.constantFrom(0, 0x1111),
    limit: fc.constantFrom(1514, 1400, 590),
  });
  fc.assert(
    fc.property(shapes, ({ limit, ...shape }) => {
      const built = build(shape);
      const { status, frames } = split('segment', built.data, limit);
      equal(status, Split.Done);
      checkSegments(built, shape, frames, limit);
    }),
    { numRuns: 150 },
  );
  t.pass('150 packets');
  t.end();
});

t.test('super-packets with an IP length of 0, with padding, urgent data, 64 KiB', (t) => {
  const built = build({ payload: new Uint8Array(5000).fill(5) });
  const zero = built.data.slice();
  zero.fill(0, 16, 18);
  const { frames } = split('segment', zero, 1514);
  checkSegments(built, {}, frames, 1514);
  const jumboHeader = [[0, [0, 0xc2, 4, 0, 1, 0x38, 0x80 + 28]] as const];
  const jumbo = build({ version: 6, extensions: jumboHeader, payload: new Uint8Array(80_000).fill(6) });
  jumbo.data.fill(0, 18, 20);
  const plain = build({ version: 6, payload: new Uint8Array(80_000).fill(6) });
  checkSegments(plain, { version: 6 }, split('segment', jumbo.data, 9014).frames, 9014);
  const urgent = build({ payload: new Uint8Array(3000), flags: 0x38 });
  urgent.data.set([0x07, 0xd0], urgent.l4 + 18);
  const marked = split('segment', urgent.data, 1514).frames;
  t.same(
    marked.map((frame) => [frame[urgent.l4 + 13]! & 0x20, word(frame, urgent.l4 + 18)]),
    [
      [0x20, 2000],
      [0x20, 540],
      [0, 0],
    ],
    'urgent to byte 2000',
  );
  const padded = build({ payload: new Uint8Array(1000), padding: 600 });
  const one = split('segment', padded.data, 1514);
  t.equal(one.frames.length, 1, 'long by its padding only');
  t.same(one.frames[0]!.slice(0, padded.end), padded.data.slice(0, padded.end));
  t.end();
});

/** Puts fragments together: [payload, header bytes of the first]. */
function reassemble(frames: readonly Uint8Array[], ip: number, version: 4 | 6, perHop = 0): Uint8Array {
  const parts: number[] = [];
  let expected = 0;
  for (const [n, frame] of frames.entries()) {
    const isLast = n === frames.length - 1;
    const header = version === 4 ? (frame[ip]! & 15) * 4 : 40 + perHop + 8;
    const at = version === 4 ? ip + 6 : ip + 40 + perHop + 2;
    const bits = word(frame, at);
    const offset = version === 4 ? (bits & 0x1fff) * 8 : bits & 0xfff8;
    equal(offset, expected);
    equal((bits & (version === 4 ? 0x2000 : 1)) !== 0, !isLast, 'more fragments');
    equal(version === 4 ? word(frame, ip + 2) : word(frame, ip + 4) + 40, frame.length - ip);
    equal(sumErrors(frame, ip).ip, 0);
    const body = frame.slice(ip + header);
    if (!isLast) equal(body.length % 8, 0);
    parts.push(...body);
    expected += body.length;
  }
  return Uint8Array.from(parts);
}

t.test('fragments', (t) => {
  for (const protocol of ['udp', 'icmp', 'tcp'] as const) {
    const built = build({ protocol, payload: new Uint8Array(4000).map((_, i) => i & 0xff), id: 5, dontFragment: true });
    const { status, frames, splitter } = split('fragment', built.data, 1514);
    t.equal(status, Split.Done);
    t.same(reassemble(frames, built.ip, 4), built.data.slice(built.l4), protocol);
    t.equal(splitter.dontFragmentIgnored, 1);
    t.ok(frames.every((frame) => (frame[built.ip + 6]! & 0x40) === 0 && word(frame, built.ip + 4) === 5));
  }
  const plain6 = build({ version: 6, protocol: 'udp', payload: new Uint8Array(4000).fill(8) });
  const fragments6 = split('segment', plain6.data, 1514).frames;
  t.ok(fragments6.every((frame) => frame[plain6.ip + 6] === 44 && frame[plain6.ip + 40] === 17));
  t.same(reassemble(fragments6, plain6.ip, 6), plain6.data.slice(plain6.l4));
  const extensions = [
    [0, [0, 1, 4, 0, 0, 0, 0]],
    [60, [0, 1, 4, 0, 0, 0, 0]],
  ] as const;
  const hop = build({ version: 6, protocol: 'udp', payload: new Uint8Array(4000).fill(8), extensions });
  const behindHop = split('fragment', hop.data, 1514).frames;
  t.ok(
    behindHop.every((frame) => frame[hop.ip + 40] === 44 && frame[hop.ip + 48] === 60),
    'behind hop-by-hop',
  );
  t.same(reassemble(behindHop, hop.ip, 6, 8), hop.data.slice(hop.ip + 48));
  // Record route (7) stays in the first fragment, a copied option (0x88) goes into all.
  const options = [7, 3, 4, 0x88, 4, 1, 2, 0];
  const optioned = build({ protocol: 'udp', options, payload: new Uint8Array(3000) });
  const [first, second] = split('fragment', optioned.data, 1514).frames;
  t.same([first![optioned.ip], second![optioned.ip]], [0x47, 0x46]);
  t.same([...second!.slice(optioned.ip + 20, optioned.ip + 24)], [0x88, 4, 1, 2]);
  t.same(reassemble(split('fragment', optioned.data, 1514).frames, optioned.ip, 4), optioned.data.slice(optioned.l4));
  // A fragment is fragmented further.
  const part = build({ protocol: 'udp', payload: new Uint8Array(3000), fragment: { offset: 1480, more: true, id: 3 } });
  const parts = split('fragment', part.data, 1514).frames;
  t.same(
    parts.map((frame) => [word(frame, part.ip + 6) & 0x2000, (word(frame, part.ip + 6) & 0x1fff) * 8]),
    [
      [0x2000, 1480],
      [0x2000, 2960],
      [0x2000, 4440],
    ],
  );
  const tagged = build({ protocol: 'udp', payload: new Uint8Array(3000), tags: [[0x8100, 3]], labels: 2 });
  t.same(reassemble(split('fragment', tagged.data, 1514).frames, tagged.ip, 4), tagged.data.slice(tagged.l4));
  t.end();
});

t.test('cuts, refusals, no room', (t) => {
  for (const version of [4, 6] as const) {
    for (const protocol of ['tcp', 'udp', 'icmp'] as const) {
      const built = build({ version, protocol, payload: new Uint8Array(4000).fill(1) });
      const { frames } = split('truncate', built.data, 1514);
      t.same([frames.length, frames[0]!.length], [1, 1514]);
      t.same(sumErrors(frames[0]!, built.ip), { ip: 0, transport: 0 });
      if (protocol === 'udp') t.equal(word(frames[0]!, built.l4 + 4), 1514 - built.l4);
    }
  }
  const other = new Uint8Array(2000).fill(9);
  t.same(split('truncate', other, 1514).frames[0], other.slice(0, 1514), 'not IP');
  t.equal(split('fragment', other, 1514).status, Split.NotSplittable);
  const built = build({ payload: new Uint8Array(4000) });
  t.equal(split('segment', built.data, 54).status, Split.NotSplittable, 'no room for payload');
  t.equal(split('segment', built.data, 55).status, Split.NotSplittable, 'too many');
  const batch = batchOf([{ data: built.data }], Linktype.EN10MB, 3000);
  const out = new FrameBatch(16, batch.region);
  t.equal(new OversizeSplitter('segment', 1514).split(batch, 0, out), Split.NoRoom);
  t.same([out.count, batch.region.scratchNext], [0, batch.region.scratchStart], 'all or nothing');
  const roomy = batchOf([{ data: built.data }], Linktype.EN10MB);
  t.equal(new OversizeSplitter('segment', 1514).split(roomy, 0, new FrameBatch(2, roomy.region)), Split.NoRoom);
  t.end();
});

t.test('unique addresses: 10,000 loops, no two alike, every sum true, wraps included', (t) => {
  for (const version of [4, 6] as const) {
    const fill = version === 4 ? [] : [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0];
    for (const [low, high] of [
      [
        [10, 0, 0, 1],
        [10, 0, 9, 9],
      ],
      [
        [0, 0, 0, 3],
        [255, 255, 255, 250],
      ],
      [
        [255, 255, 255, 255],
        [0, 0, 0, 0],
      ],
    ] as const) {
      const built = build({
        version,
        src: [...fill, ...low],
        dst: [...fill, ...high],
        payload: Uint8Array.of(1, 2, 3),
      });
      const batch = batchOf([{ data: built.data }], Linktype.EN10MB);
      const seen = new Set<string>();
      for (let step = 0; step < 10_000; step++) {
        batch.region.bytes.set(built.data, batch.at[0]!);
        applyUniqueIp(batch, 0, step);
        const data = frameBytes(batch, 0);
        if (step % 50 === 0 || step < 20) deepEqual(sumErrors(data, built.ip), { ip: 0, transport: 0 });
        seen.add(data.slice(built.ip + (version === 4 ? 12 : 8), built.l4).join());
      }
      equal(seen.size, 10_000);
    }
  }
  const apart = build({ src: [10, 0, 0, 5], dst: [10, 0, 0, 9] });
  const batch = batchOf([{ data: apart.data }, { data: new Uint8Array(60).fill(8) }], Linktype.EN10MB);
  t.ok(applyUniqueIp(batch, 0, 3));
  t.same([...frameBytes(batch, 0).slice(26, 34)], [10, 0, 0, 2, 10, 0, 0, 12], 'the larger goes up');
  t.notOk(applyUniqueIp(batch, 1, 3), 'what is not IP goes as it is');
  t.same(frameBytes(batch, 1), new Uint8Array(60).fill(8));
  const routing = [[43, [2, 0, 1, 0, 0, 0, 0, ...new Array<number>(16).fill(7)]] as const];
  const routed = build({ version: 6, extensions: routing, payload: Uint8Array.of(1) });
  const addresses = (data: Uint8Array) => [...data.slice(22, 38), ...new Array<number>(16).fill(7)];
  const transport = (data: Uint8Array) =>
    onesSum(pseudoHeader(addresses(data), [], 6, 21).concat(...data.slice(routed.l4)));
  const loops = batchOf([{ data: routed.data }], Linktype.EN10MB);
  const before = transport(routed.data);
  applyUniqueIp(loops, 0, 1000);
  t.equal(transport(frameBytes(loops, 0)), before, 'a source-routed packet keeps its sum, too');
  t.end();
});
