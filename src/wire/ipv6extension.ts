/**
 * HOT: IPv6 extension headers, RFC 8200 section 4: hop-by-hop, routing, fragment, destination options; Authentication
 * Header (RFC 4302), Mobility (RFC 6275), HIP (RFC 7401), Shim6 (RFC 5533). ESP hides what follows and ends the walk.
 */
import { Wire, type WireStatus } from './layers.ts';
import { IpProtocol } from './protocol.ts';

const NEXT_HEADER = 0;
const LENGTH = 1;
export const IPV6_EXTENSION_MIN_LEN = 8;
/** A walk ends with `Unsupported` behind so many extension headers. */
export const IPV6_EXTENSIONS_MAX = 32;

// Fragment header, RFC 8200 section 4.5
const FRAGMENT_OFFSET = 2;
const FRAGMENT_ID = 4;
export const IPV6_FRAGMENT_LEN = 8;

// Routing header, RFC 8200 section 4.4
const ROUTING_TYPE = 2;
const ROUTING_SEGMENTS_LEFT = 3;
const ROUTING_ADDRESSES = 8;
export const Ipv6RoutingType = { Source: 0, Mobile: 2, Segment: 4 } as const;

// Jumbo payload option, RFC 2675 section 2
const OPTION_PAD1 = 0;
const OPTION_JUMBO = 0xc2;

const HOP_BY_HOP = IpProtocol.HopByHop;
const ROUTING = IpProtocol.Routing;
const FRAGMENT = IpProtocol.Fragment;
const AH = IpProtocol.Ah;
const DESTINATION = IpProtocol.DestinationOptions;
const MOBILITY = IpProtocol.Mobility;
const HIP = IpProtocol.Hip;
const SHIM6 = IpProtocol.Shim6;

/** True for the headers that `ipv6ExtensionLen` can step over. */
export function isIpv6Extension(protocol: number): boolean {
  switch (protocol) {
    case HOP_BY_HOP:
    case ROUTING:
    case FRAGMENT:
    case AH:
    case DESTINATION:
    case MOBILITY:
    case HIP:
    case SHIM6:
      return true;
    default:
      return false;
  }
}

/** After `Wire.Ok` no accessor of this file reads outside [at, end) for a header of this protocol. */
export function checkIpv6Extension(view: DataView, at: number, end: number, protocol: number): WireStatus {
  if (end - at < IPV6_EXTENSION_MIN_LEN) return Wire.Truncated;
  return end - at < ipv6ExtensionLen(view, at, protocol) ? Wire.Truncated : Wire.Ok;
}

export function ipv6ExtensionNext(view: DataView, at: number): number {
  return view.getUint8(at + NEXT_HEADER);
}

/** Bytes of the header, at least 8. */
export function ipv6ExtensionLen(view: DataView, at: number, protocol: number): number {
  if (protocol === FRAGMENT) return IPV6_FRAGMENT_LEN;
  // AH counts 4-byte units minus 2 (RFC 4302 section 2.2); IPv4's AH may be 12 bytes, and its fields are not used.
  if (protocol === AH) return (view.getUint8(at + LENGTH) + 2) << 2;
  return (view.getUint8(at + LENGTH) + 1) << 3;
}

/** Fragment offset in bytes. */
export function ipv6FragmentOffset(view: DataView, at: number): number {
  return view.getUint16(at + FRAGMENT_OFFSET) & 0xfff8;
}

export function ipv6MoreFragments(view: DataView, at: number): boolean {
  return (view.getUint16(at + FRAGMENT_OFFSET) & 1) !== 0;
}

export function ipv6FragmentId(view: DataView, at: number): number {
  return view.getUint32(at + FRAGMENT_ID);
}

export function ipv6RoutingType(view: DataView, at: number): number {
  return view.getUint8(at + ROUTING_TYPE);
}

export function ipv6SegmentsLeft(view: DataView, at: number): number {
  return view.getUint8(at + ROUTING_SEGMENTS_LEFT);
}

/**
 * Offset of the final destination's address in a routing header with segments left, or -1 for a type that does not
 * hold one. Precondition: `checkIpv6Extension` said Ok.
 */
export function ipv6FinalDstAt(view: DataView, routing: number): number {
  const length = ipv6ExtensionLen(view, routing, ROUTING);
  if (length < ROUTING_ADDRESSES + 16) return -1;
  switch (ipv6RoutingType(view, routing)) {
    case Ipv6RoutingType.Source:
      return routing + length - 16;
    case Ipv6RoutingType.Mobile: // one home address
    case Ipv6RoutingType.Segment: // RFC 8754 section 2: the list is encoded from the last segment on
      return routing + ROUTING_ADDRESSES;
    default:
      return -1;
  }
}

/** Jumbo payload length of a hop-by-hop header, or -1. Precondition: `checkIpv6Extension` said Ok. */
export function ipv6JumboLen(view: DataView, hopByHop: number): number {
  const end = hopByHop + ipv6ExtensionLen(view, hopByHop, HOP_BY_HOP);
  let at = hopByHop + 2;
  while (at < end) {
    const kind = view.getUint8(at);
    if (kind === OPTION_PAD1) {
      at += 1;
      continue;
    }
    if (at + 2 > end) return -1;
    const length = view.getUint8(at + 1);
    if (at + 2 + length > end) return -1;
    if (kind === OPTION_JUMBO) return length === 4 ? view.getUint32(at + 2) : -1;
    at += 2 + length;
  }
  return -1;
}

export function setIpv6ExtensionNext(view: DataView, at: number, protocol: number): void {
  view.setUint8(at + NEXT_HEADER, protocol);
}

/** `length`: bytes of the header, a multiple of 8 from 8 on (hop-by-hop, routing, destination options). */
export function setIpv6ExtensionLen(view: DataView, at: number, length: number): void {
  view.setUint8(at + LENGTH, (length >>> 3) - 1);
}

/** Writes a whole Fragment header. `offset` in bytes, a multiple of 8. */
export function setIpv6Fragment(
  view: DataView,
  at: number,
  next: number,
  offset: number,
  more: boolean,
  id: number,
): void {
  view.setUint8(at + NEXT_HEADER, next);
  view.setUint8(at + LENGTH, 0);
  view.setUint16(at + FRAGMENT_OFFSET, offset | (more ? 1 : 0));
  view.setUint32(at + FRAGMENT_ID, id);
}
