/** Mode `host`: replies that the far host's own routes lead past the interception. Pure. */
import type { AgentTarget } from '../agent/spec.ts';
import type { ProbeReport, ReplyRoute } from '../tunnel/probe.ts';
import { hostPortText } from './check.ts';

/** The route of the target's replies, where it does not lead into the interception; undefined: it does. */
export function strayRoute(report: ProbeReport, target: AgentTarget): ReplyRoute | undefined {
  const own = [String(target.port), hostPortText(target)];
  return report.replyRoutes.find(({ service, device }) => own.includes(service) && device !== report.interface);
}

export function strayText({ service, device }: ReplyRoute, { interface: name }: ProbeReport): string {
  return `routes replies of ${service} to ${device}, not into ${name}`;
}

export function strayRemedy(host: string, { except }: ProbeReport): string {
  const spared = except.length > 0 ? `; it spares --except ${except.join(',')}` : '';
  return `on ${host}: ip rule shows what goes before tsintercept's own rule, or that it is gone${spared}`;
}
