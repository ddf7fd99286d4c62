import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { FrameBatch } from '../../src/base/batch.ts';
import { plainRegion, type Region } from '../../src/base/region.ts';
import { type CaptureWriterOptions, createCaptureWriter, openCapture } from '../../src/pcap/index.ts';
import { anonymousRegion } from '../../src/sys/memory.ts';
import { randomPackets, readAll, scratchDirectory, type TestPacket } from './build.ts';

const directory = scratchDirectory((action) => t.teardown(action));
const out = path.join(directory, 'out');

function put(region: Region, packet: TestPacket, at = 64): number {
  region.bytes.set(packet.data, at);
  return at;
}

function writeAll(
  packets: readonly TestPacket[],
  options: CaptureWriterOptions,
  region: Region,
  target: string | number = out,
): void {
  const writer = createCaptureWriter(target, options);
  for (const packet of packets) {
    writer.write(region, put(region, packet), packet.data.length, packet.len, packet.sec, packet.nsec);
  }
  assert.equal(writer.packetsWritten, packets.length);
  const bytes = writer.bytesWritten;
  writer.close();
  if (typeof target === 'string') assert.equal(fs.statSync(target).size, bytes);
}

t.test('what is written is read again', async (t) => {
  const mapped = anonymousRegion(300_000);
  t.teardown(() => mapped.release());
  fc.assert(
    fc.property(
      fc.integer(),
      fc.constantFrom('pcap', 'pcapng'),
      fc.constantFrom(6, 9),
      fc.boolean(),
      fc.integer({ min: 0, max: 0xffffffff }),
      fc.integer({ min: 0, max: 999_999_999 }),
      fc.constantFrom(60, 1500, 20_000),
      (seed, format, digits, isMapped, sec, nsec, bytesMax) => {
        const region = isMapped ? mapped : plainRegion(300_000);
        const packets = randomPackets(seed, 20, bytesMax).map((packet) => ({ ...packet, sec, nsec }));
        writeAll(packets, { format: format as 'pcap', timestampDigits: digits as 6, linktype: 113 }, region);
        const read = readAll(out);
        assert.equal(read.error, null);
        assert.equal(read.packets.length, packets.length);
        packets.forEach((packet, i) => {
          const got = read.packets[i]!;
          assert.equal(got.hex, Buffer.from(packet.data).toString('hex'));
          assert.deepEqual([got.sec, got.len, got.linktype], [sec, packet.len, 113]);
          assert.equal(got.nsec, digits === 9 ? nsec : Math.floor(nsec / 1000) * 1000);
        });
      },
    ),
    { numRuns: 200 },
  );
  t.pass('200 captures');
});

t.test('pcapng: interfaces, comments, statistics, section options', async (t) => {
  const region = plainRegion(1000);
  const writer = createCaptureWriter(out, {
    format: 'pcapng',
    timestampDigits: 9,
    application: 'tsreplay',
    os: 'an os',
    hardware: 'a machine',
    comments: ['about the file'],
    interfaces: [
      { linktype: 1, name: 'eth0', snaplen: 96, fcsBytes: 4 },
      { linktype: 101, timestampDigits: 6, filter: 'tcp', description: 'tunnel', os: 'x', comments: ['about tun0'] },
    ],
  });
  t.equal(writer.addInterface({ linktype: 276, name: 'any' }), 2);
  writer.writeCommented(region, 0, 33, 40, 1_700_000_000, 123_456_789, 2, ['one', 'zwei ü']);
  writer.write(region, 0, 5, 5, 1_700_000_001, 123_456_789, 1);
  writer.writeStatistics(0, 1_700_000_002, 0, { received: 2 ** 40, dropped: 3, comments: ['end'] });
  writer.close();
  const reader = openCapture(out, { details: true });
  const batch = new FrameBatch(8, plainRegion(0));
  t.equal(reader.read(batch), 2);
  t.same([...batch.interfaceIndex.subarray(0, 2)], [2, 1]);
  t.same([...batch.nsec.subarray(0, 2)], [123_456_789, 123_456_000]);
  t.same(reader.details?.packetComments.get(1), ['one', 'zwei ü']);
  t.equal(reader.read(batch), 0);
  t.match(reader.info.interfaces, [
    { linktype: 1, name: 'eth0', snaplen: 96, fcsBytes: 4, timestampDigits: 9 },
    { linktype: 101, snaplen: 262_144, fcsBytes: -1, timestampDigits: 6 },
    { linktype: 276, name: 'any', timestampDigits: 9 },
  ]);
  t.match(reader.details, {
    sections: [{ application: 'tsreplay', os: 'an os', hardware: 'a machine', comments: ['about the file'] }],
    statistics: [{ interfaceIndex: 0, received: 2 ** 40, dropped: 3, acceptedByFilter: -1, comments: ['end'] }],
  });
  t.match(reader.details?.interfaces[1], { filter: 'tcp', description: 'tunnel', os: 'x', comments: ['about tun0'] });
  reader.close();
});

t.test('pcap: FCS length in the link type word, one interface only', async (t) => {
  createCaptureWriter(out, { format: 'pcap', linktype: 1, fcsBytes: 4, snaplen: 100 }).close();
  const reader = openCapture(out);
  t.match(reader.info.interfaces, [{ linktype: 1, fcsBytes: 4, snaplen: 100 }]);
  reader.close();
  t.throws(() => createCaptureWriter(out, { format: 'pcap', fcsBytes: 3 }), { code: 'USAGE' });
  const interfaces = [{ linktype: 1 }, { linktype: 101 }];
  t.throws(() => createCaptureWriter(out, { format: 'pcap', interfaces }), { code: 'USAGE', message: /write pcapng/ });
});

