/** The options of `tsrewrite`, all but the rewriting ones: names as in tcprewrite, which they take the place of. */
import { DBUG_ROW, DECODE_ROW } from './common_rows.ts';
import type { OptionGroup } from './option_table.ts';
import { WORKERS_MAX } from './rewrite_limits.ts';
import { instant, signedDuration } from './rewrite_time.ts';
import { choice, integer, text } from './values.ts';

const FILES: OptionGroup = {
  heading: 'Files',
  rows: [
    {
      name: 'infile',
      short: 'i',
      value: 'FILE',
      parse: text,
      help: 'The capture to read: pcap or pcapng, either compressed with gzip or zstd; "-" is standard input',
      default: 'none; it is needed',
    },
    {
      name: 'outfile',
      short: 'o',
      value: 'FILE',
      parse: text,
      help: 'The capture to write; "-" is standard output. It is replaced where it exists',
      default: 'none; it is needed',
    },
    {
      name: 'outfile-secondary',
      value: 'FILE',
      ours: true,
      parse: text,
      help: `Write server packets (the secondary side of --cachefile or --auto) to this file instead. Packets that a
        cache says are not to be sent stay in --outfile`,
    },
    {
      name: 'cachefile',
      short: 'c',
      value: 'FILE',
      parse: text,
      help: `Tell client from server packets by a tcpprep cache. Packets that it says are not to be sent are written as
        they are`,
      default: 'all packets are client packets',
    },
    {
      name: 'auto',
      value: 'MODE',
      ours: true,
      parse: choice({ bridge: 'bridge', router: 'router', client: 'client', server: 'server', first: 'first' }),
      help: `Tell client from server packets by what hosts do, as tsprep --auto does; the capture is read twice. One of
        bridge, router, client, server, first`,
    },
    {
      name: 'format',
      value: 'pcap|pcapng|keep',
      ours: true,
      parse: choice({ pcap: 'pcap', pcapng: 'pcapng', keep: 'keep' }),
      help: 'Format of the files written; keep is that of --infile',
      default: 'pcap',
    },
    {
      name: 'ts',
      value: 'us|ns|keep',
      ours: true,
      parse: choice({ us: 'us', ns: 'ns', keep: 'keep' }),
      help: 'Resolution of the time stamps written: microseconds, nanoseconds, or that of --infile',
      default: 'keep',
    },
    {
      name: 'oversize',
      value: 'POLICY',
      ours: true,
      parse: choice({ error: 'error', skip: 'skip', truncate: 'truncate', fragment: 'fragment', segment: 'segment' }),
      help: `What becomes of packets whose layer 3 is longer than --mtu: error (stop), skip, truncate, fragment (IP),
        segment (TCP, as a network card does; other IP packets are fragmented)`,
      default: 'they stay as they are',
    },
    {
      name: 'workers',
      value: 'N',
      ours: true,
      parse: integer(1, WORKERS_MAX),
      help: `Threads that edit. Packets keep their order. They share the work where --infile is a pcap file in this
        machine's byte order and packets do not grow; otherwise one does it all`,
      unit: 'threads',
      default: '1',
    },
  ],
};

const TIME: OptionGroup = {
  heading: 'Time stamps',
  rows: [
    {
      name: 'shift-time',
      value: '+TIME|-TIME',
      ours: true,
      parse: signedDuration,
      help: 'Move all time stamps: seconds, or a number with ns, us, ms, s, m, h or d',
      default: '0',
    },
    {
      name: 'start-at',
      value: 'TIME',
      ours: true,
      parse: instant,
      help: `Move all time stamps so that the first packet gets this one: ISO 8601 (local time where it names no zone),
        or seconds since 1970`,
    },
  ],
};

const FRAGROUTE: OptionGroup = {
  heading: 'Fragroute: packets an attacker would send',
  rows: [
    {
      name: 'fragroute',
      value: 'FILE',
      parse: text,
      help: `Pass packets through the rules in FILE, one directive a line: delay, drop, dup, echo, ip_chaff, ip_frag,
        ip_opt, ip_tos, ip_ttl, ip6_opt, ip6_qos, order, print, tcp_chaff, tcp_opt,
        tcp_seg. Packets without IP pass unchanged`,
    },
    {
      name: 'fragdir',
      value: 'c2s|s2c|both',
      parse: choice({ c2s: 'c2s', s2c: 's2c', both: 'both' }),
      help: 'Pass only client packets, only server packets, or both through --fragroute',
      default: 'both',
    },
    {
      name: 'fragroute-seed',
      value: 'N',
      ours: true,
      parse: integer(0, 0xffff_ffff),
      help: 'Seed of what --fragroute chooses: the same seed gives the same packets',
      default: '1',
    },
  ],
};

const PRIVACY: OptionGroup = {
  heading: 'Privacy',
  rows: [
    {
      name: 'anonymize',
      value: 'KEYFILE',
      ours: true,
      parse: text,
      help: `Replace addresses in everything that is written, after all other edits: IPv4 and IPv6 keeping common
        prefixes (Crypto-PAn), MAC addresses, in quoted packets and tunnels, too. The file has a key of 32 bytes
        (head -c 32 /dev/urandom): the same key, the same addresses`,
    },
    {
      name: 'anonymize-payload',
      value: 'POLICY',
      ours: true,
      parse: choice({ keep: 'keep', zero: 'zero', cut: 'cut' }),
      help: `What becomes of what stands behind the transport header: keep, zero (same length) or cut. Checksums are
        kept true`,
      default: 'zero',
    },
    { name: 'anonymize-keep-oui', ours: true, help: "Keep the maker's part of MAC addresses" },
  ],
};

const FAULTS: OptionGroup = {
  heading: 'What cannot be done, and reports',
  rows: [
    {
      name: 'skip-soft-errors',
      help: 'Leave packets out that cannot be edited as asked for, instead of writing them as they are',
    },
    {
      name: 'strict',
      ours: true,
      help: 'Exit with status 1 also where packets were left out or alone because they could not be edited',
    },
    {
      name: 'compat',
      value: 'tcprewrite|none',
      ours: true,
      parse: choice({ tcprewrite: 'tcprewrite', none: 'none' }),
      help: `tcprewrite: the bytes that tcprewrite writes, also where they are odd without spoiling a packet. none: the
        oddities listed in docs/tsrewrite.md are gone`,
      default: 'tcprewrite',
    },
    { name: 'json', ours: true, help: 'Print one JSON object at the end instead of the text report' },
    { name: 'quiet', short: 'q', ours: true, help: 'Print no report where everything was done' },
    { name: 'verbose', short: 'v', help: 'Print every packet written, through tcpdump -n -l' },
    DECODE_ROW,
    { name: 'suppress-warnings', short: 'w', help: 'Print no warnings' },
    DBUG_ROW,
  ],
};

export const REWRITE_FILE_OPTIONS: readonly OptionGroup[] = [FILES, TIME, PRIVACY, FRAGROUTE, FAULTS];
