#!/usr/bin/env node
/** The command `tscap`. */
import { processTerminal } from './terminal.ts';
import { packageVersion } from './version.ts';

const argv = process.argv.slice(2);
const terminal = processTerminal();
if (argv.length === 1 && (argv[0] === '--version' || argv[0] === '-V')) {
  terminal.out(`tscap version: ${packageVersion()}`);
} else {
  const { captureMain } = await import('./capture_main.ts');
  process.exit(await captureMain(argv, terminal));
}
