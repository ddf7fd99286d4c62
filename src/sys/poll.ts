/** Waiting for several descriptors, and the processor time that this process has used. */
import { LITTLE_ENDIAN, POLLIN, Pollfd } from './layout.ts';
import { declare } from './libc.ts';

const pollCall = declare('int poll(uint8_t *fds, unsigned long count, int timeout)');
const clockGettime = declare('int clock_gettime(int clock, void *timespec)');
// include/uapi/linux/time.h; <time.h> of macOS
const CLOCK_PROCESS_CPUTIME_ID = process.platform === 'darwin' ? 12 : 2;

/** A fixed set of descriptors to read from. */
export class PollSet {
  readonly #count: number;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;

  constructor(fds: readonly number[]) {
    this.#count = fds.length;
    this.#bytes = new Uint8Array(new ArrayBuffer(Math.max(1, fds.length) * Pollfd.SIZE));
    this.#view = new DataView(this.#bytes.buffer);
    fds.forEach((fd, i) => {
      this.#view.setInt32(i * Pollfd.SIZE + Pollfd.FD, fd, LITTLE_ENDIAN);
      this.#view.setInt16(i * Pollfd.SIZE + Pollfd.EVENTS, POLLIN, LITTLE_ENDIAN);
    });
  }

  /** Blocks up to `timeoutMs`; returns how many descriptors have something (data or an error). */
  wait(timeoutMs: number): number {
    return pollCall(this.#bytes, this.#count, timeoutMs);
  }

  /** What the last `wait` found for descriptor `i`: POLLIN, POLLERR… */
  events(i: number): number {
    return this.#view.getInt16(i * Pollfd.SIZE + Pollfd.REVENTS, LITTLE_ENDIAN);
  }
}

const timespec = new Uint32Array(4);

/** Processor time of all threads of this process, milliseconds. */
export function processCpuMs(): number {
  clockGettime(CLOCK_PROCESS_CPUTIME_ID, timespec);
  return timespec[0]! * 1000 + timespec[2]! / 1e6;
}
