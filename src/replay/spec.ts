/**
 * What a replay is to do: frozen plain data. Made by the command line or a library user, checked by `checkReplaySpec`,
 * carried into workers by structured clone. Opening touches the machine; a spec never does.
 */
import type { AutoSpec } from '../flow/direction.ts';
import type { RewriteSpec } from '../rewrite/spec.ts';

export interface ReplaySpec {
  /** Capture files in sending order (directories already expanded); `-` is stdin. */
  readonly inputs: readonly string[];
  readonly primary: OutputSpec;
  readonly secondary: OutputSpec | null;
  readonly split: SplitSpec;
  readonly select: SelectSpec;
  /** Send the record's original length instead of the captured one (`--pktlen`), zero-filled behind the capture. */
  readonly originalLength: boolean;
  readonly rate: RateSpec;
  /** Longest single wait, ns; 0 = no cap. The schedule shifts by what was skipped. */
  readonly maxSleepNs: number;
  readonly timer: TimerMode;
  /** Real-time scheduling of the sending threads: in time on a busy host, at the expense of everything else there. */
  readonly realtime: boolean;
  readonly loop: LoopSpec;
  readonly rewrite: RewriteSpec | null;
  readonly oversize: OversizePolicy;
  readonly workers: number;
  /** Flows of share `index` (0-based) of `count` only; null = all. */
  readonly shard: { readonly index: number; readonly count: number } | null;
  /** Wall-clock time of the first packet, ms since 1970; null = at once. */
  readonly startAtMs: number | null;
  readonly flows: { readonly enabled: boolean /** 0 = never */; readonly expirySeconds: number };
  /** Planned faults on the way out, for tests of receivers; percent of packets, seeded. */
  readonly impair: { readonly lossPercent: number; readonly seed: number } | null;
}

export type TimerMode = 'adaptive' | 'spin' | 'sleep';
export type OversizePolicy = 'error' | 'skip' | 'truncate' | 'fragment' | 'segment';

export interface OutputSpec {
  readonly kind: 'interface' | 'file';
  /** Interface name, or path of the capture to write. */
  readonly name: string;
  /** `auto`: AF_PACKET on Linux, libpcap elsewhere; a TAP device for a name like `tap0` that no interface has. */
  readonly backend: Backend | 'auto';
  /** AF_PACKET only: `PACKET_QDISC_BYPASS`. */
  readonly qdiscBypass: boolean;
  /** Frames handed over at once; absent: what suits the backend. */
  readonly batchFrames?: number;
  /** Capture file or FIFO that every packet sent is written to as well, with its capture time; one worker only. */
  readonly copyTo?: string;
}
export type Backend = 'af_packet' | 'af_xdp' | 'tx_ring' | 'raw_ip' | 'raw_socket' | 'libpcap' | 'tap' | 'tun' | 'file';

export type SplitSpec =
  | { readonly kind: 'none' }
  /** tcpprep cache file, version 04. */
  | { readonly kind: 'cache'; readonly path: string }
  /** The clients' packets to primary, the servers' to secondary, told apart by their traffic in all inputs together. */
  | { readonly kind: 'auto'; readonly auto: AutoSpec }
  /** Inputs (1,2), (3,4)… merged by time; odd ones to primary, even ones to secondary. */
  | { readonly kind: 'dualfile' };

/** Packet numbers, 1-based, inclusive; `last` may be Infinity. Sorted, disjoint. */
export type PacketRanges = readonly { readonly first: number; readonly last: number }[];

export interface SelectSpec {
  readonly include: PacketRanges | null;
  readonly exclude: PacketRanges | null;
  /** libpcap filter expression, or null. */
  readonly filter: string | null;
  /** Packets in total over files and loops; 0 = all. */
  readonly limit: number;
  /** 0 = no limit. */
  readonly durationNs: number;
}

export type RateSpec =
  | { readonly kind: 'multiplier'; readonly factor: number }
  | { readonly kind: 'pps'; readonly pps: number /** packets per time step */; readonly burst: number }
  | { readonly kind: 'mbps'; readonly mbps: number }
  | { readonly kind: 'topspeed' }
  | { readonly kind: 'oneatatime' }
  | { readonly kind: 'profile'; readonly steps: readonly ProfileStep[]; readonly repeat: boolean };

/** One part of a rate profile: `unit` goes from `from` to `to` linearly over `durationNs`. */
export interface ProfileStep {
  readonly unit: 'multiplier' | 'pps' | 'mbps';
  readonly from: number;
  readonly to: number;
  /** Infinity: until the end. */
  readonly durationNs: number;
}

export interface LoopSpec {
  /** 0 = for ever. */
  readonly count: number;
  readonly delayNs: number;
  readonly uniqueIp: boolean;
  /** New addresses every so many loops, >= 1. */
  readonly uniqueIpEvery: number;
  /** Keep the edited capture in memory. */
  readonly preload: boolean;
}

/** An interface as output, through the backend that suits it. */
export function toInterface(name: string, backend: Backend | 'auto' = 'auto'): OutputSpec {
  return { kind: 'interface', name, backend, qdiscBypass: false };
}

/** A capture file as output; `.pcapng` chooses that format. */
export function toFile(path: string): OutputSpec {
  return { kind: 'file', name: path, backend: 'file', qdiscBypass: false };
}

/** One pass at captured speed. Spread it and add `inputs` and `primary`. */
export const REPLAY_DEFAULTS: Omit<ReplaySpec, 'inputs' | 'primary'> = {
  secondary: null,
  split: { kind: 'none' },
  select: { include: null, exclude: null, filter: null, limit: 0, durationNs: 0 },
  originalLength: false,
  rate: { kind: 'multiplier', factor: 1 },
  maxSleepNs: 0,
  timer: 'adaptive',
  realtime: false,
  loop: { count: 1, delayNs: 0, uniqueIp: false, uniqueIpEvery: 1, preload: false },
  rewrite: null,
  oversize: 'error',
  workers: 1,
  shard: null,
  startAtMs: null,
  flows: { enabled: true, expirySeconds: 0 },
  impair: null,
};
