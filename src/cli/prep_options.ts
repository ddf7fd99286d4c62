/** The options of `tsprep`: names as in tcpprep, which it takes the place of. */
import { DECODE_ROW } from './common_rows.ts';
import type { OptionGroup } from './option_table.ts';
import { AUTO_MODES } from './prep_auto.ts';
import { addressList, macList, packetRule } from './prep_values.ts';
import { choice, decimal, integer, text } from './values.ts';

const MODES: OptionGroup = {
  heading: 'How packets are split (one of these)',
  rows: [
    {
      name: 'auto',
      short: 'a',
      value: 'MODE',
      parse: choice(AUTO_MODES),
      help: `Judge each host by its traffic: who opens TCP connections and asks DNS is a client, who accepts and answers
        is a server. Hosts that do neither: client (mode client), server (bridge and server), server if they lie in the
        network of a server (router). Mode first: client if first seen as a source, server if as a destination`,
    },
    {
      name: 'cidr',
      short: 'c',
      value: 'LIST',
      parse: addressList,
      help: `Packets from these addresses are primary, as 10.0.0.0/8,192.168.1.1 or 2001:db8::/32, [2001:db8::1]; others
        are secondary`,
    },
    {
      name: 'regex',
      short: 'r',
      value: 'ERE',
      parse: text,
      help: 'Packets whose source address, as text, matches this POSIX extended expression are primary',
    },
    {
      name: 'port',
      short: 'p',
      help: 'TCP and UDP packets to a service port are primary; packets of other protocols are as --nonip says',
    },
    {
      name: 'mac',
      short: 'e',
      value: 'LIST',
      parse: macList,
      help: 'Packets from these MAC addresses are primary, as 00:1f:f3:3c:e1:13,00:22:33:44:55:66',
    },
    { name: 'reverse', help: 'Swap the sides: what would be primary is secondary. Packets without an IP header stay' },
  ],
};

const DETAILS: OptionGroup = {
  heading: 'Details of the split',
  rows: [
    {
      name: 'services',
      short: 's',
      value: 'FILE',
      parse: text,
      help: 'Service ports of --port, in the format of /etc/services; replaces the default',
      default: 'ports 0 to 1023 of TCP and UDP',
    },
    {
      name: 'nonip',
      short: 'N',
      help: `Packets without an IP header are primary instead of secondary. In mode router unknown hosts are then
        secondary instead of primary`,
    },
    {
      name: 'ratio',
      short: 'R',
      value: 'N',
      parse: decimal(0),
      help: 'A host is a server when it acted as one at least N times as often as as a client',
      unit: 'times',
      default: '2.0',
    },
    {
      name: 'minmask',
      short: 'm',
      value: 'N',
      parse: integer(0, 32),
      help: 'Mode router: longest prefix of a server network; four times as long for IPv6',
      unit: 'bits',
      default: '30',
    },
    {
      name: 'maxmask',
      short: 'M',
      value: 'N',
      parse: integer(0, 32),
      help: 'Mode router: shortest prefix of a server network; less than --minmask; four times as long for IPv6',
      unit: 'bits',
      default: '8',
    },
    {
      name: 'include',
      short: 'x',
      value: 'RULE',
      parse: packetRule,
      help: `Only these packets are to be sent: S:LIST by source, D:LIST by destination, B:LIST by both, E:LIST by
        either, P:1-5,9,72- by number, F:EXPR by a pcap filter. Address rules pass packets without an IP header`,
      default: 'all',
    },
    {
      name: 'exclude',
      short: 'X',
      value: 'RULE',
      parse: packetRule,
      help: 'All but these packets are to be sent; rules as for --include',
      default: 'none',
    },
    {
      name: 'compat',
      value: 'TOOL',
      ours: true,
      parse: choice({ tcpprep: 'tcpprep' }),
      help: `tcpprep: the bytes of tcpprep 4.5, defects included: --auto takes all IPv6 hosts for one, ECN bits hide a
        SYN, mode router knows no networks, --reverse makes every packet secondary with --regex and does nothing
        with --auto and --port`,
    },
  ],
};

const FILES: OptionGroup = {
  heading: 'Files',
  rows: [
    { name: 'pcap', short: 'i', value: 'FILE', parse: text, help: 'The capture; may stand without -i' },
    { name: 'cachefile', short: 'o', value: 'FILE', parse: text, help: 'The cache to write' },
    { name: 'comment', short: 'C', value: 'TEXT', parse: text, help: 'Keep TEXT in the cache' },
    { name: 'no-arg-comment', help: 'Do not keep the command line in the cache' },
  ],
};

const REPORTS: OptionGroup = {
  heading: 'Reports',
  rows: [
    {
      name: 'explain',
      ours: true,
      help: `Print for each host how it was judged and why; for --auto, --cidr and --regex. Works without --cachefile
        too`,
    },
    { name: 'print-comment', short: 'P', value: 'CACHE', parse: text, help: 'Print the comment of a cache, and exit' },
    {
      name: 'print-info',
      short: 'I',
      value: 'CACHE',
      parse: text,
      help: 'Print what a cache says of each packet, and exit',
    },
    { name: 'print-stats', short: 'S', value: 'CACHE', parse: text, help: 'Print the counts of a cache, and exit' },
    { name: 'verbose', short: 'v', help: 'Print every packet, through tcpdump -n -l' },
    DECODE_ROW,
    { name: 'suppress-warnings', short: 'w', help: 'Print no warnings' },
    {
      name: 'dbug',
      short: 'd',
      value: 'LEVEL',
      parse: integer(0, 5),
      help: 'Print what was understood: from 1 on the plan as JSON on standard error',
      default: '0',
    },
  ],
};

export const PREP_OPTIONS: readonly OptionGroup[] = [MODES, DETAILS, FILES, REPORTS];
