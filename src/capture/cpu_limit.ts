/**
 * A share of a processor as a bucket: it fills with time and empties with what the process uses. While it is empty,
 * frames are given up unread, which costs next to nothing, until it has filled again.
 */
const BURST_MS = 100;
/** Looking costs a system call: not more often than this. */
const LOOK_MS = 2;

export class CpuLimit {
  readonly #share: number;
  readonly #cpuMs: () => number;
  #bucketMs: number;
  #lookedAtMs: number;
  #cpuAtMs: number;

  /** `percent` of one processor; `cpuMs`: processor time used so far. */
  constructor(percent: number, nowMs: number, cpuMs: () => number) {
    this.#share = percent / 100;
    this.#cpuMs = cpuMs;
    this.#bucketMs = BURST_MS * this.#share;
    this.#lookedAtMs = nowMs;
    this.#cpuAtMs = cpuMs();
  }

  /** Whether more was used than the share allows. */
  isOver(nowMs: number): boolean {
    const passed = nowMs - this.#lookedAtMs;
    if (passed >= LOOK_MS) {
      const cpu = this.#cpuMs();
      const most = BURST_MS * this.#share;
      // What lies further back than a burst is forgotten in both directions: a busy start is not paid for later.
      const filled = this.#bucketMs + passed * this.#share - (cpu - this.#cpuAtMs);
      this.#bucketMs = Math.max(-BURST_MS, Math.min(most, filled));
      this.#lookedAtMs = nowMs;
      this.#cpuAtMs = cpu;
    }
    return this.#bucketMs < 0;
  }
}
