/**
 * A file rewritten window by window, by one thread or several. Threads take windows in turn: who takes one reads it,
 * finds where its last whole record ends, and says so to the next; the editing in between needs no order. Where a
 * window's bytes go is known as soon as the one before has been edited, so that packets may be left out.
 *
 * Nothing here loads a foreign library: small files are done before that would be ready.
 */
import fs from 'node:fs';
import { OperatorError } from '../base/errors.ts';
import { FRAME_BYTES_MAX, plainRegion } from '../base/region.ts';
import { recordFault } from '../pcap/faults.ts';
import { PCAP_RECORD_HEADER_BYTES } from '../pcap/pcap_format.ts';
import { Cause } from '../rewrite/causes.ts';
import { compileRewriter } from '../rewrite/compile.ts';
import type { RewriteSpec } from '../rewrite/spec.ts';
import { reasonOf } from './inputs.ts';
import { addCounters, bump, newTally, type RewriteTally } from './rewrite_tally.ts';
import { type NumberRouter, WindowEditor } from './rewrite_window.ts';

/** Stays in a core's cache with what it is copied from and to; holds the longest record. */
export const WINDOW_BYTES: number = 512 << 10;

/** What threads share: see `Turns`. */
export const SHARED_BYTES = 64;

export interface WindowsSpec {
  readonly input: string;
  readonly output: string;
  readonly inputFd: number;
  readonly outputFd: number;
  readonly rewrite: RewriteSpec;
  readonly linktype: number;
  readonly fractionMax: number;
  readonly isLittle: boolean;
  readonly skipSoftErrors: boolean;
  readonly shared: SharedArrayBuffer;
  /** Other threads wait to know where this one's window ends. */
  readonly isShared: boolean;
}

export interface WindowsResult {
  readonly tally: RewriteTally;
  readonly longest: number;
  readonly fault: OperatorError | null;
}

const Cell = { Taken: 0, Stop: 1, NextWindow: 2, NextWritten: 3 } as const;
const Place = { Input: 2, Number: 3, Output: 4 } as const;
const Stop = { Run: 0, End: 1, Fault: 2 } as const;
/** A thread that died takes no lock with it for ever. */
const WAIT_MS = 200;

/** The two queues: who may take the next window, and who may place its bytes. */
export class Turns {
  readonly #cells: Int32Array;
  readonly #places: Float64Array;

  constructor(shared: SharedArrayBuffer) {
    this.#cells = new Int32Array(shared);
    this.#places = new Float64Array(shared);
  }

  begin(offset: number): void {
    this.#places[Place.Input] = offset;
    this.#places[Place.Number] = 1;
    this.#places[Place.Output] = offset;
  }

  get inputOffset(): number {
    return this.#places[Place.Input]!;
  }

  get number(): number {
    return this.#places[Place.Number]!;
  }

  get outputOffset(): number {
    return this.#places[Place.Output]!;
  }

  /** Waits for the next window's turn. Returns its index, or -1: nothing is left. */
  take(): number {
    const cells = this.#cells;
    while (Atomics.compareExchange(cells, Cell.Taken, 0, 1) !== 0) {
      if (Atomics.load(cells, Cell.Stop) !== Stop.Run) return -1;
      Atomics.wait(cells, Cell.Taken, 1, WAIT_MS);
    }
    if (Atomics.load(cells, Cell.Stop) !== Stop.Run) {
      this.#release();
      return -1;
    }
    return Atomics.add(cells, Cell.NextWindow, 1);
  }

