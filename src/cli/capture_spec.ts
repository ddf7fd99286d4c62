/** Options of `tscap` to what the engine is to do. */

import { PRINT_DEFAULTS, type PrintOptions } from '../capture/print/index.ts';
import type { SessionSpec } from '../capture/session.ts';
import type { RotationSpec } from '../capture/sink/sink.ts';
import type { CaptureOptions } from '../capture/spec.ts';
import type { CaptureBackend, Direction, StampSource } from '../device/capture_source.ts';
import { type AnonymizeSpec, readAnonymizeKey } from '../rewrite/anonymize_spec.ts';
import { checkProgram } from './capture_after.ts';
import { milliseconds, PACKETS_MAX } from './capture_options.ts';
import { type NamespaceOptions, namespaceOf } from './namespace_options.ts';
import { type HostPort, integer, usage } from './values.ts';

/** By commander's attribute names. */
export interface CaptureCliOptions extends NamespaceOptions {
  readonly interface?: readonly string[];
  readonly read?: readonly string[];
  readonly merge?: true;
  readonly backend?: CaptureBackend;
  readonly listInterfaces?: true;
  readonly list?: true;
  /** False: `--no-promiscuous-mode`. */
  readonly promiscuousMode?: boolean;
  readonly direction?: Direction;
  readonly filterFile?: string;
  readonly snapshotLength?: number;
  readonly bufferSize?: number;
  readonly timeStampType?: StampSource;
  readonly workers?: number;
  readonly write?: string;
  readonly format?: 'pcap' | 'pcapng';
  readonly timeStampPrecision?: 'nano' | 'micro';
  readonly packetBuffered?: true;
  readonly fileSize?: number;
  readonly rotateSeconds?: number;
  readonly fileCount?: number;
  readonly ringBuffer?: readonly string[];
  readonly compress?: string;
  readonly maxDisk?: number;
  readonly maxDiskStop?: true;
  readonly index?: string;
  readonly postrotateCommand?: string;
  readonly keepPageCache?: true;
  readonly print?: true;
  /** Flags that were given several times are lists. */
  readonly verbose?: readonly unknown[];
  readonly number?: true;
  readonly linkHeader?: true;
  readonly hex?: readonly unknown[];
  readonly hexAscii?: readonly unknown[];
  readonly ascii?: readonly unknown[];
  readonly absoluteSequenceNumbers?: true;
  readonly time?: readonly unknown[];
  readonly anonymize?: string;
  readonly anonymizePayload?: 'keep' | 'zero' | 'cut';
  readonly anonymizeKeepOui?: true;
  readonly count?: number;
  readonly duration?: number;
  readonly autostop?: readonly string[];
  readonly cpuLimit?: number;
  readonly user?: string;
  readonly json?: true;
  readonly strict?: true;
  readonly quiet?: true;
  readonly metricsPort?: HostPort;
}

export interface CapturePlan {
  readonly session: SessionSpec;
  readonly durationMs: number | null;
  readonly user: string | null;
}

/** What the plan depends on beside the options. */
export interface Surroundings {
  /** The interface where none is named; throws where there is none. */
  readonly defaultInterface: () => string;
  readonly version: string;
  readonly os: string;
}

const QUICK_RETIRE_MS = 10;

