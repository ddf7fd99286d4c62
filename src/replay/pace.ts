/**
 * Waiting for a due time while obeying the main thread: long waits are cut into slices, so that stop, pause and resume
 * take effect within `SLICE_NS`, and the last stretch is the clock's precise wait.
 */
import type { Clock } from '../base/clock.ts';
import { NS_PER_MS } from '../base/units.ts';
import { Command, type Progress } from './progress.ts';

const SLICE_NS = 50 * NS_PER_MS;
/** What `approach` leaves for `reach`: short enough that nobody notices that it cannot be interrupted. */
const REACH_NS = 20 * NS_PER_MS;

const FIRST_SPIN_NS = 500_000;

export class Pacer {
  readonly #clock: Clock;
  readonly #progress: Progress;
  #isFirst = true;

  constructor(clock: Clock, progress: Progress) {
    this.#clock = clock;
    this.#progress = progress;
  }

  /** Nanoseconds of schedule now: time since the start less the time spent paused. */
  nowNs(): number {
    return this.#clock.nowNs() - this.#progress.startNs - this.#progress.shiftNs;
  }

  /** Waits until at most REACH_NS before `dueNs`. False: stop. */
  approach(dueNs: number): boolean {
    for (;;) {
      if (!this.obey()) return false;
      const left = dueNs - REACH_NS - this.nowNs();
      if (left <= 0) return true;
      this.#clock.waitUntilNs(this.#clock.nowNs() + Math.min(left, SLICE_NS));
    }
  }

  /** Waits for `dueNs` itself; at most REACH_NS, so nothing interrupts it. */
  reach(dueNs: number): void {
    const dueOnClock = dueNs + this.#progress.startNs + this.#progress.shiftNs;
    if (this.#isFirst) {
      // Every gap is measured from the first packet: it gets a processor that is awake.
      this.#isFirst = false;
      this.#clock.waitUntilNs(dueOnClock - FIRST_SPIN_NS);
      this.#clock.spinUntilNs(dueOnClock);
    }
    this.#clock.waitUntilNs(dueOnClock);
  }

  /** Sits out a pause. False: stop. */
  obey(): boolean {
    for (;;) {
      const command = this.#progress.command;
      if (command === Command.Run) return true;
      if (command === Command.Stop) return false;
      this.#progress.waitWhile(command, 100);
    }
  }
}
