/**
 * The whole scene: clients and production over lossy links, the engine on production's host, which sees what arrives
 * there, a target over lossy links, and a guard that checks every packet that the engine emits.
 */
import assert from 'node:assert/strict';
import { plainRegion } from '../../../src/base/region.ts';
import { SumState } from '../../../src/copy/client_packet.ts';
import type { Emitter } from '../../../src/copy/emitter.ts';
import { CopyEngine } from '../../../src/copy/engine.ts';
import type { EngineOptions } from '../../../src/copy/options.ts';
import { readTargetPacket, TargetHeader } from '../../../src/copy/target_header.ts';
import { type AddressWords, Targets } from '../../../src/copy/targets.ts';
import { decode } from '../../../src/wire/decode.ts';
import { Layers } from '../../../src/wire/layers.ts';
import { Linktype } from '../../../src/wire/linktype.ts';
import { act, type Habit, type ServerHabits, serve } from './application.ts';
import { Endpoint, type EndpointTraits } from './endpoint.ts';
import { ACK, encode, FIN, parse, RST, type Segment, SYN } from './segment.ts';
import { SegmentingDevice } from './segmenting_device.ts';
import { Link, type LinkTraits, MS, World } from './world.ts';

export interface Scene {
  readonly seed: number;
  readonly habit: Habit;
  readonly clients?: number;
  readonly requests?: number;
  readonly isIpv6?: boolean;
  readonly thinkNs?: number;
  /** client -> production and back; agent -> target and target -> intercept. */
  readonly clientLink?: Partial<LinkTraits>;
  readonly targetLink?: Partial<LinkTraits>;
  readonly replyLink?: Partial<LinkTraits>;
  /** Share of packets that arrive at production and are not captured. */
  readonly captureLoss?: number;
  readonly production?: Partial<ServerHabits>;
  readonly target?: Partial<ServerHabits>;
  readonly targetTraits?: Partial<EndpointTraits>;
  readonly clientTraits?: Partial<EndpointTraits>;
  readonly options?: Partial<EngineOptions>;
  readonly mtu?: number;
  /** The engine starts at this time. */
  readonly startNs?: number;
  /** The same client port for so many connections one after the other. */
  readonly reuse?: number;
  readonly limitNs?: number;
  /** The target is down in this time: every SYN is answered with RST, every connection lost. */
  readonly outage?: readonly [number, number];
  /** Share of packets that the emitter has no room for. */
  readonly fullShare?: number;
  /** Sends longer than this are refused with EMSGSIZE. */
  readonly pathMtu?: number;
}

export class Stage {
  readonly world: World;
  readonly engine: CopyEngine;
  readonly scene: Scene;
  readonly sent: Set<number> = new Set();
  readonly delivered: Map<number, number> = new Map();
  /** Requests that production has served. */
  readonly served: Set<number> = new Set();
  readonly lag: number[] = [];
  /** Replies that the target has begun. */
  replies = 0;
  /** Requests that the target had and had not begun to answer, at most. */
  unansweredMax = 0;
  emitted = 0;
  /** Of these, segments that joined a packet. */
  joined = 0;
  fins = 0;
  resets = 0;
  connections = 0;
  clientsEnded = 0;
  readonly sentAt: Map<number, number> = new Map();
  readonly targets: Map<string, Endpoint> = new Map();
  readonly #known: Map<string, { tsValue?: number; finEnd?: number; isn: number }> = new Map();
  readonly #layers: Layers = new Layers();
  readonly #header: TargetHeader = new TargetHeader();
  readonly #toEngine: Link<Segment>;
  readonly #toTarget: Link<Uint8Array>;
  readonly #target: { address: number[]; port: number };
  readonly #production: { address: number[]; port: number };
  #wakeAt = Number.POSITIVE_INFINITY;
  #nextId = 1;

