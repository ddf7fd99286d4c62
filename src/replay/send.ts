/**
 * HOT: sends prepared batches when they are due. The innermost loop of `tsreplay`; the kernel's own cost of a frame is
 * about 1 µs, this loop's budget is 50 ns.
 *
 * Frames that are due are queued by reference and handed over together. A frame that is not due yet is queued behind an
 * empty queue before the wait ends, so that when its time comes only the system call is left.
 */
import { histogramRecord } from '../base/histogram.ts';
import type { Region } from '../base/region.ts';
import type { Sink } from '../device/sink.ts';
import type { Pacer } from './pace.ts';
import { Cell } from './progress.ts';
import type { Schedule } from './schedule.ts';
import { Route, type SendBatch } from './sendbatch.ts';

export interface SendLimits {
  /** Packets in total over all workers; Infinity = all. */
  readonly packets: number;
  /** Schedule time, ns; Infinity = no limit. */
  readonly durationNs: number;
}

/** Why `send` came back. */
export const SendEnd = { Sent: 0, Limit: 1, Duration: 2, Stopped: 3, Fault: 4 } as const;
export type SendEnd = (typeof SendEnd)[keyof typeof SendEnd];

/** `--oneatatime`: asks how many packets may go; called with the packet's number and its sink's name. */
export type Ask = (packet: number, sinkName: string) => number;

/** Frames between two looks at the clock and the command when nothing is waited for. */
const FREE_BATCH = 256;

export class Sender {
  readonly #sinks: readonly Sink[];
  readonly #schedule: Schedule;
  readonly #pacer: Pacer;
  readonly #limits: SendLimits;
  readonly #row: Float64Array;
  readonly #histogram: Int32Array;
  readonly #ask: Ask | null;
  readonly #due: Float64Array;
  readonly #paced: boolean;
  /** The sinks keep capture times. */
  readonly #timed: boolean;
  #queued = 0;
  #queuedRoute = 0;
  #sinceLook = 0;
  #counted = 0;
  #allowed = 0;
  #nowNs = Number.NEGATIVE_INFINITY;

  constructor(
    sinks: readonly Sink[],
    schedule: Schedule,
    pacer: Pacer,
    limits: SendLimits,
    row: Float64Array,
    histogram: Int32Array,
    ask: Ask | null,
  ) {
    this.#sinks = sinks;
    this.#schedule = schedule;
    this.#pacer = pacer;
    this.#limits = limits;
    this.#row = row;
    this.#histogram = histogram;
    this.#ask = ask;
    this.#paced = !schedule.free;
    this.#timed = sinks.every((sink) => sink.setTime !== undefined);
    let most = 1;
    for (const sink of sinks) most = Math.max(most, sink.limits.batchFramesMax);
    this.#due = new Float64Array(most);
  }

  /** Frames queued at a sink so far. */
  handed = 0;

  /** Packets counted against the limit so far, over all workers. */
  get counted(): number {
    return this.#counted;
  }

