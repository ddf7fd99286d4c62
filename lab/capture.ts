import fs from 'node:fs';
import type { Host } from './host.ts';
import { type PcapFile, readPcap } from './pcapfile.ts';
import { type LabProcess, until } from './process.ts';

export interface CaptureOptions {
  /** libpcap expression. */
  readonly filter?: string;
  /** Bytes kept of each packet; default: all. */
  readonly snaplen?: number;
  /** Stamps in the file; default `nano`. */
  readonly precision?: 'micro' | 'nano';
  /** tcpdump's name of a link type (`-y`), where an interface has several (`any`). */
  readonly linktype?: string;
  /** Only frames that arrive, or only those that leave. Default both. */
  readonly direction?: 'in' | 'out' | 'inout';
  /** Kernel buffer, KiB; default 65,536. */
  readonly bufferKib?: number;
  /** Hand frames over one by one. Off for load: then the kernel's ring batches them. Default true. */
  readonly immediate?: boolean;
}

export interface CaptureCounts {
  readonly captured: number;
  readonly receivedByFilter: number;
  readonly droppedByKernel: number;
}

const QUIET_MS = 80;

/** A running `tcpdump -w` in a host. */
export class Capture {
  readonly file: string;
  readonly #process: LabProcess;

  private constructor(running: LabProcess, file: string) {
    this.#process = running;
    this.file = file;
  }

  static async start(host: Host, iface: string, file: string, options: CaptureOptions): Promise<Capture> {
    const argv = ['tcpdump', '-n', '-i', iface, '-w', file, '-U', '-Z', 'root'];
    argv.push('-B', String(options.bufferKib ?? 65_536), '-s', String(options.snaplen ?? 0));
    argv.push(`--time-stamp-precision=${options.precision ?? 'nano'}`);
    if (options.immediate ?? true) argv.push('--immediate-mode');
    if (options.linktype) argv.push('-y', options.linktype);
    if (options.direction) argv.push('-Q', options.direction);
    if (options.filter) argv.push(options.filter);
    const running = host.spawn(argv);
    await running.waitFor(/listening on/);
    return new Capture(running, file);
  }

  /** Waits until the file holds at least `count` packets. @throws Error when it does not after `timeoutMs`. */
  async waitForPackets(count: number, timeoutMs = 10_000): Promise<void> {
    await until(`${count} packets in ${this.file}`, () => readPcap(this.file).packets.length >= count, timeoutMs);
  }

  /** Stops when the file has not grown for 80 ms; resolves with tcpdump's own counts. */
  async stop(): Promise<CaptureCounts> {
    for (let size = -1; size !== fs.statSync(this.file).size; ) {
      size = fs.statSync(this.file).size;
      await new Promise((resolve) => setTimeout(resolve, QUIET_MS));
    }
    await this.#process.stop('SIGINT');
    const count = (what: string): number =>
      Number(new RegExp(`(\\d+) packets? ${what}`).exec(this.#process.stderr)?.[1] ?? Number.NaN);
    return {
      captured: count('captured'),
      receivedByFilter: count('received by filter'),
      droppedByKernel: count('dropped by kernel'),
    };
  }

  /** Stops, and reads what was captured. */
  async finish(): Promise<PcapFile> {
    await this.stop();
    return readPcap(this.file);
  }
}
