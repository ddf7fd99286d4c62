/**
 * What a rewrite is to do: frozen plain data, made by the command line (`cli/rewrite_options.ts`) or a library user,
 * carried into workers by structured clone, compiled once by `compileRewriter`. No field holds a function.
 *
 * Addresses are numbers, host order; a MAC address is its six bytes. `null` and `[]` mean that a rule is absent.
 */

/** An address block. `words`: one u32 for IPv4, four for IPv6, most significant first; host bits may be set. */
export interface Cidr {
  readonly version: 4 | 6;
  readonly words: readonly number[];
  /** 0..32 or 0..128. */
  readonly prefixLength: number;
}

/** An address inside `from` gets the network bits of `to` and keeps its host bits; the prefix of `to` decides which. */
export interface AddressPair {
  readonly from: Cidr;
  readonly to: Cidr;
}

/** The first pair whose `from` holds the address applies. */
export type AddressMap = readonly AddressPair[];

/** Ports first..last become `to`. */
export interface PortRange {
  readonly first: number;
  readonly last: number;
  readonly to: number;
}

/** Six bytes. */
export type Mac = readonly number[];

/** Client-to-server packets take the first, server-to-client packets the second. */
export interface MacPair {
  readonly clientToServer: Mac | null;
  readonly serverToClient: Mac | null;
}

export interface MacSubstitution {
  readonly from: Mac;
  readonly to: Mac;
}

/** `add` stops at 255, `subtract` at 1. */
export interface TtlRule {
  readonly mode: 'set' | 'add' | 'subtract';
  /** 0..255. */
  readonly value: number;
}

export type VlanRule =
  | {
      readonly kind: 'add';
      /** VLAN identifier, 0..4095. */
      readonly tag: number;
      /** 0..7; null: copied from the outermost tag there is, else 0. */
      readonly priority: number | null;
      /** 0..1; null as for `priority`. */
      readonly cfi: number | null;
      /** TPID: 0x8100 (802.1Q) or 0x88a8 (802.1ad). */
      readonly tpid: number;
    }
  | { readonly kind: 'delete' };

export type TagField = 'vid' | 'pri' | 'dei' | 'tpid';

/** A rule about VLAN tags at any depth: 0 is the outermost tag. */
export type TagRule =
  | {
      readonly kind: 'push';
      /** The new tag's depth. */
      readonly depth: number;
      readonly vid: number;
      /** null: copied from the tag that it goes in front of, else 0. */
      readonly priority: number | null;
      readonly dei: number | null;
      readonly tpid: number;
    }
  | { readonly kind: 'pop'; readonly depth: number | 'all' }
  | { readonly kind: 'set'; readonly depth: number; readonly field: TagField; readonly value: number }
  /** Identifiers first..last become to.. onwards. */
  | {
      readonly kind: 'map';
      readonly depth: number | 'all';
      readonly first: number;
      readonly last: number;
      readonly to: number;
    };

/**
 * Which packets of a tunnelled frame the rules of layers 3 and 4 and of MAC addresses concern: the outermost one, the
 * innermost one, or each. Framing, VLAN tags, lengths and fuzzing are always the frame's own.
 */
export type TunnelLayer = 'outer' | 'inner' | 'all';

/** Encapsulations that can be written. `user`: the bytes of `userHeaders`. */
export const ENCAPSULATIONS = [
  'enet',
  'raw',
  'null',
  'loop',
  'linuxsll',
  'linuxsll2',
  'hdlc',
  'pppserial',
  'user',
] as const;
export type Encapsulation = (typeof ENCAPSULATIONS)[number];

export interface RewriteSpec {
  // Layer 2
  /** Drop the last four bytes of every frame. */
  readonly stripFcs: boolean;
  /** Output encapsulation; null: that of the input. */
  readonly encapsulation: Encapsulation | null;
  readonly destinationMac: MacPair;
  readonly sourceMac: MacPair;
  /** Applied to source and destination after the MAC pairs, in order. */
  readonly substituteMacs: readonly MacSubstitution[];
  /** Pseudo-random MAC addresses; the first `keepBytes` (0..6) stay. */
  readonly macSeed: { readonly seed: number; readonly keepBytes: number } | null;
  readonly vlan: VlanRule | null;
  readonly hdlcAddress: number | null;
  readonly hdlcControl: number | null;
  /** Header bytes of `user`: [server to client, client to server], or one for both. */
  readonly userHeaders: readonly (readonly number[])[];
  /** LINKTYPE_ written for `user`; null: that of the input. */
  readonly userLinktype: number | null;
  /** Applied in order, after `vlan`. */
  readonly tags: readonly TagRule[];
  /** Take tunnels off before anything else. */
  readonly decap: boolean;
  readonly layer: TunnelLayer;
  /** MAC edits leave broadcast, multicast and VRRP addresses alone. */
  readonly skipL2Broadcast: boolean;

