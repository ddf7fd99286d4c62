/** A command run in this process: a process of its own costs a tenth of a second. */
import type { Terminal } from '../../src/cli/terminal.ts';

export interface Ended {
  /** Null only where a caller's own process was ended by a signal. */
  readonly status: number | null;
  readonly out: string;
  readonly error: string;
}

export async function runInProcess(
  main: (argv: readonly string[], terminal: Terminal) => Promise<number>,
  argv: readonly string[],
): Promise<Ended> {
  const out: string[] = [];
  const error: string[] = [];
  const status = await main(argv, {
    out: (line) => out.push(line),
    error: (line) => error.push(line),
    draw: () => {},
    errorIsTerminal: false,
    columns: () => 80,
  });
  return { status, out: out.join('\n'), error: error.join('\n') };
}
