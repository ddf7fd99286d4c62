/** The options of `tscap`: names as in tcpdump, whose place it takes, and dumpcap's where tcpdump has none. */
import { namespaceRows } from './namespace_options.ts';
import type { OptionGroup } from './option_table.ts';
import { choice, decimal, durationNs, hostPort, integer, text, usage, type ValueParser } from './values.ts';

const TIMES = Number.POSITIVE_INFINITY;
const UNITS: Readonly<Record<string, number>> = { '': 1, k: 1024, m: 1024 ** 2, g: 1024 ** 3, t: 1024 ** 4 };

/** `20G`, `512M`, `1000` (bytes). `plainBytes`: what a number without a unit counts in. */
export function byteSize(plainBytes: number, min: number): ValueParser {
  return (value: string, option: string): number => {
    const match = /^(\d+\.?\d*|\.\d+)\s*([kmgt]?)(?:i?b)?$/i.exec(value.trim());
    const unit = match?.[2]?.toLowerCase() ?? '';
    const bytes = Math.round(Number(match?.[1]) * (unit === '' ? plainBytes : UNITS[unit]!));
    if (match === null || !(bytes >= min)) {
      const least = min >= 1 << 20 ? `${min >> 20}M` : `${min >> 10}K`;
      throw usage(`${option} needs a size like 100M or 20G, ${least} at least, not "${value}"`);
    }
    return bytes;
  };
}

/** `30`, `10s`, `5m`, `1h` as milliseconds. */
export function milliseconds(value: string, option: string): number {
  const ms = Math.round(durationNs(value) / 1e6);
  if (!(ms >= 1)) throw usage(`${option} needs a time like 60, 10s, 5m or 1h, not "${value}"`);
  return ms;
}

/** Counted down in 32 bits, by all workers. */
export const PACKETS_MAX = 2_000_000_000;

const SOURCE: OptionGroup = {
  heading: 'Where packets come from',
  rows: [
    {
      name: 'interface',
      short: 'i',
      value: 'NAME',
      parse: text,
      timesMax: TIMES,
      help: `Interface to capture on; "any" is all of them, with the interface of each packet in its header
        (LINUX_SLL2). Repeatable: several interfaces go into one pcapng file, in the order of time`,
      default: 'the first interface that is up and no loopback',
    },
    {
      name: 'read',
      short: 'r',
      value: 'FILE',
      parse: text,
      timesMax: TIMES,
      help: `Read a capture instead (pcap, pcapng, gzip, zstd); "-" is standard input. With -w it is filtered and
        converted. Repeatable: one after the other`,
    },
    { name: 'merge', help: 'Captures of several -r in the order of time: one file of what --workers wrote' },
    {
      name: 'backend',
      value: 'NAME',
      parse: choice({ af_packet: 'af_packet', libpcap: 'libpcap', cap: 'cap' }),
      help: `How packets come in. af_packet: the kernel's ring (TPACKET_V3), read where it lies. libpcap: any
        platform; a call and a copy for each packet. cap: the npm package, if it is installed (npm rebuild cap
        builds it; needs g++ and libpcap-dev); its limits: no stamps of the kernel, no drop counts, no -s or -Q
        in the kernel, always promiscuous, main thread only, and the whole process ends when the interface goes
        down; a buffer of 64 MiB at least is used`,
      default: 'af_packet on Linux, else libpcap',
    },
    {
      name: 'list-interfaces',
      short: 'D',
      help: 'Print the interfaces with state, speed, MTU, addresses and offloads, and exit',
    },
    { name: 'list', help: 'Same as --list-interfaces' },
    ...namespaceRows('Capture'),
    {
      name: 'no-promiscuous-mode',
      short: 'p',
      help: 'Leave the interface as it is: frames for other stations are not asked for',
    },
    {
      name: 'direction',
      short: 'Q',
      value: 'DIRECTION',
      parse: choice({ in: 'in', out: 'out', inout: 'inout' }),
      help: 'Only packets that arrive (in) or that leave (out)',
      default: 'inout',
    },
    {
      name: 'filter-file',
      short: 'F',
      value: 'FILE',
      parse: text,
      help: 'Read the filter from a file instead of the operands',
    },
    {
      name: 'snapshot-length',
      short: 's',
      value: 'BYTES',
      parse: integer(0, 262_144),
      help: 'Keep so many bytes of each packet, cut in the kernel; 0 is the most',
      unit: 'bytes',
      default: '262144',
    },
    {
      name: 'buffer-size',
      short: 'B',
      value: 'KIB',
      parse: integer(1024, 4 * 1024 * 1024),
      help: 'Memory of the kernel for packets that wait to be written, for each interface and worker',
      unit: 'KiB',
      default: '65536',
    },
    {
      name: 'time-stamp-type',
      short: 'j',
      value: 'TYPE',
      parse: choice({ host: 'host', adapter: 'adapter', adapter_unsynced: 'adapter_unsynced' }),
      help: 'Whose stamps: host (the kernel), adapter (the network card, where it has any), adapter_unsynced',
      default: 'host',
    },
    {
      name: 'workers',
      value: 'N',
      parse: integer(1, 64),
      help: `Threads that share the packets, both directions of a connection on the same one (PACKET_FANOUT_HASH).
        Each writes files of its own: prod.pcap becomes prod.w1.pcap, prod.w2.pcap`,
      default: '1',
    },
  ],
};

