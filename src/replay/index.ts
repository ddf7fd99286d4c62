/**
 * The engine behind `tsreplay`, for use from programs:
 *
 * ```ts
 * const replay = await openReplay({ ...REPLAY_DEFAULTS, inputs: ['prod.pcap'], primary: toInterface('eth1') });
 * const report = await replay.start();
 * ```
 */
export { checkReplaySpec } from './check.ts';
export { openReplay, type Replay, type ReplayOptions } from './open.ts';
export type * from './report.ts';
export * from './spec.ts';
