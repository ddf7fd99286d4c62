/** IP packets in one line, from a decoded frame: addresses, fragments, extension headers, transports, tunnels. */
import { checksumAdd, checksumFinish, pseudoHeaderSum } from '../../wire/checksum.ts';
import { greHeaderLen, greVersion } from '../../wire/gre.ts';
import {
  IPV4_MIN_HEADER_LEN,
  ipv4Checksum,
  ipv4DontFragment,
  ipv4DstAt,
  ipv4FragmentBits,
  ipv4FragmentOffset,
  ipv4HeaderLen,
  ipv4Id,
  ipv4Protocol,
  ipv4SrcAt,
  ipv4Tos,
  ipv4TotalLen,
  ipv4Ttl,
  isIpv4ChecksumTrue,
} from '../../wire/ipv4.ts';
import {
  IPV6_HEADER_LEN,
  ipv6DstAt,
  ipv6FlowLabel,
  ipv6HopLimit,
  ipv6NextHeader,
  ipv6PayloadLen,
  ipv6SrcAt,
  ipv6TrafficClass,
} from '../../wire/ipv6.ts';
import {
  checkIpv6Extension,
  ipv6ExtensionLen,
  ipv6ExtensionNext,
  ipv6FragmentId,
  ipv6FragmentOffset,
  isIpv6Extension,
} from '../../wire/ipv6extension.ts';
import { LayerKind, type Layers, Wire } from '../../wire/layers.ts';
import { IpProtocol } from '../../wire/protocol.ts';
import { SCTP_HEADER_LEN } from '../../wire/sctp.ts';
import { UDP_HEADER_LEN, udpChecksum, udpDstPort, udpLength, udpSrcPort } from '../../wire/udp.ts';
import { vxlanVni } from '../../wire/vxlan.ts';
import { dnsText } from './dns.ts';
import { icmpText, icmpv6Text, igmpText, sctpText } from './icmp.ts';
import { type SequenceBases, tcpText } from './tcp.ts';
import { hexText, ipv4Text, ipv6Text, type PrintOptions } from './text.ts';

const IGMP = 2;
const DNS_PORTS: ReadonlySet<number> = new Set([53, 5353]);
const EXTENSIONS_MAX = 32;
const PROTOCOL_NAMES = new Map<number, string>([
  [1, 'ICMP'],
  [2, 'IGMP'],
  [4, 'IPIP'],
  [6, 'TCP'],
  [17, 'UDP'],
  [41, 'IPv6'],
  [47, 'GRE'],
  [58, 'ICMPv6'],
  [132, 'SCTP'],
]);

const EXTENSION_NAMES = new Map<number, string>([
  [IpProtocol.HopByHop, 'Options'],
  [IpProtocol.Routing, 'Routing'],
  [IpProtocol.Fragment, 'Fragment'],
  [IpProtocol.DestinationOptions, 'Destination Options'],
]);

export interface IpContext {
  readonly options: PrintOptions;
  readonly bases: SequenceBases;
  /** What lies behind layer `n` where that begins a new Ethernet header or IP packet. */
  readonly inner: (view: DataView, layers: Layers, n: number) => string;
}

/** Everything about one packet that its transports need. */
interface Packet {
  readonly src: string;
  readonly dst: string;
  readonly srcAt: number;
  readonly dstAt: number;
  readonly version: 4 | 6;
  readonly protocol: number;
  /** First byte behind IP headers, and bytes from there on as the headers say, which may be more than there are. */
  readonly at: number;
  readonly length: number;
  readonly end: number;
  readonly fragment: 'none' | 'first' | 'later';
  readonly isWhole: boolean;
  /** `HBH `, `frag (0|1448) `. */
  readonly prefix: string;
  /** IPv6 writes addresses in front of extension headers, and ports behind fragment headers. */
  readonly portsApart: boolean;
}

/** `IP 10.0.0.1.1234 > 10.0.0.2.80: Flags …` of layer `n`, without `IP ` where `named` is false. */
export function ipText(view: DataView, layers: Layers, n: number, named: boolean, context: IpContext): string {
  const isV4 = layers.kind[n] === LayerKind.Ipv4;
  const at = layers.at[n]!;
  const end = layers.end[n]!;
  const name = named ? (isV4 ? 'IP ' : 'IP6 ') : '';
  const packet = isV4 ? packet4(view, at, end) : packet6(view, at, end, context.options.verbose > 0);
  const details = context.options.verbose === 0 ? '' : isV4 ? details4(view, at, end) : details6(view, at);
  return `${name}${details}${packetText(view, layers, n, packet, context)}`;
}

