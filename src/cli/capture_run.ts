/** Runs one capture in front of an operator: opens, drops rights, shows, listens to signals, reports. */
import { execFileSync } from 'node:child_process';
import { Exit, OperatorError } from '../base/errors.ts';
import { type CaptureReport, type CaptureSnapshot, droppedAtAll } from '../capture/report.ts';
import { type CaptureSession, openSession } from '../capture/session.ts';
import { linktypeName } from '../wire/linktype.ts';
import { AfterFile } from './capture_after.ts';
import { CaptureNotices } from './capture_notices.ts';
import { captureJson, captureLines, captureLiveLine, type LivePoint } from './capture_report.ts';
import type { CaptureCliOptions, CapturePlan } from './capture_spec.ts';
import { oneLine } from './failure.ts';
import type { Terminal } from './terminal.ts';
import type { HostPort } from './values.ts';

const TOOL = 'tscap';
const LIVE_PERIOD_MS = 500;
const TIMER_MS_MAX = 2 ** 31 - 1;
const CLEAR = '\r\x1b[K';
/** So that packets that came before the end of a short capture are counted in it. */
const STOP_STATUS = Exit.Done;

/** Returns the exit status. */
export async function runCapture(plan: CapturePlan, options: CaptureCliOptions, terminal: Terminal): Promise<Exit> {
  const signals = new Signals(terminal, options);
  let session: CaptureSession | null = null;
  const after = afterFiles(plan, options, terminal);
  try {
    session = await openSession(plan.session);
    if (plan.user !== null) becomeUser(plan.user);
    if (!options.quiet) {
      terminal.error(listening(session, plan));
      const idle = plan.session.output.print === null ? lineOptionOf(options) : null;
      if (idle !== null)
        terminal.error(`${TOOL}: ${idle} is about lines, and none are printed: add --print to see them`);
    }
    const report = await captured(session, plan, options, terminal, signals);
    session = null;
    printReport(report, plan, options, terminal);
    for (const fault of report.faults) terminal.error(`${TOOL}: ${oneLine(fault.message)}`);
    if (report.faults.length > 0) return Exit.Incomplete;
    return options.strict && droppedAtAll(report) > 0 ? Exit.Incomplete : STOP_STATUS;
  } finally {
    session?.abandon();
    await after?.end();
    signals.detach();
  }
}

/** An option about lines that somebody who writes a file did not give out of habit, as -n and -v are, or null. */
function lineOptionOf({ hex, hexAscii, ascii, linkHeader, number }: CaptureCliOptions): string | null {
  if (hex !== undefined) return '-x';
  if (hexAscii !== undefined) return '-X';
  if (ascii !== undefined) return '-A';
  if (number) return '-#';
  return linkHeader ? '-e' : null;
}

function afterFiles(plan: CapturePlan, options: CaptureCliOptions, terminal: Terminal): AfterFile | null {
  const channel = plan.session.output.sink?.finishedChannel;
  const program = options.postrotateCommand;
  if (channel === undefined || program === undefined) return null;
  return new AfterFile(program, channel, (line) => terminal.error(`${TOOL}: ${oneLine(line)}`));
}

async function captured(
  session: CaptureSession,
  plan: CapturePlan,
  options: CaptureCliOptions,
  terminal: Terminal,
  signals: Signals,
): Promise<CaptureReport> {
  const server = options.metricsPort === undefined ? null : await metricsServer(options.metricsPort, session);
  if (server !== null) terminal.error(`Metrics: ${server.url}`);
  const prints = plan.session.output.print !== null;
  const isLive = terminal.errorIsTerminal && !options.quiet && !prints;
  const live = new LiveLine(terminal, () => session.snapshot());
  const isLimited = plan.session.output.sink?.diskBytesMax !== undefined;
  const notices = new CaptureNotices((line) => {
    if (isLive) terminal.draw(CLEAR);
    if (!options.quiet) terminal.error(`${TOOL}: ${line}`);
  }, isLimited);
  const forget = plan.durationMs === null ? null : runAfter(plan.durationMs, () => session.stop());
  try {
    signals.attach(session);
    const running = session.start();
    notices.start(session);
    if (isLive) live.start();
    return await running;
  } finally {
    signals.attach(null);
    forget?.();
    live.stop();
    notices.stop();
    await server?.close();
  }
}

/** Also later than the 24 days that a timer can be set to. Returns how to forget it. */
export function runAfter(ms: number, action: () => void): () => void {
  const due = performance.now() + ms;
  let timer: NodeJS.Timeout;
  const look = (): void => {
    const left = due - performance.now();
    if (left <= 0) action();
    else timer = setTimeout(look, Math.min(left, TIMER_MS_MAX));
  };
  look();
  return () => clearTimeout(timer);
}

