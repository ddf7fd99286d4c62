/** What is shown while a replay runs: the live line on a terminal, `--stats` lines, loop lines. */
import type { ReplaySnapshot } from '../replay/report.ts';
import { type LivePoint, liveLine } from './live_line.ts';
import { loopLine, rateLines, testStartLine } from './report_text.ts';
import type { Terminal } from './terminal.ts';

const LIVE_PERIOD_MS = 200;
/** How often the loop number is looked at: loops that end closer together than this share one line. */
const LOOP_PERIOD_MS = 20;
/** Return, erase to the end of the line. */
const CLEAR = '\r\x1b[K';

export interface WatchOptions {
  /** Draw the live line. */
  readonly live: boolean;
  /** Seconds between rate lines; 0 = after each loop; null = none. */
  readonly statsSeconds: number | null;
  readonly loopCount: number;
  /** Loops per set of addresses; 0 = addresses stay. */
  readonly uniqueEvery: number;
}

export class Watch {
  readonly #terminal: Terminal;
  readonly #snapshot: () => ReplaySnapshot;
  readonly #options: WatchOptions;
  readonly #timers: NodeJS.Timeout[] = [];
  #drawn = false;
  #loopShown = 0;
  #previous: LivePoint = { seconds: 0, packets: 0, bytes: 0 };

  constructor(terminal: Terminal, snapshot: () => ReplaySnapshot, options: WatchOptions) {
    this.#terminal = terminal;
    this.#snapshot = snapshot;
    this.#options = options;
  }

  start(nowMs: number): void {
    const { live, statsSeconds } = this.#options;
    if (statsSeconds === 0) this.#loop(1);
    if (statsSeconds !== null) this.#print(testStartLine(nowMs));
    if (statsSeconds !== null && statsSeconds > 0) {
      this.#timers.push(setInterval(() => this.#rates(this.#snapshot()), statsSeconds * 1000));
    }
    if (statsSeconds === 0) this.#timers.push(setInterval(() => this.#look(), LOOP_PERIOD_MS));
    if (live) this.#timers.push(setInterval(() => this.#draw(), LIVE_PERIOD_MS));
  }

  /** Stops the timers and takes the live line away. */
  stop(): void {
    for (const timer of this.#timers.splice(0)) clearInterval(timer);
    this.#clear();
  }

  #look(): void {
    const now = this.#snapshot();
    if (now.loop <= this.#loopShown) return;
    this.#rates(now);
    this.#loop(now.loop);
  }

  #loop(loop: number): void {
    this.#loopShown = loop;
    this.#print(loopLine(loop, this.#options.loopCount, this.#options.uniqueEvery));
  }

  #rates(snapshot: ReplaySnapshot): void {
    for (const line of rateLines(snapshot.packetsSent, snapshot.bytesSent, snapshot.seconds)) this.#print(line);
  }

  #print(line: string): void {
    this.#clear();
    this.#terminal.out(line);
  }

  #draw(): void {
    const now = this.#snapshot();
    this.#terminal.draw(CLEAR + liveLine(now, this.#previous, this.#terminal.columns()));
    this.#drawn = true;
    this.#previous = { seconds: now.seconds, packets: now.packetsSent, bytes: now.bytesSent };
  }

  #clear(): void {
    if (this.#drawn) this.#terminal.draw(CLEAR);
    this.#drawn = false;
  }
}
