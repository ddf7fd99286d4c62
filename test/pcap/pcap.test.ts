import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import zlib from 'node:zlib';
import fc from 'fast-check';
import t from 'tap';
import type { OperatorError } from '../../src/base/errors.ts';
import { captureFrames, openCapture } from '../../src/pcap/index.ts';
import { packageRoot } from '../structure/repository.ts';
import {
  buildPcap,
  Magic,
  type PcapShape,
  type ReadPacket,
  randomPackets,
  readAll,
  scratchDirectory,
  type TestPacket,
} from './build.ts';

const directory = scratchDirectory((action) => t.teardown(action));
const file = (name: string, bytes: Uint8Array): string => {
  const at = path.join(directory, name);
  fs.writeFileSync(at, bytes);
  return at;
};
const packets = randomPackets(1, 40);

function expected(list: readonly TestPacket[], linktype = 1): ReadPacket[] {
  return list.map(({ sec, nsec, len, data }, i) => ({
    number: i + 1,
    sec,
    nsec,
    caplen: data.length,
    len,
    linktype,
    interfaceIndex: 0,
    hex: Buffer.from(data).toString('hex'),
  }));
}

t.test('every classic variant reads alike', async (t) => {
  const shapes: Record<string, PcapShape> = {};
  for (const big of [false, true]) {
    for (const [name, magic] of Object.entries(Magic)) shapes[`${name} ${big ? 'big' : 'little'}`] = { big, magic };
  }
  shapes['version 2.2: lengths in the old order'] = { minor: 2 };
  shapes['version 2.3: lengths in either order'] = { minor: 3 };
  shapes['DG/UX 543.0'] = { major: 543, minor: 0 };
  for (const [name, shape] of Object.entries(shapes)) {
    const at = file('variant.pcap', buildPcap(packets, shape));
    for (const access of ['read', 'map'] as const) {
      const read = readAll(at, { access });
      assert.equal(read.error, null, name);
      assert.deepEqual(read.packets, expected(packets), `${name} ${access}`);
    }
  }
  t.pass(`${Object.keys(shapes).length} variants`);
});

t.test('version 2.3 with swapped lengths', async (t) => {
  const cut = [{ sec: 1, nsec: 0, len: 90, data: new Uint8Array(30).fill(3) }];
  const bytes = buildPcap(cut, { minor: 3 });
  bytes.writeUInt32LE(90, 24 + 8);
  bytes.writeUInt32LE(30, 24 + 12);
  t.same(readAll(file('swapped.pcap', bytes)).packets, expected(cut));
});

t.test('link type word: FCS length, class bits, raw aliases', async (t) => {
  const linktypeOf = (word: number): [number, number] => {
    const reader = openCapture(file('word.pcap', buildPcap(packets, { linktypeWord: word })));
    const { linktype, fcsBytes } = reader.info.interfaces[0]!;
    reader.close();
    return [linktype, fcsBytes];
  };
  t.same(linktypeOf(1), [1, -1]);
  t.same(linktypeOf(0x24000001), [1, 4]);
  t.same(linktypeOf(12), [101, -1]);
  t.same(linktypeOf(0x02240002), [228, -1]);
  t.same(linktypeOf(0x02240018), [229, -1]);
  t.throws(() => linktypeOf(0x01110001), { message: /unknown link type 0x1110001/ });
});

t.test('odd but tolerated records', async (t) => {
  const data = new Uint8Array(50).fill(1);
  const odd = [
    { sec: 10, nsec: 2_500_000_000, len: 50, data }, // µs above 10^6 carry into the seconds
    { sec: 11, nsec: 0, len: 20, data }, // len < caplen
    { sec: 12, nsec: 0, len: 50, data }, // caplen > snaplen
  ];
  const read = readAll(file('odd.pcap', buildPcap(odd, { snaplen: 40 })));
  t.equal(read.error, null);
  t.same([read.packets[0]!.sec, read.packets[0]!.nsec], [12, 500_000_000]);
  t.equal(read.packets[1]!.len, 50, 'what is there was on the wire');
  t.equal(read.packets[2]!.caplen, 50);
  const nano = buildPcap([{ sec: 10, nsec: 3_000_000_007, len: 50, data }], { magic: Magic.Ns });
  const stamp = readAll(file('odd.pcap', nano)).packets[0]!;
  t.same([stamp.sec, stamp.nsec], [13, 7]);
});

