/** Prometheus metrics of a running interception: a snapshot of its counters at every scrape. No address is a label. */
import type { Registry } from 'prom-client';
import { type LabelledRow, type MetricRow, snapshotRegistry } from './snapshot.ts';

/** What a scrape shows. */
export interface InterceptMetrics {
  readonly replies: number;
  readonly routed: number;
  readonly routedLate: number;
  readonly sessions: number;
  readonly agents: number;
  readonly accepted: number;
  readonly seconds: number;
  readonly delayP50Seconds: number;
  readonly delayP99Seconds: number;
  readonly ringRestarts: number;
  readonly unrouted: number;
  readonly lostToAgents: number;
  readonly droppedByKernel: number;
  readonly malformed: number;
  /** Connections that ended, by cause. */
  readonly ends: Readonly<Record<string, number>>;
}

/** Also the source of the table in the documentation. */
export const INTERCEPT_METRIC_ROWS: readonly MetricRow<InterceptMetrics>[] = [
  {
    name: 'tsintercept_replies_total',
    help: 'Replies of the services that the ring gave.',
    kind: 'counter',
    value: (m) => m.replies,
  },
  {
    name: 'tsintercept_replies_routed_total',
    help: 'Replies handed to the agent that registered their session.',
    kind: 'counter',
    value: (m) => m.routed,
  },
  {
    name: 'tsintercept_replies_routed_late_total',
    help: 'Of these, replies that came before their session was registered.',
    kind: 'counter',
    value: (m) => m.routedLate,
  },
  {
    name: 'tsintercept_sessions',
    help: 'Sessions registered now.',
    kind: 'gauge',
    value: (m) => m.sessions,
  },
  { name: 'tsintercept_agents', help: 'Agents connected now.', kind: 'gauge', value: (m) => m.agents },
  {
    name: 'tsintercept_connections_total',
    help: 'Connections accepted, those of no agent included.',
    kind: 'counter',
    value: (m) => m.accepted,
  },
  {
    name: 'tsintercept_delay_p50_seconds',
    help: 'Half of the hand-overs took less from the kernel to the tunnel.',
    kind: 'gauge',
    value: (m) => m.delayP50Seconds,
  },
  {
    name: 'tsintercept_delay_p99_seconds',
    help: '99 of 100 hand-overs took less from the kernel to the tunnel.',
    kind: 'gauge',
    value: (m) => m.delayP99Seconds,
  },
  {
    name: 'tsintercept_ring_restarts_total',
    help: 'Times that the ring was opened again after its interface was down or gone.',
    kind: 'counter',
    value: (m) => m.ringRestarts,
  },
  { name: 'tsintercept_elapsed_seconds', help: 'Seconds since the start.', kind: 'gauge', value: (m) => m.seconds },
];

/** Values of the label `cause` of tsintercept_replies_lost_total. */
export const INTERCEPT_LOSSES: readonly (readonly [cause: string, value: (m: InterceptMetrics) => number])[] = [
  ['unregistered', (m) => m.unrouted],
  ['agent_slow', (m) => m.lostToAgents],
  ['ring_full', (m) => m.droppedByKernel],
  ['malformed', (m) => m.malformed],
];

const LABELLED: readonly LabelledRow<InterceptMetrics>[] = [
  {
    name: 'tsintercept_replies_lost_total',
    help: 'Replies that reached no agent, by cause.',
    kind: 'counter',
    label: 'cause',
    values: (m) => INTERCEPT_LOSSES.map(([cause, value]) => [cause, value(m)] as const),
  },
  {
    name: 'tsintercept_connections_ended_total',
    help: 'Connections that ended, by cause.',
    kind: 'counter',
    label: 'cause',
    values: (m) => Object.entries(m.ends),
  },
];

export function interceptRegistry(snapshot: () => InterceptMetrics): Registry {
  return snapshotRegistry(snapshot, INTERCEPT_METRIC_ROWS, LABELLED);
}
