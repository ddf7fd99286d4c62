/** What stands against an interception on this host, found before anything is changed. */
import { OperatorError } from '../../base/errors.ts';
import { hasCapability, ipJson, permissionRemedy } from '../../device/host.ts';
import { linkFacts, sysctlName } from '../../device/link.ts';
import { sysctl } from './routes.ts';
import type { InterceptSpec, ServiceSpec } from './spec.ts';

interface AddressJson {
  readonly ifname: string;
  readonly flags: readonly string[];
  readonly addr_info?: readonly { readonly family: string; readonly local: string }[];
}

/** Throws PERMISSION, INTERFACE or ADDRESS, one sentence with the line that mends it. */
export function checkMachine(spec: InterceptSpec): void {
  const needs = spec.mode === 'host' ? (['CAP_NET_ADMIN', 'CAP_NET_RAW'] as const) : (['CAP_NET_RAW'] as const);
  const missing = needs.filter((name) => !hasCapability(name));
  if (missing.length > 0) {
    const what = spec.mode === 'host' ? 'divert and capture replies' : 'capture replies';
    throw new OperatorError('PERMISSION', `no permission to ${what}: ${permissionRemedy(...missing)}`);
  }
  if (spec.interface !== null) linkFacts(spec.interface);
  if (spec.mode === 'host') checkReversePath(spec);
  else checkForwarding(spec.interface!);
}

/**
 * A copy comes from an address whose replies our rule sends elsewhere: strict reverse-path filtering (RFC 3704) drops
 * it without a word. The kernel takes the larger of the two settings.
 */
function checkReversePath(spec: InterceptSpec): void {
  if (!spec.services.some(({ address }) => address === null || !address.includes(':'))) return;
  const all = sysctl('net/ipv4/conf/all/rp_filter') ?? 0;
  for (const name of spec.interface === null ? arrivals(spec.services) : [spec.interface]) {
    const own = sysctl(`net/ipv4/conf/${name}/rp_filter`) ?? 0;
    if (Math.max(all, own) !== 1) continue;
    throw new OperatorError(
      'ADDRESS',
      `rp_filter=1 on ${name} drops packets from the clients' addresses: ` +
        `sysctl -w net.ipv4.conf.${sysctlName(name)}.rp_filter=2`,
    );
  }
}

/** Interfaces that copies may come in by: those with the services' addresses; the default route's; else all. */
function arrivals(services: readonly ServiceSpec[]): readonly string[] {
  const links = ipJson<AddressJson>('address', 'show').filter(({ flags }) => flags.includes('UP'));
  const outer = links.filter(
    ({ flags, addr_info }) => !flags.includes('LOOPBACK') && (addr_info ?? []).some(({ family }) => family === 'inet'),
  );
  const named = services.flatMap(({ address }) => (address === null ? [] : [address]));
  const having = outer.filter(({ addr_info }) => (addr_info ?? []).some(({ local }) => named.includes(local)));
  if (named.length === services.length && having.length > 0) return having.map(({ ifname }) => ifname);
  const defaults = ipJson<{ dev?: string }>('-4', 'route', 'show', 'default').flatMap(({ dev }) => dev ?? []);
  return defaults.length > 0 ? [...new Set(defaults)] : outer.map(({ ifname }) => ifname);
}

/** A host that forwards would send the replies on to the real clients, which answer each with a reset. */
function checkForwarding(name: string): void {
  if (sysctl(`net/ipv4/conf/${name}/forwarding`) === 1) {
    const line = `sysctl -w net.ipv4.conf.${name}.forwarding=0 (or net.ipv4.ip_forward=0 for all interfaces)`;
    throw new OperatorError(
      'ADDRESS',
      `ip_forward=1 on ${name} would send the replies on to the real clients: ${line}`,
    );
  }
  const all = sysctl('net/ipv6/conf/all/forwarding');
  if (all === 1 || sysctl(`net/ipv6/conf/${name}/forwarding`) === 1) {
    const line = `sysctl -w net.ipv6.conf.${all === 1 ? 'all' : name}.forwarding=0`;
    throw new OperatorError(
      'ADDRESS',
      `IPv6 forwarding on ${name} would send the replies on to the real clients: ${line}`,
    );
  }
}
