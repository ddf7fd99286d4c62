/** Runs one replay in front of an operator: opens, shows, listens to signals, reports. Returns the exit status. */
import { Exit } from '../base/errors.ts';
import { groupDigits } from '../base/units.ts';
import type { Replay } from '../replay/index.ts';
import type { ReplayReport } from '../replay/report.ts';
import type { ReplaySpec } from '../replay/spec.ts';
import { oneLine } from './failure.ts';
import { type ReplayMetrics, replayMetricsServer } from './metrics_server.ts';
import { openPrompt, type Prompt } from './prompt.ts';
import { jsonReport } from './report_json.ts';
import { reportLines, testCompleteLine } from './report_text.ts';
import type { Terminal } from './terminal.ts';
import type { HostPort } from './values.ts';
import { packageVersion } from './version.ts';
import { Watch } from './watch.ts';

export interface RunOptions {
  readonly quiet: boolean;
  readonly json: boolean;
  readonly statsSeconds: number | null;
  readonly metrics: HostPort | null;
  readonly flowExpiry: boolean;
  readonly suppressWarnings: boolean;
  /** What was found before the engine was asked. */
  readonly warnings: readonly string[];
  /** `--verbose` prints packets: no live line between them. */
  readonly verbose: boolean;
}

export type OpenReplay = (
  spec: ReplaySpec,
  options: {
    ask?: (packet: number, output: string) => Promise<number>;
    preparing?: (packets: number) => void;
  },
) => Promise<Replay>;

const TOOL = 'tsreplay';

/** Back to the first column, and the line is empty (ECMA-48 EL). */
const CLEAR_LINE = '\r\x1b[K';

function isLive(options: RunOptions, terminal: Terminal): boolean {
  return terminal.errorIsTerminal && !options.quiet && !options.json && !options.verbose;
}

/** Reading a large capture before the start takes seconds: a line says how far it is. */
function drawPreparing(terminal: Terminal, packets: number): void {
  terminal.draw(`${CLEAR_LINE}reading: ${groupDigits(packets)} packets`.slice(0, terminal.columns()));
}

/** `beforeReport` runs once nothing more is sent; what it returns is printed as a warning. */
export async function runReplay(
  spec: ReplaySpec,
  options: RunOptions,
  terminal: Terminal,
  open: OpenReplay,
  beforeReport: () => Promise<string | null>,
): Promise<Exit> {
  const signals = new Signals();
  const prompt = spec.rate.kind === 'oneatatime' ? openPrompt(terminal, process.stdin) : null;
  try {
    const replay = await open(spec, {
      ...(prompt === null ? {} : { ask: (packet, output) => prompt.ask(packet, output) }),
      ...(isLive(options, terminal) ? { preparing: (packets) => drawPreparing(terminal, packets) } : {}),
    });
    if (isLive(options, terminal)) terminal.draw(CLEAR_LINE);
    signals.attach(replay);
    const warnings = [...options.warnings, ...replay.warnings];
    if (!options.suppressWarnings) for (const warning of warnings) terminal.error(`Warning: ${oneLine(warning)}`);
    const report = await send(replay, spec, options, terminal, prompt);
    signals.attach(null);
    const late = await beforeReport();
    if (late !== null && !options.suppressWarnings) terminal.error(`Warning: ${oneLine(late)}`);
    printReport(report, options, terminal, late === null ? warnings : [...warnings, late]);
    if (report.fault !== null) terminal.error(`${TOOL}: ${oneLine(report.fault)}`);
    return exitOf(report);
  } finally {
    prompt?.close();
    signals.detach();
  }
}

async function send(
  replay: Replay,
  spec: ReplaySpec,
  options: RunOptions,
  terminal: Terminal,
  prompt: Prompt | null,
): Promise<ReplayReport> {
  const live = isLive(options, terminal) && prompt === null;
  const watch = new Watch(terminal, () => replay.snapshot(), {
    live,
    statsSeconds: options.statsSeconds,
    loopCount: spec.loop.count,
    uniqueEvery: spec.loop.uniqueIp ? spec.loop.uniqueIpEvery : 0,
  });
  const snapshot = (): ReplayMetrics => replay.snapshot();
  const server = options.metrics === null ? null : await metricsServerOrClose(replay, options.metrics, snapshot);
  if (server !== null) terminal.error(`Metrics: ${server.url}`);
  try {
    const sending = replay.start();
    watch.start(Date.now());
    return await sending;
  } finally {
    watch.stop();
    await server?.close();
  }
}

async function metricsServerOrClose(replay: Replay, where: HostPort, snapshot: () => ReplayMetrics) {
  try {
    return await replayMetricsServer(where, snapshot);
  } catch (error) {
    await replay.close();
    throw error;
  }
}

function printReport(report: ReplayReport, options: RunOptions, terminal: Terminal, warnings: readonly string[]): void {
  if (options.json) {
    terminal.out(JSON.stringify(jsonReport(TOOL, packageVersion(), report, warnings), null, 2));
    return;
  }
  if (options.statsSeconds !== null) terminal.out(testCompleteLine(report.finishedAtMs));
  for (const line of reportLines(report, { flowExpiry: options.flowExpiry })) terminal.out(line);
}

export function exitOf(report: ReplayReport): Exit {
  if (report.interrupted) return Exit.Interrupted;
  return report.complete && report.fault === null ? Exit.Done : Exit.Incomplete;
}

/** SIGINT and SIGTERM stop (a second one at once), SIGUSR1 pauses, SIGCONT resumes. */
class Signals {
  #replay: Replay | null = null;
  #stops = 0;
  readonly #stop = (): void => {
    this.#stops++;
    if (this.#replay === null || this.#stops > 1) process.exit(Exit.Interrupted);
    this.#replay.stop();
  };
  readonly #pause = (): void => this.#replay?.pause();
  readonly #resume = (): void => this.#replay?.resume();

  constructor() {
    process.on('SIGINT', this.#stop).on('SIGTERM', this.#stop);
    process.on('SIGUSR1', this.#pause).on('SIGCONT', this.#resume);
  }

  /** Null: nothing is left to stop, a signal ends the process. */
  attach(replay: Replay | null): void {
    this.#replay = replay;
  }

  detach(): void {
    process.off('SIGINT', this.#stop).off('SIGTERM', this.#stop);
    process.off('SIGUSR1', this.#pause).off('SIGCONT', this.#resume);
  }
}
