/** The frame of a command: texts that are asked for, option files that are saved, errors in one line. */
import { Exit } from '../base/errors.ts';
import { type CommandLine, type CommandTable, parseCommandLine } from './command_line.ts';
import { reportFailure } from './failure.ts';
import type { Terminal } from './terminal.ts';
import { readTextFile, writeTextFile } from './text_file.ts';
import { packageVersion } from './version.ts';

export type RunLine = Extract<CommandLine, { kind: 'run' }>;

/**
 * Never rejects. `run`: what the command does once its command line is understood. The stack of an unexpected error is
 * printed with TSREPLAY_DEBUG=1, or with --dbug from 2 on where the command has it.
 */
export async function commandMain(
  table: CommandTable,
  argv: readonly string[],
  terminal: Terminal,
  run: (line: RunLine) => Promise<Exit> | Exit,
): Promise<Exit> {
  let debug = process.env['TSREPLAY_DEBUG'] === '1';
  try {
    const line = await parseCommandLine(table, argv, readTextFile);
    if (line.kind !== 'run') return await tell(table, line, terminal);
    debug ||= Number(line.options['dbug'] ?? 0) >= 2;
    return await run(line);
  } catch (error) {
    return reportFailure(terminal, table.name, error, debug);
  }
}

async function tell(table: CommandTable, line: Exclude<CommandLine, RunLine>, terminal: Terminal): Promise<Exit> {
  if (line.kind === 'version') terminal.out(`${table.name} version: ${packageVersion()}`);
  else if (line.kind === 'save') writeTextFile(line.path, line.text);
  else {
    const { longHelp, shortHelp } = await import('./help.ts');
    if (line.kind === 'usage') terminal.out(shortHelp(table).trimEnd());
    else if (line.kind === 'help') terminal.out(longHelp(table).trimEnd());
    else (await import('./pager.ts')).page(terminal, longHelp(table));
  }
  return Exit.Done;
}
