/** The rewriting options, shared by every command that edits packets, and the spec that their values make. */
import type { Command } from 'commander';
// Not from rewrite/index.ts: parsing a command line needs neither the compiled edits nor the wire formats.
import { parseAddressMap, parseEndpoints } from '../rewrite/address_map.ts';
import { parseHexBytes } from '../rewrite/hex_bytes.ts';
import { parseMacPair, parseMacSubstitutions } from '../rewrite/mac.ts';
import { parseNumber, parseSeed } from '../rewrite/numbers.ts';
import { parsePortMap } from '../rewrite/port_map.ts';
import {
  type AddressMap,
  checkRewriteSpec,
  EMPTY_REWRITE,
  ENCAPSULATIONS,
  type Encapsulation,
  type MacPair,
  type MacSubstitution,
  type PortRange,
  type RewriteSpec,
  type TagRule,
  type TtlRule,
  type TunnelLayer,
} from '../rewrite/spec.ts';
import { parseTagRules, TAG_RULES_MAX } from '../rewrite/tag_rules.ts';
import { parseTtl } from '../rewrite/ttl.ts';
import { addOptions, type OptionGroup } from './option_table.ts';
import { listed, usage, type ValueParser } from './values.ts';

const UNLIMITED = Number.POSITIVE_INFINITY;
/** Ethernet's maximum for IP, where --mtu says nothing else. */
const MTU_DEFAULT = 1500;
const FUZZ_FACTOR_DEFAULT = 8;
const TPIDS: Readonly<Record<string, number>> = { '802.1q': 0x8100, '802.1ad': 0x88a8 };
/** Encapsulations that can be read and not written, under the names of the tool whose command lines we take. */
const READ_ONLY = ['ieee80211', 'radiotap', 'jnpr_eth'];

/** The value parsers of `rewrite/` take the option's name first. */
function of<T>(parse: (option: string, text: string) => T): ValueParser {
  return (text, option) => parse(option, text);
}

function number(least: number, most: number): ValueParser {
  return (text, option) => parseNumber(option, text, least, most);
}

function word<T extends string>(words: readonly T[]): ValueParser {
  return (text, option) => {
    const found = words.find((candidate) => candidate === text.toLowerCase());
    if (found === undefined) throw usage(`${option} is one of ${listed(words, 'or')}, not "${text}"`);
    return found;
  };
}

function encapsulation(text: string, option: string): Encapsulation {
  if (READ_ONLY.includes(text)) throw usage(`${option}=${text}: frames of this kind can be read, not written`);
  const name = text === 'ppp' ? 'pppserial' : text;
  return word(ENCAPSULATIONS)(name, option) as Encapsulation;
}

const ADDRESS_ROWS: OptionGroup = {
  heading: 'Rewriting: addresses and ports',
  rows: [
    {
      name: 'portmap',
      short: 'r',
      value: 'FROM:TO[,FROM:TO...]',
      parse: of(parsePortMap),
      timesMax: UNLIMITED,
      help: `Change TCP and UDP ports, source and destination; FROM is a port, a range a-b or a list a+b; the
        first match applies. Repeatable`,
    },
    {
      name: 'seed',
      short: 's',
      value: 'N',
      parse: of(parseSeed),
      help: 'Change all IPv4, IPv6 and ARP addresses to pseudo-random ones; the same seed gives the same addresses',
    },
    {
      name: 'pnat',
      short: 'N',
      value: 'NET:NET[,NET:NET...]',
      parse: of(parseAddressMap),
      timesMax: 2,
      help: `Change addresses of the left network to the right one, keeping host bits; IPv6 as [net]:[net]. Given
        twice: the first for sources of client packets, the second for their destinations, swapped for
        server packets`,
    },
    {
      name: 'srcipmap',
      short: 'S',
      value: 'NET:NET[,NET:NET...]',
      parse: of(parseAddressMap),
      help: 'As --pnat, source addresses only, in both directions',
    },
    {
      name: 'dstipmap',
      short: 'D',
      value: 'NET:NET[,NET:NET...]',
      parse: of(parseAddressMap),
      help: 'As --pnat, destination addresses only, in both directions',
    },
    {
      name: 'endpoints',
      short: 'e',
      value: 'A:B',
      parse: of(parseEndpoints),
      help: 'Put all traffic between two addresses: client packets go from A to B, server packets from B to A',
    },
    { name: 'skipbroadcast', short: 'b', help: 'Leave multicast IP addresses alone' },
    {
      name: 'tcp-sequence',
      value: 'N',
      parse: (text, option) => parseSeed(option, text, 1),
      help: 'Add a number made from seed N to all TCP sequence and acknowledgment numbers',
    },
  ],
};