t.test('files that are no captures', async (t) => {
  const message = (bytes: Uint8Array | string): string => {
    const at = typeof bytes === 'string' ? bytes : file('bad', bytes);
    const { error } = readAll(at);
    assert.equal((error as OperatorError | null)?.name, 'OperatorError', String(error?.stack));
    return `${(error as OperatorError).code} ${error!.message}`;
  };
  t.match(message(Buffer.alloc(0)), /^FORMAT .*bad is empty/);
  t.match(message(Buffer.from('ab')), /^FORMAT .*has 2 bytes: too short/);
  t.match(message(Buffer.from('hello world')), /^FORMAT .*neither pcap nor pcapng: it begins with the bytes 68656c6c/);
  t.match(message(buildPcap([]).subarray(0, 20)), /^FORMAT .*ends after 20 of the 24 bytes of its file header/);
  t.match(message(buildPcap([], { magic: 0xa1b234cd })), /^FORMAT .*Mesquita/);
  t.match(message(buildPcap([], { magic: 0xa12b3c4d, big: true })), /^FORMAT .*Navtel/);
  t.match(message(buildPcap([], { major: 1 })), /^FORMAT .*pcap version 1.4/);
  t.match(message(buildPcap([], { minor: 9 })), /^FORMAT .*pcap version 2.9/);
  t.match(message(Buffer.from('fd377a585a00', 'hex')), /^FORMAT .*xz -dc/);
  t.match(message(Buffer.from('tcpprep\0')), /^FORMAT .*--cachefile/);
  t.match(message(zlib.gzipSync(zlib.gzipSync(buildPcap(packets)))), /^FORMAT .*compressed twice/);
  t.match(message(zlib.gzipSync('hello')), /^FORMAT .*68656c6c inside gzip/);
  t.match(message(directory), /^FILE .*is a directory/);
  t.match(message(path.join(directory, 'absent')), /^FILE cannot open .*absent: No such file or directory \(ENOENT\)/);
});

t.test('faults name file, packet and byte; everything before them is delivered', async (t) => {
  const bytes = buildPcap(packets.slice(0, 5));
  const third = 24 + 2 * 16 + packets[0]!.data.length + packets[1]!.data.length;
  bytes.writeUInt32LE(262_145, third + 8);
  const at = file('fault.pcap', bytes);
  const read = readAll(at);
  t.same(read.packets, expected(packets.slice(0, 2)));
  t.equal(
    read.error?.message,
    `${at}: packet 3 at byte ${third}: its record header says 262145 captured bytes, more than the 262144 a packet ` +
      'may have; 2 packets before it were delivered',
  );
  t.equal((read.error as OperatorError).code, 'FORMAT');
});

t.test('truncated at every byte', async (t) => {
  const few = randomPackets(2, 6, 30);
  const ends = [24];
  for (const { data } of few) ends.push(ends.at(-1)! + 16 + data.length);
  for (const kind of ['read', 'map', 'gzip'] as const) {
    const whole = buildPcap(few);
    for (let length = 24; length <= whole.length; length++) {
      const part = whole.subarray(0, length);
      const read = readAll(file('cut', kind === 'gzip' ? zlib.gzipSync(part) : part), {
        access: kind === 'map' ? 'map' : 'read',
      });
      const count = ends.filter((end) => end <= length).length - 1;
      assert.deepEqual(read.packets, expected(few.slice(0, count)), `${kind} ${length}`);
      if (ends.includes(length)) assert.equal(read.error, null);
      else
        assert.match(read.error!.message, new RegExp(`cut: packet ${count + 1} at byte ${ends[count]}: the file ends`));
    }
  }
  t.pass('as many packets as are whole, then the fault');
});

t.test('a fault is thrown again by each further read', async (t) => {
  const at = file('again.pcap', buildPcap(packets).subarray(0, 100));
  const reader = openCapture(at);
  const { FrameBatch } = await import('../../src/base/batch.ts');
  const { plainRegion } = await import('../../src/base/region.ts');
  const batch = new FrameBatch(64, plainRegion(0));
  while (batch.numberFirst === 1 && reader.read(batch) > 0 && batch.count === 64);
  t.throws(() => reader.read(batch), { code: 'FORMAT' });
  t.throws(() => reader.read(batch), { code: 'FORMAT' });
  reader.close();
  t.equal(reader.read(batch), 0, 'closed');
});

