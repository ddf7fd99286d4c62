/** The agent behind `tscopy`: captures clients' sessions and plays them at targets. */

export type {
  CompareReport,
  CompareSnapshot,
  DifferingExchange,
  DifferingReply,
  Distribution,
  Percentiles,
} from '../compare/comparison.ts';
export { DIFFERENCES, type DifferenceKind } from '../compare/rows.ts';
export { type AgentEvents, CopyAgent, type Level, startAgent } from './agent.ts';
export { type AgentMap, type AgentPlan, type AgentRequest, type HostAndPort, planAgent } from './plan.ts';
export { type AgentSnapshot, type EngineCounts, SKIPPED } from './report.ts';
export { type AgentSpec, type AgentTarget, type CloneSpec, SENDERS, type Sender } from './spec.ts';
