/**
 * The way from the capturing thread to the compressor's: a bounded queue of blocks in shared memory, one writer and one
 * reader, and the counts that come back. A block holds records, or a message (JSON) about the file they belong to.
 *
 * ```
 * writer   free() > 0, slot() to fill, publish(kind, …)      reader   next(timeoutMs), then slot(), then release()
 * ```
 */

import type { Region } from '../../base/region.ts';
import { dataAddress } from '../../device/host.ts';

export const BlockKind = { Records: 0, Begin: 1, Finish: 2, Close: 3 } as const;
export type BlockKind = (typeof BlockKind)[keyof typeof BlockKind];

/** Blocks for records, and those that only messages may take. */
const RECORD_SLOTS = 8;
export const MESSAGE_SLOTS = 3;
const SLOTS: number = RECORD_SLOTS + MESSAGE_SLOTS;
export const SLOT_BYTES: number = 1 << 20;
const FAULT_BYTES = 4096;

/** Int32 cells in front of the blocks. */
const PUBLISHED = 0;
const RELEASED = 1;
const STARTED = 2;
const FAULT_LENGTH = 3;
const IS_FULL = 4;
const IS_HUNG_UP = 5;
const SLOT_CELLS = 8;
const CELLS_A_SLOT = 4;
/** Float64 cells behind them. */
const COUNTS_AT = 512;
const FAULT_AT = 1024;
const SLOTS_AT: number = FAULT_AT + FAULT_BYTES;

/** Written by the reader. */
export interface QueueCounts {
  fileBytes: number;
  files: number;
  filesRemoved: number;
  /** Packets that found no room on the disk, and their bytes; packets behind a fault. */
  fullPackets: number;
  fullBytes: number;
  endedPackets: number;
  endedBytes: number;
}

export class BlockQueue {
  readonly memory: SharedArrayBuffer;
  readonly #cells: Int32Array;
  readonly #counts: Float64Array;
  readonly #slots: readonly Region[];

  /** Without `memory` a new queue; with it the other end of one. */
  constructor(memory?: SharedArrayBuffer) {
    this.memory = memory ?? new SharedArrayBuffer(SLOTS_AT + SLOTS * SLOT_BYTES);
    this.#cells = new Int32Array(this.memory, 0, COUNTS_AT / 4);
    this.#counts = new Float64Array(this.memory, COUNTS_AT, 7);
    this.#slots = Array.from({ length: SLOTS }, (_, n) => sharedSlot(this.memory, SLOTS_AT + n * SLOT_BYTES));
  }

