/** Prometheus metrics of `tscopy --compare`. */
import { Counter, Gauge, type Registry } from 'prom-client';

interface Times {
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly max: number;
}

interface Side {
  readonly bytes: number;
  readonly firstByteNs: Times;
  readonly lastByteNs: Times;
}

/** What a scrape shows. */
export interface CompareMetrics {
  readonly compared: number;
  readonly http: number;
  readonly statusEqual: number;
  readonly bytesEqual: number;
  readonly missingTarget: number;
  readonly missingProduction: number;
  readonly statuses: readonly { readonly production: number; readonly target: number; readonly count: number }[];
  readonly production: Side;
  readonly target: Side;
}

/** Pairs of statuses that get a series each, the most frequent ones. */
const PAIRS_MAX = 50;
const QUANTILES = { '0.5': 'p50', '0.9': 'p90', '0.99': 'p99', '1': 'max' } as const;
const UNTIL = { first_byte: 'firstByteNs', last_byte: 'lastByteNs' } as const;
const SIDES = ['production', 'target'] as const;

export function addCompareMetrics(registry: Registry, snapshot: () => CompareMetrics): void {
  const registers = [registry];
  new Counter({
    name: 'tscopy_replies_compared_total',
    help: 'Requests that production and target have answered.',
    registers,
    collect() {
      this.reset();
      this.inc(snapshot().compared);
    },
  });
  new Counter({
    name: 'tscopy_replies_differing_total',
    help: 'Requests whose replies differ, by what does.',
    registers,
    labelNames: ['how'],
    collect() {
      const now = snapshot();
      this.reset();
      this.inc({ how: 'status' }, now.http - now.statusEqual);
      this.inc({ how: 'length' }, now.compared - now.bytesEqual);
      this.inc({ how: 'missing_target' }, now.missingTarget);
      this.inc({ how: 'missing_production' }, now.missingProduction);
    },
  });
  new Counter({
    name: 'tscopy_reply_status_total',
    help: 'HTTP statuses of production and target for the same request; 0: no status line.',
    registers,
    labelNames: ['production', 'target'],
    collect() {
      this.reset();
      for (const { production, target, count } of snapshot().statuses.slice(0, PAIRS_MAX)) {
        this.inc({ production: String(production), target: String(target) }, count);
      }
    },
  });
  addSides(registers, snapshot);
}

function addSides(registers: Registry[], snapshot: () => CompareMetrics): void {
  new Counter({
    name: 'tscopy_reply_bytes_total',
    help: 'Bytes of replies that were compared.',
    registers,
    labelNames: ['side'],
    collect() {
      const now = snapshot();
      this.reset();
      for (const side of SIDES) this.inc({ side }, now[side].bytes);
    },
  });
  new Gauge({
    name: 'tscopy_reply_seconds',
    help: 'From the last byte of a request to the first and the last byte of its reply, since the start.',
    registers,
    labelNames: ['side', 'until', 'quantile'],
    collect() {
      const now = snapshot();
      for (const side of SIDES) {
        for (const [until, times] of Object.entries(UNTIL)) {
          for (const [quantile, field] of Object.entries(QUANTILES)) {
            this.set({ side, until, quantile }, now[side][times][field] / 1e9);
          }
        }
      }
    },
  });
}
