/**
 * An interception as the main thread sees it: a thread that has everything (`interception.ts`), so that nothing of the
 * program it is part of keeps replies waiting, and what that thread says.
 */
import { Worker } from 'node:worker_threads';
import { deferred } from '../../base/deferred.ts';
import { type ErrorCode, OperatorError } from '../../base/errors.ts';
import type { LinkEnd } from '../tunnel/agent_link.ts';
import type { TunnelLimits } from '../tunnel/server.ts';
import { takeLock } from './lock.ts';
import { cleanUpRoutes, type Leftovers } from './routes.ts';
import type { InterceptSpec } from './spec.ts';
import type { InterceptMessage, InterceptStart } from './worker.ts';

export type InterceptNote =
  | { readonly kind: 'leftovers'; readonly rules: number; readonly routes: number }
  | { readonly kind: 'agentJoined'; readonly agent: string }
  | { readonly kind: 'agentLeft'; readonly agent: string; readonly why: LinkEnd; readonly sessions: number }
  | { readonly kind: 'refused'; readonly peer: string; readonly why: LinkEnd | 'tls' }
  | { readonly kind: 'ringFault'; readonly why: string }
  | { readonly kind: 'noFirewall'; readonly why: string }
  | { readonly kind: 'rulesLeft'; readonly why: string };

export interface AgentSnapshot {
  readonly agent: string;
  readonly sessions: number;
  readonly replies: number;
  readonly lost: number;
  readonly queuedBytes: number;
}

export interface InterceptSnapshot {
  readonly seconds: number;
  /** Replies of the services that the ring gave. */
  readonly replies: number;
  readonly routed: number;
  /** Of the routed, those that came before their session was registered. */
  readonly routedLate: number;
  /** Nobody registered their session in time. */
  readonly unrouted: number;
  /** Waiting for a registration now. */
  readonly waiting: number;
  /** Of the routed, given up because their agent did not read. */
  readonly lostToAgents: number;
  readonly droppedByKernel: number;
  readonly malformed: number;
  readonly foreign: number;
  readonly sessions: number;
  readonly sessionsTakenOver: number;
  readonly sessionsRefused: number;
  readonly delayNs: { readonly p50: number; readonly p99: number; readonly max: number };
  readonly agents: readonly AgentSnapshot[];
  readonly connections: { readonly accepted: number; readonly authenticated: number };
  /** Connections that ended, by cause. */
  readonly ends: Readonly<Record<string, number>>;
  readonly ringRestarts: number;
  /** Copied connections of this host ended at the stop; null: not tried, or not possible here. */
  readonly connectionsAborted: number | null;
}

export interface Intercept {
  /** Port of the tunnel, also where 0 was asked for. */
  readonly port: number;
  /** Interface that the ring is on. */
  readonly interface: string;
  /** At most `SNAPSHOT_MS` old. */
  snapshot(): InterceptSnapshot;
  /** Tells the agents, takes the rules down, resolves with the last snapshot. */
  stop(): Promise<InterceptSnapshot>;
}

export interface InterceptOptions {
  readonly note?: (note: InterceptNote) => void;
  readonly limits?: Partial<TunnelLimits>;
}

/** How often the thread tells its counters. */
export const SNAPSHOT_MS = 500;

/** Checks, sets everything up. Rejects with an OperatorError that says what to do; nothing is left behind then. */
export async function openIntercept(spec: InterceptSpec, options: InterceptOptions = {}): Promise<Intercept> {
  const thread = new InterceptThread(spec, options);
  await thread.ready;
  return thread;
}

/** `--cleanup`: takes away what a killed run has left. */
export async function cleanUpIntercept(): Promise<Leftovers> {
  const lock = await takeLock();
  try {
    return cleanUpRoutes();
  } finally {
    lock.close();
  }
}

class InterceptThread implements Intercept {
  readonly ready: Promise<void>;
  interface = '';
  port = 0;
  readonly #worker: Worker;
  readonly #end = deferred<InterceptSnapshot>();
  #last: InterceptSnapshot | null = null;
  #isStopping = false;

  constructor(spec: InterceptSpec, { note, limits }: InterceptOptions) {
    const start: InterceptStart = { spec, ...(limits === undefined ? {} : { limits }) };
    this.#worker = new Worker(new URL('./worker.js', import.meta.url), { workerData: start });
    const ready = deferred<void>();
    this.ready = ready.promise;
    // Who waits for the end learns of a fault by it; until then it is thrown below.
    this.#end.promise.catch(() => {});
    this.#worker.on('message', (message: InterceptMessage) => {
      if (message.kind === 'note') note?.(message.note);
      else if (message.kind === 'snapshot') this.#last = message.snapshot;
      else if (message.kind === 'ready') {
        this.interface = message.interface;
        this.port = message.port;
        this.#last = message.snapshot;
        ready.resolve();
      } else if (message.kind === 'ended') this.#end.resolve(message.snapshot);
      else ready.reject(new OperatorError(message.code as ErrorCode, message.message));
    });
    // A defect: the rules stand, as after a kill, and the next start takes them away.
    this.#worker.on('error', (error) => {
      const isStarting = this.#last === null;
      ready.reject(error as Error);
      this.#end.reject(error as Error);
      if (!isStarting && !this.#isStopping) throw error;
    });
  }

  snapshot(): InterceptSnapshot {
    return this.#last!;
  }

  stop(): Promise<InterceptSnapshot> {
    if (!this.#isStopping) this.#worker.postMessage('stop');
    this.#isStopping = true;
    return this.#end.promise;
  }
}
