/** Filters of an agent's rings, as libpcap expressions: which packets are clients', which are replies, and whose. */
import type { AgentSpec, AgentTarget } from './spec.ts';
import { addressText } from './words.ts';

type Family = 4 | 6;

const familyOf = (target: AgentTarget): Family => (target.address.length === 4 ? 6 : 4);

/**
 * Both directions of a session belong to one worker, by the client's port: no thread ever passes a packet on. Half the
 * port, as Linux hands out even ports first.
 */
function shareOf(worker: number, workers: number, side: 'src' | 'dst', family: Family): string {
  if (workers === 1) return '';
  const at = side === 'src' ? 0 : 2;
  const port = family === 6 ? `ip6[${40 + at}:2]` : `tcp[${at}:2]`;
  return ` and (${port} / 2) % ${workers} = ${worker}`;
}

const alternatives = (parts: readonly string[]): string => (parts.length === 1 ? parts[0]! : `(${parts.join(' or ')})`);

const isOf = (family: Family) => (address: string) => address.includes(':') === (family === 6);

/**
 * Packets of clients to the services, for one worker of several: none from or to a target, none from an address of
 * `except`.
 */
export function clientFilter(spec: AgentSpec, except: readonly string[], extra: string, worker: number): string {
  const families = [...new Set(spec.targets.map(familyOf))];
  const parts = families.map((family) => {
    const services = spec.services.filter(({ targets }) => familyOf(spec.targets[targets[0]!]!) === family);
    const to = services.map(({ address, port }) =>
      address === null ? `tcp dst port ${port}` : `(tcp dst port ${port} and dst host ${addressText(address)})`,
    );
    const targets = [...new Set(spec.targets.map(({ host }) => host))].filter(isOf(family));
    const not = targets.map((host) => ` and not host ${host}`).join('');
    const notFrom = except
      .filter(isOf(family))
      .map((host) => ` and not src host ${host}`)
      .join('');
    const share = shareOf(worker, spec.workers, 'src', family);
    return `(${family === 6 ? 'ip6' : 'ip'} and ${alternatives(to)}${not}${notFrom}${share})`;
  });
  return `${alternatives(parts)}${extra === '' ? '' : ` and (${extra})`}`;
}

/**
 * Replies of the services to one worker's clients, as they leave: none of a target, none to a service, as such packets
 * would be taken for clients'.
 */
export function productionFilter(spec: AgentSpec, worker: number): string {
  const families = [...new Set(spec.targets.map(familyOf))];
  const ports = [...new Set(spec.services.map(({ port }) => port))];
  const parts = families.map((family) => {
    const services = spec.services.filter(({ targets }) => familyOf(spec.targets[targets[0]!]!) === family);
    const from = services.map(({ address, port }) =>
      address === null ? `tcp src port ${port}` : `(tcp src port ${port} and src host ${addressText(address)})`,
    );
    const targets = [...new Set(spec.targets.map(({ host }) => host))].filter(isOf(family));
    const not = targets.map((host) => ` and not host ${host}`).join('');
    const notTo = ports.map((port) => ` and not tcp dst port ${port}`).join('');
    const share = shareOf(worker, spec.workers, 'dst', family);
    return `(${family === 6 ? 'ip6' : 'ip'} and ${alternatives(from)}${not}${notTo}${share})`;
  });
  return alternatives(parts);
}

/** Replies of the targets to one worker's clients. */
export function replyFilter(targets: readonly AgentTarget[], worker: number, workers: number): string {
  const seen = new Set<string>();
  for (const target of targets) {
    const share = shareOf(worker, workers, 'dst', familyOf(target));
    seen.add(`(src host ${target.host} and tcp src port ${target.port}${share})`);
  }
  return alternatives([...seen]);
}
