/** HOT: records -> the agents that registered their sessions. Budget 200 ns a reply. */
import { HISTOGRAM_CELLS, histogramRecord } from '../../base/histogram.ts';
import type { AgentLink } from '../tunnel/agent_link.ts';
import { replyBytes, replyKey } from '../tunnel/reply.ts';
import { KEY_WORDS } from '../tunnel/session_key.ts';
import { SessionMap } from '../tunnel/session_map.ts';
import { EarlyReplies, type EarlyReply } from './early.ts';

/** Of all agents together: a table of 92 MB. */
export const SESSIONS_MAX = 1_500_000;

export class ReplyRouter {
  readonly early: EarlyReplies = new EarlyReplies();
  /** Replies handed to agents' queues (those that the queue refused are counted by the agent's link). */
  routed = 0;
  /** Of these, replies that came before their session was registered. */
  routedLate = 0;
  /** Sessions that another agent registered before; the newest registration holds. */
  takenOver = 0;
  /** Registrations for which there was no room. */
  refused = 0;
  /** Time from the kernel to the agent's connection, the oldest reply of each hand-over; `base/histogram.ts`. */
  readonly delay: Int32Array = new Int32Array(HISTOGRAM_CELLS);
  readonly #sessions = new SessionMap(SESSIONS_MAX);
  readonly #agentOf: (id: number) => AgentLink | undefined;
  readonly #key = new Int32Array(KEY_WORDS);
  /** Agents that got something in this hand-over. */
  readonly #touched: AgentLink[] = [];
  #last: AgentLink | null = null;
  #late: AgentLink | null = null;
  readonly #useEarly: EarlyReply = (bytes, at, length) => {
    this.#late!.append(bytes, at, length, 0);
    this.routed++;
    this.routedLate++;
  };

  constructor(agentOf: (id: number) => AgentLink | undefined) {
    this.#agentOf = agentOf;
  }

  get sessions(): number {
    return this.#sessions.count;
  }

  /** Routes the records of [at, end). `ageMs`: since the kernel saw the oldest. */
  route(bytes: Uint8Array, view: DataView, at: number, end: number, ageMs: number, nowMs: number): void {
    const ageUs = ageMs * 1000;
    this.#last = null;
    for (let from = at; from < end; ) {
      const length = replyBytes(view, from, end);
      if (length === 0) break;
      replyKey(view, from, this.#key);
      const id = this.#sessions.get(this.#key);
      const agent = id === 0 ? undefined : this.#agentFor(id);
      if (agent === undefined) this.early.keep(this.#key, bytes, from, length, nowMs);
      else {
        agent.append(bytes, from, length, ageUs);
        this.routed++;
      }
      from += length;
    }
    for (let i = 0; i < this.#touched.length; i++) this.#touched[i]!.flush();
    this.#touched.length = 0;
    histogramRecord(this.delay, ageUs * 1000);
  }

  #agentFor(id: number): AgentLink | undefined {
    if (this.#last !== null && this.#last.id === id) return this.#last;
    const agent = this.#agentOf(id);
    if (agent === undefined) return undefined;
    this.#last = agent;
    if (!this.#touched.includes(agent)) this.#touched.push(agent);
    return agent;
  }

  register(agent: AgentLink, key: Int32Array): void {
    const before = this.#sessions.set(key, agent.id);
    if (before < 0) {
      this.refused++;
      return;
    }
    if (before !== agent.id) agent.sessions++;
    if (before > 0 && before !== agent.id) this.#takeOver(before);
    if (this.early.count === 0) return;
    this.#late = agent;
    this.early.release(key, this.#useEarly);
    agent.flush();
  }

  #takeOver(id: number): void {
    const loser = this.#agentOf(id);
    if (loser === undefined) return;
    loser.sessions--;
    this.takenOver++;
  }

  unregister(agent: AgentLink, key: Int32Array): void {
    // Not its own any more: another agent has taken it over.
    if (this.#sessions.get(key) !== agent.id) return;
    this.#sessions.delete(key);
    agent.sessions--;
  }

  /** The agent is gone: its sessions' replies wait for whoever registers them next. */
  forget(agent: AgentLink): void {
    this.#sessions.deleteValue(agent.id);
    agent.sessions = 0;
  }
}
