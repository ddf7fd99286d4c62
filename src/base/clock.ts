/**
 * Time is passed in: nanoseconds since the clock's own zero as a number, exact for 104 days (2^53 ns).
 * The kernel-backed clock is in `sys/clock.ts`.
 */
export interface Clock {
  /** Nanoseconds since this clock was made. */
  nowNs(): number;
  /** Blocks the calling thread until `nowNs() >= dueNs`, sleeping where that is cheap. */
  waitUntilNs(dueNs: number): void;
  /** The same without sleeping. */
  spinUntilNs(dueNs: number): void;
}

/** A clock moved by hand, for tests. Waiting jumps to the due time. */
export class FakeClock implements Clock {
  #now = 0;

  nowNs(): number {
    return this.#now;
  }

  waitUntilNs(dueNs: number): void {
    if (dueNs > this.#now) this.#now = dueNs;
  }

  spinUntilNs(dueNs: number): void {
    this.waitUntilNs(dueNs);
  }

  advanceNs(ns: number): void {
    this.#now += ns;
  }
}
