/** What the threads of one capture say to each other, beside what they share. */
import { type ErrorCode, OperatorError } from '../base/errors.ts';
import type { SourceInterface } from '../device/capture_source.ts';

export interface ErrorMessage {
  /** Null: not an operator's fault. */
  readonly code: ErrorCode | null;
  readonly message: string;
  readonly stack: string;
}

export type CaptureMessage =
  | { readonly kind: 'opened'; readonly interfaces: readonly SourceInterface[] }
  /** Something broke, and the rest goes on. */
  | { readonly kind: 'fault'; readonly fault: ErrorMessage }
  | {
      readonly kind: 'done';
      readonly faults: readonly ErrorMessage[];
      readonly interfaces: readonly SourceInterface[];
      readonly currentFile: string;
    }
  | { readonly kind: 'failed'; readonly error: ErrorMessage };

export function describeError(error: unknown): ErrorMessage {
  const known = error instanceof Error ? error : new Error(String(error));
  const code = known instanceof OperatorError ? known.code : null;
  return { code, message: known.message, stack: known.stack ?? '' };
}

export function errorOf({ code, message, stack }: ErrorMessage): Error {
  const error = code === null ? new Error(message) : new OperatorError(code, message);
  if (code === null) error.stack = stack;
  return error;
}
