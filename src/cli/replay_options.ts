/** The options of `tsreplay`, all but the rewriting ones: names as in tcpreplay, which they take the place of. */
import { DBUG_ROW, DECODE_ROW } from './common_rows.ts';
import type { OptionGroup } from './option_table.ts';
import { AUTO_ROWS } from './prep_auto.ts';
import { choice, decimal, hostPort, integer, packetList, positive, shard, text } from './values.ts';

const OUTPUT: OptionGroup = {
  heading: 'Where packets go',
  rows: [
    {
      name: 'intf1',
      short: 'i',
      value: 'NAME',
      parse: text,
      help: `Interface for all packets, or for the primary side of a split. A name that begins with tap or tun and
        does not exist yet is made for the run`,
      default: 'none; this or --write is needed',
    },
    {
      name: 'intf2',
      short: 'I',
      value: 'NAME',
      parse: text,
      help: 'Interface for the secondary side of a split; needs --cachefile, --auto or --dualfile',
    },
    {
      name: 'write',
      short: 'w',
      value: 'FILE',
      parse: text,
      help: 'Write the packets to a capture instead of an interface. All timing options hold; no rights are needed',
    },
    { name: 'listnics', help: 'Print the interfaces that can be named, and exit' },
    {
      name: 'backend',
      value: 'NAME',
      ours: true,
      parse: choice({
        af_packet: 'af_packet',
        af_xdp: 'af_xdp',
        tx_ring: 'tx_ring',
        raw_ip: 'raw_ip',
        raw_socket: 'raw_socket',
        libpcap: 'libpcap',
        tap: 'tap',
        tun: 'tun',
      }),
      help: `How packets get to the interface: af_packet (batches of sendmmsg), af_xdp (rings shared with the kernel),
        tx_ring, raw_ip (through the routing table and netfilter), raw_socket (the npm package), libpcap, tap, tun`,
      default: 'af_packet on Linux, at --topspeed its transmit ring; libpcap elsewhere; tap0, tun0: made if not there',
    },
    { name: 'xdp', help: 'Same as --backend af_xdp' },
    {
      name: 'xdp-batch-size',
      value: 'N',
      parse: integer(1, 4096),
      help: 'Frames handed over at once with --xdp. Pacing holds with any size',
      unit: 'frames',
      default: 'as many as are due, up to the ring',
    },
    { name: 'raw', help: 'Same as --backend raw_ip: IP packets pass routing and netfilter, link-layer headers do not' },
    {
      name: 'qdisc-bypass',
      ours: true,
      help: `Hand frames to the driver without the queueing discipline (PACKET_QDISC_BYPASS): faster with
        several queues, but no shaping, and captures on this host do not see them; af_packet and tx_ring only`,
    },
    {
      name: 'no-qdisc-bypass',
      ours: true,
      help: 'Send through the queueing discipline; af_packet and tx_ring only',
      default: 'this',
    },
    {
      name: 'oversize',
      value: 'POLICY',
      ours: true,
      parse: choice({ error: 'error', skip: 'skip', truncate: 'truncate', fragment: 'fragment', segment: 'segment' }),
      help: `What to do with packets longer than the interface takes: error (refuse before the first packet is sent),
        skip, truncate, fragment (IP), segment (TCP, as a network card does)`,
      default: 'error',
    },
    {
      name: 'loss',
      value: 'PERCENT',
      parse: decimal(0, '', 100),
      help: 'Leave out this share of the packets, chosen by --loss-seed; they are counted as skipped',
      unit: 'percent of packets',
      default: '0',
    },
    {
      name: 'loss-seed',
      value: 'N',
      ours: true,
      parse: integer(0, 0xffff_ffff),
      help: 'Seed of --loss: the same seed leaves out the same packets',
      default: '1',
    },
    {
      name: 'netmap',
      refusal:
        '--netmap is not supported, as netmap needs drivers of its own: use --xdp, which bypasses the stack as well',
    },
    { name: 'nm-delay', value: 'SEC', refusal: '--nm-delay belongs to netmap, which is not supported: use --xdp' },
    {
      name: 'io-uring',
      refusal:
        '--io-uring is not supported: packets are sent in sendmmsg batches already, and --xdp is faster than both',
    },
  ],
};