t.test('a batch is copied whole, from a capture to another', async (t) => {
  const packets = randomPackets(7, 3000, 1500);
  const region = plainRegion(4000);
  writeAll(packets, { format: 'pcap', timestampDigits: 9 }, region);
  const reader = openCapture(out);
  const copy = path.join(directory, 'copy');
  const writer = createCaptureWriter(copy, { format: 'pcapng', timestampDigits: 9 });
  const batch = new FrameBatch(256, plainRegion(0));
  while (reader.read(batch) > 0) writer.writeBatch(batch);
  reader.close();
  writer.close();
  t.same(readAll(copy).packets, readAll(out).packets);
});

t.test('writing to the capture that is read is refused', async (t) => {
  writeAll(randomPackets(8, 3), { format: 'pcap' }, plainRegion(1000));
  const size = fs.statSync(out).size;
  const reader = openCapture(out);
  t.throws(() => createCaptureWriter(out, { format: 'pcap' }), {
    code: 'FILE',
    message: /is the capture that is being read/,
  });
  t.equal(fs.statSync(out).size, size, 'untouched');
  reader.close();
  createCaptureWriter(out, { format: 'pcap' }).close();
  t.equal(fs.statSync(out).size, 24, 'and allowed afterwards');
});

t.test('failures are sentences', async (t) => {
  t.throws(() => createCaptureWriter(path.join(directory, 'no', 'x'), { format: 'pcap' }), {
    code: 'FILE',
    message: /cannot write .*x: No such file or directory \(ENOENT\)/,
  });
  t.throws(() => createCaptureWriter(directory, { format: 'pcap' }), { code: 'FILE', message: /EISDIR/ });
  // a pipe whose reader is gone
  const script = `
    import { createCaptureWriter } from ${JSON.stringify(new URL('../../src/pcap/index.js', import.meta.url).href)};
    import { plainRegion } from ${JSON.stringify(new URL('../../src/base/region.js', import.meta.url).href)};
    const region = plainRegion(2000);
    const writer = createCaptureWriter('-', { format: 'pcap' });
    try {
      for (let i = 0; i < 10000; i++) writer.write(region, 0, 1500, 1500, i, 0);
      writer.close();
    } catch (error) {
      process.stderr.write(error.code + ' ' + error.message);
    }`;
  const child = spawnSync('sh', [
    '-c',
    '"$0" --input-type=module -e "$1" | head -c 100000 >/dev/null',
    process.execPath,
    script,
  ]);
  t.match(String(child.stderr), /^FILE cannot write stdout: Broken pipe \(EPIPE\)$/);
});

const isRoot = process.getuid?.() === 0;
const mountable = isRoot && spawnSync('unshare', ['-m', 'true']).status === 0;
t.test(
  'a full disk leaves a valid capture',
  { skip: mountable ? false : 'needs root (mount of a small tmpfs)' },
  async (t) => {
    const mount = path.join(directory, 'small');
    fs.mkdirSync(mount);
    t.equal(spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=3m', 'none', mount]).status, 0);
    t.teardown(() => spawnSync('umount', [mount]));
    for (const format of ['pcap', 'pcapng'] as const) {
      const full = path.join(mount, `full.${format}`);
      const region = plainRegion(2000);
      const writer = createCaptureWriter(full, { format });
      let caught: Error | null = null;
      try {
        for (let i = 0; i < 4000; i++) writer.write(region, 0, 1111, 1111, i, 0);
      } catch (error) {
        caught = error as Error;
      }
      t.match(caught, {
        code: 'FILE',
        message: /No space left on device \(ENOSPC\); its first [\d,]+ bytes are a valid/,
      });
      t.throws(() => writer.write(region, 0, 10, 10, 0, 0), caught as unknown as Error, 'and again');
      const kept = writer.packetsWritten;
      t.equal(writer.bytesWritten, fs.statSync(full).size);
      writer.close();
      const read = readAll(full);
      t.equal(read.error, null, 'whole records only');
      t.equal(read.packets.length, kept);
      t.ok(kept > 2000 && kept < 4000, `${kept} packets`);
      fs.rmSync(full);
    }
  },
);

const hasTcpdump = spawnSync('tcpdump', ['--version']).status === 0;
t.test('tcpdump reads what is written', { skip: hasTcpdump ? false : 'needs the program tcpdump' }, async (t) => {
  const packets = randomPackets(9, 300, 1500);
  for (const format of ['pcap', 'pcapng'] as const) {
    for (const timestampDigits of [6, 9] as const) {
      writeAll(packets, { format, timestampDigits }, plainRegion(4000));
      const args = ['-r', '-', '-w', '-', '--time-stamp-precision=nano'];
      const { stdout, status, stderr } = spawnSync('tcpdump', args, {
        input: fs.readFileSync(out),
        maxBuffer: 1 << 26,
      });
      t.equal(status, 0, String(stderr));
      fs.writeFileSync(path.join(directory, 'theirs'), stdout);
      t.same(readAll(path.join(directory, 'theirs')).packets, readAll(out).packets, `${format} ${timestampDigits}`);
    }
  }
});
