/**
 * The main thread's side of a replay: checks the spec and the machine, starts the workers, hands out commands and
 * snapshots, merges the results.
 */
import { Worker } from 'node:worker_threads';
import { deferred } from '../base/deferred.ts';
import { OperatorError } from '../base/errors.ts';
import { NS_PER_MS, NS_PER_SECOND } from '../base/units.ts';
import { chooseBackend } from '../device/backend.ts';
import { monotonicSeconds, realtimeMs, SystemClock } from '../device/host.ts';
import { linkFacts } from '../device/link.ts';
import { Linktype } from '../wire/linktype.ts';
import { checkReplaySpec } from './check.ts';
import { mergeReport } from './merge.ts';
import type { ErrorMessage, WorkerMessage, WorkerResult, WorkerStart } from './messages.ts';
import { Cell, Command, Progress } from './progress.ts';
import type { ReplayReport, ReplaySnapshot } from './report.ts';
import type { OutputSpec, ReplaySpec } from './spec.ts';
import { WireWatch } from './wirewatch.ts';

export interface ReplayOptions {
  /** `oneatatime`: asked before packet `packet` goes to `output`; resolves with how many may go, 0 = stop. */
  readonly ask?: (packet: number, output: string) => Promise<number>;
  /** Told twice a second, until the replay is open, how many packets have been counted or kept in memory. */
  readonly preparing?: (packets: number) => void;
}

/** An opened replay. `start` once; the other members at any time. */
export interface Replay {
  /** Sends everything; resolves when done, stopped or broken. */
  start(): Promise<ReplayReport>;
  snapshot(): ReplaySnapshot;
  /** Ends the run soon; `start` resolves with `interrupted`. */
  stop(): void;
  pause(): void;
  resume(): void;
  /** Frees everything without sending. Not needed after `start` has resolved. */
  close(): Promise<void>;
  /** What was found before the start, one sentence each. */
  readonly warnings: readonly string[];
}

const PREPARING_MS = 500;
/** Lead of the common start over the command to run: all workers are awake and have their first packet queued. */
const START_LEAD_NS = 10 * NS_PER_MS;

/** Checks, opens and loads everything that `spec` names. Rejects with an OperatorError that says what to do. */
export async function openReplay(spec: ReplaySpec, options: ReplayOptions = {}): Promise<Replay> {
  checkReplaySpec(spec);
  const topSpeed = spec.rate.kind === 'topspeed';
  const primary = resolve(spec.primary, topSpeed);
  const resolved = { ...spec, primary, secondary: spec.secondary && resolve(spec.secondary, topSpeed) };
  const handle = new ReplayHandle(resolved, options, new WireWatch(resolved));
  await handle.open();
  return handle;
}

/**
 * `auto` as the backend that it stands for. At top speed AF_PACKET goes through its transmit ring, which is 1.03 to
 * 1.18
 * times as fast (docs/decisions/0004-tx-ring.md); where packets have their times, one call per packet is as exact.
 */
function resolve(output: OutputSpec, topSpeed: boolean): OutputSpec {
  if (output.backend !== 'auto') return output;
  if (output.kind === 'file') return { ...output, backend: 'file' };
  const backend = chooseBackend(output.name);
  if (backend !== 'af_packet' || !topSpeed) return { ...output, backend };
  return { ...output, backend: linkFacts(output.name).linktype === Linktype.EN10MB ? 'tx_ring' : backend };
}

class ReplayHandle implements Replay {
  readonly #spec: ReplaySpec;
  readonly #options: ReplayOptions;
  readonly #wire: WireWatch;
  readonly #progress: Progress;
  readonly #epochSeconds = monotonicSeconds();
  readonly #clock = new SystemClock(this.#epochSeconds);
  readonly #workers: WorkerHandle[] = [];
  #warnings: readonly string[] = [];
  #packetsPerPass = -1;
  #startedAtMs = 0;
  #pausedAtNs = -1;
  #endNs = -1;
  #stopped = false;

  constructor(spec: ReplaySpec, options: ReplayOptions, wire: WireWatch) {
    this.#spec = spec;
    this.#options = options;
    this.#wire = wire;
    this.#progress = new Progress(spec.workers);
  }

  get warnings(): readonly string[] {
    return this.#warnings;
  }

