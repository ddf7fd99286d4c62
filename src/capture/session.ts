/** A capture as the main thread sees it: threads that capture, what they count, and the orders that they get. */
import { Worker } from 'node:worker_threads';
import { OperatorError } from '../base/errors.ts';
import type { SourceInterface } from '../device/capture_source.ts';
import { CaptureControl } from './control.ts';
import { type CaptureMessage, describeError, type ErrorMessage, errorOf } from './messages.ts';
import { type CaptureReport, type CaptureSnapshot, reportOf, snapshotOf } from './report.ts';
import { OpenedRun, type OutputSpec, type RunStart } from './run.ts';
import type { CaptureOptions } from './spec.ts';

export interface SessionSpec {
  readonly capture: CaptureOptions;
  readonly output: OutputSpec;
  /** Threads that share the packets; files and `cap` have one. Default 1. */
  readonly workers?: number;
}

const WORKERS_MAX = 64;
/** For a thread that has failed. */
const END_MS_MAX = 200;

/** One thread of the capture, wherever it runs. */
interface Part {
  readonly interfaces: readonly SourceInterface[];
  /** Resolves when it is done; rejects with what stopped it. */
  run(): Promise<DonePart>;
  terminate(): void;
}

/** Whom what breaks on the way is told. */
interface FaultListener {
  fault: (fault: ErrorMessage) => void;
}

type DonePart = Pick<Extract<CaptureMessage, { kind: 'done' }>, 'faults' | 'interfaces' | 'currentFile'>;

/**
 * An open capture. From `openSession` on frames gather in the kernel's buffer; `start` begins to write them.
 */
export class CaptureSession {
  readonly #control: CaptureControl;
  readonly #parts: readonly Part[];
  readonly #listener: FaultListener;
  #startedMs = 0;
  #finishedMs = 0;

  constructor(control: CaptureControl, parts: readonly Part[], listener: FaultListener) {
    this.#listener = listener;
    this.#control = control;
    this.#parts = parts;
  }

  get interfaces(): readonly SourceInterface[] {
    return this.#parts[0]!.interfaces;
  }

  /** `listener` hears of interfaces that break while others go on; all faults are in the report. */
  onFault(listener: (fault: ErrorMessage) => void): void {
    this.#listener.fault = listener;
  }

