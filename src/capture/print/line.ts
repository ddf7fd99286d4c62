/**
 * One frame as a line of text, in tcpdump's spirit. `frameText` is pure but for the sequence numbers that it remembers;
 * `LinePrinter` adds stamps and dumps. Neither reads outside the frame, whatever its bytes are, nor throws.
 */
import type { FrameBatch } from '../../base/batch.ts';
import { ARP_IPV4_LEN, ArpOperation, arpOperation, arpSenderMacAt, arpTargetMacAt, isArpIpv4 } from '../../wire/arp.ts';
import { decode } from '../../wire/decode.ts';
import { ETHERNET_HEADER_LEN, ethernetType } from '../../wire/ethernet.ts';
import { LayerKind, Layers } from '../../wire/layers.ts';
import { Linktype, linktypeName } from '../../wire/linktype.ts';
import { isMplsBottom, mplsLabel, mplsTrafficClass, mplsTtl } from '../../wire/mpls.ts';
import { pppoeSession } from '../../wire/pppoe.ts';
import { ETHERTYPE_MIN, EtherType } from '../../wire/protocol.ts';
import { vlanDei, vlanId, vlanPriority, vlanType } from '../../wire/vlan.ts';
import { type IpContext, ipText } from './ip.ts';
import { SequenceBases } from './tcp.ts';
import { asciiDump, hexDump, hexText, ipv4Text, macText, type PrintOptions, TimeText } from './text.ts';

const TYPE_NAMES = new Map<number, string>([
  [EtherType.Ipv4, 'IPv4'],
  [EtherType.Arp, 'ARP'],
  [EtherType.Rarp, 'Reverse ARP'],
  [EtherType.Ipv6, 'IPv6'],
  [EtherType.Vlan, '802.1Q'],
  [EtherType.ProviderVlan, '802.1Q-QinQ'],
  [EtherType.OldVlan, '802.1Q-9100'],
  [EtherType.Mpls, 'MPLS unicast'],
  [EtherType.MplsMulticast, 'MPLS multicast'],
  [EtherType.PppoeDiscovery, 'PPPoE D'],
  [EtherType.PppoeSession, 'PPPoE S'],
  [0x88cc, 'LLDP'],
]);
/** Linux cooked headers: packet type. */
const PACKET_TYPES: readonly string[] = ['In', 'B', 'M', 'P', 'Out'];

/** Name of the interface with a number, for LINUX_SLL2. */
export type InterfaceNamer = (index: number) => string;
const numbered: InterfaceNamer = (index) => `if${index}`;

/** `length`: of the frame on the wire. The frame is [at, end), `layers` what `decode` made of it. */
export function frameText(
  view: DataView,
  at: number,
  end: number,
  length: number,
  linktype: number,
  layers: Layers,
  options: PrintOptions,
  bases: SequenceBases,
  nameOf: InterfaceNamer = numbered,
): string {
  const context: IpContext = { options, bases, inner: (v, l, n) => layerText(v, l, n, context) };
  const first = layers.count > 0 && layers.kind[0] === LayerKind.Link ? 1 : 0;
  const link = linkText(view, at, end, length, linktype, options, nameOf);
  const behind = first < layers.count ? layerText(view, layers, first, context) : unknownText(layers, at, end, length);
  return link + behind;
}

/** The link header, with `-e`; a cooked one's direction is told without. */
function linkText(
  view: DataView,
  at: number,
  end: number,
  length: number,
  type: number,
  options: PrintOptions,
  nameOf: InterfaceNamer,
): string {
  if (type === Linktype.LINUX_SLL2 && end - at >= 20) {
    const direction = PACKET_TYPES[view.getUint8(at + 10)] ?? '?';
    const where = `${nameOf(view.getUint32(at + 4)).padEnd(5)} ${direction.padEnd(3)} `;
    return options.link
      ? `${where}${macText(view, at + 12)} ${typeText(view.getUint16(at))}, length ${length}: `
      : where;
  }
  if (!options.link) return '';
  if (type === Linktype.EN10MB && end - at >= ETHERNET_HEADER_LEN) return ethernetText(view, at, length);
  if (type === Linktype.LINUX_SLL && end - at >= 16) {
    const direction = PACKET_TYPES[view.getUint16(at)] ?? '?';
    return `${direction.padStart(3)} ${macText(view, at + 6)} ${typeText(view.getUint16(at + 14))}, length ${length}: `;
  }
  return `${linktypeName(type)}, length ${length}: `;
}

function ethernetText(view: DataView, at: number, length: number): string {
  const type = ethernetType(view, at);
  const what = type >= ETHERTYPE_MIN ? typeText(type) : '802.3';
  return `${macText(view, at + 6)} > ${macText(view, at)}, ${what}, length ${length}: `;
}

function typeText(type: number): string {
  return `ethertype ${TYPE_NAMES.get(type) ?? 'Unknown'} (${hexText(type, 4)})`;
}

