/** The thread that reads the ring: waits in the kernel, hands records over, says so. */
import { parentPort, workerData } from 'node:worker_threads';
import { FrameBatch } from '../../base/batch.ts';
import { OperatorError } from '../../base/errors.ts';
import { plainRegion } from '../../base/region.ts';
import { openHeaderSource } from '../../device/header_ring.ts';
import { realtimeMs } from '../../device/host.ts';
import { SharedCounters } from '../../ring/counters.ts';
import { HANDOFF_FRAMES, Handoff } from './handoff.ts';
import { ReaderCount, ReplyReader, SERVICE_WORDS } from './reader.ts';

export interface ReaderStart {
  readonly interface: string;
  readonly direction: 'in' | 'out';
  readonly services: Int32Array;
  readonly handoff: SharedArrayBuffer;
  readonly counters: SharedArrayBuffer;
}

/** A number: this slot is full. */
export type ReaderMessage =
  | number
  | { readonly kind: 'ready' }
  | { readonly kind: 'failed'; readonly code: string | null; readonly message: string };

const WAIT_MS = 50;
const STATISTICS_MS = 200;

function post(message: ReaderMessage): void {
  parentPort!.postMessage(message);
}

function main(start: ReaderStart): void {
  const handoff = new Handoff(start.handoff);
  const row = new SharedCounters(ReaderCount, 1, start.counters).row(0);
  const reader = new ReplyReader(start.services, row.cells);
  const droppedBefore = row.cells[ReaderCount.Dropped]!;
  const ports = [...new Set(start.services.filter((_, i) => i % SERVICE_WORDS === 0))];
  const source = openHeaderSource({ name: start.interface, ports, direction: start.direction });
  const batch = new FrameBatch(HANDOFF_FRAMES, plainRegion(0));
  const publish = (): void => {
    source.updateStatistics();
    row.cells[ReaderCount.Dropped] = droppedBefore + source.dropped;
    row.publish();
  };
  post({ kind: 'ready' });
  let publishedAt = 0;
  while (!handoff.stopped && source.fault === null) {
    const now = performance.now();
    if (now - publishedAt > STATISTICS_MS) {
      publish();
      publishedAt = now;
    }
    source.wait(WAIT_MS);
    const slot = handoff.reserve(WAIT_MS);
    if (slot < 0 || source.read(batch) === 0) continue;
    const bytes = reader.read(batch, handoff.view, handoff.slotAt(slot), handoff.heads ? realtimeMs() : Number.NaN);
    if (reader.records === 0) continue;
    handoff.commit(slot, bytes, reader.records, batch.sec[0]! * 1000 + batch.nsec[0]! / 1e6);
    post(slot);
  }
  publish();
  source.close();
  if (source.fault !== null) throw source.fault;
}

try {
  main(workerData as ReaderStart);
} catch (error) {
  const code = error instanceof OperatorError ? error.code : null;
  post({ kind: 'failed', code, message: error instanceof Error ? error.message : String(error) });
}
