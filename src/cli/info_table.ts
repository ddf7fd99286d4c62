/** `tsinfo` as data: its options, which of them exclude which, and the notes of its help. */
import type { CommandTable } from './command_line.ts';
import type { OptionGroup } from './option_table.ts';
import { integer, text } from './values.ts';

export const MTU_DEFAULT = 1500;
export const TOP_DEFAULT = 10;

const REPORT: OptionGroup = {
  heading: 'What is printed',
  rows: [
    { name: 'json', help: 'Print one JSON object instead of the text' },
    {
      name: 'html',
      value: 'FILE',
      parse: text,
      help: 'Write a report with charts as one HTML page that needs no network, besides what is printed',
    },
    {
      name: 'dump',
      help: 'Print the structure of pcap files as tcpcapinfo does: file header, then a line for each record',
    },
    {
      name: 'quiet',
      short: 'q',
      help: 'Print only whether the captures can be replayed as they are, a line for each obstacle',
    },
  ],
};

const DETAILS: OptionGroup = {
  heading: 'Details',
  rows: [
    {
      name: 'mtu',
      short: 'm',
      value: 'BYTES',
      parse: integer(68, 262_144),
      help: 'Longest IP packet that the network takes; longer ones are counted as oversize',
      unit: 'bytes of IP packet',
      default: String(MTU_DEFAULT),
    },
    {
      name: 'top',
      value: 'N',
      parse: integer(0, 10_000),
      help: 'How many hosts, and how many ports, are listed',
      unit: 'lines',
      default: String(TOP_DEFAULT),
    },
  ],
};

const NOTES: readonly string[] = [
  `Operands are capture files (pcap, pcapng, either compressed with gzip or zstd); "-" is standard input. A directory
   stands for every capture below it. --dump takes plain pcap files only, as it shows bytes as they stand.`,
  `A capture that is cut or damaged is described up to the fault, which is named with its place.`,
  `Long names may be cut to a unique prefix, "_" stands for "-", values follow "=" or a blank; "--" ends the options.`,
  `Exit status: 0 all captures were read to their end; 1 one was not, or a file cannot be read or written; 2 the command
   line is wrong; 3 the machine refused.`,
];

export const INFO_TABLE: CommandTable = {
  name: 'tsinfo',
  about: 'Describes captures, checks them, and says whether they can be replayed as they are.',
  operands: 'FILE|DIRECTORY|- ...',
  groups: [REPORT, DETAILS],
  rules: [
    { oneOf: ['json', 'dump', 'quiet'], why: 'standard output holds one of them' },
    { option: 'dump', excludes: ['html', 'mtu', 'top'], why: 'a dump looks into no packet' },
  ],
  sections: ['TSINFO', 'TCPCAPINFO'],
  notes: NOTES,
};
