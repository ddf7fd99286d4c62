/** `tsreplay` as data: its options, which of them need or exclude which, and the notes of its help. */
import type { CommandTable } from './command_line.ts';
import { REPLAY_OPTIONS } from './replay_options.ts';
import { addRewriteOptions } from './rewrite_options.ts';
import type { Rule } from './rules.ts';

const ONE_DESTINATION = 'a packet goes to one place';

const RULES: readonly Rule[] = [
  {
    oneOf: ['multiplier', 'pps', 'mbps', 'topspeed', 'oneatatime', 'profile'],
    why: 'a replay has one speed',
  },
  { oneOf: ['loopdelay-ms', 'loopdelay-ns'], why: 'there is one delay between loops' },
  { oneOf: ['cachefile', 'auto', 'dualfile'], why: 'packets are split in one way' },
  { oneOf: ['include', 'exclude'], why: 'leave the excluded numbers out of --include' },
  { oneOf: ['xdp', 'raw', 'backend'], why: 'packets take one way to the interface' },
  { option: 'write', excludes: ['intf1', 'intf2'], why: ONE_DESTINATION },
  { option: 'write', excludes: ['xdp', 'raw', 'backend'], why: 'a file needs no way to an interface' },
  { option: 'write', excludes: ['qdisc-bypass', 'no-qdisc-bypass'], why: 'a file has no queueing discipline' },
  { option: 'intf2', needs: ['intf1'] },
  { option: 'intf2', needs: ['cachefile', 'auto', 'dualfile'], why: 'something must say which packets go there' },
  { option: 'cachefile', needs: ['intf2'], why: 'the secondary packets need an interface' },
  { option: 'auto', needs: ['intf2'], why: 'the secondary packets need an interface' },
  ...['ratio', 'minmask', 'maxmask', 'nonip'].map((option): Rule => ({ option, needs: ['auto'] })),
  { option: 'dualfile', needs: ['intf2'], why: 'the even files need an interface' },
  { option: 'pps-multi', needs: ['pps'] },
  { option: 'xdp-batch-size', needs: ['xdp', 'backend'] },
  { option: 'loopdelay-ms', needs: ['loop'] },
  { option: 'loopdelay-ns', needs: ['loop'] },
  { option: 'unique-ip', needs: ['loop'] },
  { option: 'unique-ip', excludes: ['seed', 'fuzz-seed'], why: 'both would choose the addresses' },
  { option: 'unique-ip-loops', needs: ['unique-ip'] },
  { option: 'flow-expiry', excludes: ['no-flow-stats'], why: 'flows that are not counted do not expire' },
  { option: 'verbose', excludes: ['workers'], why: 'packets are printed in the order of one worker' },
  { option: 'decode', needs: ['verbose'] },
  { option: 'loss-seed', needs: ['loss'] },
  { option: 'oneatatime', excludes: ['json'], why: 'its questions stand on standard output' },
  { option: 'verbose', excludes: ['json'], why: 'the packets stand on standard output' },
  { option: 'stats', excludes: ['json'], why: 'the JSON object stands alone on standard output' },
  { option: 'oneatatime', excludes: ['workers', 'start-at'], why: 'the operator says when' },
  // Of the rewriting options, those that have to do with a replay; the others are checked with their values.
  { option: 'endpoints', needs: ['cachefile', 'auto'], why: 'something must say which side sent a packet' },
  { option: 'mtu', needs: ['mtu-trunc'], why: 'a limit alone changes nothing' },
];

const NOTES: readonly string[] = [
  `Operands are capture files (pcap, pcapng, either compressed with gzip or zstd), sent in the order given; "-" is
   standard input. A directory stands for every capture below it in the order of names, symbolic links followed; what
   is no capture there is skipped with a warning.`,
  `Long names may be cut to a unique prefix, "_" stands for "-", values follow "=" or a blank; "--" ends the options.`,
  `Signals: SIGINT and SIGTERM stop and report; SIGUSR1 pauses, SIGCONT resumes, and the schedule moves by the pause.`,
  `Exit status: 0 everything asked for left; 1 it ran, but not everything left; 2 the command line or a file it names is
   wrong; 3 the machine refused (permission, interface); 130 interrupted.`,
];

export const REPLAY_TABLE: CommandTable = {
  name: 'tsreplay',
  about: 'Sends captures from an interface, as recorded, faster or slower, rewriting packets on the way.',
  operands: 'FILE|DIRECTORY|- ...',
  groups: REPLAY_OPTIONS,
  rules: RULES,
  sections: ['TSREPLAY', 'TCPREPLAY'],
  extend: addRewriteOptions,
  notes: NOTES,
};
