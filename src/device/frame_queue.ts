/**
 * HOT: frames on their way into devices that take one frame a call: addresses and lengths, nothing else. Frames in
 * plain memory are copied, as they have no address to hand over.
 */
import type { Region } from '../base/region.ts';
import { Errno, errnoName } from '../sys/errno.ts';
import { pauseMicroseconds } from '../sys/socket.ts';
import type { SinkCounters } from './sink.ts';
import { Staging } from './staging.ts';

/** Retries of one frame while the device's queue is full: about 0.1 s. */
const ATTEMPTS_MAX = 1_000;
const PAUSE_US = 50;

/** Sends one frame; returns 0, or the errno. ENETDOWN, ENXIO, ENODEV mean that the device is lost. */
export type Transmit = (address: number, length: number) => number;

export class FrameQueue {
  readonly capacity: number;
  count = 0;
  /** errno that broke the device, 0 = none. */
  faultErrno = 0;
  #transmit: Transmit;
  #addresses: Float64Array;
  #lengths: Uint32Array;
  #staging: Staging = new Staging();

  constructor(capacity: number, transmit: Transmit) {
    this.capacity = capacity;
    this.#transmit = transmit;
    this.#addresses = new Float64Array(capacity);
    this.#lengths = new Uint32Array(capacity);
  }

  /** Queues one frame; false: full, flush first. */
  push(region: Region, at: number, length: number): boolean {
    if (this.count === this.capacity) return false;
    const address = region.address === 0 ? this.#staging.copy(region, at, length) : region.address + at;
    if (address < 0) return false;
    this.#addresses[this.count] = address;
    this.#lengths[this.count] = length;
    this.count++;
    return true;
  }

  /** Sends every queued frame; returns how many were taken. Afterwards the queue is empty. */
  flush(counters: SinkCounters): number {
    const before = counters.sent;
    for (let i = 0; i < this.count; i++) {
      const errno = this.faultErrno !== 0 ? this.faultErrno : this.#sendOne(i, counters);
      if (errno === 0) {
        counters.sent++;
        counters.sentBytes += this.#lengths[i]!;
        continue;
      }
      counters.fail(errnoName(errno));
      if (errno === Errno.ENETDOWN || errno === Errno.ENXIO || errno === Errno.ENODEV) this.faultErrno = errno;
    }
    this.count = 0;
    this.#staging.reset();
    return counters.sent - before;
  }

  #sendOne(i: number, counters: SinkCounters): number {
    let errno = 0;
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
      errno = this.#transmit(this.#addresses[i]!, this.#lengths[i]!);
      if (errno === Errno.EAGAIN) counters.retriedAgain++;
      else if (errno === Errno.ENOBUFS || errno === Errno.ENOMEM) counters.retriedNoBufs++;
      else if (errno !== Errno.EINTR) return errno;
      pauseMicroseconds(PAUSE_US);
    }
    return errno;
  }

  release(): void {
    this.#staging.release();
  }
}
