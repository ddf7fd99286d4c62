/**
 * One decode pass over a frame: where each header begins and ends, in preallocated memory, no object per packet.
 */

/** What a check of bytes from outside says. A packet's fault is such a number, never an exception. */
export const Wire = {
  Ok: 0,
  /** The captured bytes end before the header does. */
  Truncated: 1,
  /** A length field contradicts itself or the header around it. */
  BadLength: 2,
  BadVersion: 3,
  /** Not malformed, but nothing that is looked into: link type, encrypted 802.11, more than `LAYERS_MAX` layers. */
  Unsupported: 4,
} as const;
export type WireStatus = (typeof Wire)[keyof typeof Wire];

export const LAYERS_MAX = 24;

/** Kinds of layers, outermost first in `Layers.kind`. */
export const LayerKind = {
  Link: 1, // whatever the link type is, up to its protocol field; VLAN, MPLS, PPPoE are layers of their own
  Vlan: 2, // begins at the TCI, two bytes behind the TPID
  Mpls: 3, // one layer a label
  Pppoe: 4,
  Arp: 5,
  Ipv4: 6,
  Ipv6: 7,
  Tcp: 8,
  Udp: 9,
  Icmp: 10,
  Icmpv6: 11,
  Sctp: 12,
  Gre: 13,
  Vxlan: 14,
  Ethernet: 15, // an inner Ethernet header (EoMPLS, VXLAN, GRE TEB)
  Other: 16, // a transport that is not looked into
} as const;
export type LayerKind = (typeof LayerKind)[keyof typeof LayerKind];

export const Fragment = { None: 0, First: 1, Later: 2 } as const;

/** Values of `Layers.nextType` below the EtherTypes. */
export const Next = {
  None: 0,
  Ip: 1, // IPv4 or IPv6 by its version nibble
  MplsPayload: 2, // IP by its nibble, or an Ethernet header with or without control word
  Llc: 3,
} as const;

/**
 * Result of `decode`. Every field is reset by each call; -1 = not there. Offsets count from the region's first byte.
 * `status` other than Ok: the layers found before the fault are still true.
 *
 * `ip >= 0` promises that the fixed IP header (20 or 40 bytes) lies whole in the frame; `l4 >= 0` that the fixed
 * transport header does (TCP 20, UDP 8, SCTP 12, ICMP and ICMPv6 4, others 0 bytes), even where `status` reports cut
 * options.
 */
export class Layers {
  /** Verdict on everything down to the outermost transport header. */
  status: WireStatus = 0;
  /** Verdict on what lies inside a tunnel. Apart, because a UDP port 4789 does not make a packet VXLAN. */
  innerStatus: WireStatus = 0;
  count = 0;
  readonly kind: Uint8Array = new Uint8Array(LAYERS_MAX);
  readonly at: Uint32Array = new Uint32Array(LAYERS_MAX);
  /** End of what the layer covers by its own length field, clipped to the captured frame. */
  readonly end: Uint32Array = new Uint32Array(LAYERS_MAX);

  /** First of the twelve bytes destination MAC, source MAC of the outermost Ethernet header (Ethernet, Juniper). */
  macs = -1;
  /**
   * Where the 16-bit EtherType of what lies at `l3` stands (behind the innermost tag), or -1 where the framing has none
   * (RAW, NULL, LOOP, PPP, LLC without SNAP).
   */
  etherTypeAt = -1;
  /** EtherType of what lies at `l3`, translated where the framing uses other numbers (PPP, AF); -1 = unknown (LLC). */
  etherType = -1;
  /** TCI of the outermost VLAN tag; its TPID lies at `vlan - 2`. */
  vlan = -1;
  vlanCount = 0;
  /** First byte behind link header and VLAN tags: an IP or ARP header, an MPLS label stack, a PPPoE header. */
  l3 = -1;
  arp = -1;
  /** The 802.11 header (`ieee80211.ts` finds the addresses in it). */
  ieee80211 = -1;

  /** Outermost IP header. */
  ip = -1;
  ipVersion = 0;
  /** End by the IP header's length, clipped to the frame: padding and FCS lie behind it. */
  ipEnd = -1;
  /** The capture holds less than the IP header announces (snaplen), so sums over the payload cannot be checked. */
  ipCut = false;
  /** The IP header's length is 0 (captured before segmentation offload): `ipEnd` is the end of the frame. */
  ipLengthZero = false;
  fragment = 0;
  /** IPv6 Fragment header, also of atomic fragments (which have `fragment` None, RFC 6946). */
  ipv6Fragment = -1;
  /** IPv6 Routing header with segments left: the pseudo-header's destination is in there (RFC 8200 section 8.1). */
  ipv6Routing = -1;
  /**
   * Transport header that follows the outermost IP header and its extension headers; -1 in later fragments.
   */
  l4 = -1;
  /** IANA protocol number after extension headers, or -1. In later fragments: what the fragment header names. */
  l4Protocol = -1;
  /** First byte behind the transport header; -1 when its options are cut or it is not looked into. */
  payload = -1;
  /** IP header quoted by an ICMP or ICMPv6 error, its fixed header whole; -1 otherwise. */
  embedded = -1;
  /** First byte that a tunnel in the outermost packet carries; where `innerStatus` begins. */
  tunnel = -1;

  /** Cursor of the pass: EtherType or `Next` of what comes next, where it lies, and its end. */
  nextType = 0;
  nextAt = 0;
  nextEnd = 0;
  /** The link fields above are final: what comes is behind them. */
  linkDone = false;
}

export function resetLayers(out: Layers): void {
  out.status = 0;
  out.innerStatus = 0;
  out.count = 0;
  out.macs = -1;
  out.etherTypeAt = -1;
  out.etherType = -1;
  out.vlan = -1;
  out.vlanCount = 0;
  out.l3 = -1;
  out.arp = -1;
  out.ieee80211 = -1;
  out.ip = -1;
  out.ipVersion = 0;
  out.ipEnd = -1;
  out.ipCut = false;
  out.ipLengthZero = false;
  out.fragment = 0;
  out.ipv6Fragment = -1;
  out.ipv6Routing = -1;
  out.l4 = -1;
  out.l4Protocol = -1;
  out.payload = -1;
  out.embedded = -1;
  out.tunnel = -1;
  out.nextType = 0;
  out.linkDone = false;
}

/** Adds a layer; false when there is no room. */
export function pushLayer(out: Layers, kind: LayerKind, at: number, end: number): boolean {
  const n = out.count;
  if (n >= LAYERS_MAX) return false;
  out.kind[n] = kind;
  out.at[n] = at;
  out.end[n] = end;
  out.count = n + 1;
  return true;
}

/** Index of the next layer of this kind, from index `from` on; -1 when there is none. */
export function findLayer(layers: Layers, kind: LayerKind, from = 0): number {
  for (let i = from; i < layers.count; i++) if (layers.kind[i] === kind) return i;
  return -1;
}

/** Index of the `nth` IP layer (0 = outermost, 1 = the first one inside a tunnel); -1 when there is none. */
export function findIpLayer(layers: Layers, nth: number): number {
  let left = nth;
  for (let i = 0; i < layers.count; i++) {
    const kind = layers.kind[i];
    if (kind !== LayerKind.Ipv4 && kind !== LayerKind.Ipv6) continue;
    if (left === 0) return i;
    left--;
  }
  return -1;
}
