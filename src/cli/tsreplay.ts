#!/usr/bin/env node
/** The command `tsreplay`. */
import { replayMain } from './replay_main.ts';
import { processTerminal } from './terminal.ts';

process.exit(await replayMain(process.argv.slice(2), processTerminal()));
