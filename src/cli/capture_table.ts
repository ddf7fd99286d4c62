/** `tscap` as data: its options, which of them need or exclude which, and the notes of its help. */
import { CAPTURE_OPTIONS } from './capture_options.ts';
import { TCPDUMP_OPTIONS } from './capture_peers.ts';
import type { CommandTable } from './command_line.ts';
import type { Rule } from './rules.ts';

const LIVE_ONLY = 'a capture file is read as it is';

const RULES: readonly Rule[] = [
  { oneOf: ['interface', 'read'], why: 'packets come from interfaces or from captures' },
  { oneOf: ['netns', 'pid'], why: 'there is one namespace' },
  {
    option: 'read',
    excludes: [
      'backend',
      'netns',
      'pid',
      'no-promiscuous-mode',
      'direction',
      'buffer-size',
      'time-stamp-type',
      'workers',
    ],
    why: LIVE_ONLY,
  },
  { option: 'merge', needs: ['read'] },
  { option: 'ring-buffer', excludes: ['file-size', 'rotate-seconds', 'file-count'], why: 'files are named in one way' },
  { option: 'file-count', needs: ['file-size', 'rotate-seconds'] },
  { option: 'anonymize-payload', needs: ['anonymize'] },
  { option: 'anonymize-keep-oui', needs: ['anonymize'] },
  { oneOf: ['hex', 'hex-ascii', 'ascii'], why: 'a packet is dumped in one way' },
  { option: 'print', excludes: ['json'], why: 'the packets stand on standard output' },
  { option: 'max-disk-stop', needs: ['max-disk'] },
  ...[
    'format',
    'file-size',
    'rotate-seconds',
    'ring-buffer',
    'compress',
    'max-disk',
    'index',
    'postrotate-command',
    'keep-page-cache',
  ].map((option): Rule => ({ option, needs: ['write'] })),
];

const NOTES: readonly string[] = [
  `Operands are the words of a filter in libpcap's language (man pcap-filter): tscap -i eth1 -w prod.pcap tcp port
   80. On interfaces it is compiled by libpcap and run by the kernel, attached before the first packet comes in; on
   captures it is run here.`,
  `Frames of 768 bytes and more go from the kernel's ring to the file with writev, without a copy in this process;
   shorter ones are copied once, which is cheaper for them, and so is everything with --compress, several
   interfaces, --backend libpcap and cap.`,
  `Packets of several interfaces are written in the order of their stamps: they wait for each other, 40 ms at most,
   and not where the kernel's buffer is filling, so that none is lost for the sake of order. Workers write files of
   their own, each in order; tscap -r with --merge makes one of them.`,
  `Signals: SIGINT and SIGTERM end the capture, all that was received is written first; a second one ends at once.
   SIGHUP begins the next file, SIGUSR1 prints the counts, SIGUSR2 writes what is buffered. A killed capture leaves
   files that are valid up to their last record.`,
  `Counted apart: received = written + filtered + shed + dropped by the kernel + not written (disk full, compressor
   behind). Dropped by the interface were never received. --json prints exactly received, dropped (kernel,
   interface, shed), written, bytes, seconds, files; "shed" is there all that tscap itself did not write.`,
  `Exit status: 0 the capture ended as asked; 1 an interface or a file broke on the way, or --strict and packets
   were dropped; 2 the command line or the filter is wrong; 3 the machine refused (permission, interface).`,
];

export const CAPTURE_TABLE: CommandTable = {
  name: 'tscap',
  about: 'Captures packets without loss, straight from the ring of the kernel to the disk.',
  operands: '[FILTER ...]',
  groups: CAPTURE_OPTIONS,
  rules: RULES,
  sections: ['TSCAP'],
  peers: TCPDUMP_OPTIONS,
  notes: NOTES,
};
