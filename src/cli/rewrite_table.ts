/** `tsrewrite` as data: its options, which of them need or exclude which, and the notes of its help. */
import type { CommandTable } from './command_line.ts';
import { REWRITE_FILE_OPTIONS } from './rewrite_file_options.ts';
import { addRewriteOptions } from './rewrite_options.ts';
import type { Rule } from './rules.ts';

const RULES: readonly Rule[] = [
  { oneOf: ['cachefile', 'auto'], why: 'one of them says which side sent a packet' },
  { oneOf: ['shift-time', 'start-at'], why: 'time stamps are moved once' },
  { option: 'outfile-secondary', needs: ['cachefile', 'auto'], why: 'something must say which packets go there' },
  { option: 'endpoints', needs: ['cachefile', 'auto'], why: 'something must say which side sent a packet' },
  { option: 'fragdir', needs: ['fragroute'] },
  { option: 'fragdir', needs: ['cachefile', 'auto'], why: 'something must say which side sent a packet' },
  { option: 'fragroute-seed', needs: ['fragroute'] },
  { option: 'anonymize-payload', needs: ['anonymize'] },
  { option: 'anonymize-keep-oui', needs: ['anonymize'] },
  { option: 'decode', needs: ['verbose'] },
  { option: 'verbose', excludes: ['json'], why: 'the packets stand on standard output' },
  { option: 'oversize', excludes: ['mtu-trunc'], why: 'both say what becomes of packets above --mtu' },
];

const NOTES: readonly string[] = [
  `Client packets are the primary side of --cachefile or --auto, server packets the secondary one.`,
  `The report says how many packets were read, edited, unchanged and why, failed and why, left out, and written. It
   stands on standard output, on standard error where the capture is written to standard output.`,
  `Long names may be cut to a unique prefix, "_" stands for "-", values follow "=" or a blank.`,
  `Exit status: 0 everything asked for was done; 1 it ran, but some packets could not be edited as asked for, or the
   capture is damaged, or a file cannot be read or written; 2 the command line or a file it names is wrong; 3 the
        machine refused.`,
];

export const REWRITE_TABLE: CommandTable = {
  name: 'tsrewrite',
  about: 'Rewrites layers 2 to 4 of the packets of a capture, from file to file.',
  operands: '-i FILE -o FILE',
  groups: REWRITE_FILE_OPTIONS,
  rules: RULES,
  sections: ['TSREWRITE', 'TCPREWRITE'],
  extend: addRewriteOptions,
  notes: NOTES,
};
