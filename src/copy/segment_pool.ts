/**
 * HOT: client bytes that wait to be sent or acknowledged, as segments of one preallocated pool. A segment is a number;
 * its fields are cells, its bytes lie at `bytesAt` in `region`. Segments of a session form a doubly linked list in
 * sequence order. Taking and giving back are O(1). Most requests are short: for these there are small segments, so that
 * a backlog of them takes a sixth of the memory. Memory that was never used is not touched.
 *
 * The one place where the session engine copies client bytes: a sender must keep what the target has not acknowledged,
 * and the receive ring's block goes back to the kernel before that.
 */
import { plainRegion, type Region } from '../base/region.ts';

/** Largest payload of a segment: an Ethernet MTU's worth. */
export const SEGMENT_BYTES = 1536;
/** Largest payload of a small segment. */
export const SMALL_SEGMENT_BYTES = 256;
/** Small ones that take a large one's memory. */
export const SEGMENT_UNITS: number = SEGMENT_BYTES / SMALL_SEGMENT_BYTES;
const STRIDE = 16;

/** Cells of a segment. */
export const Seg = {
  Next: 0,
  Previous: 1,
  /** First byte's sequence number as the client numbers it, and as we do towards the target (once sent). */
  ClientSeq: 2,
  TargetSeq: 3,
  /** Bytes already acknowledged at the front, and bytes from there on. */
  Start: 4,
  Length: 5,
  /** The client's acknowledgement number when it sent this. */
  ClientAck: 6,
  Flags: 7,
  /** The how manieth transmission of its connection was the last one of this. */
  Order: 8,
  /** Neighbours in the list of `SegFlag.Lost` or `SegFlag.Resent` (`scoreboard.ts`), valid in one of them. */
  QueueNext: 9,
  QueuePrevious: 10,
} as const;

/** Bits of `Seg.Flags`. */
export const SegFlag = {
  /** First byte of a request: the client had acknowledged more of the server's bytes than before. */
  Boundary: 1,
  Push: 2,
  /** No bytes: the client's FIN (takes one sequence number) or RST (takes none). */
  Fin: 4,
  Reset: 8,
  Sacked: 16,
  /** Sent more than once. */
  Retransmitted: 32,
  Sent: 64,
  /** Our own FIN, which takes a sequence number towards the target and none of the client's. */
  OwnFin: 128,
  /** Counts as lost, and waits to be sent again; or was sent again and counts as under way. */
  Lost: 256,
  Resent: 512,
} as const;

export class SegmentPool {
  readonly cells: Int32Array;
  /** When the client's packet arrived, ns. */
  readonly arrivedNs: Float64Array;
  /** When it was sent last. */
  readonly sentNs: Float64Array;
  readonly region: Region;
  /** Segments of the full size, small ones not among them; and how many of them are free. */
  readonly capacity: number;
  free: number;
  /** Segments in use, of both sizes. */
  used = 0;
  /** Least of `free` since the owner has set it. */
  freeMin: number;
  readonly #smallEnd: number;
  readonly #smallAt: number;
  /** First of those that were given back, and those never used, of either size: small ones have the higher numbers. */
  #first = -1;
  #fresh = 0;
  #firstSmall = -1;
  #freshSmall: number;

