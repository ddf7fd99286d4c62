/** Hostile captures: seeded mutations of each format neither crash, hang nor take memory without bound. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import zlib from 'node:zlib';
import t from 'tap';
import { OperatorError } from '../../src/base/errors.ts';
import { FRAME_BYTES_MAX, plainRegion } from '../../src/base/region.ts';
import { Rng } from '../../src/base/rng.ts';
import { createCaptureWriter } from '../../src/pcap/index.ts';
import { packageRoot } from '../structure/repository.ts';
import { Blocks, buildPcap, everyBlock, Magic, randomPackets, readAll, scratchDirectory } from './build.ts';

const MUTATIONS = 1000;
const SEED = Number(process.env['TSREPLAY_SEED'] ?? 20_261_122);
/** Largest block that is looked into, and room for rounding. */
const REGION_BYTES_MAX = (16 << 20) + 131_072;
const RSS_GROWTH_BYTES_MAX = 256 << 20;
const MS_MAX = 10_000;

const directory = scratchDirectory((action) => t.teardown(action));
const target = path.join(directory, 'mutant');

/** Values that lengths and magics are likely to be mishandled at. */
const NASTY = [
  0, 1, 3, 4, 11, 12, 0x7fff, 0xffff, 0x40000, 0x40001, 0x1000000, 0x1000004, 0x7fffffff, 0xfffffffc, 0xffffffff,
];

function mutate(original: Uint8Array, rng: Rng): Buffer {
  let bytes = Buffer.from(original);
  for (let edits = 1 + rng.below(4); edits > 0; edits--) {
    const at = rng.below(Math.max(1, bytes.length));
    const kind = rng.below(6);
    if (kind === 0 && at < bytes.length) bytes[at] = rng.below(256);
    else if (kind === 1 && at < bytes.length) bytes[at]! ^= 1 << rng.below(8);
    else if (kind === 2 && at + 4 <= bytes.length) {
      const value = NASTY[rng.below(NASTY.length)]!;
      rng.below(2) === 0 ? bytes.writeUInt32LE(value, at & ~3) : bytes.writeUInt32BE(value, at & ~3);
    } else if (kind === 3) bytes = bytes.subarray(0, at);
    else if (kind === 4) bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(rng.below(bytes.length + 1))]);
    else {
      const end = Math.min(bytes.length, at + rng.below(64));
      bytes = Buffer.concat([bytes.subarray(0, end), bytes.subarray(at)]);
    }
  }
  return bytes;
}

function attack(t: { ok(value: boolean, message: string): unknown }, original: Uint8Array): void {
  const rng = new Rng(SEED);
  const rssBefore = process.memoryUsage.rss();
  let faults = 0;
  for (let i = 0; i < MUTATIONS; i++) {
    const bytes = mutate(original, rng);
    fs.writeFileSync(target, bytes);
    const started = performance.now();
    const { packets, error, regionBytesMax } = readAll(target, {
      access: i % 2 === 0 ? 'read' : 'map',
      details: i % 3 === 0,
    });
    const note = `seed ${SEED}, mutation ${i}`;
    assert.ok(performance.now() - started < MS_MAX, `${note}: took ${performance.now() - started} ms`);
    assert.ok(regionBytesMax <= REGION_BYTES_MAX, `${note}: a region of ${regionBytesMax} bytes`);
    assert.ok(error === null || error instanceof OperatorError, `${note}: ${error?.stack}`);
    for (const packet of packets) assert.ok(packet.caplen <= FRAME_BYTES_MAX && packet.nsec < 1e9, note);
    if (error !== null) faults++;
  }
  const grown = process.memoryUsage.rss() - rssBefore;
  assert.ok(grown < RSS_GROWTH_BYTES_MAX, `${grown} bytes of memory more than before`);
  t.ok(faults > 0, `${faults} of ${MUTATIONS} mutations are faults`);
}

const packets = randomPackets(21, 30, 300);
const subjects: Record<string, () => Uint8Array> = {
  'pcap µs little': () => buildPcap(packets),
  'pcap ns big': () => buildPcap(packets, { big: true, magic: Magic.Ns }),
  'pcap kuznetsov': () => buildPcap(packets, { magic: Magic.Kuznetsov }),
  'pcap 2.3': () => buildPcap(packets, { minor: 3 }),
  'pcapng every block': everyBlock,
  'pcapng of many packets': () => {
    const blocks = new Blocks().section().interface(1, 100, [[9, Uint8Array.of(9)]]);
    for (const { sec, data, len } of packets) blocks.enhanced(0, BigInt(sec), data, len, [[1, 'comment']]);
    return blocks.bytes;
  },
  'pcapng as written here': () => {
    const at = path.join(directory, 'written');
    const writer = createCaptureWriter(at, { format: 'pcapng', timestampDigits: 9, application: 'a' });
    for (const { sec, nsec, len } of packets) writer.write(plainRegion(60), 0, 60, len, sec, nsec);
    writer.writeStatistics(0, 1, 1, { received: 30 });
    writer.close();
    return fs.readFileSync(at);
  },
  gzip: () => zlib.gzipSync(buildPcap(packets)),
  'gzip, two members of pcapng': () => Buffer.concat([zlib.gzipSync(everyBlock()), zlib.gzipSync(everyBlock())]),
  // a frame of one stored block: header, size, raw data
  zstd: () => {
    const content = buildPcap(packets);
    const head = Buffer.alloc(4 + 1 + 4 + 3);
    head.writeUInt32LE(0xfd2fb528, 0);
    head[4] = 0xa0;
    head.writeUInt32LE(content.length, 5);
    head.writeUIntLE((content.length << 3) | 1, 9, 3);
    return Buffer.concat([head, content]);
  },
};

for (const [name, build] of Object.entries(subjects)) {
  t.test(name, async (t) => {
    const original = build();
    fs.writeFileSync(target, original);
    const whole = readAll(target);
    t.equal(whole.error, null);
    t.ok(whole.packets.length >= 5);
    attack(t, original);
  });
}

const fixtures = path.join(packageRoot(), 'fixtures', 'pcaps');
const captures = fs.existsSync(fixtures)
  ? (fs.readdirSync(fixtures, { recursive: true }) as string[]).filter((name) =>
      /\.(pcap|pcapng|cap)(\.gz|\.zst)?$/.test(name),
    )
  : [];
t.test('captures of real programs', { skip: captures.length > 0 ? false : 'needs fixtures/pcaps' }, async (t) => {
  for (const name of captures) {
    const original = fs.readFileSync(path.join(fixtures, name));
    // long captures are all alike behind their first packets, and a thousand copies of them take minutes
    attack(t, original.subarray(0, 65_536));
  }
});
