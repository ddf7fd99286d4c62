/**
 * Conversations that a copying thread plays before there is traffic, so that its code is compiled and optimised when
 * the first client comes: else the first second costs 0.4 s of processor time more, and what falls behind in it stays
 * behind. The classes are those of real traffic, from the ring's blocks to the queue in front of the system call;
 * the engine, its tables and its way out are others, and are thrown away.
 */
import { setTimeout as rest } from 'node:timers/promises';
import { FrameSum } from '../../base/batch.ts';
import { anonymousRegion, realtimeMs, SystemClock } from '../../device/host.ts';
import { RehearsalHeaders, RehearsalRing } from '../../device/rehearsal.ts';
import { TcpFlag } from '../../wire/tcp.ts';
import { CopyEngine } from '../engine.ts';
import { type EngineOptions, engineOptions } from '../options.ts';
import { TargetHeader } from '../target_header.ts';
import { type AddressWords, Targets } from '../targets.ts';
import { FRAME_HEAD_BYTES, Frame, REPLIES_BYTES_MAX, REPLIES_HEAD_BYTES } from '../tunnel/protocol.ts';
import { REPLY_BYTES_MAX, writeReply } from '../tunnel/reply.ts';
import { FrameEmitter } from './emitter.ts';
import { AgentLoop } from './loop.ts';
import { Segment } from './rehearsal_frames.ts';
import { AgentRows } from './rows.ts';
import type { AgentSpec } from './spec.ts';
import { TunnelReplies } from './tunnel_replies.ts';

/** Turns are played in slices; V8 optimises in other threads, and puts its code in place in the pauses and behind. */
const SLICES = 5;
const SLICE_TURNS = 150;
const SLICE_MS = 60;
const PAUSE_MS = 12;

const SESSIONS = 48;
const REQUESTS = 5;
const REQUEST_BYTES = 100;
const REPLY_BYTES = 300;
/** More than is acknowledged by and by. */
const REPLY_BYTES_LONG = 8_000;
/** One session in so many falls behind, so far that it has to catch up. */
const BEHIND_EACH = 16;
const LAG_LONG = 90;
const REQUESTS_LONG = 150;
const UPLOAD_BYTES = 1_448;
const UPLOAD_SEGMENTS = 3;
/** Apart from one another, so that first numbers of all sizes are met. */
const ISN_STEP = 0x9e37_79b1;
/** Timestamps of hosts begin anywhere. */
const TIMESTAMP = 0x9000_0000;
const PORT_FIRST = 20_000;
const PORTS = 40_000;
/** RFC 2544: addresses for benchmarks. */
const CLIENT_IPV4 = 0xc612_0000;
const PRODUCTION_IPV4: AddressWords = [0xc613_0001];
const CLIENT_IPV6 = [0x2001_0002, 0, 0] as const;
const PRODUCTION_IPV6: AddressWords = [0x2001_0002, 1, 0, 1];

const OPTIONS: Partial<EngineOptions> = {
  maxSessions: 2_048,
  memoryBytes: 4_194_304,
  lingerNs: 1_000_000,
  percent: 100,
  rampNs: 0,
};

/** What a session is about; they differ by their number. */
interface Session {
  readonly client: AddressWords;
  /** Turns that its target is behind its client. */
  readonly lag: number;
  readonly requests: number;
  readonly replyBytes: number;
  readonly segments: number;
  readonly segmentBytes: number;
  /** The target ends it, as HTTP servers without keep-alive do. */
  readonly isEndedByTarget: boolean;
  /** First sequence numbers. */
  readonly clientIsn: number;
  readonly productionIsn: number;
  readonly targetIsn: number;
  port: number;
  /** Turn since it began. */
  turn: number;
}

export class Rehearsal {
  readonly engine: CopyEngine;
  readonly emitter: FrameEmitter;
  readonly loop: AgentLoop;
  readonly #clock: SystemClock;
  readonly #region = anonymousRegion(OPTIONS.memoryBytes!);
  readonly #tunnel: TunnelReplies | null;
  readonly #small = new RehearsalRing(8_192, 64);
  readonly #large = new RehearsalRing(131_072, 4);
  readonly #headers: RehearsalHeaders | null;
  readonly #header = new TargetHeader();
  readonly #records: Buffer = Buffer.alloc(FRAME_HEAD_BYTES + REPLIES_BYTES_MAX);
  readonly #recordsView = new DataView(this.#records.buffer, this.#records.byteOffset, this.#records.length);
  #recordsEnd = FRAME_HEAD_BYTES + REPLIES_HEAD_BYTES;
  readonly #sessions: Session[] = [];
  readonly #request: Segment;
  readonly #reply: Segment;
  #port = 0;
  #nowMs = 0;
  #turns = 0;

