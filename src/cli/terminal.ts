/**
 * Standard output and error of a command. Output that nobody reads any more (`tsreplay ... | head`) is dropped without
 * a word: the run goes on, and its exit status tells what became of it.
 */
import { writeSync } from 'node:fs';

export interface Terminal {
  out(line: string): void;
  /** A line on standard error. */
  error(line: string): void;
  /** Raw text on standard error, for a line that is drawn again and again. */
  draw(text: string): void;
  readonly errorIsTerminal: boolean;
  /** Columns of the terminal on standard error. */
  columns(): number;
}

/** Written at once: whatever is printed before `process.exit` is there. */
export function processTerminal(): Terminal {
  const open = { 1: true, 2: true };
  const write = (fd: 1 | 2, text: string): void => {
    if (open[fd]) open[fd] = writeAll(fd, Buffer.from(text));
  };
  return {
    out: (line) => write(1, `${line}\n`),
    error: (line) => write(2, `${line}\n`),
    draw: (text) => write(2, text),
    errorIsTerminal: process.stderr.isTTY === true,
    // a terminal that does not know its size says 0
    columns: () => process.stderr.columns || 80,
  };
}

/** Longest wait for a reader that is slow: a pipe set non-blocking by another program says EAGAIN. */
const AGAIN_MS_MAX = 5_000;
const AGAIN_STEP_MS = 5;

/** False when nobody reads any more. */
function writeAll(fd: number, bytes: Buffer): boolean {
  const cell = new Int32Array(new SharedArrayBuffer(4));
  let waitedMs = 0;
  for (let at = 0; at < bytes.length; ) {
    try {
      at += writeSync(fd, bytes, at);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN' || waitedMs >= AGAIN_MS_MAX) return false;
      Atomics.wait(cell, 0, 0, AGAIN_STEP_MS);
      waitedMs += AGAIN_STEP_MS;
    }
  }
  return true;
}