  /** Sends frames [from, to). Frames still queued on return stay so until `flush`. */
  send(batch: SendBatch, from: number, to: number): SendEnd {
    const frames = batch.frames;
    const region = frames.region;
    if (batch.startsFile && from === 0) this.#schedule.startFile();
    for (let i = from; i < to; i++) {
      if (this.#counted >= this.#limits.packets) return SendEnd.Limit;
      const route = batch.route[i]!;
      const length = frames.caplen[i]!;
      const dueNs = this.#schedule.next(frames.sec[i]!, frames.nsec[i]!, length);
      if (dueNs >= this.#limits.durationNs) return SendEnd.Duration;
      this.#counted++;
      if (route === Route.Elsewhere) continue;
      if (this.#timed) this.#sinks[route]!.setTime!(frames.sec[i]!, frames.nsec[i]!);
      const end = this.#sendOne(region, frames.at[i]!, length, route, dueNs);
      if (end !== SendEnd.Sent) {
        this.#counted--;
        return end;
      }
      if (length < frames.len[i]!) this.#row[Cell.Truncated + route]!++;
    }
    return SendEnd.Sent;
  }

  /** Hands over what is queued and publishes the counters. False: a device broke. */
  flush(): boolean {
    if (this.#queued === 0) return true;
    const route = this.#queuedRoute;
    const sink = this.#sinks[route]!;
    if (this.#paced) this.#recordLateness();
    sink.flush();
    this.#queued = 0;
    this.#sinceLook = 0;
    this.#publishSink(route);
    return sink.fault === null;
  }

  /** Brings the shared counters up to date with the sinks. */
  publish(): void {
    for (let route = 0; route < this.#sinks.length; route++) this.#publishSink(route);
  }

  #publishSink(route: number): void {
    const counters = this.#sinks[route]!.counters;
    this.#row[Cell.Sent + route] = counters.sent;
    this.#row[Cell.SentBytes + route] = counters.sentBytes;
    this.#row[Cell.Failed + route] = counters.failed;
  }

  #sendOne(region: Region, at: number, length: number, route: number, dueNs: number): SendEnd {
    if (this.#ask !== null && !this.#mayGo(route)) return SendEnd.Stopped;
    if (route !== this.#queuedRoute) {
      if (!this.flush()) return SendEnd.Fault;
      this.#queuedRoute = route;
    }
    if (this.#paced && dueNs > this.#nowNs) return this.#sendPaced(region, at, length, dueNs);
    if (++this.#sinceLook >= FREE_BATCH) {
      const end = this.#look();
      if (end !== SendEnd.Sent) return end;
    }
    return this.#push(region, at, length, dueNs);
  }

  /** Not known to be due: look at the clock, and wait if it is early. */
  #sendPaced(region: Region, at: number, length: number, dueNs: number): SendEnd {
    this.#nowNs = this.#pacer.nowNs();
    if (dueNs <= this.#nowNs) return this.#push(region, at, length, dueNs);
    if (!this.flush()) return SendEnd.Fault;
    if (!this.#pacer.approach(dueNs)) return SendEnd.Stopped;
    const end = this.#push(region, at, length, dueNs);
    if (end !== SendEnd.Sent) return end;
    this.#pacer.reach(dueNs);
    return this.flush() ? SendEnd.Sent : SendEnd.Fault;
  }

  #push(region: Region, at: number, length: number, dueNs: number): SendEnd {
    const sink = this.#sinks[this.#queuedRoute]!;
    if (!sink.push(region, at, length)) {
      if (!this.flush()) return SendEnd.Fault;
      if (!sink.push(region, at, length)) return SendEnd.Fault;
    }
    this.#due[this.#queued++] = dueNs;
    this.handed++;
    return SendEnd.Sent;
  }

  /** Once per batch when nothing is waited for: hand over, obey commands, watch the duration. */
  #look(): SendEnd {
    if (!this.flush()) return SendEnd.Fault;
    this.#sinceLook = 0;
    if (!this.#pacer.obey()) return SendEnd.Stopped;
    this.#nowNs = this.#pacer.nowNs();
    return this.#nowNs >= this.#limits.durationNs ? SendEnd.Duration : SendEnd.Sent;
  }

  #recordLateness(): void {
    this.#nowNs = this.#pacer.nowNs();
    const row = this.#row;
    for (let q = 0; q < this.#queued; q++) {
      const late = this.#nowNs - this.#due[q]!;
      histogramRecord(this.#histogram, late);
      row[Cell.LatenessLast] = late;
      if (late > row[Cell.LatenessMax]!) row[Cell.LatenessMax] = late;
    }
  }

  #mayGo(route: number): boolean {
    if (this.#allowed === 0) {
      if (!this.flush()) return false;
      this.#allowed = this.#ask!(this.#counted, this.#sinks[route]!.name);
      if (this.#allowed <= 0) return false;
    }
    this.#allowed--;
    return true;
  }
}