const FILES: OptionGroup = {
  heading: 'Where packets go',
  rows: [
    {
      name: 'write',
      short: 'w',
      value: 'FILE',
      parse: text,
      help: 'Write packets to a capture; "-" is standard output. Without it, they are printed',
      default: 'none: packets are printed',
    },
    {
      name: 'format',
      value: 'FORMAT',
      parse: choice({ pcap: 'pcap', pcapng: 'pcapng' }),
      help: 'pcap, or pcapng with interface names, the filter and statistics',
      default: 'pcapng for a name that ends so or several interfaces, else pcap',
    },
    {
      name: 'time-stamp-precision',
      value: 'PRECISION',
      parse: choice({ nano: 'nano', micro: 'micro' }),
      help: 'Digits of stamps in the file: nano or micro',
      default: 'nano',
    },
    {
      name: 'packet-buffered',
      short: 'U',
      help: 'Write each packet as soon as it comes, not when a buffer is full or a second has passed',
    },
    {
      name: 'file-size',
      short: 'C',
      value: 'SIZE',
      parse: byteSize(1_000_000, 1024),
      help: `Begin the next file when one has become larger; a number alone counts millions of bytes, K, M, G are
        powers of 1024`,
    },
    {
      name: 'rotate-seconds',
      short: 'G',
      value: 'SEC',
      parse: integer(1, 86_400 * 366),
      help: `Begin the next file after so many seconds; the name may hold strftime fields (%Y%m%d-%H%M%S). A name that
        comes again is written over, as by tcpdump`,
      unit: 'seconds',
      default: 'never',
    },
    {
      name: 'file-count',
      short: 'W',
      value: 'N',
      parse: integer(1, 1_000_000),
      help: 'With -C: use the names of so many files again and again. With -G alone: end after so many files',
    },
    {
      name: 'ring-buffer',
      short: 'b',
      value: 'NAME:VALUE',
      parse: text,
      timesMax: TIMES,
      help: `Rotation as in dumpcap: filesize:KB, duration:SEC, interval:SEC, packets:N, files:N (the oldest is
        removed). Names become prod_00001_20240131235959.pcap`,
    },
    {
      name: 'compress',
      value: 'CODEC[:LEVEL]',
      parse: text,
      help: `zstd[:1-19] or gzip[:1-9], on a thread of its own; where it cannot keep up, packets are shed and counted`,
      default: 'none; zstd:3, gzip:6',
    },
    {
      name: 'max-disk',
      value: 'SIZE',
      parse: byteSize(1, 1 << 20),
      help: `The files of this run never take more together. With -C, -G or -b the oldest is removed, and a file is a
        quarter of SIZE at most where they allow more than half; a single file is written no further, which is told,
        and packets are counted`,
    },
    {
      name: 'max-disk-stop',
      help: 'At --max-disk, write no more instead of removing the oldest file; packets are counted',
    },
    {
      name: 'postrotate-command',
      short: 'z',
      value: 'PROGRAM',
      parse: text,
      help: `Run this program on each finished file, the last one too, beside the capture at the lowest priority: -z
        gzip. It gets the file's name as its one argument`,
    },
    { name: 'index', value: 'FILE', parse: text, help: 'Append a JSON line for each finished or removed file' },
    {
      name: 'keep-page-cache',
      help: `Leave written pages in the page cache. Without it they are dropped, so that days of capture push nothing
        out`,
    },
  ],
};

