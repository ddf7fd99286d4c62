/** Errors as the operator sees them: one line, and the exit status. */
import { Exit, OperatorError } from '../base/errors.ts';
import type { Terminal } from './terminal.ts';

/** With `debug` (TSREPLAY_DEBUG=1, or `--dbug` from 2 on) the stack of an unexpected error is printed too. */
export function reportFailure(terminal: Terminal, tool: string, error: unknown, debug: boolean): Exit {
  if (error instanceof OperatorError) {
    terminal.error(`${tool}: ${oneLine(error.message)}`);
    if (debug && error.cause !== undefined) terminal.error(String((error.cause as Error).stack ?? error.cause));
    return error.exit;
  }
  const message = error instanceof Error ? error.message : String(error);
  const hint = debug ? '' : ' (a defect of the program: TSREPLAY_DEBUG=1 shows where)';
  terminal.error(`${tool}: unexpected error: ${oneLine(message)}${hint}`);
  if (debug && error instanceof Error) terminal.error(error.stack ?? '');
  return Exit.Incomplete;
}

export function oneLine(message: string): string {
  return message.replace(/\s*\n\s*/g, ' ').trim();
}