  /** `region`: memory for all segments, plain memory unless a mapping is given. */
  constructor(
    capacity: number,
    smallCapacity = 0,
    region: Region = plainRegion(capacity * SEGMENT_BYTES + smallCapacity * SMALL_SEGMENT_BYTES),
  ) {
    this.capacity = capacity;
    this.region = region;
    this.#smallAt = capacity * SEGMENT_BYTES;
    this.#smallEnd = capacity + smallCapacity;
    this.#freshSmall = capacity;
    this.cells = new Int32Array(this.#smallEnd * STRIDE);
    this.arrivedNs = new Float64Array(this.#smallEnd);
    this.sentNs = new Float64Array(this.#smallEnd);
    this.free = capacity;
    this.freeMin = capacity;
  }

  get byteLength(): number {
    const smallBytes = (this.#smallEnd - this.capacity) * SMALL_SEGMENT_BYTES;
    return this.cells.byteLength + 2 * this.arrivedNs.byteLength + this.#smallAt + smallBytes;
  }

  /** A segment for so many bytes with all cells 0 and no neighbours, or -1: full is an answer. */
  take(bytes: number = SEGMENT_BYTES): number {
    let id = bytes <= SMALL_SEGMENT_BYTES ? this.#takeSmall() : -1;
    if (id < 0) id = this.#takeLarge();
    if (id < 0) return -1;
    this.used++;
    const at = id * STRIDE;
    const cells = this.cells;
    // A loop, since `fill` on so few cells costs more than all of this.
    for (let cell = Seg.ClientSeq; cell <= Seg.Order; cell++) cells[at + cell] = 0;
    cells[at + Seg.Next] = -1;
    cells[at + Seg.Previous] = -1;
    return id;
  }

  #takeLarge(): number {
    const id = this.#first;
    if (id >= 0) this.#first = this.cells[id * STRIDE + Seg.Next]!;
    else if (this.#fresh === this.capacity) return -1;
    if (--this.free < this.freeMin) this.freeMin = this.free;
    return id >= 0 ? id : this.#fresh++;
  }

  #takeSmall(): number {
    const id = this.#firstSmall;
    if (id >= 0) this.#firstSmall = this.cells[id * STRIDE + Seg.Next]!;
    else if (this.#freshSmall === this.#smallEnd) return -1;
    return id >= 0 ? id : this.#freshSmall++;
  }

  give(id: number): void {
    this.used--;
    if (id >= this.capacity) {
      this.cells[id * STRIDE + Seg.Next] = this.#firstSmall;
      this.#firstSmall = id;
      return;
    }
    this.cells[id * STRIDE + Seg.Next] = this.#first;
    this.#first = id;
    this.free++;
  }

  /** Offset of the segment's first byte not yet acknowledged in `region`. */
  bytesAt(id: number): number {
    const start = this.cells[id * STRIDE + Seg.Start]!;
    if (id < this.capacity) return id * SEGMENT_BYTES + start;
    return this.#smallAt + (id - this.capacity) * SMALL_SEGMENT_BYTES + start;
  }

  /** Memory of a segment, in units of a small one. */
  units(id: number): number {
    return id < this.capacity ? SEGMENT_UNITS : 1;
  }

  /**
   * Visits the parts of `region` that were used and hold nothing now, whole multiples of `align` bytes. Looks at each
   * segment: not for every packet.
   */
  forEachIdle(align: number, visit: (from: number, to: number) => void): void {
    const isFree = new Uint8Array(this.#smallEnd);
    for (const first of [this.#first, this.#firstSmall]) {
      for (let id = first; id >= 0; id = this.cells[id * STRIDE + Seg.Next]!) isFree[id] = 1;
    }
    const run = (begin: number, end: number, base: number, bytes: number): void => {
      let from = -1;
      for (let id = begin; id <= end; id++) {
        if (id < end && isFree[id] === 1) {
          if (from < 0) from = base + (id - begin) * bytes;
          continue;
        }
        const at = Math.ceil(from / align) * align;
        const to = Math.floor((base + (id - begin) * bytes) / align) * align;
        if (from >= 0 && to > at) visit(at, to);
        from = -1;
      }
    };
    run(0, this.#fresh, 0, SEGMENT_BYTES);
    run(this.capacity, this.#freshSmall, this.#smallAt, SMALL_SEGMENT_BYTES);
  }

  get(id: number, cell: number): number {
    return this.cells[id * STRIDE + cell]!;
  }

  set(id: number, cell: number, value: number): void {
    this.cells[id * STRIDE + cell] = value;
  }

  has(id: number, flag: number): boolean {
    return (this.cells[id * STRIDE + Seg.Flags]! & flag) !== 0;
  }

  mark(id: number, flag: number): void {
    this.cells[id * STRIDE + Seg.Flags]! |= flag;
  }

  unmark(id: number, flag: number): void {
    this.cells[id * STRIDE + Seg.Flags]! &= ~flag;
  }

  /** Sequence numbers that the segment takes of the client's: its bytes, one for the client's FIN. */
  clientSpan(id: number): number {
    const at = id * STRIDE;
    return this.cells[at + Seg.Length]! + ((this.cells[at + Seg.Flags]! & SegFlag.Fin) !== 0 ? 1 : 0);
  }

  /** Sequence numbers that the segment takes towards the target: its bytes, one for any FIN. */
  targetSpan(id: number): number {
    const at = id * STRIDE;
    return (
      this.cells[at + Seg.Length]! + ((this.cells[at + Seg.Flags]! & (SegFlag.Fin | SegFlag.OwnFin)) !== 0 ? 1 : 0)
    );
  }
}
