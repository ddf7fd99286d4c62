/**
 * An interception: rules, ring, router and tunnel, set up and taken down in an order in which nothing can leak. All of
 * it in one thread, which waits in the kernel for replies and for its event loop at once: a reply goes from the ring to
 * its agent's connection without another thread being woken.
 */
import type { Server } from 'node:net';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { histogramQuantile } from '../../base/histogram.ts';
import { eventLoopDescriptor } from '../../device/event_loop.ts';
import { realtimeMs } from '../../device/host.ts';
import { POLLIN, PollSet } from '../../device/host_capture.ts';
import { ProbeDesk } from '../doctor/desk.ts';
import type { AgentLink, LinkEnd } from '../tunnel/agent_link.ts';
import { FEATURE_HEADS, type TunnelStatus } from '../tunnel/protocol.ts';
import { openTunnelServer, type TunnelServer } from '../tunnel/server.ts';
import { checkMachine } from './checks.ts';
import type { InterceptNote, InterceptOptions, InterceptSnapshot } from './intercept.ts';
import { takeLock } from './lock.ts';
import { ReaderCount } from './reader.ts';
import { ReplyRing } from './ring.ts';
import { ReplyRouter } from './router.ts';
import { DEVICE, InterceptRoutes } from './routes.ts';
import { serviceWords } from './services.ts';
import { type InterceptSpec, serviceText } from './spec.ts';

const EXPIRE_MS = 100;
/** Agents stop sending copies in this time after Bye. */
const BYE_MS = 100;
const REOPEN_MS = 500;
const STATISTICS_MS = 200;
/** Batches of replies between two looks at everything else. */
const BATCHES_MAX = 8;
/** Longest time without a turn of the event loop, whose timers nothing else announces. */
const EVENTS_MS = 100;
/** The same while connections are to take what was written to them, or where the event loop has no descriptor. */
const EVENTS_MS_BUSY = 2;

export class Interception {
  readonly interface: string;
  readonly #spec: InterceptSpec;
  readonly #options: InterceptOptions;
  readonly #routes: InterceptRoutes | null;
  readonly #ring: ReplyRing;
  readonly #router: ReplyRouter;
  readonly #desk: ProbeDesk;
  readonly #startedAt = performance.now();
  #lock: Server | null = null;
  #server: TunnelServer | null = null;
  readonly #timers: NodeJS.Timeout[] = [];
  /** The ring, and the event loop where it can be waited for; made anew when the ring is another one. */
  #poll = new PollSet([]);
  #polledRing = -2;
  #eventsFd = -1;
  #turnedMs = 0;
  #isOver = false;
  #ringRestarts = 0;
  /** Lost to agents that are gone. */
  #lostBefore = 0;
  #aborted: number | null = null;
  #delayMsMax = 0;
  #fault = '';
  #stopping: Promise<InterceptSnapshot> | null = null;