  constructor(scene: Scene) {
    this.scene = scene;
    const world = new World(scene.seed);
    this.world = world;
    const last = (n: number): number[] =>
      scene.isIpv6 ? [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, n] : [10, 0, 0, n];
    this.#target = { address: last(9), port: 8080 };
    this.#production = { address: last(1), port: 80 };
    const words = (a: number[]): AddressWords => {
      const view = new DataView(Uint8Array.from(a).buffer);
      const at = (i: number): number => view.getUint32(i);
      return a.length === 4 ? [at(0)] : [at(0), at(4), at(8), at(12)];
    };
    const targets = new Targets(
      [{ address: words(this.#target.address), port: 8080, mtu: scene.mtu ?? 1500 }],
      [{ address: null, port: 80, targets: [0], mirror: false }],
    );
    const options = { maxSessions: 64, memoryBytes: 8_388_608, ...scene.options };
    this.engine = new CopyEngine({ targets, emitter: this.#emitter(), options });
    this.#toTarget = new Link(world, { delayNs: 100_000, ...scene.targetLink }, (bytes) => this.#atTarget(bytes));
    this.#toEngine = new Link(world, { delayNs: 150_000, ...scene.replyLink }, (segment) => this.#atEngine(segment));
    world.onTime = (now) => this.engine.tick(now);
    for (let i = 0; i < (scene.clients ?? 3); i++) {
      world.at(i * 3 * MS, () => this.#client(last(100 + i), 40_000 + i * 7, scene.reuse ?? 1));
    }
  }

  /** Runs until nothing happens any more, and checks what must hold at the end of every run. */
  run(): this {
    const isOver = this.world.run(this.scene.limitNs ?? 900_000 * MS);
    assert.ok(isOver, 'the run ends');
    assert.equal(this.clientsEnded, (this.scene.clients ?? 3) * (this.scene.reuse ?? 1), 'every client has ended');
    assert.equal(this.engine.sessionsOpen, 0, 'no session is left');
    assert.equal(this.engine.segmentsUsed, 0, 'no segment is left');
    assert.equal(this.engine.core.wheel.count, 0, 'no timer is left');
    const c = this.engine.statistics();
    const skipped =
      c.SkippedRefused +
      c.SkippedReset +
      c.SkippedSilent +
      c.SkippedGap +
      c.SkippedFull +
      c.SkippedClientReset +
      c.SkippedClosing;
    assert.equal(c.RequestsSeen, c.RequestsDelivered + skipped, 'every request seen was delivered or skipped');
    assert.equal(c.PacketsSent, this.emitted, 'every packet is counted');
    return this;
  }

  /** Every request once and none twice. */
  assertAllDelivered(): void {
    const missing = [...this.sent].filter((id) => !this.delivered.has(id));
    assert.deepEqual(missing, [], `all ${this.sent.size} requests arrive (${JSON.stringify(nonZero(this.engine))})`);
    for (const [id, times] of this.delivered) assert.equal(times, 1, `request ${id} arrives once`);
  }

  #client(address: number[], port: number, reuse: number): void {
    const { world, scene } = this;
    const link = { delayNs: 2 * MS, ...scene.clientLink };
    const local = { address, port };
    const traits = { mss: 1460, hasSack: true, hasTimestamps: true, shift: 7, ...scene.clientTraits };
    const up = new Link<Segment>(world, link, (segment) => {
      this.#capture(segment);
      server.receive(segment);
    });
    const down = new Link<Segment>(world, link, (segment) => client.receive(segment));
    const client: Endpoint = new Endpoint(world, local, this.#production, traits, (segment) => up.send(segment));
    const server: Endpoint = new Endpoint(
      world,
      this.#production,
      local,
      { ...traits, delayedAckNs: 40 * MS },
      (segment) => down.send(segment),
    );
    serve(world, server, {
      ...this.#habits(),
      replyDelayNs: MS,
      ...scene.production,
      onRequest: (id) => this.served.add(id),
    });
    const requests = scene.requests ?? 10;
    const firstId = this.#nextId;
    this.#nextId += requests;
    act(world, client, {
      habit: scene.habit,
      requests,
      firstId,
      thinkNs: scene.thinkNs ?? 2 * MS,
      onSent: (id) => {
        this.sent.add(id);
        this.sentAt.set(id, world.now);
      },
      onEnd: () => {
        this.clientsEnded++;
        server.onDead('over');
        if (reuse > 1) world.after(MS, () => this.#client(address, port, reuse - 1));
      },
    });
    client.connect();
  }

  #habits(): Partial<ServerHabits> {
    const { habit } = this.scene;
    if (habit === 'greeting') return { greetingBytes: 32 };
    if (habit === 'half-close') return { repliesAtEnd: true };
    if (habit === 'stream') return { pushEveryNs: 7 * MS };
    return {};
  }

  /** What arrives at production's host is seen by the engine. */
  #capture(segment: Segment): void {
    const { world, scene, engine } = this;
    if (world.now < (scene.startNs ?? 0) || world.chance(scene.captureLoss ?? 0)) return;
    const kind = world.rng.below(3);
    const frame = encode(segment, kind !== 2);
    const region = plainRegion(frame.length);
    region.bytes.set(frame);
    decode(region.view, 0, frame.length, Linktype.EN10MB, this.#layers);
    const sum = kind === 2 ? SumState.Absent : kind === 1 ? SumState.True : SumState.Unknown;
    engine.tick(world.now);
    engine.onClientPacket(region, this.#layers, sum, world.now);
    this.#sleep();
  }

  #atEngine(segment: Segment): void {
    const frame = encode(segment);
    // Headers only, as an intercept captures them.
    const length = Math.min(frame.length, 128);
    const view = new DataView(frame.buffer, 0, length);
    decode(view, 0, length, Linktype.EN10MB, this.#layers);
    this.engine.tick(this.world.now);
    assert.ok(readTargetPacket(view, this.#layers, this.#header), 'the header is whole');
    assert.equal(this.#header.cells[15], segment.payload.length, 'the payload is counted without being captured');
    this.engine.onTargetHeader(this.#header);
    this.#sleep();
  }

  /** Wakes the engine when its next timer is due. */
  #sleep(): void {
    const due = this.engine.nextTimerNs();
    if (due >= this.#wakeAt || due === Number.POSITIVE_INFINITY) return;
    this.#wakeAt = due;
    this.world.at(due, () => {
      if (this.#wakeAt !== due) return;
      this.#wakeAt = Number.POSITIVE_INFINITY;
      this.engine.tick(this.world.now);
      this.#sleep();
    });
  }

  #emitter(): Emitter {
    const region = plainRegion(1 << 16);
    // Every other scene has a device that joins packets.
    const device = this.scene.seed % 2 === 0 ? new SegmentingDevice() : null;
    let sentAt = 0;
    return {
      region,
      fillsSums: () => device !== null,
      reserve: (length) => (length > region.byteLength || this.world.chance(this.scene.fullShare ?? 0) ? -1 : 0),
      sendBuilt: (at, length, target) => {
        const bytes = device === null ? region.bytes.slice(at, at + length) : device.filled(region, at, length);
        device?.note(bytes);
        sentAt = this.world.now;
        this.#emitted(bytes, target);
      },
      sendInPlace: (from, at, length, target) => {
        if (this.world.chance(this.scene.fullShare ?? 0)) return false;
        const bytes = from.bytes.slice(at, at + length);
        device?.note(bytes);
        sentAt = this.world.now;
        this.#emitted(bytes, target);
        return true;
      },
      join: (from, at, length, isPush) => {
        if (device === null) return false;
        if (this.world.now !== sentAt || this.world.chance(0.1)) device.flush();
        const bytes = device.join(from, at, length, isPush);
        if (bytes === null) return false;
        this.joined++;
        this.#emitted(bytes, 0);
        return true;
      },
    };
  }

  #emitted(bytes: Uint8Array<ArrayBuffer>, target: number): void {
    this.emitted++;
    assert.equal(target, 0);
    this.#guard(bytes);
    if (this.scene.pathMtu && bytes.length > this.scene.pathMtu) {
      this.world.after(1, () => {
        this.engine.onSendError(new DataView(bytes.buffer), 0, bytes.length, true);
        this.#sleep();
      });
      return;
    }
    this.#toTarget.send(bytes);
  }

  /** What a packet towards the target must be, whatever happens. */
  #guard(bytes: Uint8Array): void {
    const p = parse(bytes);
    assert.ok(bytes.length <= (this.scene.mtu ?? 1500), 'no packet is longer than the MTU');
    assert.deepEqual(p.dst, this.#target.address, 'every packet goes to the target');
    assert.equal(p.dstPort, this.#target.port);
    const allowed = (p.flags & SYN) !== 0 ? [2, 3, 4, 8] : [8];
    for (const kind of p.kinds!) assert.ok(allowed.includes(kind), `option ${kind} may be there`);
    assert.equal(p.flags & ~(FIN | SYN | RST | 8 | ACK), 0, 'no ECN, no urgent data');
    const key = `${p.src}:${p.srcPort}`;
    if ((p.flags & SYN) !== 0) {
      assert.equal(p.flags, SYN);
      assert.equal(p.payload.length, 0, 'no data on a SYN');
      if (this.#known.get(key)?.isn !== p.seq) this.#known.set(key, { isn: p.seq });
      return;
    }
    const known = this.#known.get(key);
    assert.ok(known, 'a SYN comes first');
    if ((p.flags & FIN) !== 0) this.fins++;
    if ((p.flags & RST) !== 0) this.resets++;
    if (p.ts) {
      assert.ok(known.tsValue === undefined || ((p.ts[0] - known.tsValue) | 0) >= 0, 'TSval does not go back');
      known.tsValue = p.ts[0];
    }
    const end = (p.seq + p.payload.length) >>> 0;
    const limit = p.payload.length > 0 ? end : (end - 1) >>> 0;
    if (known.finEnd !== undefined) assert.ok(((known.finEnd - limit) | 0) >= 0, 'nothing behind a FIN');
    if ((p.flags & FIN) !== 0) known.finEnd = end;
    this.#guardWindow(p, key, end);
  }

  #guardWindow(p: Segment, key: string, end: number): void {
    const target = this.targets.get(key);
    if (target?.state !== 'open' || (p.flags & RST) !== 0 || this.#known.get(key)!.isn !== target.remoteIsn) return;
    assert.ok(((target.nxt - p.ack) | 0) >= 0, 'nothing is acknowledged that was not sent');
    if (p.payload.length > 0) assert.ok(((target.edge - end) | 0) >= 0, 'nothing beyond the window');
  }

  #atTarget(bytes: Uint8Array): void {
    const { world, scene } = this;
    const p = parse(bytes);
    const key = `${p.src}:${p.srcPort}`;
    const [from, to] = scene.outage ?? [0, 0];
    if (world.now >= from && world.now < to) {
      this.targets.delete(key);
      this.#refuse(p);
      return;
    }
    let end = this.targets.get(key);
    const isNew = (p.flags & (SYN | ACK)) === SYN && (!end || end.state === 'dead' || end.remoteIsn !== p.seq);
    if (isNew && end && end.state !== 'dead') {
      // RFC 5961: a SYN for a connection that lives is answered with what is expected.
      end.receive(p);
      return;
    }
    if (isNew) {
      end = this.#accept(p);
      this.targets.set(key, end);
    }
    if (!end || (end.state === 'dead' && !end.finSeen)) {
      this.#refuse(p);
      return;
    }
    end.receive(p);
  }

  #accept(p: Segment): Endpoint {
    const { world, scene } = this;
    this.connections++;
    const traits = {
      mss: 1460,
      hasSack: true,
      hasTimestamps: true,
      shift: 7,
      delayedAckNs: 40 * MS,
      ...scene.targetTraits,
    };
    const remote = { address: p.src, port: p.srcPort };
    const end = new Endpoint(world, this.#target, remote, traits, (segment) => this.#toEngine.send(segment));
    end.remoteIsn = p.seq;
    const onRequest = (id: number): void => {
      this.delivered.set(id, (this.delivered.get(id) ?? 0) + 1);
      this.lag.push(world.now - this.sentAt.get(id)!);
      this.unansweredMax = Math.max(this.unansweredMax, this.delivered.size - this.replies);
    };
    const onReply = (): void => {
      this.replies++;
    };
    serve(world, end, { ...this.#habits(), replyDelayNs: MS, ...scene.target, onRequest, onReply });
    return end;
  }

  #refuse(p: Segment): void {
    if ((p.flags & RST) !== 0) return;
    const hasAck = (p.flags & ACK) !== 0;
    const span = p.payload.length + ((p.flags & SYN) !== 0 ? 1 : 0) + ((p.flags & FIN) !== 0 ? 1 : 0);
    this.#toEngine.send({
      src: p.dst,
      dst: p.src,
      srcPort: p.dstPort,
      dstPort: p.srcPort,
      seq: hasAck ? p.ack : 0,
      ack: (p.seq + span) >>> 0,
      flags: hasAck ? RST : RST | ACK,
      window: 0,
      payload: new Uint8Array(0),
    });
  }
}

/** Counters that are not 0, for messages. */
export function nonZero(engine: CopyEngine): Record<string, number> {
  return Object.fromEntries(Object.entries(engine.statistics()).filter(([, value]) => value !== 0));
}