const HEADER_ROWS: OptionGroup = {
  heading: 'Rewriting: header fields, lengths and checksums',
  rows: [
    {
      name: 'ttl',
      value: 'N|+N|-N',
      parse: of(parseTtl),
      help: 'Set, raise (up to 255) or lower (down to 1) the IPv4 TTL and the IPv6 hop limit',
    },
    { name: 'tos', value: '0..255', parse: number(0, 255), help: 'Set the IPv4 type of service' },
    { name: 'tclass', value: '0..255', parse: number(0, 255), help: 'Set the IPv6 traffic class' },
    { name: 'flowlabel', value: '0..1048575', parse: number(0, 0xfffff), help: 'Set the IPv6 flow label' },
    { name: 'fixcsum', short: 'C', help: 'Compute the checksums of IPv4, TCP, UDP, ICMP and ICMPv6 anew' },
    { name: 'fixhdrlen', help: 'Set the IP length to what the frame holds, and compute checksums anew' },
    {
      name: 'fixlen',
      short: 'F',
      value: 'pad|trunc|del',
      parse: word(['pad', 'trunc', 'del']),
      help: `Packets that the capture has cut: pad with zeros to their length, cut their IP length too, or leave
        them out`,
    },
    {
      name: 'mtu',
      short: 'm',
      value: 'BYTES',
      parse: number(1, 262_144),
      unit: 'bytes of IP packet',
      default: String(MTU_DEFAULT),
      help: 'The limit of --mtu-trunc',
    },
    { name: 'mtu-trunc', help: 'Cut packets to --mtu bytes, with lengths and checksums to match' },
    { name: 'efcs', short: 'E', help: 'Drop the frame check sequence: the last four bytes of every frame' },
    {
      name: 'fuzz-seed',
      value: 'N',
      parse: of(parseSeed),
      help: 'Spoil the payload of some packets, the same ones in the same way for the same seed',
    },
    {
      name: 'fuzz-factor',
      value: 'N',
      parse: number(1, 0xffff_ffff),
      default: String(FUZZ_FACTOR_DEFAULT),
      help: 'Spoil one packet in N on the average',
    },
  ],
};

const LINK_ROWS: OptionGroup = {
  heading: 'Rewriting: layer 2',
  rows: [
    {
      name: 'dlt',
      value: 'TYPE',
      parse: encapsulation,
      default: 'as in the capture',
      help: `Link header of the packets written: ${listed(ENCAPSULATIONS, 'or')}`,
    },
    {
      name: 'enet-dmac',
      value: 'MAC[,MAC]',
      parse: of(parseMacPair),
      help: 'Destination MAC address of client packets, then of server packets',
    },
    {
      name: 'enet-smac',
      value: 'MAC[,MAC]',
      parse: of(parseMacPair),
      help: 'Source MAC address of client packets, then of server packets',
    },
    {
      name: 'enet-subsmac',
      value: 'OLD,NEW[,OLD,NEW...]',
      parse: of(parseMacSubstitutions),
      timesMax: UNLIMITED,
      help: 'Replace a MAC address wherever it is source or destination. Repeatable',
    },
    { name: 'enet-mac-seed', value: 'N', parse: of(parseSeed), help: 'Change MAC addresses to pseudo-random ones' },
    {
      name: 'enet-mac-seed-keep-bytes',
      value: '1..6',
      parse: number(1, 6),
      help: 'Leave so many first bytes of each MAC address alone',
      unit: 'bytes',
      default: '0',
    },
    {
      name: 'enet-vlan',
      value: 'add|del',
      parse: word(['add', 'del']),
      help: 'Add an outer VLAN tag, or remove the outermost one',
    },
    { name: 'enet-vlan-tag', value: '0..4095', parse: number(0, 4095), help: 'VLAN identifier of the added tag' },
    {
      name: 'enet-vlan-pri',
      value: '0..7',
      parse: number(0, 7),
      default: "an existing tag's, else 0",
      help: 'Priority of the added tag',
    },
    {
      name: 'enet-vlan-cfi',
      value: '0..1',
      parse: number(0, 1),
      default: "an existing tag's, else 0",
      help: 'CFI bit (drop eligible) of the added tag',
    },
    {
      name: 'enet-vlan-proto',
      value: '802.1q|802.1ad',
      parse: word(['802.1q', '802.1ad']),
      default: '802.1q',
      help: 'Kind of the added tag',
    },
    { name: 'hdlc-address', value: '0..255', parse: number(0, 255), help: 'Address byte of --dlt=hdlc' },
    { name: 'hdlc-control', value: '0..255', parse: number(0, 255), help: 'Control byte of --dlt=hdlc' },
    {
      name: 'user-dlt',
      value: '0..65535',
      parse: number(0, 0xffff),
      default: 'as in the capture',
      help: 'Link type number of --dlt=user',
    },
    {
      name: 'user-dlink',
      value: 'HEX,HEX,...',
      parse: of(parseHexBytes),
      timesMax: 2,
      help: 'Link header of --dlt=user, up to 255 bytes; given twice: server packets, then client packets',
    },
    { name: 'skipl2broadcast', help: 'Leave broadcast, multicast and VRRP MAC addresses alone' },
  ],
};

