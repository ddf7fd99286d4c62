#!/usr/bin/env node
/** The command `tscopy`. */
import { copyMain } from './copy_main.ts';
import { processTerminal } from './terminal.ts';

process.exit(await copyMain(process.argv.slice(2), processTerminal()));
