/** The pieces that the tunnel is made of: records, the map of sessions, key files, early replies, the ring's filter. */
import assert from 'node:assert/strict';
import { chmodSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { Rng } from '../../src/base/rng.ts';
import { EARLY_MS_MAX, EARLY_SLOTS, EarlyReplies } from '../../src/copy/intercept/early.ts';
import { addressWords } from '../../src/copy/intercept/services.ts';
import { Header, TargetHeader } from '../../src/copy/target_header.ts';
import { readKeyFile, writeNewKey } from '../../src/copy/tunnel/key.ts';
import { decodeReply, keyOfHeader, REPLY_BYTES_MAX, replyKey, writeReply } from '../../src/copy/tunnel/reply.ts';
import { KEY_WORDS } from '../../src/copy/tunnel/session_key.ts';
import { SessionMap } from '../../src/copy/tunnel/session_map.ts';
import { sessionKey } from './session_key.ts';

const recordsView = new DataView(new ArrayBuffer(512));

t.test('records come back as they were written', (t) => {
  const rng = new Rng(7);
  const [into, out] = [new TargetHeader(), new TargetHeader()];
  const view = new DataView(new ArrayBuffer(256));
  for (let run = 0; run < 2000; run++) {
    const cells = into.cells;
    for (let i = 0; i < cells.length; i++) cells[i] = rng.nextUint32();
    const isIpv6 = rng.below(2);
    cells[Header.IsIpv6] = isIpv6;
    for (let word = isIpv6 === 1 ? 4 : 1; word < 4; word++) {
      cells[Header.Client0 + word] = 0;
      cells[Header.Target0 + word] = 0;
    }
    for (const field of [Header.ClientPort, Header.TargetPort, Header.Window, Header.Mss]) cells[field]! &= 0xffff;
    cells[Header.Flags]! &= 0xff;
    cells[Header.PayloadBytes]! &= 0x7fffffff;
    cells[Header.Shift] = rng.below(16) - 1;
    cells[Header.SackPermitted] = rng.below(2);
    cells[Header.HasTimestamps] = rng.below(2);
    cells[Header.SackBlocks] = rng.below(5);
    for (let i = 2 * cells[Header.SackBlocks]!; i < 8; i++) cells[Header.Sack0 + i] = 0;
    cells[Header.Status]! &= 0xffff;
    const withHead = rng.below(2) === 1;
    if (!withHead || cells[Header.PayloadBytes] === 0) cells[Header.Status] = cells[Header.AgeUs] = 0;
    const bytes = writeReply(into, view, 3, withHead);
    assert.ok(bytes <= REPLY_BYTES_MAX);
    for (let end = 3; end < 3 + bytes; end++) assert.equal(decodeReply(view, 3, end, out), 0, 'cut off');
    assert.equal(decodeReply(view, 3, 3 + bytes, out), bytes);
    assert.deepEqual(out.cells, into.cells, `run ${run}`);
  }
  t.pass('2,000 records');
  t.end();
});

t.test('a session map holds what a Map holds', (t) => {
  const rng = new Rng(11);
  const map = new SessionMap(5_000);
  const model = new Map<number, number>();
  const key = new Int32Array(KEY_WORDS);
  for (let step = 0; step < 60_000; step++) {
    const port = rng.below(4_000);
    key.set(sessionKey(port));
    const [action, value] = [rng.below(3), 1 + rng.below(3)];
    if (action < 2) assert.equal(map.set(key, value), model.get(port) ?? 0);
    else assert.equal(map.delete(key), model.get(port) ?? 0);
    if (action < 2) model.set(port, value);
    else model.delete(port);
    if (step % 20_000 === 19_999) {
      const twos = [...model].filter(([, held]) => held === 2);
      assert.equal(map.deleteValue(2), twos.length);
      for (const [gone] of twos) model.delete(gone);
    }
    assert.equal(map.count, model.size);
  }
  for (let port = 0; port < 4_000; port++) assert.equal(map.get(sessionKey(port)), model.get(port) ?? 0);
  const small = new SessionMap(768);
  let held = 0;
  while (small.set(sessionKey(held), 1) === 0) held++;
  t.equal(held, 768, 'full is an answer');
  t.equal(small.get(sessionKey(held)), 0);
  t.end();
});

t.test('key files', (t) => {
  const dir = t.testdir();
  const path = join(dir, 'deep', 'key');
  writeNewKey(path);
  t.equal(statSync(path).mode & 0o777, 0o600);
  t.equal(readKeyFile(path).length, 44);
  t.throws(() => writeNewKey(path), { code: 'FILE', message: /exists and is left alone/ });
  chmodSync(path, 0o640);
  t.throws(() => readKeyFile(path), {
    code: 'PERMISSION',
    message: `others may read the key file ${path}: chmod 600 ${path}`,
  });
  const other = join(dir, 'short');
  writeFileSync(other, 'fifteen bytes..\n\n', { mode: 0o600 });
  t.throws(() => readKeyFile(other), { code: 'FILE', message: /has 15 bytes, fewer than 16/ });
  writeFileSync(other, 'sixteen bytes...\r\n');
  t.equal(readKeyFile(other).toString(), 'sixteen bytes...', 'line ends are no part of it');
  t.throws(() => readKeyFile(join(dir, 'none')), { code: 'FILE', message: /there is no key file .*--new-key/ });
  t.end();
});

t.test('a record names its session', (t) => {
  const header = new TargetHeader();
  header.cells.set([0x0a630005, 0, 0, 0, 41234, 0x0a4d0002, 0, 0, 0, 80, 0]);
  writeReply(header, recordsView, 0);
  const key = new Int32Array(KEY_WORDS);
  replyKey(recordsView, 0, key);
  t.same(key, sessionKey(41234));
  t.end();
});

t.test('early replies: in order, bounded, for a while', (t) => {
  const early = new EarlyReplies();
  const bytes = new Uint8Array(REPLY_BYTES_MAX);
  const keep = (port: number, mark: number, nowMs: number): void => {
    bytes[0] = mark;
    early.keep(sessionKey(port), bytes, 0, 36, nowMs);
  };
  const release = (port: number): number[] => {
    const marks: number[] = [];
    early.release(sessionKey(port), (from, at, length) => {
      assert.equal(length, 36);
      marks.push(from[at]!);
    });
    return marks;
  };
  for (let mark = 1; mark <= 9; mark++) keep(mark % 3, mark, mark);
  t.same(release(1), [1, 4, 7]);
  t.same(release(1), [], 'once');
  t.equal(early.count, 6);
  early.expire(EARLY_MS_MAX + 5);
  t.equal(early.expired, 3, 'those of 2, 3 and 5 ms; 1 and 4 were taken');
  t.same([release(0), release(2)], [[6, 9], [8]]);
  early.expire(9e9);
  t.same([early.count, early.expired], [0, 3]);
  for (let i = 0; i < EARLY_SLOTS + 100; i++) keep(i, i & 255, 1);
  t.same([early.count, early.expired], [EARLY_SLOTS, 103], 'the oldest make room');
  t.same([release(99), release(100)], [[], [100]]);
  const rng = new Rng(5);
  const model = new Map<number, number[]>();
  const other = new EarlyReplies();
  for (let step = 0; step < EARLY_SLOTS; step++) {
    const port = rng.below(500);
    if (rng.below(3) > 0) {
      bytes[0] = step & 255;
      other.keep(sessionKey(port), bytes, 0, 36, 1);
      model.set(port, [...(model.get(port) ?? []), step & 255]);
    } else {
      const marks: number[] = [];
      other.release(sessionKey(port), (from, at) => marks.push(from[at]!));
      assert.deepEqual(marks, model.get(port) ?? []);
      model.delete(port);
    }
  }
  t.equal(other.expired, 0);
  t.end();
});

t.test('addresses as words', (t) => {
  t.same(addressWords('10.77.0.2'), [0x0a4d0002, 0, 0, 0]);
  t.same(addressWords('fd77:1::2'), [0xfd770001 | 0, 0, 0, 2]);
  t.same(addressWords('::1'), [0, 0, 0, 1]);
  t.same(addressWords('2001:db8:1:2:3:4:5:6'), [0x20010db8, 0x00010002, 0x00030004, 0x00050006]);
  t.same(addressWords('::ffff:10.0.0.9'), [0, 0, 0xffff, 0x0a000009]);
  const header = new TargetHeader();
  header.cells[Header.IsIpv6] = 1;
  header.cells.set(addressWords('fd77:1::2'), Header.Client0);
  const key = new Int32Array(KEY_WORDS);
  keyOfHeader(header, key);
  t.same([...key], [0xfd770001 | 0, 0, 0, 2, 0, 0, 0, 0, 0]);
  t.end();
});
