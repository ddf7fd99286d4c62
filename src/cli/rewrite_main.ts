/** `tsrewrite`: argv to spec to run to exit status. What is slow to load is loaded when it is needed. */
import type { Exit } from '../base/errors.ts';
import { commandMain, type RunLine } from './command_main.ts';
import { oneLine } from './failure.ts';
import { idleOptions, type RewriteFileSpec, rewriteFileSpecFrom } from './rewrite_file_spec.ts';
import type { Helpers } from './rewrite_helpers.ts';
import { jsonRewriteReport, type RewriteOutcome, rewriteExit, rewriteReportLines } from './rewrite_report.ts';
import { runRewriting } from './rewrite_run.ts';
import { REWRITE_TABLE } from './rewrite_table.ts';
import { total } from './rewrite_tally.ts';
import type { Terminal } from './terminal.ts';
import { packageVersion } from './version.ts';

/** Options that the rewriting itself does not see. */
interface FrontOptions {
  readonly anonymize?: string;
  readonly quiet?: true;
  readonly json?: true;
  readonly verbose?: true;
  readonly decode?: string;
  readonly suppressWarnings?: true;
  readonly dbug?: number;
}

/** Never rejects. */
export async function rewriteMain(argv: readonly string[], terminal: Terminal): Promise<Exit> {
  const helpers = await helpersFor(argv);
  try {
    return await commandMain(REWRITE_TABLE, argv, terminal, (line) => rewrite(line, terminal, helpers));
  } finally {
    await helpers?.stop();
  }
}

/**
 * Threads for a `--workers` that stands on the command line itself; null: none. Whether they are needed shows
 * later.
 */
async function helpersFor(argv: readonly string[]): Promise<Helpers | null> {
  const at = argv.findIndex((word) => /^--workers(=|$)/.test(word));
  if (at < 0) return null;
  const count = Number(argv[at]!.split('=')[1] ?? argv[at + 1]);
  const { Helpers } = await import('./rewrite_helpers.ts');
  const helpers = new Helpers();
  if (count > 1) helpers.start(count - 1);
  return helpers;
}

async function rewrite(line: RunLine, terminal: Terminal, early: Helpers | null): Promise<Exit> {
  const options = line.options as FrontOptions;
  const spec = rewriteFileSpecFrom(line.options, line.operands, await keyOf(options.anonymize));
  if ((options.dbug ?? 0) >= 1) terminal.error(JSON.stringify(spec, null, 2));
  const idle = idleOptions(line.options);
  const warn = (warning: string): void => {
    if (!options.suppressWarnings) terminal.error(`Warning: ${oneLine(warning)}`);
  };
  for (const warning of idle) warn(warning);
  const verbose = options.verbose === true ? (options.decode ?? '') : null;
  const helpers = early ?? (spec.workers > 1 ? await helpersFor([`--workers=${spec.workers}`]) : null);
  const outcome = await runRewriting(spec, verbose, spokenTo(spec, options, terminal), helpers);
  await helpers?.stop();
  for (const warning of outcome.warnings) warn(warning);
  print(spec, { ...outcome, warnings: [...idle, ...outcome.warnings] }, options, terminal);
  if (outcome.fault !== null) terminal.error(`${REWRITE_TABLE.name}: ${oneLine(outcome.fault)}`);
  return rewriteExit(spec, outcome);
}

/** Loaded where it is asked for: cryptography takes its time to load. */
async function keyOf(path: string | undefined): Promise<Uint8Array | null> {
  return path === undefined ? null : (await import('../rewrite/anonymize_spec.ts')).readAnonymizeKey(path);
}

/** Standard output, unless the capture or the JSON object stands there. */
function spokenTo(spec: RewriteFileSpec, options: FrontOptions, terminal: Terminal): (line: string) => void {
  const isTaken = options.json === true || [spec.output, spec.outputSecondary].includes('-');
  return isTaken ? terminal.error : terminal.out;
}

function print(spec: RewriteFileSpec, outcome: RewriteOutcome, options: FrontOptions, terminal: Terminal): void {
  const say = [spec.output, spec.outputSecondary].includes('-') ? terminal.error : terminal.out;
  if (options.json) {
    say(JSON.stringify(jsonRewriteReport(packageVersion(), spec, outcome)));
    return;
  }
  // Nothing was read: the error says it all.
  if (outcome.fault !== null && outcome.tally.read === 0) return;
  const clean = outcome.fault === null && total(outcome.tally.failed) === 0;
  if (options.quiet && clean) return;
  for (const text of rewriteReportLines(spec, outcome)) say(text);
}
