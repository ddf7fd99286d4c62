import type { FrameBatch } from '../base/batch.ts';

/**
 * Where frames come from: a receive ring, a capture file, memory.
 * The frames of a batch are valid until the next `read`.
 */
export interface Source {
  readonly name: string;
  /** Fills the batch; returns its count. 0 with `ended` false: nothing there now. Never blocks. */
  read(batch: FrameBatch): number;
  /** Blocks up to `timeoutMs` until something can be read (files: returns at once). */
  wait(timeoutMs: number): void;
  /** No more frames will come. */
  readonly ended: boolean;
  close(): void;
}
