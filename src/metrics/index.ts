/** Metrics of running tools, for Prometheus. */

export * from './capture.ts';
export * from './intercept.ts';
export * from './replay.ts';
export * from './server.ts';
