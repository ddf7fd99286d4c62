/** Where gathered records go: straight into files, or to the compressor's thread. */
import type { OperatorError } from '../../base/errors.ts';
import type { Region } from '../../base/region.ts';
import { anonymousRegion } from '../../device/host.ts';
import { type ChainSpec, FileChain, type FileSummary } from './file_chain.ts';
import type { Gather } from './gather.ts';
import type { SinkStats } from './sink.ts';

export interface RecordOutput {
  readonly fault: OperatorError | null;
  /** The reader of the stream is gone. */
  readonly isHungUp: boolean;
  /** Records are to be copied, since they leave later. */
  readonly keepsBlocks: boolean;
  /** Memory for the next records; null: there is none now, they are to be dropped. */
  acquire(): Region | null;
  /** False: the next file cannot begin yet. */
  readonly canRotate: boolean;
  begin(path: string, header: Uint8Array): void;
  /** Takes what was gathered, which is empty afterwards; counts it in `stats`. */
  submit(gather: Gather, stats: SinkStats): void;
  finish(trailer: Uint8Array, summary: FileSummary): void;
  /** Brings `stats` up to date. */
  report(stats: SinkStats): void;
  /** What takes time and can wait: call it about once a second. */
  settle(): void;
  close(stats: SinkStats): void;
}

/** Larger blocks are not faster and leave the processor's cache. */
const BLOCK_BYTES = 1 << 20;

export class DirectOutput implements RecordOutput {
  readonly keepsBlocks = false;
  readonly canRotate = true;
  readonly #chain: FileChain;
  readonly #block: Region = anonymousRegion(BLOCK_BYTES);

  constructor(spec: ChainSpec) {
    this.#chain = new FileChain(spec);
  }

  get fault(): OperatorError | null {
    return this.#chain.fault;
  }

  get isHungUp(): boolean {
    return this.#chain.isHungUp;
  }

  acquire(): Region {
    return this.#block;
  }

  begin(path: string, header: Uint8Array): void {
    this.#chain.begin(path, header);
  }

  submit(gather: Gather, stats: SinkStats): void {
    const records = gather.list.records;
    const written = this.#chain.write(gather.list);
    stats.packets += written;
    stats.bytes += gather.frameBytes(written);
    if (this.#chain.isFull) stats.droppedDiskFull += records - written;
    else stats.droppedEnded += records - written;
    gather.reset(this.#block);
    this.report(stats);
  }

  finish(trailer: Uint8Array, summary: FileSummary): void {
    this.#chain.finish(trailer, summary);
  }

  settle(): void {
    this.#chain.settleOne();
  }

  close(stats: SinkStats): void {
    this.#chain.close();
    this.report(stats);
    this.#block.release();
  }

  report(stats: SinkStats): void {
    const chain = this.#chain;
    stats.fileBytes = chain.fileBytes;
    stats.files = chain.files;
    stats.filesRemoved = chain.filesRemoved;
    stats.isDiskFull = chain.isFull;
  }
}
