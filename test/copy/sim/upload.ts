/** One long upload that is stored at once and has to reach its target over a wire of some rate: how fast it does. */
import assert from 'node:assert/strict';
import { plainRegion } from '../../../src/base/region.ts';
import { SumState } from '../../../src/copy/client_packet.ts';
import { Count } from '../../../src/copy/counts.ts';
import type { Emitter } from '../../../src/copy/emitter.ts';
import { CopyEngine } from '../../../src/copy/engine.ts';
import { readTargetPacket, TargetHeader } from '../../../src/copy/target_header.ts';
import { Targets } from '../../../src/copy/targets.ts';
import { decode } from '../../../src/wire/decode.ts';
import { Layers } from '../../../src/wire/layers.ts';
import { Linktype } from '../../../src/wire/linktype.ts';
import { Endpoint } from './endpoint.ts';
import { ACK, encode, PSH, parse, type Segment, SYN } from './segment.ts';
import { Link, type LinkTraits, MS, World } from './world.ts';

const PIECE = 1448;
const ISN = 0xfff0_0000;
const LIMIT_NS = 500_000 * MS;

export interface UploadScene {
  readonly seed: number;
  readonly bytes: number;
  readonly targetLink: Partial<LinkTraits>;
  readonly replyLink?: Partial<LinkTraits>;
  readonly hasSack?: boolean;
  readonly mtu?: number;
  /** Times at which the wire to the target is down, ns. */
  readonly gap?: readonly [number, number];
  /** Replies of this time come at its end. */
  readonly replyGap?: readonly [number, number];
}

export interface UploadResult {
  readonly ns: number;
  readonly counts: Record<string, number>;
  readonly overflowed: number;
}

/** Runs until everything is acknowledged; `ns` counts from the target's SYN-ACK on. */
export function upload(scene: UploadScene): UploadResult {
  return new Upload(scene).run();
}

class Upload {
  readonly #scene: UploadScene;
  readonly #world: World;
  readonly #engine: CopyEngine;
  readonly #toTarget: Link<Segment>;
  readonly #toEngine: Link<Segment>;
  readonly #layers: Layers = new Layers();
  readonly #header: TargetHeader = new TargetHeader();
  #end: Endpoint | null = null;
  #received = 0;
  #openedNs = 0;
  #doneNs = 0;
  #wakeAt = Number.POSITIVE_INFINITY;