  async open(): Promise<void> {
    for (let worker = 0; worker < this.#spec.workers; worker++) {
      const start: WorkerStart = {
        spec: this.#spec,
        worker,
        shared: this.#progress.buffer,
        epochSeconds: this.#epochSeconds,
        asks: this.#options.ask !== undefined,
      };
      this.#workers.push(new WorkerHandle(start, (packet, sink) => this.#ask(packet, sink)));
    }
    const { preparing } = this.#options;
    const ticks = setInterval(() => preparing?.(this.#progress.max(Cell.Prepared)), PREPARING_MS);
    try {
      const ready = await Promise.all(this.#workers.map((worker) => worker.ready));
      this.#packetsPerPass = ready[0]!.packets;
      this.#warnings = [...this.#wire.warnings, ...ready[0]!.warnings];
    } catch (error) {
      await this.close();
      throw error;
    } finally {
      clearInterval(ticks);
    }
  }

  async start(): Promise<ReplayReport> {
    this.#wire.begin();
    this.#progress.startNs = this.#clock.nowNs() + this.#startDelayNs();
    this.#startedAtMs = Date.now() + Math.max(0, (this.#progress.startNs - this.#clock.nowNs()) / NS_PER_MS);
    this.#progress.order(this.#stopped ? Command.Stop : Command.Run);
    try {
      const results = await Promise.all(this.#workers.map((worker) => worker.done));
      this.#endNs = results.reduce((most, result) => Math.max(most, result.endNs), 0);
      const finishedAtMs = Date.now();
      const sent = [0, 1].map((route) => this.#progress.sum(Cell.Sent + route));
      const wires = await this.#wire.end(sent);
      const times = { startedAtMs: this.#startedAtMs, finishedAtMs, interrupted: this.#stopped };
      return mergeReport(this.#spec, results, wires, times, this.#progress);
    } finally {
      await this.close();
    }
  }

  snapshot(): ReplaySnapshot {
    const progress = this.#progress;
    const perOutput = [this.#spec.primary, this.#spec.secondary].filter((output) => output !== null);
    const outputs = perOutput.map((output, route) => ({
      name: output.name,
      sent: progress.sum(Cell.Sent + route),
      failed: progress.sum(Cell.Failed + route),
    }));
    const read = progress.sum(Cell.Read);
    const loops = this.#spec.loop.count;
    const total = this.#packetsPerPass >= 0 && loops > 0 ? this.#packetsPerPass * loops : -1;
    return {
      packetsRead: read,
      packetsSent: progress.sum(Cell.Sent) + progress.sum(Cell.Sent + 1),
      packetsFailed: progress.sum(Cell.Failed) + progress.sum(Cell.Failed + 1),
      packetsSkipped: progress.sum(Cell.Skipped),
      bytesSent: progress.sum(Cell.SentBytes) + progress.sum(Cell.SentBytes + 1),
      seconds: this.#elapsedNs() / NS_PER_SECOND,
      loop: progress.max(Cell.Loop),
      loopCount: loops,
      packetsTotal: total,
      progress: total > 0 ? Math.min(1, read / total) : -1,
      latenessNsLast: progress.max(Cell.LatenessLast),
      latenessNsMax: progress.max(Cell.LatenessMax),
      paused: this.#pausedAtNs >= 0,
      outputs,
    };
  }

  stop(): void {
    this.#stopped = true;
    this.#progress.order(Command.Stop);
    this.#progress.answer(0);
  }

  pause(): void {
    if (this.#pausedAtNs >= 0 || this.#stopped || this.#startedAtMs === 0) return;
    this.#pausedAtNs = this.#clock.nowNs();
    this.#progress.order(Command.Pause);
  }

  resume(): void {
    if (this.#pausedAtNs < 0) return;
    this.#progress.shiftNs += this.#clock.nowNs() - this.#pausedAtNs;
    this.#pausedAtNs = -1;
    if (!this.#stopped) this.#progress.order(Command.Run);
  }

  async close(): Promise<void> {
    this.#progress.order(Command.Stop);
    await Promise.all(this.#workers.map((worker) => worker.end()));
  }

  #elapsedNs(): number {
    if (this.#startedAtMs === 0) return 0;
    if (this.#endNs >= 0) return this.#endNs;
    const now = this.#pausedAtNs >= 0 ? this.#pausedAtNs : this.#clock.nowNs();
    return Math.max(0, now - this.#progress.startNs - this.#progress.shiftNs);
  }

  #startDelayNs(): number {
    const at = this.#spec.startAtMs;
    if (at === null) return START_LEAD_NS;
    const delayMs = at - realtimeMs();
    if (delayMs < 0) {
      const late = (-delayMs / 1000).toFixed(3);
      throw new OperatorError('USAGE', `the start time has passed ${late} s ago: give a later --start-at`);
    }
    return delayMs * NS_PER_MS;
  }

  async #ask(packet: number, sink: string): Promise<void> {
    this.#progress.answer(await this.#options.ask!(packet, sink));
  }
}

/** One worker thread and the two promises it keeps. */
class WorkerHandle {
  readonly ready: Promise<{ readonly packets: number; readonly warnings: readonly string[] }>;
  readonly done: Promise<WorkerResult>;
  readonly #worker: Worker;
  readonly #exited: Promise<void>;

  constructor(start: WorkerStart, ask: (packet: number, sink: string) => void) {
    const worker = new Worker(new URL('./worker.js', import.meta.url), { workerData: start });
    this.#worker = worker;
    const ready = deferred<{ readonly packets: number; readonly warnings: readonly string[] }>();
    const done = deferred<WorkerResult>();
    const fail = (error: Error): void => {
      ready.reject(error);
      done.reject(error);
    };
    // Both are awaited one after the other; the second rejection must not count as unhandled.
    ready.promise.catch(() => {});
    done.promise.catch(() => {});
    worker.on('message', (message: WorkerMessage) => {
      if (message.kind === 'ready') ready.resolve(message);
      else if (message.kind === 'done') done.resolve(message.result);
      else if (message.kind === 'failed') fail(toError(message.error));
      else ask(message.packet, message.sink);
    });
    worker.on('error', fail);
    this.#exited = new Promise((resolve) => {
      worker.on('exit', (code) => {
        fail(new Error(`the sending thread ended unexpectedly (exit ${code})`));
        resolve();
      });
    });
    this.ready = ready.promise;
    this.done = done.promise;
  }

  /** The worker ends by itself once it has been told to stop. */
  async end(): Promise<void> {
    const impatient = setTimeout(() => void this.#worker.terminate(), 5000);
    await this.#exited;
    clearTimeout(impatient);
  }
}

/** An error message as the error it was. */
export function toError(error: ErrorMessage): Error {
  if (error.code !== null) return new OperatorError(error.code, error.message);
  const plain = new Error(error.message);
  plain.stack = error.stack;
  return plain;
}