  /** The window had so many bytes and records; `isLast`: none follows. */
  pass(bytes: number, records: number, isLast: boolean): void {
    this.#places[Place.Input]! += bytes;
    this.#places[Place.Number]! += records;
    if (isLast) Atomics.store(this.#cells, Cell.Stop, Stop.End);
    this.#release();
  }

  /** Waits until all windows before `index` have their place. Returns this one's, or -1 after a fault. */
  place(index: number, bytes: number): number {
    const cells = this.#cells;
    for (;;) {
      const next = Atomics.load(cells, Cell.NextWritten);
      if (next === index) break;
      if (Atomics.load(cells, Cell.Stop) === Stop.Fault) return -1;
      Atomics.wait(cells, Cell.NextWritten, next, WAIT_MS);
    }
    const at = this.#places[Place.Output]!;
    this.#places[Place.Output] = at + bytes;
    Atomics.add(cells, Cell.NextWritten, 1);
    Atomics.notify(cells, Cell.NextWritten);
    return at;
  }

  /** Nobody takes a window any more, and nobody waits for one that will not come. */
  fail(): void {
    Atomics.store(this.#cells, Cell.Stop, Stop.Fault);
    Atomics.notify(this.#cells, Cell.NextWritten);
    Atomics.notify(this.#cells, Cell.Taken);
  }

  #release(): void {
    Atomics.store(this.#cells, Cell.Taken, 0);
    Atomics.notify(this.#cells, Cell.Taken, 1);
  }
}

/** One thread's share of the windows. Never throws but for defects of the program. */
export function runWindows(spec: WindowsSpec, router: NumberRouter | null): WindowsResult {
  const turns = new Turns(spec.shared);
  const region = plainRegion(WINDOW_BYTES);
  const rewriter = compileRewriter(spec.rewrite);
  const editor = new WindowEditor(region, rewriter, router, {
    linktype: spec.linktype,
    fractionMax: spec.fractionMax,
    isLittle: spec.isLittle,
    skipSoftErrors: spec.skipSoftErrors,
    converts: rewriter.linktypeAfter(spec.linktype) !== spec.linktype,
    keptCause: Cause.LengthFrame,
  });
  let fault: OperatorError | null = null;
  try {
    for (let index = turns.take(); index >= 0; index = turns.take()) {
      const late = runWindow(spec, turns, editor, region.bytes, region.view, index);
      fault ??= late;
    }
  } catch (error) {
    turns.fail();
    if (!(error instanceof OperatorError)) throw error;
    fault = error;
  }
  const tally = newTally();
  tally.read = editor.read;
  tally.written = editor.written;
  addCounters(tally, rewriter.counters, editor.dontSend);
  tally.failedDropped = editor.failedDropped;
  bump(tally.dropped, 'empty', editor.empty);
  bump(tally.dropped, 'dont-send', editor.dontSendDropped);
  bump(tally.dropped, 'length-frame', editor.keptCauseDropped);
  bump(tally.unchanged, 'length-frame', -editor.keptCauseDropped);
  return { tally, longest: editor.longest, fault };
}

/** Returns the capture's fault behind the last whole record. Throws what ends the run. */
function runWindow(
  spec: WindowsSpec,
  turns: Turns,
  editor: WindowEditor,
  bytes: Uint8Array,
  view: DataView,
  index: number,
): OperatorError | null {
  const offset = turns.inputOffset;
  const number = turns.number;
  const available = readFull(spec, bytes, offset);
  // Alone, editing itself finds the end: a pass of its own costs 20 ns a packet.
  let out = 0;
  if (spec.isShared) editor.scan(available);
  else out = editor.edit(available, number);
  const { consumedEnd, records } = editor;
  const isEnd = available < WINDOW_BYTES;
  const late =
    isEnd || records === 0 ? faultBehind(spec, view, consumedEnd, available, offset, number + records) : null;
  turns.pass(consumedEnd, records, isEnd || late !== null);
  if (spec.isShared) out = editor.edit(consumedEnd, number);
  const to = turns.place(index, out);
  if (to >= 0) writeFull(spec, bytes, out, to);
  return late;
}

function faultBehind(
  spec: WindowsSpec,
  view: DataView,
  at: number,
  end: number,
  offset: number,
  packet: number,
): OperatorError | null {
  const left = end - at;
  if (left === 0) return null;
  let what = `the file ends after ${left} of the ${PCAP_RECORD_HEADER_BYTES} bytes of its record header`;
  if (left >= PCAP_RECORD_HEADER_BYTES) {
    const caplen = view.getUint32(at + 8, spec.isLittle);
    what =
      caplen > FRAME_BYTES_MAX
        ? `its record header says ${caplen} captured bytes, more than the ${FRAME_BYTES_MAX} a packet may have`
        : `the file ends after ${left - PCAP_RECORD_HEADER_BYTES} of its ${caplen} captured bytes`;
  }
  return recordFault(spec.input, packet, offset + at, what);
}

/** Fills the window from `offset` on; fewer bytes at the end of the file. */
function readFull(spec: WindowsSpec, bytes: Uint8Array, offset: number): number {
  let done = 0;
  try {
    while (done < WINDOW_BYTES) {
      const count = fs.readSync(spec.inputFd, bytes, done, WINDOW_BYTES - done, offset + done);
      if (count === 0) break;
      done += count;
    }
  } catch (error) {
    throw new OperatorError('FILE', `cannot read ${spec.input}: ${reasonOf(error)}`, { cause: error });
  }
  return done;
}

function writeFull(spec: WindowsSpec, bytes: Uint8Array, length: number, at: number): void {
  let done = 0;
  try {
    while (done < length) done += fs.writeSync(spec.outputFd, bytes, done, length - done, at + done);
  } catch (error) {
    // Back to the last whole record that stands behind no gap.
    fs.ftruncateSync(spec.outputFd, Math.min(at, fs.fstatSync(spec.outputFd).size));
    throw new OperatorError('FILE', `cannot write ${spec.output}: ${reasonOf(error)}`, { cause: error });
  }
}
