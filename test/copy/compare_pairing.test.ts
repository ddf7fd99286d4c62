/** Which reply answers which request: packets of both sides in every order, lost, again, in pieces. */
import assert from 'node:assert/strict';
import t from 'tap';
import { plainRegion } from '../../src/base/region.ts';
import { Rng } from '../../src/base/rng.ts';
import { type CompareReport, Comparison } from '../../src/copy/compare/comparison.ts';
import { Mark } from '../../src/copy/compare/exchanges.ts';
import { httpStatus } from '../../src/copy/compare/http_status.ts';
import { Pairing, WAITING_MAX } from '../../src/copy/compare/pairing.ts';
import { ProductionSide } from '../../src/copy/compare/production.ts';
import { CompareRow, SAMPLES_OF_KIND } from '../../src/copy/compare/rows.ts';
import { CompareSeries, SLOTS_MAX } from '../../src/copy/compare/series.ts';
import { CompareTotals } from '../../src/copy/compare/totals.ts';
import { CopyEngine } from '../../src/copy/engine.ts';
import { CELLS } from '../../src/copy/session_cells.ts';
import { Targets } from '../../src/copy/targets.ts';
import { decode } from '../../src/wire/decode.ts';
import { Layers } from '../../src/wire/layers.ts';
import { Linktype } from '../../src/wire/linktype.ts';
import { ACK, encode } from './sim/segment.ts';

const MS = 1e6;
const TARGETS = [{ host: '10.0.0.9', port: 80 }];

/** One session; client bytes are counted from `isn`, the connection with the target from another number. */
class Desk {
  readonly comparison = new Comparison(1);
  readonly pairing: Pairing;
  readonly isn: number;
  readonly shift: number;
  #ms = 1;

  constructor(isn = 0xffff_fff0 | 0, exchangesMax = 256) {
    this.isn = isn;
    this.shift = 777_777;
    const row = new CompareRow(this.comparison.buffer, 0);
    this.pairing = new Pairing(row, new Int32Array(CELLS * 4), 4, exchangesMax);
    this.pairing.connected(0);
  }

  /** Client bytes [from, from + length); arrives and leaves now. */
  send(from: number, length: number, begins = true, ms: number = this.#ms++, marks = 0): void {
    const seq = (this.isn + 1 + from) | 0;
    this.pairing.requestSent(0, seq, length, begins, from === 0, marks, (seq + this.shift) | 0, ms * MS, ms * MS);
  }

  /** Production has got client bytes up to `got` and says `bytes` from `from` on. */
  production(from: number, bytes: number, got: number, status = 0, ms: number = this.#ms++): void {
    this.pairing.productionReply(0, (5000 + from) | 0, (this.isn + 1 + got) | 0, bytes, status, ms * MS);
  }

  target(bytes: number, got: number, status = 0, ms: number = this.#ms++, hasHole = false): void {
    this.pairing.targetReply(0, (this.isn + 1 + got + this.shift) | 0, bytes, hasHole, status, ms * MS);
  }

  report(endsAll = true): CompareReport {
    this.pairing.sessionEnded(0);
    if (endsAll) assert.equal(this.pairing.waiting, 0, 'nothing is left behind');
    return this.comparison.report(TARGETS);
  }
}

