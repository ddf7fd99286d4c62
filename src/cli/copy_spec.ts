/** Options of `tscopy` as what the agent is asked for. */
import { readFileSync } from 'node:fs';
import { OperatorError } from '../base/errors.ts';
import type { AgentMap, AgentRequest, HostAndPort, Sender } from '../copy/agent/index.ts';
import { ENGINE_DEFAULTS, type EngineOptions, type FullPolicy } from '../copy/options.ts';
import { KEY_FILE_DEFAULT } from '../copy/tunnel/key.ts';
import { TUNNEL_PORT } from '../copy/tunnel/protocol.ts';
import type { TunnelTls } from '../copy/tunnel/server.ts';
import type { MapValue, NamedPort } from './copy_values.ts';
import { reasonOf } from './inputs.ts';
import { type NamespaceOptions, namespaceOf } from './namespace_options.ts';
import { type HostPort, usage } from './values.ts';

export interface CopyOptions extends NamespaceOptions {
  readonly target?: readonly HostAndPort[];
  readonly map?: readonly MapValue[];
  readonly mirror?: true;
  readonly interface?: string;
  readonly filter?: string;
  readonly percent?: number;
  readonly ramp?: number;
  readonly onlyNew?: true;
  readonly clone?: number;
  readonly clientPool?: { readonly first: number; readonly addresses: number };
  readonly intercept?: 'local' | NamedPort;
  readonly keyFile?: string;
  readonly probeFrom?: readonly string[];
  /** False with --no-probe. */
  readonly probe?: boolean;
  readonly tlsCa?: string;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  /** False with --no-wait. */
  readonly wait?: boolean;
  readonly replyDeadline?: number;
  readonly rtt?: number;
  readonly mtu?: number;
  readonly mss?: number;
  readonly sender?: Sender | 'auto';
  readonly input?: readonly string[];
  readonly multiplier?: number;
  readonly loop?: number;
  readonly maxGap?: number;
  readonly maxSessions?: number;
  readonly memory?: number;
  readonly sessionMemory?: number;
  readonly whenFull?: FullPolicy;
  readonly cpuLimit?: number;
  readonly workers?: number;
  readonly bufferSize?: number;
  readonly metricsPort?: HostPort;
  readonly stats?: number;
  readonly compare?: true;
  readonly report?: string;
  readonly json?: true;
  readonly logLevel?: 'debug' | 'info' | 'warn' | 'error';
}

const BUFFER_BYTES = 33_554_432;
/** Touched only as far as clients' data has to wait. */
const MEMORY_BYTES = 134_217_728;
/** Sessions that are open at the end get this long. */
const CLOSE_MS = 3_000;

export function copyRequestFrom(options: CopyOptions): AgentRequest {
  const { clone = 1, clientPool = null } = options;
  return {
    maps: mapsOf(options),
    mirror: options.mirror ?? false,
    intercept: interceptOf(options.intercept),
    interceptPort: TUNNEL_PORT,
    device: options.interface ?? null,
    netns: namespaceOf(options),
    filter: options.filter ?? '',
    bufferBytes: options.bufferSize ?? BUFFER_BYTES,
    files:
      options.input === undefined
        ? null
        : {
            paths: options.input,
            multiplier: options.multiplier ?? 1,
            loops: options.loop ?? 1,
            gapNsMax: options.maxGap ?? Number.POSITIVE_INFINITY,
          },
    sender: options.sender ?? 'auto',
    mtu: options.mtu ?? 0,
    engine: { ...changeableOf(options), ...fixedOf(options) },
    clones: { copies: clone, pool: clientPool },
    workers: options.workers ?? 1,
    cpuPercentMax: options.cpuLimit ?? 0,
    closeMs: CLOSE_MS,
    compare: options.compare === true || options.report !== undefined,
    keyFile: options.keyFile ?? KEY_FILE_DEFAULT,
    tls: tlsOf(options),
  };
}

/** Settings that may change while sessions run. */
export function changeableOf(options: CopyOptions): Partial<EngineOptions> {
  return {
    percent: options.percent ?? ENGINE_DEFAULTS.percent,
    rampNs: options.ramp ?? 0,
    noWait: options.wait === false,
    onlyNew: options.onlyNew ?? false,
    replyDeadlineNs: options.replyDeadline ?? ENGINE_DEFAULTS.replyDeadlineNs,
    replyQuietNs: options.rtt ?? ENGINE_DEFAULTS.replyQuietNs,
  };
}

function fixedOf(options: CopyOptions): Partial<EngineOptions> {
  return {
    maxSessions: options.maxSessions ?? ENGINE_DEFAULTS.maxSessions,
    memoryBytes: options.memory ?? MEMORY_BYTES,
    sessionBytes: options.sessionMemory ?? 0,
    whenFull: options.whenFull ?? ENGINE_DEFAULTS.whenFull,
    mss: options.mss ?? 0,
  };
}

function mapsOf(options: CopyOptions): AgentMap[] {
  const maps: AgentMap[] = [...(options.map ?? [])];
  const targets = options.target ?? [];
  const ports = new Set(targets.map(({ port }) => port));
  if (ports.size > 1) {
    throw usage('--target: the targets have different ports, so the port of the service is unknown: give --map');
  }
  for (const target of targets) maps.push({ address: null, port: target.port, target });
  if (maps.length === 0) throw usage('where to? Give --target HOST:PORT (see tscopy --help)');
  return maps;
}

function interceptOf(value: CopyOptions['intercept']): AgentRequest['intercept'] {
  if (value === undefined) return 'target';
  return value === 'local' ? 'local' : { host: value.host, port: value.port ?? TUNNEL_PORT };
}

function tlsOf({ tlsCa, tlsCert, tlsKey, intercept }: CopyOptions): TunnelTls | null {
  if (tlsCa === undefined && tlsCert === undefined) return null;
  if (intercept === 'local') throw usage('--tls-ca and --tls-cert are for a tunnel, and --intercept local has none');
  return {
    ...(tlsCa === undefined ? {} : { ca: pem(tlsCa, '--tls-ca') }),
    ...(tlsCert === undefined ? {} : { cert: pem(tlsCert, '--tls-cert') }),
    ...(tlsKey === undefined ? {} : { key: pem(tlsKey, '--tls-key') }),
  };
}

function pem(path: string, option: string): string {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (cause) {
    throw new OperatorError('FILE', `${option}: ${path} cannot be read: ${reasonOf(cause)}`, { cause });
  }
  if (/^-----BEGIN /m.test(text)) return text;
  throw new OperatorError('FILE', `${option}: ${path} is no PEM file, which has a line that begins with -----BEGIN`);
}
