/** `tscopy`: argv to request to plan to run to exit status. */
import { Exit } from '../base/errors.ts';
import {
  type AgentSnapshot,
  type AgentSpec,
  type CompareReport,
  type CopyAgent,
  type Level,
  planAgent,
  startAgent,
} from '../copy/agent/index.ts';
import { nearestName } from './autoopts.ts';
import { type CommandLine, parseCommandLine } from './command_line.ts';
import { commandMain } from './command_main.ts';
import { copyLine, copyReportLines } from './copy_report.ts';
import { type CopyOptions, changeableOf, copyRequestFrom } from './copy_spec.ts';
import { COPY_TABLE } from './copy_table.ts';
import { oneLine } from './failure.ts';
import { jsonLog, type Log, textLog } from './log.ts';
import { checkReportFile } from './report_file.ts';
import type { Terminal } from './terminal.ts';
import { readTextFile } from './text_file.ts';
import { usage } from './values.ts';

const LIVE_MS = 500;
/** Return, erase to the end of the line. */
const CLEAR = '\r\x1b[K';

/** Never rejects. */
export function copyMain(argv: readonly string[], terminal: Terminal): Promise<Exit> {
  if (argv[0] === 'doctor')
    return import('./doctor_main.ts').then(({ doctorMain }) => doctorMain(argv.slice(1), terminal));
  return commandMain(COPY_TABLE, argv, terminal, async (line) => {
    if (line.operands.length > 0)
      throw usage(`tscopy takes options only, not "${line.operands[0]}"${hint(line.operands[0]!)}`);
    return copy(argv, line.options as CopyOptions, terminal);
  });
}

function hint(operand: string): string {
  if (nearestName(operand, ['doctor']) !== null) return ': "doctor" is the first word, as in tscopy doctor --target …';
  return /^[^=]+:\d+$/.test(operand) ? `: type --target ${operand}` : '';
}

async function copy(argv: readonly string[], options: CopyOptions, terminal: Terminal): Promise<Exit> {
  if (options.report !== undefined) checkReportFile(options.report, '--report');
  const show = await Display.open(terminal, options);
  const signals = new Signals();
  let agent: CopyAgent;
  let spec: AgentSpec;
  try {
    const plan = await planAgent(copyRequestFrom(options));
    spec = plan.spec;
    for (const warning of plan.warnings) show.note('warn', warning);
    agent = await startAgent(spec, {
      note: (level, text) => show.note(level, text),
      beforeCopying: () => Promise.race([probe(plan.spec, options, show), signals.early]),
    });
  } catch (error) {
    signals.detach();
    if (!(error instanceof EarlyStop)) throw error;
    show.note('info', 'ended before copying began');
    return Exit.Done;
  }
  signals.attach(agent, async () => {
    await reload(argv, agent, show);
    await writeComparison(options, agent, show);
  });
  return watched(agent, spec, options, show, signals);
}

async function watched(
  agent: CopyAgent,
  spec: AgentSpec,
  options: CopyOptions,
  show: Display,
  signals: Signals,
): Promise<Exit> {
  let stopMetrics: () => Promise<void> = async () => {};
  try {
    if (options.metricsPort !== undefined) {
      const { copyMetricsServer } = await import('./copy_metrics.ts');
      const server = await copyMetricsServer(options.metricsPort, () => agent.snapshot());
      stopMetrics = () => server.close();
      show.note('info', `metrics at ${server.url}`);
    }
    show.ready(readyText(spec), spec);
    show.watch(agent);
    const report = await agent.ended;
    show.report(report, agent.comparison());
    const isWritten = await writeComparison(options, agent, show);
    return isWritten ? exitOf(report, spec) : Exit.Incomplete;
  } finally {
    signals.detach();
    show.stop();
    await stopMetrics();
    await agent.kill();
  }
}

/** Of live copying only: before files are replayed, tscopy doctor is the one to ask. */
async function probe(spec: AgentSpec, options: CopyOptions, show: Display): Promise<void> {
  if (options.probe === false || spec.packets.kind !== 'live') return;
  const { probeAtStart } = await import('../copy/doctor/start.ts');
  await probeAtStart(spec, { from: options.probeFrom ?? [], warn: (text) => show.note('warn', text) });
}

/** Files: everything in them must have reached the kernel. */
function exitOf(report: AgentSnapshot, spec: AgentSpec): Exit {
  return spec.packets.kind === 'files' && report.requestsSkipped > 0 ? Exit.Incomplete : Exit.Done;
}

function readyText(spec: AgentSpec): string {
  const from = spec.packets.kind === 'live' ? `on ${spec.packets.device}` : `out of ${spec.packets.paths.join(', ')}`;
  const services = spec.services.map(({ text, targets }) => {
    const to = targets.map((target) => {
      const { host, port } = spec.targets[target]!;
      return `${host.includes(':') ? `[${host}]` : host}:${port}`;
    });
    return `${text} to ${to.join(' and ')}`;
  });
  const { replies } = spec;
  const by = replies.kind === 'local' ? 'this host' : `tsintercept at ${replies.host}:${replies.port}`;
  return `Ready: copying ${services.join(', ')} ${from}; replies are swallowed by ${by}`;
}

