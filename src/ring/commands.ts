/** What the main thread tells the workers, in one cell of shared memory: run, pause, stop. Stop is final. */

export const Command = { Run: 0, Pause: 1, Stop: 2 } as const;
export type Command = (typeof Command)[keyof typeof Command];

export class CommandCell {
  /** Hand this to a worker and make its `CommandCell` from it. */
  readonly buffer: SharedArrayBuffer;
  readonly #cell: Int32Array;

  constructor(buffer: SharedArrayBuffer = new SharedArrayBuffer(4)) {
    this.buffer = buffer;
    this.#cell = new Int32Array(buffer);
  }

  get command(): Command {
    return Atomics.load(this.#cell, 0) as Command;
  }

  pause(): void {
    Atomics.compareExchange(this.#cell, 0, Command.Run, Command.Pause);
  }

  resume(): void {
    Atomics.compareExchange(this.#cell, 0, Command.Pause, Command.Run);
    Atomics.notify(this.#cell, 0);
  }

  stop(): void {
    Atomics.store(this.#cell, 0, Command.Stop);
    Atomics.notify(this.#cell, 0);
  }

  /** In a worker: blocks while paused, up to `timeoutMs`; returns the command then. */
  waitWhilePaused(timeoutMs: number): Command {
    Atomics.wait(this.#cell, 0, Command.Pause, timeoutMs);
    return this.command;
  }
}