  /** Resolves with the report when everything is written and closed. Rejects where an output cannot be opened. */
  async start(): Promise<CaptureReport> {
    this.#startedMs = performance.now();
    this.#control.run();
    const runs = this.#parts.map((part) => part.run());
    // The first that fails ends the others, and is told once they are done.
    for (const run of runs) run.catch(() => this.#control.stop());
    const settled = await Promise.allSettled(runs);
    this.#finishedMs = performance.now();
    const done: DonePart[] = [];
    for (const result of settled) {
      if (result.status === 'rejected') throw result.reason;
      done.push(result.value);
    }
    const faults: ErrorMessage[] = done.flatMap((part) => part.faults);
    return reportOf(this.snapshot(), distinct(faults), done[0]!.interfaces);
  }

  /** Ends once everything received is written. May be called at any time. */
  stop(): void {
    this.#control.stop();
  }

  /** Each thread begins its next file. */
  rotate(): void {
    this.#control.rotate();
  }

  /** What is buffered goes to the files. */
  flush(): void {
    this.#control.flush();
  }

  snapshot(): CaptureSnapshot {
    const end = this.#finishedMs > 0 ? this.#finishedMs : performance.now();
    const seconds = this.#startedMs === 0 ? 0 : (end - this.#startedMs) / 1000;
    return snapshotOf(this.#control.counters, seconds);
  }

  /** Gives an opened capture up that is not to be started. */
  abandon(): void {
    this.#control.stop();
    for (const part of this.#parts) part.terminate();
  }
}

function distinct(faults: readonly ErrorMessage[]): ErrorMessage[] {
  return faults.filter((fault, i) => faults.findIndex((other) => other.message === fault.message) === i);
}

/** Opens every source on every thread. Rejects with an OperatorError that says what to type. */
export async function openSession(spec: SessionSpec): Promise<CaptureSession> {
  const workers = spec.workers ?? 1;
  checkWorkers(spec, workers);
  const control = new CaptureControl(workers);
  if (spec.capture.packets !== undefined) control.limit(spec.capture.packets);
  const { packets: _shared, ...options } = spec.capture;
  // Sockets of one group share what arrives; the number only has to differ from that of other captures.
  const group = workers > 1 ? { fanoutGroup: (process.pid * 31) & 0xffff } : {};
  const share = options.cpuPercentMax === undefined ? {} : { cpuPercentMax: options.cpuPercentMax };
  const starts = Array.from(
    { length: workers },
    (_, worker): RunStart => ({
      worker,
      workers,
      orders: control.orders,
      counters: control.counters.buffer,
      capture: { ...options, ...group, ...share },
      output: outputOf(spec.output, worker, workers),
    }),
  );
  const listener: FaultListener = { fault() {} };
  if (spec.capture.backend === 'cap' && spec.capture.files === undefined) {
    return new CaptureSession(control, [onThisThread(starts[0]!, control, listener)], listener);
  }
  const opening = starts.map((start) => onWorker(start, listener));
  const opened = await Promise.allSettled(opening);
  const parts = opened.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []));
  const failed = opened.find((each) => each.status === 'rejected');
  if (failed !== undefined) {
    control.stop();
    for (const part of parts) part.terminate();
    throw failed.reason;
  }
  return new CaptureSession(control, parts, listener);
}

function checkWorkers(spec: SessionSpec, workers: number): void {
  if (workers < 1 || workers > WORKERS_MAX) throw new OperatorError('USAGE', `1 to ${WORKERS_MAX} workers`);
  if (workers === 1) return;
  if (spec.capture.files !== undefined)
    throw new OperatorError('USAGE', 'a file is read by one worker: leave out --workers');
  if (spec.output.sink?.path === '-') {
    throw new OperatorError('USAGE', 'standard output is one stream: give -w a file name, or leave out --workers');
  }
}

/** Each worker writes files of its own: `prod.pcap` becomes `prod.w1.pcap`, `prod.w2.pcap`. */
function outputOf(output: OutputSpec, worker: number, workers: number): OutputSpec {
  const { sink } = output;
  if (sink === null || workers === 1) return output;
  const mark = `.w${worker + 1}`;
  const path = sink.path.replace(/((?:\.[A-Za-z0-9]+){0,2})$/, (extension) => mark + extension);
  const index = sink.indexPath === undefined ? {} : { indexPath: sink.indexPath + mark };
  const disk = sink.diskBytesMax === undefined ? {} : { diskBytesMax: Math.floor(sink.diskBytesMax / workers) };
  return { ...output, sink: { ...sink, path, ...index, ...disk } };
}

function onThisThread(start: RunStart, control: CaptureControl, listener: FaultListener): Part {
  const run = new OpenedRun(start, control, false, (fault) => listener.fault(fault));
  return { interfaces: run.interfaces, run: () => run.run(), terminate: () => run.abandon() };
}

async function onWorker(start: RunStart, listener: FaultListener): Promise<Part> {
  const worker = new Worker(new URL('./worker.js', import.meta.url), { workerData: start });
  // From the beginning: on a busy machine its last message and its end are heard in one go, one right after the other.
  const ended = new Promise<void>((resolve) => worker.once('exit', () => resolve()));
  const first = await messageOf(worker, listener);
  if (first.kind !== 'opened') throw await failureOf(first, ended);
  // Listened to from now on: the message may come before anybody asks.
  const last = messageOf(worker, listener);
  last.catch(() => {});
  return {
    interfaces: first.interfaces,
    async run() {
      const message = await last;
      if (message.kind !== 'done') throw await failureOf(message, ended);
      return message;
    },
    terminate: () => void worker.terminate(),
  };
}

/** The next message that is no fault told on the way. */
function messageOf(worker: Worker, listener: FaultListener): Promise<CaptureMessage> {
  return new Promise((resolve, reject) => {
    const hear = (message: CaptureMessage): void => {
      if (message.kind === 'fault') {
        listener.fault(message.fault);
        return;
      }
      worker.off('message', hear);
      resolve(message);
    };
    worker.on('message', hear);
    worker.once('error', reject);
    worker.once('exit', (code) => reject(new Error(`a capturing thread ended with status ${code}`)));
  });
}

/** What `message` tells, once its thread has ended and given back what it held, or soon if it does not. */
async function failureOf(message: CaptureMessage, ended: Promise<void>): Promise<Error> {
  // The timer keeps the process alive: without it and the thread nothing does, and it would end without a word.
  let timer: NodeJS.Timeout | undefined;
  const patience = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, END_MS_MAX);
  });
  await Promise.race([ended, patience]);
  clearTimeout(timer);
  return message.kind === 'failed' ? errorOf(message.error) : errorOf(describeError(`unexpected ${message.kind}`));
}
