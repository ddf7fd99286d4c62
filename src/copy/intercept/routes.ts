/**
 * Mode `host`: the rules that send a service's replies into a device that leads nowhere.
 *
 * ```
 * ip rule   pref 524  iif lo  ipproto tcp  sport 80        lookup 36524     replies of this host's own service
 * table     throw 10.1.0.0/16                              --except: on to the host's other rules, as ever
 *           default dev tsintercept0                       the ring sees them there
 *           blackhole default metric 4000000000            the device is gone (kill -9): still to nobody
 * ```
 * Why the source port: a reply is a reply of the service whoever the client is, so that not one packet can reach a
 * client before its session is known, and nothing has to be matched per session. Other ports (the operator's ssh, the
 * tunnel) are not touched, nor are connections of this host with itself, which the table `local` answers first. Marks
 * of nftables are not used: they need conntrack, and rules of the operator's own may overwrite them.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { isIPv6 } from 'node:net';
import { OperatorError } from '../../base/errors.ts';
import { type DeadEnd, openDeadEnd } from '../../device/dead_end.ts';
import { ipJson } from '../../device/host.ts';
import { linkFacts } from '../../device/link.ts';
import { raiseFirewall, removeFirewall } from './firewall.ts';
import { outside } from './services.ts';
import type { ServiceSpec } from './spec.ts';

export const DEVICE = 'tsintercept0';
export const TABLE = 36_524;
export const PREFERENCE = 524;
/** Of the rules that a start puts beside those of a killed run, until it takes the old ones away. */
const PREFERENCE_BESIDE = 525;
const BLACKHOLE_METRIC = 4_000_000_000;
const MTU_DEFAULT = 1500;
/** Networks for documentation: no client has these (RFC 5737, RFC 3849). */
const PROBES = ['192.0.2.1', '198.51.100.1', '203.0.113.1', '2001:db8::1', '2001:db8:ffff::1'];

type Family = '-4' | '-6';

interface RuleJson {
  readonly priority: number;
  readonly table?: string;
}

interface RouteJson {
  readonly dst?: string;
  readonly dev?: string;
  readonly type?: string;
}

export interface Leftovers {
  readonly rules: number;
  readonly routes: number;
  readonly device: boolean;
}

function hasIpv6(): boolean {
  return existsSync('/proc/net/if_inet6') && existsSync('/proc/sys/net/ipv6');
}

function families(): readonly Family[] {
  return hasIpv6() ? ['-4', '-6'] : ['-4'];
}

function familyOf(address: string): Family {
  return isIPv6(address.split('/')[0]!) ? '-6' : '-4';
}

/** Takes away what a killed run has left. Throws PERMISSION or SYSTEM. */
export function cleanUpRoutes(): Leftovers {
  const rules = ownRules();
  for (const rule of rules) removeRule(rule);
  removeFirewall();
  let routes = 0;
  for (const family of families()) {
    const count = tableRoutes(family).length;
    if (count > 0) change(family, 'route', 'flush', 'table', String(TABLE));
    routes += count;
  }
  return { rules: rules.length, routes, device: removeDevice() };
}

interface OwnRule {
  readonly family: Family;
  readonly preference: number;
}

/** Rules that look into our table, one entry each. */
function ownRules(): OwnRule[] {
  return families().flatMap((family) =>
    ipJson<RuleJson>('-N', family, 'rule', 'show')
      .filter((rule) => rule.table === String(TABLE))
      .map((rule) => ({ family, preference: rule.priority })),
  );
}

function removeRule({ family, preference }: OwnRule): void {
  change(family, 'rule', 'del', 'pref', String(preference), 'table', String(TABLE));
}

function removeDevice(): boolean {
  const isThere = existsSync(`/proc/sys/net/ipv4/conf/${DEVICE}`);
  if (isThere) change('-4', 'link', 'del', DEVICE);
  return isThere;
}

/** A table that was never used is no table: nothing is in it. */
function tableRoutes(family: Family): RouteJson[] {
  try {
    return ipJson<RouteJson>(family, 'route', 'show', 'table', String(TABLE));
  } catch {
    return [];
  }
}

