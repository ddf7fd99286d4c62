#!/usr/bin/env node
/** The command `tsinfo`. */
import { processTerminal } from './terminal.ts';
import { packageVersion } from './version.ts';

const argv = process.argv.slice(2);
const terminal = processTerminal();
if (argv.length === 1 && (argv[0] === '--version' || argv[0] === '-V')) {
  // Scripts ask for it often: answered without loading the options.
  terminal.out(`tsinfo version: ${packageVersion()}`);
} else {
  const { infoMain } = await import('./info_main.ts');
  process.exit(await infoMain(argv, terminal));
}
