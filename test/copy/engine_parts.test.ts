import assert from 'node:assert/strict';
import fc from 'fast-check';
import t from 'tap';
import { OperatorError } from '../../src/base/errors.ts';
import { clientHash, isAdmitted } from '../../src/copy/admission.ts';
import { identityMap } from '../../src/copy/agent/identity.ts';
import { COUNTS, Count, countsByName } from '../../src/copy/counts.ts';
import { ENGINE_DEFAULTS, engineOptions } from '../../src/copy/options.ts';
import { SEGMENT_BYTES, Seg, SegmentPool, SMALL_SEGMENT_BYTES } from '../../src/copy/segment_pool.ts';
import { CELLS, Cell } from '../../src/copy/session_cells.ts';
import { SessionTable } from '../../src/copy/session_table.ts';
import { mayMove, moveSession, State } from '../../src/copy/states.ts';
import { Targets } from '../../src/copy/targets.ts';
import { TICK_NS, TimerWheel } from '../../src/copy/timer_wheel.ts';

t.test('timer wheel: every timer fires once, never early, at most a tick late', (t) => {
  const step = fc.oneof(
    fc.record({ set: fc.nat(15), after: fc.oneof(fc.nat(1e9), fc.nat(1e12), fc.nat(3e13)) }),
    fc.record({ cancel: fc.nat(15) }),
    fc.record({ advance: fc.oneof(fc.nat(1e6), fc.nat(1e9), fc.nat(2e12)) }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const wheel = new TimerWheel(16);
      const due = new Map<number, number>();
      let now = 0;
      for (const each of steps) {
        if ('set' in each) {
          wheel.set(each.set, now + each.after);
          // The wheel's horizon: farther timers fire there.
          due.set(each.set, Math.min(now + each.after, now + (2 ** 24 - 1) * TICK_NS));
        } else if ('cancel' in each) {
          wheel.cancel(each.cancel);
          due.delete(each.cancel);
        } else {
          const next = wheel.nextNs();
          for (const at of due.values()) assert.ok(next <= at + TICK_NS, 'nothing is due before nextNs');
          now += each.advance;
          const fired = wheel.advance(now);
          for (let i = 0; i < fired; i++) {
            const id = wheel.expired[i]!;
            assert.ok(due.has(id), 'a timer that is set');
            assert.ok(due.get(id)! <= now + TICK_NS, 'is not early');
            due.delete(id);
          }
          for (const at of due.values()) assert.ok(at > now - 2 * TICK_NS, 'none is left that is due');
        }
        assert.equal(wheel.count, due.size);
      }
    }),
    { numRuns: 400 },
  );
  const wheel = new TimerWheel(4);
  wheel.set(1, 10 * TICK_NS);
  t.equal(wheel.advance(10 * TICK_NS - 1), 0, 'below the due time');
  t.equal(wheel.advance(10 * TICK_NS), 1, 'at the due time');
  t.equal(wheel.nextNs(), Number.POSITIVE_INFINITY, 'empty');
  t.equal(wheel.advance(5), 0, 'a clock that goes back fires nothing');
  t.end();
});

t.test('session table: finds what was taken, in order of incarnation, and nothing else', (t) => {
  const step = fc.record({ key: fc.nat(20), take: fc.boolean() });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
      const table = new SessionTable(16);
      const model = new Map<number, number[]>();
      const seek = (key: number): number => {
        // Keys that share words, so that only the whole key tells them apart.
        table.key.set([key & 1, 0, (key >> 1) & 1, 0, ((key >> 2) << 16) | 3]);
        return table.lookup();
      };
      let count = 0;
      for (const { key, take } of steps) {
        const chain = model.get(key) ?? [];
        assert.equal(seek(key), chain[0] ?? -1);
        if (take) {
          const id = table.take();
          assert.equal(id < 0, count === 16, 'full is an answer');
          if (id < 0) continue;
          model.set(key, [...chain, id]);
          count++;
        } else if (chain.length > 0) {
          const victim = chain[key % chain.length]!;
          const successor = table.give(victim);
          const rest = chain.filter((id) => id !== victim);
          assert.equal(successor, victim === chain[0] && rest.length > 0 ? rest[0] : -1);
          model.set(key, rest);
          count--;
        }
        assert.equal(table.count, count);
      }
      for (const [key, chain] of model) {
        const found: number[] = [];
        for (let id = seek(key); id >= 0; id = table.cells[id * CELLS + Cell.Newer]!) found.push(id);
        assert.deepEqual(found, chain);
      }
    }),
    { numRuns: 300 },
  );
  t.pass('model holds');
  t.end();
});

