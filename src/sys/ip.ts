/**
 * Links, addresses, routes and neighbours as `ip -j` (iproute2) prints them: the kernel's netlink answers without a
 * netlink client of our own. Cold paths only: a call starts a process and costs some milliseconds.
 */
import { spawnSync } from 'node:child_process';
import { OperatorError } from '../base/errors.ts';

const TIMEOUT_MS = 10_000;
const OUTPUT_BYTES_MAX = 16 * 1024 * 1024;

export interface IpLink {
  readonly ifindex: number;
  readonly ifname: string;
  readonly flags: readonly string[];
  readonly mtu: number;
  readonly operstate?: string;
  readonly link_type: string;
  readonly address?: string;
}

export interface IpAddress {
  readonly family: 'inet' | 'inet6';
  readonly local: string;
  readonly prefixlen: number;
  readonly scope: string;
}

export interface IpRoute {
  readonly type?: string;
  readonly dst: string;
  /** Next hop; absent where the destination is on the link. */
  readonly gateway?: string;
  readonly via?: { readonly family: string; readonly host: string };
  readonly dev: string;
  readonly prefsrc?: string;
}

export interface IpNeighbour {
  readonly dst: string;
  readonly lladdr?: string;
  /** NUD states: REACHABLE, STALE, DELAY, PROBE, PERMANENT, NOARP, INCOMPLETE, FAILED. */
  readonly state: readonly string[];
}

/** Runs `ip -j …`. Throws UNSUPPORTED where iproute2 is missing, SYSTEM with ip's own message where it fails. */
export function ipJson<T>(...args: string[]): T[] {
  const result = spawnSync('ip', ['-j', ...args], {
    encoding: 'utf8',
    timeout: TIMEOUT_MS,
    maxBuffer: OUTPUT_BYTES_MAX,
  });
  if (result.error !== undefined) {
    const missing = (result.error as NodeJS.ErrnoException).code === 'ENOENT';
    if (missing) throw new OperatorError('UNSUPPORTED', 'the program ip is not installed: apt-get install iproute2');
    throw new OperatorError('SYSTEM', `ip ${args.join(' ')} failed: ${result.error.message}`);
  }
  if (result.status !== 0) {
    const why = result.stderr.trim().split('\n')[0] ?? '';
    throw new OperatorError('SYSTEM', `ip ${args.join(' ')} failed: ${why}`);
  }
  const text = result.stdout.trim();
  if (text === '') return [];
  try {
    return JSON.parse(text) as T[];
  } catch (cause) {
    const remedy = 'its iproute2 has no JSON output: install iproute2 4.14 or newer';
    throw new OperatorError('UNSUPPORTED', `ip -j printed no JSON; ${remedy}`, { cause });
  }
}

/** Whether the program `ip` can be run. */
export function hasIp(): boolean {
  return spawnSync('ip', ['-V'], { timeout: TIMEOUT_MS }).error === undefined;
}

export function ipLinks(): IpLink[] {
  return ipJson<IpLink>('link', 'show');
}

/** Addresses of one interface. */
export function ipAddresses(device: string): IpAddress[] {
  const links = ipJson<{ addr_info?: IpAddress[] }>('address', 'show', 'dev', device);
  return links.flatMap((link) => link.addr_info ?? []);
}

/** The route to an address, out of one interface where `device` is not ''; null where there is none. */
export function ipRouteGet(address: string, device = ''): IpRoute | null {
  try {
    const out = device === '' ? [] : ['oif', device];
    return ipJson<IpRoute>('route', 'get', address, ...out)[0] ?? null;
  } catch (error) {
    // "RTNETLINK answers: Network is unreachable" is an answer.
    if (error instanceof OperatorError && error.code === 'SYSTEM') return null;
    throw error;
  }
}

/** The neighbour entry of an address on an interface, or null. */
export function ipNeighbour(address: string, device: string): IpNeighbour | null {
  return ipJson<IpNeighbour>('neighbour', 'show', address, 'dev', device)[0] ?? null;
}