  /** Blocks that can be filled now. */
  get free(): number {
    return SLOTS - (Atomics.load(this.#cells, PUBLISHED) - Atomics.load(this.#cells, RELEASED));
  }

  get isStarted(): boolean {
    return Atomics.load(this.#cells, STARTED) === 1;
  }

  /** True when everything published has been taken. */
  get isDrained(): boolean {
    return this.free === SLOTS;
  }

  get isFull(): boolean {
    return Atomics.load(this.#cells, IS_FULL) === 1;
  }

  get isHungUp(): boolean {
    return Atomics.load(this.#cells, IS_HUNG_UP) === 1;
  }

  /** What ended the reader, or ''. */
  get fault(): string {
    const length = Atomics.load(this.#cells, FAULT_LENGTH);
    if (length === 0) return '';
    return new TextDecoder().decode(new Uint8Array(this.memory, FAULT_AT, length).slice());
  }

  /** The block to fill next. Precondition: `free > 0`. */
  slot(): Region {
    return this.#slots[Atomics.load(this.#cells, PUBLISHED) % SLOTS]!;
  }

  publish(kind: BlockKind, bytes: number, packets: number, frameBytes: number): void {
    const published = Atomics.load(this.#cells, PUBLISHED);
    const cell = SLOT_CELLS + (published % SLOTS) * CELLS_A_SLOT;
    this.#cells[cell] = kind;
    this.#cells[cell + 1] = bytes;
    this.#cells[cell + 2] = packets;
    this.#cells[cell + 3] = frameBytes;
    Atomics.store(this.#cells, PUBLISHED, published + 1);
    Atomics.notify(this.#cells, PUBLISHED);
  }

  publishMessage(kind: BlockKind, message: unknown): void {
    const text = new TextEncoder().encode(JSON.stringify(message));
    this.slot().bytes.set(text);
    this.publish(kind, text.length, 0, 0);
  }

  /** Writer: waits until something has been taken, up to `timeoutMs`. */
  waitReleased(timeoutMs: number): void {
    const released = Atomics.load(this.#cells, RELEASED);
    if (this.free < SLOTS) Atomics.wait(this.#cells, RELEASED, released, timeoutMs);
  }

  readCounts(into: QueueCounts): void {
    const counts = this.#counts;
    into.fileBytes = counts[0]!;
    into.files = counts[1]!;
    into.filesRemoved = counts[2]!;
    into.fullPackets = counts[3]!;
    into.fullBytes = counts[4]!;
    into.endedPackets = counts[5]!;
    into.endedBytes = counts[6]!;
  }

  /** Reader: waits for a block; false after `timeoutMs`. */
  next(timeoutMs: number): boolean {
    const published = Atomics.load(this.#cells, PUBLISHED);
    if (published !== Atomics.load(this.#cells, RELEASED)) return true;
    return Atomics.wait(this.#cells, PUBLISHED, published, timeoutMs) !== 'timed-out';
  }

  /** Reader: the block to take, and what was published with it. */
  taken(): { kind: BlockKind; bytes: number; packets: number; frameBytes: number; block: Region } {
    const slot = Atomics.load(this.#cells, RELEASED) % SLOTS;
    const cell = SLOT_CELLS + slot * CELLS_A_SLOT;
    return {
      kind: this.#cells[cell]! as BlockKind,
      bytes: this.#cells[cell + 1]!,
      packets: this.#cells[cell + 2]!,
      frameBytes: this.#cells[cell + 3]!,
      block: this.#slots[slot]!,
    };
  }

  release(): void {
    Atomics.add(this.#cells, RELEASED, 1);
    Atomics.notify(this.#cells, RELEASED);
  }

  start(): void {
    Atomics.store(this.#cells, STARTED, 1);
  }

  /** Reader: takes nothing any more. */
  stop(): void {
    Atomics.store(this.#cells, STARTED, 0);
    Atomics.notify(this.#cells, RELEASED);
  }

  /** Of the blocks that have not been released. */
  get pendingPackets(): number {
    let packets = 0;
    for (let n = Atomics.load(this.#cells, RELEASED); n < Atomics.load(this.#cells, PUBLISHED); n++) {
      packets += this.#cells[SLOT_CELLS + (n % SLOTS) * CELLS_A_SLOT + 2]!;
    }
    return packets;
  }

  get pendingBytes(): number {
    let bytes = 0;
    for (let n = Atomics.load(this.#cells, RELEASED); n < Atomics.load(this.#cells, PUBLISHED); n++) {
      bytes += this.#cells[SLOT_CELLS + (n % SLOTS) * CELLS_A_SLOT + 3]!;
    }
    return bytes;
  }

  writeState(counts: QueueCounts, isFull: boolean, isHungUp: boolean): void {
    this.#counts.set([
      counts.fileBytes,
      counts.files,
      counts.filesRemoved,
      counts.fullPackets,
      counts.fullBytes,
      counts.endedPackets,
      counts.endedBytes,
    ]);
    Atomics.store(this.#cells, IS_FULL, isFull ? 1 : 0);
    Atomics.store(this.#cells, IS_HUNG_UP, isHungUp ? 1 : 0);
  }

  writeFault(message: string): void {
    const { written } = new TextEncoder().encodeInto(message, new Uint8Array(this.memory, FAULT_AT, FAULT_BYTES));
    Atomics.store(this.#cells, FAULT_LENGTH, written);
  }
}

function sharedSlot(memory: SharedArrayBuffer, at: number): Region {
  const bytes = new Uint8Array(memory, at, SLOT_BYTES);
  return {
    bytes,
    view: new DataView(memory, at, SLOT_BYTES),
    address: dataAddress(bytes),
    byteLength: SLOT_BYTES,
    scratchStart: SLOT_BYTES,
    scratchNext: SLOT_BYTES,
    release() {},
  };
}
