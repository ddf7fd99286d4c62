import assert from 'node:assert/strict';
import fc from 'fast-check';
import t from 'tap';
import { Schedule } from '../../src/replay/schedule.ts';
import type { ProfileStep, RateSpec } from '../../src/replay/spec.ts';

const S = 1_000_000_000;
const rate = {
  times: (factor: number): RateSpec => ({ kind: 'multiplier', factor }),
  pps: (pps: number, burst = 1): RateSpec => ({ kind: 'pps', pps, burst }),
  mbps: (mbps: number): RateSpec => ({ kind: 'mbps', mbps }),
  profile: (steps: ProfileStep[], repeat = false): RateSpec => ({ kind: 'profile', steps, repeat }),
};
const step = (unit: ProfileStep['unit'], from: number, to: number, durationNs: number): ProfileStep => ({
  unit,
  from,
  to,
  durationNs,
});

t.test('multiplier: due times are capture times divided by the factor', async (t) => {
  const schedule = new Schedule(rate.times(5), 0);
  t.equal(schedule.next(1_700_000_000, 999_999_999, 60), 0, 'the first packet is due at once');
  t.equal(schedule.next(1_700_000_001, 999_999_999, 60), S / 5);
  t.equal(schedule.next(1_700_000_002, 4, 60), (S + 5) / 5, 'nanoseconds carry over the second');
});

t.test('equal and backward stamps are due at once, and delay nothing behind them', async (t) => {
  const schedule = new Schedule(rate.times(1), 0);
  schedule.next(10, 0, 60);
  for (let k = 0; k < 8; k++) t.equal(schedule.next(10, 500_000_000, 60), S / 2, 'eight packets at 0.5 s');
  t.equal(schedule.next(9, 0, 60), S / 2, 'a stamp before the first');
  t.equal(schedule.next(10, 600_000_000, 60), 0.6 * S, 'back on schedule');
});

t.test('maxsleep caps a gap once and shifts what follows', async (t) => {
  const schedule = new Schedule(rate.times(1), 100_000_000);
  schedule.next(0, 0, 60);
  t.equal(schedule.next(5, 0, 60), 0.1 * S, 'a 5 s gap becomes 100 ms');
  for (let k = 1; k <= 20; k++) assert.equal(schedule.next(5, k * 1_000_000, 60), 0.1 * S + k * 1_000_000);
  t.ok(true, 'then 20 packets 1 ms apart keep their gaps');
});

t.test('no drift over 10,000 loops of a file, and loop delays add up exactly', async (t) => {
  const schedule = new Schedule(rate.times(1), 0);
  for (let loop = 0; loop < 10_000; loop++) {
    if (loop > 0) schedule.delayNs(7);
    schedule.startFile();
    for (let k = 0; k < 4; k++) schedule.next(1_700_000_000, k * 333_333_333, 60);
  }
  t.equal(schedule.dueNs, 10_000 * 999_999_999 + 9_999 * 7);
});

t.test('exact to the nanosecond for 30 simulated days', async (t) => {
  const days = 30 * 86_400;
  const stamps = new Schedule(rate.times(1), 0);
  stamps.next(1_700_000_000, 1, 60);
  for (let s = 1; s <= days; s += 61) {
    assert.equal(stamps.next(1_700_000_000 + s, (s * 7919) % S, 60), s * S + ((s * 7919) % S) - 1);
  }
  t.equal(stamps.next(1_700_000_000 + days, 2, 60), days * S + 1, 'multiplier');

  const packets = new Schedule(rate.pps(1000), 0);
  let due = 0;
  for (let n = 0; n < 3_000_000; n++) due = packets.next(0, 0, 60);
  t.equal(due, 2_999_999 * 1_000_000, 'pps counts, it does not add up gaps');

  // 30 days at 10 Gbit/s are 3.24e15 bytes: jump there in large "packets".
  const bytes = new Schedule(rate.mbps(10_000), 0);
  const chunk = 2 ** 40;
  let sent = 0;
  while (sent * 0.8 < days * S) {
    assert.ok(Math.abs(bytes.next(0, 0, chunk) - sent * 0.8) <= 1);
    sent += chunk;
  }
  t.ok(true, 'mbps is within 1 ns after 30 days');
});

