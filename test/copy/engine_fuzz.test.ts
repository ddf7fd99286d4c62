import assert from 'node:assert/strict';
import t from 'tap';
import { plainRegion } from '../../src/base/region.ts';
import { Rng } from '../../src/base/rng.ts';
import type { SumState } from '../../src/copy/client_packet.ts';
import type { Emitter } from '../../src/copy/emitter.ts';
import { CopyEngine } from '../../src/copy/engine.ts';
import { Header, TargetHeader } from '../../src/copy/target_header.ts';
import { Targets } from '../../src/copy/targets.ts';
import { decode } from '../../src/wire/decode.ts';
import { Layers } from '../../src/wire/layers.ts';
import { Linktype } from '../../src/wire/linktype.ts';
import { encode, parse, type Segment } from './sim/segment.ts';
import { MS } from './sim/world.ts';

const SESSIONS = 32;
const CHANCE = Number(process.env['TSREPLAY_SEED'] ?? Math.floor(Math.random() * 0x7fffffff));
t.comment(`TSREPLAY_SEED=${CHANCE}`);

/** An engine whose packets are checked, refused now and then, and remembered for plausible answers. */
class Victim {
  readonly rng: Rng;
  readonly engine: CopyEngine;
  last: Segment | null = null;
  emitted = 0;

