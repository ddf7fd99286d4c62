/**
 * `--intercept local`: this host is the next hop of the targets' replies, and must let none of them go on to a client.
 *
 * A routing rule sends the service's replies nowhere (`ip rule … blackhole`): no RST and no ICMP answers them, nothing
 * is forwarded, and rings see them before. Packets for this host's own addresses are not touched, as the rule for the
 * local table comes first. The rule's priority tells whose it is, as its agent holds a lock of that number while it
 * lives: rules of agents that were killed are removed at the next start, when the new one's stand beside them.
 */
import { OperatorError } from '../../base/errors.ts';
import { ipJson } from '../../device/host.ts';
import { lockName, type NameLock } from '../../device/name_lock.ts';
import type { AgentTarget } from './spec.ts';

/** Priorities of our rules, one for each agent of a namespace. In front of the main table's, 32766. */
const PRIORITY = 20_000;
const PRIORITIES = 10_000;
const lockOf = (priority: number): NameLock | null => lockName(`tsreplay-rule-${priority}`);
/** Who made a route or rule (rtm_protocol); not one of those in iproute2's table. */
const PROTOCOL = '116';
/** An address that nobody has (RFC 5737, RFC 3849). */
const SPARE = { 4: '192.0.2.1', 6: '2001:db8::1' } as const;

interface Rule {
  readonly priority: number;
  readonly protocol?: string | number;
}

type Family = '-4' | '-6';
const familyOf = (target: AgentTarget): Family => (target.address.length === 4 ? '-6' : '-4');

export class Swallow {
  readonly #targets: readonly AgentTarget[];
  readonly #priority: number;
  readonly #lock: NameLock;

  private constructor(targets: readonly AgentTarget[]) {
    const seen = new Map(targets.map((target) => [`${target.host} ${target.port}`, target]));
    this.#targets = [...seen.values()];
    [this.#priority, this.#lock] = freePriority();
  }

  /** Sets the rules up. Throws PERMISSION or UNSUPPORTED where replies would reach clients. */
  static setUp(targets: readonly AgentTarget[]): Swallow {
    const swallow = new Swallow(targets);
    let refusal: unknown = null;
    try {
      for (const target of swallow.#targets) ipJson(...swallow.#rule('add', target));
    } catch (error) {
      refusal = error;
    }
    try {
      for (const target of swallow.#targets) refuseLeak(target, refusal);
    } catch (error) {
      swallow.tearDown();
      throw error;
    }
    removeStale();
    return swallow;
  }

  #rule(verb: 'add' | 'del', { host, port, address }: AgentTarget): string[] {
    const family = address.length === 4 ? '-6' : '-4';
    const match = ['from', host, 'ipproto', 'tcp', 'sport', String(port)];
    return [family, 'rule', verb, 'priority', String(this.#priority), 'protocol', PROTOCOL, ...match, 'blackhole'];
  }

  /** Puts back what somebody has removed. Returns how many rules that were. */
  mend(): number {
    let added = 0;
    for (const target of this.#targets) {
      const rules = ownRules(familyOf(target)).filter(({ priority }) => priority === this.#priority);
      const wanted = this.#targets.filter((other) => familyOf(other) === familyOf(target)).length;
      if (rules.length >= wanted) continue;
      try {
        ipJson(...this.#rule('add', target));
        added++;
      } catch {
        // It is there, or the next look tries again.
      }
    }
    return added;
  }

  tearDown(): void {
    for (const family of ['-4', '-6'] as const) {
      for (const { priority } of ownRules(family)) if (priority === this.#priority) removeRule(family, priority);
    }
    this.#lock.release();
  }
}

/** One that no living agent has, and no rule of a killed one, which must hold until ours is set. */
function freePriority(): [priority: number, lock: NameLock] {
  const taken = new Set([...ownRules('-4'), ...ownRules('-6')].map(({ priority }) => priority));
  for (let priority = PRIORITY; priority < PRIORITY + PRIORITIES; priority++) {
    const lock = taken.has(priority) ? null : lockOf(priority);
    if (lock !== null) return [priority, lock];
  }
  const remedy = `remove what "ip rule show protocol ${PROTOCOL}" lists`;
  throw new OperatorError('RESOURCE', `all ${PRIORITIES} priorities of routing rules are taken: ${remedy}`);
}

function ownRules(family: Family): Rule[] {
  try {
    return ipJson<Rule>(family, 'rule', 'show').filter(
      ({ priority, protocol }) =>
        priority >= PRIORITY && priority < PRIORITY + PRIORITIES && String(protocol) === PROTOCOL,
    );
  } catch {
    // A kernel without IPv6.
    return [];
  }
}

function removeRule(family: Family, priority: number): void {
  try {
    ipJson(family, 'rule', 'del', 'priority', String(priority), 'protocol', PROTOCOL);
  } catch {
    // Removed by somebody else meanwhile.
  }
}

/** Rules of agents that do not run any more. */
function removeStale(): void {
  for (const family of ['-4', '-6'] as const) {
    for (const { priority } of ownRules(family)) {
      const lock = lockOf(priority);
      if (lock === null) continue;
      removeRule(family, priority);
      lock.release();
    }
  }
}

/** Asks the kernel where a reply to a client would go. */
function refuseLeak(target: AgentTarget, refusal: unknown): void {
  const family = familyOf(target);
  const spare = SPARE[family === '-6' ? 6 : 4];
  const reply = [
    'from',
    target.host,
    'iif',
    target.device,
    'ipproto',
    'tcp',
    'sport',
    String(target.port),
    'dport',
    '1024',
  ];
  let route: { readonly dev?: string; readonly type?: string } | undefined;
  try {
    [route] = ipJson<{ readonly dev?: string; readonly type?: string }>(family, 'route', 'get', spare, ...reply);
  } catch {
    // Nowhere: that is what is wanted.
    return;
  }
  if (route?.dev === undefined || route.type === 'blackhole' || route.type === 'unreachable') return;
  const why = refusal instanceof Error ? ` (${refusal.message})` : '';
  const sysctl = family === '-6' ? 'net.ipv6.conf.all.forwarding' : 'net.ipv4.ip_forward';
  throw new OperatorError(
    refusal === null ? 'UNSUPPORTED' : 'PERMISSION',
    `replies of ${target.host} would be forwarded to real clients through ${route.dev}, ` +
      `as no routing rule could be set${why}: run as root, or by systemd with AmbientCapabilities, ` +
      `or sysctl ${sysctl}=0`,
  );
}
