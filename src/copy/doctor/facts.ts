/** How this host is set up, as far as copies and their replies go. */
import { readFileSync } from 'node:fs';
import { ipJson } from '../../device/host.ts';
import type { HostFacts, HostInterface } from '../tunnel/probe.ts';

/** Hosts of containers have thousands. */
const INTERFACES_MAX = 128;

interface AddressJson {
  readonly ifname: string;
  readonly mtu: number;
  readonly flags: readonly string[];
  readonly addr_info?: readonly { readonly local?: string }[];
}

/** Interfaces that are up, without the loopback; none where the program `ip` is missing. */
export function hostFacts(): HostFacts {
  const all = sysctl('net/ipv4/conf/all/rp_filter');
  const interfaces = links()
    .filter(({ flags }) => flags.includes('UP') && !flags.includes('LOOPBACK'))
    .slice(0, INTERFACES_MAX)
    .map(({ ifname, mtu, addr_info }): HostInterface => {
      const own = sysctl(`net/ipv4/conf/${ifname}/rp_filter`);
      return {
        name: ifname,
        mtu,
        rpFilter: own === null ? all : Math.max(own, all ?? 0),
        forwards4: sysctl(`net/ipv4/conf/${ifname}/forwarding`),
        forwards6: sysctl(`net/ipv6/conf/${ifname}/forwarding`),
        addresses: (addr_info ?? []).flatMap(({ local }) => local ?? []),
      };
    });
  const { IPReversePathFilter = 0, ListenDrops = 0 } = tcpExtensions();
  return { interfaces, reversePathDrops: IPReversePathFilter, listenDrops: ListenDrops };
}

function links(): AddressJson[] {
  try {
    return ipJson<AddressJson>('address', 'show');
  } catch {
    return [];
  }
}

/** Counters TcpExt of this network namespace (/proc/net/netstat: a line of names, a line of numbers). */
function tcpExtensions(): Record<string, number> {
  const rows = text('/proc/net/netstat')
    .split('\n')
    .filter((line) => line.startsWith('TcpExt:'))
    .map((line) => line.split(' ').slice(1));
  const [names = [], values = []] = rows;
  return Object.fromEntries(names.map((name, i) => [name, Number(values[i] ?? 0)]));
}

/** A number under /proc/sys, or null where there is none. */
export function sysctl(path: string): number | null {
  const value = text(`/proc/sys/${path}`).trim();
  return value === '' ? null : Number(value);
}

function text(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
