/**
 * A look over the inputs before the first packet is sent: how many packets there are, which link types, and whether any
 * is too long. 10 ns a packet, so a capture of a hundred million packets costs a second.
 */
import { BATCH_FRAMES, FrameBatch } from '../base/batch.ts';
import { OperatorError } from '../base/errors.ts';
import { plainRegion } from '../base/region.ts';
import type { Classifier } from '../flow/direction.ts';
import { decode } from '../wire/decode.ts';
import { Fragment, Layers } from '../wire/layers.ts';
import type { OpenReader } from './feed.ts';

export interface ScanResult {
  /** Packets in all inputs, each up to its end or first fault. */
  readonly packets: number;
  readonly linktypes: ReadonlySet<number>;
  readonly longest: LongestFrame | null;
  /** There are IP fragments; false where that was not asked for. */
  readonly fragments: boolean;
}

export interface LongestFrame {
  readonly path: string;
  readonly packet: number;
  readonly bytes: number;
}

export interface ScanOptions {
  /** Told how many packets have been read, once a batch. */
  readonly onPackets: (packets: number) => void;
  /** Frames count with their length on the wire. */
  readonly originalLength: boolean;
  /** Look for IP fragments: a decode of every packet. */
  readonly fragments: boolean;
  /** Shown every packet, or null. */
  readonly direction: Classifier | null;
}

/**
 * A fault of an input ends its scan silently: the run itself delivers what lies before it and then names it. Throws
 * where an input cannot be opened.
 */
export function scanInputs(inputs: readonly string[], open: OpenReader, options: ScanOptions): ScanResult {
  const scan = new Scan(options);
  const batch = new FrameBatch(BATCH_FRAMES, plainRegion(0));
  for (const path of inputs) {
    const reader = open(path);
    try {
      while (reader.read(batch) > 0) {
        scan.look(path, batch);
        options.onPackets(scan.packets);
      }
    } catch (error) {
      if (!(error instanceof OperatorError)) throw error;
    } finally {
      reader.close();
    }
  }
  return scan;
}

class Scan implements ScanResult {
  packets = 0;
  longest: LongestFrame | null = null;
  fragments = false;
  readonly linktypes: Set<number> = new Set();
  readonly #options: ScanOptions;
  readonly #layers = new Layers();

  constructor(options: ScanOptions) {
    this.#options = options;
  }

  look(path: string, batch: FrameBatch): void {
    const lengths = this.#options.originalLength ? batch.len : batch.caplen;
    let most = 0;
    for (let i = 0; i < batch.count; i++) {
      if (lengths[i]! > lengths[most]!) most = i;
      if (i === 0 || batch.linktype[i] !== batch.linktype[i - 1]) this.linktypes.add(batch.linktype[i]!);
      if (this.#options.direction !== null) this.#options.direction.look(batch, i);
      if (this.#options.fragments && !this.fragments) this.fragments = this.#isFragment(batch, i);
    }
    this.packets += batch.count;
    if (this.longest === null || lengths[most]! > this.longest.bytes) {
      this.longest = { path, packet: batch.numberFirst + most, bytes: lengths[most]! };
    }
  }

  #isFragment(batch: FrameBatch, i: number): boolean {
    const at = batch.at[i]!;
    decode(batch.region.view, at, at + batch.caplen[i]!, batch.linktype[i]!, this.#layers);
    return this.#layers.fragment !== Fragment.None;
  }
}
