import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { PrepCacheBuilder, PrepVerdict, readPrepCache } from '../../src/pcap/index.ts';
import { packageRoot } from '../structure/repository.ts';
import { scratchDirectory } from './build.ts';

const directory = scratchDirectory((action) => t.teardown(action));
const at = path.join(directory, 'cache');

t.test('the layout, byte by byte', async (t) => {
  const builder = new PrepCacheBuilder();
  for (const verdict of [1, 2, 0, 1, 2] as const) builder.add(verdict);
  builder.write(at, 'abc');
  // 5 packets: primary, secondary, skipped, primary; secondary
  t.equal(
    fs.readFileSync(at).toString('hex'),
    `${Buffer.from('tcpprep\0').toString('hex')}30340000${'00'.repeat(7)}0500040003616263cb02`,
  );
});

t.test('what is written is read again', async (t) => {
  fc.assert(
    fc.property(fc.array(fc.constantFrom(0, 1, 2), { maxLength: 20_000 }), fc.string(), (verdicts, comment) => {
      const builder = new PrepCacheBuilder();
      for (const verdict of verdicts) builder.add(verdict as PrepVerdict);
      builder.write(at, comment);
      const cache = readPrepCache(at);
      assert.equal(cache.packets, verdicts.length);
      assert.equal(cache.comment, Buffer.from(comment).toString());
      verdicts.forEach((verdict, i) => {
        assert.equal(cache.verdictOf(i + 1), verdict);
        if (i === verdicts.length - 1) assert.equal(builder.build().verdictOf(i + 1), verdict);
      });
    }),
    { numRuns: 100 },
  );
  t.pass('100 caches');
});

t.test('bad files', async (t) => {
  const builder = new PrepCacheBuilder();
  for (let i = 0; i < 100; i++) builder.add(PrepVerdict.Primary);
  builder.write(at, 'note');
  const good = fs.readFileSync(at);
  const message = (bytes: Uint8Array): string => {
    fs.writeFileSync(at, bytes);
    try {
      readPrepCache(at);
    } catch (error) {
      assert.equal((error as { code: string }).code, 'FORMAT');
      return (error as Error).message;
    }
    return 'read';
  };
  for (let length = 0; length < good.length; length++) assert.notEqual(message(good.subarray(0, length)), 'read');
  t.match(message(good.subarray(0, 30)), /says 100 packets and so 53 bytes, but has 30: it is cut off/);
  t.match(message(Buffer.from('not a cache at all, but long enough')), /is not a tcpprep cache/);
  const version = Buffer.from(good);
  version[9] = 0x33;
  t.match(message(version), /version 03; version 04 can be read/);
  const perByte = Buffer.from(good);
  perByte[21] = 8;
  t.match(message(perByte), /8 packets per byte/);
  const huge = Buffer.from(good);
  huge.fill(255, 12, 20);
  t.match(message(huge), /cut off/, 'no allocation by what the file says');
  t.throws(() => readPrepCache(path.join(directory, 'absent')), { code: 'FILE', message: /cannot open/ });
  t.throws(() => builder.write(at, 'x'.repeat(70_000)), { code: 'USAGE' });
  t.throws(() => builder.write(path.join(directory, 'no', 'x')), { code: 'FILE', message: /cannot write/ });
});

const conformance = path.join(packageRoot(), '..', 'shared', 'conformance', 'tcpreplay');
t.test(
  'caches of the original',
  { skip: fs.existsSync(conformance) ? false : 'needs ../shared/conformance' },
  async (t) => {
    const names = ['auto_bridge', 'auto_client', 'auto_first', 'auto_router', 'auto_server', 'port', 'mac', 'comment'];
    for (const name of names) {
      const original = path.join(conformance, `test.${name}`);
      const cache = readPrepCache(original);
      t.equal(cache.packets, 179, name);
      const builder = new PrepCacheBuilder();
      for (let number = 1; number <= cache.packets; number++) builder.add(cache.verdictOf(number));
      builder.write(at, cache.comment);
      const ours = fs.readFileSync(at);
      const theirs = fs.readFileSync(original);
      // the send bit alone decides: what is not sent has no interface
      const differing = [...ours].filter((byte, i) => byte !== theirs[i]).length;
      t.ok(ours.length === theirs.length && differing === 0, `${name}: byte for byte`);
    }
  },
);
