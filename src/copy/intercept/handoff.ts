/**
 * HOT: records on their way from the thread that reads the ring to the thread that owns the tunnel: a few slots in
 * shared memory, each filled, announced, and given back. Without a free slot the reader waits, and the ring fills.
 */
import { assert } from '../../base/assert.ts';

export const HANDOFF_SLOTS = 16;
/** Frames read at once; their records fit a slot, whatever options they have. */
export const HANDOFF_FRAMES = 512;
const SLOT_BYTES = 65_536;

const CONTROL_WORDS = 4;
const STOP = 0;
const HEADS = 1;
/** Words of a slot. */
const STATE = 0;
const BYTES = 1;
const RECORDS = 2;

const FREE = 0;
const FULL = 1;

const CONTROL_BYTES = (CONTROL_WORDS + HANDOFF_SLOTS * CONTROL_WORDS) * 4;
const TIMES_AT = Math.ceil(CONTROL_BYTES / 8) * 8;
const DATA_AT = TIMES_AT + HANDOFF_SLOTS * 8;

export class Handoff {
  readonly buffer: SharedArrayBuffer;
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly #control: Int32Array;
  readonly #oldestMs: Float64Array;
  /** Slot that the reader fills next. */
  #next = 0;

  constructor(buffer?: SharedArrayBuffer) {
    const byteLength = DATA_AT + HANDOFF_SLOTS * SLOT_BYTES;
    this.buffer = buffer ?? new SharedArrayBuffer(byteLength);
    assert(this.buffer.byteLength === byteLength, 'the buffer is a handoff');
    this.#control = new Int32Array(this.buffer, 0, CONTROL_WORDS + HANDOFF_SLOTS * CONTROL_WORDS);
    this.#oldestMs = new Float64Array(this.buffer, TIMES_AT, HANDOFF_SLOTS);
    this.bytes = new Uint8Array(this.buffer, DATA_AT);
    this.view = new DataView(this.buffer, DATA_AT);
  }

  get stopped(): boolean {
    return Atomics.load(this.#control, STOP) !== 0;
  }

  stop(): void {
    Atomics.store(this.#control, STOP, 1);
  }

  /** Whether records are to have heads: somebody compares replies. */
  get heads(): boolean {
    return Atomics.load(this.#control, HEADS) !== 0;
  }

  set heads(areWanted: boolean) {
    Atomics.store(this.#control, HEADS, areWanted ? 1 : 0);
  }

  /** Reader: a free slot, or -1 after `timeoutMs` without one. */
  reserve(timeoutMs: number): number {
    const at = CONTROL_WORDS * (1 + this.#next) + STATE;
    if (Atomics.load(this.#control, at) !== FREE) Atomics.wait(this.#control, at, FULL, timeoutMs);
    return Atomics.load(this.#control, at) === FREE ? this.#next : -1;
  }

  /** First byte of a slot in `bytes` and `view`. */
  slotAt(slot: number): number {
    return slot * SLOT_BYTES;
  }

  /** Reader: the reserved slot holds `records` in `bytes` bytes, the oldest seen at `oldestMs` (since 1970). */
  commit(slot: number, bytes: number, records: number, oldestMs: number): void {
    const at = CONTROL_WORDS * (1 + slot);
    this.#control[at + BYTES] = bytes;
    this.#control[at + RECORDS] = records;
    this.#oldestMs[slot] = oldestMs;
    Atomics.store(this.#control, at + STATE, FULL);
    this.#next = (slot + 1) % HANDOFF_SLOTS;
  }

  bytesOf(slot: number): number {
    return this.#control[CONTROL_WORDS * (1 + slot) + BYTES]!;
  }

  recordsOf(slot: number): number {
    return this.#control[CONTROL_WORDS * (1 + slot) + RECORDS]!;
  }

  oldestMsOf(slot: number): number {
    return this.#oldestMs[slot]!;
  }

  /** Owner of the tunnel: the slot has been read. */
  release(slot: number): void {
    const at = CONTROL_WORDS * (1 + slot) + STATE;
    Atomics.store(this.#control, at, FREE);
    Atomics.notify(this.#control, at);
  }
}
