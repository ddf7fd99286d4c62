/** An interception: rules, ring, router and tunnel, set up and taken down in an order in which nothing can leak. */
import { createServer, type Server } from 'node:net';
import { OperatorError } from '../../base/errors.ts';
import { histogramQuantile } from '../../base/histogram.ts';
import { realtimeMs } from '../../device/host.ts';
import { ProbeDesk } from '../doctor/desk.ts';
import type { AgentLink, LinkEnd } from '../tunnel/agent_link.ts';
import { FEATURE_HEADS, type TunnelStatus } from '../tunnel/protocol.ts';
import { openTunnelServer, type TunnelLimits, type TunnelServer } from '../tunnel/server.ts';
import { checkMachine } from './checks.ts';
import type { Handoff } from './handoff.ts';
import { RingThread } from './ring_thread.ts';
import { ReplyRouter } from './router.ts';
import { cleanUpRoutes, DEVICE, InterceptRoutes, type Leftovers } from './routes.ts';
import { serviceWords } from './services.ts';
import { type InterceptSpec, serviceText } from './spec.ts';

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
  snapshot(): InterceptSnapshot;
  /** Tells the agents, takes the rules down, resolves with the last snapshot. */
  stop(): Promise<InterceptSnapshot>;
}

export interface InterceptOptions {
  readonly note?: (note: InterceptNote) => void;
  readonly limits?: Partial<TunnelLimits>;
}

/** In the abstract name space of the network namespace: gone with the process, however it ends. */
const LOCK = '\0tsreplay/tsintercept';
const EXPIRE_MS = 100;
/** Agents stop sending copies in this time after Bye. */
const BYE_MS = 100;

