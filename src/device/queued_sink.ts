/**
 * HOT: what sinks with a descriptor or a handle and one queue of frames by reference have in common: pushing, counting,
 * the fault that ends a run, closing.
 */
import type { Region } from '../base/region.ts';
import { deviceFault } from './fault_error.ts';
import { type Sink, SinkCounters, type SinkLimits } from './sink.ts';

/** `MessageQueue`, `FrameQueue`. */
export interface SinkQueue {
  readonly count: number;
  /** errno that broke the device, 0 = none. */
  readonly faultErrno: number;
  push(region: Region, at: number, length: number): boolean;
  flush(counters: SinkCounters): number;
  release(): void;
}

export class QueuedSink<Queue extends SinkQueue> implements Sink {
  readonly name: string;
  readonly limits: SinkLimits;
  readonly counters: SinkCounters = new SinkCounters();
  fault: Error | null = null;
  protected readonly queue: Queue;
  readonly #closeDevice: () => void;
  #isOpen = true;

  constructor(name: string, limits: SinkLimits, queue: Queue, closeDevice: () => void) {
    this.name = name;
    this.limits = limits;
    this.queue = queue;
    this.#closeDevice = closeDevice;
  }

  push(region: Region, at: number, length: number): boolean {
    return this.fault === null && this.queue.push(region, at, length);
  }

  flush(): number {
    const { queue } = this;
    if (queue.count === 0) return 0;
    const sent = queue.flush(this.counters);
    if (queue.faultErrno !== 0) this.fault ??= deviceFault(this.name, queue.faultErrno);
    return sent;
  }

  drain(): void {
    this.flush();
  }

  close(): void {
    if (!this.#isOpen) return;
    this.drain();
    this.#isOpen = false;
    this.#closeDevice();
    this.queue.release();
  }
}