function packet4(view: DataView, ip: number, end: number): Packet {
  const headerLen = Math.max(ipv4HeaderLen(view, ip), IPV4_MIN_HEADER_LEN);
  const total = ipv4TotalLen(view, ip);
  const offset = ipv4FragmentOffset(view, ip);
  const isFirst = offset === 0 && ipv4FragmentBits(view, ip) !== 0;
  const length = Math.max(0, (total === 0 ? end - ip : total) - headerLen);
  return {
    src: ipv4Text(view, ipv4SrcAt(ip)),
    dst: ipv4Text(view, ipv4DstAt(ip)),
    srcAt: ipv4SrcAt(ip),
    dstAt: ipv4DstAt(ip),
    version: 4,
    protocol: ipv4Protocol(view, ip),
    at: ip + headerLen,
    length,
    end,
    fragment: offset !== 0 ? 'later' : isFirst ? 'first' : 'none',
    isWhole: ip + headerLen + length <= end,
    prefix: '',
    portsApart: false,
  };
}

function packet6(view: DataView, ip: number, end: number, isVerbose: boolean): Packet {
  const payload = ip + IPV6_HEADER_LEN;
  const stated = ipv6PayloadLen(view, ip);
  const total = stated === 0 ? end - payload : stated;
  let protocol = ipv6NextHeader(view, ip);
  let at = payload;
  let prefix = '';
  let fragment: Packet['fragment'] = 'none';
  let portsApart = false;
  for (let n = 0; isIpv6Extension(protocol) && n < EXTENSIONS_MAX; n++) {
    if (checkIpv6Extension(view, at, end, protocol) !== Wire.Ok) break;
    const length = ipv6ExtensionLen(view, at, protocol);
    if (protocol === IpProtocol.HopByHop) prefix += 'HBH ';
    else if (protocol === IpProtocol.DestinationOptions) prefix += 'DSTOPT ';
    else if (protocol === IpProtocol.Routing) prefix += 'srcrt ';
    else if (protocol === IpProtocol.Fragment) {
      const offset = ipv6FragmentOffset(view, at);
      const id = isVerbose ? `${hexText(ipv6FragmentId(view, at), 8)}:` : '';
      prefix += `frag (${id}${offset}|${total - (at + length - payload)})`;
      fragment = offset === 0 ? 'first' : 'later';
      if (offset === 0) prefix += ' ';
      portsApart = true;
    }
    protocol = ipv6ExtensionNext(view, at);
    at += length;
    if (fragment === 'later') break;
  }
  const length = Math.max(0, total - (at - payload));
  return {
    src: ipv6Text(view, ipv6SrcAt(ip)),
    dst: ipv6Text(view, ipv6DstAt(ip)),
    srcAt: ipv6SrcAt(ip),
    dstAt: ipv6DstAt(ip),
    version: 6,
    protocol,
    at,
    length,
    end,
    fragment,
    isWhole: at + length <= end,
    prefix,
    portsApart,
  };
}

function details4(view: DataView, ip: number, end: number): string {
  const bits = ipv4FragmentBits(view, ip);
  const flags = [ipv4DontFragment(view, ip) ? 'DF' : '', (bits & 0x2000) !== 0 ? '+' : ''].filter(
    (flag) => flag !== '',
  );
  const protocol = ipv4Protocol(view, ip);
  const isWhole = ip + ipv4HeaderLen(view, ip) <= end;
  const fields = [
    `tos ${hexText(ipv4Tos(view, ip), 1)}`,
    `ttl ${ipv4Ttl(view, ip)}`,
    `id ${ipv4Id(view, ip)}`,
    `offset ${ipv4FragmentOffset(view, ip)}`,
    `flags [${flags.length === 0 ? 'none' : flags.join(', ')}]`,
    `proto ${PROTOCOL_NAMES.get(protocol) ?? 'unknown'} (${protocol})`,
    `length ${ipv4TotalLen(view, ip)}`,
    ...(isWhole && !isIpv4ChecksumTrue(view, ip) ? [`bad cksum ${ipv4Checksum(view, ip).toString(16)}!`] : []),
  ];
  return `(${fields.join(', ')})\n    `;
}

function details6(view: DataView, ip: number): string {
  const next = ipv6NextHeader(view, ip);
  const name = EXTENSION_NAMES.get(next) ?? PROTOCOL_NAMES.get(next) ?? 'unknown';
  const trafficClass = ipv6TrafficClass(view, ip);
  const flow = ipv6FlowLabel(view, ip);
  const head =
    (trafficClass === 0 ? '' : `class ${hexText(trafficClass, 2)}, `) +
    (flow === 0 ? '' : `flowlabel ${hexText(flow, 5)}, `);
  const length = ipv6PayloadLen(view, ip);
  return `(${head}hlim ${ipv6HopLimit(view, ip)}, next-header ${name} (${next}) payload length: ${length}) `;
}

