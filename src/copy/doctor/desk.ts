/** tsintercept's part in a probe: looks at this host's interfaces for an agent, and says what it saw. */
import { isIP, isIPv6 } from 'node:net';
import { ipJson } from '../../device/host.ts';
import { type InterceptSpec, serviceText } from '../intercept/spec.ts';
import type { AgentLink } from '../tunnel/agent_link.ts';
import { type ProbeReport, type ReplyRoute, readProbeRequest } from '../tunnel/probe.ts';
import { Frame } from '../tunnel/protocol.ts';
import { hostFacts } from './facts.ts';
import { openPacketWatch, type PacketWatch } from './watch.ts';

/** An agent that does not say that its probe has ended is not looked for longer. */
const WATCH_MS_MAX = 10_000;
const POLL_MS = 20;
const WATCHES_MAX = 16;
/** Services whose routes are looked up: a process each. */
const ROUTES_MAX = 8;

interface Watch {
  readonly packets: PacketWatch | null;
  readonly addresses: readonly string[];
  readonly fault: string | null;
  readonly timers: readonly NodeJS.Timeout[];
}

export class ProbeDesk {
  readonly #spec: InterceptSpec;
  readonly #interface: string;
  /** By the agent's number. */
  readonly #watches = new Map<number, Watch>();

  /** `name`: the interface that replies are swallowed on. */
  constructor(spec: InterceptSpec, name: string) {
    this.#spec = spec;
    this.#interface = name;
  }

  /** A Probe or ProbeEnd frame of an agent; false: it is malformed. */
  take(link: AgentLink, type: number, payload: Buffer): boolean {
    if (type === Frame.ProbeEnd) {
      const watch = this.#watches.get(link.id);
      link.send(Frame.ProbeSeen, this.#report(watch ?? null));
      this.forget(link);
      return true;
    }
    const request = readProbeRequest(payload);
    if (request === null || request.addresses.some((address) => isIP(address) === 0)) return false;
    this.forget(link);
    let packets: PacketWatch | null = null;
    let fault: string | null = null;
    if (this.#watches.size >= WATCHES_MAX) fault = 'too many probes are under way';
    else {
      try {
        packets = openPacketWatch(request);
      } catch (error) {
        fault = (error as Error).message;
      }
      const poll = setInterval(() => packets?.poll(), POLL_MS);
      const end = setTimeout(() => this.forget(link), WATCH_MS_MAX);
      this.#watches.set(link.id, {
        packets,
        addresses: request.addresses,
        fault,
        timers: [poll.unref(), end.unref()],
      });
    }
    link.send(Frame.ProbeReady, this.#report({ packets, addresses: [], fault }));
    return true;
  }

  #report(watch: Omit<Watch, 'timers'> | null): Buffer {
    const { packets, fault, addresses } = watch ?? { packets: null, fault: 'no probe is under way', addresses: [] };
    const { mode, services, except } = this.#spec;
    const report: ProbeReport = {
      fault: packets === null ? fault : null,
      mode,
      interface: this.#interface,
      services: services.map(serviceText),
      except,
      replyRoutes: mode === 'host' ? this.#replyRoutes(addresses) : [],
      facts: hostFacts(),
      sightings: packets?.sightings() ?? [],
    };
    return Buffer.from(JSON.stringify(report));
  }

  /** Asks the kernel, as a rule of somebody's own may go before those of the interception. */
  #replyRoutes(addresses: readonly string[]): ReplyRoute[] {
    const found: ReplyRoute[] = [];
    for (const service of this.#spec.services.slice(0, ROUTES_MAX)) {
      for (const to of addresses) {
        const { address, port } = service;
        if (address !== null && isIPv6(address) !== isIPv6(to)) continue;
        const from = address === null ? [] : ['from', address];
        const device = deviceTo(to, [...from, 'sport', String(port)]);
        if (device !== null) found.push({ service: serviceText(service), device });
      }
    }
    return found;
  }

  /** The agent's probe is over, or the agent is gone. */
  forget(link: AgentLink): void {
    const watch = this.#watches.get(link.id);
    if (watch === undefined) return;
    this.#watches.delete(link.id);
    for (const timer of watch.timers) clearTimeout(timer);
    watch.packets?.close();
  }

  close(): void {
    for (const { packets, timers } of this.#watches.values()) {
      for (const timer of timers) clearTimeout(timer);
      packets?.close();
    }
    this.#watches.clear();
  }
}

/** Null: nowhere, or `from` is an address of another namespace, for which the kernel does not say. */
function deviceTo(address: string, more: readonly string[]): string | null {
  const family = isIPv6(address) ? '-6' : '-4';
  try {
    return ipJson<{ dev?: string }>(family, 'route', 'get', address, 'ipproto', 'tcp', ...more)[0]?.dev ?? null;
  } catch {
    return null;
  }
}
