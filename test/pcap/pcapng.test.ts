import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import zlib from 'node:zlib';
import fc from 'fast-check';
import t from 'tap';
import { FrameBatch } from '../../src/base/batch.ts';
import { plainRegion } from '../../src/base/region.ts';
import { openCapture } from '../../src/pcap/index.ts';
import { parseInterfaceBlock } from '../../src/pcap/pcapng_format.ts';
import { InterfaceTable } from '../../src/pcap/pcapng_interfaces.ts';
import { Blocks, buildPcap, everyBlock, randomPackets, readAll, scratchDirectory } from './build.ts';

const directory = scratchDirectory((action) => t.teardown(action));
const file = (name: string, bytes: Uint8Array): string => {
  const at = path.join(directory, name);
  fs.writeFileSync(at, bytes);
  return at;
};
const data = Buffer.from('00112233445566778899aabb08004500', 'hex');

t.test('every block type, two sections, several interfaces', async (t) => {
  for (const access of ['read', 'map'] as const) {
    const { packets, error } = readAll(file('every.pcapng', everyBlock()), { access });
    t.equal(error, null);
    t.same(
      packets.map(({ number, sec, nsec, caplen, len, linktype, interfaceIndex }) =>
        [number, sec, nsec, caplen, len, linktype, interfaceIndex].join(' '),
      ),
      [
        '1 1700000000 123456789 16 60 1 0',
        '2 1700000001 500000000 5 5 101 1',
        '3 1700000001 500000000 13 13 1 0', // no stamp of its own: the one before it
        '4 1700003602 500000000 16 16 113 2',
        '5 1700003603 1000 1 1 113 2',
      ],
    );
    t.equal(packets[0]!.hex, data.toString('hex'));
  }
  const reader = openCapture(path.join(directory, 'every.pcapng'), { details: true });
  const batch = new FrameBatch(64, plainRegion(0));
  t.equal(reader.read(batch), 5);
  t.equal(batch.headroomBytes, 12, 'the least: a simple packet block is there');
  t.same(reader.details?.packetComments.get(1), ['a comment']);
  t.match(reader.details?.sections, [
    { firstPacket: 1, hardware: 'machine', os: 'system', application: 'program', comments: ['first section'] },
    { firstPacket: 4, hardware: '' },
  ]);
  t.equal(reader.details?.blocks.get(0x12345678), 1);
  t.equal(reader.read(batch), 0);
  t.equal(reader.details?.packetComments.size, 0, 'of the last read only');
  t.match(reader.info, { format: 'pcapng', bigEndian: true, byteLength: everyBlock().length });
  t.match(reader.info.interfaces, [
    { linktype: 1, snaplen: 0, name: 'eth0', timestampDigits: 9, fcsBytes: 4 },
    { linktype: 101, snaplen: 64, name: '', timestampDigits: 4, fcsBytes: -1 },
    { linktype: 113, snaplen: 96, timestampDigits: 6 },
  ]);
  reader.close();
});

t.test('resolutions convert exactly', async (t) => {
  const stampOf = (resolution: number, stamp: bigint): [number, number] => {
    const block = new Blocks().interface(1, 0, [[9, Uint8Array.of(resolution)]]).bytes;
    const view = new DataView(block.buffer, block.byteOffset, block.length);
    const parsed = parseInterfaceBlock(view, 0, block.length, true);
    assert(typeof parsed !== 'string');
    const table = new InterfaceTable();
    table.add(parsed);
    table.convert(0, Number(stamp >> 32n), Number(stamp & 0xffffffffn));
    return [table.sec, table.nsec];
  };
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 255 }),
      fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }),
      (resolution, stamp) => {
        const units = (resolution & 0x80 ? 2n : 10n) ** BigInt(resolution & 0x7f);
        if (stamp / units > BigInt(Number.MAX_SAFE_INTEGER)) return; // 285 million years
        const expected = [Number(stamp / units), Number(((stamp % units) * 1_000_000_000n) / units)];
        assert.deepEqual(stampOf(resolution, stamp), expected, `resolution ${resolution} stamp ${stamp}`);
      },
    ),
    { numRuns: 5000 },
  );
  t.pass('5,000 stamps');
});

t.test('simple packets are cut by the snaplen, comments only where asked for', async (t) => {
  const bytes = new Blocks().section().interface(1, 10).simple(data, 1000).bytes;
  t.match(readAll(file('simple.pcapng', bytes)).packets, [{ caplen: 10, len: 1000, sec: 0, nsec: 0 }]);
  const reader = openCapture(path.join(directory, 'simple.pcapng'));
  t.equal(reader.details, null);
  reader.close();
});

