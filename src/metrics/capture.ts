/** Prometheus metrics of a running capture: a snapshot of the shared counters at every scrape. */
import type { Registry } from 'prom-client';
import { type LabelledRow, type MetricRow, snapshotRegistry } from './snapshot.ts';

/** What a scrape shows. */
export interface CaptureMetrics {
  readonly received: number;
  readonly filtered: number;
  readonly written: number;
  readonly bytes: number;
  readonly fileBytes: number;
  readonly files: number;
  readonly shed: number;
  readonly droppedByKernel: number;
  readonly droppedByInterface: number;
  readonly droppedDiskFull: number;
  readonly droppedCompressor: number;
  readonly droppedUnwritable: number;
  readonly droppedBroken: number;
  readonly frozen: number;
  readonly diskFull: boolean;
  readonly seconds: number;
}

/** Also the source of the table in the documentation. */
export const CAPTURE_METRIC_ROWS: readonly MetricRow<CaptureMetrics>[] = [
  {
    name: 'tscap_packets_received_total',
    help: 'Packets that passed the filter, dropped ones included.',
    kind: 'counter',
    value: (m) => m.received,
  },
  {
    name: 'tscap_packets_written_total',
    help: 'Packets written or printed.',
    kind: 'counter',
    value: (m) => m.written,
  },
  {
    name: 'tscap_packets_filtered_total',
    help: 'Packets that a filter in the process did not accept.',
    kind: 'counter',
    value: (m) => m.filtered,
  },
  { name: 'tscap_bytes_written_total', help: 'Bytes of the packets written.', kind: 'counter', value: (m) => m.bytes },
  {
    name: 'tscap_file_bytes_total',
    help: 'Bytes of the files, headers included, after compression.',
    kind: 'counter',
    value: (m) => m.fileBytes,
  },
  { name: 'tscap_files_total', help: 'Files begun.', kind: 'counter', value: (m) => m.files },
  {
    name: 'tscap_ring_full_total',
    help: 'Times that the ring of the kernel was full.',
    kind: 'counter',
    value: (m) => m.frozen,
  },
  {
    name: 'tscap_disk_full',
    help: '1 while there is no room on the disk, else 0.',
    kind: 'gauge',
    value: (m) => (m.diskFull ? 1 : 0),
  },
  { name: 'tscap_elapsed_seconds', help: 'Seconds since the capture began.', kind: 'gauge', value: (m) => m.seconds },
];

/** Values of the label `by` of tscap_packets_dropped_total. */
export const CAPTURE_DROPS: readonly (readonly [by: string, value: (m: CaptureMetrics) => number])[] = [
  ['kernel', (m) => m.droppedByKernel],
  ['interface', (m) => m.droppedByInterface],
  ['cpu_limit', (m) => m.shed],
  ['disk_full', (m) => m.droppedDiskFull],
  ['compressor', (m) => m.droppedCompressor],
  ['unwritable', (m) => m.droppedUnwritable],
  ['broken_file', (m) => m.droppedBroken],
];

const LABELLED: readonly LabelledRow<CaptureMetrics>[] = [
  {
    name: 'tscap_packets_dropped_total',
    help: 'Packets lost, by who lost them.',
    kind: 'counter',
    label: 'by',
    values: (m) => CAPTURE_DROPS.map(([by, value]) => [by, value(m)] as const),
  },
];

export function captureRegistry(snapshot: () => CaptureMetrics): Registry {
  return snapshotRegistry(snapshot, CAPTURE_METRIC_ROWS, LABELLED);
}
