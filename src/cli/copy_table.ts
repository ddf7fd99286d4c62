/** `tscopy` as data: its options, which of them need or exclude which, and the notes of its help. */
import type { CommandTable } from './command_line.ts';
import { COPY_OPTIONS } from './copy_options.ts';
import { TCPCOPY_OPTIONS } from './copy_peers.ts';
import type { Rule } from './rules.ts';

const RULES: readonly Rule[] = [
  { option: 'multiplier', needs: ['input'] },
  { option: 'loop', needs: ['input'] },
  { option: 'max-gap', needs: ['input'] },
  { option: 'input', excludes: ['interface'], why: 'sessions come from files or from an interface' },
  { oneOf: ['netns', 'pid'], why: 'there is one namespace' },
  { option: 'input', excludes: ['netns', 'pid'], why: 'files are in no namespace' },
  { option: 'tls-cert', needs: ['tls-key'] },
  { option: 'tls-key', needs: ['tls-cert'] },
];

const NOTES: readonly string[] = [
  `The bare "tscopy --target 10.0.0.9:80" copies every client's sessions with port 80 of this host to 10.0.0.9, from the
   clients' own addresses and ports. Replies of the target are swallowed by tsintercept there. "ready" on standard
   output
   says that copying has begun.`,
  `"tscopy doctor" with the same options looks along the path of a copy and names the hop that is broken. tscopy sends
   the same probe when it starts on live traffic, and refuses to start where replies reach clients.`,
  `Whatever the copied requests write, the test system gets a second time: keep its databases, mail and payments
   apart.`,
  `Signals: SIGTERM and SIGINT close the sessions in order, print the report and remove routing rules (a second one ends
   at once); SIGHUP reads --config again: percent, ramp, no-wait, reply-deadline, rtt and only-new change at once.`,
  `Exit status: 0 ended as asked; 1 a file could not be read, or requests in it were skipped; 2 the command line
   is
   wrong; 3 the machine refused.`,
];

export const COPY_TABLE: CommandTable = {
  name: 'tscopy',
  about: "Copies clients' live TCP sessions to a test server, source addresses unaltered.",
  operands: '',
  groups: COPY_OPTIONS,
  rules: RULES,
  sections: ['TSCOPY'],
  peers: TCPCOPY_OPTIONS,
  notes: NOTES,
};