t.test('pps bursts and mbps', async (t) => {
  const burst = new Schedule(rate.pps(1000, 4), 0);
  const dues = Array.from({ length: 9 }, () => burst.next(0, 0, 60));
  t.same(dues, [0, 0, 0, 0, 4e6, 4e6, 4e6, 4e6, 8e6]);
  const bits = new Schedule(rate.mbps(8), 0);
  t.equal(bits.next(0, 0, 1000), 0);
  t.equal(bits.next(0, 0, 500), 1_000_000, '1000 bytes at 8 Mbit/s take 1 ms');
  t.equal(bits.next(0, 0, 500), 1_500_000);
});

t.test('profile: steps, ramps, units and repetition', async (t) => {
  const steps = new Schedule(rate.profile([step('pps', 10, 10, S), step('pps', 100, 100, Infinity)]), 0);
  const dues = Array.from({ length: 21 }, () => steps.next(0, 0, 60));
  t.equal(dues[10], S, 'ten packets in the first second');
  t.equal(dues[20], 1.1 * S, 'then ten in a tenth');

  const ramp = new Schedule(rate.profile([step('pps', 0, 100, 2 * S), step('pps', 100, 100, Infinity)]), 0);
  let at = 0;
  for (let n = 0; n <= 100; n++) at = ramp.next(0, 0, 60);
  t.ok(Math.abs(at - 2 * S) <= 1, 'a ramp from 0 to 100 pps over 2 s sends 100 packets');
  t.ok(Math.abs(ramp.next(0, 0, 60) - 2.01 * S) <= 1);

  const ended = new Schedule(rate.profile([step('pps', 1, 1, S)]), 0);
  t.same([ended.next(0, 0, 1), ended.next(0, 0, 1), ended.next(0, 0, 1)], [0, S, Infinity], 'the profile ends');

  const again = new Schedule(rate.profile([step('pps', 2, 2, S), step('pps', 0, 0, S)], true), 0);
  t.same(
    Array.from({ length: 6 }, () => again.next(0, 0, 60)),
    [0, S / 2, S, 2.5 * S, 3 * S, 4.5 * S],
    'rests are waited out, then it starts again',
  );

  const mixed = new Schedule(rate.profile([step('multiplier', 2, 2, S), step('multiplier', 1, 1, Infinity)]), 0);
  t.equal(mixed.next(50, 0, 60), 0);
  t.equal(mixed.next(52, 0, 60), S, '2 s of capture in 1 s');
  t.equal(mixed.next(53, 0, 60), 2 * S);
});

t.test('property: due times never fall, whatever the stamps', async (t) => {
  const rates = fc.oneof(
    fc.double({ min: 0.01, max: 1e4, noNaN: true }).map(rate.times),
    fc
      .tuple(fc.double({ min: 0.1, max: 1e7, noNaN: true }), fc.integer({ min: 1, max: 9 }))
      .map(([p, b]) => rate.pps(p, b)),
    fc.double({ min: 0.001, max: 1e5, noNaN: true }).map(rate.mbps),
  );
  const stamp = fc.tuple(fc.integer({ min: 0, max: 0xffff_ffff }), fc.integer({ min: 0, max: S - 1 }));
  fc.assert(
    fc.property(rates, fc.array(stamp, { maxLength: 50 }), fc.integer({ min: 0, max: S }), (spec, stamps, cap) => {
      const schedule = new Schedule(spec, cap);
      let before = 0;
      for (const [sec, nsec] of stamps) {
        const due = schedule.next(sec, nsec, 60);
        assert.ok(due >= before && (cap === 0 || due - before <= cap + 1));
        before = due;
      }
    }),
  );
  t.pass();
});