t.test('one after the other: status, length, times', (t) => {
  const desk = new Desk();
  desk.send(0, 100, true, 10);
  desk.production(0, 500, 100, 200, 12);
  desk.production(500, 1000, 100, 0, 15);
  desk.target(500, 100, 200, 30);
  desk.target(900, 100, 0, 60);
  desk.send(100, 50, true, 100);
  desk.production(1500, 10, 150, 404, 101);
  desk.target(10, 150, 500, 104);
  const report = desk.report();
  t.match(report, {
    compared: 2,
    same: 0,
    http: 2,
    statusEqual: 1,
    bytesEqual: 1,
    missingTarget: 0,
    missingProduction: 0,
    statuses: [
      { production: 200, target: 200, count: 1 },
      { production: 404, target: 500, count: 1 },
    ],
    differing: { status: 1, bytes: 1, missingTarget: 0, missingProduction: 0 },
    production: { bytes: 1510 },
    target: { bytes: 1410 },
  });
  t.match(report.exchanges, [
    {
      kind: 'status',
      request: 2,
      target: '10.0.0.9:80',
      production: { status: 404, bytes: 10, firstByteNs: MS, lastByteNs: MS },
      targetReply: { status: 500, bytes: 10, firstByteNs: 4 * MS, lastByteNs: 4 * MS },
    },
    {
      kind: 'bytes',
      request: 1,
      production: { status: 200, bytes: 1500, firstByteNs: 2 * MS, lastByteNs: 5 * MS },
      targetReply: { status: 200, bytes: 1400, firstByteNs: 20 * MS, lastByteNs: 50 * MS },
    },
  ]);
  t.end();
});

t.test('what comes late, again, or in another order', (t) => {
  let desk = new Desk();
  desk.production(0, 70, 100, 200);
  desk.production(70, 70, 200, 404);
  desk.send(0, 100);
  desk.send(100, 100);
  desk.target(70, 100, 200);
  desk.target(70, 200, 404);
  t.match(desk.report(), { compared: 2, same: 2 }, 'production is ahead of the copies');

  desk = new Desk();
  desk.pairing.productionOpened(0, 4999);
  desk.send(0, 100);
  desk.production(100, 50, 100);
  desk.production(0, 100, 100, 200);
  desk.production(100, 50, 100);
  desk.target(150, 100, 200);
  t.match(desk.report(), { compared: 1, same: 1 }, 'reordered and retransmitted: each byte once');

  desk = new Desk();
  for (let i = 0; i < 4; i++) {
    desk.send(i * 10, 10);
    desk.production(i * 100, 100, i * 10 + 10, 200 + i);
    if (i !== 1) desk.target(100, i * 10 + 10, 200 + i, undefined, i === 2);
  }
  t.match(desk.report(), { compared: 3, statusEqual: 3, missingTarget: 1 }, 'a lost reply moves no other');

  desk = new Desk();
  for (let i = 0; i < 4; i++) {
    desk.send(i * 10, 10);
    if (i !== 2) desk.production(i * 100, 100, i * 10 + 10);
    desk.target(100, i * 10 + 10);
  }
  const lost = desk.report();
  t.match(lost, { compared: 3, missingProduction: 1, differing: { missingProduction: 1 } });
  t.match(
    lost.exchanges.find(({ kind }) => kind === 'missingProduction'),
    { request: 3, production: null },
  );

  desk = new Desk();
  desk.send(0, 10);
  desk.production(0, 100, 10, 200);
  desk.send(10, 10);
  desk.production(100, 100, 20, 201);
  desk.target(60, 20, 200);
  desk.target(40, 20);
  desk.target(100, 20, 201);
  t.match(desk.report(), { compared: 2, same: 2 }, 'the target gets the second request while it answers the first');
  t.end();
});

t.test('requests that are skipped, sent again, in pieces', (t) => {
  let desk = new Desk();
  desk.send(0, 10);
  desk.production(0, 100, 10, 200);
  desk.target(100, 10, 200);
  // Client bytes 10..29 never leave.
  desk.production(100, 100, 20, 200);
  desk.production(200, 100, 30, 200);
  desk.send(30, 10);
  desk.production(300, 50, 40, 200);
  desk.target(50, 40, 200);
  t.match(desk.report(), { compared: 2, same: 2, productionUnpaired: 2 }, 'a request that is not copied');

  desk = new Desk();
  desk.send(0, 10);
  desk.production(0, 100, 10, 200);
  desk.target(30, 10, 200);
  desk.pairing.connected(0);
  desk.send(0, 10);
  desk.target(100, 10, 200);
  t.match(desk.report(), { compared: 1, same: 1 }, 'sent again on a new connection: the first try does not count');

  desk = new Desk();
  desk.send(0, 10);
  desk.production(0, 100, 10, 200);
  desk.pairing.connected(0);
  desk.send(10, 10);
  desk.production(100, 100, 20, 200);
  desk.target(100, 20, 200);
  t.match(desk.report(), { compared: 1, missingTarget: 1 }, 'not sent again: it is not answered by the next reply');

  desk = new Desk();
  desk.send(0, 10, true, 1);
  desk.send(10, 1000, false, 5);
  desk.production(0, 25, 10, 100, 2);
  desk.production(25, 100, 1010, 201, 7);
  desk.target(25, 10, 100, 3);
  desk.target(100, 1010, 201, 9);
  const interim = desk.report();
  t.match(interim, { compared: 1, same: 1, statuses: [{ production: 201, target: 201, count: 1 }] }, '100 Continue');
  t.end();
});

