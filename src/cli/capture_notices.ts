/** What an operator is told while a capture runs, once each time that it changes: full disks, interfaces that broke. */
import { groupDigits } from '../base/units.ts';
import type { ErrorMessage } from '../capture/messages.ts';
import type { CaptureSnapshot } from '../capture/report.ts';
import type { CaptureSession } from '../capture/session.ts';
import { oneLine } from './failure.ts';

const LOOK_MS = 250;
const LOOKS_WITH_ROOM = 3;

export class CaptureNotices {
  readonly #tell: (line: string) => void;
  readonly #isLimited: boolean;
  readonly #faults: Set<string> = new Set();
  #timer: NodeJS.Timeout | null = null;
  #wasFull = false;
  #looksWithRoom = 0;
  /** Packets not written: at the last look, and when it was last told that there is room again. */
  #lost = 0;
  #lostBefore = 0;

  /** `tell`: takes a line. `isLimited`: there is a `--max-disk`. */
  constructor(tell: (line: string) => void, isLimited: boolean) {
    this.#tell = tell;
    this.#isLimited = isLimited;
  }

  start(session: CaptureSession): void {
    session.onFault((fault) => this.noticeFault(fault));
    this.#timer = setInterval(() => this.notice(session.snapshot()), LOOK_MS);
    this.#timer.unref();
  }

  stop(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
  }

  noticeFault({ message }: ErrorMessage): void {
    // each worker sees it
    if (this.#faults.has(message)) return;
    this.#faults.add(message);
    this.#tell(`${oneLine(message)}; the other interfaces go on`);
  }

  notice({ diskFull, droppedDiskFull }: CaptureSnapshot): void {
    // A disk may have room for a short packet between two that find none: it is full until it has had room for a while.
    const isFull = diskFull || droppedDiskFull > this.#lost;
    this.#lost = droppedDiskFull;
    this.#looksWithRoom = isFull ? 0 : this.#looksWithRoom + 1;
    if (isFull === this.#wasFull || (this.#wasFull && this.#looksWithRoom < LOOKS_WITH_ROOM)) return;
    this.#wasFull = isFull;
    if (isFull) {
      const why = this.#isLimited ? 'no room on the disk, or under --max-disk' : 'no room on the disk';
      this.#tell(`${why}: packets are counted, not written, until there is`);
    } else {
      this.#tell(`writing again: ${groupDigits(droppedDiskFull - this.#lostBefore)} packets were not written`);
      this.#lostBefore = droppedDiskFull;
    }
  }
}
