/** `tscopy doctor` as data: the options of `tscopy`, and notes of its own. */
import type { CommandTable } from './command_line.ts';
import { COPY_TABLE } from './copy_table.ts';

const NOTES: readonly string[] = [
  `Looks along the path of a copy, from the interface of the clients to whoever swallows the target's replies, and
   names the broken hop and what mends it. It takes every option of tscopy, so that the same file (--config) serves
   both; those that say how to copy have no meaning here.`,
  `It sends one SYN to each target from an address that nobody uses, and ends the connection with a RST: the service
   there never hears of it. Nothing is copied.`,
  `One line a check: ok, warning, BROKEN with what mends it, or unknown, where nobody can look. With --json one object
   a line, with event "check", and "verdict" at the end.`,
  'Exit status: 0 nothing is broken; 1 a hop is broken; 2 the command line is wrong; 3 the machine refused.',
];

export const DOCTOR_TABLE: CommandTable = {
  ...COPY_TABLE,
  name: 'tscopy doctor',
  about: 'Names the broken hop between production, test server and interception, before anything is copied.',
  notes: NOTES,
};
