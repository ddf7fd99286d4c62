/**
 * Mode `host`, behind the routing rules: a table of nftables that lets packets of the services out nowhere else.
 *
 * What the host's own firewall makes (`reject with tcp reset`) or routes anew (a changed mark) is routed without its
 * ports (`ip_route_me_harder`, net/ipv4/netfilter.c), so that `ip rule` with a port does not see it. The table needs no
 * connection tracking. Like the blackhole it stands after `kill -9`, until the next start or `--cleanup`.
 */
import { spawnSync } from 'node:child_process';
import { isIPv6 } from 'node:net';
import type { ServiceSpec } from './spec.ts';

const TABLE = 'inet tsintercept';
/** Behind whatever else changes or routes packets. */
const PRIORITY = 300;
const TIMEOUT_MS = 5_000;

/** Makes the table, in the place of one that a killed run has left. Returns why it cannot, or null. */
export function raiseFirewall(
  services: readonly ServiceSpec[],
  except: readonly string[],
  device: string,
): string | null {
  const rules = [
    `oifname { "lo", "${device}" } accept`,
    ...except.map((network) => `${isIPv6(network.split('/')[0]!) ? 'ip6' : 'ip'} daddr ${network} accept`),
    ...services.map(({ address, port }) => {
      const from = address === null ? '' : `${isIPv6(address) ? 'ip6' : 'ip'} saddr ${address} `;
      return `${from}tcp sport ${port} drop`;
    }),
  ];
  const chain = `type filter hook output priority ${PRIORITY}; policy accept;\n${rules.join('\n')}`;
  return nft(`add table ${TABLE}\ndelete table ${TABLE}\ntable ${TABLE} {\nchain replies {\n${chain}\n}\n}\n`);
}

/** Takes the table away, if there is one. */
export function removeFirewall(): void {
  nft(`add table ${TABLE}\ndelete table ${TABLE}\n`);
}

/** One transaction: all of it, or nothing. */
function nft(commands: string): string | null {
  const done = spawnSync('nft', ['-f', '-'], { encoding: 'utf8', input: commands, timeout: TIMEOUT_MS });
  if (done.error !== undefined) return done.error.message;
  return done.status === 0 ? null : (done.stderr.split('\n')[0] ?? '');
}
