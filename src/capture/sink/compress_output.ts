/**
 * Records on their way to the compressor's thread. They are copied once, into blocks of a bounded queue (8 MiB): the
 * compressor reads them long after the kernel has taken its ring back.
 */
import { Worker } from 'node:worker_threads';
import { OperatorError } from '../../base/errors.ts';
import type { Region } from '../../base/region.ts';
import { openEncoder } from '../../device/host.ts';
import { BlockKind, BlockQueue, MESSAGE_SLOTS, type QueueCounts, SLOT_BYTES } from './block_queue.ts';
import type { ChainSpec, FileSummary } from './file_chain.ts';
import type { Gather } from './gather.ts';
import type { RecordOutput } from './output.ts';
import type { CompressionSpec, SinkStats } from './sink.ts';

/** Work order of the thread. */
export interface CompressStart {
  readonly memory: SharedArrayBuffer;
  readonly chain: ChainSpec;
  readonly compress: CompressionSpec;
}

/** A thread that takes nothing for so long is held to be dead. */
const STALLED_MS = 30_000;
/** Room for a file's header as JSON. */
const HEADER_BYTES_MAX: number = SLOT_BYTES / 8;

export class CompressOutput implements RecordOutput {
  readonly keepsBlocks = true;
  readonly #queue: BlockQueue = new BlockQueue();
  readonly #waits: boolean;
  #fault: OperatorError | null = null;
  #begun = false;
  /** Handed to the thread. */
  #packets = 0;
  #bytes = 0;
  /** Counted as dropped here, in addition to what the thread counts. */
  readonly #counts: QueueCounts = {
    fileBytes: 0,
    files: 0,
    filesRemoved: 0,
    fullPackets: 0,
    fullBytes: 0,
    endedPackets: 0,
    endedBytes: 0,
  };
  /** What of the thread's counts is in the stats already. */
  #reportedFull = 0;
  #reportedEnded = 0;

  constructor(chain: ChainSpec, compress: CompressionSpec, waits: boolean) {
    this.#waits = waits;
    // a library that is not installed is an operator's fault: seen here, not in the thread
    openEncoder(compress.codec, compress.level).close();
    const start: CompressStart = { memory: this.#queue.memory, chain, compress };
    const worker = new Worker(new URL('./compress_worker.js', import.meta.url), { workerData: start });
    worker.on('error', (error) => this.#break(`the compressing thread failed: ${error.message}`));
    worker.unref();
  }

  get fault(): OperatorError | null {
    if (this.#fault === null && this.#queue.fault !== '') this.#break(this.#queue.fault);
    return this.#fault;
  }

  get isHungUp(): boolean {
    return this.#queue.isHungUp;
  }

  get canRotate(): boolean {
    if (this.#queue.free >= MESSAGE_SLOTS) return true;
    return this.#waits && this.#waitFree(MESSAGE_SLOTS);
  }

  acquire(): Region | null {
    if (this.#queue.free > MESSAGE_SLOTS) return this.#queue.slot();
    return this.#waits && this.#waitFree(MESSAGE_SLOTS + 1) ? this.#queue.slot() : null;
  }

  begin(path: string, header: Uint8Array): void {
    if (header.length > HEADER_BYTES_MAX) {
      throw new OperatorError('USAGE', 'a compressed capture describes fewer interfaces: name those that are needed');
    }
    if (!this.#waitFree(1)) return;
    this.#queue.publishMessage(BlockKind.Begin, { path, header: [...header] });
    if (this.#begun) return;
    this.#begun = true;
    // the first file is waited for: a path that cannot be written is told before the capture begins
    if (!this.#drain()) this.#break('the compressing thread does not answer');
    if (this.fault !== null) throw this.fault;
  }

  submit(gather: Gather, stats: SinkStats): void {
    const { records, bytes } = gather.list;
    const frameBytes = gather.frameBytes(records);
    this.#queue.publish(BlockKind.Records, bytes, records, frameBytes);
    this.#packets += records;
    this.#bytes += frameBytes;
    gather.detach();
    this.report(stats);
  }

  finish(trailer: Uint8Array, summary: FileSummary): void {
    if (this.#waitFree(1)) this.#queue.publishMessage(BlockKind.Finish, { trailer: [...trailer], summary });
  }

  report(stats: SinkStats): void {
    const counts = this.#counts;
    this.#queue.readCounts(counts);
    stats.packets = this.#packets - counts.fullPackets - counts.endedPackets;
    stats.bytes = this.#bytes - counts.fullBytes - counts.endedBytes;
    stats.droppedDiskFull += counts.fullPackets - this.#reportedFull;
    stats.droppedEnded += counts.endedPackets - this.#reportedEnded;
    this.#reportedFull = counts.fullPackets;
    this.#reportedEnded = counts.endedPackets;
    stats.fileBytes = counts.fileBytes;
    stats.files = counts.files;
    stats.filesRemoved = counts.filesRemoved;
    stats.isDiskFull = this.#queue.isFull;
  }

  /** The thread does it when it is idle. */
  settle(): void {}

  close(stats: SinkStats): void {
    if (this.#waitFree(1)) this.#queue.publishMessage(BlockKind.Close, null);
    if (!this.#drain()) {
      if (this.fault === null) this.#break('the compressing thread does not answer');
      // what it never took is in no file
      const lost = this.#queue.pendingPackets;
      this.#packets -= lost;
      this.#bytes -= this.#queue.pendingBytes;
      stats.droppedEnded += lost;
    }
    this.report(stats);
  }

  #break(message: string): void {
    this.#fault ??= new OperatorError('FILE', message);
  }

  #waitFree(slots: number): boolean {
    return this.#waitUntil(() => this.#queue.free >= slots);
  }

  #drain(): boolean {
    return this.#waitUntil(() => this.#queue.isDrained);
  }

  /** Waits as long as the thread takes blocks. */
  #waitUntil(isDone: () => boolean): boolean {
    let free = this.#queue.free;
    let since = Date.now();
    while (!isDone()) {
      if (this.fault !== null && !this.#queue.isStarted) return false;
      this.#queue.waitReleased(100);
      const now = Date.now();
      if (this.#queue.free !== free) {
        free = this.#queue.free;
        since = now;
      } else if (now - since > STALLED_MS) return false;
    }
    return true;
  }
}
