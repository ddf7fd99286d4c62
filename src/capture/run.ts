/** What one thread of a capture does: opens its sources, says so, and moves frames from them to where they end. */
import type { FrameBatch } from '../base/batch.ts';
import { captureFileInterfaces } from '../device/capture_file.ts';
import type { SourceInterface } from '../device/capture_source.ts';
import type { AnonymizeSpec } from '../rewrite/anonymize_spec.ts';
import type { CounterRow } from '../ring/counters.ts';
import { type Capture, enterCaptureNamespace, openCapture } from './capture.ts';
import { type CaptureControl, Cell } from './control.ts';
import { describeError, type ErrorMessage } from './messages.ts';
import type { PrintOptions } from './print/index.ts';
import { openCaptureSink } from './sink/open.ts';
import type { CaptureSink, CaptureSinkSpec } from './sink/sink.ts';
import { type CaptureOptions, SNAPLEN_MAX } from './spec.ts';

/** Between looks at the clock, the counters and the orders. */
const TICK_MS = 100;
/** Between turns of the event loop, which hears of files that other threads have closed. */
const TURN_MS = 2000;

/** Where frames end, as plain data. At least one. */
export interface OutputSpec {
  /** `interfaces` is filled in here, when they are known. */
  readonly sink: Omit<CaptureSinkSpec, 'interfaces'> | null;
  /** Lines of text on standard output. */
  readonly print: PrintOptions | null;
  /** Before anything is written or printed. */
  readonly anonymize: AnonymizeSpec | null;
}

/** Sees every batch before it is written; may change frames in place. */
export interface BatchStage {
  apply(batch: FrameBatch): void;
}

/** Prints batches. */
export interface BatchPrinter {
  writeBatch(batch: FrameBatch): void;
  /** Nobody reads any more. */
  readonly ended: boolean;
}

export interface RunStart {
  readonly worker: number;
  readonly workers: number;
  readonly orders: SharedArrayBuffer;
  readonly counters: SharedArrayBuffer;
  readonly capture: CaptureOptions;
  readonly output: OutputSpec;
}

export interface RunEnd {
  readonly faults: readonly ErrorMessage[];
  readonly interfaces: readonly SourceInterface[];
  readonly currentFile: string;
}

/** A thread's capture between opening and running. */
export class OpenedRun {
  readonly #start: RunStart;
  readonly #control: CaptureControl;
  readonly #capture: Capture;
  readonly #row: CounterRow;
  #sink: CaptureSink | null = null;
  #stages: readonly BatchStage[] = [];
  #printer: BatchPrinter | null = null;
  #rotations: number;
  #flushes: number;
  #printed = 0;
  #printedBytes = 0;
  readonly #tellFault: (fault: ErrorMessage) => void;
  #faultsTold = 0;
  readonly #blocksThread: boolean;

  /**
   * `tellFault`: hears at once of what breaks while other interfaces go on. Throws an OperatorError.
   */
  constructor(start: RunStart, control: CaptureControl, ownThread: boolean, tellFault: (fault: ErrorMessage) => void) {
    this.#tellFault = tellFault;
    this.#start = start;
    this.#control = control;
    this.#blocksThread = ownThread;
    const options = ownThread ? enterCaptureNamespace(start.capture) : start.capture;
    this.#capture = openCapture({ ...options, wait: ownThread ? 'block' : 'yield', idleMs: TICK_MS }, control);
    this.#row = control.counters.row(start.worker);
    this.#rotations = control.rotations;
    this.#flushes = control.flushes;
  }

  get interfaces(): readonly SourceInterface[] {
    return this.#capture.interfaces;
  }

  /** For a capture that is not to run. */
  abandon(): void {
    this.#capture.close();
  }

  /** Moves frames until the end. Throws an OperatorError where the sink cannot be opened. */
  async run(): Promise<RunEnd> {
    try {
      const { anonymize, print } = this.#start.output;
      const isLive = this.#start.capture.files === undefined;
      if (anonymize !== null) this.#stages = [(await import('./anonymize_stage.ts')).openAnonymizeStage(anonymize)];
      if (print !== null) this.#printer = (await import('./print_lines.ts')).openLinePrinter(print, isLive);
      await this.#move();
    } finally {
      this.#capture.close();
      this.#finish();
    }
    return {
      faults: this.#faults(),
      interfaces: this.#capture.interfaces,
      currentFile: this.#sink?.stats.currentFile ?? '',
    };
  }

