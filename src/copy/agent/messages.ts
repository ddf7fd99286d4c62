/** What the agent's threads say to each other, beside what they share. */
import { type ErrorCode, OperatorError } from '../../base/errors.ts';
import type { EngineOptions } from '../options.ts';
import type { AgentSpec } from './spec.ts';

export interface WorkerStart {
  readonly spec: AgentSpec;
  readonly worker: number;
  readonly rows: SharedArrayBuffer;
  /** Rows of `compare/rows.ts`; null: nothing is compared. */
  readonly compareRows: SharedArrayBuffer | null;
  /** Readable when there is a command or an order (`device/wake.ts`). */
  readonly wakeFd: number;
  /** Second of the monotonic clock that all workers count from. */
  readonly epochSeconds: number;
  /** Whether it plays conversations before it copies, so that its code is compiled. */
  readonly warms: boolean;
}

export interface ErrorMessage {
  /** Null: not an operator's fault. */
  readonly code: ErrorCode | null;
  readonly message: string;
  readonly stack: string;
}

export type WorkerMessage =
  | { readonly kind: 'ready' }
  | { readonly kind: 'failed'; readonly error: ErrorMessage }
  /** Something that the operator should know, once. */
  | { readonly kind: 'note'; readonly level: 'info' | 'warn'; readonly text: string }
  | { readonly kind: 'done' };

export type WorkerCommand =
  /** A next hop has another Ethernet address. */
  | { readonly kind: 'macs'; readonly target: number; readonly macs: Uint8Array }
  | { readonly kind: 'engine'; readonly options: Partial<EngineOptions> };

export function describeError(error: unknown): ErrorMessage {
  const known = error instanceof Error ? error : new Error(String(error));
  const code = known instanceof OperatorError ? known.code : null;
  return { code, message: known.message, stack: known.stack ?? '' };
}

export function errorOf({ code, message, stack }: ErrorMessage): Error {
  if (code !== null) return new OperatorError(code, message);
  const error = new Error(message);
  error.stack = stack;
  return error;
}
