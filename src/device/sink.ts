import type { Region } from '../base/region.ts';

/**
 * Where frames leave. A sink queues frames by reference and hands them over in batches.
 *
 * ```
 * push(region, at, length)  queue one frame; false: the queue is full, flush first
 * flush()                   hand everything queued to the kernel; returns the frames accepted
 * drain()                   wait (bounded) until the kernel has let go of every frame
 * close()                   drain, then free
 * ```
 * The bytes of a queued frame must stay untouched until `flush` returns (until `drain` where `retainsFrames`).
 * A frame's fault (too long, refused) is counted in `counters` and never throws. A device's fault (gone, down) is put
 * into `fault`: the sink then accepts nothing more and the engine stops with right counts.
 */
export interface Sink {
  /** As in reports: `eth1`, `out.pcap`, `memory`. */
  readonly name: string;
  readonly limits: SinkLimits;
  readonly counters: SinkCounters;
  /** The fault that broke the device, or null. */
  readonly fault: Error | null;
  push(region: Region, at: number, length: number): boolean;
  /** Time of the frames pushed from now on, seconds and nanoseconds since 1970; for sinks that keep times (files). */
  setTime?(sec: number, nsec: number): void;
  flush(): number;
  drain(): void;
  close(): void;
}

export interface SinkLimits {
  /** LINKTYPE_ that frames must have when pushed (`wire/linktype.ts`). */
  readonly linktype: number;
  /** Longest frame in bytes, link-layer header included (VLAN tags come on top where the device allows it). */
  readonly frameBytesMax: number;
  /** Frames that the queue holds. */
  readonly batchFramesMax: number;
  /** The kernel may still read frames after `flush`: keep their bytes until `drain`. */
  readonly retainsFrames: boolean;
}

/** Every frame pushed ends in exactly one of sent, failed. */
export class SinkCounters {
  /** Frames accepted by the kernel (by the file, by memory). */
  sent = 0;
  sentBytes = 0;
  /** Frames refused for good; by cause in `causes`. */
  failed = 0;
  /** Attempts repeated because the kernel's queue was full. */
  retriedNoBufs = 0;
  retriedAgain = 0;
  /** Cause (`EMSGSIZE`, …) -> frames. Touched on failure only. */
  readonly causes: Map<string, number> = new Map();

  fail(cause: string, frames = 1): void {
    this.failed += frames;
    this.causes.set(cause, (this.causes.get(cause) ?? 0) + frames);
  }
}
