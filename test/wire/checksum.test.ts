import assert from 'node:assert/strict';
import fc from 'fast-check';
import t from 'tap';
import {
  checksum,
  checksumAdd,
  checksumApply,
  checksumApplyUdp,
  checksumFinish,
  checksumFinishUdp,
  checksumJoin,
  checksumReplace16,
  checksumReplace16Odd,
  checksumReplace16Udp,
  checksumReplace32,
  checksumReplace32Odd,
  checksumReplace32Udp,
  pseudoHeaderSum,
  sumDelta32,
} from '../../src/wire/checksum.ts';
import { crc32c } from '../../src/wire/crc32c.ts';
import { seqAdd, seqAfter, seqBefore, seqDelta, seqInWindow, seqMax } from '../../src/wire/seq.ts';
import { exactView, hex, referenceChecksum, referenceCrc32c, referenceSum, u16, u32 } from './frames.ts';

const RUNS = { numRuns: 2000 };
const bytes = fc.array(fc.integer({ min: 0, max: 255 }), { maxLength: 200 });
const word = fc.oneof(fc.constantFrom(0, 0xffff), fc.integer({ min: 0, max: 0xffff }));
const long = fc.oneof(fc.constantFrom(0, 0xffffffff, 0xffff, 0xffff0000), fc.integer({ min: 0, max: 0xffffffff }));

t.test('full sums against arithmetic', async (t) => {
  fc.assert(
    fc.property(bytes, fc.integer({ min: 0, max: 0xffff }), (message, before) => {
      const sum = checksumAdd(exactView(message), 0, message.length);
      assert.equal(sum, referenceSum(message));
      assert.equal(checksum(exactView(message), 0, message.length), referenceChecksum(message));
      assert.equal(
        checksumAdd(exactView(message), 0, message.length, before),
        referenceSum([...u16(before), ...message]),
      );
    }),
    RUNS,
  );
  // RFC 1071 section 3
  t.equal(checksumAdd(exactView(hex('0001f203f4f5f6f7')), 0, 8), 0xddf2);
  for (const fill of [0xff, 0x00, 0x80]) {
    for (const length of [262_144, 262_143, 65_535]) {
      const message = new Array<number>(length).fill(fill);
      t.equal(checksumAdd(exactView(message), 0, length), referenceSum(message), `${length} bytes of ${fill}`);
    }
  }
});

t.test('any offset and end within a message', async (t) => {
  const message = Array.from({ length: 96 }, (_, i) => (i * 37 + 11) & 0xff);
  const view = exactView(message);
  for (let at = 0; at <= 96; at++) {
    for (let end = at; end <= 96; end++) assert.equal(checksumAdd(view, at, end), referenceSum(message.slice(at, end)));
  }
  t.pass('4,753 pieces');
});

t.test('pieces join to the whole, odd ones too', async (t) => {
  fc.assert(
    fc.property(bytes, bytes, bytes, (a, b, c) => {
      const ab = checksumJoin(sumOf(a), a.length, sumOf(b));
      assert.equal(checksumJoin(ab, a.length + b.length, sumOf(c)), referenceSum([...a, ...b, ...c]));
    }),
    RUNS,
  );
  t.pass('2,000 messages in three pieces');
});

function sumOf(message: number[]): number {
  return checksumAdd(exactView(message), 0, message.length);
}

/** A message with `value` at an offset, its right checksum in front. */
function summed(head: number[], value: number[], tail: number[]): number {
  return referenceChecksum([...head, ...value, ...tail]);
}

t.test('incremental updates are what a full computation says', async (t) => {
  // One nonzero byte: a message of zeros alone has no canonical sum. In front, so that offsets keep their parity.
  const even = bytes.map((head) => [1, 2, ...(head.length % 2 === 0 ? head : head.slice(1))]);
  fc.assert(
    fc.property(even, bytes, word, word, (head, tail, before, after) => {
      const field = summed(head, u16(before), tail);
      assert.equal(checksumReplace16(field, before, after), summed(head, u16(after), tail));
      const odd = summed([...head, 7], u16(before), tail);
      assert.equal(checksumReplace16Odd(odd, before, after), summed([...head, 7], u16(after), tail));
    }),
    RUNS,
  );
  fc.assert(
    fc.property(even, bytes, long, long, (head, tail, before, after) => {
      const field = summed(head, u32(before), tail);
      const expected = summed(head, u32(after), tail);
      assert.equal(checksumReplace32(field, before, after), expected);
      assert.equal(checksumApply(field, sumDelta32(0, before, after)), expected);
      const odd = summed([...head, 7], u32(before), tail);
      assert.equal(checksumReplace32Odd(odd, before, after), summed([...head, 7], u32(after), tail));
    }),
    RUNS,
  );
  // RFC 1624 section 4: the case in which equation 2 goes wrong.
  t.equal(checksumReplace16(0xdd2f, 0x5555, 0x3285), 0x0000);
});

