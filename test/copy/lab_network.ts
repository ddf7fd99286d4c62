/**
 * Hosts and wires for tests and measurements of copying.
 *
 * ```text
 * plain:   clients (c) ── production (p) ── test server (t)          production routes between them
 *
 * routed:  clients (c) ── router (r) ── production (p) ── test server (t)
 *                           └───────────────────────────────┤
 *                       container (k) ── production ── assistant (a)
 * ```
 */
import { type EndSpec, type Lab, type LinkSpec, makeLab } from '../../lab/lab.ts';

export const PRODUCTION = '10.91.0.1';
export const TARGET = '10.92.0.9';
export const ASSISTANT = '10.95.0.30';
export const CONTAINER = '10.96.0.2';

export interface NetworkOptions {
  /** Default `off`. */
  readonly offloads?: 'off' | 'keep';
  readonly v6?: boolean;
  /**
   * The routed network, and who is the next hop of the test server's replies to clients. The plain network unless
   * given.
   */
  readonly repliesVia?: 'production' | 'router' | 'assistant';
  /** Addresses of the clients, of the routed network; default 4. */
  readonly addresses?: number;
}

/** Addresses that clients have in the routed network. */
export function clientAddresses(count: number): string[] {
  return Array.from({ length: count }, (_, i) => `10.90.${i >> 7}.${10 + (i & 127)}`);
}

export function copyNetwork(options: NetworkOptions): Lab {
  return options.repliesVia === undefined ? plain(options) : routed(options, options.repliesVia);
}

/** A lab whose wires are named by their ends: `host interface IPv4 [IPv6]`. */
function wired(hosts: readonly string[], wires: readonly (readonly [string, string])[], options: NetworkOptions): Lab {
  const end = (text: string): EndSpec => {
    const [host, iface, v4, v6] = text.split(' ');
    return { host: host!, iface: iface!, v4: v4!, ...(options.v6 && v6 ? { v6 } : {}) };
  };
  const offloads: LinkSpec['offloads'] = options.offloads ?? 'off';
  return makeLab({ hosts, links: wires.map(([a, b]) => ({ a: end(a), b: end(b), offloads })) });
}

function forward(lab: Lab, ...hosts: string[]): void {
  for (const host of hosts) lab.host(host).run(['sh', '-c', 'echo 1 > /proc/sys/net/ipv4/ip_forward']);
}

function route(lab: Lab, host: string, via: string): void {
  lab.host(host).run(['ip', 'route', 'add', 'default', 'via', via]);
}

function plain(options: NetworkOptions): Lab {
  const wires = [
    ['c eth0 10.91.0.10/24 fd91::10/64', 'p eth0 10.91.0.1/24 fd91::1/64'],
    ['p eth1 10.92.0.1/24 fd92::1/64', 't eth0 10.92.0.9/24 fd92::9/64'],
  ] as const;
  const lab = wired(['c', 'p', 't'], wires, options);
  route(lab, 't', '10.92.0.1');
  route(lab, 'c', '10.91.0.1');
  if (options.v6) lab.host('t').run(['ip', '-6', 'route', 'add', 'default', 'via', 'fd92::1']);
  // Production forwards, so that whatever is not swallowed reaches the clients.
  forward(lab, 'p');
  return lab;
}

function routed(options: NetworkOptions, via: 'production' | 'router' | 'assistant'): Lab {
  const wires = [
    ['c eth0 10.90.0.10/16', 'r eth0 10.90.255.1/16'],
    ['r eth1 10.91.0.2/24', 'p eth0 10.91.0.1/24'],
    ['p eth1 10.92.0.1/24', 't eth0 10.92.0.9/24'],
    ['r eth2 10.94.0.1/24', 't eth1 10.94.0.9/24'],
    ['a eth0 10.93.0.30/24', 't eth2 10.93.0.9/24'],
    ['a eth1 10.95.0.30/24', 'p eth2 10.95.0.1/24'],
    ['k eth0 10.96.0.2/24', 'p eth3 10.96.0.1/24'],
  ] as const;
  const lab = wired(['c', 'r', 'p', 't', 'a', 'k'], wires, options);
  for (const address of clientAddresses(options.addresses ?? 4).slice(1)) {
    lab.host('c').run(['ip', 'addr', 'add', `${address}/16`, 'dev', 'eth0']);
    const entry = [address, 'lladdr', '02:00:00:00:00:01', 'dev', 'eth0', 'nud', 'permanent'];
    lab.host('r').run(['ip', 'neigh', 'replace', ...entry]);
  }
  route(lab, 'c', '10.90.255.1');
  route(lab, 'p', '10.91.0.2');
  route(lab, 'k', '10.96.0.1');
  route(lab, 't', { production: '10.92.0.1', router: '10.94.0.1', assistant: '10.93.0.30' }[via]);
  // The assistant would not forward, and has a way to the clients all the same.
  route(lab, 'a', '10.95.0.1');
  // Whatever is not swallowed reaches the clients.
  forward(lab, 'r', 'p');
  return lab;
}