const SELECTION: OptionGroup = {
  heading: 'Which packets',
  rows: [
    {
      name: 'cachefile',
      short: 'c',
      value: 'FILE',
      parse: text,
      help: `Split by a tcpprep cache: for each packet number, --intf1, --intf2 or not sent. Numbers begin at 1 in each
        file and loop`,
    },
    ...AUTO_ROWS,
    {
      name: 'dualfile',
      short: '2',
      help: 'Merge the files two by two in time order: odd ones to --intf1, even ones to --intf2',
    },
    {
      name: 'include',
      value: 'LIST',
      parse: packetList,
      help: 'Only these packet numbers, as 1-5,9,72-; counted from 1 in each file, decimal',
      default: 'all',
    },
    { name: 'exclude', value: 'LIST', parse: packetList, help: 'All but these packet numbers', default: 'none' },
    {
      name: 'filter',
      value: 'EXPR',
      ours: true,
      parse: text,
      help: 'Only packets that match this pcap-filter expression, as tcpdump takes it',
      default: 'all',
    },
    {
      name: 'limit',
      short: 'L',
      value: 'N',
      parse: integer(1),
      help: 'Stop after N packets in total, over all files and loops',
      unit: 'packets',
      default: 'no limit',
    },
    {
      name: 'duration',
      value: 'SEC',
      parse: positive(),
      help: 'Stop this long after the first packet, in the middle of a gap too',
      unit: 'seconds',
      default: 'no limit',
    },
    {
      name: 'pktlen',
      help: 'Send the length that the packet had on the wire, filled with zeros behind what was captured',
    },
    {
      name: 'shard',
      value: 'i/N',
      ours: true,
      parse: shard,
      help: 'Send only share i of N shares of the flows; run 1/N to N/N on N machines to send all',
      default: '1/1',
    },
  ],
};

const MODES = {
  adaptive: 'adaptive',
  spin: 'spin',
  sleep: 'sleep',
  gtod: 'spin',
  nano: 'sleep',
  select: 'sleep',
  ioport: '!the CPU timer it names is no longer there: use --timer spin',
  abstime: '!it was withdrawn: use --timer sleep, which sleeps until absolute times',
};

const SPEED: OptionGroup = {
  heading: 'How fast (one of the first six)',
  rows: [
    {
      name: 'multiplier',
      short: 'x',
      value: 'N',
      parse: positive(': use --topspeed to send without waiting'),
      help: 'N times as fast as captured: 2 halves every gap, 0.5 doubles it',
      unit: 'times',
      default: '1.0',
    },
    {
      name: 'pps',
      short: 'p',
      value: 'N',
      parse: positive(),
      help: 'A constant packet rate; fractions are exact',
      unit: 'packets a second',
    },
    {
      name: 'mbps',
      short: 'M',
      value: 'N',
      parse: decimal(0),
      help: 'A constant bit rate, counting link-layer bytes without FCS, preamble and gap. 0 is --topspeed',
      unit: '1,000,000 bits a second',
    },
    { name: 'topspeed', short: 't', help: 'As fast as the interface takes them' },
    {
      name: 'oneatatime',
      short: 'o',
      help: 'Ask on standard input how many packets to send next; an empty line is one, the end of input stops',
    },
    {
      name: 'profile',
      value: 'FILE',
      ours: true,
      parse: text,
      help: `A rate that changes over time. YAML: "steps", a list of {pps|mbps|multiplier: N or {from: A, to: B}, for:
        30s}, and "repeat: true" to begin again; without repeat, a last step without "for" lasts until the end`,
    },
    {
      name: 'pps-multi',
      value: 'N',
      parse: integer(1),
      help: 'Send N packets at each due time of --pps, at the same average rate',
      unit: 'packets',
      default: '1',
    },
    {
      name: 'maxsleep',
      value: 'MS',
      parse: decimal(0),
      help: 'No wait longer than this: longer gaps are cut and everything after them moves forward. 0: no limit',
      unit: 'milliseconds',
      default: '0',
    },
    {
      name: 'timer',
      short: 'T',
      value: 'MODE',
      parse: choice(MODES),
      help: `How to wait: adaptive (sleep, then spin for the last microseconds), spin (one core at 100 %), sleep. The
        names gtod (spin), nano and select (sleep) are understood`,
      default: 'adaptive',
    },
    {
      name: 'realtime',
      ours: true,
      help: `Put the sending threads before all ordinary ones (SCHED_RR), so that a busy host does not make packets
        late. Needs CAP_SYS_NICE. At rates that keep a thread busy it holds a core`,
    },
    {
      name: 'start-at',
      value: 'TIME',
      ours: true,
      parse: text,
      help: `Send the first packet at this moment: ISO 8601, HH:MM:SS, seconds since 1970, or +10s from now`,
      default: 'at once',
    },
    {
      name: 'workers',
      value: 'N',
      ours: true,
      parse: integer(1, 64),
      help: 'Threads that send; flows are shared out by hash, and each flow keeps its order',
      default: '1',
    },
  ],
};

