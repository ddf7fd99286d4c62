/** Shared by the tests of `tsrewrite`: the command in this process, captures read without the product's reader. */
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { rewriteMain } from '../../src/cli/rewrite_main.ts';
import { packageRoot } from '../structure/repository.ts';

export const ROOT: string = packageRoot();

export interface Ran {
  readonly status: number;
  readonly out: string;
  readonly error: string;
}

/** The command's library function with a terminal of strings. */
export async function tsrewrite(...args: readonly string[]): Promise<Ran> {
  let out = '';
  let error = '';
  const status = await rewriteMain(args, {
    out: (line) => {
      out += `${line}\n`;
    },
    error: (line) => {
      error += `${line}\n`;
    },
    draw: (text) => {
      error += text;
    },
    errorIsTerminal: false,
    columns: () => 80,
  });
  return { status, out, error };
}

/** Case name -> path of its capture. */
export function fixtures(): Map<string, string> {
  const folder = join(ROOT, 'fixtures', 'pcaps');
  return new Map(
    readdirSync(folder).map((name) => [
      name,
      join(folder, name, readdirSync(join(folder, name)).find((f) => f.startsWith('in.'))!),
    ]),
  );
}

export const TCPDUMP: string | false = spawnSync('tcpdump', ['--version']).status === 0 ? false : 'needs tcpdump';

export interface Judged {
  readonly text: string;
  /** Sums that tcpdump calls wrong. */
  readonly wrong: number;
  readonly right: number;
}

/** What tcpdump says of a capture. */
export function judge(path: string, ...args: readonly string[]): Judged {
  const run = spawnSync('tcpdump', ['-nn', '-vv', '-e', ...args, '-r', path], { encoding: 'utf8', maxBuffer: 1 << 28 });
  if (run.status !== 0) throw new Error(`tcpdump -r ${path}: ${run.stderr}`);
  const count = (pattern: RegExp): number => run.stdout.match(pattern)?.length ?? 0;
  return {
    text: run.stdout,
    wrong: count(/incorrect|bad cksum|bad udp cksum|wrong icmp6? cksum|bad icmp6 cksum/g),
    right: count(/\(correct\)|udp sum ok|icmp6 sum ok/g),
  };
}
