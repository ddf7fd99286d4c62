/** `tsprep` as data: its options, which of them need or exclude which, and the notes of its help. */
import type { CommandTable } from './command_line.ts';
import { PREP_OPTIONS } from './prep_options.ts';
import type { Rule } from './rules.ts';

const PRINTS = ['print-comment', 'print-info', 'print-stats'];

const RULES: readonly Rule[] = [
  { oneOf: ['auto', 'cidr', 'regex', 'port', 'mac'], why: 'packets are split in one way' },
  { oneOf: PRINTS, why: 'one thing is printed at a time' },
  { option: 'services', needs: ['port'] },
  { option: 'ratio', needs: ['auto'] },
  { option: 'minmask', needs: ['auto'] },
  { option: 'maxmask', needs: ['auto'] },
  { option: 'explain', excludes: ['port'], why: 'packets are judged one by one, by their port' },
  { option: 'explain', excludes: ['mac'], why: 'packets are judged one by one, by their MAC address' },
  { option: 'decode', needs: ['verbose'] },
  ...PRINTS.map((option): Rule => ({ option, excludes: ['cachefile'], why: 'a cache is printed or written' })),
];

const NOTES: readonly string[] = [
  `The primary side is the client's: packets that tsreplay sends out of --intf1. Captures are pcap or pcapng, either
   compressed with gzip or zstd; "-" is standard input. Packet numbers count from 1.`,
  `A capture that is cut or damaged gives a cache of the packets in front of the fault, and exit status 1.`,
  `Long names may be cut to a unique prefix, "_" stands for "-", values follow "=" or a blank; "--" ends the options.`,
  `Exit status: 0 the cache covers the whole capture; 1 it does not, or a file cannot be read or written; 2 the command
   line or a file it names is wrong; 3 the machine refused.`,
];

export const PREP_TABLE: CommandTable = {
  name: 'tsprep',
  about: 'Tells client packets from server packets in a capture, and writes a tcpprep cache (version 04).',
  operands: '[FILE|-]',
  groups: PREP_OPTIONS,
  rules: RULES,
  sections: ['TSPREP', 'TCPPREP'],
  notes: NOTES,
};