  constructor(spec: InterceptSpec, options: InterceptOptions) {
    this.#spec = spec;
    this.#options = options;
    const isHost = spec.mode === 'host';
    this.interface = isHost ? DEVICE : spec.interface!;
    this.#routes = isHost ? new InterceptRoutes(spec.services, spec.except) : null;
    this.#desk = new ProbeDesk(spec, this.interface);
    this.#router = new ReplyRouter((id) => this.#server?.agent(id));
    this.#ring = new ReplyRing({
      interface: this.interface,
      direction: isHost ? 'out' : 'in',
      // Into our own device come only replies that the rules sent there; those of a container carry, when they get
      // there, the address that its clients know, not the one that the rule names.
      services: serviceWords(isHost ? [] : spec.services),
    });
  }

  get port(): number {
    return this.#server?.port ?? 0;
  }

  /** Checks and sets up. Rejects with an OperatorError; nothing is left behind then. */
  async open(): Promise<void> {
    checkMachine(this.#spec);
    if (this.#spec.mode === 'host') this.#lock = await takeLock();
    try {
      await this.#setUp();
    } catch (error) {
      await this.stop();
      throw error;
    }
  }

  async #setUp(): Promise<void> {
    if (this.#routes !== null) {
      const { rules, routes } = this.#routes.adopt();
      if (rules + routes > 0) this.#note({ kind: 'leftovers', rules, routes });
      this.#routes.open();
    }
    this.#ring.open();
    const why = this.#routes?.divert() ?? null;
    if (why !== null) this.#note({ kind: 'noFirewall', why });
    // Last: an agent that gets in may copy at once.
    const { listen, key, tls, mode, services, except } = this.#spec;
    this.#server = await openTunnelServer({
      ...listen,
      key,
      tls,
      welcome: { mode, services: services.map(serviceText), except },
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
    this.#every(EXPIRE_MS, () => this.#router.early.expire(performance.now()));
    this.#every(STATISTICS_MS, () => this.#look());
    this.#every(REOPEN_MS, () => this.#reopen());
    // The event loop watches the server from its next turn on.
    await nextTurn();
    await nextTurn();
    this.#eventsFd = eventLoopDescriptor(this.#server.fd);
  }

  #every(ms: number, work: () => void): void {
    this.#timers.push(setInterval(work, ms));
  }

  /** Hands replies over until `stop` has done its work. */
  async run(): Promise<void> {
    while (!this.#isOver) {
      for (let n = 0; n < BATCHES_MAX && this.#ring.read() > 0; n++) this.#route();
      if (this.#wait()) {
        await nextTurn();
        this.#turnedMs = performance.now();
      }
    }
  }

  /** For replies, or until the event loop has something to do; returns whether it is to have a turn. */
  #wait(): boolean {
    const { fd } = this.#ring;
    if (fd !== this.#polledRing) {
      this.#polledRing = fd;
      this.#poll = new PollSet([this.#eventsFd, fd]);
    }
    const isBusy = this.#eventsFd < 0 || this.#server!.isBackedUp;
    const dueMs = this.#turnedMs + (isBusy ? EVENTS_MS_BUSY : EVENTS_MS);
    const waitMs = Math.max(0, Math.ceil(dueMs - performance.now()));
    this.#poll.wait(waitMs);
    if ((this.#poll.events(1) & ~POLLIN) !== 0) this.#look();
    return this.#poll.events(0) !== 0 || performance.now() >= dueMs;
  }

  /** Now and then, and when the ring says that it has broken. */
  #look(): void {
    const why = this.#ring.look();
    if (why !== null) this.#mend(why);
  }

  #reopen(): void {
    if (this.#ring.isOpen || this.#isOver) return;
    try {
      this.#ring.open();
      this.#ringRestarts++;
    } catch (error) {
      this.#mend((error as Error).message);
    }
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
  }

  #note(note: InterceptNote): void {
    this.#options.note?.(note);
  }

  #route(): void {
    const { bytes, bytesUsed, oldestMs, view } = this.#ring;
    if (bytesUsed === 0) return;
    this.#fault = '';
    const ageMs = Math.max(0, realtimeMs() - oldestMs);
    if (ageMs > this.#delayMsMax) this.#delayMsMax = ageMs;
    this.#router.route(bytes, view, 0, bytesUsed, ageMs, performance.now());
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
    const { counts } = this.#ring;
    return {
      replies: counts[ReaderCount.Replies]!,
      routed: this.#router.routed,
      unrouted: this.#router.early.expired,
      droppedByKernel: counts[ReaderCount.Dropped]!,
      lostToAgent: agent.lost,
      sessions: this.#router.sessions,
    };
  }

  snapshot(): InterceptSnapshot {
    const { counts } = this.#ring;
    const router = this.#router;
    const agents = [...(this.#server?.agents ?? [])];
    return {
      seconds: (performance.now() - this.#startedAt) / 1000,
      replies: counts[ReaderCount.Replies]!,
      routed: router.routed,
      routedLate: router.routedLate,
      unrouted: router.early.expired,
      waiting: router.early.count,
      lostToAgents: this.#lostBefore + agents.reduce((sum, agent) => sum + agent.lost, 0),
      droppedByKernel: counts[ReaderCount.Dropped]!,
      malformed: counts[ReaderCount.Malformed]!,
      foreign: counts[ReaderCount.Foreign]!,
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
      ringRestarts: this.#ringRestarts,
      connectionsAborted: this.#aborted,
    };
  }

  /** Tells the agents, takes everything down, resolves with the last snapshot. Once; later calls wait for the same. */
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
    for (const timer of this.#timers) clearInterval(timer);
    this.#desk.close();
    // The rules stand yet: what these connections say last reaches nobody.
    if (server !== null && this.#routes !== null) this.#aborted = this.#routes.abortConnections();
    this.#isOver = true;
    this.#ring.look();
    this.#ring.close();
    const last = this.snapshot();
    await server?.close();
    const left = this.#routes?.close() ?? null;
    if (left !== null) this.#note({ kind: 'rulesLeft', why: left });
    this.#lock?.close();
    return { ...last, ends: Object.fromEntries(server?.ends ?? []) };
  }
}