t.test('segment pool: bounded, and whole again when all is given back', (t) => {
  const pool = new SegmentPool(3);
  const taken = [pool.take(), pool.take(), pool.take()];
  t.equal(new Set(taken).size, 3);
  t.equal(pool.take(), -1, 'full is an answer');
  pool.set(taken[0]!, Seg.Length, 7);
  pool.give(taken[0]!);
  t.equal(pool.get(pool.take(), Seg.Length), 0, 'a segment is taken clean');
  for (const id of taken) pool.give(id);
  t.equal(pool.free, 3);
  const both = new SegmentPool(1, 1);
  const [small, large] = [both.take(10), both.take(10)];
  t.ok(both.bytesAt(small) !== both.bytesAt(large), 'a short request has a small segment, or a large one');
  t.same([both.free, both.used, both.take(0)], [0, 2, -1], 'both are in use');
  both.give(small);
  t.same([both.take(257), both.take(256)], [-1, small], 'what is longer does not fit a small one');
  t.end();
});

t.test('states: the moves that the header comment prohibits are prohibited', (t) => {
  const { Free, Held, SynSent, Open, TargetClosed, FinSent, LastAck, Idle, Linger } = State;
  const prohibited = [
    [Free, Open],
    [Free, FinSent],
    [Held, Open],
    [SynSent, FinSent],
    [SynSent, TargetClosed],
    [Open, SynSent],
    [FinSent, Open],
    [LastAck, Open],
    [LastAck, FinSent],
    [Linger, SynSent],
    [Linger, Idle],
    [Idle, Open],
    [Open, Held],
  ] as const;
  for (const [from, to] of prohibited) {
    t.notOk(mayMove(from, to), `${from} -> ${to}`);
    t.throws(() => moveSession(Int32Array.of(from), 0, to));
  }
  for (const state of Object.values(State)) {
    if (state !== Free) t.ok(mayMove(state, Free), `${state} can end`);
  }
  const cells = Int32Array.of(Free);
  for (const to of [
    SynSent,
    Open,
    TargetClosed,
    LastAck,
    Linger,
    Free,
    Idle,
    SynSent,
    Open,
    FinSent,
    LastAck,
    Free,
    Held,
    Free,
  ]) {
    moveSession(cells, 0, to);
  }
  t.equal(cells[0], Free);
  t.end();
});

t.test('options: bounds are said with both numbers', (t) => {
  t.same(engineOptions(), ENGINE_DEFAULTS);
  t.throws(() => engineOptions({ maxSessions: 0 }), new OperatorError('USAGE', 'maxSessions is 0: give 1 to 4194304'));
  t.throws(() => engineOptions({ percent: 101 }), OperatorError);
  t.throws(() => engineOptions({ replyDeadlineNs: Number.NaN }), OperatorError);
  t.throws(() => engineOptions({ rtoMinNs: 2e9, rtoMaxNs: 1e9 }), /rtoMinNs 2000000000 is above rtoMaxNs 1000000000/);
  t.equal(engineOptions({ mtu: 576 }).mtu, 576, 'at the bound');
  t.end();
});

t.test('admission: a stable share of clients, rising with the ramp', (t) => {
  let admitted = 0;
  for (let i = 0; i < 20_000; i++) {
    const hash = clientHash(0x0a000000 + i, 0, 0, 0);
    const early = isAdmitted(hash, 30, 100, 50);
    const late = isAdmitted(hash, 30, 100, 100);
    assert.ok(!early || late, 'nobody is taken away');
    if (late) admitted++;
    assert.ok(isAdmitted(hash, 100, 0, 0));
    assert.ok(!isAdmitted(hash, 0, 0, 0));
  }
  t.ok(Math.abs(admitted / 20_000 - 0.3) < 0.02, `${admitted} of 20,000 for 30 %`);
  t.end();
});