const TUNNEL_ROWS: OptionGroup = {
  heading: 'Rewriting: tags and tunnels',
  rows: [
    {
      name: 'vlan',
      value: 'RULE',
      ours: true,
      parse: of(parseTagRules),
      timesMax: TAG_RULES_MAX,
      help: `Change VLAN tags at any depth, 0 the outermost: push:100 or push:1.vid=100,1.pri=3,1.dei=0,1.tpid=802.1ad;
        pop, pop:1 or pop:all; set:0.vid=100,1.pri=5; map:10-20=110-120 (tags of every depth; 0.10=110 of that one).
        Tags that are not there are not changed. Repeatable, in order`,
    },
    {
      name: 'layer',
      value: 'outer|inner|all',
      ours: true,
      parse: word(['outer', 'inner', 'all']),
      default: 'outer',
      help: `Which packets of a tunnelled frame (VXLAN, GRE, IP in IP, MPLS) the options about MAC and IP addresses,
        ports and header fields change: the outermost, the innermost, or each. Checksums of the
        tunnels around stay true`,
    },
    {
      name: 'decap',
      ours: true,
      help: `Take tunnels off (VXLAN, GRE, IP in IP, MPLS) before everything else: inner Ethernet frames stand for
        themselves, inner IP packets get the outer link header`,
    },
  ],
};

export const REWRITE_OPTIONS: readonly OptionGroup[] = [ADDRESS_ROWS, HEADER_ROWS, LINK_ROWS, TUNNEL_ROWS];

/** Adds the options to a command. */
export function addRewriteOptions(command: Command): void {
  addOptions(command, REWRITE_OPTIONS);
}

/** Parsed values under commander's attribute names. */
interface Values {
  readonly portmap?: readonly (readonly PortRange[])[];
  readonly seed?: number;
  readonly pnat?: readonly AddressMap[];
  readonly srcipmap?: AddressMap;
  readonly dstipmap?: AddressMap;
  readonly endpoints?: readonly AddressMap[];
  readonly skipbroadcast?: boolean;
  readonly tcpSequence?: number;
  readonly ttl?: TtlRule;
  readonly tos?: number;
  readonly tclass?: number;
  readonly flowlabel?: number;
  readonly fixcsum?: boolean;
  readonly fixhdrlen?: boolean;
  readonly fixlen?: 'pad' | 'trunc' | 'del';
  readonly mtu?: number;
  readonly mtuTrunc?: boolean;
  readonly efcs?: boolean;
  readonly fuzzSeed?: number;
  readonly fuzzFactor?: number;
  readonly dlt?: Encapsulation;
  readonly enetDmac?: MacPair;
  readonly enetSmac?: MacPair;
  readonly enetSubsmac?: readonly (readonly MacSubstitution[])[];
  readonly enetMacSeed?: number;
  readonly enetMacSeedKeepBytes?: number;
  readonly enetVlan?: 'add' | 'del';
  readonly enetVlanTag?: number;
  readonly enetVlanPri?: number;
  readonly enetVlanCfi?: number;
  readonly enetVlanProto?: '802.1q' | '802.1ad';
  readonly hdlcAddress?: number;
  readonly hdlcControl?: number;
  readonly userDlt?: number;
  readonly userDlink?: readonly (readonly number[])[];
  readonly skipl2broadcast?: boolean;
  readonly vlan?: readonly (readonly TagRule[])[];
  readonly layer?: TunnelLayer;
  readonly decap?: boolean;
}

/** Attribute names that ask for an edit, as opposed to those that only qualify one. */
const ASKING: readonly (keyof Values)[] = [
  ...(['portmap', 'seed', 'pnat', 'srcipmap', 'dstipmap', 'endpoints', 'tcpSequence', 'ttl', 'tos'] as const),
  ...(['tclass', 'flowlabel', 'fixcsum', 'fixhdrlen', 'fixlen', 'mtuTrunc', 'efcs', 'fuzzSeed', 'dlt'] as const),
  ...(['enetDmac', 'enetSmac', 'enetSubsmac', 'enetMacSeed', 'enetVlan', 'userDlink', 'vlan', 'decap'] as const),
];

