/**
 * Test hosts made of network namespaces, joined by veth pairs: for tests, benchmarks and the demo.
 *
 * ```ts
 * const lab = makeLab(pair());
 * t.teardown(() => lab.teardown());
 * const capture = await lab.host('b').capture('eth0', file);
 * lab.host('a').run(['ping', '-c1', '10.77.0.2']);
 * await capture.stop();
 * ```
 * The wire is quiet: no duplicate address detection, no router solicitation, no ARP (neighbours are written down), no
 * IPv6 on a link without an IPv6 address. Namespaces are named `tsrlab-<pid>-<number>-<host>`; they and the programs
 * in them go away at `teardown`, or when this process ends.
 */
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import process from 'node:process';
import { hasProgram, labUnavailable } from './availability.ts';
import { Host } from './host.ts';
import { runProgram } from './process.ts';

export interface EndSpec {
  readonly host: string;
  /** Name of the interface in that host. */
  readonly iface: string;
  /** With prefix length: `10.77.0.1/24`. */
  readonly v4?: string;
  /** With prefix length: `fd77::1/64`. */
  readonly v6?: string;
  /** Default: 02:00:00:00:<link number>:<01 or 02>. */
  readonly mac?: string;
}

export interface LinkSpec {
  readonly a: EndSpec;
  readonly b: EndSpec;
  /** Bytes of an IP packet; default 1500. */
  readonly mtu?: number;
  /** Segmentation, receive and checksum offloads. Default `off`: captures hold what a wire would carry. */
  readonly offloads?: 'off' | 'keep';
  /** Permanent neighbour entries instead of ARP and neighbour discovery. Default true. */
  readonly staticNeighbours?: boolean;
  /** Transmit and receive queues of each end; default 1. */
  readonly queues?: number;
}

export interface LabSpec {
  readonly hosts: readonly string[];
  readonly links: readonly LinkSpec[];
}

/** Two hosts, `a` and `b`, whose `eth0` are joined: 10.77.0.1/24, fd77::1 and 10.77.0.2/24, fd77::2. */
export function pair(link: Partial<Omit<LinkSpec, 'a' | 'b'>> = {}, family: 'v4' | 'both' = 'v4'): LabSpec {
  const end = (host: string, n: number): EndSpec => ({
    host,
    iface: 'eth0',
    v4: `10.77.0.${n}/24`,
    ...(family === 'both' ? { v6: `fd77::${n}/64` } : {}),
  });
  return { hosts: ['a', 'b'], links: [{ ...link, a: end('a', 1), b: end('b', 2) }] };
}

export class Lab {
  readonly #hosts: Map<string, Host>;
  #directory: string | null = null;
  #down = false;

  constructor(hosts: Map<string, Host>) {
    this.#hosts = hosts;
    living.add(this);
  }

  host(name: string): Host {
    const host = this.#hosts.get(name);
    if (!host) throw new Error(`the lab has no host "${name}"`);
    return host;
  }

  /** A directory that teardown removes. */
  get directory(): string {
    this.#directory ??= fs.mkdtempSync(path.join(os.tmpdir(), 'tsrlab-'));
    return this.#directory;
  }

