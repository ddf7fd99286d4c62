/** `--explain`: one line a host, in the order in which the hosts appear: how it was judged, and why. */

import type { Classifier } from '../flow/index.ts';
import { AutoClassifier, Evidence, hostText, MatchClassifier, Side } from '../flow/index.ts';
import { listed } from './values.ts';

const SPOKE: readonly (readonly [kind: number, one: string, more: string])[] = [
  [Evidence.Syn, 'sent a SYN', 'sent SYN'],
  [Evidence.DnsQuery, 'asked port 53', 'asked port 53'],
  [Evidence.SynAck, 'sent a SYN-ACK', 'sent SYN-ACK'],
  [Evidence.DnsResponse, 'answered from port 53', 'answered from port 53'],
  [Evidence.PortUnreachable, 'said that a port is unreachable', 'said that a port is unreachable'],
];

/** `rule`: how the addresses or the expression read that `--cidr` or `--regex` was given. */
export function* explainHosts(classifier: Classifier, rule: string): Generator<string> {
  if (classifier instanceof AutoClassifier) yield* explainAuto(classifier);
  else if (classifier instanceof MatchClassifier) {
    for (let id = 0; id < classifier.hosts.count; id++) {
      const verb = classifier.holds(id) ? 'matches' : 'does not match';
      yield `${hostText(classifier.hosts, id)} is ${side(classifier, id)}: it ${verb} ${rule}`;
    }
  }
}

function* explainAuto(classifier: AutoClassifier): Generator<string> {
  const { hosts, networks } = classifier;
  if (networks !== null) {
    const found = [];
    if (networks.ipv4 > 0) found.push(`/${networks.ipv4} for IPv4`);
    if (networks.ipv6 > 0) found.push(`/${networks.ipv6} for IPv6`);
    if (found.length === 0) yield 'No server networks are needed: there is no server, or no host that nothing tells of';
    else yield `Server networks: ${listed(found, 'and')}, the widest of the allowed ones that hold no client`;
  }
  for (let id = 0; id < hosts.count; id++) {
    const why = classifier.spec.mode === 'first' ? firstSeen(classifier, id) : traffic(classifier, id);
    yield `${hostText(hosts, id)} is ${side(classifier, id)}: ${why}`;
  }
}

function side(classifier: Classifier, id: number): string {
  return classifier.isPrimary(id) ? 'client (primary)' : 'server (secondary)';
}

function firstSeen(classifier: AutoClassifier, id: number): string {
  return `first seen as a ${classifier.side(id) === Side.Client ? 'source' : 'destination'}`;
}

function traffic(classifier: AutoClassifier, id: number): string {
  const parts: string[] = [];
  for (const [kind, one, more] of SPOKE) {
    const times = classifier.evidence(id, kind);
    if (times > 0) parts.push(times === 1 ? one : `${more} ${times} times`);
  }
  const { mode, ratio } = classifier.spec;
  if (parts.length === 0) return `nothing tells; ${unknownRule(classifier, id, mode)}`;
  const clientCount = classifier.clientCount(id);
  const serverCount = classifier.serverCount(id);
  const said = listed(parts, 'and');
  if (clientCount === 0 || serverCount === 0) return said;
  const sign = serverCount >= clientCount * ratio ? 'at least' : 'less than';
  return `${said}: ${serverCount} times a server is ${sign} ${clientCount} times a client × ratio ${ratio}`;
}

function unknownRule(classifier: AutoClassifier, id: number, mode: string): string {
  const { networks, hosts, spec } = classifier;
  if (mode === 'client') return 'mode client takes unknown hosts for clients';
  if (mode === 'bridge' || mode === 'server') return `mode ${mode} takes unknown hosts for servers`;
  if (networks === null || networks.inside[id] !== 1) {
    return `it lies in no server's network, and --nonip is ${spec.nonIpPrimary ? '' : 'not '}given`;
  }
  return `it lies in a server's network of /${hosts.version(id) === 4 ? networks.ipv4 : networks.ipv6}`;
}
