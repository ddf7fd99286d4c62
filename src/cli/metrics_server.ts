/** `--metrics-port`: loads prom-client only when it is asked for. */
import type { ReplayMetrics } from '../metrics/replay.ts';
import type { MetricsServer } from '../metrics/server.ts';
import type { HostPort } from './values.ts';

export type { ReplayMetrics };

export async function replayMetricsServer(where: HostPort, snapshot: () => ReplayMetrics): Promise<MetricsServer> {
  const { replayRegistry, serveMetrics } = await import('../metrics/index.ts');
  return serveMetrics(replayRegistry(snapshot), where.host, where.port);
}