  constructor(seed: number) {
    this.rng = new Rng(seed);
    const targets = new Targets(
      [
        { address: [0x0a000009], port: 8080, mtu: 1500 },
        { address: [0x0a00000a], port: 8081, mtu: 700 },
      ],
      [{ address: null, port: 80, targets: [0, 1], mirror: false }],
    );
    const whenFull = (['hold', 'skip', 'drop'] as const)[seed % 3]!;
    const options = { maxSessions: SESSIONS, memoryBytes: 200_000, sessionBytes: 16_384, whenFull };
    this.engine = new CopyEngine({ targets, emitter: this.#emitter(), options });
  }

  #emitter(): Emitter {
    const region = plainRegion(1 << 16);
    const take = (bytes: Uint8Array): void => {
      const p = parse(bytes);
      this.emitted++;
      assert.ok(p.dst.join('.') === '10.0.0.9' || p.dst.join('.') === '10.0.0.10', 'only targets');
      assert.ok(p.dstPort === 8080 || p.dstPort === 8081);
      assert.ok(bytes.length <= 1500);
      this.last = p;
    };
    return {
      region,
      reserve: () => (this.rng.below(50) === 0 ? -1 : 128),
      fillsSums: () => false,
      join: () => false,
      sendBuilt: (at, length) => take(region.bytes.slice(at, at + length)),
      sendInPlace: (from, at, length) => {
        if (this.rng.below(50) === 0) return false;
        take(from.bytes.slice(at, at + length));
        return true;
      },
    };
  }

  /** A client packet, mostly near what a session expects, with some of its bytes wrong. */
  client(): void {
    const { rng, engine } = this;
    const base = rng.below(4) * 1000;
    const bytes = rng.below(8) === 0 ? rng.below(9000) : rng.below(300);
    const anyFlags = rng.below(256);
    const flags = rng.below(5) === 0 ? anyFlags : [2, 16, 24, 24, 24, 17, 4, 20][rng.below(8)]!;
    const segment: Segment = {
      src: [10, 1, 0, rng.below(4)],
      dst: [10, 0, 0, 1],
      srcPort: 1000 + rng.below(8),
      dstPort: rng.below(20) === 0 ? rng.below(65536) : 80,
      seq: rng.below(30) === 0 ? rng.nextUint32() : (base + rng.below(6000)) >>> 0,
      ack: rng.below(3000),
      flags,
      window: rng.below(65536),
      payload: new Uint8Array((flags & 6) === 0 ? bytes : 0),
      ...(rng.below(2) === 0 ? { ts: [rng.below(1000), 1] as [number, number] } : {}),
      ...(rng.below(10) === 0 ? { extra: Array.from({ length: 4 + rng.below(16) }, () => rng.below(256)) } : {}),
    };
    const frame = encode(segment);
    for (let i = rng.below(6) === 0 ? rng.below(8) : 0; i > 0; i--)
      frame[rng.below(Math.min(80, frame.length))] = rng.below(256);
    const length = rng.below(12) === 0 ? rng.below(frame.length + 1) : frame.length;
    const region = plainRegion(frame.length);
    region.bytes.set(frame);
    const layers = new Layers();
    decode(region.view, 0, length, Linktype.EN10MB, layers);
    const sum = rng.below(3) as SumState;
    engine.onClientPacket(region, layers, sum, engine.core.clock[0]!);
  }

  /** A header, mostly an answer to the packet emitted last. */
  target(): void {
    const { rng, engine, last } = this;
    const header = new TargetHeader();
    const h = header.cells;
    h.fill(0);
    h[Header.Client0] = 0x0a010000 | rng.below(4);
    h[Header.ClientPort] = 1000 + rng.below(8);
    h[Header.Target0] = rng.below(2) === 0 ? 0x0a000009 : 0x0a00000a;
    h[Header.TargetPort] = rng.below(2) === 0 ? 8080 : 8081;
    h[Header.Seq] = rng.nextUint32();
    h[Header.Ack] = rng.nextUint32();
    if (last && rng.below(8) !== 0) {
      h[Header.Client0] = new DataView(Uint8Array.from(last.src).buffer).getInt32(0);
      h[Header.ClientPort] = last.srcPort;
      h[Header.Target0] = new DataView(Uint8Array.from(last.dst).buffer).getInt32(0);
      h[Header.TargetPort] = last.dstPort;
      const span = last.payload.length + ((last.flags & 3) !== 0 ? 1 : 0);
      h[Header.Ack] = last.seq + (rng.below(4) === 0 ? rng.below(2000) - 1000 : span);
      h[Header.Seq] =
        (last.flags & 2) !== 0 ? rng.nextUint32() : last.ack + (rng.below(4) === 0 ? rng.below(4000) - 2000 : 0);
    }
    h[Header.Flags] =
      last && (last.flags & 2) !== 0 && rng.below(3) !== 0
        ? 18
        : [16, 16, 24, 17, 20, 4, rng.below(256)][rng.below(7)]!;
    h[Header.Window] = rng.below(3) === 0 ? rng.below(3) : rng.below(65536);
    h[Header.PayloadBytes] = rng.below(3) === 0 ? 0 : rng.below(65536);
    h[Header.Mss] = rng.below(3) === 0 ? 0 : rng.below(65536);
    h[Header.Shift] = rng.below(16) - 1;
    h[Header.SackPermitted] = rng.below(2);
    h[Header.HasTimestamps] = rng.below(2);
    h[Header.TsValue] = rng.nextUint32();
    h[Header.SackBlocks] = rng.below(5);
    for (let i = 0; i < 8; i++) h[Header.Sack0 + i] = h[Header.Ack]! + rng.below(5000) - 1000;
    engine.onTargetHeader(header);
  }

  check(): void {
    const { engine } = this;
    assert.ok(engine.sessionsOpen <= SESSIONS);
    assert.ok(engine.segmentsUsed <= engine.core.pool.capacity);
    let segments = 0;
    engine.forEachSession((cells, at) => {
      segments += cells[at + 39]!;
    });
    assert.equal(segments, engine.segmentsUsed, 'every segment in use belongs to a session');
  }
}

function attack(seed: number, steps: number): Victim {
  const victim = new Victim(seed);
  const { engine, rng } = victim;
  let now = 0;
  const bytes = engine.byteLength;
  for (let i = 0; i < steps; i++) {
    const turn = rng.below(20);
    // Clock jumps, forward and back, are among what happens.
    if (turn < 3) now += rng.below(turn === 0 ? 3000 * MS : 5 * MS);
    engine.tick(rng.below(40) === 0 ? now - 100 * MS : now);
    if (turn < 12) victim.client();
    else victim.target();
    if (rng.below(500) === 0 && victim.last) {
      const frame = encode(victim.last);
      engine.onSendError(new DataView(frame.buffer, 14), 0, rng.below(1500), rng.below(2) === 0);
    }
    if (rng.below(1000) === 0) engine.noteCaptureLoss();
    if (i % 500 === 0) victim.check();
  }
  assert.equal(engine.byteLength, bytes, 'nothing grows');
  engine.closeAll();
  victim.check();
  for (let i = 1; i <= 4000; i++) engine.tick(now + i * 1000 * MS);
  assert.equal(engine.sessionsOpen, 0, 'every session ends');
  assert.equal(engine.segmentsUsed, 0);
  assert.equal(engine.core.wheel.count, 0);
  return victim;
}

t.test('hostile packets and headers: no crash, no growth, nothing but targets is sent to', (t) => {
  let emitted = 0;
  const seeds = [...Array.from({ length: 40 }, (_, i) => i + 1), CHANCE];
  for (const seed of seeds) {
    try {
      emitted += attack(seed, 3000).emitted;
    } catch (cause) {
      throw new Error(`seed ${seed}`, { cause });
    }
  }
  t.ok(emitted > 10_000, `${seeds.length} seeds, ${emitted} packets emitted`);
  t.end();
});

t.test('the same seed gives the same run', (t) => {
  const one = attack(7, 2000);
  const two = attack(7, 2000);
  t.same(one.engine.statistics(), two.engine.statistics());
  t.end();
});