t.test('requests that are pipelined; a server that speaks first; a client that closes its half', (t) => {
  let desk = new Desk();
  desk.send(0, 80);
  desk.production(0, 800, 80, 200);
  desk.target(300, 80, 200);
  desk.target(500, 80, 200);
  t.match(desk.report(), { compared: 1, same: 1 }, 'pipelined: one exchange');

  desk = new Desk();
  desk.send(0, 80);
  for (let i = 0; i < 8; i++) desk.production(i * 100, 100, 80, 200);
  for (let i = 0; i < 5; i++) desk.target(100, 80, 200);
  desk.send(80, 80);
  for (let i = 5; i < 8; i++) desk.target(100, 160, 200);
  for (let i = 8; i < 16; i++) desk.production(i * 100, 100, 160, 201);
  for (let i = 8; i < 16; i++) desk.target(100, 160, 201);
  t.match(desk.report(), { compared: 2, same: 2 }, 'pipelined requests that overtake replies');

  desk = new Desk();
  desk.production(0, 20, 0);
  desk.pairing.targetGreeting(0, desk.isn, (desk.isn + desk.shift) | 0);
  desk.target(21, 0);
  desk.send(0, 10);
  desk.production(20, 5, 10);
  desk.target(5, 10);
  const greeted = desk.report();
  t.match(greeted, { compared: 2, bytesEqual: 1, http: 0 }, 'what a server says first is compared, too');
  t.match(greeted.exchanges[0], { request: 0, kind: 'bytes', seconds: null });

  desk = new Desk();
  desk.send(0, 10);
  desk.production(0, 50, 11, 200);
  desk.target(50, 11, 200);
  t.match(desk.report(), { compared: 1, same: 1 }, 'half-closed: the FIN is acknowledged with the reply');
  t.end();
});

t.test('requests that did not wait: alike, or not told apart', (t) => {
  const desk = new Desk();
  desk.send(0, 10);
  desk.send(10, 10, true, 2, Mark.Early);
  desk.send(20, 10, true, 3, Mark.Early);
  for (let i = 0; i < 3; i++) desk.production(i * 100, 100, i * 10 + 10, 200);
  desk.target(100, 30, 200);
  // Two replies in one packet.
  desk.target(200, 30, 200);
  t.match(desk.report(), { compared: 1, same: 1, early: 2, missingTarget: 0, differing: { bytes: 0 } });
  t.end();
});

t.test('the agent ends: what had no time is not missed', (t) => {
  const desk = new Desk();
  desk.send(0, 10, true, 100);
  desk.production(0, 10, 10, 200, 101);
  desk.send(10, 10, true, 5000);
  desk.production(10, 10, 20, 200, 5001);
  desk.pairing.ending(4000 * MS);
  t.match(desk.report(), { compared: 0, missingTarget: 1, unfinished: 1 });
  t.end();
});

