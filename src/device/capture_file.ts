/** HOT: capture files, or standard input, as a source: filtered by our own interpreter, interfaces numbered on. */
import { FrameBatch as Batch, type FrameBatch } from '../base/batch.ts';
import { OperatorError } from '../base/errors.ts';
import { plainRegion } from '../base/region.ts';
import { type CaptureReader, openCapture } from '../pcap/index.ts';
import type { CaptureSource, SourceInterface, SourceStatistics } from './capture_source.ts';
import { type FrameFilter, openFrameFilter } from './filter.ts';

const SCAN_FRAMES = 1024;

export interface CaptureFilesSpec {
  /** In the order to be read; `-` is standard input. */
  readonly paths: readonly string[];
  readonly filter: string;
  /** Bytes of a frame that are kept. */
  readonly snaplen: number;
  /** Number of the first interface, where other sources have those in front of it. Default 0. */
  readonly interfaceFirst?: number;
  /** What `captureFileInterfaces` found, where it was asked. Default: as they are met. */
  readonly interfaces?: readonly SourceInterface[];
}

/**
 * All interfaces of captures, in the order of their frames' `interfaceIndex`: those of a pcapng file may stand anywhere
 * in it, so that it is read to its end. What cannot be read is left to whoever reads the frames. Throws FILE, FORMAT.
 */
export function captureFileInterfaces(paths: readonly string[], snaplen: number): SourceInterface[] {
  const found: SourceInterface[] = [];
  const batch = new Batch(SCAN_FRAMES, plainRegion(0));
  for (const path of paths) {
    const reader = openCapture(path);
    try {
      if (reader.info.format === 'pcapng') while (reader.read(batch) > 0);
    } catch {
      // it ends the capture when that gets there; until then its interfaces are known
    }
    for (const one of reader.info.interfaces) found.push(describe(one, snaplen));
    reader.close();
  }
  return found;
}

function describe({ name, linktype, snaplen: stated }: SourceInterface, snaplen: number): SourceInterface {
  return { name, linktype, snaplen: Math.min(stated || snaplen, snaplen) };
}

class CaptureFilesSource implements CaptureSource {
  readonly name: string;
  readonly interfaces: SourceInterface[];
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
    this.interfaces = [];
    this.name = spec.paths.join(', ');
    this.#shouldStop = () => this.#halted || shouldStop();
    this.#next();
    const known = spec.interfaces ?? [];
    for (let i = this.interfaces.length; i < known.length; i++) this.interfaces.push(known[i]!);
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
      this.interfaces.push(describe(found[i]!, this.#spec.snaplen));
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
    const base = this.#interfaceBase + (this.#spec.interfaceFirst ?? 0);
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
