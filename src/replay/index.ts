/** The engine behind `tsreplay`, for use from programs. */
export type * from './report.ts';
export type * from './spec.ts';
