/**
 * Option files (`--load-opts`, `--save-opts`), ini-like as the reference's: one option a line under its long name
 * (`pps 100`, `pps = 100`, `pps: 100`), flags alone, `#` comments, values in quotes where they hold blanks.
 * Lines in front of the first `[SECTION]` hold for every command, the others for the command of that name.
 */
import type { Command } from 'commander';
import { findOption, type Setting } from './autoopts.ts';
import { longName, refuseKnown, takesValue } from './option_table.ts';
import { usage } from './values.ts';

/** Options that make no sense in a file: what they do was decided when the command line was read. */
const NOT_IN_FILES: ReadonlySet<string> = new Set([
  'help',
  'less-help',
  'more-help',
  'version',
  'load-opts',
  'no-load-opts',
  'save-opts',
  'config',
  'listnics',
]);

export function notInFiles(name: string): boolean {
  return NOT_IN_FILES.has(name);
}

/** `sections`: the names under which this command's options may stand, upper case. */
export function parseOptionFile(command: Command, sections: readonly string[], path: string, text: string): Setting[] {
  const settings: Setting[] = [];
  let ours = true;
  let lineNumber = 0;
  for (const raw of text.split(/\r?\n/)) {
    lineNumber++;
    const line = raw.trim();
    if (line === '' || line.startsWith('#')) continue;
    const where = `${path} line ${lineNumber}`;
    if (line.startsWith('[')) {
      const section = /^\[\s*([A-Za-z0-9_-]+)\s*\]\s*(#.*)?$/.exec(line);
      if (section === null) throw usage(`${where}: "${line}" is no section like [${sections[0]}]`);
      ours = sections.includes(section[1]!.toUpperCase());
    } else if (ours) settings.push(parseLine(command, line, where));
  }
  return settings;
}

function parseLine(command: Command, line: string, where: string): Setting {
  const match = /^(?:--)?([A-Za-z0-9][A-Za-z0-9_-]*)(?:\s*[=:]\s*|\s+|$)(.*)$/.exec(line);
  if (match === null) throw usage(`${where}: "${line}" is no option like "pps 100"`);
  const option = findOption(command, match[1]!, `${where}: `);
  const name = longName(option);
  const value = unquoted(match[2]!, where);
  if (notInFiles(name)) throw usage(`${where}: --${name} works on the command line only`);
  refuseKnown(option);
  if (!takesValue(option)) {
    if (value !== '') throw usage(`${where}: --${name} takes no value, but was given "${value}"`);
    return { name, value: null, from: where };
  }
  if (value === '' && !option.optional) throw usage(`${where}: --${name} needs a value`);
  return { name, value, from: where };
}

/** Takes quotes off; cuts a comment that follows a blank. */
function unquoted(rest: string, where: string): string {
  const quote = rest[0];
  if (quote !== '"' && quote !== "'") return rest.replace(/(^|\s)#.*$/, '').trim();
  let value = '';
  for (let i = 1; i < rest.length; i++) {
    const letter = rest[i]!;
    if (letter === quote) {
      const after = rest.slice(i + 1).trim();
      if (after !== '' && !after.startsWith('#')) throw usage(`${where}: "${after}" stands behind the closing quote`);
      return value;
    }
    if (letter === '\\' && quote === '"' && i + 1 < rest.length) value += rest[++i];
    else value += letter;
  }
  throw usage(`${where}: the quote ${quote} is not closed`);
}

/** The settings as an option file that `parseOptionFile` reads back. */
export function formatOptionFile(section: string, settings: readonly Setting[]): string {
  const lines = [`# Options of ${section.toLowerCase()}: read with --load-opts`, `[${section}]`];
  for (const { name, value } of settings) {
    if (notInFiles(name)) continue;
    lines.push(value === null ? name : `${name} = ${quoted(value)}`);
  }
  return `${lines.join('\n')}\n`;
}

function quoted(value: string): string {
  if (value !== '' && !/[\s#"'\\]/.test(value)) return value;
  return `"${value.replace(/["\\]/g, '\\$&')}"`;
}
