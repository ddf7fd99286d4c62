/** Filters of an agent's rings, as libpcap expressions: which packets are clients', which are replies, and whose. */
import type { AgentService, AgentTarget } from './spec.ts';
import { addressText } from './words.ts';

/**
 * Both directions of a session belong to one worker, by the client's port: no thread ever passes a packet on. Half the
 * port, as Linux hands out even ports first.
 */
function shareOf(worker: number, workers: number, side: 'src' | 'dst', isIpv6: boolean): string {
  if (workers === 1) return '';
  const at = side === 'src' ? 0 : 2;
  const port = isIpv6 ? `ip6[${40 + at}:2]` : `tcp[${at}:2]`;
  return ` and (${port} / 2) % ${workers} = ${worker}`;
}

const alternatives = (parts: readonly string[]): string => (parts.length === 1 ? parts[0]! : `(${parts.join(' or ')})`);

/** Packets of clients to the services, none from or to a target, none of `except` (addresses that have no business). */
export function clientFilter(
  services: readonly AgentService[],
  targets: readonly AgentTarget[],
  except: readonly string[],
  extra: string,
): string {
  const parts = services.map(({ address, port }) => {
    const where = address === null ? '' : ` and dst host ${addressText(address)}`;
    return `(tcp dst port ${port}${where})`;
  });
  const own = [...new Set([...targets.map(({ host }) => host), ...except])];
  const not = own.map((host) => ` and not host ${host}`).join('');
  return `${alternatives(parts)}${not}${extra === '' ? '' : ` and (${extra})`}`;
}

/** `filter` for one worker of several. */
export function clientShare(filter: string, families: readonly (4 | 6)[], worker: number, workers: number): string {
  const parts = families.map((family) => {
    const isIpv6 = family === 6;
    return `(${isIpv6 ? 'ip6' : 'ip'} and ${filter}${shareOf(worker, workers, 'src', isIpv6)})`;
  });
  return alternatives(parts);
}

/** Replies of the targets to one worker's clients. */
export function replyFilter(targets: readonly AgentTarget[], worker: number, workers: number): string {
  const seen = new Set<string>();
  for (const { host, port, address } of targets) {
    const isIpv6 = address.length === 4;
    seen.add(`(src host ${host} and tcp src port ${port}${shareOf(worker, workers, 'dst', isIpv6)})`);
  }
  return alternatives([...seen]);
}