/** Layer `n` and what it carries. */
function layerText(view: DataView, layers: Layers, n: number, context: IpContext): string {
  const at = layers.at[n]!;
  const end = layers.end[n]!;
  const { link } = context.options;
  const behind = (): string => (n + 1 < layers.count ? layerText(view, layers, n + 1, context) : restText(layers, n));
  switch (layers.kind[n]) {
    case LayerKind.Ipv4:
    case LayerKind.Ipv6:
      // tcpdump leaves the name out where the type in front of it says the same
      return ipText(view, layers, n, !(link && namesType(layers, n)), context);
    case LayerKind.Arp:
      return arpText(view, at, end, link && namesType(layers, n));
    case LayerKind.Vlan:
      return link ? `${vlanText(view, at)}${behind()}` : behind();
    case LayerKind.Mpls:
      return `${mplsText(view, layers, n)}${behind()}`;
    case LayerKind.Pppoe:
      return `PPPoE  [ses ${hexText(pppoeSession(view, at), 1)}] ${behind()}`;
    case LayerKind.Ethernet:
      return link ? `${ethernetText(view, at, end - at)}${behind()}` : behind();
    default:
      return behind();
  }
}

/** The layer in front wrote an EtherType. */
function namesType(layers: Layers, n: number): boolean {
  const before = n === 0 ? 0 : layers.kind[n - 1]!;
  return before === LayerKind.Link || before === LayerKind.Vlan || before === LayerKind.Ethernet;
}

function vlanText(view: DataView, at: number): string {
  const dei = vlanDei(view, at) !== 0 ? ', DEI' : '';
  const type = vlanType(view, at);
  const what = type >= ETHERTYPE_MIN ? `, ${typeText(type)}, ` : ', 802.3, ';
  return `vlan ${vlanId(view, at)}, p ${vlanPriority(view, at)}${dei}${what}`;
}

/** One label a layer: `MPLS (label 16, tc 0, [S], ttl 64) `. */
function mplsText(view: DataView, layers: Layers, n: number): string {
  const at = layers.at[n]!;
  const name = n > 0 && layers.kind[n - 1] === LayerKind.Mpls ? '' : 'MPLS ';
  const bottom = isMplsBottom(view, at) ? ', [S]' : '';
  return `${name}(label ${mplsLabel(view, at)}, tc ${mplsTrafficClass(view, at)}${bottom}, ttl ${mplsTtl(view, at)}) `;
}

function arpText(view: DataView, at: number, end: number, isNamed: boolean): string {
  const name = isNamed ? '' : 'ARP, ';
  const length = end - at;
  if (length < ARP_IPV4_LEN || !isArpIpv4(view, at)) return `${name}not Ethernet and IPv4, length ${length}`;
  const operation = arpOperation(view, at);
  const sender = arpSenderMacAt(at);
  const target = arpTargetMacAt(at);
  const from = ipv4Text(view, sender + 6);
  const to = ipv4Text(view, target + 6);
  if (operation === ArpOperation.Request) {
    const known = macText(view, target);
    const whose = known === '00:00:00:00:00:00' || known === 'ff:ff:ff:ff:ff:ff' ? '' : ` (${known})`;
    return `${name}Request who-has ${to}${whose} tell ${from}, length ${length}`;
  }
  if (operation === ArpOperation.Reply) return `${name}Reply ${from} is-at ${macText(view, sender)}, length ${length}`;
  return `${name}operation ${operation}, length ${length}`;
}

/** Behind the last layer that is known. */
function restText(layers: Layers, n: number): string {
  const length = layers.end[n]! - layers.at[n]!;
  return layers.etherType >= ETHERTYPE_MIN
    ? `ethertype ${hexText(layers.etherType, 4)}, length ${length}`
    : `length ${length}`;
}

/** A frame of which only the link header is known, or not even that. */
function unknownText(layers: Layers, at: number, end: number, length: number): string {
  if (layers.l3 < 0) return `[|link], length ${length}`;
  const rest = Math.max(0, end - Math.max(at, layers.l3));
  if (layers.etherType === EtherType.Ipv4) return `IP [|ip], length ${rest}`;
  if (layers.etherType === EtherType.Ipv6) return `IP6 [|ip6], length ${rest}`;
  if (layers.etherType < 0) return `802.3, length ${rest}`;
  return `ethertype ${hexText(layers.etherType, 4)}, length ${rest}`;
}

/** Lines of a capture, one frame after another. */
export class LinePrinter {
  readonly #options: PrintOptions;
  readonly #nameOf: InterfaceNamer;
  readonly #time: TimeText;
  readonly #bases: SequenceBases = new SequenceBases();
  readonly #layers: Layers = new Layers();
  #lines = 0;

  /** `nameOf`: numbers of interfaces are those of another machine where it is left out. */
  constructor(options: PrintOptions, nameOf: InterfaceNamer = numbered) {
    this.#options = options;
    this.#nameOf = nameOf;
    this.#time = new TimeText(options);
  }

  /** Frame `i` of the batch, without a line end. */
  line(batch: FrameBatch, i: number): string {
    const view = batch.region.view;
    const at = batch.at[i]!;
    const end = at + batch.caplen[i]!;
    const linktype = batch.linktype[i]!;
    const layers = this.#layers;
    decode(view, at, end, linktype, layers);
    const stamp = this.#time.of(batch.sec[i]!, batch.nsec[i]!);
    const text = frameText(view, at, end, batch.len[i]!, linktype, layers, this.#options, this.#bases, this.#nameOf);
    const number = this.#options.number ? `${String(++this.#lines).padStart(5)}  ` : '';
    return number + stamp + text + this.#dump(view, at, end);
  }

  #dump(view: DataView, at: number, end: number): string {
    const { dump, dumpWithLink } = this.#options;
    if (dump === 'none') return '';
    const { l3 } = this.#layers;
    const from = dumpWithLink || l3 < 0 || l3 > end ? at : l3;
    return dump === 'ascii' ? asciiDump(view, from, end) : hexDump(view, from, end, dump === 'hex-ascii');
  }
}
