/**
 * HOT: client bytes that wait to be sent or acknowledged, as segments of one preallocated pool. A segment is a number;
 * its fields are cells, its bytes lie at `bytesAt` in `region`. Segments of a session form a doubly linked list in
 * sequence order. Taking and giving back are O(1).
 *
 * The one place where the session engine copies client bytes: a sender must keep what the target has not acknowledged,
 * and the receive ring's block goes back to the kernel before that.
 */
import { plainRegion, type Region } from '../base/region.ts';

/** Largest payload of a segment: an Ethernet MTU's worth. */
export const SEGMENT_BYTES = 1536;
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
  /** Where `SndNxt` stood when it was last retransmitted. */
  RetransmitMark: 8,
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
  Retransmitted: 32,
  Sent: 64,
  /** Our own FIN, which takes a sequence number towards the target and none of the client's. */
  OwnFin: 128,
} as const;

export class SegmentPool {
  readonly cells: Int32Array;
  /** When the client's packet arrived, ns. */
  readonly arrivedNs: Float64Array;
  readonly region: Region;
  readonly capacity: number;
  free: number;
  #first: number;

  /** `region`: memory of `capacity * SEGMENT_BYTES` bytes, plain memory unless a mapping is given. */
  constructor(capacity: number, region: Region = plainRegion(capacity * SEGMENT_BYTES)) {
    this.capacity = capacity;
    this.region = region;
    this.cells = new Int32Array(capacity * STRIDE);
    this.arrivedNs = new Float64Array(capacity);
    for (let i = 0; i < capacity; i++) this.cells[i * STRIDE + Seg.Next] = i + 1 < capacity ? i + 1 : -1;
    this.free = capacity;
    this.#first = capacity > 0 ? 0 : -1;
  }

  get byteLength(): number {
    return this.cells.byteLength + this.arrivedNs.byteLength + this.capacity * SEGMENT_BYTES;
  }

  /** A segment with all cells 0 and no neighbours, or -1: full is an answer. */
  take(): number {
    const id = this.#first;
    if (id < 0) return -1;
    const at = id * STRIDE;
    this.#first = this.cells[at + Seg.Next]!;
    const cells = this.cells;
    // A loop, since `fill` on so few cells costs more than all of this.
    for (let cell = Seg.ClientSeq; cell <= Seg.RetransmitMark; cell++) cells[at + cell] = 0;
    cells[at + Seg.Next] = -1;
    cells[at + Seg.Previous] = -1;
    this.free--;
    return id;
  }

  give(id: number): void {
    this.cells[id * STRIDE + Seg.Next] = this.#first;
    this.#first = id;
    this.free++;
  }

  /** Offset of the segment's first byte not yet acknowledged in `region`. */
  bytesAt(id: number): number {
    return id * SEGMENT_BYTES + this.cells[id * STRIDE + Seg.Start]!;
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
