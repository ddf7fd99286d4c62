/** Copying clients' live TCP sessions to test servers: the session engine, the agent, the tunnel. */
export {
  type AgentEvents,
  type AgentMap,
  type AgentPlan,
  type AgentRequest,
  type AgentSnapshot,
  type AgentSpec,
  type AgentTarget,
  type CopyAgent,
  type EngineCounts,
  planAgent,
  startAgent,
} from './agent/index.ts';
export { Count, countsByName } from './counts.ts';
export type { Emitter } from './emitter.ts';
export { CopyEngine, type EngineParts } from './engine.ts';
export { ENGINE_DEFAULTS, type EngineOptions, engineOptions, type FullPolicy } from './options.ts';
export { Header, readTargetPacket, TargetHeader } from './target_header.ts';
export { type AddressWords, type ServiceSpec, type TargetSpec, Targets } from './targets.ts';
export * from './tunnel/index.ts';
