/** What the main thread and the workers of one replay say to each other, beside the shared counters. */
import type { ErrorCode } from '../base/errors.ts';
import type { FlowReport } from './report.ts';
import type { SendEnd } from './send.ts';
import type { ReplaySpec } from './spec.ts';

/** Handed to a worker when it starts. */
export interface WorkerStart {
  readonly spec: ReplaySpec;
  readonly worker: number;
  readonly shared: SharedArrayBuffer;
  /** CLOCK_MONOTONIC seconds that count as zero on all threads. */
  readonly epochSeconds: number;
  /** Somebody answers `ask` messages. */
  readonly asks: boolean;
}

export interface ErrorMessage {
  /** Null: not an operator's fault. */
  readonly code: ErrorCode | null;
  readonly message: string;
  readonly stack: string;
}

export interface OutputResult {
  readonly name: string;
  readonly backend: string;
  readonly sent: number;
  readonly sentBytes: number;
  readonly failed: number;
  readonly truncated: number;
  readonly retriedNoBufs: number;
  readonly retriedAgain: number;
  readonly causes: readonly (readonly [string, number])[];
  readonly flows: FlowReport | null;
}

export interface WorkerResult {
  readonly end: SendEnd;
  readonly fault: ErrorMessage | null;
  readonly loops: number;
  readonly endNs: number;
  readonly read: number;
  readonly tally: readonly number[];
  readonly edited: number;
  /** Packets that could not be edited, by cause. */
  readonly notEditable: Readonly<Record<string, number>>;
  readonly files: readonly { readonly packets: number; readonly bytes: number }[];
  readonly outputs: readonly OutputResult[];
}

export type WorkerMessage =
  /** Everything is open and loaded. `packets`: in one pass over the inputs, or -1 where that is not known. */
  | { readonly kind: 'ready'; readonly packets: number; readonly warnings: readonly string[] }
  | { readonly kind: 'ask'; readonly packet: number; readonly sink: string }
  | { readonly kind: 'done'; readonly result: WorkerResult }
  | { readonly kind: 'failed'; readonly error: ErrorMessage };