t.test('UDP: zero means none, and is never produced', async (t) => {
  fc.assert(
    fc.property(word, long, long, (field, before, after) => {
      const to16 = checksumReplace16Udp(field, before & 0xffff, after & 0xffff);
      const to32 = checksumReplace32Udp(field, before, after);
      const applied = checksumApplyUdp(field, sumDelta32(0, before, after));
      if (field === 0) assert.deepEqual([to16, to32, applied], [0, 0, 0]);
      else {
        assert.ok(to16 !== 0 && to32 !== 0 && applied !== 0);
        assert.equal(to16 % 0xffff, checksumReplace16(field, before & 0xffff, after & 0xffff) % 0xffff);
        assert.equal(to32 % 0xffff, checksumReplace32(field, before, after) % 0xffff);
        assert.equal(applied, to32);
      }
    }),
    RUNS,
  );
  t.equal(checksumReplace16Udp(0xdd2f, 0x5555, 0x3285), 0xffff);
  t.equal(checksumFinishUdp(0xffff), 0xffff);
  t.equal(checksumFinish(0xffff), 0);
});

t.test('pseudo-headers', async (t) => {
  const addresses = fc.array(fc.integer({ min: 0, max: 255 }), { minLength: 32, maxLength: 32 });
  fc.assert(
    fc.property(
      addresses,
      fc.integer({ min: 0, max: 255 }),
      fc.integer({ min: 0, max: 0x3ffff }),
      (a, protocol, length) => {
        const view = exactView(a);
        const six = referenceSum([...a, ...u32(length), 0, 0, 0, protocol]);
        assert.equal(pseudoHeaderSum(view, 0, 16, 16, protocol, length), six);
        const four = referenceSum([...a.slice(0, 4), ...a.slice(4, 8), 0, protocol, ...u16(length & 0xffff)]);
        assert.equal(pseudoHeaderSum(view, 0, 4, 4, protocol, length & 0xffff), four);
      },
    ),
    RUNS,
  );
  t.pass('v4 and v6');
});

t.test('CRC32c', async (t) => {
  t.equal(crc32c(exactView([...Buffer.from('123456789')]), 0, 9), 0xe3069283);
  // RFC 3720 appendix B.4
  t.equal(crc32c(exactView(new Array<number>(32).fill(0)), 0, 32), 0x8a9136aa);
  t.equal(crc32c(exactView(new Array<number>(32).fill(0xff)), 0, 32), 0x62a8ab43);
  fc.assert(
    fc.property(bytes, bytes, (a, b) => {
      const view = exactView([...a, ...b]);
      const first = crc32c(view, 0, a.length);
      assert.equal(crc32c(view, a.length, a.length + b.length, first), referenceCrc32c([...a, ...b]));
    }),
    { numRuns: 500 },
  );
});

t.test('sequence numbers', async (t) => {
  fc.assert(
    fc.property(long, fc.integer({ min: -0x7fffffff, max: 0x7fffffff }), (a, delta) => {
      const b = seqAdd(a, delta);
      assert.ok(b >= 0 && b < 2 ** 32 && Number.isInteger(b));
      assert.equal(b, (((a + delta) % 2 ** 32) + 2 ** 32) % 2 ** 32);
      assert.equal(seqDelta(a, b), delta);
      assert.equal(seqBefore(a, b), delta > 0);
      assert.equal(seqAfter(a, b), delta < 0);
      assert.equal(seqMax(a, b), delta > 0 ? b : a);
    }),
    RUNS,
  );
  t.ok(seqInWindow(5, 0xfffffff0, 0x20));
  t.notOk(seqInWindow(0x10, 0xfffffff0, 0x20), 'the window is half open');
  t.notOk(seqInWindow(0xffffffef, 0xfffffff0, 0x20));
});