  constructor(spec: AgentSpec, epochSeconds: number) {
    const given = spec.services[0]!;
    const target = spec.targets[given.targets[0]!]!;
    // Cloned, as what comes from another thread is: then it has the same shape.
    const services = structuredClone([{ ...given, targets: [0], mirror: false }]);
    const isIpv6 = target.address.length === 4;
    const production = given.address ?? (isIpv6 ? PRODUCTION_IPV6 : PRODUCTION_IPV4);
    this.#clock = new SystemClock(epochSeconds);
    this.emitter = new FrameEmitter([target], true);
    this.engine = new CopyEngine({
      options: engineOptions({ ...spec.engine, ...OPTIONS }),
      targets: new Targets([target], services),
      emitter: this.emitter,
      poolRegion: this.#region,
    });
    this.emitter.onSendError = (view, at, length, isTooLong) => this.engine.onSendError(view, at, length, isTooLong);
    const cells = new AgentRows(1).cells(0);
    this.loop = new AgentLoop({ engine: this.engine, emitter: this.emitter, clock: this.#clock, cells });
    this.loop.clients = [this.#small.source, this.#large.source];
    this.#tunnel =
      spec.replies.kind === 'tunnel'
        ? new TunnelReplies({ ...spec, targets: [target] }, this.engine, this.emitter, this.#clock, cells, () => {})
        : null;
    this.#headers = this.#tunnel === null ? new RehearsalHeaders() : null;
    if (this.#headers !== null) this.loop.replies = [this.#headers.source];
    this.#request = new Segment(production, production);
    this.#request.toPort = given.port;
    this.#reply = new Segment(target.address, target.address);
    this.#reply.fromPort = target.port;
    for (let i = 0; i < SESSIONS; i++) this.#sessions.push(this.#session(i, isIpv6));
  }

  #session(i: number, isIpv6: boolean): Session {
    const isUpload = i % 8 >= 6;
    const isBehind = i % BEHIND_EACH === 4;
    return {
      client: isIpv6 ? [...CLIENT_IPV6, i + 1] : [CLIENT_IPV4 + i + 1],
      lag: isBehind ? LAG_LONG : i % 3,
      requests: isBehind ? REQUESTS_LONG : i % 2 === 0 ? REQUESTS : 1,
      replyBytes: i % 5 === 0 ? REPLY_BYTES_LONG : REPLY_BYTES,
      segments: i % 8 === 6 ? UPLOAD_SEGMENTS : 1,
      segmentBytes:
        i % 8 === 7 ? UPLOAD_SEGMENTS * UPLOAD_BYTES : isUpload ? UPLOAD_BYTES : REQUEST_BYTES + (i % 16) * 5,
      isEndedByTarget: i % 4 === 1,
      clientIsn: Math.imul(ISN_STEP, 3 * i + 1) >>> 0,
      productionIsn: Math.imul(ISN_STEP, 3 * i + 2) >>> 0,
      targetIsn: Math.imul(ISN_STEP, 3 * i + 3) >>> 0,
      port: this.#nextPort(),
      turn: -(i % 7),
    };
  }

  #nextPort(): number {
    this.#port = (this.#port + 1) % PORTS;
    return PORT_FIRST + this.#port;
  }

  /** One turn of every session and of the loop. */
  turn(): void {
    // Of some turns frames come when the turn has begun.
    this.#nowMs = realtimeMs() + (this.#turns++ % 4 === 0 ? 1 : 0);
    for (let i = 0; i < this.#sessions.length; i++) this.#play(this.#sessions[i]!, i);
    this.#small.handOver();
    this.#large.handOver();
    this.#tellReplies();
    this.loop.turn();
    this.engine.nextTimerNs();
  }

  /** Steps: 0 the SYN, then requests, then the FIN; the target answers each, `lag` turns late. */
  #play(session: Session, i: number): void {
    const last = session.requests + 1;
    const answered = session.turn - 1 - session.lag;
    if (answered >= 0 && answered <= last) this.#answer(session, answered, last);
    if (session.turn >= 0 && session.turn <= last) this.#ask(session, i, session.turn, last);
    session.turn++;
    if (answered <= last) return;
    session.turn = 0;
    session.port = this.#nextPort();
  }

  #ask(session: Session, i: number, step: number, last: number): void {
    const { segments, segmentBytes } = session;
    const before = Math.max(0, step - 1);
    let seq = step === 0 ? session.clientIsn : session.clientIsn + 1 + before * segments * segmentBytes;
    const ack = step === 0 ? 0 : session.productionIsn + 1 + before * session.replyBytes;
    if (step === 0) {
      this.#fromClient(session, i, TcpFlag.Syn, seq, 0, 0);
      return;
    }
    if (step === 1 || i % 3 === 0) this.#fromClient(session, i, TcpFlag.Ack, seq, ack, 0);
    if (step === last) {
      this.#fromClient(session, i, TcpFlag.Fin | TcpFlag.Ack, seq, ack, 0);
      return;
    }
    for (let n = 1; n <= segments; n++, seq += segmentBytes) {
      const flags = n === segments ? TcpFlag.Psh | TcpFlag.Ack : TcpFlag.Ack;
      this.#fromClient(session, i, flags, seq, ack, segmentBytes);
    }
  }

  #fromClient(session: Session, i: number, flags: number, seq: number, ack: number, payloadBytes: number): void {
    const segment = this.#request;
    segment.from = session.client;
    segment.fromPort = session.port;
    segment.flags = flags;
    segment.seq = seq;
    segment.ack = ack;
    segment.payloadBytes = payloadBytes;
    segment.tsValue = TIMESTAMP + session.turn;
    const ring = payloadBytes > UPLOAD_BYTES ? this.#large : this.#small;
    const sum = (i % 3) as FrameSum;
    const at = ring.add(segment.headerBytes + payloadBytes, this.#nowMs, sum);
    segment.writeFrame(ring.region.view, at);
    if (sum === FrameSum.Unknown) segment.fillSum(ring.region.view, at);
  }

  #answer(session: Session, step: number, last: number): void {
    const { requests, replyBytes, segments, segmentBytes, isEndedByTarget } = session;
    const asked = Math.min(step, requests) * segments * segmentBytes;
    const ack = session.clientIsn + 1 + asked + (step === last ? 1 : 0);
    const seq = session.targetIsn + 1 + Math.max(0, step - 1) * replyBytes;
    if (step === 0) this.#fromTarget(session, TcpFlag.Syn | TcpFlag.Ack, session.targetIsn, ack, 0);
    else if (step === last) {
      if (isEndedByTarget) this.#fromTarget(session, TcpFlag.Ack, seq + 1, ack, 0);
      else this.#fromTarget(session, TcpFlag.Fin | TcpFlag.Ack, seq, ack, 0);
    } else {
      if (segments > 1) this.#fromTarget(session, TcpFlag.Ack, seq, ack, 0);
      this.#fromTarget(session, TcpFlag.Psh | TcpFlag.Ack, seq, ack, replyBytes);
      if (isEndedByTarget && step === last - 1) {
        this.#fromTarget(session, TcpFlag.Fin | TcpFlag.Ack, seq + replyBytes, ack, 0);
      }
    }
  }

  #fromTarget(session: Session, flags: number, seq: number, ack: number, payloadBytes: number): void {
    const segment = this.#reply;
    segment.to = session.client;
    segment.toPort = session.port;
    segment.flags = flags;
    segment.seq = seq;
    segment.ack = ack;
    segment.payloadBytes = payloadBytes;
    segment.tsValue = TIMESTAMP + session.turn;
    if (this.#headers === null) {
      if (this.#recordsEnd + REPLY_BYTES_MAX > this.#records.length) this.#tellReplies();
      segment.fill(this.#header);
      this.#recordsEnd += writeReply(this.#header, this.#recordsView, this.#recordsEnd);
      return;
    }
    const bytes = segment.headerBytes;
    const at = this.#headers.next(bytes, bytes + payloadBytes, this.#nowMs);
    segment.writeFrame(this.#headers.region.view, at);
    this.#headers.handOver();
  }

  /** Records of the tunnel come as its frames do. */
  #tellReplies(): void {
    const end = this.#recordsEnd;
    if (this.#tunnel === null || end === FRAME_HEAD_BYTES + REPLIES_HEAD_BYTES) return;
    this.#records.writeUInt32BE(end - FRAME_HEAD_BYTES + 1, 0);
    this.#records[4] = Frame.Replies;
    this.#tunnel.client.rehearse(this.#records.subarray(0, end));
    this.#recordsEnd = FRAME_HEAD_BYTES + REPLIES_HEAD_BYTES;
  }

  close(): void {
    this.#tunnel?.close();
    this.emitter.close();
    this.#small.release();
    this.#large.release();
    this.#headers?.release();
    this.#region.release();
  }
}

/** Plays them; nothing of it is left but compiled code. Resolves after 0.6 s at most. */
export async function warmUp(spec: AgentSpec, epochSeconds: number): Promise<void> {
  const rehearsal = new Rehearsal(spec, epochSeconds);
  try {
    for (let slice = 0; slice < SLICES; slice++) {
      const endMs = performance.now() + SLICE_MS;
      for (let n = 0; n < SLICE_TURNS && performance.now() < endMs; n++) rehearsal.turn();
      await rest(PAUSE_MS);
    }
  } finally {
    rehearsal.close();
  }
}
