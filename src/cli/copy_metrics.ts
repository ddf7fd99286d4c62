/** `tscopy --metrics-port`. */
import type { AgentSnapshot } from '../copy/agent/index.ts';
import { copyRegistry } from '../metrics/copy.ts';
import { type MetricsServer, serveMetrics } from '../metrics/server.ts';
import type { HostPort } from './values.ts';

export function copyMetricsServer(where: HostPort, snapshot: () => AgentSnapshot): Promise<MetricsServer> {
  return serveMetrics(copyRegistry(snapshot), where.host, where.port);
}
