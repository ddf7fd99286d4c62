/** Options that several commands take from the tools before them, in the same words. */
import type { OptionRow } from './option_table.ts';
import { integer, text } from './values.ts';

export const DECODE_ROW: OptionRow = {
  name: 'decode',
  short: 'A',
  value: 'ARGS',
  parse: text,
  help: 'Further arguments for the tcpdump of --verbose, split at blanks',
};

export const DBUG_ROW: OptionRow = {
  name: 'dbug',
  short: 'd',
  value: 'LEVEL',
  parse: integer(0, 5),
  help: `Print what was understood: 1 the plan as JSON on standard error, 2 and above also the stack of an
    unexpected error`,
  default: '0',
};
