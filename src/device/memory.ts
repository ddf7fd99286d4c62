/** A sink that keeps copies of frames, with their times: for tests and for programs that want them. */
import type { Region } from '../base/region.ts';
import { LINKTYPE_ETHERNET } from './link.ts';
import { type Sink, SinkCounters, type SinkLimits } from './sink.ts';

export interface KeptFrame {
  readonly sec: number;
  readonly nsec: number;
  readonly bytes: Uint8Array;
}

export interface MemorySinkOptions {
  readonly name?: string;
  readonly linktype?: number;
  /** Longer frames fail with EMSGSIZE, as on an interface. Default 262,144. */
  readonly frameBytesMax?: number;
  readonly batchFramesMax?: number;
}

export class MemorySink implements Sink {
  readonly name: string;
  readonly limits: SinkLimits;
  readonly counters: SinkCounters = new SinkCounters();
  fault: Error | null = null;
  /** Frames that were flushed, in order. */
  readonly frames: KeptFrame[] = [];
  #queued: KeptFrame[] = [];
  #sec = 0;
  #nsec = 0;

  constructor(options: MemorySinkOptions = {}) {
    this.name = options.name ?? 'memory';
    this.limits = {
      linktype: options.linktype ?? LINKTYPE_ETHERNET,
      frameBytesMax: options.frameBytesMax ?? 262_144,
      batchFramesMax: options.batchFramesMax ?? 256,
      retainsFrames: false,
    };
  }

  setTime(sec: number, nsec: number): void {
    this.#sec = sec;
    this.#nsec = nsec;
  }

  push(region: Region, at: number, length: number): boolean {
    if (this.fault !== null || this.#queued.length >= this.limits.batchFramesMax) return false;
    this.#queued.push({ sec: this.#sec, nsec: this.#nsec, bytes: region.bytes.slice(at, at + length) });
    return true;
  }

  flush(): number {
    let sent = 0;
    for (const frame of this.#queued) {
      if (frame.bytes.byteLength > this.limits.frameBytesMax) {
        this.counters.fail('EMSGSIZE');
        continue;
      }
      this.frames.push(frame);
      sent++;
      this.counters.sentBytes += frame.bytes.byteLength;
    }
    this.counters.sent += sent;
    this.#queued = [];
    return sent;
  }

  drain(): void {
    this.flush();
  }

  close(): void {
    this.drain();
  }
}