const PRINTING: OptionGroup = {
  heading: 'Lines of text, where nothing is written (or with --print)',
  rows: [
    { name: 'print', help: 'Print packets though they are written to a file as well' },
    {
      name: 'numeric',
      short: 'n',
      timesMax: 3,
      help: 'Addresses and ports as numbers. That is always so: no name server is asked',
    },
    { name: 'number', short: '#', help: 'Print the number of the packet in front of its line' },
    {
      name: 'line-buffered',
      short: 'l',
      help: 'Lines leave as packets come. That is always so, also into a pipe',
    },
    { name: 'link-header', short: 'e', help: 'Print the link-layer header' },
    {
      name: 'verbose',
      short: 'v',
      timesMax: 3,
      help: 'Print IP header fields and whether checksums hold; twice: more',
    },
    {
      name: 'hex',
      short: 'x',
      timesMax: 2,
      help: 'Print the packet in hexadecimal; twice: with the link-layer header',
    },
    {
      name: 'hex-ascii',
      short: 'X',
      timesMax: 2,
      help: 'Print the packet in hexadecimal and ASCII; twice: with the link-layer header',
    },
    { name: 'ascii', short: 'A', timesMax: 2, help: 'Print the packet as text; twice: with the link-layer header' },
    { name: 'absolute-sequence-numbers', short: 'S', help: 'Print TCP sequence numbers as they are, not from 1 on' },
    {
      name: 'time',
      short: 't',
      timesMax: 5,
      help: `Time of a line: -t none, -tt seconds since 1970, -ttt since the line before, -tttt with the date, -ttttt
        since the first line`,
      default: 'the time of day',
    },
  ],
};

const ANONYMIZING: OptionGroup = {
  heading: 'Without the people in it',
  rows: [
    {
      name: 'anonymize',
      value: 'KEYFILE',
      parse: text,
      help: `Replace addresses before anything is written: IPv4 and IPv6 keeping common prefixes (Crypto-PAn), MAC
        addresses, in quoted packets, too. The file has a key of 32 bytes (head -c 32 /dev/urandom): the same
        key, the same addresses`,
    },
    {
      name: 'anonymize-payload',
      value: 'POLICY',
      parse: choice({ keep: 'keep', zero: 'zero', cut: 'cut' }),
      help: `What becomes of what stands behind the transport header: keep, zero (same length) or cut. Checksums are
        kept true`,
      default: 'zero',
    },
    { name: 'anonymize-keep-oui', help: "Keep the maker's part of MAC addresses" },
  ],
};

const LIMITS: OptionGroup = {
  heading: 'When it ends, and what it may use',
  rows: [
    {
      name: 'count',
      short: 'c',
      value: 'N',
      parse: integer(1, PACKETS_MAX),
      unit: 'packets',
      default: 'no end',
      help: 'End after N packets',
    },
    {
      name: 'duration',
      value: 'TIME',
      parse: milliseconds,
      help: 'End after a time: 60 (seconds), 10s, 5m, 1h',
      default: 'no end',
    },
    {
      name: 'autostop',
      short: 'a',
      value: 'NAME:VALUE',
      parse: text,
      timesMax: TIMES,
      help: 'End as in dumpcap: duration:SEC or packets:N',
    },
    {
      name: 'cpu-limit',
      value: 'PERCENT',
      parse: decimal(1, '', 6400),
      help: `Share of one processor that this process may use; above it packets are given up unread, and counted as
        shed`,
      unit: 'percent',
      default: 'no limit',
    },
    {
      name: 'user',
      short: 'Z',
      value: 'NAME',
      parse: text,
      help: 'Become this user once the interfaces are open, before the first file is',
      default: 'stay who you are',
    },
  ],
};

const SHOWING: OptionGroup = {
  heading: 'What is shown',
  rows: [
    { name: 'json', help: 'Print the report as one JSON object on standard output' },
    { name: 'strict', help: 'Exit with status 1 if a packet was dropped anywhere' },
    { name: 'quiet', help: 'No live line and no report' },
    {
      name: 'metrics-port',
      value: '[HOST:]PORT',
      parse: hostPort,
      help: 'Serve Prometheus metrics at /metrics; port 0 is any free one',
      default: 'none; HOST is 127.0.0.1',
    },
  ],
};

export const CAPTURE_OPTIONS: readonly OptionGroup[] = [SOURCE, FILES, PRINTING, ANONYMIZING, LIMITS, SHOWING];
