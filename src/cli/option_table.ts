/**
 * Options as a table. One row says everything about an option: how it is parsed, how often it may be given, its unit,
 * its default and its help text; `--help` and the documentation are made from the same rows.
 */
import { Command, Option } from 'commander';
import { usage, type ValueParser } from './values.ts';

export interface OptionRow {
  /** Long name without dashes, as operators type it: `pps-multi`, `no-flow-stats`. */
  readonly name: string;
  /** One character. */
  readonly short?: string;
  /** Word for the value in help texts; absent: the option is a flag. */
  readonly value?: string;
  /** The value may be left out (`--save-opts[=file]`); it can then only be given with `=`. */
  readonly valueOptional?: true;
  readonly parse?: ValueParser;
  /** Sentences without the last full stop; line breaks and indents count as one blank. */
  readonly help?: string;
  readonly unit?: string;
  readonly default?: string;
  /** How often it may be given in one place; 1 unless said otherwise. */
  readonly timesMax?: number;
  /** Not an option of the tool whose command lines we take: never makes a short form of one of its names ambiguous. */
  readonly ours?: true;
  /** The option is known and refused, with this sentence. */
  readonly refusal?: string;
}

export interface OptionGroup {
  readonly heading: string;
  readonly rows: readonly OptionRow[];
}

/**
 * Options of the tool whose place a command takes, that have another name here or none: as typed (`-x`, `--snaplen`),
 * to what to type instead. `value`: what follows it on the command line.
 */
export type PeerOptions = Readonly<Record<string, string | ((value: string) => string)>>;

/** A command that knows what people type who come from another tool. */
export class CliCommand extends Command {
  readonly peers: PeerOptions;

  constructor(name: string, peers: PeerOptions) {
    super(name);
    this.peers = peers;
  }
}

/** What to do about an option that does not exist: what to type instead, or where to look. */
export function peerHint(command: Command, typed: string, value = ''): string | null {
  const hint = command instanceof CliCommand ? command.peers[typed] : undefined;
  return typeof hint === 'function' ? hint(value) : (hint ?? null);
}

/** A commander option that knows the rest of its row. */
export class CliOption extends Option {
  readonly row: OptionRow;

  constructor(row: OptionRow) {
    super(flagsOf(row), (row.help ?? '').replace(/\s+/g, ' '));
    this.row = row;
  }
}

/** As commander reads them: brackets in the row's own word for the value would mean something there. */
function flagsOf(row: OptionRow): string {
  const value = row.value === undefined ? '' : row.valueOptional ? ' [value]' : ' <value>';
  return `${row.short === undefined ? '' : `-${row.short}, `}--${row.name}${value}`;
}

/** Adds the groups' rows to a command. Options given several times end in an array, in order. */
export function addOptions(command: Command, groups: readonly OptionGroup[]): Command {
  for (const group of groups) {
    for (const row of group.rows) {
      const option = new CliOption(row).helpGroup(group.heading);
      const { parse, refusal } = row;
      if (refusal !== undefined) option.hideHelp();
      if ((row.timesMax ?? 1) > 1) {
        option.argParser((value: string, previous: readonly unknown[] | undefined) => [
          ...(previous ?? []),
          parse === undefined ? value : parse(value, `--${row.name}`),
        ]);
      } else if (parse !== undefined) {
        option.argParser((value: string) => parse(value, `--${row.name}`));
      }
      command.addOption(option);
    }
  }
  return command;
}

/** Long name without dashes of any commander option. */
export function longName(option: Option): string {
  return (option.long ?? option.short ?? '').replace(/^-+/, '');
}

export function takesValue(option: Option): boolean {
  return option.required || option.optional;
}

/** How often an option may be given in one place. A parser that takes the previous value collects: no limit. */
export function timesMaxOf(option: Option): number {
  if (option instanceof CliOption) return option.row.timesMax ?? 1;
  return option.variadic || (option.parseArg !== undefined && option.parseArg.length > 1)
    ? Number.POSITIVE_INFINITY
    : 1;
}

export function isOurs(option: Option): boolean {
  return option instanceof CliOption && option.row.ours === true;
}

/** Throws the sentence of an option that is known and refused. */
export function refuseKnown(option: Option): void {
  if (option instanceof CliOption && option.row.refusal !== undefined) throw usage(option.row.refusal);
}
