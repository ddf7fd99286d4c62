/** `tsintercept`: argv to spec to run to exit status. */
import { Exit } from '../base/errors.ts';
import type { Intercept, InterceptSnapshot } from '../copy/intercept/intercept.ts';
import type { InterceptSpec } from '../copy/intercept/spec.ts';
import { commandMain, type RunLine } from './command_main.ts';
import { NoteLog } from './intercept_log.ts';
import {
  interceptLiveLine,
  interceptMetrics,
  readyJson,
  readyLine,
  reportJson,
  reportLines,
} from './intercept_report.ts';
import { type InterceptCliOptions, interceptSpec } from './intercept_spec.ts';
import { INTERCEPT_TABLE } from './intercept_table.ts';
import { jsonLog, type LogLevel, textLog } from './log.ts';
import type { Terminal } from './terminal.ts';
import { type HostPort, usage } from './values.ts';
import { packageVersion } from './version.ts';

const LIVE_PERIOD_MS = 500;
const CLEAR = '\r\x1b[K';

/** Never rejects. */
export function interceptMain(argv: readonly string[], terminal: Terminal): Promise<Exit> {
  return commandMain(INTERCEPT_TABLE, argv, terminal, (line) => start(line, terminal));
}

async function start(line: RunLine, terminal: Terminal): Promise<Exit> {
  const options = line.options as InterceptCliOptions;
  if (options.newKey) return newKey(line.operands, terminal);
  if (line.operands.length > 0) {
    throw usage(`"${line.operands[0]}" is no option: services are named with --service, as tsintercept --service 80`);
  }
  if (options.cleanup) return cleanUp(terminal);
  const spec = interceptSpec(options);
  return run(spec, options, terminal);
}

async function newKey(operands: readonly string[], terminal: Terminal): Promise<Exit> {
  if (operands.length > 1) throw usage('--new-key writes one file');
  const { KEY_FILE_DEFAULT, writeNewKey } = await import('../copy/tunnel/key.ts');
  const path = operands[0] ?? KEY_FILE_DEFAULT;
  writeNewKey(path);
  terminal.out(`New key in ${path}: copy it to the other host, readable by its owner only`);
  return Exit.Done;
}

async function cleanUp(terminal: Terminal): Promise<Exit> {
  const { cleanUpIntercept } = await import('../copy/intercept/intercept.ts');
  const { rules, routes, device } = await cleanUpIntercept();
  const nothing = rules + routes === 0 && !device;
  terminal.out(nothing ? 'Nothing was left behind' : `Taken away: ${rules} rules, ${routes} routes`);
  return Exit.Done;
}

async function run(spec: InterceptSpec, options: InterceptCliOptions, terminal: Terminal): Promise<Exit> {
  const { openIntercept } = await import('../copy/intercept/intercept.ts');
  const signals = new Signals();
  const live = new LiveLine(terminal);
  const level = (options.logLevel ?? 'info') as LogLevel;
  const log = options.json
    ? await jsonLog({ name: 'tsintercept', least: level, line: (text) => terminal.error(text) })
    : textLog(level, (text) => live.print(`tsintercept: ${text}`));
  const notes = new NoteLog(log);
  let left = false;
  const intercept = await openIntercept(spec, {
    note(note) {
      if (note.kind === 'rulesLeft') left = true;
      notes.note(note);
    },
  });
  try {
    const metrics = options.metricsPort === undefined ? null : await serve(options.metricsPort, intercept);
    if (metrics !== null) log.write('info', `metrics at ${metrics.url}`, { url: metrics.url });
    const ready = { interface: intercept.interface, port: intercept.port };
    terminal.out(options.json ? JSON.stringify(readyJson(spec, ready, packageVersion())) : readyLine(spec, ready));
    if (terminal.errorIsTerminal && !options.quiet && !options.json) live.start(intercept);
    const signal = await signals.first;
    live.stop();
    const end = await intercept.stop();
    await metrics?.close();
    report(end, options, terminal);
    if (left) return Exit.Incomplete;
    return signal === 'SIGINT' ? Exit.Interrupted : Exit.Done;
  } finally {
    live.stop();
    await intercept.stop();
  }
}

function report(end: InterceptSnapshot, options: InterceptCliOptions, terminal: Terminal): void {
  if (options.quiet) return;
  if (options.json) terminal.out(JSON.stringify(reportJson(end)));
  else for (const text of reportLines(end)) terminal.out(text);
}

async function serve(where: HostPort, intercept: Intercept) {
  const { interceptRegistry, serveMetrics } = await import('../metrics/index.ts');
  return serveMetrics(
    interceptRegistry(() => interceptMetrics(intercept.snapshot())),
    where.host,
    where.port,
  );
}

/** Taken from the start on: a signal while rules are set up must not leave them behind. */
class Signals {
  readonly first: Promise<NodeJS.Signals> = new Promise((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => resolve(signal));
  });
}

class LiveLine {
  readonly #terminal: Terminal;
  #timer: NodeJS.Timeout | null = null;
  #drawn = false;
  #before = { seconds: 0, replies: 0 };

  constructor(terminal: Terminal) {
    this.#terminal = terminal;
  }

  start(intercept: Intercept): void {
    this.#timer = setInterval(() => {
      const now = intercept.snapshot();
      this.#terminal.draw(CLEAR + interceptLiveLine(now, this.#before, this.#terminal.columns()));
      this.#drawn = true;
      this.#before = { seconds: now.seconds, replies: now.replies };
    }, LIVE_PERIOD_MS);
  }

  /** A line of the log above the live line. */
  print(text: string): void {
    this.#clear();
    this.#terminal.error(text);
  }

  stop(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
    this.#clear();
  }

  #clear(): void {
    if (this.#drawn) this.#terminal.draw(CLEAR);
    this.#drawn = false;
  }
}