t.test('windows of any size give the same packets', async (t) => {
  const long = [
    ...randomPackets(3, 300, 3000),
    { sec: 5, nsec: 0, len: 262_144, data: new Uint8Array(262_144).fill(7) },
    ...randomPackets(4, 200, 1500),
  ];
  const at = file('long.pcap', buildPcap(long));
  const whole = readAll(at, { windowBytes: 64 << 20 }, 256);
  assert.deepEqual(whole.packets, expected(long));
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 400_000 }),
      fc.integer({ min: 1, max: 300 }),
      fc.constantFrom('read', 'map'),
      (windowBytes, frames, access) => {
        const read = readAll(at, { windowBytes, access: access as 'read' | 'map' }, frames);
        assert.equal(read.error, null);
        assert.deepEqual(read.packets, whole.packets);
      },
    ),
    { numRuns: 30 },
  );
  t.pass('equal');
});

t.test('gzip, zstd, fifo and stdin give the same packets', async (t) => {
  const many = randomPackets(5, 3000, 900);
  const bytes = buildPcap(many);
  const plain = file('plain.pcap', bytes);
  const whole = expected(many);
  const half = Math.floor(bytes.length / 2);
  const members = Buffer.concat([
    zlib.gzipSync(bytes.subarray(0, half)),
    zlib.gzipSync(bytes.subarray(half)),
    Buffer.alloc(9),
  ]);
  t.same(readAll(file('one.pcap.gz', zlib.gzipSync(bytes))).packets, whole, 'gzip');
  t.same(
    readAll(file('two.pcap.gz', members)),
    { ...readAll(plain), regionBytesMax: 65_536 },
    'two members and padding',
  );
  const trailing = readAll(file('junk.pcap.gz', Buffer.concat([zlib.gzipSync(bytes), Buffer.from('junk')])));
  t.same(trailing.packets, whole);
  t.match(trailing.error?.message, /packet 3,001 at byte \d+: something that is not gzip follows/);

  const hasZstd = spawnSync('zstd', ['--version']).status === 0;
  await t.test('zstd', { skip: hasZstd ? false : 'needs the program zstd' }, async (t) => {
    const frame = (part: Uint8Array): Buffer => execFileSync('zstd', ['-q', '-c'], { input: part, maxBuffer: 1 << 26 });
    const skippable = Buffer.from('502a4d1803000000616263', 'hex');
    t.same(readAll(file('one.pcap.zst', frame(bytes))).packets, whole);
    const frames = Buffer.concat([skippable, frame(bytes.subarray(0, half)), skippable, frame(bytes.subarray(half))]);
    t.same(readAll(file('two.pcap.zst', frames)).packets, whole, 'frames and skippable frames');
    const cut = readAll(file('cut.pcap.zst', frame(bytes).subarray(0, -50)));
    t.match(cut.error?.message, /the zstd data ends early at compressed byte/);
  });

  await t.test('fifo', async (t) => {
    const fifo = path.join(directory, 'fifo');
    execFileSync('mkfifo', [fifo]);
    const writer = spawn('sh', ['-c', 'cat "$0" > "$1"', plain, fifo]);
    t.teardown(() => writer.kill());
    t.same(readAll(fifo).packets, whole);
  });

  await t.test('stdin', async (t) => {
    const script = `
      import { readAll } from ${JSON.stringify(new URL('./build.js', import.meta.url).href)};
      const { packets, error } = readAll('-');
      process.stdout.write(JSON.stringify({ packets, message: error && error.message }));`;
    const run = (input: Uint8Array): { packets: ReadPacket[]; message: string | null } => {
      const child = spawnSync(process.execPath, ['--input-type=module', '-e', script], { input, maxBuffer: 1 << 26 });
      assert.equal(child.status, 0, String(child.stderr));
      return JSON.parse(String(child.stdout));
    };
    t.same(run(bytes), { packets: whole, message: null });
    t.same(run(zlib.gzipSync(bytes)).packets, whole, 'compressed');
    t.match(run(bytes.subarray(0, bytes.length - 1)).message, /^stdin: packet 3,000 at byte/);
    t.match(run(new Uint8Array(0)).message, /^stdin is empty/);
  });
});

t.test('a corrupt gzip file delivers what could be decoded', async (t) => {
  const many = randomPackets(6, 2000, 900);
  const compressed = zlib.gzipSync(buildPcap(many));
  const crc = Buffer.from(compressed);
  crc[crc.length - 6]! ^= 1;
  const wrongSum = readAll(file('crc.gz', crc));
  t.equal(wrongSum.packets.length, 2000);
  t.match(wrongSum.error?.message, /crc.gz: packet 2,001 at byte \d+: gzip data is corrupt/);
  const early = readAll(file('early.gz', compressed.subarray(0, compressed.length / 2)));
  t.ok(early.packets.length > 500 && early.packets.length < 2000);
  t.same(early.packets, expected(many.slice(0, early.packets.length)));
  t.match(
    early.error?.message,
    /the gzip data ends early at compressed byte [\d,]+; \d?,?\d+ packets before it were delivered/,
  );
});

