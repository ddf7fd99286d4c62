/** Option values of `tsreplay` to a frozen `ReplaySpec`. Pure: what it must know of the machine is passed in. */
import type {
  Backend,
  OutputSpec,
  OversizePolicy,
  PacketRanges,
  RateSpec,
  ReplaySpec,
  SelectSpec,
  SplitSpec,
  TimerMode,
} from '../replay/spec.ts';
import { type AutoOptions, autoSpecFrom } from './prep_auto.ts';
import { rewriteSpecFrom } from './rewrite_options.ts';
import { moment, secondsToNs, usage } from './values.ts';

/** What a spec depends on besides the command line. */
export interface Surroundings {
  readonly nowMs: number;
  /** The parsed `--profile`, or null. */
  readonly profile: RateSpec | null;
  /** Where `--verbose` wants a copy of the packets of the first and the second output; [] = nowhere. */
  readonly copyTo: readonly string[];
}

/** As the option parsers leave them, by commander's attribute names. */
export interface ReplayOptions extends AutoOptions {
  readonly intf1?: string;
  readonly intf2?: string;
  readonly write?: string;
  readonly backend?: Backend;
  readonly xdp?: true;
  readonly xdpBatchSize?: number;
  readonly raw?: true;
  readonly qdiscBypass?: boolean;
  readonly oversize?: OversizePolicy;
  readonly loss?: number;
  readonly lossSeed?: number;
  readonly cachefile?: string;
  readonly dualfile?: true;
  readonly include?: PacketRanges;
  readonly exclude?: PacketRanges;
  readonly filter?: string;
  readonly limit?: number;
  readonly duration?: number;
  readonly pktlen?: true;
  readonly shard?: { readonly index: number; readonly count: number };
  readonly multiplier?: number;
  readonly pps?: number;
  readonly ppsMulti?: number;
  readonly mbps?: number;
  readonly topspeed?: true;
  readonly oneatatime?: true;
  readonly profile?: string;
  readonly maxsleep?: number;
  readonly timer?: TimerMode;
  readonly realtime?: true;
  readonly startAt?: string;
  readonly workers?: number;
  readonly loop?: number;
  readonly loopdelayMs?: number;
  readonly loopdelayNs?: number;
  readonly uniqueIp?: true;
  readonly uniqueIpLoops?: number;
  readonly preloadPcap?: true;
  readonly flowStats?: boolean;
  readonly flowExpiry?: number;
}

/** Throws a usage error for what only shows with all values together. */
export function replaySpecFrom(options: ReplayOptions, inputs: readonly string[], around: Surroundings): ReplaySpec {
  checkInputs(options, inputs);
  const spec: ReplaySpec = {
    inputs,
    primary: copied(primaryOf(options), around.copyTo[0]),
    secondary: options.intf2 === undefined ? null : copied(interfaceOf(options.intf2, options), around.copyTo[1]),
    split: splitOf(options),
    select: selectOf(options),
    originalLength: options.pktlen ?? false,
    rate: rateOf(options, around.profile),
    maxSleepNs: Math.round((options.maxsleep ?? 0) * 1e6),
    timer: options.timer ?? 'adaptive',
    realtime: options.realtime ?? false,
    loop: {
      count: options.loop ?? 1,
      delayNs: (options.loopdelayMs ?? 0) * 1e6 + (options.loopdelayNs ?? 0),
      uniqueIp: options.uniqueIp ?? false,
      uniqueIpEvery: options.uniqueIpLoops ?? 1,
      preload: options.preloadPcap ?? false,
    },
    rewrite: rewriteSpecFrom(options as Readonly<Record<string, unknown>>),
    oversize: options.oversize ?? 'error',
    workers: options.workers ?? 1,
    shard: options.shard === undefined || options.shard.count === 1 ? null : options.shard,
    startAtMs: options.startAt === undefined ? null : moment(options.startAt, '--start-at', around.nowMs),
    flows: { enabled: options.flowStats ?? true, expirySeconds: options.flowExpiry ?? 0 },
    impair: (options.loss ?? 0) === 0 ? null : { lossPercent: options.loss!, seed: options.lossSeed ?? 1 },
  };
  return deepFreeze(spec);
}

