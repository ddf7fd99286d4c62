/**
 * A capture file as a sink: what would go onto an interface is written, with the times that `setTime` gave. Each
 * `flush` reaches the file, so that counts are true at any time; a write that fails is the device's fault, and the
 * frames that are in the file by then are still counted as sent.
 */
import { BATCH_FRAMES } from '../base/batch.ts';
import { OperatorError } from '../base/errors.ts';
import { FRAME_BYTES_MAX, type Region } from '../base/region.ts';
import { type CaptureWriter, createCaptureWriter } from '../pcap/index.ts';
import { LINKTYPE_ETHERNET } from './link.ts';
import { type Sink, SinkCounters, type SinkLimits } from './sink.ts';

export interface FileSinkOptions {
  /** Path; `-` is stdout. */
  readonly path: string;
  /** Default: `pcapng` for a name that ends so, else `pcap`. */
  readonly format?: 'pcap' | 'pcapng';
  /** Default 1, Ethernet. */
  readonly linktype?: number;
  /** Digits of a second in stamps: 9 (default) or 6. */
  readonly timestampDigits?: 6 | 9;
  /** Stands for the MTU of an interface; default 262,144, the most that a capture may hold. */
  readonly frameBytesMax?: number;
}

/** Cause of frames that a broken file did not take. */
const LOST_CAUSE = 'file not writable';

class FileSink implements Sink {
  readonly name: string;
  readonly limits: SinkLimits;
  readonly counters: SinkCounters = new SinkCounters();
  fault: Error | null = null;
  #writer: CaptureWriter;
  #open = true;
  #sec = 0;
  #nsec = 0;
  /** Lengths of the frames since the last flush. */
  #lengths: Uint32Array = new Uint32Array(BATCH_FRAMES);
  #count = 0;

  constructor(options: FileSinkOptions) {
    const linktype = options.linktype ?? LINKTYPE_ETHERNET;
    this.name = options.path;
    this.#writer = openWriter(options.path, linktype, options.format, options.timestampDigits);
    this.limits = {
      linktype,
      frameBytesMax: options.frameBytesMax ?? FRAME_BYTES_MAX,
      batchFramesMax: BATCH_FRAMES,
      retainsFrames: false,
    };
  }

  setTime(sec: number, nsec: number): void {
    this.#sec = sec;
    this.#nsec = nsec;
  }

  push(region: Region, at: number, length: number): boolean {
    if (this.fault !== null || this.#count === BATCH_FRAMES) return false;
    if (length > FRAME_BYTES_MAX) {
      this.counters.fail('EMSGSIZE');
      return true;
    }
    this.#lengths[this.#count++] = length;
    try {
      this.#writer.write(region, at, length, length, this.#sec, this.#nsec);
    } catch (error) {
      this.#breakWith(error);
    }
    return true;
  }

  flush(): number {
    if (this.fault !== null || this.#count === 0) return 0;
    try {
      this.#writer.flush();
    } catch (error) {
      return this.#breakWith(error);
    }
    return this.#settle(this.#count);
  }

  /** Counts the first `written` frames since the last flush as sent. */
  #settle(written: number): number {
    this.counters.sent += written;
    for (let i = 0; i < written; i++) this.counters.sentBytes += this.#lengths[i]!;
    this.#count = 0;
    return written;
  }

  #breakWith(error: unknown): number {
    if (!(error instanceof OperatorError)) throw error;
    this.fault = error;
    const written = Math.min(this.#count, Math.max(0, this.#writer.packetsWritten - this.counters.sent));
    const lost = this.#count - written;
    if (lost > 0) this.counters.fail(LOST_CAUSE, lost);
    return this.#settle(written);
  }

  drain(): void {
    this.flush();
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.flush();
    try {
      this.#writer.close();
    } catch (error) {
      if (!(error instanceof OperatorError)) throw error;
      this.fault ??= error;
    }
  }
}

function openWriter(
  path: string,
  linktype: number,
  format: 'pcap' | 'pcapng' | undefined,
  timestampDigits: 6 | 9 | undefined,
): CaptureWriter {
  return createCaptureWriter(path, {
    format: format ?? (path.endsWith('.pcapng') ? 'pcapng' : 'pcap'),
    linktype,
    timestampDigits: timestampDigits ?? 9,
  });
}

/** Creates the file. Throws FILE where it cannot be written. */
export function openFileSink(options: FileSinkOptions): Sink {
  return new FileSink(options);
}

/**
 * Writes every frame that passes to a capture file as well. A trace that cannot be written any more stops and leaves
 * its error in `traceFault`; what is traced goes on.
 */
export class TraceSink implements Sink {
  readonly name: string;
  readonly limits: SinkLimits;
  readonly counters: SinkCounters;
  /** Frames and bytes written to the trace. */
  tracedFrames = 0;
  tracedBytes = 0;
  traceFault: Error | null = null;
  #inner: Sink;
  #writer: CaptureWriter;
  #sec = -1;
  #nsec = 0;

  constructor(inner: Sink, trace: FileSinkOptions) {
    this.#inner = inner;
    this.name = inner.name;
    this.limits = inner.limits;
    this.counters = inner.counters;
    this.#writer = openWriter(trace.path, trace.linktype ?? inner.limits.linktype, trace.format, trace.timestampDigits);
  }

  get fault(): Error | null {
    return this.#inner.fault;
  }

  /** Without it, frames are stamped with the time of their push, to the millisecond. */
  setTime(sec: number, nsec: number): void {
    this.#sec = sec;
    this.#nsec = nsec;
    this.#inner.setTime?.(sec, nsec);
  }

  push(region: Region, at: number, length: number): boolean {
    if (!this.#inner.push(region, at, length)) return false;
    if (this.traceFault !== null || length > FRAME_BYTES_MAX) return true;
    const now = Date.now();
    const sec = this.#sec >= 0 ? this.#sec : Math.floor(now / 1000);
    const nsec = this.#sec >= 0 ? this.#nsec : (now % 1000) * 1_000_000;
    this.#trace(() => this.#writer.write(region, at, length, length, sec, nsec));
    this.tracedFrames++;
    this.tracedBytes += length;
    return true;
  }

  #trace(write: () => void): void {
    try {
      write();
    } catch (error) {
      if (!(error instanceof OperatorError)) throw error;
      this.traceFault ??= error;
    }
  }

  flush(): number {
    const sent = this.#inner.flush();
    if (this.traceFault === null) this.#trace(() => this.#writer.flush());
    return sent;
  }

  drain(): void {
    this.#inner.drain();
  }

  close(): void {
    this.#inner.close();
    this.#trace(() => this.#writer.close());
  }
}