t.test('nothing grows: a silent target, a silent production, no room', (t) => {
  let desk = new Desk(0, 2 * WAITING_MAX);
  for (let i = 0; i < 2 * WAITING_MAX; i++) {
    desk.send(i, 1);
    desk.production(i * 10, 10, i + 1);
    assert.ok(desk.pairing.waiting <= WAITING_MAX + 1);
  }
  t.match(desk.report(), { missingTarget: 2 * WAITING_MAX }, 'a silent target');
  desk = new Desk(0, 2 * WAITING_MAX);
  for (let i = 0; i < 2 * WAITING_MAX; i++) {
    desk.production(i * 10, 10, i + 1);
    assert.ok(desk.pairing.waiting <= WAITING_MAX);
  }
  t.match(desk.report(), { compared: 0, missingTarget: 0 });
  desk = new Desk(1, 4);
  for (let i = 0; i < 10; i++) desk.send(i * 10, 10);
  t.match(desk.report(), { noRoom: 0, unanswered: 10 }, 'a session takes the room of its own oldest exchange');
  desk = new Desk(1, 4);
  for (let i = 0; i < 4; i++) desk.pairing.requestSent(1, i, 1, true, false, 0, i, 0, 0);
  desk.send(0, 10);
  desk.target(5, 10, 200);
  t.match(desk.report(false), { noRoom: 1, compared: 0 }, 'not that of others');
  const many = new Desk();
  for (let i = 0; i < 10 * SAMPLES_OF_KIND; i++) {
    many.send(i * 10, 10);
    many.production(i * 10, 10, i * 10 + 10, 200);
    many.target(10, i * 10 + 10, 200 + (i % 400));
  }
  const report = many.report();
  t.equal(report.exchanges.length, SAMPLES_OF_KIND, 'a sample of those that differ');
  t.ok(
    report.exchanges.some(({ request }) => request > 5 * SAMPLES_OF_KIND),
    'from the whole run',
  );
  const counted = report.statuses.reduce((sum, { count }) => sum + count, 0);
  t.ok(report.statuses.length <= 256 && counted < report.compared, 'the table of statuses is bounded');
  t.end();
});

/** What a seeded conversation says, and what is made of it. */
function converse(seed: number): { readonly report: CompareReport; readonly model: Record<string, number> } {
  const rng = new Rng(seed);
  const desk = new Desk(rng.nextUint32() | 0);
  const model = { compared: 0, same: 0, missingTarget: 0, missingProduction: 0 };
  let [asked, said, answered] = [0, 0, 0];
  for (let i = 0; i < 40; i++) {
    const length = 2 + rng.below(3000);
    const statuses = [200, rng.below(4) === 0 ? 503 : 200];
    const bytes = [20 + rng.below(9000), 0];
    bytes[1] = rng.below(3) === 0 ? 20 + rng.below(9000) : bytes[0]!;
    const silent = rng.below(10);
    const pieces = 1 + rng.below(3);
    const isAhead = rng.below(4) === 0;
    const produce = (): void => {
      if (silent === 0) return;
      const cut = 12 + rng.below(bytes[0]! - 12);
      // Segments in order or not, some of them twice; the one that carries the status line comes first or never late.
      desk.production(said, cut, asked + length, statuses[0]);
      if (cut < bytes[0]!) desk.production(said + cut, bytes[0]! - cut, asked + length);
      if (rng.below(3) === 0) desk.production(said, cut, asked + length, statuses[0]);
      said += bytes[0]!;
    };
    if (isAhead) produce();
    const first = Math.max(1, Math.floor(length / pieces));
    for (let from = 0; from < length; from += first) {
      desk.send(asked + from, Math.min(first, length - from), from === 0);
    }
    if (!isAhead) produce();
    if (silent !== 1) {
      // A reply that the interception lost leaves a hole in front of the next one.
      desk.target(12, asked + length, statuses[1], undefined, answered > 0);
      if (bytes[1]! > 12) desk.target(bytes[1]! - 12, asked + length);
      answered = 0;
    } else answered = 1;
    if (silent > 1) {
      model.compared++;
      if (statuses[0] === statuses[1] && bytes[0] === bytes[1]) model.same++;
    } else if (silent === 0) model.missingProduction++;
    else model.missingTarget++;
    asked += length;
  }
  return { report: desk.report(), model };
}