function copied(output: OutputSpec, copyTo: string | undefined): OutputSpec {
  return copyTo === undefined ? output : { ...output, copyTo };
}

function checkInputs(options: ReplayOptions, inputs: readonly string[]): void {
  if (inputs.length === 0) throw usage('no capture is named: tsreplay -i INTERFACE FILE (see tsreplay --help)');
  const stdins = inputs.filter((path) => path === '-').length;
  if (stdins > 1) throw usage('"-" is named twice, but standard input can be read once only');
  if (stdins === 1 && options.oneatatime)
    throw usage('--oneatatime reads answers from standard input, so "-" cannot be a capture');
  if (stdins === 1 && options.dualfile)
    throw usage('--dualfile reads two files side by side, so "-" cannot be one of them');
  if (options.dualfile && inputs.length % 2 !== 0) {
    throw usage(`--dualfile needs an even number of files, not ${inputs.length}: name them in pairs`);
  }
}

function primaryOf(options: ReplayOptions): OutputSpec {
  if (options.write !== undefined) return { kind: 'file', name: options.write, backend: 'file', qdiscBypass: false };
  if (options.intf1 === undefined) throw usage('--intf1 or --write is needed: where are the packets to go?');
  return interfaceOf(options.intf1, options);
}

const REFUSED_NAMES: readonly (readonly [RegExp, string])[] = [
  [/^(netmap:|vale)/, 'netmap is not supported: name the interface itself and use --xdp'],
  [/^zc:/, 'PF_RING is not supported: name the interface itself and use --xdp'],
  [/^%\d/, 'aliases are not supported: name the interface itself (tsreplay --listnics)'],
  [/\//, 'a path is no interface: use --write to send to a file'],
];

function interfaceOf(name: string, options: ReplayOptions): OutputSpec {
  for (const [pattern, why] of REFUSED_NAMES) if (pattern.test(name)) throw usage(`${name}: ${why}`);
  const backend = backendOf(options);
  if (options.qdiscBypass !== undefined && !['auto', 'af_packet', 'tx_ring'].includes(backend)) {
    throw usage(
      `--${options.qdiscBypass ? '' : 'no-'}qdisc-bypass is for the af_packet and tx_ring backends, not ${backend}`,
    );
  }
  if (options.xdpBatchSize !== undefined && backend !== 'af_xdp') throw usage('--xdp-batch-size needs --xdp');
  return {
    kind: 'interface',
    name,
    backend,
    qdiscBypass: options.qdiscBypass ?? false,
    ...(options.xdpBatchSize === undefined ? {} : { batchFrames: options.xdpBatchSize }),
  };
}

function backendOf(options: ReplayOptions): Backend | 'auto' {
  if (options.xdp) return 'af_xdp';
  if (options.raw) return 'raw_ip';
  if (options.backend !== undefined) return options.backend;
  return 'auto';
}

function splitOf(options: ReplayOptions): SplitSpec {
  if (options.cachefile !== undefined) return { kind: 'cache', path: options.cachefile };
  if (options.auto !== undefined) return { kind: 'auto', auto: autoSpecFrom(options.auto, options) };
  return { kind: options.dualfile ? 'dualfile' : 'none' };
}

function selectOf(options: ReplayOptions): SelectSpec {
  return {
    include: options.include ?? null,
    exclude: options.exclude ?? null,
    filter: options.filter ?? null,
    limit: options.limit ?? 0,
    durationNs: secondsToNs(options.duration ?? 0),
  };
}

function rateOf(options: ReplayOptions, profile: RateSpec | null): RateSpec {
  if (profile !== null) return profile;
  if (options.pps !== undefined) return { kind: 'pps', pps: options.pps, burst: options.ppsMulti ?? 1 };
  if (options.topspeed || options.mbps === 0) return { kind: 'topspeed' };
  if (options.mbps !== undefined) return { kind: 'mbps', mbps: options.mbps };
  if (options.oneatatime) return { kind: 'oneatatime' };
  return { kind: 'multiplier', factor: options.multiplier ?? 1 };
}

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const part of Object.values(value)) deepFreeze(part);
  }
  return value;
}
