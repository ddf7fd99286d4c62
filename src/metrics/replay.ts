/** Prometheus metrics of a running replay. The only label is the interface's name. */
import type { Registry } from 'prom-client';
import { type LabelledRow, type MetricRow, snapshotRegistry } from './snapshot.ts';

/** What a scrape shows; plain numbers, taken at the moment of the scrape. */
export interface ReplayMetrics {
  readonly packetsRead: number;
  readonly packetsSkipped: number;
  readonly bytesSent: number;
  readonly seconds: number;
  /** 1-based. */
  readonly loop: number;
  readonly latenessNsLast: number;
  readonly latenessNsMax: number;
  readonly paused: boolean;
  readonly outputs: readonly { readonly name: string; readonly sent: number; readonly failed: number }[];
}

const NS_PER_SECOND = 1e9;

/** Metrics without a label; also the source of the table in the documentation. */
export const METRIC_ROWS: readonly MetricRow<ReplayMetrics>[] = [
  {
    name: 'tsreplay_packets_read_total',
    help: 'Packets read from the captures.',
    kind: 'counter',
    value: (m) => m.packetsRead,
  },
  {
    name: 'tsreplay_packets_skipped_total',
    help: 'Packets left out on purpose: selection, filter, oversize policy, planned loss.',
    kind: 'counter',
    value: (m) => m.packetsSkipped,
  },
  { name: 'tsreplay_bytes_sent_total', help: 'Link-layer bytes sent.', kind: 'counter', value: (m) => m.bytesSent },
  {
    name: 'tsreplay_elapsed_seconds',
    help: 'Seconds since the first packet, pauses left out.',
    kind: 'gauge',
    value: (m) => m.seconds,
  },
  { name: 'tsreplay_loop', help: 'Number of the loop being sent, from 1.', kind: 'gauge', value: (m) => m.loop },
  {
    name: 'tsreplay_lateness_seconds',
    help: 'How late the latest packet left, against its due time.',
    kind: 'gauge',
    value: (m) => m.latenessNsLast / NS_PER_SECOND,
  },
  {
    name: 'tsreplay_lateness_max_seconds',
    help: 'How late the latest-leaving packet of the run left.',
    kind: 'gauge',
    value: (m) => m.latenessNsMax / NS_PER_SECOND,
  },
  {
    name: 'tsreplay_paused',
    help: '1 while paused by SIGUSR1, else 0.',
    kind: 'gauge',
    value: (m) => (m.paused ? 1 : 0),
  },
];

/** Metrics with the label `interface`. */
export const OUTPUT_METRIC_ROWS = [
  { name: 'tsreplay_packets_sent_total', help: 'Packets accepted by the interface.', field: 'sent' },
  { name: 'tsreplay_packets_failed_total', help: 'Packets refused by the interface.', field: 'failed' },
] as const;

const LABELLED: readonly LabelledRow<ReplayMetrics>[] = OUTPUT_METRIC_ROWS.map(({ name, help, field }) => ({
  name,
  help,
  kind: 'counter',
  label: 'interface',
  values: (m) => m.outputs.map((output) => [output.name, output[field]] as const),
}));

/** A registry of its own, fed by `snapshot` at every scrape. */
export function replayRegistry(snapshot: () => ReplayMetrics): Registry {
  return snapshotRegistry(snapshot, METRIC_ROWS, LABELLED);
}
