/** HOT: capture files, or standard input, as a source: filtered by our own interpreter, interfaces numbered on. */
import type { FrameBatch } from '../base/batch.ts';
import { OperatorError } from '../base/errors.ts';
import { type CaptureReader, openCapture } from '../pcap/index.ts';
import type { CaptureSource, SourceInterface, SourceStatistics } from './capture_source.ts';
import { type FrameFilter, openFrameFilter } from './filter.ts';

export interface CaptureFilesSpec {
  /** In the order to be read; `-` is standard input. */
  readonly paths: readonly string[];
  readonly filter: string;
  /** Bytes of a frame that are kept. */
  readonly snaplen: number;
}

class CaptureFilesSource implements CaptureSource {
  readonly name: string;
  readonly interfaces: SourceInterface[] = [];
  readonly fd = -1;
  readonly statistics: SourceStatistics = { received: 0, droppedByKernel: 0, droppedByInterface: 0, frozen: 0 };
  fault: OperatorError | null = null;
  filtered = 0;
  ended = false;
  readonly #spec: CaptureFilesSpec;
  readonly #shouldStop: () => boolean;
  #file = 0;
  #reader: CaptureReader | null = null;
  #filter: FrameFilter | null = null;
  /** Number that interface 0 of the open file has. */
  #interfaceBase = 0;
  #halted = false;

  constructor(spec: CaptureFilesSpec, shouldStop: () => boolean) {
    this.#spec = spec;
    this.name = spec.paths.join(', ');
    this.#shouldStop = () => this.#halted || shouldStop();
    this.#next();
  }

  /** Opens the next file. Throws for the first; a later one is the run's fault. */
  #next(): boolean {
    this.#reader?.close();
    this.#reader = null;
    const path = this.#spec.paths[this.#file];
    if (path === undefined) return false;
    this.#interfaceBase = this.interfaces.length;
    this.#reader = openCapture(path, { shouldStop: this.#shouldStop });
    this.#file++;
    const first = this.#reader.info.interfaces[0];
    if (this.#spec.filter.trim() !== '') this.#filter ??= openFrameFilter(this.#spec.filter, first?.linktype ?? 1);
    this.#noteInterfaces();
    return true;
  }

  #noteInterfaces(): void {
    const found = this.#reader!.info.interfaces;
    for (let i = this.interfaces.length - this.#interfaceBase; i < found.length; i++) {
      const { name, linktype, snaplen } = found[i]!;
      this.interfaces.push({ name, linktype, snaplen: Math.min(snaplen || this.#spec.snaplen, this.#spec.snaplen) });
    }
  }

  read(batch: FrameBatch): number {
    batch.count = 0;
    while (batch.count === 0 && !this.ended) {
      const read = this.#readSome(batch);
      if (read > 0) {
        this.statistics.received += read;
        this.#noteInterfaces();
        this.#keepAccepted(batch);
      } else if (this.#halted || !this.#open()) this.ended = true;
    }
    return batch.count;
  }

  #readSome(batch: FrameBatch): number {
    if (this.#reader === null || this.#halted) return 0;
    try {
      return this.#reader.read(batch);
    } catch (error) {
      return this.#breakWith(error);
    }
  }

  #open(): boolean {
    try {
      return this.#next();
    } catch (error) {
      this.#breakWith(error);
      return false;
    }
  }

  #breakWith(error: unknown): number {
    if (!(error instanceof OperatorError)) throw error;
    this.fault ??= error;
    this.#halted = true;
    return 0;
  }

  #keepAccepted(batch: FrameBatch): void {
    const { at, caplen, len, sec, nsec, linktype, interfaceIndex } = batch;
    const filter = this.#filter;
    const snaplen = this.#spec.snaplen;
    const base = this.#interfaceBase;
    let kept = 0;
    for (let i = 0; i < batch.count; i++) {
      if (filter !== null && !filter.matches(batch, i)) continue;
      at[kept] = at[i]!;
      caplen[kept] = Math.min(caplen[i]!, snaplen);
      len[kept] = len[i]!;
      sec[kept] = sec[i]!;
      nsec[kept] = nsec[i]!;
      linktype[kept] = linktype[i]!;
      interfaceIndex[kept] = interfaceIndex[i]! + base;
      kept++;
    }
    this.filtered += batch.count - kept;
    batch.count = kept;
  }

  wait(): void {}

  shed(): number {
    return 0;
  }

  updateStatistics(): void {}

  halt(): void {
    this.#halted = true;
  }

  close(): void {
    this.ended = true;
    this.#reader?.close();
    this.#reader = null;
  }
}

/** `shouldStop`: asked about ten times a second while a pipe has nothing. Throws FILE, FORMAT or USAGE. */
export function openCaptureFiles(spec: CaptureFilesSpec, shouldStop: () => boolean): CaptureSource {
  return new CaptureFilesSource(spec, shouldStop);
}
