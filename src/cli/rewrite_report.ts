/** The report of a rewriting: text, or one JSON object. */
import { Exit } from '../base/errors.ts';
import { groupDigits } from '../base/units.ts';
import type { RewriteFileSpec } from './rewrite_file_spec.ts';
import { REASONS, type RewriteTally, total } from './rewrite_tally.ts';

export interface RewriteOutcome {
  readonly tally: RewriteTally;
  readonly seconds: number;
  /** What ended the run early, one sentence; null: the whole capture was read and written. */
  readonly fault: string | null;
  readonly faultExit: Exit;
  readonly warnings: readonly string[];
}

/** Fields of `--json`; documented in docs/tsrewrite.md, where a test keeps both alike. */
export interface JsonRewriteReport {
  readonly tool: string;
  readonly version: string;
  readonly input: string;
  readonly output: string;
  readonly outputSecondary: string | null;
  readonly read: number;
  readonly edited: number;
  readonly unchanged: Readonly<Record<string, number>>;
  readonly failed: Readonly<Record<string, number>>;
  readonly dropped: Readonly<Record<string, number>>;
  readonly added: number;
  readonly written: number;
  readonly seconds: number;
  readonly complete: boolean;
  readonly fault: string | null;
  readonly warnings: readonly string[];
}

export function rewriteExit(spec: RewriteFileSpec, outcome: RewriteOutcome): Exit {
  if (outcome.fault !== null) return outcome.faultExit;
  const failed = total(outcome.tally.failed);
  const leftAlone = outcome.tally.unchanged['length-frame'] ?? 0;
  if (spec.strict) return failed + leftAlone + outcome.warnings.length > 0 ? Exit.Incomplete : Exit.Done;
  return failed > 0 && !spec.skipSoftErrors ? Exit.Incomplete : Exit.Done;
}

export function jsonRewriteReport(version: string, spec: RewriteFileSpec, outcome: RewriteOutcome): JsonRewriteReport {
  const { tally } = outcome;
  return {
    tool: 'tsrewrite',
    version,
    input: spec.input,
    output: spec.output,
    outputSecondary: spec.outputSecondary,
    read: tally.read,
    edited: tally.edited,
    unchanged: tally.unchanged,
    failed: tally.failed,
    dropped: tally.dropped,
    added: tally.added,
    written: tally.written,
    seconds: outcome.seconds,
    complete: rewriteExit(spec, outcome) === Exit.Done,
    fault: outcome.fault,
    warnings: outcome.warnings,
  };
}

/** One line of numbers, then one line for each thing that needs a reason. */
export function rewriteReportLines(spec: RewriteFileSpec, outcome: RewriteOutcome): string[] {
  const { tally } = outcome;
  const failed = total(tally.failed);
  const unchanged = total(tally.unchanged);
  const dropped = total(tally.dropped);
  const numbers = [
    `${groupDigits(tally.read)} read`,
    `${groupDigits(tally.edited)} edited`,
    `${groupDigits(unchanged)} unchanged`,
    `${groupDigits(failed)} failed`,
    `${groupDigits(dropped)} left out`,
    `${groupDigits(tally.written)} written`,
  ];
  const lines = [`Packets: ${numbers.join(', ')}`];
  if (unchanged > 0) lines.push(`Unchanged: ${reasons(tally.unchanged)}`);
  if (failed > 0) {
    const kept = failed - tally.failedDropped;
    const what: string[] = [];
    if (kept > 0) what.push(`${groupDigits(kept)} written as they were`);
    if (tally.failedDropped > 0) what.push(`${groupDigits(tally.failedDropped)} not written`);
    lines.push(`Failed: ${reasons(tally.failed)}; ${what.join(', ')}`);
  }
  if (dropped > 0) lines.push(`Left out: ${reasons(tally.dropped)}`);
  if (tally.added !== 0) lines.push(`Made by splitting and fragroute: ${groupDigits(tally.added)} more than went in`);
  if (spec.strict && tally.failedDropped > 0 && outcome.fault === null) lines.push('Strict: that counts as a failure');
  return lines;
}

function reasons(cells: Readonly<Record<string, number>>): string {
  return Object.entries(cells)
    .map(([name, packets]) => `${groupDigits(packets)} ${REASONS[name] ?? name}`)
    .join(', ');
}