  /** Stops every program of the lab, removes its namespaces and files. Never throws; a second call does nothing. */
  async teardown(): Promise<void> {
    await Promise.all([...this.#hosts.values()].map((host) => host.stopAll()));
    this.teardownNow();
  }

  /** The same without waiting: for exit hooks. */
  teardownNow(): void {
    if (this.#down) return;
    this.#down = true;
    living.delete(this);
    for (const host of this.#hosts.values()) {
      host.killAll();
      runProgram(['ip', 'netns', 'del', host.netns], { check: false });
    }
    if (this.#directory) fs.rmSync(this.#directory, { recursive: true, force: true });
  }
}

const living = new Set<Lab>();
let hooked = false;

function hookExit(): void {
  if (hooked) return;
  hooked = true;
  const clean = (): void => {
    for (const lab of [...living]) lab.teardownNow();
  };
  process.on('exit', clean);
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
    process.once(signal, () => {
      clean();
      process.kill(process.pid, signal);
    });
  }
}

/** Namespaces of labs whose process was killed before it could clean up. */
function sweep(): void {
  for (const line of runProgram(['ip', 'netns', 'list'], { check: false }).stdout.split('\n')) {
    const [, name, pid] = /^(tsrlab-(\d+)-\S+)/.exec(line) ?? [];
    if (name && pid && !fs.existsSync(`/proc/${pid}`)) runProgram(['ip', 'netns', 'del', name], { check: false });
  }
}

const QUIET_SYSCTLS = ['accept_dad=0', 'accept_ra=0', 'autoconf=0', 'router_solicitations=0', 'addr_gen_mode=1'];
/** Multicast listener reports of new addresses are due at once, so that they are over before a capture starts. */
const PROMPT_MLD_SYSCTLS = ['mldv1_unsolicited_report_interval=1', 'mldv2_unsolicited_report_interval=1'];
const MLD_SETTLE_MS = 120;

function makeHost(netns: string, name: string): Host {
  runProgram(['ip', 'netns', 'add', netns]);
  const settings = ['net.ipv6.mld_qrv=1'];
  for (const each of [...QUIET_SYSCTLS, ...PROMPT_MLD_SYSCTLS]) settings.push(`net.ipv6.conf.default.${each}`);
  // A kernel without IPv6 has none of these: nothing to silence then.
  const write = settings.map(
    (each) => `echo ${each.split('=')[1]} > /proc/sys/${each.split('=')[0]!.replaceAll('.', '/')}`,
  );
  runProgram(['ip', 'netns', 'exec', netns, 'sh', '-c', `(${write.join('; ')}) 2>/dev/null; ip link set lo up`]);
  return new Host(name, netns);
}

function addressOf(cidr: string): string {
  return cidr.split('/')[0]!;
}

function configureEnd(host: Host, end: EndSpec, far: EndSpec, farMac: string, link: LinkSpec): void {
  if (!end.v6) {
    const off = `echo 1 > /proc/sys/net/ipv6/conf/${end.iface}/disable_ipv6`;
    host.run(['sh', '-c', `${off} 2>/dev/null || true`]);
  }
  if ((link.offloads ?? 'off') === 'off') {
    host.run([
      'ethtool',
      '-K',
      end.iface,
      'tx',
      'off',
      'rx',
      'off',
      'sg',
      'off',
      'tso',
      'off',
      'gso',
      'off',
      'gro',
      'off',
    ]);
  }
  host.run(['ip', 'link', 'set', end.iface, 'up']);
  if (end.v4) host.run(['ip', 'addr', 'add', end.v4, 'dev', end.iface]);
  if (end.v6) host.run(['ip', 'addr', 'add', end.v6, 'dev', end.iface, 'nodad']);
  if (link.staticNeighbours === false) return;
  for (const cidr of [far.v4, far.v6]) {
    if (!cidr) continue;
    const entry = [addressOf(cidr), 'lladdr', farMac, 'dev', end.iface, 'nud', 'permanent'];
    host.run(['ip', 'neigh', 'replace', ...entry]);
  }
}

function makeLink(hosts: Map<string, Host>, link: LinkSpec, number: number): void {
  const hostOf = (end: EndSpec): Host => {
    const host = hosts.get(end.host);
    if (!host) throw new Error(`link ${number} names the unknown host "${end.host}"`);
    return host;
  };
  const [a, b] = [hostOf(link.a), hostOf(link.b)];
  const byte = (number & 0xff).toString(16).padStart(2, '0');
  const macA = link.a.mac ?? `02:00:00:00:${byte}:01`;
  const macB = link.b.mac ?? `02:00:00:00:${byte}:02`;
  const mtu = String(link.mtu ?? 1500);
  const queues = String(link.queues ?? 1);
  const shape = ['mtu', mtu, 'numtxqueues', queues, 'numrxqueues', queues];
  const near = ['ip', '-n', a.netns, 'link', 'add', link.a.iface, 'address', macA, ...shape, 'type', 'veth'];
  runProgram([...near, 'peer', 'name', link.b.iface, 'address', macB, ...shape, 'netns', b.netns]);
  configureEnd(a, link.a, link.b, macB, link);
  configureEnd(b, link.b, link.a, macA, link);
}

let labs = 0;

/** @throws Error with the reason of `labUnavailable`, or what `ip` said. Nothing is left behind then. */
export function makeLab(spec: LabSpec): Lab {
  const reason = labUnavailable();
  if (reason) throw new Error(`cannot make network namespaces: ${reason}`);
  if (spec.links.some((link) => (link.offloads ?? 'off') === 'off') && !hasProgram('ethtool')) {
    throw new Error('ethtool is missing: apt-get install ethtool');
  }
  hookExit();
  sweep();
  const hosts = new Map<string, Host>();
  const lab = new Lab(hosts);
  labs++;
  const prefix = `tsrlab-${process.pid}-${labs}${randomBytes(2).toString('hex')}`;
  try {
    for (const name of spec.hosts) hosts.set(name, makeHost(`${prefix}-${name}`, name));
    spec.links.forEach((link, i) => {
      makeLink(hosts, link, i);
    });
  } catch (error) {
    lab.teardownNow();
    throw error;
  }
  if (spec.links.some((link) => link.a.v6 || link.b.v6)) {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, MLD_SETTLE_MS);
  }
  return lab;
}