/** Options that say nothing without another one. */
const QUALIFIERS: readonly (readonly [keyof Values, string, keyof Values, string])[] = [
  ['fuzzFactor', '--fuzz-factor', 'fuzzSeed', '--fuzz-seed'],
  ['enetMacSeedKeepBytes', '--enet-mac-seed-keep-bytes', 'enetMacSeed', '--enet-mac-seed'],
  ['enetVlanTag', '--enet-vlan-tag', 'enetVlan', '--enet-vlan'],
  ['enetVlanPri', '--enet-vlan-pri', 'enetVlan', '--enet-vlan'],
  ['enetVlanCfi', '--enet-vlan-cfi', 'enetVlan', '--enet-vlan'],
  ['enetVlanProto', '--enet-vlan-proto', 'enetVlan', '--enet-vlan'],
  ['userDlt', '--user-dlt', 'userDlink', '--user-dlink'],
];

/**
 * The spec that parsed option values make, or null when no edit is asked for. Throws `OperatorError('USAGE')` with the
 * first clash. Unknown names are other options' and are left alone. `defaults`: what options do not say.
 */
export function rewriteSpecFrom(
  options: Readonly<Record<string, unknown>>,
  defaults: Partial<Pick<RewriteSpec, 'compat'>> = {},
): RewriteSpec | null {
  const values = options as Values;
  for (const [name, option, needed, neededOption] of QUALIFIERS) {
    if (values[name] !== undefined && values[needed] === undefined) throw usage(`${option} needs ${neededOption}`);
  }
  if (values.endpoints !== undefined && values.pnat !== undefined) {
    throw usage('--endpoints and --pnat cannot both be given: both map addresses');
  }
  if (!ASKING.some((name) => values[name] !== undefined)) return null;
  const spec: RewriteSpec = { ...EMPTY_REWRITE, ...linkRules(values), ...packetRules(values), ...defaults };
  const clash = checkRewriteSpec(spec)[0];
  if (clash !== undefined) throw usage(clash);
  return spec;
}

function linkRules(values: Values): Partial<RewriteSpec> {
  return {
    stripFcs: values.efcs ?? false,
    encapsulation: values.dlt ?? null,
    destinationMac: values.enetDmac ?? EMPTY_REWRITE.destinationMac,
    sourceMac: values.enetSmac ?? EMPTY_REWRITE.sourceMac,
    substituteMacs: (values.enetSubsmac ?? []).flat(),
    macSeed:
      values.enetMacSeed === undefined
        ? null
        : { seed: values.enetMacSeed, keepBytes: values.enetMacSeedKeepBytes ?? 0 },
    vlan: vlanRule(values),
    hdlcAddress: values.hdlcAddress ?? null,
    hdlcControl: values.hdlcControl ?? null,
    userHeaders: values.userDlink ?? [],
    userLinktype: values.userDlt ?? null,
    skipL2Broadcast: values.skipl2broadcast ?? false,
    tags: (values.vlan ?? []).flat(),
    layer: values.layer ?? 'outer',
    decap: values.decap ?? false,
  };
}

function vlanRule(values: Values): RewriteSpec['vlan'] {
  if (values.enetVlan === undefined) return null;
  if (values.enetVlan === 'del') return { kind: 'delete' };
  if (values.enetVlanTag === undefined) throw usage('--enet-vlan=add needs --enet-vlan-tag with the VLAN identifier');
  return {
    kind: 'add',
    tag: values.enetVlanTag,
    priority: values.enetVlanPri ?? null,
    cfi: values.enetVlanCfi ?? null,
    tpid: TPIDS[values.enetVlanProto ?? '802.1q']!,
  };
}

function packetRules(values: Values): Partial<RewriteSpec> {
  const fixLength = values.fixlen === 'del' ? 'delete' : (values.fixlen ?? null);
  return {
    portMap: (values.portmap ?? []).flat(),
    seed: values.seed ?? null,
    pnat: values.endpoints ?? values.pnat ?? [],
    sourceMap: values.srcipmap ?? [],
    destinationMap: values.dstipmap ?? [],
    skipBroadcast: values.skipbroadcast ?? false,
    tcpSequenceSeed: values.tcpSequence ?? null,
    ttl: values.ttl ?? null,
    tos: values.tos ?? null,
    trafficClass: values.tclass ?? null,
    flowLabel: values.flowlabel ?? null,
    fuzz:
      values.fuzzSeed === undefined
        ? null
        : { seed: values.fuzzSeed, factor: values.fuzzFactor ?? FUZZ_FACTOR_DEFAULT },
    fixChecksums: values.fixcsum ?? false,
    fixHeaderLength: values.fixhdrlen ?? false,
    mtuBytes: values.mtu ?? MTU_DEFAULT,
    mtuTruncate: values.mtuTrunc ?? false,
    fixLength,
  };
}
