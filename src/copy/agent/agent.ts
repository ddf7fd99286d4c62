/**
 * An agent as the main thread sees it: workers that copy, started again when they crash, what they count, and what goes
 * on around them: next hops that move, a processor's share, the rule that swallows replies.
 *
 * ```
 * const agent = await startAgent(spec, { note: (level, text) => log(level, text) });   // ready when it resolves
 * agent.snapshot(); agent.stop(); const report = await agent.ended;
 * ```
 */
import { setTimeout as rest } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { OperatorError } from '../../base/errors.ts';
import { monotonicSeconds } from '../../device/host.ts';
import { Waker } from '../../device/wake.ts';
import { type CompareReport, Comparison } from '../compare/comparison.ts';
import type { EngineOptions } from '../options.ts';
import { errorOf, type WorkerCommand, type WorkerMessage, type WorkerStart } from './messages.ts';
import { macsOf } from './neighbour.ts';
import { type AgentSnapshot, snapshotOf } from './report.ts';
import { AgentOrder, AgentRows, AgentTotals } from './rows.ts';
import type { AgentSpec } from './spec.ts';
import { Swallow } from './swallow.ts';

export type Level = 'debug' | 'info' | 'warn' | 'error';

export interface AgentEvents {
  readonly note?: (level: Level, text: string) => void;
  /** Called when replies are swallowed, before the first worker starts; what it rejects with ends the start. */
  readonly beforeCopying?: () => Promise<void>;
}

const LOOK_MS = 200;
const SERIES_MS = 1_000;
const NEIGHBOURS_MS = 10_000;
const RULES_MS = 2_000;
/** Pauses before a worker that crashed is started again: the first, and the longest. */
const RESTART_MS = [50, 5_000] as const;
/** A worker that ran this long has not crashed from the start. */
const HEALTHY_MS = 10_000;
/** After the workers' own time for closing sessions. */
const STOP_MS_EXTRA = 2_000;
/** Time that workers have to end by themselves before they are ended, and pauses of looking whether they have. */
const KILL_MS = 500;
const KILL_LOOK_MS = 5;
/** Of a worker's young generation: copying makes no objects, and what is there is kept, as memory, at its largest. */
const YOUNG_MB = 4;

/**
 * Starts the workers. Rejects with the OperatorError of the first that could not begin; nothing is left behind
 * then.
 */
export async function startAgent(spec: AgentSpec, events: AgentEvents = {}): Promise<CopyAgent> {
  const swallow = spec.replies.kind === 'local' ? Swallow.setUp(spec.targets) : null;
  const agent = new CopyAgent(spec, events, swallow);
  try {
    await events.beforeCopying?.();
    await agent.begin();
    return agent;
  } catch (error) {
    await agent.kill();
    throw error;
  }
}

interface Seat {
  worker: Worker | null;
  /** Wakes it for a command or an order. */
  readonly waker: Waker;
  startedMs: number;
  crashes: number;
}

export class CopyAgent {
  /** Resolves with the report once every worker has ended; rejects when none can run. */
  readonly ended: Promise<AgentSnapshot>;
  crashes = 0;
  readonly #spec: AgentSpec;
  readonly #note: (level: Level, text: string) => void;
  readonly #swallow: Swallow | null;
  readonly #rows: AgentRows;
  /** What crashed workers had counted. */
  readonly #before = new AgentTotals();
  readonly #seats: Seat[];
  readonly #comparison: Comparison | null;
  readonly #epochSeconds = monotonicSeconds();
  readonly #timers: NodeJS.Timeout[] = [];
  readonly #startedMs = performance.now();
  #endedMs = 0;
  #running = 0;
  #isOver = false;
  #engine: Partial<EngineOptions> = {};
  #end!: (report: AgentSnapshot) => void;
  #fail!: (error: Error) => void;
  #cpu = process.cpuUsage();
  #cpuMs = performance.now();
  #macs: readonly Uint8Array[];

