/**
 * One worker's replay: opens its inputs and outputs, prepares, sends, counts. Runs in a worker thread, or, with a
 * clock and sinks of the caller's, in a test.
 */
import type { FrameBatch } from '../base/batch.ts';
import type { Clock } from '../base/clock.ts';
import { OperatorError } from '../base/errors.ts';
import type { Region } from '../base/region.ts';
import type { Sink } from '../device/sink.ts';
import type { CaptureReader } from '../pcap/reader.ts';
import { Arena, emptyFrames, type MakeRegion } from './arena.ts';
import { Cause } from './causes.ts';
import { type Feed, MergedFeed, SequentialFeed } from './feed.ts';
import { Pacer } from './pace.ts';
import { Preparer, type Stages } from './prepare.ts';
import { Cell, type Progress } from './progress.ts';
import { Schedule } from './schedule.ts';
import { type Ask, SendEnd, Sender } from './send.ts';
import type { SendBatch } from './sendbatch.ts';
import type { ReplaySpec } from './spec.ts';
import { UniqueIp } from './uniqueip.ts';

export interface EngineParts {
  readonly spec: ReplaySpec;
  readonly worker: number;
  readonly progress: Progress;
  readonly clock: Clock;
  readonly sinks: readonly Sink[];
  readonly stages: Stages;
  readonly openReader: (path: string) => CaptureReader;
  readonly makeRegion: MakeRegion;
  readonly ask: Ask | null;
  /** Walk an arena instead of the files: preloaded, or looped over files that are small enough. */
  readonly keep: boolean;
  /** Bytes of the inputs, 0 where that is not known: what an arena is made for. */
  readonly expectedBytes: number;
}

export interface EngineResult {
  readonly end: SendEnd;
  readonly fault: OperatorError | null;
  readonly loops: number;
  /** Schedule time at the end, ns. */
  readonly endNs: number;
  /** Packets by Cause, over all loops. */
  readonly tally: Float64Array;
  /** Packets by EditStatus; an arena's packets are edited once. */
  readonly edits: Float64Array;
  /** Packets and frame bytes in each input, as far as it was read. */
  readonly files: { packets: number; bytes: number }[];
}

export class Engine {
  readonly #parts: EngineParts;
  readonly #preparer: Preparer;
  readonly #sender: Sender;
  readonly #schedule: Schedule;
  readonly #pacer: Pacer;
  readonly #row: Float64Array;
  readonly #files: { packets: number; bytes: number }[];
  readonly #unique: UniqueIp | null;
  #arena: Arena | null = null;
  #fault: OperatorError | null = null;
  #loops = 0;

  constructor(parts: EngineParts) {
    this.#parts = parts;
    const spec = parts.spec;
    this.#row = parts.progress.row(parts.worker);
    this.#schedule = new Schedule(spec.rate, spec.maxSleepNs);
    this.#pacer = new Pacer(parts.clock, parts.progress);
    this.#preparer = new Preparer(parts.stages);
    const limits = {
      packets: spec.select.limit > 0 ? spec.select.limit : Number.POSITIVE_INFINITY,
      durationNs: spec.select.durationNs > 0 ? spec.select.durationNs : Number.POSITIVE_INFINITY,
    };
    const histogram = parts.progress.histogram(parts.worker);
    this.#sender = new Sender(parts.sinks, this.#schedule, this.#pacer, limits, this.#row, histogram, parts.ask);
    this.#files = spec.inputs.map(() => ({ packets: 0, bytes: 0 }));
    this.#unique = spec.loop.uniqueIp ? new UniqueIp(spec.loop.uniqueIpEvery) : null;
  }

