/** `/metrics` over HTTP, for Prometheus to scrape. */
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Registry } from 'prom-client';
import { OperatorError } from '../base/errors.ts';

export interface MetricsServer {
  /** The port in use, also where port 0 was asked for. */
  readonly port: number;
  readonly url: string;
  /** Ends open connections too. */
  close(): Promise<void>;
}

/** A scrape's request and answer are short: whoever is slower is cut off. */
const REQUEST_TIMEOUT_MS = 5_000;
const CONNECTIONS_MAX = 64;

/** Rejects with USAGE or REFUSED where the port cannot be had. */
export function serveMetrics(registry: Registry, host: string, port: number): Promise<MetricsServer> {
  const server = createServer((request, response) => {
    const path = (request.url ?? '').split('?')[0];
    if (request.method !== 'GET' && request.method !== 'HEAD') return answer(response, 405, 'Only GET is answered.\n');
    if (path !== '/metrics') return answer(response, path === '/' ? 200 : 404, 'Metrics are at /metrics.\n');
    registry.metrics().then(
      (text) => answer(response, 200, text, registry.contentType),
      () => answer(response, 500, 'The metrics could not be collected.\n'),
    );
  });
  server.requestTimeout = REQUEST_TIMEOUT_MS;
  server.maxConnections = CONNECTIONS_MAX;
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => reject(refusal(error, host, port)));
    server.listen(port, host, () => resolve(handleOf(server, host)));
  });
}

function answer(response: ServerResponse, status: number, body: string, type = 'text/plain; charset=utf-8'): void {
  response.writeHead(status, { 'content-type': type, 'content-length': Buffer.byteLength(body) });
  response.end(body);
}

function handleOf(server: Server, host: string): MetricsServer {
  const { port } = server.address() as AddressInfo;
  const shown = host.includes(':') ? `[${host}]` : host;
  return {
    port,
    url: `http://${shown}:${port}/metrics`,
    close() {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}

function refusal(error: NodeJS.ErrnoException, host: string, port: number): OperatorError {
  const where = `--metrics-port ${host}:${port}`;
  const options = { cause: error };
  switch (error.code) {
    case 'EADDRINUSE':
      return new OperatorError('RESOURCE', `${where} is in use: take another port, or 0 for any free one`, options);
    case 'EACCES':
      return new OperatorError('PERMISSION', `${where} needs root: take a port from 1024 on`, options);
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
      return new OperatorError('RESOURCE', `${where}: ${host} is no address of this machine: see ip address`, options);
    default:
      return new OperatorError('RESOURCE', `${where} cannot be served: ${error.code ?? error.message}`, options);
  }
}