  // Layers 3 and 4
  readonly portMap: readonly PortRange[];
  /** Pseudo-random addresses: u32 seed. */
  readonly seed: number | null;
  /** [] absent; [both]; [sources of client-to-server packets, their destinations], swapped for the other direction. */
  readonly pnat: readonly AddressMap[];
  readonly sourceMap: AddressMap;
  readonly destinationMap: AddressMap;
  /** Address edits leave multicast addresses alone. */
  readonly skipBroadcast: boolean;
  /** u32 seed of the number that is added to TCP sequence and acknowledgment numbers. */
  readonly tcpSequenceSeed: number | null;
  readonly ttl: TtlRule | null;
  /** IPv4 type of service, 0..255. */
  readonly tos: number | null;
  /** IPv6 traffic class, 0..255. */
  readonly trafficClass: number | null;
  /** IPv6 flow label, 0..1048575. */
  readonly flowLabel: number | null;
  readonly fuzz: { readonly seed: number; readonly factor: number } | null;

  // Lengths and checksums
  readonly fixChecksums: boolean;
  readonly fixHeaderLength: boolean;
  /** Layer-3 bytes, 1..262144; only `mtuTruncate` looks at it. */
  readonly mtuBytes: number;
  readonly mtuTruncate: boolean;
  /** What to do with packets that the capture has cut (caplen < len). */
  readonly fixLength: 'pad' | 'trunc' | 'delete' | null;

  /**
   * `tcprewrite`: the reference tool's bytes where it is odd without spoiling a packet: `--ttl` and `--mtu-trunc`
   * recompute (so repair) sums, `--fixcsum` leaves padded frames alone, `--skipbroadcast` maps 255.255.255.255, the
   * packet quoted in an ICMPv4 error is not mapped, HDLC frames made from MPLS lose their labels but keep the
   * EtherType.
   */
  readonly compat: 'none' | 'tcprewrite';
}

const NO_MACS: MacPair = Object.freeze({ clientToServer: null, serverToClient: null });

/** Changes nothing but what every edit does: the MAC address of IP multicast. Spread it to build a spec. */
export const EMPTY_REWRITE: RewriteSpec = Object.freeze({
  stripFcs: false,
  encapsulation: null,
  destinationMac: NO_MACS,
  sourceMac: NO_MACS,
  substituteMacs: [],
  macSeed: null,
  vlan: null,
  tags: [],
  decap: false,
  layer: 'outer',
  hdlcAddress: null,
  hdlcControl: null,
  userHeaders: [],
  userLinktype: null,
  skipL2Broadcast: false,
  portMap: [],
  seed: null,
  pnat: [],
  sourceMap: [],
  destinationMap: [],
  skipBroadcast: false,
  tcpSequenceSeed: null,
  ttl: null,
  tos: null,
  trafficClass: null,
  flowLabel: null,
  fuzz: null,
  fixChecksums: false,
  fixHeaderLength: false,
  mtuBytes: 1500,
  mtuTruncate: false,
  fixLength: null,
  compat: 'none',
});

const hasMac = (pair: MacPair): boolean => pair.clientToServer !== null || pair.serverToClient !== null;

/** Every IPv4 link must take so much (RFC 791): the longest header and 8 bytes. */
const MTU_MIN = 68;

/** Clashes between rules, one sentence each; [] when there is none. */
export function checkRewriteSpec(spec: RewriteSpec): string[] {
  const clashes: string[] = [];
  const pinsMacs = hasMac(spec.destinationMac) || hasMac(spec.sourceMac) || spec.substituteMacs.length > 0;
  if (spec.seed !== null && spec.fuzz !== null) clashes.push('--seed and --fuzz-seed exclude each other');
  if (spec.pnat.length > 0 && spec.sourceMap.length > 0) {
    clashes.push('--pnat (or --endpoints) and --srcipmap exclude each other: put the source networks into --pnat');
  }
  if (spec.pnat.length > 2) clashes.push('--pnat may be given twice at most: for sources and for destinations');
  if (spec.macSeed !== null && pinsMacs) {
    clashes.push('--enet-mac-seed excludes --enet-smac, --enet-dmac and --enet-subsmac');
  }
  if (spec.encapsulation === 'hdlc' && (spec.hdlcAddress === null || spec.hdlcControl === null)) {
    clashes.push('--dlt=hdlc needs both --hdlc-address and --hdlc-control');
  }
  if (spec.encapsulation === 'user' && spec.userHeaders.length === 0) {
    clashes.push('--dlt=user needs --user-dlink with the header bytes');
  }
  if (spec.encapsulation !== 'user' && spec.userHeaders.length > 0) {
    clashes.push('--user-dlink needs --dlt=user');
  }
  const [first, second] = spec.userHeaders;
  if (first !== undefined && second !== undefined && first.length !== second.length) {
    clashes.push(`--user-dlink headers must be of one length, not ${first.length} and ${second.length} bytes`);
  }
  if (spec.vlan !== null && spec.encapsulation !== null && spec.encapsulation !== 'enet') {
    clashes.push(`--enet-vlan needs Ethernet frames, not --dlt=${spec.encapsulation}`);
  }
  if (spec.mtuTruncate && spec.mtuBytes < MTU_MIN) {
    clashes.push(`--mtu-trunc needs an --mtu of at least ${MTU_MIN}, the least that IP has, not ${spec.mtuBytes}`);
  }
  return clashes;
}
