/**
 * A command line, with the option files it names, as checked option values: the same for every command.
 * Reads no file itself: `readText` is passed in.
 */
import { type Command, CommanderError } from 'commander';
import { findOption, type Scanned, type Setting, scanArguments } from './autoopts.ts';
import { formatOptionFile, parseOptionFile } from './option_file.ts';
import { addOptions, CliCommand, longName, type OptionGroup, type PeerOptions, timesMaxOf } from './option_table.ts';
import { checkRules, type Rule } from './rules.ts';
import { text, usage } from './values.ts';

/** One command, as data. */
export interface CommandTable {
  readonly name: string;
  /** One sentence under the usage line. */
  readonly about: string;
  /** What stands behind the options in the usage line. */
  readonly operands: string;
  readonly groups: readonly OptionGroup[];
  readonly rules: readonly Rule[];
  /** Sections of option files that hold for this command, upper case, its own first. */
  readonly sections: readonly string[];
  /** Options of other tools. */
  readonly peers?: PeerOptions;
  /** Further options made elsewhere. */
  readonly extend?: (command: Command) => void;
  /** Paragraphs at the foot of the long help. */
  readonly notes: readonly string[];
}

export type CommandLine =
  | { readonly kind: 'help' | 'usage' | 'pager' | 'version' }
  | { readonly kind: 'save'; readonly path: string; readonly text: string }
  | {
      readonly kind: 'run';
      /** By commander's attribute names: `ppsMulti`. */
      readonly options: Readonly<Record<string, unknown>>;
      readonly operands: readonly string[];
    };

export type ReadText = (path: string) => string;

export const COMMON_OPTIONS: OptionGroup = {
  heading: 'Help and option files',
  rows: [
    {
      name: 'load-opts',
      value: 'FILE',
      parse: text,
      timesMax: Number.POSITIVE_INFINITY,
      help: `Read options from FILE: one "name value" a line, # comments, [SECTION] lines. Later files, and the command
        line, replace what earlier ones say. Repeatable`,
    },
    { name: 'no-load-opts', help: 'Read none of the files that --load-opts and --config name on this command line' },
    {
      name: 'config',
      value: 'FILE',
      parse: text,
      ours: true,
      help: `Read options from a YAML file with the long names as keys; the key "files" lists captures. The command line
        replaces what it says`,
    },
    {
      name: 'save-opts',
      value: 'FILE',
      valueOptional: true,
      help: 'Write the given options to FILE for --load-opts, and exit',
      default: '.NAMErc in the current directory',
    },
    { name: 'version', short: 'V', help: 'Print the version and exit' },
    { name: 'less-help', short: 'h', help: 'Print one line an option and exit' },
    { name: 'help', short: 'H', help: 'Print this text and exit' },
    { name: 'more-help', short: '!', help: 'Show this text in a pager (PAGER, or less) and exit' },
  ],
};

export function buildCommand(table: CommandTable): Command {
  const command = new CliCommand(table.name, table.peers ?? {})
    .helpOption(false)
    .exitOverride()
    .configureOutput({ writeErr() {}, writeOut() {} })
    .allowExcessArguments()
    .argument('[operands...]');
  addOptions(command, table.groups);
  table.extend?.(command);
  return addOptions(command, [COMMON_OPTIONS]);
}

/** What stops everything else, first one named wins. */
const STOPS = { help: 'help', 'less-help': 'usage', 'more-help': 'pager', version: 'version' } as const;

/** argv (without node and script) to what is to be done. Rejects with an OperatorError USAGE, or FILE. */
export async function parseCommandLine(
  table: CommandTable,
  argv: readonly string[],
  readText: ReadText,
): Promise<CommandLine> {
  const command = buildCommand(table);
  const scanned = scanArguments(command, argv);
  for (const { name } of scanned.settings) {
    if (Object.hasOwn(STOPS, name)) return { kind: STOPS[name as keyof typeof STOPS] };
  }
  const sources = await loadSources(table, command, scanned, readText);
  const settings = merge(command, sources.layers);
  checkRules(table.rules, settings);
  const save = settings.find((setting) => setting.name === 'save-opts');
  const options = parseSettings(command, settings);
  if (save !== undefined) {
    const path = save.value === null || save.value === '' ? `.${table.name}rc` : save.value;
    return { kind: 'save', path, text: formatOptionFile(table.sections[0]!, settings) };
  }
  const operands = scanned.operands.length > 0 ? scanned.operands : sources.files;
  return { kind: 'run', options, operands };
}

async function loadSources(table: CommandTable, command: Command, scanned: Scanned, readText: ReadText) {
  const layers: (readonly Setting[])[] = [];
  let files: readonly string[] = [];
  const isFile = (name: string): boolean => name === 'load-opts' || name === 'config';
  if (scanned.settings.some((setting) => setting.name === 'no-load-opts')) {
    const others = scanned.settings.filter(({ name }) => !isFile(name) && name !== 'no-load-opts');
    return { layers: [others], files };
  }
  for (const { name, value } of scanned.settings) {
    if (name === 'load-opts') layers.push(parseOptionFile(command, table.sections, value!, readText(value!)));
    if (name !== 'config') continue;
    const { parseConfigFile } = await import('./config_file.ts');
    const config = await parseConfigFile(command, value!, readText(value!));
    layers.push(config.settings);
    files = config.files;
  }
  layers.push(scanned.settings);
  return { layers, files };
}

/** Later layers replace earlier ones, option by option; inside a layer an option has its limit. */
function merge(command: Command, layers: readonly (readonly Setting[])[]): Setting[] {
  const merged = new Map<string, Setting[]>();
  for (const layer of layers) {
    const own = new Map<string, Setting[]>();
    for (const setting of layer) own.set(setting.name, [...(own.get(setting.name) ?? []), setting]);
    for (const [name, settings] of own) {
      const max = timesMaxOf(findOption(command, name));
      if (settings.length > max) throw tooOften(name, settings[max]!, max);
      merged.delete(name.startsWith('no-') ? name.slice(3) : `no-${name}`);
      merged.set(name, settings);
    }
    for (const name of own.keys()) {
      if (own.has(`no-${name}`)) throw usage(`--${name} and --no-${name} cannot both be given: one undoes the other`);
    }
  }
  return [...merged.values()].flat();
}

function tooOften(name: string, setting: Setting, max: number): Error {
  const times = max === 1 ? 'once' : max === 2 ? 'twice' : `${max} times`;
  return usage(`--${name} may be given ${times} only (${setting.from})`);
}

/** Commander does the rest: every setting under its full name, each value through its parser. */
function parseSettings(command: Command, settings: readonly Setting[]): Record<string, unknown> {
  const tokens: string[] = [];
  for (const { name, value } of settings) tokens.push(value === null ? `--${name}` : `--${name}=${value}`);
  try {
    command.parse(tokens, { from: 'user' });
  } catch (error) {
    if (error instanceof CommanderError) throw usage(error.message.replace(/^error: /, ''));
    throw error;
  }
  return command.opts();
}

/** The long names of every option, for tests and completion. */
export function optionNames(table: CommandTable): string[] {
  return buildCommand(table).options.map(longName);
}
