/** Prometheus metrics of `tscopy`: a snapshot of the shared counters at every scrape. */
import { Counter, Gauge, Registry } from 'prom-client';
import { addCompareMetrics, type CompareMetrics } from './compare.ts';

/** What a scrape shows. */
export interface CopyMetrics {
  readonly seconds: number;
  readonly workers: number;
  readonly workerCrashes: number;
  readonly sessionsOpen: number;
  readonly kernelDrops: number;
  readonly replyDrops: number;
  readonly framesReceived: number;
  readonly framesSent: number;
  readonly framesRefused: number;
  readonly tunnel: { readonly up: number; readonly connects: number; readonly replies: number; readonly lost: number };
  readonly lagNs: { readonly p50: number; readonly p90: number; readonly p99: number; readonly max: number };
  /** Counters of the session engine by name. */
  readonly counts: Readonly<Record<string, number>>;
  /** Null: replies are not compared. */
  readonly compare: CompareMetrics | null;
}

interface Row {
  readonly name: string;
  readonly help: string;
  readonly kind: 'counter' | 'gauge';
  readonly value: (m: CopyMetrics) => number;
}

const counter = (name: string, help: string, value: Row['value']): Row => ({ name, help, kind: 'counter', value });
const gauge = (name: string, help: string, value: Row['value']): Row => ({ name, help, kind: 'gauge', value });
const count = (m: CopyMetrics, name: string): number => m.counts[name] ?? 0;

export const COPY_METRIC_ROWS: readonly Row[] = [
  gauge('tscopy_sessions_open', 'Sessions open now.', (m) => m.sessionsOpen),
  counter('tscopy_sessions_seen_total', 'Sessions whose beginning was captured.', (m) => count(m, 'SessionsSeen')),
  counter('tscopy_sessions_taken_up_total', 'Sessions that were open before.', (m) => count(m, 'SessionsTakenUp')),
  counter('tscopy_connections_opened_total', 'Connections with targets.', (m) => count(m, 'ConnectionsOpened')),
  counter('tscopy_requests_seen_total', 'Requests of clients.', (m) => count(m, 'RequestsSeen')),
  counter('tscopy_requests_sent_total', 'Requests sent to targets.', (m) => count(m, 'RequestsSent')),
  counter('tscopy_requests_delivered_total', 'Requests that targets have acknowledged.', (m) =>
    count(m, 'RequestsDelivered'),
  ),
  counter('tscopy_requests_late_total', 'Requests sent before the reply to the one before.', (m) =>
    count(m, 'RequestsLate'),
  ),
  counter('tscopy_requests_ahead_total', 'Requests sent before the reply to the one before, to catch up.', (m) =>
    count(m, 'RequestsAhead'),
  ),
  counter('tscopy_client_packets_total', 'Packets of clients.', (m) => count(m, 'ClientPackets')),
  counter('tscopy_packets_sent_total', 'Packets to targets.', (m) => count(m, 'PacketsSent')),
  counter('tscopy_bytes_sent_total', 'Payload bytes to targets.', (m) => count(m, 'BytesSent')),
  counter('tscopy_target_headers_total', 'Segments of targets.', (m) => count(m, 'TargetHeaders')),
  counter('tscopy_send_errors_total', 'Packets that did not leave.', (m) => count(m, 'SendErrors')),
  counter('tscopy_frames_sent_total', 'Frames that the kernel took.', (m) => m.framesSent),
  counter('tscopy_worker_crashes_total', 'Copying threads started again.', (m) => m.workerCrashes),
  counter('tscopy_tunnel_connects_total', 'Connections to the interception.', (m) => m.tunnel.connects),
  gauge('tscopy_tunnel_up', 'Workers whose tunnel is connected.', (m) => m.tunnel.up),
  gauge('tscopy_workers', 'Copying threads.', (m) => m.workers),
  gauge('tscopy_elapsed_seconds', 'Seconds since copying began.', (m) => m.seconds),
];

/** Metrics with a label: the label's name, and for each of its values where the count comes from. */
const LABELLED: readonly {
  readonly name: string;
  readonly help: string;
  readonly label: string;
  readonly values: Readonly<Record<string, (m: CopyMetrics) => number>>;
}[] = [
  {
    name: 'tscopy_requests_skipped_total',
    help: 'Requests passed over, by cause.',
    label: 'cause',
    values: {
      refused: (m) => count(m, 'SkippedRefused'),
      reset: (m) => count(m, 'SkippedReset'),
      silent: (m) => count(m, 'SkippedSilent'),
      gap: (m) => count(m, 'SkippedGap'),
      full: (m) => count(m, 'SkippedFull'),
      client_reset: (m) => count(m, 'SkippedClientReset'),
      closing: (m) => count(m, 'SkippedClosing'),
    },
  },
  {
    name: 'tscopy_sessions_shed_total',
    help: 'Times that no session was begun, with its SYN or a later request, by cause.',
    label: 'cause',
    values: {
      table_full: (m) => count(m, 'ShedTableFull'),
      memory: (m) => count(m, 'ShedMemory'),
      incarnations: (m) => count(m, 'ShedIncarnations'),
      collision: (m) => count(m, 'ShedCollision'),
      load: (m) => count(m, 'ShedLoad'),
    },
  },
  {
    name: 'tscopy_retransmitted_total',
    help: 'Segments sent again, by cause.',
    label: 'cause',
    values: {
      timeout: (m) => count(m, 'RetransmittedTimeout'),
      fast: (m) => count(m, 'RetransmittedFast'),
      probe: (m) => count(m, 'RetransmittedProbe'),
      syn: (m) => count(m, 'RetransmittedSyn'),
    },
  },
  {
    name: 'tscopy_dropped_total',
    help: 'Packets lost before they were looked at.',
    label: 'by',
    values: {
      client_ring: (m) => m.kernelDrops,
      reply_ring: (m) => m.replyDrops,
      tunnel: (m) => m.tunnel.lost,
    },
  },
];

const QUANTILES = { '0.5': 'p50', '0.9': 'p90', '0.99': 'p99', '1': 'max' } as const;

export function copyRegistry(snapshot: () => CopyMetrics): Registry {
  const registry = new Registry();
  const registers = [registry];
  for (const { name, help, kind, value } of COPY_METRIC_ROWS) {
    if (kind === 'gauge') new Gauge({ name, help, registers, collect: setTo(() => value(snapshot())) });
    else new Counter({ name, help, registers, collect: countTo(() => value(snapshot())) });
  }
  for (const { name, help, label, values } of LABELLED) {
    new Counter({
      name,
      help,
      registers,
      labelNames: [label],
      collect() {
        const now = snapshot();
        this.reset();
        for (const [value, of] of Object.entries(values)) this.inc({ [label]: value }, of(now));
      },
    });
  }
  new Gauge({
    name: 'tscopy_lag_seconds',
    help: 'From capture to departure of the copy, since the start.',
    registers,
    labelNames: ['quantile'],
    collect() {
      const { lagNs } = snapshot();
      for (const [quantile, field] of Object.entries(QUANTILES)) this.set({ quantile }, lagNs[field] / 1e9);
    },
  });
  if (snapshot().compare !== null) addCompareMetrics(registry, () => snapshot().compare!);
  return registry;
}

function setTo(value: () => number): (this: Gauge) => void {
  return function collect(this: Gauge): void {
    this.set(value());
  };
}

function countTo(value: () => number): (this: Counter) => void {
  return function collect(this: Counter): void {
    this.reset();
    this.inc(value());
  };
}
