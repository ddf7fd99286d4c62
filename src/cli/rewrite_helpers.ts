/**
 * Threads that edit windows beside the main one. They are started before the command line is understood, so that they
 * load while the main thread does: with 1,000,000 packets that is a fifth of the whole run.
 */
import { Worker } from 'node:worker_threads';
import { type ErrorCode, OperatorError } from '../base/errors.ts';
import { WORKERS_MAX } from './rewrite_limits.ts';
import type { WindowsResult, WindowsSpec } from './rewrite_windows.ts';

/** What a helper is sent, and what it says at the end. */
export interface HelperStart {
  readonly windows: WindowsSpec;
  readonly cachefile: string | null;
}
export type HelperResult = Omit<WindowsResult, 'fault'> & {
  readonly fault: { readonly code: ErrorCode; readonly message: string } | null;
};

export class Helpers {
  readonly #idle: Worker[] = [];

  /** Starts so many threads, which wait for `run`. */
  start(count: number): void {
    for (let k = this.#idle.length; k < Math.min(count, WORKERS_MAX - 1); k++) {
      const worker = new Worker(new URL('./rewrite_in_place_worker.js', import.meta.url));
      // Heard only while it works: one that cannot start is then a rejection of `run`.
      worker.on('error', () => {});
      this.#idle.push(worker);
    }
  }

  /** Gives `count` threads the same work. Each promise is one's result; it rejects for a defect of the program. */
  run(start: HelperStart, count: number): Promise<WindowsResult>[] {
    this.start(count);
    return this.#idle.slice(0, Math.max(0, count)).map(async (worker) => {
      const result = await new Promise<HelperResult>((resolve, reject) => {
        worker.once('message', resolve);
        worker.once('error', reject);
        worker.once('exit', () => reject(new Error('a thread ended without a result')));
        worker.postMessage(start);
      });
      const { fault } = result;
      return { ...result, fault: fault === null ? null : new OperatorError(fault.code, fault.message) };
    });
  }

  /** Ends them all. */
  async stop(): Promise<void> {
    await Promise.all(this.#idle.splice(0).map((worker) => worker.terminate()));
  }
}