t.test('a wait for a stream can be given up', async (t) => {
  const fifo = path.join(directory, 'silent');
  execFileSync('mkfifo', [fifo]);
  t.throws(() => openCapture(fifo, { shouldStop: () => true }), { code: 'FILE', message: /stopped before/ });
  const at = file('head.pcap', buildPcap(packets).subarray(0, 1000));
  const writer = spawn('sh', ['-c', 'exec 3> "$1"; cat "$0" >&3; sleep 30', at, fifo]);
  t.teardown(() => writer.kill());
  const read = readAll(fifo, { shouldStop: () => true });
  t.equal(read.error, null, 'no fault, although a record is half there');
  t.ok(read.packets.length > 3);
});

const mountable = process.getuid?.() === 0 && spawnSync('unshare', ['-m', 'true']).status === 0;
t.test(
  'a missing library is named with its package',
  { skip: mountable ? false : 'needs root (mounts)' },
  async (t) => {
    const known = String(spawnSync('ldconfig', ['-p']).stdout);
    const inputs = { 'libz.so.1': ['1f8b0800', 'zlib1g'], 'libzstd.so.1': ['28b52ffd', 'libzstd1'] } as const;
    for (const [library, [magic, debianPackage]] of Object.entries(inputs)) {
      const at = known.match(new RegExp(`${library.replaceAll('.', '\\.')} .*=> (\\S+)`))?.[1];
      if (at === undefined) continue;
      const script = `
      import { openCapture } from ${JSON.stringify(new URL('../../src/pcap/index.js', import.meta.url).href)};
      try { openCapture(process.argv[1]); } catch (error) { console.log(error.code, error.message); }`;
      const input = file('library', Buffer.from(magic, 'hex'));
      // hidden from one child process only
      const hide = 'mount --bind /dev/null "$(readlink -f "$0")" && exec "$1" --input-type=module -e "$2" "$3"';
      const child = spawnSync('unshare', ['-m', 'sh', '-c', hide, at, process.execPath, script, input]);
      const kind = library === 'libz.so.1' ? 'gzip' : 'zstd';
      const remedy = `apt-get install ${debianPackage}`;
      const sentence = `UNSUPPORTED a ${kind} file needs ${library}, which is not installed: ${remedy}\n`;
      t.equal(String(child.stdout), sentence, String(child.stderr));
    }
  },
);

t.test('agrees with pcap-parser', async (t) => {
  const require = createRequire(import.meta.url);
  const { parse } = require('pcap-parser') as { parse(path: string): NodeJS.EventEmitter };
  const root = packageRoot();
  const conformance = path.join(root, '..', 'shared', 'conformance', 'tcpreplay');
  const candidates = [file('oracle.pcap', buildPcap(packets)), file('oracle2.pcap', buildPcap(packets, { big: true }))];
  for (const name of ['test.pcap', 'test_fragroute.pcap']) {
    if (fs.existsSync(path.join(conformance, name))) candidates.push(path.join(conformance, name));
    else t.comment(`${name}: not there, skipped`);
  }
  for (const candidate of candidates) {
    const seen: string[] = [];
    await new Promise<void>((resolve, reject) => {
      const parser = parse(candidate);
      parser.on('packet', (packet: { header: Record<string, number>; data: Buffer }) => {
        const { timestampSeconds, timestampMicroseconds, capturedLength, originalLength } = packet.header;
        seen.push(
          [timestampSeconds, timestampMicroseconds, capturedLength, originalLength, packet.data.toString('hex')].join(),
        );
      });
      parser.on('end', () => resolve());
      parser.on('error', reject);
    });
    const ours = readAll(candidate).packets.map((p) => [p.sec, p.nsec / 1000, p.caplen, p.len, p.hex].join());
    t.same(ours, seen, candidate);
  }
});

t.test('captureFrames gives copies and closes the file', async (t) => {
  const at = file('frames.pcap', buildPcap(packets));
  const all = [...captureFrames(at)];
  t.equal(all.length, packets.length);
  t.same(
    all.map((frame) => Buffer.from(frame.bytes).toString('hex')),
    packets.map((p) => Buffer.from(p.data).toString('hex')),
  );
  for (const frame of captureFrames(at)) {
    t.equal(frame.interface.linktype, 1);
    break;
  }
});
