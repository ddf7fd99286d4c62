/**
 * MAC addresses for packets that were captured without an Ethernet header: the source is the interface's own, the
 * destination comes from the route and the neighbour table of this host. Resolved once per next hop and kept.
 */
import { isIP, isIPv6 } from 'node:net';
import { OperatorError } from '../base/errors.ts';
import { type IpNeighbour, type IpRoute, ipNeighbour, ipRouteGet } from '../sys/ip.ts';
import {
  AF_INET,
  AF_INET6,
  LITTLE_ENDIAN,
  SO_BINDTODEVICE,
  SOCK_DGRAM,
  SOL_SOCKET,
  SockaddrIn,
  SockaddrIn6,
} from '../sys/layout.ts';
import { closeSocket, openSocket, pauseMicroseconds, sendTo, setSocketOption } from '../sys/socket.ts';
import { LINKTYPE_ETHERNET, type LinkFacts, linkFacts } from './link.ts';

/** RFC 863: a datagram to it says nothing, and makes the kernel ask who has the address. */
const DISCARD_PORT = 9;
const RESOLVE_ATTEMPTS = 30;
const RESOLVE_PAUSE_US = 50_000;
/** Destinations remembered; beyond it the oldest is asked for again. */
const CACHE_MAX = 65_536;

export interface MacResolver {
  /** Six bytes: the interface's own address. */
  readonly source: Uint8Array;
  /** Six bytes: the next hop to an IP address (text). Throws ADDRESS with the option that helps. */
  destination(address: string): Uint8Array;
}

/** Addresses for Ethernet headers on one interface. Throws INTERFACE or FRAMING where it takes none. */
export function openMacResolver(name: string): MacResolver {
  const link = linkFacts(name);
  if (link.linktype !== LINKTYPE_ETHERNET) {
    throw new OperatorError('FRAMING', `${name} has no Ethernet header: packets are sent on it as they are`);
  }
  return new RouteResolver(link);
}

class RouteResolver implements MacResolver {
  readonly source: Uint8Array;
  #link: LinkFacts;
  #byDestination = new Map<string, Uint8Array>();
  #byNextHop = new Map<string, Uint8Array>();

  constructor(link: LinkFacts) {
    this.#link = link;
    this.source = link.mac;
  }

  destination(address: string): Uint8Array {
    const known = this.#byDestination.get(address);
    if (known !== undefined) return known;
    const found = this.#find(address);
    if (this.#byDestination.size >= CACHE_MAX) {
      this.#byDestination.delete(this.#byDestination.keys().next().value as string);
    }
    this.#byDestination.set(address, found);
    return found;
  }

