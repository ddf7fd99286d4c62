/** Metrics of running tools, for Prometheus. */
export * from './registry.ts';
export * from './server.ts';
