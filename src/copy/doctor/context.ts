/** What is known of a probe beside the sightings of one target, and questions to both. Pure. */
import type { AgentTarget } from '../agent/spec.ts';
import type { HostFacts, ProbeReport, Sighting } from '../tunnel/probe.ts';
import type { Welcome } from '../tunnel/protocol.ts';
import type { ProbeEvidence, ProbeResult } from './probe.ts';
import { serviceOf } from './watch.ts';

/** What is known beside the sightings of one target. */
export interface ProbeContext {
  readonly mode: 'local' | 'host' | 'assistant';
  /** Null: it was not asked, or did not answer. */
  readonly before: ProbeReport | null;
  readonly after: ProbeReport | null;
  readonly hereFault: string | null;
  /** Who swallows: `tsintercept at 10.0.0.9:36524`, `this host`. */
  readonly interception: string;
  /** Address that replies are to be routed to: this host's on the way out, or the assistant's; null: not known. */
  readonly gateway: string | null;
}

/** `welcome`, `where`: of the tunnel; null with `local`. `facts`: of this host. */
export function contextOf(
  { before, after, hereFault }: ProbeResult,
  { device, address }: AgentTarget,
  tunnel: { readonly welcome: Welcome; readonly where: string } | null,
  facts: HostFacts,
): ProbeContext {
  const report = after ?? before;
  const near = tunnel === null ? facts : report?.facts;
  const name = tunnel === null ? device : report?.interface;
  const isOfFamily = (each: string): boolean => each.includes(':') === (address.length === 4) && !/^fe80:/i.test(each);
  const gateway = near?.interfaces.find((each) => each.name === name)?.addresses.find(isOfFamily) ?? null;
  return {
    mode: tunnel?.welcome.mode ?? 'local',
    before,
    after,
    hereFault,
    interception: tunnel === null ? 'this host' : `tsintercept at ${tunnel.where}`,
    gateway,
  };
}

export function seen(
  sightings: readonly Sighting[],
  kind: Sighting['kind'],
  way?: Sighting['way'],
): Sighting | undefined {
  return sightings.find((each) => each.kind === kind && (way === undefined || each.way === way));
}

/** Whatever the target has said to the probe, wherever that was seen. */
export function answerSeen({ answer, here, there }: ProbeEvidence): 'SYN-ACK' | 'RST' | null {
  if (answer !== null) return answer.kind;
  const all = [...here, ...there];
  return seen(all, 'SYN-ACK') ? 'SYN-ACK' : seen(all, 'RST') ? 'RST' : null;
}

/** Whether a report comes from the host that has this address. */
export function hasAddress(report: ProbeReport, host: string): boolean {
  const own = report.facts.interfaces.flatMap(({ addresses }) => addresses);
  return own.length === 0 || own.some((address) => serviceOf(address, 1) === serviceOf(host, 1));
}