/** SIGHUP: the command line is read again, with the files that it names. */
async function reload(argv: readonly string[], agent: CopyAgent, show: Display): Promise<void> {
  try {
    const line: CommandLine = await parseCommandLine(COPY_TABLE, argv, readTextFile);
    if (line.kind !== 'run') return;
    const options = line.options as CopyOptions;
    copyRequestFrom(options);
    agent.reconfigure(changeableOf(options));
    show.note('info', 'settings read again; those of targets, devices and memory hold from the next start on');
  } catch (error) {
    show.note('error', `settings kept: ${oneLine((error as Error).message)}`);
  }
}

/** `--report`: also while copying goes on. False: it could not be written. */
async function writeComparison({ report }: CopyOptions, agent: CopyAgent, show: Display): Promise<boolean> {
  const comparison = agent.comparison();
  if (report === undefined || comparison === null) return true;
  const { writeComparePage } = await import('./compare_html.ts');
  try {
    writeComparePage(report, comparison);
    show.note('info', `the comparison is in ${report}`);
    return true;
  } catch (error) {
    show.note('error', `the comparison could not be written: ${oneLine((error as Error).message)}`);
    return false;
  }
}

/** Asked to end before there is an agent. */
class EarlyStop extends Error {}

/** Taken from the start on: a signal while rules are set up must not leave them behind. */
class Signals {
  /** Rejects with `EarlyStop` where the end is asked for before `attach`. */
  readonly early: Promise<never>;
  #stops = 0;
  #agent: CopyAgent | null = null;
  #giveUp!: () => void;
  #read: (() => Promise<void>) | null = null;
  readonly #stop = (): void => {
    this.#stops++;
    if (this.#agent === null) this.#giveUp();
    else if (this.#stops > 1) void this.#agent.kill().then(() => process.exit(Exit.Interrupted));
    else this.#agent.stop();
  };
  readonly #reload = (): void => void this.#read?.();

  constructor() {
    this.early = new Promise((_, reject) => {
      this.#giveUp = () => reject(new EarlyStop());
    });
    this.early.catch(() => {});
    process.on('SIGINT', this.#stop).on('SIGTERM', this.#stop).on('SIGHUP', this.#reload);
  }

  /** `reload`: on SIGHUP. */
  attach(agent: CopyAgent, reload: () => Promise<void>): void {
    this.#agent = agent;
    this.#read = reload;
    if (this.#stops > 0) agent.stop();
  }

  detach(): void {
    process.off('SIGINT', this.#stop).off('SIGTERM', this.#stop).off('SIGHUP', this.#reload);
  }
}

const NOTE = { event: 'note' };

class Display {
  readonly #terminal: Terminal;
  readonly #json: boolean;
  readonly #log: Log;
  readonly #statsSeconds: number;
  readonly #timers: NodeJS.Timeout[] = [];
  #drawn = false;

  static async open(terminal: Terminal, options: CopyOptions): Promise<Display> {
    const least = options.logLevel ?? 'info';
    if (options.json !== true) return new Display(terminal, options, null);
    const log = await jsonLog({ name: 'tscopy', least, line: (text) => terminal.out(text) });
    return new Display(terminal, options, log);
  }

  /** `log`: null: lines for people. */
  private constructor(terminal: Terminal, options: CopyOptions, log: Log | null) {
    this.#terminal = terminal;
    this.#json = options.json ?? false;
    this.#statsSeconds = options.stats ?? 0;
    this.#log = log ?? textLog(options.logLevel ?? 'info', (text, level) => this.#print(`tscopy: ${level}: ${text}`));
  }

  #object(event: string, fields: object): void {
    this.#terminal.out(JSON.stringify({ event, time: new Date().toISOString(), ...fields }));
  }

  note(level: Level, text: string): void {
    this.#log.write(level, oneLine(text), NOTE);
  }

  /** A line for people, above the live one. */
  #print(text: string): void {
    this.#clear();
    this.#terminal.error(text);
  }

  ready(text: string, spec: AgentSpec): void {
    const targets = spec.targets.map(({ host, port, device, sender, mtu }) => ({ host, port, device, sender, mtu }));
    if (this.#json) this.#object('ready', { pid: process.pid, targets, workers: spec.workers });
    else this.#terminal.out(text);
  }

  watch(agent: CopyAgent): void {
    if (this.#statsSeconds > 0) {
      let before: AgentSnapshot | null = null;
      this.#every(this.#statsSeconds * 1000, () => {
        const now = agent.snapshot();
        if (this.#json) this.#object('statistics', now);
        else this.#terminal.out(copyLine(now, before, Number.POSITIVE_INFINITY));
        before = now;
      });
    }
    if (!this.#terminal.errorIsTerminal || this.#json) return;
    let before: AgentSnapshot | null = null;
    this.#every(LIVE_MS, () => {
      const now = agent.snapshot();
      this.#terminal.draw(`${CLEAR}${copyLine(now, before, this.#terminal.columns())}`);
      this.#drawn = true;
      before = now;
    });
  }

  #every(ms: number, work: () => void): void {
    this.#timers.push(setInterval(work, ms));
  }

  report(report: AgentSnapshot, compare: CompareReport | null): void {
    this.stop();
    if (this.#json) this.#object('report', { ...report, compare });
    else for (const line of copyReportLines(report)) this.#terminal.out(line);
  }

  #clear(): void {
    if (this.#drawn) this.#terminal.draw(CLEAR);
    this.#drawn = false;
  }

  stop(): void {
    for (const timer of this.#timers.splice(0)) clearInterval(timer);
    this.#clear();
  }
}
