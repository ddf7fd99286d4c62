/** The main thread's side of the thread that reads the ring: starts it, and starts it again when it breaks. */
import { Worker } from 'node:worker_threads';
import { deferred } from '../../base/deferred.ts';
import { type ErrorCode, OperatorError } from '../../base/errors.ts';
import { SharedCounters } from '../../ring/counters.ts';
import { Handoff } from './handoff.ts';
import { ReaderCount } from './reader.ts';
import type { ReaderMessage, ReaderStart } from './worker.ts';

export interface RingThreadOptions {
  readonly interface: string;
  readonly direction: 'in' | 'out';
  readonly services: Int32Array;
  /** A slot is full; it is given back when this returns. */
  readonly onSlot: (handoff: Handoff, slot: number) => void;
  /** The thread broke and is about to be started again. */
  readonly onFault: (why: string) => void;
}

const RESTART_MS = 500;
const STOP_MS_MAX = 2_000;

export class RingThread {
  readonly counters: SharedCounters<typeof ReaderCount> = new SharedCounters(ReaderCount, 1);
  restarts = 0;
  readonly #options: RingThreadOptions;
  readonly #handoff = new Handoff();
  #worker: Worker | null = null;
  #retry: NodeJS.Timeout | null = null;
  #stopped = false;

  constructor(options: RingThreadOptions) {
    this.#options = options;
  }

  /** Resolves when the ring is open. Rejects with the OperatorError that it could not be opened for. */
  start(): Promise<void> {
    const ready = deferred<void>();
    this.#run(ready.resolve, ready.reject);
    return ready.promise;
  }

  #run(ready: () => void, failed: (error: Error) => void): void {
    const start: ReaderStart = {
      interface: this.#options.interface,
      direction: this.#options.direction,
      services: this.#options.services,
      handoff: this.#handoff.buffer,
      counters: this.counters.buffer,
    };
    const worker = new Worker(new URL('./worker.js', import.meta.url), { workerData: start });
    this.#worker = worker;
    let error: Error = new Error('the thread that reads the ring ended');
    worker.on('message', (message: ReaderMessage) => {
      if (typeof message === 'number') {
        this.#options.onSlot(this.#handoff, message);
        this.#handoff.release(message);
      } else if (message.kind === 'ready') ready();
      else {
        error =
          message.code === null
            ? new Error(message.message)
            : new OperatorError(message.code as ErrorCode, message.message);
      }
    });
    worker.on('error', (fault) => {
      error = fault as Error;
    });
    worker.on('exit', () => {
      this.#worker = null;
      if (this.#stopped) return;
      // Before the first `ready` this ends the start; later, nobody listens to it any more.
      failed(error);
      this.#options.onFault(error.message);
    });
  }

  /** After a fault: once more in a while, until it works or `stop`. */
  restartSoon(): void {
    if (this.#stopped || this.#retry !== null) return;
    this.#retry = setTimeout(() => {
      this.#retry = null;
      this.restarts++;
      this.#run(
        () => {},
        () => {},
      );
    }, RESTART_MS);
  }

  /** Whether records are to have heads (`tunnel/reply.ts`) from now on. */
  set heads(areWanted: boolean) {
    this.#handoff.heads = areWanted;
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    if (this.#retry !== null) clearTimeout(this.#retry);
    const worker = this.#worker;
    if (worker === null) return;
    this.#handoff.stop();
    const gone = new Promise<void>((resolve) => worker.once('exit', () => resolve()));
    const late = setTimeout(() => void worker.terminate(), STOP_MS_MAX);
    await gone;
    clearTimeout(late);
  }
}
