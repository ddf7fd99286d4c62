import { type ChildProcess, type SpawnSyncReturns, spawn, spawnSync } from 'node:child_process';
import process from 'node:process';

/** PATH with the system directories that a non-root shell leaves out. */
export const LAB_PATH: string = `${process.env['PATH'] ?? ''}:/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin`;

/** Words as a shell reads them back, whatever is in them. */
export function shellQuote(...words: readonly string[]): string {
  return words.map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(' ');
}

const RUN_MS_MAX = 30_000;
const STOP_MS_MAX = 3_000;
/** Of a busy machine; what comes sooner is not waited for. */
const WAIT_MS_MAX = 30_000;

export interface RunOptions {
  /** Bytes for the program's standard input. */
  readonly input?: string | Uint8Array;
  /** Default 30,000. */
  readonly timeoutMs?: number;
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Throw when the exit status is not 0. Default true. */
  readonly check?: boolean;
}

export interface RunResult {
  /** Exit status; -1 when a signal (also the timeout's) ended it. */
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program to its end. @throws Error with its message when it fails (see `check`) or is missing. */
export function runProgram(argv: readonly string[], options: RunOptions = {}): RunResult {
  const done: SpawnSyncReturns<string> = spawnSync(argv[0]!, argv.slice(1), {
    encoding: 'utf8',
    timeout: options.timeoutMs ?? RUN_MS_MAX,
    killSignal: 'SIGKILL',
    maxBuffer: 256 << 20,
    cwd: options.cwd,
    input: options.input,
    stdio: [options.input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
    env: { ...process.env, PATH: LAB_PATH, ...options.env },
  });
  if (done.error && (done.error as NodeJS.ErrnoException).code !== 'ETIMEDOUT') throw done.error;
  const result = { status: done.status ?? -1, stdout: done.stdout ?? '', stderr: done.stderr ?? '' };
  if ((options.check ?? true) && result.status !== 0) {
    const why = done.error ? 'took too long' : `ended with status ${result.status} ${done.signal ?? ''}`.trim();
    throw new Error(`${argv.join(' ')} ${why}: ${(result.stderr || result.stdout).trim()}`);
  }
  return result;
}

/** A program that runs beside the test. It dies with this process (parent-death signal), whatever happens. */
export class LabProcess {
  readonly argv: readonly string[];
  readonly child: ChildProcess;
  /** Resolves when the program has ended and its output has been read. Never rejects. */
  readonly ended: Promise<{ readonly status: number | null; readonly signal: string | null }>;
  stdout = '';
  stderr = '';
  #over = false;
  #wake: (() => void)[] = [];

  constructor(argv: readonly string[], options: { readonly cwd?: string; readonly env?: Record<string, string> } = {}) {
    this.argv = argv;
    this.child = spawn(argv[0]!, argv.slice(1), {
      stdio: ['pipe', 'pipe', 'pipe'],
      cwd: options.cwd,
      env: { ...process.env, PATH: LAB_PATH, ...options.env },
    });
    this.child.stdin?.on('error', () => {});
    this.child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.stdout += text;
      this.#stir();
    });
    this.child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text;
      this.#stir();
    });
    this.ended = new Promise((resolve) => {
      const over = (status: number | null, signal: string | null): void => {
        this.#over = true;
        this.#stir();
        resolve({ status, signal });
      };
      this.child.once('error', (error) => {
        this.stderr += error.message;
        over(null, null);
      });
      this.child.once('close', over);
    });
  }

  get running(): boolean {
    return !this.#over;
  }

  #stir(): void {
    for (const wake of this.#wake.splice(0)) wake();
  }

  /** Resolves when standard output or error matches. @throws Error when the program ends or the time is up first. */
  async waitFor(pattern: RegExp, timeoutMs: number = WAIT_MS_MAX): Promise<void> {
    const until = Date.now() + timeoutMs;
    while (!pattern.test(this.stderr) && !pattern.test(this.stdout)) {
      const what = `${this.argv.join(' ')}: no ${pattern} in "${(this.stderr + this.stdout).trim()}"`;
      if (this.#over) throw new Error(`${what}; the program has ended`);
      const left = until - Date.now();
      if (left <= 0) throw new Error(`${what} after ${timeoutMs} ms`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left);
        this.#wake.push(() => {
          clearTimeout(timer);
          resolve();
        });
      });
    }
  }

  /** Sends `signal`, then SIGKILL after 3 s; resolves when the program is gone. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    if (this.#over) return;
    this.child.kill(signal);
    const timer = setTimeout(() => this.child.kill('SIGKILL'), STOP_MS_MAX);
    await this.ended;
    clearTimeout(timer);
  }

  /** For exit hooks: no waiting. */
  killNow(): void {
    if (!this.#over) this.child.kill('SIGKILL');
  }
}

/** Waits until `ready()` is true. @throws Error naming `what` when it is not after `timeoutMs`. */
export async function until(what: string, ready: () => boolean, timeoutMs: number = WAIT_MS_MAX): Promise<void> {
  const end = Date.now() + timeoutMs;
  while (!ready()) {
    if (Date.now() > end) throw new Error(`${what}: not within ${timeoutMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