  async #move(): Promise<void> {
    const stages = this.#stages;
    const printer = this.#printer;
    if (this.#start.capture.files === undefined) this.#openSink(this.#capture.interfaces);
    const plain = printer === null && stages.length === 0 && this.#blocksThread ? this.#sink : null;
    if (plain !== null && this.#capture.movesBlocks) {
      plain.prepareBlocks();
      await this.#moveBlocks(plain);
      return;
    }
    let tickedMs = performance.now();
    for await (const batch of this.#capture) {
      if (batch.count > 0) {
        // A file tells its interfaces as it is read: the sink is opened when the first frames are there.
        if (this.#sink === null && this.#start.output.sink !== null) this.#openSink(this.#fileInterfaces());
        for (const stage of stages) stage.apply(batch);
        if (printer !== null) this.#print(batch, printer);
        this.#sink?.writeBatch(batch);
      }
      const nowMs = performance.now();
      if (nowMs - tickedMs >= TICK_MS || batch.count === 0) {
        tickedMs = nowMs;
        this.#tick();
      }
      if (this.#sink?.ended === true || printer?.ended === true) {
        this.#publish();
        this.#control.stop();
        return;
      }
    }
    if (this.#sink === null && this.#start.output.sink !== null) this.#openSink(this.#fileInterfaces());
  }

  /** From the ring to the file, nothing in between: no batch, and a turn of the event loop only now and then. */
  async #moveBlocks(sink: CaptureSink): Promise<void> {
    let tickedMs = performance.now();
    let turnedMs = tickedMs;
    while (this.#capture.moveBlocks(sink, TICK_MS / 2)) {
      const nowMs = performance.now();
      if (nowMs - tickedMs >= TICK_MS) {
        tickedMs = nowMs;
        this.#tick();
      }
      if (nowMs - turnedMs >= TURN_MS) {
        turnedMs = nowMs;
        await new Promise((resolve) => setImmediate(resolve));
      }
      if (!sink.ended) continue;
      this.#publish();
      this.#control.stop();
      return;
    }
  }

  #print(batch: FrameBatch, printer: BatchPrinter): void {
    printer.writeBatch(batch);
    this.#printed += batch.count;
    for (let i = 0; i < batch.count; i++) this.#printedBytes += batch.caplen[i]!;
  }

  #tick(): void {
    const sink = this.#sink;
    // for files that end before the next turn, by their size, too
    this.#tellStatistics();
    if (this.#control.rotations !== this.#rotations) {
      this.#rotations = this.#control.rotations;
      sink?.rotate();
    }
    if (this.#control.flushes !== this.#flushes) {
      this.#flushes = this.#control.flushes;
      sink?.flush();
    }
    sink?.tick(Date.now());
    this.#tellFaults();
    this.#publish();
  }

  #tellFaults(): void {
    const { faults, interfaces } = this.#capture;
    if (faults.length === interfaces.length) return;
    for (const fault of faults.slice(this.#faultsTold)) this.#tellFault(describeError(fault));
    this.#faultsTold = faults.length;
  }

  #publish(): void {
    const cells = this.#row.cells;
    const counts = this.#capture.counts();
    cells[Cell.Received] = counts.received;
    cells[Cell.Filtered] = counts.filtered;
    cells[Cell.Shed] = counts.shed;
    cells[Cell.DroppedByKernel] = counts.droppedByKernel;
    cells[Cell.DroppedByInterface] = counts.droppedByInterface;
    cells[Cell.Frozen] = counts.frozen;
    cells[Cell.Written] = this.#printed;
    cells[Cell.Bytes] = this.#printedBytes;
    const sink = this.#sink;
    if (sink !== null) {
      const { stats } = sink;
      if (sink.fault === null) cells[Cell.Received] = counts.received - stats.droppedEnded;
      else cells[Cell.DroppedBroken] = stats.droppedEnded;
      cells[Cell.Written] = stats.packets;
      cells[Cell.Bytes] = stats.bytes;
      cells[Cell.DroppedDiskFull] = stats.droppedDiskFull;
      cells[Cell.DroppedCompressor] = stats.droppedCompressor;
      cells[Cell.DroppedUnwritable] = stats.droppedUnwritable;
      cells[Cell.FileBytes] = stats.fileBytes;
      cells[Cell.Files] = stats.files;
      cells[Cell.FilesRemoved] = stats.filesRemoved;
      cells[Cell.DiskFull] = stats.isDiskFull ? 1 : 0;
    }
    this.#row.publish();
  }

  #tellStatistics(): void {
    if (this.#sink === null || this.#start.capture.files !== undefined) return;
    this.#capture.sourceStatistics().forEach((counts, i) => {
      this.#sink!.setInterfaceCounts(i, counts);
    });
  }

  #finish(): void {
    this.#tellStatistics();
    this.#sink?.close();
    this.#publish();
  }

  #faults(): ErrorMessage[] {
    const faults: ErrorMessage[] = this.#capture.faults.map(describeError);
    const fault = this.#sink?.fault ?? null;
    return fault === null ? faults : [...faults, describeError(fault)];
  }

  #openSink(interfaces: readonly SourceInterface[]): void {
    const { sink } = this.#start.output;
    if (sink === null) return;
    const filter = this.#start.capture.filter ?? '';
    const described = interfaces.map((one) => (filter === '' ? one : { ...one, filter }));
    this.#sink = openCaptureSink({ ...sink, interfaces: described });
  }

  /** All interfaces of the captures: those of pcapng files may stand anywhere in them. */
  #fileInterfaces(): readonly SourceInterface[] {
    const known = this.#capture.interfaces;
    const { files = [], snaplen = SNAPLEN_MAX } = this.#start.capture;
    if (files.includes('-')) return known;
    const found = captureFileInterfaces(files, snaplen);
    return found.length >= known.length ? found : known;
  }
}
