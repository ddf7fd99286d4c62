/**
 * What the two ends tell each other while a probe is under way: which packets to look for, which were seen, and how the
 * far host is set up. JSON, as it is rare and for people; checked when it arrives, as any end may be a newer one.
 */

/** Looks for TCP packets from and to these addresses and this port. */
export interface ProbeRequest {
  readonly port: number;
  readonly addresses: readonly string[];
}

/** `in`: reached an interface of the host; `passing`: went by, for another host; `out`: left by the interface. */
export const WAYS = ['in', 'passing', 'out'] as const;
export type Way = (typeof WAYS)[number];

/** SYN: from the probe; SYN-ACK and RST: to it; other: anything else of its connection. */
export const KINDS = ['SYN', 'SYN-ACK', 'RST', 'other'] as const;
export type Kind = (typeof KINDS)[number];

/** Packets of one kind that one interface showed. */
export interface Sighting {
  readonly interface: string;
  readonly way: Way;
  readonly kind: Kind;
  /** Address and port of the service's end, as `addressText` writes it: `10.0.0.9:80`. */
  readonly service: string;
  readonly count: number;
}

export interface HostInterface {
  readonly name: string;
  readonly mtu: number;
  /** The larger of its own setting and that of `all`, as the kernel takes it; null: not known. */
  readonly rpFilter: number | null;
  /** Forwarding of IPv4 and IPv6; null: not known. */
  readonly forwards4: number | null;
  readonly forwards6: number | null;
  /** Without prefix lengths. */
  readonly addresses: readonly string[];
}

/** How a host is set up, as far as copies and replies go. */
export interface HostFacts {
  readonly interfaces: readonly HostInterface[];
  /** Packets that rp_filter dropped, and connections that a service's full queue refused, since the host is up. */
  readonly reversePathDrops: number;
  readonly listenDrops: number;
}

/** Where the far host's routes lead a reply of a service to the probe. */
export interface ReplyRoute {
  /** `80`, `10.0.0.9:80`. */
  readonly service: string;
  /** Interface. */
  readonly device: string;
}

/** The answer to Probe and to ProbeEnd. */
export interface ProbeReport {
  /** Why nothing could be looked for; null: it could. */
  readonly fault: string | null;
  readonly mode: 'host' | 'assistant';
  /** Interface that replies are swallowed on. */
  readonly interface: string;
  /** `80`, `10.0.0.9:80`; networks that are answered as ever. */
  readonly services: readonly string[];
  readonly except: readonly string[];
  /** Of its own services; none in mode `assistant`. */
  readonly replyRoutes: readonly ReplyRoute[];
  readonly facts: HostFacts;
  readonly sightings: readonly Sighting[];
}

const ADDRESSES_MAX = 2;

export function readProbeRequest(payload: Buffer): ProbeRequest | null {
  const { port, addresses } = fieldsOf(payload);
  if (!Number.isInteger(port) || (port as number) < 1 || (port as number) > 65_535) return null;
  if (!isListOf(addresses, 'string') || addresses.length < 1 || addresses.length > ADDRESSES_MAX) return null;
  return { port: port as number, addresses: addresses as string[] };
}

export function readProbeReport(payload: Buffer): ProbeReport | null {
  const report = fieldsOf(payload) as Partial<Record<keyof ProbeReport, unknown>>;
  const facts = report.facts as Partial<HostFacts> | undefined;
  const good =
    (report.fault === null || typeof report.fault === 'string') &&
    (report.mode === 'host' || report.mode === 'assistant') &&
    typeof report.interface === 'string' &&
    isListOf(report.services, 'string') &&
    isListOf(report.except, 'string') &&
    isListOf(report.replyRoutes, 'object') &&
    (report.replyRoutes as ReplyRoute[]).every((each) => typeof each.device === 'string') &&
    isListOf(report.sightings, 'object') &&
    (report.sightings as Sighting[]).every(isSighting) &&
    typeof facts?.reversePathDrops === 'number' &&
    typeof facts.listenDrops === 'number' &&
    isListOf(facts.interfaces, 'object') &&
    facts.interfaces!.every((each) => typeof each.name === 'string' && isListOf(each.addresses, 'string'));
  return good ? (report as ProbeReport) : null;
}

function isSighting(value: Sighting): boolean {
  return (
    typeof value.interface === 'string' &&
    typeof value.service === 'string' &&
    typeof value.count === 'number' &&
    WAYS.includes(value.way) &&
    KINDS.includes(value.kind)
  );
}

function isListOf(value: unknown, type: 'string' | 'object'): value is unknown[] {
  return Array.isArray(value) && value.every((each) => typeof each === type && each !== null);
}

function fieldsOf(payload: Buffer): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(payload.toString('utf8'));
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}