/** Checks, sets everything up. Rejects with an OperatorError that says what to do; nothing is left behind then. */
export async function openIntercept(spec: InterceptSpec, options: InterceptOptions = {}): Promise<Intercept> {
  checkMachine(spec);
  const lock = spec.mode === 'host' ? await takeLock() : null;
  const handle = new InterceptHandle(spec, options, lock);
  try {
    await handle.open();
  } catch (error) {
    await handle.stop();
    throw error;
  }
  return handle;
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

function takeLock(): Promise<Server> {
  const lock = createServer((socket) => socket.destroy());
  return new Promise((resolve, reject) => {
    lock.once('error', (cause: NodeJS.ErrnoException) => {
      const busy =
        'another tsintercept diverts replies on this host: stop it, or give it all services (--service 80,81)';
      const message = cause.code === 'EADDRINUSE' ? busy : `cannot take the lock: ${cause.message}`;
      reject(new OperatorError('RESOURCE', message, { cause }));
    });
    lock.listen(LOCK, () => resolve(lock.unref()));
  });
}

class InterceptHandle implements Intercept {
  readonly interface: string;
  readonly #spec: InterceptSpec;
  readonly #options: InterceptOptions;
  readonly #lock: Server | null;
  readonly #routes: InterceptRoutes | null;
  readonly #ring: RingThread;
  readonly #router: ReplyRouter;
  readonly #desk: ProbeDesk;
  readonly #startedAt = performance.now();
  #server: TunnelServer | null = null;
  #timer: NodeJS.Timeout | null = null;
  /** Lost to agents that are gone. */
  #lostBefore = 0;
  #aborted: number | null = null;
  #delayMsMax = 0;
  #fault = '';
  #stopping: Promise<InterceptSnapshot> | null = null;

  constructor(spec: InterceptSpec, options: InterceptOptions, lock: Server | null) {
    this.#spec = spec;
    this.#options = options;
    this.#lock = lock;
    const isHost = spec.mode === 'host';
    this.interface = isHost ? DEVICE : spec.interface!;
    this.#routes = isHost ? new InterceptRoutes(spec.services, spec.except) : null;
    this.#desk = new ProbeDesk(spec, this.interface);
    this.#router = new ReplyRouter((id) => this.#server?.agent(id));
    this.#ring = new RingThread({
      interface: this.interface,
      direction: isHost ? 'out' : 'in',
      // Into our own device come only replies that the rules sent there; those of a container carry, when they get
      // there, the address that its clients know, not the one that the rule names.
      services: serviceWords(isHost ? [] : spec.services),
      onSlot: (handoff, slot) => this.#takeSlot(handoff, slot),
      onFault: (why) => this.#mend(why),
    });
  }

  get port(): number {
    return this.#server?.port ?? 0;
  }

  async open(): Promise<void> {
    if (this.#routes !== null) {
      const { rules, routes } = this.#routes.adopt();
      if (rules + routes > 0) this.#note({ kind: 'leftovers', rules, routes });
      this.#routes.open();
    }
    await this.#ring.start();
    const why = this.#routes?.divert() ?? null;
    if (why !== null) this.#note({ kind: 'noFirewall', why });
    // Last: an agent that gets in may copy at once.
    const { listen, key, tls, mode, services } = this.#spec;
    this.#server = await openTunnelServer({
      ...listen,
      key,
      tls,
      welcome: { mode, services: services.map(serviceText) },
      ...(this.#options.limits === undefined ? {} : { limits: this.#options.limits }),
      events: {
        joined: (agent) => this.#note({ kind: 'agentJoined', agent: agent.address }),
        session: (agent, isAdded, sessionKey) => {
          if (isAdded) this.#router.register(agent, sessionKey);
          else this.#router.unregister(agent, sessionKey);
        },
        left: (agent, why) => this.#left(agent, why),
        refused: (peer, why) => this.#note({ kind: 'refused', peer, why }),
        status: (agent) => this.#status(agent),
        probe: (agent, type, payload) => this.#desk.take(agent, type, payload),
        features: () => this.#followFeatures(),
      },
    });
    this.#timer = setInterval(() => this.#router.early.expire(performance.now()), EXPIRE_MS);
  }

  /** The ring broke: its interface is down or gone. Tried again until it works; the same fault is told once. */
  #mend(why: string): void {
    if (this.#server === null) return;
    let fault = why;
    try {
      this.#routes?.restore();
    } catch (error) {
      fault = (error as Error).message;
    }
    if (fault !== this.#fault) this.#note({ kind: 'ringFault', why: fault });
    this.#fault = fault;
    this.#ring.restartSoon();
  }

  #note(note: InterceptNote): void {
    this.#options.note?.(note);
  }

  #takeSlot(handoff: Handoff, slot: number): void {
    this.#fault = '';
    const at = handoff.slotAt(slot);
    const end = at + handoff.bytesOf(slot);
    const ageMs = Math.max(0, realtimeMs() - handoff.oldestMsOf(slot));
    if (ageMs > this.#delayMsMax) this.#delayMsMax = ageMs;
    this.#router.route(handoff.bytes, handoff.view, at, end, ageMs, performance.now());
  }

  #left(agent: AgentLink, why: LinkEnd): void {
    const sessions = agent.sessions;
    this.#lostBefore += agent.lost;
    this.#router.forget(agent);
    this.#desk.forget(agent);
    this.#followFeatures();
    this.#note({ kind: 'agentLeft', agent: agent.address, why, sessions });
  }

  /** The reader adds what any agent wants; the others pass it over. */
  #followFeatures(): void {
    const agents = [...(this.#server?.agents ?? [])];
    this.#ring.heads = agents.some(({ features }) => (features & FEATURE_HEADS) !== 0);
  }

  #status(agent: AgentLink): TunnelStatus {
    const totals = this.#ring.counters.totals();
    return {
      replies: totals.Replies,
      routed: this.#router.routed,
      unrouted: this.#router.early.expired,
      droppedByKernel: totals.Dropped,
      lostToAgent: agent.lost,
      sessions: this.#router.sessions,
    };
  }

  snapshot(): InterceptSnapshot {
    const ring = this.#ring.counters.totals();
    const router = this.#router;
    const agents = [...(this.#server?.agents ?? [])];
    return {
      seconds: (performance.now() - this.#startedAt) / 1000,
      replies: ring.Replies,
      routed: router.routed,
      routedLate: router.routedLate,
      unrouted: router.early.expired,
      waiting: router.early.count,
      lostToAgents: this.#lostBefore + agents.reduce((sum, agent) => sum + agent.lost, 0),
      droppedByKernel: ring.Dropped,
      malformed: ring.Malformed,
      foreign: ring.Foreign,
      sessions: router.sessions,
      sessionsTakenOver: router.takenOver,
      sessionsRefused: router.refused,
      delayNs: {
        p50: histogramQuantile(router.delay, 0.5),
        p99: histogramQuantile(router.delay, 0.99),
        max: this.#delayMsMax * 1e6,
      },
      agents: agents.map(({ address, sessions, replies, lost, queuedBytes }) => ({
        agent: address,
        sessions,
        replies,
        lost,
        queuedBytes,
      })),
      connections: { accepted: this.#server?.accepted ?? 0, authenticated: this.#server?.authenticated ?? 0 },
      ends: Object.fromEntries(this.#server?.ends ?? []),
      ringRestarts: this.#ring.restarts,
      connectionsAborted: this.#aborted,
    };
  }

  stop(): Promise<InterceptSnapshot> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  async #stop(): Promise<InterceptSnapshot> {
    const server = this.#server;
    if (server !== null && server.agentCount > 0) {
      server.sayBye();
      await new Promise((resolve) => setTimeout(resolve, BYE_MS));
    }
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#desk.close();
    // The rules stand yet: what these connections say last reaches nobody.
    if (server !== null && this.#routes !== null) this.#aborted = this.#routes.abortConnections();
    await this.#ring.stop();
    const last = this.snapshot();
    await server?.close();
    const left = this.#routes?.close() ?? null;
    if (left !== null) this.#note({ kind: 'rulesLeft', why: left });
    this.#lock?.close();
    return { ...last, ends: Object.fromEntries(server?.ends ?? []) };
  }
}