  /** Everything that can be done before the first packet's time: loads the arena. Throws OperatorError MTU. */
  load(): void {
    if (!this.#parts.keep) return;
    const arena = new Arena(this.#parts.makeRegion, this.#parts.expectedBytes);
    this.#arena = arena;
    this.#walkFiles((batch) => {
      arena.append(batch, 0, batch.frames.count);
      this.#row[Cell.Prepared] = arena.packets;
      return SendEnd.Sent;
    });
    if (this.#preparer.tally[Cause.Oversize]! > 0) throw this.#parts.stages.oversize.error();
  }

  /** The memory that every frame will be sent from, or null where it is not one piece known beforehand. */
  get region(): Region | null {
    return this.#arena?.region ?? null;
  }

  /** Sends it all; returns when done, stopped or broken. */
  run(): EngineResult {
    const loopCount = this.#parts.spec.loop.count;
    let end: SendEnd = this.#awaitStart() ? SendEnd.Sent : SendEnd.Stopped;
    while (end === SendEnd.Sent && (loopCount === 0 || this.#loops < loopCount)) {
      if (this.#loops > 0) this.#schedule.delayNs(this.#parts.spec.loop.delayNs);
      this.#row[Cell.Loop] = this.#loops + 1;
      this.#unique?.startLoop(this.#loops, this.#arena !== null);
      end = this.#arena !== null ? this.#sendArena(this.#arena) : this.#walkFiles((batch) => this.#send(batch));
      if (end === SendEnd.Sent && this.#fault === null) this.#loops++;
      if (this.#fault !== null || this.#sentNothing()) break;
    }
    this.#finish();
    return {
      end,
      fault: this.#fault,
      loops: this.#loops,
      endNs: Math.max(0, this.#pacer.nowNs()),
      tally: this.#preparer.tally.map((packets) => packets * this.#passes),
      edits: this.#preparer.edits,
      files: this.#files,
    };
  }

  /**
   * All workers begin at one moment, also where nothing is paced. Where it is, the first packet waits for its own due
   * time, 0, read, edited and queued by then. False: stopped before the start came.
   */
  #awaitStart(): boolean {
    if (!this.#schedule.free) return true;
    if (!this.#pacer.approach(0)) return false;
    this.#pacer.reach(0);
    return true;
  }

  release(): void {
    this.#arena?.release();
    for (const sink of this.#parts.sinks) sink.close();
  }

  /** An endless loop over nothing would never end. */
  #sentNothing(): boolean {
    return this.#sender.counted === 0;
  }

  #finish(): void {
    this.#sender.flush();
    for (const sink of this.#parts.sinks) sink.drain();
    this.#publish();
    for (const sink of this.#parts.sinks) {
      if (sink.fault instanceof OperatorError && this.#fault === null) this.#fault = sink.fault;
    }
  }

  /**
   * Packets read are those consumed: handed to a sink, or put aside for a cause. What was read ahead when the run
   * ended does not count.
   */
  #publish(): void {
    this.#sender.publish();
    const tally = this.#preparer.tally;
    let aside = 0;
    for (let cause = 0; cause < tally.length; cause++) aside += tally[cause]!;
    this.#row[Cell.Skipped] = aside * this.#passes;
    this.#row[Cell.Read] = this.#sender.handed + (aside - this.#preparer.splitExtra) * this.#passes;
  }

  /** An arena's packets were put aside once, but would be in every loop. */
  get #passes(): number {
    return this.#arena === null ? 1 : Math.max(1, this.#loops);
  }

  /** One pass over the inputs, every prepared batch handed to `consume`. A fault of an input ends the pass. */
  #walkFiles(consume: (batch: SendBatch) => SendEnd): SendEnd {
    const letGo = (batch: FrameBatch) => this.#letGo(batch);
    const { split, inputs } = this.#parts.spec;
    const make = split.kind === 'dualfile' ? MergedFeed : SequentialFeed;
    const feed: Feed = new make(inputs, this.#parts.openReader, letGo);
    try {
      return this.#walk(feed, consume);
    } catch (error) {
      if (!(error instanceof OperatorError)) throw error;
      this.#fault = error;
      return SendEnd.Sent;
    } finally {
      this.#sender.flush();
      feed.close();
    }
  }

  #walk(feed: Feed, consume: (batch: SendBatch) => SendEnd): SendEnd {
    const preparer = this.#preparer;
    for (let piece = feed.next(); piece !== null; piece = feed.next()) {
      const file = this.#files[piece.input]!;
      for (let from = piece.from; from < piece.to; ) {
        const next = preparer.prepare(piece, from);
        if (preparer.out.frames.count > 0) {
          const end = consume(preparer.out);
          if (end !== SendEnd.Sent) return end;
        }
        if (next < piece.to) this.#letGo(piece.batch);
        from = next;
      }
      if (preparer.tally[Cause.Oversize]! > 0) throw this.#parts.stages.oversize.error();
      for (let i = piece.from; i < piece.to; i++) file.bytes += piece.batch.caplen[i]!;
      file.packets += piece.to - piece.from;
      this.#publish();
    }
    return SendEnd.Sent;
  }

  /** Nothing of the batch is in use any more: its memory may be overwritten. */
  #letGo(batch: FrameBatch): void {
    this.#sender.flush();
    for (const sink of this.#parts.sinks) if (sink.limits.retainsFrames) sink.drain();
    batch.region.scratchNext = batch.region.scratchStart;
  }

  #send(batch: SendBatch): SendEnd {
    let from = 0;
    const count = batch.frames.count;
    if (this.#unique === null) return this.#sender.send(batch, 0, count);
    while (from < count) {
      const to = this.#unique.apply(batch, from);
      const end = this.#sender.send(batch, from, to);
      if (end !== SendEnd.Sent) return end;
      if (to < count) this.#letGo(batch.frames);
      from = to;
    }
    return SendEnd.Sent;
  }

  #sendArena(arena: Arena): SendEnd {
    const frames = this.#arenaBatch.frames;
    arena.rewind();
    for (;;) {
      if (this.#unique !== null) this.#letGo(frames);
      if (arena.read(this.#arenaBatch) === 0) return SendEnd.Sent;
      const end = this.#send(this.#arenaBatch);
      this.#publish();
      if (end !== SendEnd.Sent) return end;
    }
  }

  readonly #arenaBatch: SendBatch = { frames: emptyFrames(1024), route: new Uint8Array(1024), startsFile: false };
}
