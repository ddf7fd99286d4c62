/**
 * Router mode: networks around the servers, as wide as can be without holding a client, and the unknown hosts in them.
 *
 * All hosts of one IP version stand in the order of their addresses. The two hosts, one client and one server, that
 * share the longest prefix then stand next to each other among clients and servers, and so does every host next to the
 * server nearest to it: one sort answers both questions.
 */
import { commonPrefix } from './address_block.ts';
import { hostWords } from './host_memo.ts';
import type { HostTable } from './hosts.ts';

/** What is known of a host before networks are drawn, and after. */
export const Side = { Unknown: 0, Client: 1, Server: 2 } as const;
export type Side = (typeof Side)[keyof typeof Side];

/** Prefix lengths chosen, 0 where there is no server or no unknown host of that version. */
export interface ServerNetworks {
  readonly ipv4: number;
  readonly ipv6: number;
  /** Per host: 1 = unknown before, now in a server's network. */
  readonly inside: Uint8Array;
}

/** A client so near to a server that no network parts them. */
export interface TooNear {
  readonly client: number;
  readonly server: number;
  readonly prefix: number;
}

/** IPv6 prefixes are four times as long as IPv4 ones: /8 to /30 are /32 to /120. */
export const IPV6_MASK_FACTOR = 4;

export function drawServerNetworks(
  hosts: HostTable,
  sides: Uint8Array,
  maxmask: number,
  minmask: number,
): ServerNetworks | TooNear {
  const inside = new Uint8Array(hosts.count);
  const prefixes = { 4: 0, 6: 0 };
  for (const version of [4, 6] as const) {
    const factor = version === 4 ? 1 : IPV6_MASK_FACTOR;
    const order = sortedHosts(hosts, version);
    // Without a server there is no network, without an unknown host nothing to ask it.
    if (!order.some((id) => sides[id] === Side.Server) || order.every((id) => sides[id] !== Side.Unknown)) continue;
    const near = nearestPair(hosts, sides, order);
    const prefix = Math.max(maxmask * factor, near === null ? 0 : near.prefix + 1);
    if (near !== null && prefix > minmask * factor) return near;
    prefixes[version] = prefix;
    markInside(hosts, sides, order, prefix, inside);
    markInside(hosts, sides, order.reverse(), prefix, inside);
  }
  return { ipv4: prefixes[4], ipv6: prefixes[6], inside };
}

function sortedHosts(hosts: HostTable, version: 4 | 6): number[] {
  const order: number[] = [];
  for (let id = 0; id < hosts.count; id++) if (hosts.version(id) === version) order.push(id);
  const words = version === 4 ? 1 : 4;
  return order.sort((a, b) => {
    for (let i = 0; i < words; i++) {
      const difference = hosts.word(a, i) - hosts.word(b, i);
      if (difference !== 0) return difference;
    }
    return 0;
  });
}

/** The client and the server with the longest common prefix, or null where one kind is missing. */
function nearestPair(hosts: HostTable, sides: Uint8Array, order: readonly number[]): TooNear | null {
  let nearest: TooNear | null = null;
  let last = -1;
  for (const id of order) {
    if (sides[id] === Side.Unknown) continue;
    if (last >= 0 && sides[last] !== sides[id]) {
      const prefix = commonPrefix(hostWords(hosts, last), hostWords(hosts, id));
      const [client, server] = sides[id] === Side.Client ? [id, last] : [last, id];
      if (nearest === null || prefix > nearest.prefix) nearest = { client, server, prefix };
    }
    last = id;
  }
  return nearest;
}

/** Marks unknown hosts whose nearest server in front of them (in `order`) shares `prefix` bits. */
function markInside(
  hosts: HostTable,
  sides: Uint8Array,
  order: readonly number[],
  prefix: number,
  inside: Uint8Array,
): void {
  let server: number[] | null = null;
  for (const id of order) {
    if (sides[id] === Side.Server) server = hostWords(hosts, id);
    else if (sides[id] === Side.Unknown && server !== null && commonPrefix(server, hostWords(hosts, id)) >= prefix) {
      inside[id] = 1;
    }
  }
}