function listening(session: CaptureSession, plan: CapturePlan): string {
  const { capture, workers = 1 } = plan.session;
  if (capture.files !== undefined) return `${TOOL}: reading from ${capture.files.join(', ')}`;
  const names = session.interfaces.map((one) => `${one.name} (${linktypeName(one.linktype)})`).join(', ');
  const shared = workers > 1 ? `, ${workers} workers` : '';
  return `${TOOL}: listening on ${names}, snapshot length ${session.interfaces[0]!.snaplen} bytes${shared}`;
}

function printReport(report: CaptureReport, plan: CapturePlan, options: CaptureCliOptions, terminal: Terminal): void {
  // Standard output belongs to the capture where it is written there.
  const isTaken = plan.session.output.sink?.path === '-';
  if (options.json) {
    const text = JSON.stringify(captureJson(report), null, 2);
    if (isTaken) terminal.error(text);
    else terminal.out(text);
  } else if (!options.quiet) {
    const verb = plan.session.output.sink === null ? 'printed' : 'written';
    for (const line of captureLines(report, verb)) terminal.error(line);
  }
}

async function metricsServer(where: HostPort, session: CaptureSession) {
  const { captureRegistry, serveMetrics } = await import('../metrics/index.ts');
  return serveMetrics(
    captureRegistry(() => session.snapshot()),
    where.host,
    where.port,
  );
}

/** For the whole process, all threads: the C library sees to that. */
function becomeUser(name: string): void {
  const uid = numberOf(name, '-u');
  const gid = numberOf(name, '-g');
  try {
    (process as unknown as { initgroups(user: string, group: number): void }).initgroups(name, gid);
    process.setgid!(gid);
    process.setuid!(uid);
  } catch (cause) {
    throw new OperatorError('PERMISSION', `cannot become ${name}: only root can; leave out --user`, { cause });
  }
}

function numberOf(name: string, what: '-u' | '-g'): number {
  try {
    return Number(execFileSync('id', [what, name], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }));
  } catch (cause) {
    throw new OperatorError('USAGE', `there is no user ${name}: getent passwd lists them`, { cause });
  }
}

class LiveLine {
  readonly #terminal: Terminal;
  readonly #snapshot: () => CaptureSnapshot;
  #timer: NodeJS.Timeout | null = null;
  #previous: LivePoint = { seconds: 0, written: 0, bytes: 0 };

  constructor(terminal: Terminal, snapshot: () => CaptureSnapshot) {
    this.#terminal = terminal;
    this.#snapshot = snapshot;
  }

  start(): void {
    this.#timer = setInterval(() => this.#draw(), LIVE_PERIOD_MS);
  }

  stop(): void {
    if (this.#timer === null) return;
    clearInterval(this.#timer);
    this.#terminal.draw(CLEAR);
  }

  #draw(): void {
    const now = this.#snapshot();
    this.#terminal.draw(CLEAR + captureLiveLine(now, this.#previous, this.#terminal.columns()));
    this.#previous = { seconds: now.seconds, written: now.written, bytes: now.bytes };
  }
}

/** SIGINT and SIGTERM end (a second one at once), SIGHUP rotates, SIGUSR1 prints counts, SIGUSR2 flushes. */
class Signals {
  readonly #handlers: Readonly<Record<string, () => void>>;
  #session: CaptureSession | null = null;
  #stops = 0;

  constructor(terminal: Terminal, options: CaptureCliOptions) {
    const stop = (): void => {
      this.#stops++;
      if (this.#stops > 1) process.exit(Exit.Interrupted);
      this.#session?.stop();
    };
    this.#handlers = {
      SIGINT: stop,
      SIGTERM: stop,
      SIGHUP: () => this.#session?.rotate(),
      SIGUSR2: () => this.#session?.flush(),
      SIGUSR1: () => {
        if (this.#session === null) return;
        const now = this.#session.snapshot();
        if (options.json) terminal.error(JSON.stringify(captureJson(now)));
        else terminal.error(captureLines(now, 'written').join('; '));
      },
    };
    for (const [signal, handler] of Object.entries(this.#handlers)) process.on(signal, handler);
  }

  /** A stop that came before the capture was open holds for it. */
  attach(session: CaptureSession | null): void {
    this.#session = session;
    if (this.#stops > 0) session?.stop();
  }

  detach(): void {
    for (const [signal, handler] of Object.entries(this.#handlers)) process.off(signal, handler);
  }
}