  #find(address: string): Uint8Array {
    if (isIP(address) === 0) throw new OperatorError('ADDRESS', `${address} is no IP address`);
    // A loopback device takes any address, its own being zeros.
    if (this.#link.loopback) return new Uint8Array(6);
    const group = groupMac(address);
    if (group !== null) return group;
    const route = ipRouteGet(address, this.#link.name);
    if (route === null || route.type === 'local') throw this.#impossible(address, 'no route leads there');
    if (route.type === 'broadcast') return new Uint8Array(6).fill(0xff);
    const nextHop = nextHopOf(route, address);
    let mac = this.#byNextHop.get(nextHop);
    if (mac === undefined) {
      mac = this.#neighbour(nextHop) ?? undefined;
      if (mac === undefined) throw this.#impossible(address, `${nextHop} does not answer`);
      this.#byNextHop.set(nextHop, mac);
    }
    return mac;
  }

  #neighbour(nextHop: string): Uint8Array | null {
    const present = usableMac(ipNeighbour(nextHop, this.#link.name));
    if (present !== null) return present;
    provoke(nextHop, this.#link);
    for (let attempt = 0; attempt < RESOLVE_ATTEMPTS; attempt++) {
      pauseMicroseconds(RESOLVE_PAUSE_US);
      const entry = ipNeighbour(nextHop, this.#link.name);
      const mac = usableMac(entry);
      if (mac !== null) return mac;
      if (entry?.state.includes('FAILED') === true) return null;
    }
    return null;
  }

  #impossible(address: string, why: string): OperatorError {
    return new OperatorError(
      'ADDRESS',
      `no Ethernet destination for ${address} on ${this.#link.name}, ${why}: ` +
        'give one with --enet-dmac 02:00:00:00:00:01',
    );
  }
}

function nextHopOf(route: IpRoute, address: string): string {
  return route.gateway ?? route.via?.host ?? address;
}

function usableMac(entry: IpNeighbour | null): Uint8Array | null {
  if (entry?.lladdr === undefined || entry.state.includes('FAILED') || entry.state.includes('INCOMPLETE')) return null;
  return parseMac(entry.lladdr);
}

/** `02:00:00:00:00:01` as six bytes, or null. */
export function parseMac(text: string): Uint8Array | null {
  if (!/^[0-9a-f]{1,2}([:-][0-9a-f]{1,2}){5}$/i.test(text)) return null;
  return Uint8Array.from(text.split(/[:-]/), (part) => Number.parseInt(part, 16));
}

/** Multicast and broadcast addresses have fixed MAC addresses (RFC 1112 section 6.4, RFC 2464 section 7). */
function groupMac(address: string): Uint8Array | null {
  if (address === '255.255.255.255') return new Uint8Array(6).fill(0xff);
  const bytes = addressBytes(address);
  if (bytes.byteLength === 4) {
    if (bytes[0]! >> 4 !== 0xe) return null;
    return Uint8Array.of(0x01, 0x00, 0x5e, bytes[1]! & 0x7f, bytes[2]!, bytes[3]!);
  }
  if (bytes[0] !== 0xff) return null;
  return Uint8Array.of(0x33, 0x33, bytes[12]!, bytes[13]!, bytes[14]!, bytes[15]!);
}

/** An IP address in network order, 4 or 16 bytes. Preconditions: `isIP(address)`. */
export function addressBytes(address: string): Uint8Array {
  if (!isIPv6(address)) return Uint8Array.from(address.split('.'), Number);
  const bytes = new Uint8Array(16);
  const view = new DataView(bytes.buffer);
  let text = address.split('%')[0]!;
  const dotted = /^(.*:)(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(text);
  if (dotted !== null) {
    const [a, b, c, d] = dotted.slice(2).map(Number) as [number, number, number, number];
    text = `${dotted[1]}${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`;
  }
  const [front, back] = text.split('::');
  const head = (front ?? '').split(':').filter((part) => part !== '');
  const tail = (back ?? '').split(':').filter((part) => part !== '');
  head.forEach((part, i) => {
    view.setUint16(i * 2, Number.parseInt(part, 16));
  });
  tail.forEach((part, i) => {
    view.setUint16((8 - tail.length + i) * 2, Number.parseInt(part, 16));
  });
  return bytes;
}

/** Sends an empty datagram out of the interface to the discard port, so that the kernel resolves the address there. */
function provoke(address: string, { name, ifindex }: LinkFacts): void {
  const bytes = addressBytes(address);
  const ipv6 = bytes.byteLength === 16;
  const fd = openSocket(ipv6 ? AF_INET6 : AF_INET, SOCK_DGRAM, 0, 'a datagram socket');
  // Refused by kernels before 5.7 without CAP_NET_RAW: then by what the routes say.
  setSocketOption(fd, SOL_SOCKET, SO_BINDTODEVICE, new TextEncoder().encode(`${name}\0`));
  const sockaddr = new Uint8Array(ipv6 ? SockaddrIn6.SIZE : SockaddrIn.SIZE);
  const view = new DataView(sockaddr.buffer);
  view.setUint16(SockaddrIn.FAMILY, ipv6 ? AF_INET6 : AF_INET, LITTLE_ENDIAN);
  view.setUint16(SockaddrIn.PORT, DISCARD_PORT);
  sockaddr.set(bytes, ipv6 ? SockaddrIn6.ADDR : SockaddrIn.ADDR);
  if (ipv6 && bytes[0] === 0xfe) view.setUint32(SockaddrIn6.SCOPE_ID, ifindex, LITTLE_ENDIAN);
  sendTo(fd, new Uint8Array(0), 0, sockaddr);
  closeSocket(fd);
}
