/** Metrics of running tools, for Prometheus. */

export * from './capture.ts';
export * from './intercept.ts';
export * from './registry.ts';
export * from './server.ts';
