/**
 * A Prometheus registry fed by snapshots: nothing is counted here, at every scrape `collect()` copies numbers from a
 * snapshot of shared counters, so a scrape costs the data plane nothing. No label ever holds an address.
 */
import { Counter, Gauge, Registry } from 'prom-client';

/** A metric without a label; also a row of the table in the documentation. */
export interface MetricRow<Snapshot> {
  readonly name: string;
  readonly help: string;
  readonly kind: 'counter' | 'gauge';
  readonly value: (snapshot: Snapshot) => number;
}

/** A metric with one label: its values now, by what the label says. */
export interface LabelledRow<Snapshot> {
  readonly name: string;
  readonly help: string;
  readonly kind: 'counter' | 'gauge';
  readonly label: string;
  readonly values: (snapshot: Snapshot) => Iterable<readonly [label: string, value: number]>;
}

/** A registry of its own; `take` is called at every scrape, once for each metric. */
export function snapshotRegistry<Snapshot>(
  take: () => Snapshot,
  rows: readonly MetricRow<Snapshot>[],
  labelled: readonly LabelledRow<Snapshot>[] = [],
): Registry {
  const registry = new Registry();
  for (const { name, help, kind, value } of rows) {
    add(registry, { name, help }, kind, null, () => [['', value(take())]]);
  }
  for (const { name, help, kind, label, values } of labelled) {
    add(registry, { name, help }, kind, label, () => values(take()));
  }
  return registry;
}

function add(
  registry: Registry,
  about: { readonly name: string; readonly help: string },
  kind: 'counter' | 'gauge',
  label: string | null,
  values: () => Iterable<readonly [label: string, value: number]>,
): void {
  const labelNames = label === null ? [] : [label];
  const labelsOf = (text: string): Record<string, string> => (label === null ? {} : { [label]: text });
  const options = { ...about, registers: [registry], labelNames };
  if (kind === 'gauge') {
    new Gauge({
      ...options,
      collect() {
        for (const [text, value] of values()) this.set(labelsOf(text), value);
      },
    });
    return;
  }
  new Counter({
    ...options,
    collect() {
      this.reset();
      for (const [text, value] of values()) this.inc(labelsOf(text), value);
    },
  });
}