const LOOPS: OptionGroup = {
  heading: 'Loops',
  rows: [
    {
      name: 'loop',
      short: 'l',
      value: 'N',
      parse: integer(0),
      help: 'Send the whole list of files N times; 0 is for ever',
      unit: 'times',
      default: '1',
    },
    {
      name: 'loopdelay-ms',
      value: 'N',
      parse: integer(0),
      help: 'Wait between loops, not after the last',
      unit: 'milliseconds',
      default: '0',
    },
    {
      name: 'loopdelay-ns',
      value: 'N',
      parse: integer(0),
      help: 'Wait between loops, not after the last',
      unit: 'nanoseconds',
      default: '0',
    },
    {
      name: 'unique-ip',
      help: `New addresses in every loop after the first, so that each loop's flows are new ones; checksums stay true.
        Packets without addresses are sent as they are`,
    },
    {
      name: 'unique-ip-loops',
      value: 'N',
      parse: decimal(1),
      help: 'New addresses every N loops only',
      unit: 'loops',
      default: '1.0',
    },
    {
      name: 'preload-pcap',
      short: 'K',
      help: 'Read and edit all packets before the first is sent, and keep them in memory',
    },
  ],
};

const REPORTS: OptionGroup = {
  heading: 'Reports',
  rows: [
    { name: 'quiet', short: 'q', help: 'No live line while sending' },
    {
      name: 'stats',
      value: 'SEC',
      parse: decimal(0),
      help: `Print Actual and Rated lines every SEC seconds while sending; 0: after every loop (loops that end within 20
        milliseconds share a line)`,
      unit: 'seconds',
      default: 'at the end only',
    },
    { name: 'json', ours: true, help: 'Print one JSON object at the end instead of the text report' },
    {
      name: 'metrics-port',
      value: 'PORT',
      ours: true,
      parse: hostPort,
      help: `Serve Prometheus metrics at /metrics while sending. PORT may be HOST:PORT; port 0 takes a free one and
        names it`,
      default: 'off; HOST is 127.0.0.1',
    },
    { name: 'no-flow-stats', help: 'Do not count flows' },
    {
      name: 'flow-expiry',
      value: 'SEC',
      parse: integer(0),
      help: 'Count a flow anew after this much capture time without a packet of it; 0 is never',
      unit: 'seconds',
      default: '0',
    },
    { name: 'verbose', short: 'v', help: 'Print every packet sent, through tcpdump -n -l' },
    DECODE_ROW,
    { name: 'pid', short: 'P', help: 'Print the process id on standard error when starting' },
    { name: 'suppress-warnings', short: 'W', help: 'Print no warnings' },
    DBUG_ROW,
  ],
};

export const REPLAY_OPTIONS: readonly OptionGroup[] = [OUTPUT, SELECTION, SPEED, LOOPS, REPORTS];
