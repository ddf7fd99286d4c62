/** `tsreplay`: argv to spec to run to exit status. What is slow to load is loaded when it is needed. */
import { Exit } from '../base/errors.ts';
import type { ReplaySpec } from '../replay/spec.ts';
import { commandMain, type RunLine } from './command_main.ts';
import type { Decoder } from './decode.ts';
import { expandInputs } from './inputs.ts';
import type { RunOptions } from './replay_run.ts';
import { type ReplayOptions, replaySpecFrom } from './replay_spec.ts';
import { REPLAY_TABLE } from './replay_table.ts';
import type { Terminal } from './terminal.ts';
import { readTextFile } from './text_file.ts';
import type { HostPort } from './values.ts';

/** Options that the engine does not see. */
interface FrontOptions extends ReplayOptions {
  readonly listnics?: true;
  readonly quiet?: true;
  readonly json?: true;
  readonly stats?: number;
  readonly metricsPort?: HostPort;
  readonly verbose?: true;
  readonly decode?: string;
  readonly pid?: true;
  readonly suppressWarnings?: true;
  readonly dbug?: number;
}

/** Never rejects. */
export function replayMain(argv: readonly string[], terminal: Terminal): Promise<Exit> {
  return commandMain(REPLAY_TABLE, argv, terminal, (line) => replay(line, terminal));
}

async function replay(line: RunLine, terminal: Terminal): Promise<Exit> {
  const options = line.options as FrontOptions;
  if (options.listnics) return listInterfaces(terminal);
  if (options.pid) terminal.error(`PID: ${process.pid}`);
  const profile = options.profile === undefined ? null : await readProfile(options.profile);
  const inputs = expandInputs(line.operands);
  const around = {
    nowMs: Date.now(),
    profile,
    copyTo: [],
  };
  // Checked before tcpdump is started: a wrong command line starts nothing.
  const checked = replaySpecFrom(options, inputs.files, around);
  const decoders = await startDecoders(options, checked.secondary === null ? 1 : 2);
  const copyTo = decoders.map((decoder) => decoder.path);
  const spec = decoders.length === 0 ? checked : replaySpecFrom(options, inputs.files, { ...around, copyTo });
  if ((options.dbug ?? 0) >= 1) printPlan(spec, terminal);
  return run(spec, runOptionsFrom(options, inputs.warnings), terminal, decoders);
}

/** One tcpdump for each output. */
async function startDecoders(options: FrontOptions, outputs: number): Promise<readonly Decoder[]> {
  if (!options.verbose) return [];
  const { startDecoder } = await import('./decode.ts');
  return Array.from({ length: outputs }, () => startDecoder(options.decode ?? ''));
}

async function run(
  spec: ReplaySpec,
  options: RunOptions,
  terminal: Terminal,
  decoders: readonly Decoder[],
): Promise<Exit> {
  let finished = false;
  try {
    const [{ openReplay }, { runReplay }] = await Promise.all([
      import('../replay/index.ts'),
      import('./replay_run.ts'),
    ]);
    return await runReplay(spec, options, terminal, openReplay, async () => {
      finished = true;
      const complaints = await Promise.all(decoders.map((decoder) => decoder.finish()));
      return complaints.find((complaint) => complaint !== null) ?? null;
    });
  } finally {
    if (!finished) for (const decoder of decoders) decoder.abandon();
  }
}

function runOptionsFrom(options: FrontOptions, warnings: readonly string[]): RunOptions {
  return {
    quiet: options.quiet ?? false,
    json: options.json ?? false,
    statsSeconds: options.stats ?? null,
    metrics: options.metricsPort ?? null,
    flowExpiry: (options.flowExpiry ?? 0) > 0,
    suppressWarnings: options.suppressWarnings ?? false,
    warnings,
    verbose: options.verbose ?? false,
  };
}

async function readProfile(path: string) {
  const { parseProfileFile } = await import('./profile_file.ts');
  return parseProfileFile(path, readTextFile(path));
}

async function listInterfaces(terminal: Terminal): Promise<Exit> {
  const { interfaceNames } = await import('../device/link.ts');
  terminal.out('Available network interfaces:');
  for (const name of interfaceNames()) terminal.out(name);
  return Exit.Done;
}

/** Infinity, which JSON does not know, as the word. */
function printPlan(spec: ReplaySpec, terminal: Terminal): void {
  const plan = (_key: string, value: unknown): unknown => (value === Number.POSITIVE_INFINITY ? 'Infinity' : value);
  terminal.error(JSON.stringify(spec, plan, 2));
}
