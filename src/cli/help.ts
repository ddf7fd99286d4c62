/** Help texts, made from the options themselves. The long one stands word for word in the documentation. */
import type { Command, Option } from 'commander';
import { buildCommand, type CommandTable } from './command_line.ts';
import { CliOption, longName, takesValue } from './option_table.ts';

const COLUMNS = 100;
const HELP_INDENT = 6;

/** Every option with its unit and default, and the notes. */
export function longHelp(table: CommandTable): string {
  const command = buildCommand(table);
  const lines = [...usageLines(table)];
  for (const [heading, options] of grouped(command)) {
    lines.push('', `${heading}:`);
    for (const option of options) {
      lines.push(`  ${flags(option)}`);
      lines.push(...wrap(sentence(option, table), HELP_INDENT));
    }
  }
  const refused = command.options.filter((option) => option.hidden);
  if (refused.length > 0) {
    lines.push('', 'Known and refused:');
    for (const option of refused) {
      lines.push(`  ${flags(option)}`);
      lines.push(...wrap(`${(option as CliOption).row.refusal}.`, HELP_INDENT));
    }
  }
  for (const note of table.notes) lines.push('', ...wrap(note, 0));
  return `${lines.join('\n')}\n`;
}

/** One line an option. */
export function shortHelp(table: CommandTable): string {
  const lines = [...usageLines(table), ''];
  for (const [, options] of grouped(buildCommand(table))) {
    for (const option of options)
      lines.push(`  ${flags(option).padEnd(32)} ${firstPart(option)}`.slice(0, COLUMNS).trimEnd());
  }
  lines.push('', `More: ${table.name} --help`);
  return `${lines.join('\n')}\n`;
}

function usageLines(table: CommandTable): string[] {
  return [`Usage: ${table.name} [options] ${table.operands}`, '', ...wrap(table.about, 0)];
}

function grouped(command: Command): Map<string, Option[]> {
  const groups = new Map<string, Option[]>();
  for (const option of command.options) {
    if (option.hidden) continue;
    const heading = (option.helpGroupHeading ?? 'Other options').replace(/:$/, '');
    groups.set(heading, [...(groups.get(heading) ?? []), option]);
  }
  return groups;
}

function flags(option: Option): string {
  const short = option.short === undefined ? '    ' : `${option.short}, `;
  const word = (option instanceof CliOption ? option.row.value : undefined) ?? 'VALUE';
  const value = !takesValue(option) ? '' : option.optional ? `[=${word}]` : `=${word}`;
  return `${short}--${longName(option)}${value}`;
}

/** Help, then unit and default, ended by a full stop. */
function sentence(option: Option, table: CommandTable): string {
  const parts: string[] = [];
  if (option instanceof CliOption) {
    if (option.row.unit !== undefined) parts.push(`Unit: ${option.row.unit}.`);
    const standard = option.row.default?.replace('NAME', table.name);
    if (standard !== undefined) parts.push(`Default: ${standard}.`);
  } else {
    const standard = option.defaultValueDescription ?? option.defaultValue;
    if (takesValue(option) && standard !== undefined) parts.push(`Default: ${standard}.`);
  }
  return [`${option.description.replace(/\.$/, '')}.`, ...parts].join(' ');
}

function firstPart(option: Option): string {
  return option.description.split(/[.:;(]/)[0]!.trim();
}

function wrap(text: string, indent: number): string[] {
  const pad = ' '.repeat(indent);
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(/\s+/)) {
    if (line !== '' && indent + line.length + 1 + word.length > COLUMNS) {
      lines.push(pad + line);
      line = word;
    } else line = line === '' ? word : `${line} ${word}`;
  }
  if (line !== '') lines.push(pad + line);
  return lines;
}