function change(family: Family, ...args: string[]): void {
  try {
    ipJson(family, ...args);
  } catch (error) {
    if (!(error instanceof OperatorError)) throw error;
    if (/not permitted/.test(error.message)) {
      const remedy = 'run with sudo, or under systemd with AmbientCapabilities=CAP_NET_ADMIN CAP_NET_RAW';
      throw new OperatorError('PERMISSION', `no permission to change rules and routes: ${remedy}`, { cause: error });
    }
    throw error;
  }
}

export class InterceptRoutes {
  readonly #services: readonly ServiceSpec[];
  readonly #except: readonly string[];
  #deadEnd: DeadEnd | null = null;
  /** Rules of a killed run: they hold until ours stand beside them, so that no reply slips out in between. */
  #old: readonly OwnRule[] = [];
  #preference = PREFERENCE;
  #mtu = MTU_DEFAULT;

  constructor(services: readonly ServiceSpec[], except: readonly string[]) {
    this.#services = services;
    this.#except = except;
  }

  /**
   * Finds what a killed run has left and keeps what swallows: its rules and the blackhole, until `divert`. Its device
   * and its exceptions go at once. Throws PERMISSION or SYSTEM.
   */
  adopt(): Leftovers {
    this.#old = ownRules();
    if (this.#old.some(({ preference }) => preference === PREFERENCE)) this.#preference = PREFERENCE_BESIDE;
    let routes = 0;
    for (const family of families()) {
      for (const { type, dst } of tableRoutes(family)) {
        routes++;
        if (type === 'throw') change(family, 'route', 'del', 'throw', dst ?? 'default', 'table', String(TABLE));
      }
    }
    return { rules: this.#old.length, routes, device: removeDevice() };
  }

  /** The device and the table; nothing is diverted yet. Throws PERMISSION, UNSUPPORTED, INTERFACE or SYSTEM. */
  open(): void {
    this.#mtu = usualMtu();
    this.#openDevice();
    for (const family of this.#families()) {
      const table = ['table', String(TABLE)];
      for (const network of this.#except) {
        if (familyOf(network) === family) change(family, 'route', 'replace', 'throw', network, ...table);
      }
      change(family, 'route', 'replace', 'blackhole', 'default', 'metric', String(BLACKHOLE_METRIC), ...table);
      this.#leadIn(family);
    }
  }

  #openDevice(): void {
    this.#deadEnd = openDeadEnd(DEVICE);
    if (hasIpv6()) {
      // No address of its own: neighbour discovery would be seen as replies.
      write(`/proc/sys/net/ipv6/conf/${DEVICE}/addr_gen_mode`, '1');
      write(`/proc/sys/net/ipv6/conf/${DEVICE}/disable_ipv6`, '0');
    }
    change('-4', 'link', 'set', DEVICE, 'mtu', String(this.#mtu));
  }

  #leadIn(family: Family): void {
    change(family, 'route', 'replace', 'default', 'dev', DEVICE, 'metric', '1', 'table', String(TABLE));
  }

  /** Somebody has set the device down or taken it away: makes it anew. Until then the blackhole holds. */
  restore(): void {
    this.#deadEnd?.close();
    this.#openDevice();
    for (const family of this.#families()) this.#leadIn(family);
  }

  /** From here on replies go to nobody. Returns why a firewall's own packets might still, or null. */
  divert(): string | null {
    const why = raiseFirewall(this.#services, this.#except, DEVICE);
    for (const { address, port } of this.#services) {
      for (const family of address === null ? this.#families() : [familyOf(address)]) {
        // Of another network namespace on this host (a container): its replies are forwarded, not made here.
        const own = address === null || isOwn(address, family);
        const from = address === null ? [] : ['from', address];
        const where = own ? ['iif', 'lo'] : [];
        const match = [...from, ...where, 'ipproto', 'tcp', 'sport', String(port)];
        change(family, 'rule', 'add', 'pref', String(this.#preference), ...match, 'table', String(TABLE));
        if (own) this.#verify(address, port, family);
      }
    }
    for (const rule of this.#old) removeRule(rule);
    this.#old = [];
    return why;
  }

  /** Asks the kernel where a reply would go. */
  #verify(address: string | null, port: number, family: Family): void {
    const probe = outside(
      PROBES.filter((each) => familyOf(each) === family),
      this.#except,
    );
    if (probe === null) return;
    const from = address === null ? [] : ['from', address];
    const [route] = ipJson<RouteJson>(
      ...[family, 'route', 'get', probe, ...from, 'ipproto', 'tcp', 'sport', String(port)],
    );
    if (route?.dev === DEVICE) return;
    const dev = route?.dev ?? 'nowhere';
    throw new OperatorError(
      'ADDRESS',
      `a rule of this host goes before ours, so replies from port ${port} would leave by ${dev}: ` +
        `see ip ${family} rule, and give that rule a number above ${this.#preference}`,
    );
  }

  #families(): readonly Family[] {
    const named = this.#services.map(({ address }) => address);
    return families().filter((family) => named.some((each) => each === null || familyOf(each) === family));
  }

  /**
   * Ends the copied connections of the services while their last words still reach nobody: afterwards a real client
   * would be sent packets of a connection that it never made. Returns how many, or null: `ss` cannot do it here.
   */
  abortConnections(): number | null {
    const own = ipJson<{ addr_info?: { local: string }[] }>('address', 'show').flatMap((link) =>
      (link.addr_info ?? []).map(({ local }) => local),
    );
    const sources = this.#services.map(({ address, port }) =>
      address === null ? `sport = :${port}` : `( src ${bracketed(address)} and sport = :${port} )`,
    );
    const spared = [...this.#except, ...own, '127.0.0.0/8'].map((network) => `and not dst ${bracketed(network)}`);
    const filter = `( ${sources.join(' or ')} ) ${spared.join(' ')}`.split(' ');
    const result = spawnSync('ss', ['-K', '-H', '-t', '-n', 'state', 'connected', ...filter], { encoding: 'utf8' });
    if (result.error !== undefined || result.status !== 0) return null;
    return result.stdout.split('\n').filter((line) => line.trim() !== '').length;
  }

  /**
   * Device, rules, routes, in this order: the blackhole holds until the rules are gone. Never throws: what could not be
   * taken away is returned as a sentence.
   */
  close(): string | null {
    try {
      this.#deadEnd?.close();
      cleanUpRoutes();
      return null;
    } catch (error) {
      return `rules could not be taken away (${(error as Error).message}): tsintercept --cleanup`;
    }
  }
}

/** That of the way which the replies would take, so that segments and announced sizes stay what they would be. */
function usualMtu(): number {
  for (const family of families()) {
    for (const probe of PROBES) {
      if (familyOf(probe) !== family) continue;
      try {
        const dev = ipJson<RouteJson>(family, 'route', 'get', probe)[0]?.dev;
        if (dev !== undefined && dev !== 'lo') return linkFacts(dev).mtu;
      } catch {
        // no route in this family
      }
    }
  }
  return MTU_DEFAULT;
}

function isOwn(address: string, family: Family): boolean {
  try {
    return ipJson<RouteJson>(family, 'route', 'get', address)[0]?.type === 'local';
  } catch {
    return false;
  }
}

/** As `ss` reads it: brackets around an IPv6 address, but not where a prefix length follows. */
function bracketed(network: string): string {
  return network.includes('/') || !isIPv6(network) ? network : `[${network}]`;
}

function write(path: string, value: string): void {
  try {
    writeFileSync(path, value);
  } catch {
    // An older kernel does not have it, or it is so already; what matters is verified afterwards.
  }
}

/** A number under /proc/sys, or null where there is none. */
export function sysctl(path: string): number | null {
  try {
    return Number(readFileSync(`/proc/sys/${path}`, 'utf8').trim());
  } catch {
    return null;
  }
}