  constructor(spec: AgentSpec, events: AgentEvents, swallow: Swallow | null) {
    this.#spec = spec;
    this.#note = events.note ?? (() => {});
    this.#swallow = swallow;
    this.#rows = new AgentRows(spec.workers);
    this.#comparison = spec.compare === true ? new Comparison(spec.workers) : null;
    this.#macs = spec.targets.map(({ macs }) => macs);
    this.#seats = Array.from({ length: spec.workers }, () => ({
      worker: null,
      waker: new Waker(),
      startedMs: 0,
      crashes: 0,
    }));
    this.ended = new Promise((resolve, reject) => {
      this.#end = resolve;
      this.#fail = reject;
    });
    this.ended.catch(() => {});
  }

  /** Resolves when every worker is ready. */
  async begin(): Promise<void> {
    this.#running = this.#seats.length;
    await Promise.all(this.#seats.map((_, i) => this.#launch(i)));
    this.#every(LOOK_MS, () => this.#limitCpu());
    this.#every(NEIGHBOURS_MS, () => this.#followNeighbours());
    if (this.#comparison !== null) this.#every(SERIES_MS, () => this.#comparison!.sample(this.#seconds));
    if (this.#swallow !== null) this.#every(RULES_MS, () => this.#mendRules());
  }

  #every(ms: number, work: () => void): void {
    const timer = setInterval(work, ms);
    timer.unref();
    this.#timers.push(timer);
  }

  /** Starts a worker; resolves when it copies. */
  #launch(i: number): Promise<void> {
    const seat = this.#seats[i]!;
    const spec = { ...this.#spec, engine: { ...this.#spec.engine, ...this.#engine }, targets: this.#targetsNow() };
    const start: WorkerStart = {
      spec,
      worker: i,
      rows: this.#rows.buffer,
      compareRows: this.#comparison?.buffer ?? null,
      wakeFd: seat.waker.fd,
      epochSeconds: this.#epochSeconds,
      // After a crash clients do not wait for it.
      warms: this.#spec.packets.kind === 'live' && seat.crashes === 0,
    };
    const worker = new Worker(new URL('./worker.js', import.meta.url), {
      workerData: start,
      resourceLimits: { maxYoungGenerationSizeMb: YOUNG_MB },
    });
    seat.worker = worker;
    seat.startedMs = performance.now();
    return new Promise((resolve, reject) => {
      let isReady = false;
      let isDone = false;
      let crash: Error | null = null;
      worker.on('message', (message: WorkerMessage) => {
        if (message.kind === 'note') this.#note(message.level, message.text);
        else if (message.kind === 'failed') crash = errorOf(message.error);
        else if (message.kind === 'done') isDone = true;
        else {
          isReady = true;
          if (seat.crashes > 0) this.#note('info', `copying thread ${i + 1} runs again`);
          resolve();
        }
      });
      worker.on('error', (error) => {
        crash = error instanceof Error ? error : new Error(String(error));
      });
      worker.on('exit', () => {
        seat.worker = null;
        if (!isReady && seat.crashes === 0) {
          reject(crash ?? new Error('a copying thread ended before it was ready'));
          this.#leave();
        } else if (isDone || this.#isOver) this.#leave();
        else this.#crashed(i, crash);
      });
    });
  }

  #targetsNow(): AgentSpec['targets'] {
    return this.#spec.targets.map((target, i) => ({ ...target, macs: this.#macs[i]! }));
  }

  /** Its sessions are lost; their clients' next requests are taken up by the next worker. */
  #crashed(i: number, error: Error | null): void {
    const isFatal = error instanceof OperatorError && this.#spec.packets.kind === 'files';
    if (isFatal) {
      this.#fail(error);
      void this.kill();
      return;
    }
    const seat = this.#seats[i]!;
    seat.crashes = performance.now() - seat.startedMs > HEALTHY_MS ? 1 : seat.crashes + 1;
    this.crashes++;
    this.#before.retire(this.#rows, i);
    this.#comparison?.retire(i);
    const pauseMs = Math.min(RESTART_MS[1], RESTART_MS[0] * 2 ** (seat.crashes - 1));
    this.#note('error', `copying thread ${i + 1} ended (${error?.message ?? 'no reason given'}): starting it again`);
    const timer = setTimeout(() => {
      if (this.#isOver) this.#leave();
      else this.#launch(i).catch(() => {});
    }, pauseMs);
    this.#timers.push(timer);
  }

  #leave(): void {
    this.#running--;
    if (this.#running > 0) return;
    this.#isOver = true;
    this.#endedMs = performance.now();
    for (const timer of this.#timers) clearTimeout(timer);
    for (const { waker } of this.#seats) waker.close();
    this.#swallow?.tearDown();
    this.#end(this.snapshot());
  }

  snapshot(): AgentSnapshot {
    const totals = new AgentTotals();
    totals.addTotals(this.#before);
    for (let i = 0; i < this.#seats.length; i++) totals.add(this.#rows, i);
    const compare = this.#comparison?.snapshot() ?? null;
    return { ...snapshotOf(totals, this.#seats.length, this.crashes, this.#seconds), compare };
  }

  get #seconds(): number {
    return ((this.#endedMs > 0 ? this.#endedMs : performance.now()) - this.#startedMs) / 1000;
  }

  /** What comparing has found, with its course and the exchanges that differ; null: nothing is compared. */
  comparison(): CompareReport | null {
    this.#comparison?.sample(this.#seconds);
    return this.#comparison?.report(this.#spec.targets) ?? null;
  }

  /** Nothing more is captured; sessions are closed in order, for `closeMs` at most. `ended` resolves then. */
  stop(): void {
    this.#isOver = true;
    this.#rows.order = AgentOrder.Close;
    this.#wake();
    const timer = setTimeout(() => void this.kill(), this.#spec.closeMs + STOP_MS_EXTRA);
    timer.unref();
    this.#timers.push(timer);
  }

  /** At once: targets are told by RSTs, for `KILL_MS` at most. */
  async kill(): Promise<void> {
    this.#isOver = true;
    this.#rows.order = AgentOrder.Stop;
    this.#wake();
    for (const timer of this.#timers) clearTimeout(timer);
    const endMs = performance.now() + KILL_MS;
    while (performance.now() < endMs && this.#seats.some(({ worker }) => worker !== null)) await rest(KILL_LOOK_MS);
    await Promise.all(this.#seats.map(({ worker }) => worker?.terminate()));
    for (const { waker } of this.#seats) waker.close();
    this.#swallow?.tearDown();
  }

  #wake(): void {
    for (const { waker } of this.#seats) waker.wake();
  }

  /** Ends a worker as a crash would: for tests of what becomes of it. */
  async crashWorker(i: number): Promise<void> {
    await this.#seats[i]?.worker?.terminate();
  }

  /** Other settings for sessions and clients from now on. */
  reconfigure(options: Partial<EngineOptions>): void {
    this.#engine = { ...this.#engine, ...options };
    this.#tell({ kind: 'engine', options });
  }

  #tell(command: WorkerCommand): void {
    for (const { worker } of this.#seats) worker?.postMessage(command);
    this.#wake();
  }

  /** Above the share no session begins; those that run go on. */
  #limitCpu(): void {
    if (this.#spec.cpuPercentMax === 0) return;
    const now = performance.now();
    const { user, system } = process.cpuUsage(this.#cpu);
    const percent = (user + system) / 10 / (now - this.#cpuMs);
    this.#cpu = process.cpuUsage();
    this.#cpuMs = now;
    const isOver = percent > this.#spec.cpuPercentMax;
    if (isOver && !this.#rows.sheds)
      this.#note('warn', `over ${this.#spec.cpuPercentMax} % of a processor: no session begins`);
    this.#rows.sheds = isOver;
  }

  #followNeighbours(): void {
    this.#macs = this.#spec.targets.map((target, i) => {
      const before = this.#macs[i]!;
      if (before.byteLength === 0) return before;
      let macs: Uint8Array;
      try {
        macs = macsOf(target.device, target.host);
      } catch {
        // It does not answer now: what was known may still be right.
        return before;
      }
      if (macs.every((byte, at) => byte === before[at])) return before;
      this.#note('info', `the way to ${target.host} on ${target.device} has another Ethernet address`);
      this.#tell({ kind: 'macs', target: i, macs });
      return macs;
    });
  }

  #mendRules(): void {
    const added = this.#swallow!.mend();
    if (added > 0) this.#note('warn', `${added} routing rules that swallow replies had gone: set again`);
  }
}