  constructor(scene: UploadScene) {
    const world = new World(scene.seed);
    this.#scene = scene;
    this.#world = world;
    const room = 2 * scene.bytes + (1 << 20);
    this.#engine = new CopyEngine({
      targets: new Targets(
        [{ address: [0x0a000009], port: TARGET.port, mtu: scene.mtu ?? 1500 }],
        [{ address: null, port: PRODUCTION.port, targets: [0], mirror: false }],
      ),
      emitter: this.#emitter(),
      options: { maxSessions: 16, memoryBytes: room, sessionBytes: room },
    });
    this.#toTarget = new Link(world, { delayNs: 50_000, ...scene.targetLink }, (segment) => this.#atTarget(segment));
    this.#toEngine = new Link(world, { delayNs: 50_000, ...scene.replyLink }, (segment) => this.#atEngine(segment));
    world.onTime = (now) => this.#engine.tick(now);
    const [from, to] = scene.gap ?? [0, 0];
    for (const at of [from, to]) {
      world.at(at, () => {
        this.#toTarget.isDown = at < to;
      });
    }
    world.at(MS, () => this.#store());
  }

  run(): UploadResult {
    this.#world.run(LIMIT_NS);
    assert.ok(this.#doneNs > 0, 'it comes to its end');
    assert.equal(this.#received, this.#scene.bytes, 'every byte arrived');
    const counts = Object.fromEntries(Object.entries(this.#engine.statistics()).filter(([, value]) => value !== 0));
    return { ns: this.#doneNs - this.#openedNs, counts, overflowed: this.#toTarget.overflowed };
  }

  #emitter(): Emitter {
    const region = plainRegion(1 << 16);
    const send = (bytes: Uint8Array, at: number, length: number): void =>
      this.#toTarget.send(parse(bytes.slice(at, at + length)), length);
    return {
      region,
      fillsSums: () => false,
      join: () => false,
      reserve: () => 0,
      sendBuilt: (at, length) => send(region.bytes, at, length),
      sendInPlace: (from, at, length) => {
        send(from.bytes, at, length);
        return true;
      },
    };
  }

  /** The client's whole upload, captured at once. */
  #store(): void {
    const { bytes } = this.#scene;
    this.#capture({ flags: SYN, ack: 0, mss: 1460, shift: 7, sackPermitted: true });
    this.#capture({ seq: (ISN + 1) >>> 0 });
    for (let sent = 0; sent < bytes; sent += PIECE) {
      const payload = new Uint8Array(Math.min(PIECE, bytes - sent));
      for (let byte = 0; byte < payload.length; byte++) payload[byte] = pattern(sent + byte);
      const isLast = sent + payload.length === bytes;
      this.#capture({ seq: (ISN + 1 + sent) >>> 0, flags: isLast ? ACK | PSH : ACK, payload });
    }
    assert.equal(this.#engine.statistics().SkippedBytes, 0, 'everything was stored');
  }

  #capture(part: Partial<Segment>): void {
    const base = { src: CLIENT.address, dst: PRODUCTION.address, srcPort: CLIENT.port, dstPort: PRODUCTION.port };
    const ts: [number, number] = [1, 1];
    const frame = encode({ ...base, seq: ISN, ack: 7001, flags: ACK, window: 500, payload: EMPTY, ts, ...part });
    const from = plainRegion(frame.length);
    from.bytes.set(frame);
    decode(from.view, 0, frame.length, Linktype.EN10MB, this.#layers);
    this.#engine.onClientPacket(from, this.#layers, SumState.Unknown, this.#world.now);
    this.#sleep();
  }

  #atTarget(segment: Segment): void {
    this.#end ??= this.#accept();
    this.#end.receive(segment);
  }

  #accept(): Endpoint {
    const hasSack = this.#scene.hasSack ?? true;
    const traits = { mss: 1460, hasSack, hasTimestamps: true, shift: 7, buffer: 4_194_304, delayedAckNs: 40 * MS };
    const end = new Endpoint(this.#world, TARGET, CLIENT, traits, (answer) => this.#toEngine.send(answer));
    end.onData = (bytes) => {
      for (const byte of [0, bytes.length - 1]) {
        assert.equal(bytes[byte], pattern(this.#received + byte), 'the right byte');
      }
      this.#received += bytes.length;
    };
    return end;
  }

  #atEngine(segment: Segment): void {
    const world = this.#world;
    const [from, to] = this.#scene.replyGap ?? [0, 0];
    if (world.now >= from && world.now < to) {
      world.at(to, () => this.#atEngine(segment));
      return;
    }
    const frame = encode(segment);
    const view = new DataView(frame.buffer);
    decode(view, 0, frame.length, Linktype.EN10MB, this.#layers);
    assert.ok(readTargetPacket(view, this.#layers, this.#header));
    this.#engine.onTargetHeader(this.#header);
    if (this.#openedNs === 0 && this.#engine.core.counts[Count.ConnectionsOpened] === 1) this.#openedNs = world.now;
    const isDone = this.#received === this.#scene.bytes && this.#engine.segmentsUsed === 0;
    if (isDone && this.#doneNs === 0) this.#doneNs = world.now;
    this.#sleep();
  }

  #sleep(): void {
    const due = this.#engine.nextTimerNs();
    if (due >= this.#wakeAt || due === Number.POSITIVE_INFINITY) return;
    this.#wakeAt = due;
    this.#world.at(due, () => {
      if (this.#wakeAt !== due) return;
      this.#wakeAt = Number.POSITIVE_INFINITY;
      this.#sleep();
    });
  }
}

const CLIENT = { address: [10, 0, 0, 100], port: 40_000 };
const PRODUCTION = { address: [10, 0, 0, 1], port: 80 };
const TARGET = { address: [10, 0, 0, 9], port: 8080 };
const EMPTY: Uint8Array = new Uint8Array(0);

function pattern(at: number): number {
  return (at * 7 + (at >> 8)) & 255;
}
