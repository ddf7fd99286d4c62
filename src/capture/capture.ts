/**
 * A capture as an async iterable of batches: for programs of one's own, and for `tscap` itself.
 *
 * ```ts
 * const capture = openCapture({ interfaces: ['eth0'], filter: 'tcp port 80' });
 * for await (const batch of capture) {
 *   for (let i = 0; i < batch.count; i++) look(batch.region.view, batch.at[i], batch.caplen[i]);
 * }
 * ```
 * Lifetime: a batch and the bytes it points to are valid until the next one is asked for (the next turn of the loop);
 * they lie in the kernel's ring, which gets them back then. Copy what is to stay. Leaving the loop closes the capture.
 * Frames of several interfaces come in the order of their stamps (merge.ts), copied.
 */
import { FrameBatch as Batch, type FrameBatch } from '../base/batch.ts';
import { OperatorError } from '../base/errors.ts';
import { plainRegion } from '../base/region.ts';
import { captureFileInterfaces, openCaptureFiles } from '../device/capture_file.ts';
import type { CaptureSource, SourceInterface } from '../device/capture_source.ts';
import { enterNamespace, insideNamespace, PollSet, pauseMicroseconds, processCpuMs } from '../device/host_capture.ts';
import { chooseCaptureBackend, openCaptureSource } from '../device/open_source.ts';
import { RING_BATCH_FRAMES } from '../device/packet_ring.ts';
import type { RingBlock } from '../device/ring_block.ts';
import { CpuLimit } from './cpu_limit.ts';
import { holdOf, SourceMerge } from './merge.ts';
import { BUFFER_BYTES, type CaptureCounts, type CaptureOptions, RETIRE_MS, SNAPLEN_MAX } from './spec.ts';

/** Longest time that a blocked thread does not look whether it is to stop. */
const BLOCK_MS = 50;
/** Pause of an event loop that found nothing. */
const YIELD_MS = 5;
/** Pause of a capture that is over its share of the processor. */
const SHED_PAUSE_US = 5_000;
/** Pause of a thread whose frames wait for those of other interfaces. */
const HOLD_PAUSE_US = 2_000;
/** Several interfaces: short waits for each other. Milliseconds. */
const MERGE_RETIRE_MS = 10;
/** Blocks in a row before orders and the clock are looked at. */
const BLOCKS_IN_A_ROW = 32;
/** Batches in a row before an event loop gets its turn. */
const BATCHES_IN_A_ROW = 16;

/** What several threads of one capture share. */
export interface CaptureShared {
  /** True: end, once what has been received is out. */
  shouldStop(): boolean;
  /** Of `wanted` frames, how many may still be handed out. */
  claim(wanted: number): number;
  /** Frames are to be claimed. */
  readonly isLimited: boolean;
}

/** Takes frames by the block, and by the batch those that it left in the block. */
export interface BlockTaker {
  /** Moves `frame` and `left` of the block on. */
  writeBlock(block: RingBlock): void;
  writeBatch(batch: FrameBatch): void;
}

export class Capture implements AsyncIterable<FrameBatch> {
  readonly #sources: readonly CaptureSource[];
  readonly #options: CaptureOptions;
  readonly #shared: CaptureShared | null;
  readonly #batch: FrameBatch = new Batch(RING_BATCH_FRAMES, plainRegion(0));
  readonly #poll: PollSet | null;
  readonly #merge: SourceMerge | null;
  readonly #cpu: CpuLimit | null;
  #delivered = 0;
  #shed = 0;
  #wantedLeft: number;
  #stopped = false;
  #full = false;
  #open = true;

  constructor(sources: readonly CaptureSource[], options: CaptureOptions, shared: CaptureShared | null) {
    this.#sources = sources;
    this.#options = options;
    this.#shared = shared;
    this.#wantedLeft = options.packets ?? Number.POSITIVE_INFINITY;
    const canPoll = sources.length > 1 && sources.every((source) => source.fd >= 0);
    this.#poll = canPoll ? new PollSet(sources.map((source) => source.fd)) : null;
    this.#merge = sources.length > 1 ? new SourceMerge(sources, holdOf(options.retireMs ?? MERGE_RETIRE_MS)) : null;
    const percent = options.cpuPercentMax;
    this.#cpu = percent === undefined ? null : new CpuLimit(percent, performance.now(), processCpuMs);
  }

  /** In the order of `batch.interfaceIndex`. Captures being read may add more as they go. */
  get interfaces(): readonly SourceInterface[] {
    return this.#sources.flatMap((source) => source.interfaces);
  }

  /** What broke, where something did: the capture goes on with the interfaces that are left. */
  get faults(): readonly OperatorError[] {
    return this.#sources.flatMap((source) => (source.fault === null ? [] : [source.fault]));
  }