/** Throws USAGE. */
export function capturePlan(options: CaptureCliOptions, filter: string, around: Surroundings): CapturePlan {
  const stops = autostops(options.autostop ?? []);
  const packets = options.count ?? stops.packets;
  if (options.postrotateCommand !== undefined) {
    if (options.write === '-') throw usage('-z needs a file, and standard output is none: -w FILE');
    checkProgram(options.postrotateCommand, '-z');
  }
  const prints = options.write === undefined || options.print === true;
  if (prints && options.write === '-')
    throw usage('--print and -w - cannot both be given: both write to standard output');
  if (prints && options.json) throw usage('--json needs -w: the packets stand on standard output');
  const interfaces = options.read !== undefined ? undefined : interfacesOf(options, around);
  const capture: Record<string, unknown> = {
    interfaces,
    files: options.read,
    merge: options.merge,
    backend: options.backend,
    filter,
    snaplen: options.snapshotLength === 0 ? undefined : options.snapshotLength,
    promiscuous: options.promiscuousMode,
    direction: options.direction,
    bufferBytes: options.bufferSize === undefined ? undefined : options.bufferSize * 1024,
    retireMs: prints || options.packetBuffered ? QUICK_RETIRE_MS : undefined,
    stamps: options.timeStampType,
    netns: namespaceOf(options) ?? undefined,
    packets,
    cpuPercentMax: options.cpuLimit,
  };
  for (const key of Object.keys(capture)) if (capture[key] === undefined) delete capture[key];
  return {
    session: {
      capture: capture as CaptureOptions,
      workers: options.workers ?? 1,
      output: {
        sink: options.write === undefined ? null : sinkOf(options, interfaces?.length ?? 0, around),
        print: prints ? printOf(options) : null,
        anonymize: anonymizeOf(options),
      },
    },
    durationMs: options.duration ?? stops.durationMs ?? null,
    user: options.user ?? null,
  };
}

function interfacesOf(options: CaptureCliOptions, around: Surroundings): readonly string[] {
  const names = options.interface ?? [around.defaultInterface()];
  const again = names.find((name, i) => names.indexOf(name) < i);
  if (again !== undefined)
    throw usage(`-i ${again} is given twice, and each packet would be captured twice: once is enough`);
  if (names.length > 1 && names.includes('any'))
    throw usage('-i any is every interface: leave out the others, or each of their packets would be captured twice');
  const several = names.find((name) => name.includes(','));
  if (several !== undefined)
    throw usage(
      `-i ${several}: an interface each: ${several
        .split(',')
        .map((name) => `-i ${name}`)
        .join(' ')}`,
    );
  return names;
}

const TIMES = ['clock', 'none', 'epoch', 'since-last', 'date', 'since-first'] as const;

function printOf(options: CaptureCliOptions): PrintOptions {
  const dumped = options.hex ?? options.hexAscii ?? options.ascii;
  const dump = options.hex ? 'hex' : options.hexAscii ? 'hex-ascii' : options.ascii ? 'ascii' : 'none';
  return {
    ...PRINT_DEFAULTS,
    link: options.linkHeader ?? false,
    verbose: options.verbose?.length ?? 0,
    dump,
    dumpWithLink: (dumped?.length ?? 0) > 1,
    time: TIMES[options.time?.length ?? 0]!,
    timeDigits: options.timeStampPrecision === 'nano' ? 9 : 6,
    number: options.number ?? false,
    absoluteSeq: options.absoluteSequenceNumbers ?? false,
  };
}

function anonymizeOf(options: CaptureCliOptions): AnonymizeSpec | null {
  if (options.anonymize === undefined) return null;
  return {
    key: readAnonymizeKey(options.anonymize),
    payload: options.anonymizePayload ?? 'zero',
    keepOui: options.anonymizeKeepOui ?? false,
  };
}

function sinkOf(options: CaptureCliOptions, interfaces: number, around: Surroundings): SessionSpec['output']['sink'] {
  const path = options.write!;
  const named = /\.pcapng(\.(gz|zst))?$/.test(path) || interfaces > 1 ? 'pcapng' : 'pcap';
  const rotation = rotationOf(options);
  return {
    path,
    format: options.format ?? named,
    timestampDigits: options.timeStampPrecision === 'micro' ? 6 : 9,
    application: `tscap ${around.version}`,
    os: around.os,
    pageCache: options.keepPageCache ? 'keep' : 'drop',
    diskFull: options.maxDiskStop ? 'stop' : 'remove-oldest',
    // A file may be read as fast as it is compressed; packets from an interface do not wait.
    ...(options.read === undefined ? {} : { compressorBehind: 'wait' as const }),
    ...(rotation === null ? {} : { rotation }),
    ...(options.compress === undefined ? {} : { compress: compressionOf(options.compress) }),
    ...(options.maxDisk === undefined ? {} : { diskBytesMax: options.maxDisk }),
    ...(options.index === undefined ? {} : { indexPath: options.index }),
    ...(options.postrotateCommand === undefined ? {} : { finishedChannel: `tscap-${process.pid}` }),
    ...(options.packetBuffered ? { flushMs: 0 } : {}),
  };
}