t.test('seeded conversations are judged as they were', (t) => {
  const chance = Number(process.env['TSREPLAY_SEED'] ?? Math.floor(Math.random() * 0x7fffffff));
  t.comment(`TSREPLAY_SEED=${chance}`);
  for (let i = 0; i < 400; i++) {
    const seed = (chance + i) | 0;
    const { report, model } = converse(seed);
    for (const [name, count] of Object.entries(model)) {
      assert.equal(report[name as 'compared'], count, `${name} of seed ${seed}`);
    }
  }
  t.pass('400 of 40 requests');
  t.end();
});

t.test('status lines', (t) => {
  const of = (text: string): number => {
    const bytes = new TextEncoder().encode(text);
    return httpStatus(new DataView(bytes.buffer), 0, bytes.length);
  };
  t.same(['HTTP/1.1 200 OK', 'HTTP/1.0 404 x', 'HTTP/1.1 999'].map(of), [200, 404, 999]);
  const none = [
    '',
    'HTTP/1.1 20',
    'HTTP/2.0 200',
    'HTTP/1.1 099',
    'HTTP/1.1 2x0',
    'HTTQ/1.1 200',
    'HTTP/1.1_200',
    '+OK',
  ];
  t.same(
    none.map(of),
    none.map(() => 0),
  );
  t.end();
});

t.test('the course of a long run keeps its percentiles and its size', (t) => {
  const series = new CompareSeries();
  const row = new CompareRow(new Comparison(1).buffer, 0);
  for (let second = 0; second < 3 * SLOTS_MAX; second++) {
    row.counts[0]! += 10;
    row.counts[1]! += 9;
    for (let i = 0; i < 10; i++) row.record(2, MS);
    for (let i = 0; i < 10; i++) row.record(3, second < SLOTS_MAX ? MS : 4 * MS);
    const totals = new CompareTotals();
    totals.addRow(row);
    series.take(second + 1, totals);
  }
  const course = series.course();
  t.equal(course.slotSeconds, 4);
  t.equal(course.seconds.length, (3 * SLOTS_MAX) / 4);
  t.ok(course.compared.every((count) => count === 40));
  t.ok(course.differing.every((count) => count === 4));
  const [early, late] = [course.target.p50[10]!, course.target.p50.at(-1)!];
  t.ok(Math.abs(late / early - 4) < 0.3, `${early} ns, then ${late} ns`);
  t.ok(course.production.p99.every((ns) => Math.abs(ns! / MS - 1) < 0.07));
  t.end();
});

t.test('replies to clients that are not copied: no identity is taken for them, and none is missed', (t) => {
  for (const percent of [0, 100]) {
    const targets = new Targets(
      [{ address: [0x0a000009], port: 80, mtu: 1500 }],
      [{ address: null, port: 80, targets: [0], mirror: false }],
    );
    const emitter = {
      region: plainRegion(64),
      reserve: () => -1,
      fillsSums: () => false,
      join: () => false,
      sendBuilt: () => {},
      sendInPlace: () => false,
    };
    const { core } = new CopyEngine({ targets, emitter, options: { percent, maxSessions: 4 } });
    const comparison = new Comparison(1);
    const row = new CompareRow(comparison.buffer, 0);
    let asked = 0;
    const identities = { copies: 2, map: () => ++asked > 0 };
    const side = new ProductionSide(core, identities, new Pairing(row, core.cells, 4, 16), row);
    const addresses = { src: [10, 0, 0, 1], dst: [10, 1, 0, 7], srcPort: 80, dstPort: 40_000 };
    const frame = encode({ ...addresses, seq: 1, ack: 1, flags: ACK, window: 1, payload: new Uint8Array(50) });
    const layers = new Layers();
    const view = new DataView(frame.buffer);
    decode(view, 0, frame.length, Linktype.EN10MB, layers);
    t.ok(side.take(view, layers, frame.length, frame.length, 0), 'it is a reply of production');
    t.equal(asked, percent === 0 ? 0 : 2, `${percent} %: identities that were asked for`);
    t.equal(comparison.snapshot().productionUnpaired, percent === 0 ? 0 : 1, 'data that answers no copied request');
  }
  t.end();
});
