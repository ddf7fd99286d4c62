/**
 * HOT: the ring of replies: read batch by batch into records, and opened again after its interface was down or gone.
 */
import { FrameBatch } from '../../base/batch.ts';
import { plainRegion } from '../../base/region.ts';
import { type HeaderSource, openHeaderSource } from '../../device/header_ring.ts';
import { realtimeMs } from '../../device/host.ts';
import { REPLY_BYTES_MAX } from '../tunnel/reply.ts';
import { READER_COUNTS, ReaderCount, ReplyReader, SERVICE_WORDS } from './reader.ts';

/** Frames read at once. */
const FRAMES_MAX = 512;

export interface ReplyRingSpec {
  readonly interface: string;
  readonly direction: 'in' | 'out';
  /** `serviceWords`; none: whatever comes. */
  readonly services: Int32Array;
}

export class ReplyRing {
  /** Cells of `ReaderCount`. */
  readonly counts: Float64Array = new Float64Array(READER_COUNTS);
  /** What the last `read` left: records at [0, `bytes`), the oldest seen by the kernel at `oldestMs` since 1970. */
  readonly bytes: Uint8Array = new Uint8Array(FRAMES_MAX * REPLY_BYTES_MAX);
  readonly view: DataView = new DataView(this.bytes.buffer);
  bytesUsed = 0;
  oldestMs = 0;
  /** Whether records are to have heads: somebody compares replies. */
  heads = false;
  readonly #spec: ReplyRingSpec;
  readonly #reader: ReplyReader;
  readonly #batch = new FrameBatch(FRAMES_MAX, plainRegion(0));
  #source: HeaderSource | null = null;
  /** Of rings that are closed. */
  #droppedBefore = 0;

  constructor(spec: ReplyRingSpec) {
    this.#spec = spec;
    this.#reader = new ReplyReader(spec.services, this.counts);
  }

  /** Throws INTERFACE, PERMISSION, RESOURCE or UNSUPPORTED with the line to type. */
  open(): void {
    const { interface: name, direction, services } = this.#spec;
    const ports = [...new Set(services.filter((_, i) => i % SERVICE_WORDS === 0))];
    this.#source = openHeaderSource({ name, ports, direction });
  }

  get isOpen(): boolean {
    return this.#source !== null;
  }

  /** To wait for; -1: the ring is closed. */
  get fd(): number {
    return this.#source?.fd ?? -1;
  }

  /** Frames taken out of the ring; 0: there is none now. `bytesUsed` may be 0 all the same. */
  read(): number {
    const source = this.#source;
    if (source === null || source.read(this.#batch) === 0) return 0;
    const batch = this.#batch;
    this.bytesUsed = this.#reader.read(batch, this.view, 0, this.heads ? realtimeMs() : Number.NaN);
    this.oldestMs = batch.sec[0]! * 1000 + batch.nsec[0]! / 1e6;
    return batch.count;
  }

  /** Renews `ReaderCount.Dropped`. Returns why the ring has broken, and is closed now; null: it has not. */
  look(): string | null {
    const source = this.#source;
    if (source === null) return null;
    source.updateStatistics();
    this.counts[ReaderCount.Dropped] = this.#droppedBefore + source.dropped;
    source.wait(0);
    const { fault } = source;
    if (fault === null) return null;
    this.close();
    return fault.message;
  }

  close(): void {
    this.#source?.close();
    this.#source = null;
    this.#droppedBefore = this.counts[ReaderCount.Dropped]!;
  }
}
