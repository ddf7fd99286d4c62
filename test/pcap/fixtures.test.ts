/** The captures of real programs, read by us, by tcpdump and by pcap-parser. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import zlib from 'node:zlib';
import t from 'tap';
import { packageRoot } from '../structure/repository.ts';
import { type ReadPacket, readAll, scratchDirectory } from './build.ts';

const directory = scratchDirectory((action) => t.teardown(action));
const fixtures = path.join(packageRoot(), 'fixtures', 'pcaps');
const captures = fs.existsSync(fixtures)
  ? (fs.readdirSync(fixtures, { recursive: true }) as string[]).filter((name) =>
      /\.(pcap|pcapng|cap)(\.gz)?$/.test(name),
    )
  : [];
const missing = captures.length > 0 ? false : 'needs fixtures/pcaps';

function plainBytes(name: string): Buffer {
  const bytes = fs.readFileSync(path.join(fixtures, name));
  return name.endsWith('.gz') ? zlib.gunzipSync(bytes) : bytes;
}

/** What two readers must agree on: interfaces are numbered by us alone. */
const comparable = (list: readonly ReadPacket[]): string[] =>
  list.map(({ sec, nsec, caplen, len, hex }) => [sec, nsec, caplen, len, hex].join());

t.test('every fixture is read to its end', { skip: missing }, async (t) => {
  for (const name of captures) {
    const { packets, error } = readAll(path.join(fixtures, name));
    assert.equal(error, null, name);
    assert.ok(packets.length > 0, name);
  }
  t.pass(`${captures.length} captures`);
});

const hasTcpdump = spawnSync('tcpdump', ['--version']).status === 0;
t.test('as tcpdump reads it', { skip: missing || (hasTcpdump ? false : 'needs the program tcpdump') }, async (t) => {
  let compared = 0;
  for (const name of captures) {
    const args = ['-r', '-', '-w', '-', '--time-stamp-precision=nano'];
    const { stdout, status, stderr } = spawnSync('tcpdump', args, { input: plainBytes(name), maxBuffer: 1 << 28 });
    if (status !== 0) {
      // libpcap cannot read several link types or snaplens in one file; anything else is a disagreement
      assert.match(
        String(stderr),
        /an interface has a (type|snapshot length) \d+ different from/,
        `${name}: ${stderr}`,
      );
      t.comment(`${name}: tcpdump cannot read it`);
      continue;
    }
    const theirs = path.join(directory, 'theirs');
    fs.writeFileSync(theirs, stdout);
    assert.deepEqual(comparable(readAll(path.join(fixtures, name)).packets), comparable(readAll(theirs).packets), name);
    compared++;
  }
  t.ok(compared > 0, `${compared} captures agree`);
});

t.test('as pcap-parser reads it', { skip: missing }, async (t) => {
  const require = createRequire(import.meta.url);
  const { parse } = require('pcap-parser') as { parse(path: string): NodeJS.EventEmitter };
  let compared = 0;
  for (const name of captures) {
    const bytes = plainBytes(name);
    const magic = bytes.readUInt32LE(0);
    // microsecond pcap of both byte orders is all it knows
    if (magic !== 0xa1b2c3d4 && magic !== 0xd4c3b2a1) continue;
    const plain = path.join(directory, 'plain');
    fs.writeFileSync(plain, bytes);
    const seen: string[] = [];
    await new Promise<void>((resolve, reject) => {
      const parser = parse(plain);
      parser.on('packet', ({ header, data }: { header: Record<string, number>; data: Buffer }) => {
        const { timestampSeconds, timestampMicroseconds, capturedLength, originalLength } = header;
        seen.push(
          [
            timestampSeconds,
            timestampMicroseconds! * 1000,
            capturedLength,
            originalLength,
            data.toString('hex'),
          ].join(),
        );
      });
      parser.on('end', () => resolve());
      parser.on('error', reject);
    });
    assert.deepEqual(comparable(readAll(path.join(fixtures, name)).packets), seen, name);
    compared++;
  }
  t.ok(compared > 0, `${compared} captures agree`);
});
