#!/usr/bin/env node
/** The command `tsrewrite`. */
import { processTerminal } from './terminal.ts';
import { packageVersion } from './version.ts';

const argv = process.argv.slice(2);
const terminal = processTerminal();
if (argv.length === 1 && (argv[0] === '--version' || argv[0] === '-V')) {
  // Scripts ask for it often: answered without loading the options.
  terminal.out(`tsrewrite version: ${packageVersion()}`);
} else {
  const { rewriteMain } = await import('./rewrite_main.ts');
  process.exit(await rewriteMain(argv, terminal));
}