function packetText(view: DataView, layers: Layers, n: number, ipPacket: Packet, context: IpContext): string {
  // the decode pass knows what lies between (an authentication header in IPv4), and that the header is whole
  const behind = n + 1 < layers.count ? layers.at[n + 1]! : ipPacket.at;
  const packet = { ...ipPacket, at: behind, length: Math.max(0, ipPacket.length - (behind - ipPacket.at)) };
  const { src, dst, at, end, protocol, prefix } = packet;
  const plain = `${src} > ${dst}: ${prefix}`;
  if (packet.fragment === 'later') return packet.version === 4 ? `${plain}ip-proto-${protocol}` : plain;
  const transport = n + 1 < layers.count ? layers.kind[n + 1]! : 0;
  switch (transport) {
    case LayerKind.Tcp: {
      const ports = `${view.getUint16(at)}`;
      const head = endpoints(packet, ports, String(view.getUint16(at + 2)));
      const { absoluteSeq } = context.options;
      const verdict = context.options.verbose === 0 ? '' : verdictText(view, packet, ' (correct)', ' (incorrect)');
      const { bases } = context;
      const tcp = { bases, absoluteSeq, verbose: context.options.verbose, checksumVerdict: verdict };
      return `${head}${tcpText(view, at, end, packet.length, src, dst, tcp)}`;
    }
    case LayerKind.Udp:
      return udpText(view, layers, n, packet, context);
    case LayerKind.Icmp:
      return `${plain}${icmpText(view, at, end, packet.length)}`;
    case LayerKind.Icmpv6:
      return `${plain}${verified(view, packet, context, 'icmp6')}${icmpv6Text(view, at, end, packet.length)}`;
    case LayerKind.Sctp: {
      const head = endpoints(packet, String(view.getUint16(at)), String(view.getUint16(at + 2)));
      return `${head}${sctpText(view, at + SCTP_HEADER_LEN, end)}`;
    }
    case LayerKind.Gre: {
      const gre = layers.at[n + 1]!;
      const inner = n + 2 < layers.count ? `: ${context.inner(view, layers, n + 2)}` : '';
      const length = packet.length - greHeaderLen(view, gre);
      return `${plain}GREv${greVersion(view, gre)}, length ${length}${inner}`;
    }
    case LayerKind.Ipv4:
    case LayerKind.Ipv6:
    case LayerKind.Mpls:
      return `${plain}${context.inner(view, layers, n + 1)}`;
    default:
      return plain + unknownText(view, packet);
  }
}

/** Transports that are cut, or not looked into. */
function unknownText(view: DataView, packet: Packet): string {
  const { protocol, at, end, length } = packet;
  if (protocol === IGMP && packet.version === 4) return igmpText(view, at, end, length);
  if (protocol === IpProtocol.Tcp) return '[|tcp]';
  if (protocol === IpProtocol.Udp) return '[|udp]';
  if (protocol === IpProtocol.NoNext && packet.version === 6) return 'no next header';
  const name = PROTOCOL_NAMES.get(protocol);
  return name === undefined ? `ip-proto-${protocol} ${length}` : `[|${name.toLowerCase()}]`;
}

function endpoints(packet: Packet, srcPort: string, dstPort: string): string {
  const { src, dst, prefix } = packet;
  if (packet.portsApart) return `${src} > ${dst}: ${prefix}${srcPort} > ${dstPort}: `;
  return `${src}.${srcPort} > ${dst}.${dstPort}: ${prefix}`;
}

function udpText(view: DataView, layers: Layers, n: number, packet: Packet, context: IpContext): string {
  const udp = packet.at;
  const from = udpSrcPort(view, udp);
  const to = udpDstPort(view, udp);
  const head = endpoints(packet, String(from), String(to)) + verified(view, packet, context, 'udp');
  // zero: a length that a jumbogram or an offloading card does not state
  const stated = udpLength(view, udp);
  const length = Math.max(0, (stated === 0 ? packet.length : stated) - UDP_HEADER_LEN);
  const data = udp + UDP_HEADER_LEN;
  if (n + 2 < layers.count && layers.kind[n + 2] === LayerKind.Vxlan) {
    const vxlan = layers.at[n + 2]!;
    const flags = view.getUint8(vxlan);
    const inner = n + 3 < layers.count ? `\n${context.inner(view, layers, n + 3)}` : '';
    return `${head}VXLAN, flags [I] (${hexText(flags, 2)}), vni ${vxlanVni(view, vxlan)}${inner}`;
  }
  if (DNS_PORTS.has(from) || DNS_PORTS.has(to)) {
    return head + dnsText(view, data, Math.min(packet.end, data + length), length, context.options.verbose);
  }
  return `${head}UDP, length ${length}`;
}

function verified(view: DataView, packet: Packet, context: IpContext, name: string): string {
  if (context.options.verbose === 0) return '';
  if (packet.protocol === IpProtocol.Udp && udpChecksum(view, packet.at) === 0) return '[no cksum] ';
  return verdictText(view, packet, `[${name} sum ok] `, `[bad ${name} cksum] `);
}

function verdictText(view: DataView, packet: Packet, good: string, bad: string): string {
  if (!packet.isWhole || packet.fragment !== 'none') return '';
  const addressLen = packet.version === 4 ? 4 : 16;
  const pseudo = pseudoHeaderSum(view, packet.srcAt, packet.dstAt, addressLen, packet.protocol, packet.length);
  const sum = checksumFinish(checksumAdd(view, packet.at, packet.at + packet.length, pseudo));
  return sum === 0 ? good : bad;
}