const LEVEL_DEFAULT = { zstd: 3, gzip: 6 } as const;

function compressionOf(value: string): { codec: 'zstd' | 'gzip'; level: number } {
  const match = /^(zstd|gzip)(?::(\d+))?$/.exec(value);
  if (match === null) throw usage(`--compress is zstd[:LEVEL] or gzip[:LEVEL], not "${value}"`);
  const codec = match[1] as 'zstd' | 'gzip';
  return { codec, level: match[2] === undefined ? LEVEL_DEFAULT[codec] : Number(match[2]) };
}

function rotationOf(options: CaptureCliOptions): RotationSpec | null {
  if (options.ringBuffer !== undefined) return ringOf(options.ringBuffer);
  const { fileSize, rotateSeconds, fileCount } = options;
  if (fileSize === undefined && rotateSeconds === undefined) return null;
  return {
    naming: 'tcpdump',
    ...(fileSize === undefined ? {} : { fileBytes: fileSize }),
    ...(rotateSeconds === undefined ? {} : { durationMs: rotateSeconds * 1000 }),
    ...(fileCount === undefined ? {} : { files: fileCount }),
  };
}

const seconds = (value: string, option: string): number => milliseconds(value, option);
const packetCount = integer(1, PACKETS_MAX) as (value: string, option: string) => number;
const whole = integer(1) as (value: string, option: string) => number;

/** Names of `-b` -> field and value. */
const RING = {
  filesize: (value: string) => ({ fileBytes: whole(value, '-b filesize') * 1000 }),
  duration: (value: string) => ({ durationMs: seconds(value, '-b duration') }),
  interval: (value: string) => ({ intervalMs: seconds(value, '-b interval') }),
  packets: (value: string) => ({ packets: whole(value, '-b packets') }),
  files: (value: string) => ({ files: whole(value, '-b files') }),
} as const;

function ringOf(settings: readonly string[]): RotationSpec {
  let rotation: RotationSpec = { naming: 'dumpcap' };
  for (const setting of settings) {
    const [name, value] = split(setting, '--ring-buffer', Object.keys(RING));
    const part: Partial<RotationSpec> = RING[name as keyof typeof RING](value);
    if (Object.keys(part).some((key) => key in rotation)) throw usage(`-b ${name} is given twice: once is enough`);
    rotation = { ...rotation, ...part };
  }
  const { files: _files, naming: _naming, ...when } = rotation;
  if (Object.keys(when).length === 0)
    throw usage('-b files needs one of filesize, duration, interval and packets as well');
  return rotation;
}

function autostops(settings: readonly string[]): { durationMs?: number; packets?: number } {
  const found: { durationMs?: number; packets?: number } = {};
  for (const setting of settings) {
    const [name, value] = split(setting, '--autostop', ['duration', 'packets']);
    const key = name === 'duration' ? 'durationMs' : 'packets';
    if (found[key] !== undefined) throw usage(`-a ${name} is given twice: once is enough`);
    if (name === 'duration') found.durationMs = seconds(value, '-a duration');
    else found.packets = packetCount(value, '-a packets');
  }
  return found;
}

function split(setting: string, option: string, names: readonly string[]): [string, string] {
  const colon = setting.indexOf(':');
  const name = setting.slice(0, Math.max(0, colon));
  if (!names.includes(name)) throw usage(`${option} needs NAME:VALUE with ${names.join(', ')}, not "${setting}"`);
  return [name, setting.slice(colon + 1)];
}
