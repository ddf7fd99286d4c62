/**
 * One decode pass over a frame: where each header begins and ends, in preallocated memory, no object per packet.
 */

/** What a check of bytes from outside says. A packet's fault is such a number, never an exception. */
export const Wire = { Ok: 0, Truncated: 1, BadLength: 2, BadVersion: 3, Unsupported: 4 } as const;
export type WireStatus = (typeof Wire)[keyof typeof Wire];

export const LAYERS_MAX = 24;

/** Kinds of layers, outermost first in `Layers.kind`. */
export const LayerKind = {
  Link: 1, // whatever the link type is, up to its protocol field; VLAN, MPLS, PPPoE are layers of their own
  Vlan: 2,
  Mpls: 3,
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

/**
 * Result of `decode`. Every field is reset by each call; -1 = not there. Offsets count from the region's first byte.
 * `status` other than Ok: the layers found before the fault are still true.
 */
export class Layers {
  status: WireStatus = Wire.Ok;
  count = 0;
  readonly kind: Uint8Array = new Uint8Array(LAYERS_MAX);
  readonly at: Uint32Array = new Uint32Array(LAYERS_MAX);
  /** End of what the layer covers by its own length field, clipped to the captured frame. */
  readonly end: Uint32Array = new Uint32Array(LAYERS_MAX);

  /** Where the link layer's protocol field (EtherType or its equivalent) of the innermost tag lies, and its value. */
  etherTypeAt = -1;
  etherType = -1;
  vlanCount = 0;
  /** First byte behind link header and tags. */
  l3 = -1;
  arp = -1;

  /** Outermost IP header. */
  ip = -1;
  ipVersion = 0;
  /** End by the IP header's length, clipped to the frame: padding and FCS lie behind it. */
  ipEnd = -1;
  /** The capture holds less than the IP header announces (snaplen), so sums over the payload cannot be checked. */
  ipCut = false;
  fragment = 0;
  /** Transport header that follows the outermost IP header and its extension headers; -1 in later fragments. */
  l4 = -1;
  /** IANA protocol number after extension headers, or -1. */
  l4Protocol = -1;
}
