/** Frames as lines on standard output, a write for each batch. */
import fs from 'node:fs';
import type { FrameBatch } from '../base/batch.ts';
import { InterfaceNumbers } from '../device/interface_list.ts';
import { LinePrinter, type PrintOptions } from './print/index.ts';
import type { BatchPrinter } from './run.ts';

const STANDARD_OUTPUT = 1;
/** A reader that is slow blocks the capture no longer than this at a time: then lines wait. */
const AGAIN_MS = 5;
const AGAIN_TIMES_MAX = 2000;

/** `live`: interfaces have the numbers of this thread's namespace. */
export function openLinePrinter(options: PrintOptions, live: boolean): BatchPrinter {
  const numbers = live ? new InterfaceNumbers() : null;
  const printer = numbers === null ? new LinePrinter(options) : new LinePrinter(options, (n) => numbers.name(n));
  let ended = false;
  return {
    get ended() {
      return ended;
    },
    writeBatch(batch: FrameBatch): void {
      if (ended) return;
      let text = '';
      for (let i = 0; i < batch.count; i++) text += `${printer.line(batch, i)}\n`;
      ended = !writeAll(new TextEncoder().encode(text));
    },
  };
}

/** False when nobody reads any more. */
function writeAll(bytes: Uint8Array): boolean {
  const cell = new Int32Array(new SharedArrayBuffer(4));
  let again = 0;
  for (let at = 0; at < bytes.length; ) {
    try {
      at += fs.writeSync(STANDARD_OUTPUT, bytes, at);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN' || ++again > AGAIN_TIMES_MAX) return false;
      Atomics.wait(cell, 0, 0, AGAIN_MS);
    }
  }
  return true;
}