  /**
   * The next frames; a batch without frames where nothing came within `timeoutMs`; null at the end. Blocks the thread.
   */
  next(timeoutMs: number): FrameBatch | null {
    const batch = this.#batch;
    batch.count = 0;
    if (!this.#open || this.#full) return null;
    if (!this.#stopped && this.#shared?.shouldStop() === true) this.stop();
    if (this.#cpu !== null && !this.#stopped && this.#cpu.isOver(performance.now())) return this.#shedAll(batch);
    if (this.#readSome(batch)) return batch;
    if (this.#merge?.isHolding !== true && this.#sources.every((source) => source.ended)) return null;
    if (timeoutMs > 0) this.#wait(this.#stopped ? 1 : timeoutMs);
    this.#readSome(batch);
    return batch;
  }

  /**
   * Whether `moveBlocks` may be used: one ring, whose frames nobody is to count or to give up before they are taken.
   */
  get movesBlocks(): boolean {
    if (this.#cpu !== null || this.#wantedLeft !== Number.POSITIVE_INFINITY || this.#sources.length > 1) return false;
    return this.#sources[0]!.blocks != null && this.#shared?.isLimited !== true;
  }

  /**
   * Moves what is there straight from the ring to `taker`; where that is nothing, waits up to `timeoutMs`. Blocks the
   * thread. False: this was the end. Precondition: `movesBlocks`.
   */
  moveBlocks(taker: BlockTaker, timeoutMs: number): boolean {
    if (!this.#open) return false;
    if (!this.#stopped && this.#shared?.shouldStop() === true) this.stop();
    const source = this.#sources[0]!;
    const blocks = source.blocks!;
    for (let n = 0; n < BLOCKS_IN_A_ROW; n++) {
      const block = blocks.nextBlock();
      if (block === null) {
        if (n === 0 && !source.ended) source.wait(this.#stopped ? 1 : timeoutMs);
        return !source.ended;
      }
      const before = block.left;
      taker.writeBlock(block);
      const taken = before - block.left;
      blocks.took(taken);
      this.#delivered += taken;
      if (block.left === 0) continue;
      this.#delivered += source.read(this.#batch);
      taker.writeBatch(this.#batch);
    }
    return true;
  }

  #shedAll(batch: FrameBatch): FrameBatch {
    this.#shed += this.#merge?.shed() ?? 0;
    for (const source of this.#sources) this.#shed += source.shed();
    pauseMicroseconds(SHED_PAUSE_US);
    return batch;
  }

  #readSome(batch: FrameBatch): boolean {
    const source = this.#sources[0]!;
    const count = this.#merge !== null ? this.#merge.read(batch) : source.ended ? 0 : source.read(batch);
    if (count === 0) return false;
    this.#claim(batch);
    return batch.count > 0;
  }

  #claim(batch: FrameBatch): void {
    const wanted = Math.min(batch.count, this.#wantedLeft);
    const granted = this.#shared === null ? wanted : this.#shared.claim(wanted);
    if (granted < batch.count) this.#full = true;
    batch.count = granted;
    this.#wantedLeft -= granted;
    if (this.#wantedLeft === 0) this.#full = true;
    this.#delivered += granted;
  }

  #wait(timeoutMs: number): void {
    // The descriptor of a source whose frames are held says that it has some.
    if (this.#merge?.isHolding === true) {
      pauseMicroseconds(HOLD_PAUSE_US);
      return;
    }
    if (this.#poll === null) this.#sources[0]!.wait(timeoutMs);
    else this.#poll.wait(timeoutMs);
    // Each looks at its own errors.
    if (this.#sources.length > 1) for (const source of this.#sources) source.wait(0);
  }

  /** Nothing more comes in; what has been received is still handed out. */
  stop(): void {
    if (this.#stopped) return;
    this.#stopped = true;
    for (const source of this.#sources) source.halt();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<FrameBatch, void, void> {
    const blocks = this.#options.wait === 'block';
    const idleMs = this.#options.idleMs ?? Number.POSITIVE_INFINITY;
    let inARow = 0;
    let lastMs = performance.now();
    try {
      for (;;) {
        const batch = this.next(blocks ? Math.min(idleMs, BLOCK_MS) : 0);
        if (batch === null) return;
        if (batch.count > 0) {
          yield batch;
          if (++inARow % BATCHES_IN_A_ROW !== 0 || blocks) continue;
        }
        const nowMs = performance.now();
        const isIdle = nowMs - lastMs >= idleMs;
        if (isIdle) {
          lastMs = nowMs;
          batch.count = 0;
          yield batch;
        }
        if (blocks && !isIdle) continue;
        await new Promise((resolve) => (blocks || inARow > 0 ? setImmediate(resolve) : setTimeout(resolve, YIELD_MS)));
        inARow = 0;
      }
    } finally {
      this.close();
    }
  }

  /** Right at any time, also after `close`. */
  counts(): CaptureCounts {
    const counts = { filtered: 0, droppedByKernel: 0, droppedByInterface: 0, frozen: 0 };
    for (const source of this.#sources) {
      if (this.#open) source.updateStatistics();
      counts.filtered += source.filtered;
      counts.droppedByKernel += source.statistics.droppedByKernel;
      counts.droppedByInterface += source.statistics.droppedByInterface;
      counts.frozen += source.statistics.frozen;
    }
    const [delivered, shed] = [this.#delivered, this.#shed];
    return { received: delivered + counts.filtered + shed + counts.droppedByKernel, delivered, shed, ...counts };
  }

  /** Per source, in the order given: what the statistics block of a capture file says. */
  sourceStatistics(): { received: number; droppedByKernel: number; droppedByInterface: number }[] {
    return this.#sources.map(({ statistics: { received, droppedByKernel, droppedByInterface } }) => ({
      received,
      droppedByKernel,
      droppedByInterface,
    }));
  }

  close(): void {
    if (!this.#open) return;
    for (const source of this.#sources) source.halt();
    this.counts();
    this.#open = false;
    for (const source of this.#sources) source.close();
    this.#merge?.close();
  }
}

/**
 * Opens a capture. Throws an OperatorError that says what to type: USAGE (the filter, with the place), INTERFACE,
 * PERMISSION, RESOURCE, FILE, FORMAT, UNSUPPORTED. `shared`: for captures that several threads make together.
 */
export function openCapture(options: CaptureOptions, shared: CaptureShared | null = null): Capture {
  const files = options.files ?? [];
  const interfaces = options.interfaces ?? [];
  if ((files.length === 0) === (interfaces.length === 0)) {
    throw new OperatorError('USAGE', 'a capture needs either interfaces or files');
  }
  return files.length > 0 ? openFiles(files, options, shared) : openInterfaces(interfaces, options, shared);
}

function openFiles(paths: readonly string[], options: CaptureOptions, shared: CaptureShared | null): Capture {
  const shouldStop = (): boolean => shared?.shouldStop() ?? false;
  const spec = { paths, filter: options.filter ?? '', snaplen: options.snaplen ?? SNAPLEN_MAX };
  if (options.merge !== true) return new Capture([openCaptureFiles(spec, shouldStop)], options, shared);
  if (paths.includes('-'))
    throw new OperatorError('USAGE', 'standard input cannot be merged: write it to a file first');
  const sources: CaptureSource[] = [];
  let interfaceFirst = 0;
  try {
    for (const path of paths) {
      const interfaces = captureFileInterfaces([path], spec.snaplen);
      sources.push(openCaptureFiles({ ...spec, paths: [path], interfaceFirst, interfaces }, shouldStop));
      interfaceFirst += interfaces.length;
    }
  } catch (error) {
    for (const source of sources) source.close();
    throw error;
  }
  return new Capture(sources, options, shared);
}

function openInterfaces(names: readonly string[], options: CaptureOptions, shared: CaptureShared | null): Capture {
  const open = (): Capture => {
    const sources: CaptureSource[] = [];
    try {
      names.forEach((name, interfaceIndex) => {
        sources.push(
          openOne(name, interfaceIndex, { retireMs: names.length > 1 ? MERGE_RETIRE_MS : RETIRE_MS, ...options }),
        );
      });
    } catch (error) {
      for (const source of sources) source.close();
      throw error;
    }
    return new Capture(sources, options, shared);
  };
  return insideNamespace(options.netns ?? null, open);
}

function openOne(name: string, interfaceIndex: number, options: CaptureOptions): CaptureSource {
  return openCaptureSource({
    name,
    backend: options.backend ?? chooseCaptureBackend(),
    filter: options.filter ?? '',
    snaplen: options.snaplen ?? SNAPLEN_MAX,
    promiscuous: options.promiscuous ?? true,
    direction: options.direction ?? 'inout',
    bufferBytes: options.bufferBytes ?? BUFFER_BYTES,
    retireMs: options.retireMs ?? RETIRE_MS,
    stamps: options.stamps ?? 'host',
    // One group for each interface.
    fanoutGroup: options.fanoutGroup === undefined ? null : (options.fanoutGroup + interfaceIndex) & 0xffff,
    interfaceIndex,
  });
}

/** Moves this thread into the namespace, so that interfaces are also looked at there when the capture ends. */
export function enterCaptureNamespace(options: CaptureOptions): CaptureOptions {
  const { netns, ...rest } = options;
  if (netns === undefined) return options;
  enterNamespace(netns);
  return rest;
}
