/** What `tsintercept` says: ready, the live line, the report, as text and as JSON. */
import { formatNs, groupDigits } from '../base/units.ts';
import type { InterceptSnapshot } from '../copy/intercept/intercept.ts';
import { type InterceptSpec, serviceText } from '../copy/intercept/spec.ts';
import type { InterceptMetrics } from '../metrics/intercept.ts';

export interface Ready {
  readonly interface: string;
  readonly port: number;
}

const shownHost = (host: string): string => (host.includes(':') ? `[${host}]` : host);

export function readyLine(spec: InterceptSpec, ready: Ready): string {
  const services = spec.services.map(serviceText).join(', ');
  const how = spec.mode === 'host' ? `into ${ready.interface}` : `on ${ready.interface}`;
  const secure = spec.tls === null ? '' : ' with TLS';
  const where = `${shownHost(spec.listen.host)}:${ready.port}${secure}`;
  return `Ready: replies of ${services} are swallowed ${how}, agents connect to ${where}`;
}

export function readyJson(spec: InterceptSpec, ready: Ready, version: string): Record<string, unknown> {
  return {
    event: 'ready',
    tool: 'tsintercept',
    version,
    pid: process.pid,
    mode: spec.mode,
    services: spec.services.map(serviceText),
    except: spec.except,
    interface: ready.interface,
    listen: { host: spec.listen.host, port: ready.port },
    tls: spec.tls !== null,
  };
}

/** One object: counts since the start. */
export function reportJson(snapshot: InterceptSnapshot): Record<string, unknown> {
  return { event: 'report', tool: 'tsintercept', ...snapshot };
}

export interface LivePoint {
  readonly seconds: number;
  readonly replies: number;
}

/** Parts are left out from the right where the terminal is narrow. */
export function interceptLiveLine(now: InterceptSnapshot, before: LivePoint, columns: number): string {
  const span = now.seconds - before.seconds;
  const rate = span > 0 ? (now.replies - before.replies) / span : 0;
  const parts = [
    `${now.agents.length} ${now.agents.length === 1 ? 'agent' : 'agents'}`,
    `${groupDigits(now.sessions)} sessions`,
    `${groupDigits(now.replies)} replies`,
    `${groupDigits(rate)}/s`,
    `delay p99 ${formatNs(now.delayNs.p99)}`,
  ];
  if (now.unrouted > 0) parts.push(`${groupDigits(now.unrouted)} unregistered`);
  if (now.lostToAgents > 0) parts.push(`${groupDigits(now.lostToAgents)} lost to slow agents`);
  if (now.droppedByKernel > 0) parts.push(`${groupDigits(now.droppedByKernel)} dropped by the kernel`);
  let line = parts[0]!;
  for (const part of parts.slice(1)) {
    if (line.length + 2 + part.length > columns - 1) break;
    line += `, ${part}`;
  }
  return line.slice(0, Math.max(0, columns - 1));
}

export function reportLines(end: InterceptSnapshot): string[] {
  const strangers = Object.entries(end.ends).filter(([why]) => why !== 'closed' && why !== 'shutdown');
  const [seen, routed] = [groupDigits(end.replies), groupDigits(end.routed)];
  const lines = [
    `Replies: ${seen} seen, ${routed} handed to agents in ${end.seconds.toFixed(1)} s`,
    `\tBefore their registration: ${groupDigits(end.routedLate)}`,
    `\tOf unregistered sessions:  ${groupDigits(end.unrouted)}`,
    `\tLost to slow agents:       ${groupDigits(end.lostToAgents)}`,
    `\tDropped by the kernel:     ${groupDigits(end.droppedByKernel)}`,
    `\tMalformed:                 ${groupDigits(end.malformed)}`,
    `Delay: p50 ${formatNs(end.delayNs.p50)}, p99 ${formatNs(end.delayNs.p99)}, max ${formatNs(end.delayNs.max)}`,
    `Agents: ${end.connections.authenticated} of ${end.connections.accepted} connections`,
  ];
  for (const [why, count] of strangers) lines.push(`\t${`${why}:`.padEnd(26)} ${groupDigits(count)}`);
  if (end.connectionsAborted !== null) lines.push(`Copied connections ended: ${groupDigits(end.connectionsAborted)}`);
  return lines;
}

export function interceptMetrics(now: InterceptSnapshot): InterceptMetrics {
  return {
    replies: now.replies,
    routed: now.routed,
    routedLate: now.routedLate,
    sessions: now.sessions,
    agents: now.agents.length,
    accepted: now.connections.accepted,
    seconds: now.seconds,
    delayP50Seconds: now.delayNs.p50 / 1e9,
    delayP99Seconds: now.delayNs.p99 / 1e9,
    ringRestarts: now.ringRestarts,
    unrouted: now.unrouted,
    lostToAgents: now.lostToAgents,
    droppedByKernel: now.droppedByKernel,
    malformed: now.malformed,
    ends: now.ends,
  };
}
