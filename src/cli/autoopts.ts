/**
 * Command lines as GNU AutoOpts reads them, for any commander command: `--name=value`, `--name value`, `-x value`,
 * `-xvalue`, flags run together (`-tK`), long names cut to a unique prefix, `_` for `-`, either case, operands and
 * options in any order, `--` before operands only. The result is a list of settings under full names.
 */
import type { Command, Option } from 'commander';
import { isOurs, longName, peerHint, refuseKnown, takesValue } from './option_table.ts';
import { listed, usage } from './values.ts';

/** One option as given in one place. */
export interface Setting {
  /** Full long name, without dashes. */
  readonly name: string;
  /** Null: a flag, or the optional value left out. */
  readonly value: string | null;
  /** Where it was given, as the operator reads it: `the command line`, `run.opts line 4`. */
  readonly from: string;
}

export interface Scanned {
  readonly settings: readonly Setting[];
  readonly operands: readonly string[];
}

const COMMAND_LINE = 'the command line';

/** Splits a command line. Throws a usage error that names the nearest or the candidate options. */
export function scanArguments(command: Command, argv: readonly string[]): Scanned {
  const settings: Setting[] = [];
  const operands: string[] = [];
  for (let i = 0; i < argv.length; i++) {
    const token = argv[i]!;
    if (token === '--') {
      operands.push(...argv.slice(i + 1));
      break;
    }
    if (token.startsWith('--')) i += scanLong(command, token, argv[i + 1], settings);
    else if (token.startsWith('-') && token !== '-') i += scanShorts(command, token, argv[i + 1], settings);
    else operands.push(token);
  }
  return { settings, operands };
}

/** Returns how many of the following arguments were used as the value. */
function scanLong(command: Command, token: string, next: string | undefined, settings: Setting[]): number {
  const equals = token.indexOf('=');
  const typed = token.slice(2, equals < 0 ? undefined : equals);
  const option = findOption(command, typed);
  const given = equals < 0 ? null : token.slice(equals + 1);
  return settle(option, given, option.optional ? undefined : next, settings);
}

function scanShorts(command: Command, token: string, next: string | undefined, settings: Setting[]): number {
  for (let at = 1; at < token.length; at++) {
    const letter = token[at]!;
    const option = command.options.find((candidate) => candidate.short === `-${letter}`);
    const rest = token.slice(at + 1);
    if (option === undefined) {
      const hint = peerHint(command, `-${letter}`, rest || next) ?? `see ${command.name()} --help`;
      throw usage(`-${letter} is no option of ${command.name()}: ${hint}`);
    }
    if (takesValue(option)) return settle(option, rest === '' ? null : rest.replace(/^=/, ''), next, settings);
    settle(option, null, undefined, settings);
  }
  return 0;
}

function settle(option: Option, given: string | null, next: string | undefined, settings: Setting[]): number {
  const name = longName(option);
  refuseKnown(option);
  if (!takesValue(option)) {
    if (given !== null) throw usage(`--${name} takes no value, but was given "${given}"`);
    settings.push({ name, value: null, from: COMMAND_LINE });
    return 0;
  }
  if (given !== null || option.optional) {
    settings.push({ name, value: given, from: COMMAND_LINE });
    return 0;
  }
  if (next === undefined) throw usage(`--${name} needs a value`);
  settings.push({ name, value: next, from: COMMAND_LINE });
  return 1;
}

/**
 * The option that a long name, whole or cut, stands for. A cut name that several options share is refused with the
 * candidates, unless exactly one of them belongs to the tool whose command lines must keep working.
 */
export function findOption(command: Command, typed: string, where = ''): Option {
  const wanted = plain(typed);
  const exact = command.options.find((option) => plain(longName(option)) === wanted);
  if (exact !== undefined) return exact;
  const candidates =
    wanted === '' ? [] : command.options.filter((option) => plain(longName(option)).startsWith(wanted));
  if (candidates.length === 1) return candidates[0]!;
  const theirs = candidates.filter((option) => !isOurs(option));
  if (theirs.length === 1) return theirs[0]!;
  if (candidates.length > 1) {
    const names = candidates.map((option) => `--${longName(option)}`).sort();
    throw usage(`${where}--${typed} is ambiguous: ${listed(names, 'or')}`);
  }
  const near = nearestName(wanted, command.options.map(longName));
  const other = near === null ? `see ${command.name()} --help` : `did you mean --${near}?`;
  const hint = peerHint(command, `--${wanted}`) ?? other;
  throw usage(`${where}--${typed} is no option of ${command.name()}: ${hint}`);
}

/** Names compare without case, and with `_` as `-`. */
function plain(name: string): string {
  return name.toLowerCase().replaceAll('_', '-');
}

/** The name nearest to `wanted` by edit distance, or null when none is near. */
export function nearestName(wanted: string, names: readonly string[]): string | null {
  let best: string | null = null;
  let bestDistance = Math.max(1, Math.floor(wanted.length / 3)) + 1;
  for (const name of names) {
    const distance = editDistance(wanted, name);
    if (distance < bestDistance) {
      best = name;
      bestDistance = distance;
    }
  }
  return best;
}

/** Levenshtein distance, one row at a time. */
function editDistance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const swap = previous[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      row.push(Math.min(swap, previous[j]! + 1, row[j - 1]! + 1));
    }
    previous = row;
  }
  return previous[b.length]!;
}
