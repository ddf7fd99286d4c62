#!/usr/bin/env node
/** The command `tsintercept`. */
import { processTerminal } from './terminal.ts';
import { packageVersion } from './version.ts';

const argv = process.argv.slice(2);
const terminal = processTerminal();
if (argv.length === 1 && (argv[0] === '--version' || argv[0] === '-V')) {
  terminal.out(`tsintercept version: ${packageVersion()}`);
} else {
  const { interceptMain } = await import('./intercept_main.ts');
  process.exit(await interceptMain(argv, terminal));
}