t.test('targets: services, mirrors, path MTU', (t) => {
  const list = [
    { address: [0x0a000009] as const, port: 80, mtu: 1500 },
    { address: [0x0a00000a] as const, port: 80, mtu: 1500 },
    { address: [1, 2, 3, 4] as const, port: 80, mtu: 1500 },
  ];
  const targets = new Targets(list, [
    { address: [0x0a000001], port: 80, targets: [0, 1], mirror: true },
    { address: null, port: 80, targets: [1], mirror: false },
    { address: null, port: 80, targets: [2], mirror: false },
  ]);
  const view = new DataView(new ArrayBuffer(16));
  view.setUint32(0, 0x0a000001);
  t.equal(targets.serviceOf(view, 0, false, 80), 0, 'by address');
  t.equal(targets.serviceOf(view, 0, true, 80), 2, 'by family');
  t.equal(targets.serviceOf(view, 0, false, 81), -1);
  view.setUint32(0, 0x0a000002);
  t.equal(targets.serviceOf(view, 0, false, 80), 1, 'any address');
  const reordered = new Targets(list, [
    { address: null, port: 80, targets: [1], mirror: false },
    { address: [0x0a000002], port: 80, targets: [0], mirror: false },
  ]);
  t.equal(reordered.serviceOf(view, 0, false, 80), 1, 'an address that is named goes first, whatever the order');
  t.same(
    [targets.fanOut(0), targets.targetOf(0, 0, 9), targets.targetOf(0, 1, 9)],
    [2, 0, 1],
    'a mirror is all of them',
  );
  t.equal(targets.find(Int32Array.of(0x0a00000a, 0, 0, 0), 0, 80, 0), 1);
  t.equal(targets.find(Int32Array.of(0x0a00000a, 0, 0, 0), 0, 81, 0), -1);
  targets.lowerMtu(0, 1500);
  t.equal(targets.mtu[0], 1492);
  targets.lowerMtu(0, 600);
  t.equal(targets.mtu[0], 576);
  targets.lowerMtu(0, 100);
  t.equal(targets.mtu[0], 576, 'not below the least');
  targets.lowerMtu(2, 1000);
  t.equal(targets.mtu[2], 1280, 'IPv6');
  const same = [{ address: [0x0a000009] as const, port: 80, targets: [0], mirror: false }];
  t.throws(() => new Targets(list, same), OperatorError, 'a target that is production is refused');
  t.end();
});

t.test('counters: one cell each, none without a name', (t) => {
  const cells = Object.values(Count);
  t.equal(new Set(cells).size, COUNTS);
  t.equal(Math.max(...cells), COUNTS - 1);
  t.equal(countsByName(Float64Array.from({ length: COUNTS }, (_, i) => i)).RequestsCut, Count.RequestsCut);
  t.end();
});

t.test('segment pool: what a backlog took and nobody holds is found, to be given back', (t) => {
  const page = 65_536;
  const pool = new SegmentPool(1000, 4000);
  const large = Array.from({ length: 600 }, () => pool.take());
  const small = Array.from({ length: 2000 }, () => pool.take(10));
  const idle = (): number[][] => {
    const found: number[][] = [];
    pool.forEachIdle(page, (from, to) => void found.push([from, to]));
    return found;
  };
  t.same(idle(), [], 'all is held');
  t.equal(pool.freeMin, 400);
  const kept = [large[300]!, small[1000]!];
  for (const id of [...large, ...small]) if (!kept.includes(id)) pool.give(id);
  for (const [from, to] of idle()) {
    assert.ok(from! % page === 0 && to! % page === 0 && to! > from!, 'whole pages');
    for (const id of kept) {
      const at = pool.bytesAt(id);
      assert.ok(at >= to! || at + SEGMENT_BYTES <= from!, 'none of what is held');
    }
  }
  const bytes = idle().reduce((sum, [from, to]) => sum + to! - from!, 0);
  t.ok(bytes > 0.7 * (600 * SEGMENT_BYTES + 2000 * SMALL_SEGMENT_BYTES), `${bytes} bytes`);
  t.end();
});

t.test(
  'identities of clones: another port each, on the worker that has the session, whatever the number of workers',
  (t) => {
    for (const workers of [1, 2, 3, 4, 5, 7, 16]) {
      const copies = 3;
      const map = identityMap({ copies, pool: null }, { workers, sessionsMax: 1000, idleNs: 1e9, nowNs: () => 0 });
      const key = new Int32Array(5);
      for (let port = 1; port < 65_536; port += 641) {
        const ports = Array.from({ length: copies }, (_, copy) => {
          key.set([0x0a000001, 0, 0, 0, port << 16]);
          assert.ok(map.map(key, copy));
          return key[4]! >>> 16;
        });
        assert.equal(ports[0], port, 'the first copy is the client');
        assert.equal(new Set(ports).size, copies, `ports ${ports}`);
        for (const each of ports) {
          // `filter.ts`: whose replies they are.
          assert.equal((each >> 1) % workers, (port >> 1) % workers, `${workers} workers: port ${port} -> ${each}`);
          assert.ok(each === port || each >= 1024);
        }
      }
    }
    t.pass('1 to 16 workers');
    t.end();
  },
);