t.test('faults', async (t) => {
  const good = new Blocks().section().interface(1, 0).enhanced(0, 1n, data, 16);
  const after = good.bytes.length;
  const message = (bytes: Uint8Array): string => {
    const { packets, error } = readAll(file('fault.pcapng', Buffer.concat([good.bytes, bytes])));
    assert.equal(packets.length, 1, String(error));
    assert.match(
      String(error?.message),
      new RegExp(`fault.pcapng: packet 2 at byte ${after}: .*; 1 packet before it was`),
    );
    return error!.message;
  };
  const one = new Blocks().enhanced(0, 1n, data, 16).bytes;
  const patched = (bytes: Buffer, at: number, value: number): Buffer => {
    const copy = Buffer.from(bytes);
    copy.writeUInt32LE(value, at);
    return copy;
  };
  t.match(message(new Blocks().enhanced(1, 1n, data, 16).bytes), /names interface 1, but the section has declared 1/);
  t.match(message(patched(one, 4, 50)), /length of 50, which is not a multiple of 4/);
  t.match(message(patched(one, 4, 8)), /length of 8, less than the 32/);
  t.match(message(patched(one, 4, 0x2000000)), /length of 33554432, more than 16777216/);
  t.match(message(patched(one, one.length - 4, 52)), /length of 48 in front and 52 behind/);
  t.match(message(patched(one, 20, 300_000)), /300000 captured bytes, more than the 262144/);
  t.match(message(patched(one, 20, 17)), /of 48 bytes says 17 captured bytes/);
  t.match(message(patched(new Blocks().section().bytes, 8, 1)), /byte order magic is 0x1000000/);
  t.match(message(patched(new Blocks().section().bytes, 12, 2)), /pcapng version 2.0/);
  t.match(
    message(new Blocks().interface(1, 0, [[9, Uint8Array.of(6)]]).bytes.fill(255, 18, 20)),
    /option of the interface/,
  );
  t.match(
    message(patched(new Blocks().block(0x99, Buffer.alloc(8)).bytes, 4, 0xfffffff0)),
    /ends after 20 of the 4294967280 bytes of its block of type 0x99/,
  );
  t.match(
    message(patched(new Blocks().block(0x99, Buffer.alloc(8)).bytes, 16, 7)),
    /length of 20 in front and 7 behind/,
  );
  const noInterface = readAll(file('none.pcapng', new Blocks().section().simple(data, 16).bytes));
  t.match(noInterface.error?.message, /packet 1 at byte 28: .*has declared 0; no packet was before it/);
});

t.test('truncated at every byte', async (t) => {
  const whole = everyBlock();
  const ends: number[] = [];
  for (let at = 0, big = false; at < whole.length; ) {
    const type = whole.readUInt32LE(at);
    if (type === 0x0a0d0d0a) big = whole.readUInt32BE(at + 8) === 0x1a2b3c4d;
    at += big ? whole.readUInt32BE(at + 4) : whole.readUInt32LE(at + 4);
    ends.push(at);
  }
  const complete = readAll(file('whole.pcapng', whole)).packets;
  for (const kind of ['read', 'map', 'gzip'] as const) {
    for (let length = 4; length <= whole.length; length++) {
      const part = whole.subarray(0, length);
      const options = { access: kind === 'map' ? ('map' as const) : ('read' as const) };
      const { packets, error } = readAll(file('cut', kind === 'gzip' ? zlib.gzipSync(part) : part), options);
      assert.deepEqual(packets, complete.slice(0, packets.length), `${kind} ${length}`);
      if (ends.includes(length)) assert.equal(error, null, `${kind} ${length}: ${error}`);
      else {
        const start = Math.max(0, ...ends.filter((end) => end < length));
        assert.match(
          String(error?.message),
          new RegExp(`packet ${packets.length + 1} at byte ${start}: the file ends after`),
        );
      }
    }
  }
  t.pass('as many packets as are whole, then the fault');
});

t.test('windows of any size give the same packets, long blocks are skipped', async (t) => {
  const blocks = new Blocks(true).section().interface(1, 0, [[9, Uint8Array.of(9)]]);
  const many = randomPackets(11, 400, 2500);
  many.forEach(({ sec, nsec, len, data: bytes }, i) => {
    if (i % 50 === 0) blocks.block(0x77, Buffer.alloc(i * 1000));
    blocks.enhanced(
      0,
      BigInt(sec) * 1_000_000_000n + BigInt(nsec),
      bytes,
      len,
      i % 7 === 0 ? [[1, 'x'.repeat(i)]] : [],
    );
  });
  const at = file('long.pcapng', blocks.bytes);
  const whole = readAll(at, { windowBytes: 64 << 20 }, 256);
  t.equal(whole.error, null);
  // the same packets as a classic file gives
  const { packets: classic } = readAll(file('same.pcap', buildPcap(many)));
  t.same(whole.packets, classic);
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 400_000 }),
      fc.integer({ min: 1, max: 300 }),
      fc.boolean(),
      (windowBytes, frames, map) => {
        const read = readAll(at, { windowBytes, access: map ? 'map' : 'read', details: map }, frames);
        assert.equal(read.error, null);
        assert.deepEqual(read.packets, whole.packets);
      },
    ),
    { numRuns: 20 },
  );
});

t.test('interfaces are bounded', async (t) => {
  const one = new Blocks().interface(1, 0).bytes;
  const bytes = Buffer.concat([new Blocks().section().bytes, ...new Array(65_537).fill(one)]);
  t.match(readAll(file('interfaces.pcapng', bytes)).error?.message, /more than 65536 interfaces/);
});

const hasTcpdump = spawnSync('tcpdump', ['--version']).status === 0;
t.test('agrees with tcpdump', { skip: hasTcpdump ? false : 'needs the program tcpdump' }, async (t) => {
  for (const big of [false, true]) {
    const blocks = new Blocks(big).section([[4, 'test']]).interface(1, 0, [[9, Uint8Array.of(9)]]);
    for (const { sec, nsec, len, data: bytes } of randomPackets(12, 200)) {
      blocks.enhanced(0, BigInt(sec) * 1_000_000_000n + BigInt(nsec) + 7n, bytes, len, [[1, 'c']]);
    }
    const input = blocks.bytes;
    const args = ['-r', '-', '-w', '-', '--time-stamp-precision=nano'];
    const { stdout, status, stderr } = spawnSync('tcpdump', args, { input, maxBuffer: 1 << 26 });
    t.equal(status, 0, String(stderr));
    const theirs = readAll(file('theirs.pcap', stdout));
    t.same(readAll(file('ours.pcapng', input)).packets, theirs.packets);
    t.equal(theirs.packets.length, 200);
  }
});
