/**
 * HOT: the kernel's monotonic clock and precise waiting.
 *
 * One reading costs about 45 ns (measured; `process.hrtime.bigint()` 38 to 150). `waitUntilNs` sleeps with
 * clock_nanosleep(TIMER_ABSTIME) up to a margin before the due time and spins for the rest. The margin follows what the
 * kernel was late by in the sleeps before, so that a quiet host spins little and a noisy one is still on time.
 */
import type { Clock } from '../base/clock.ts';
import { NS_PER_SECOND } from '../base/units.ts';
import { declare } from './libc.ts';

// include/uapi/linux/time.h, prctl.h
const CLOCK_REALTIME = 0;
const CLOCK_MONOTONIC = process.platform === 'darwin' ? 6 : 1;
const TIMER_ABSTIME = 1;
const PR_SET_TIMERSLACK = 29;

const clockGettime = declare('int clock_gettime(int clock, void *timespec)');
const clockNanosleep =
  process.platform === 'darwin'
    ? null
    : declare('int clock_nanosleep(int clock, int flags, const void *request, void *remain)');

export type WaitMode = 'adaptive' | 'spin' | 'sleep';

/** Bounds of the spinning part of an adaptive wait. */
const MARGIN_NS_MIN = 8_000;
const MARGIN_NS_MAX = 100_000;
/**
 * Eleven of twelve wake-ups in time. Three of four (0.06 and 0.02) made the median packet 1.1 µs late instead of 0.3
 * and saved no CPU time that could be measured.
 */
const MARGIN_RISE = 0.25;
const MARGIN_FALL = 0.02;
const WARM_UP_WAITS = 20;
const WARM_UP_NS = 150_000;
/** Extra over the observed oversleep. */
const MARGIN_NS_GUARD = 3_000;

/** struct timespec on 64-bit Linux and macOS: two 64-bit fields, both little-endian machines. */
class Timespec {
  readonly cells: Uint32Array = new Uint32Array(4);

  set(seconds: number, ns: number): void {
    this.cells[0] = seconds >>> 0;
    this.cells[1] = (seconds / 0x1_0000_0000) >>> 0;
    this.cells[2] = ns;
    this.cells[3] = 0;
  }

  get seconds(): number {
    return this.cells[0]! + this.cells[1]! * 0x1_0000_0000;
  }

  get ns(): number {
    return this.cells[2]!;
  }
}

/** Seconds of CLOCK_MONOTONIC now: an epoch that several threads' clocks can share. */
export function monotonicSeconds(): number {
  const now = new Timespec();
  clockGettime(CLOCK_MONOTONIC, now.cells);
  return now.seconds;
}

/** Milliseconds since 1970 with the kernel's full resolution, as a fraction. */
export function realtimeMs(): number {
  const now = new Timespec();
  clockGettime(CLOCK_REALTIME, now.cells);
  return now.seconds * 1000 + now.ns / 1e6;
}

export class SystemClock implements Clock {
  readonly #epochSeconds: number;
  readonly #mode: WaitMode;
  readonly #now = new Timespec();
  readonly #wake = new Timespec();
  #marginNs = 40_000;

  /**
   * `epochSeconds`: CLOCK_MONOTONIC seconds that count as zero; share one among threads. Sets the timer slack of the
   * calling thread to 1 ns.
   */
  constructor(epochSeconds: number, mode: WaitMode = 'adaptive') {
    this.#epochSeconds = epochSeconds;
    this.#mode = mode;
    if (process.platform === 'linux') {
      const prctl = declare('int prctl(int option, ulong a, ulong b, ulong c, ulong d)');
      prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0);
    }
  }

  nowNs(): number {
    const cells = this.#now.cells;
    clockGettime(CLOCK_MONOTONIC, cells);
    return (cells[0]! + cells[1]! * 0x1_0000_0000 - this.#epochSeconds) * NS_PER_SECOND + cells[2]!;
  }

  waitUntilNs(dueNs: number): void {
    let now = this.nowNs();
    if (now >= dueNs) return;
    if (this.#mode !== 'spin' && clockNanosleep !== null) {
      const wakeNs = this.#mode === 'sleep' ? dueNs : dueNs - this.#marginNs;
      if (wakeNs - now > MARGIN_NS_MIN) {
        this.#sleepUntilNs(wakeNs);
        now = this.nowNs();
        this.#learn(now - wakeNs);
      }
    }
    if (now < dueNs) this.spinUntilNs(dueNs);
  }

  spinUntilNs(dueNs: number): void {
    while (this.nowNs() < dueNs);
  }

  /** Short waits before the first one that matters: compiled code, and a margin that knows this host. About 3 ms. */
  warmUp(): void {
    for (let wait = 0; wait < WARM_UP_WAITS; wait++) this.waitUntilNs(this.nowNs() + WARM_UP_NS);
  }

  #sleepUntilNs(wakeNs: number): void {
    const seconds = Math.floor(wakeNs / NS_PER_SECOND);
    this.#wake.set(this.#epochSeconds + seconds, wakeNs - seconds * NS_PER_SECOND);
    clockNanosleep!(CLOCK_MONOTONIC, TIMER_ABSTIME, this.#wake.cells, null);
  }

  /** Settles where about RISE / (RISE + FALL) of the wake-ups are early enough; a single outlier is capped. */
  #learn(oversleptNs: number): void {
    const wanted = Math.min(MARGIN_NS_MAX, Math.max(MARGIN_NS_MIN, oversleptNs + MARGIN_NS_GUARD));
    this.#marginNs += (wanted - this.#marginNs) * (wanted > this.#marginNs ? MARGIN_RISE : MARGIN_FALL);
  }
}
