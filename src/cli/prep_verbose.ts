/** `--verbose`: every packet through tcpdump, which reads them from a pipe. For eyes, so speed does not matter here. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { FrameBatch } from '../base/batch.ts';
import { OperatorError } from '../base/errors.ts';

const MAGIC_NS = 0xa1b23c4d;
const SNAPLEN = 262_144;
const HEADER_BYTES = 24;
const RECORD_BYTES = 16;

/** A tcpdump that prints batches. One link type: frames of others are counted in `left`. */
export class VerbosePrinter {
  left = 0;
  readonly #args: readonly string[];
  #child: ChildProcess | null = null;
  #linktype = -1;
  #broken: Error | null = null;

  constructor(decodeArgs: string) {
    this.#args = decodeArgs.split(/\s+/).filter((word) => word !== '');
  }

  async print(batch: FrameBatch): Promise<void> {
    this.#child ??= this.#start(batch.linktype[0]!);
    const input = this.#child.stdin!;
    if (this.#broken !== null || !input.writable) return;
    if (!input.write(this.#records(batch))) await Promise.race([once(input, 'drain'), once(input, 'close')]);
  }

  /** Waits until all is printed. Throws UNSUPPORTED where there is no tcpdump; returns a warning where it failed. */
  async finish(): Promise<string | null> {
    if (this.#child === null) return null;
    const ended = once(this.#child, 'close').catch((error: Error) => {
      this.#broken = error;
      return [0];
    });
    this.#child.stdin!.end();
    const [code] = (await ended) as [number | null];
    if (this.#broken !== null) {
      throw new OperatorError('UNSUPPORTED', '--verbose prints through tcpdump, which is missing: apt install tcpdump');
    }
    return code === 0 ? null : `tcpdump ended with status ${code}: is --decode what it takes?`;
  }

  #start(linktype: number): ChildProcess {
    this.#linktype = linktype;
    const child = spawn('tcpdump', ['-n', '-l', '-r', '-', ...this.#args], { stdio: ['pipe', 'inherit', 'inherit'] });
    child.on('error', (error) => {
      this.#broken = error;
    });
    child.stdin.on('error', () => {});
    const header = new DataView(new ArrayBuffer(HEADER_BYTES));
    [MAGIC_NS, 0x0002_0004, 0, 0, SNAPLEN, linktype].forEach((word, i) => {
      header.setUint32(i * 4, word);
    });
    child.stdin.write(new Uint8Array(header.buffer));
    return child;
  }

  #records(batch: FrameBatch): Uint8Array {
    let size = 0;
    for (let i = 0; i < batch.count; i++) size += RECORD_BYTES + batch.caplen[i]!;
    const out = new Uint8Array(size);
    const view = new DataView(out.buffer);
    let at = 0;
    for (let i = 0; i < batch.count; i++) {
      if (batch.linktype[i] !== this.#linktype) {
        this.left++;
        continue;
      }
      const caplen = batch.caplen[i]!;
      view.setUint32(at, batch.sec[i]!);
      view.setUint32(at + 4, batch.nsec[i]!);
      view.setUint32(at + 8, caplen);
      view.setUint32(at + 12, batch.len[i]!);
      out.set(batch.region.bytes.subarray(batch.at[i]!, batch.at[i]! + caplen), at + RECORD_BYTES);
      at += RECORD_BYTES + caplen;
    }
    return out.subarray(0, at);
  }
}
