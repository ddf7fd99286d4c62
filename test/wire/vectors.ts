/** One frame for each protocol and link type, with what `decode` has to find in it. */
import { LayerKind as K, Wire, type WireStatus } from '../../src/wire/layers.ts';
import { Linktype as L } from '../../src/wire/linktype.ts';
import {
  type Bytes,
  DST4,
  ethernet,
  hex,
  icmp,
  icmpv6,
  ipv4,
  ipv6,
  MACS,
  SRC6,
  sctp,
  tcp,
  u16,
  u32,
  udp,
} from './frames.ts';

export interface Vector {
  readonly name: string;
  readonly linktype: number;
  readonly frame: Bytes;
  readonly kinds: readonly number[];
  readonly status?: WireStatus;
  /** Fields of `Layers` by name. */
  readonly expect?: Readonly<Record<string, number | boolean>>;
}

const DATA: Bytes = hex('68656c6c6f');
const OPTIONS: Bytes = hex('020405b4 0402 080a 00000001 00000000 01 030307');
const tcp4: Bytes = ipv4(6, tcp(4, DATA, OPTIONS));
const tcp6: Bytes = ipv6(6, tcp(6, DATA, OPTIONS));
const eth4: Bytes = ethernet(0x0800, tcp4);
const ipTcp4: number[] = [K.Link, K.Ipv4, K.Tcp];
const ipTcp6: number[] = [K.Link, K.Ipv6, K.Tcp];
const hopByHop = (next: number): Bytes => [next, 0, 1, 4, 0, 0, 0, 0];
const fragment6 = (next: number, offsetMore: number): Bytes => [next, 0, ...u16(offsetMore), 0, 0, 0, 9];

const en = (
  name: string,
  frame: Bytes,
  kinds: readonly number[],
  expect = {},
  status: WireStatus = Wire.Ok,
): Vector => ({
  name,
  linktype: L.EN10MB,
  frame,
  kinds,
  status,
  expect,
});

const link = (name: string, linktype: number, frame: Bytes, kinds: readonly number[], expect = {}): Vector => ({
  name,
  linktype,
  frame,
  kinds,
  expect,
});

const ETHERNET: readonly Vector[] = [
  en('TCP', eth4, ipTcp4, {
    macs: 0,
    l3: 14,
    etherTypeAt: 12,
    etherType: 0x0800,
    ip: 14,
    l4: 34,
    l4Protocol: 6,
    payload: 74,
  }),
  en('TCP padded', [...ethernet(0x0800, ipv4(6, tcp(4))), ...hex('000000000000')], ipTcp4, { ipEnd: 54, payload: 54 }),
  en('TCP options cut', eth4.slice(0, 60), ipTcp4, { l4: 34, payload: -1, ipCut: true }, Wire.Truncated),
  en(
    'TCP header length 4',
    ethernet(0x0800, ipv4(6, hex('1f90 0050 11223344 55667788 1018 0100 0000 0000'))),
    ipTcp4,
    { l4: 34, payload: -1 },
    Wire.BadLength,
  ),
  en(
    'IPv4 length shorter than TCP',
    ethernet(0x0800, ipv4(6, tcp(4), { totalLen: 30 })),
    [K.Link, K.Ipv4],
    { l4: -1, l4Protocol: 6, ipCut: false },
    Wire.BadLength,
  ),
  en('IPv4 options', ethernet(0x0800, ipv4(6, tcp(4), { options: hex('0101 8307 04 0a0000ff 010100') })), ipTcp4, {
    l4: 46,
  }),
  en(
    'IPv4 first fragment',
    ethernet(0x0800, ipv4(17, udp(4, DATA, 53, 2000), { flagsOffset: 0x2000 })),
    [K.Link, K.Ipv4, K.Udp],
    { fragment: 1, l4: 34 },
  ),
  en('IPv4 later fragment', ethernet(0x0800, ipv4(17, DATA, { flagsOffset: 0x2001 })), [K.Link, K.Ipv4], {
    fragment: 2,
    l4: -1,
    l4Protocol: 17,
  }),
  en('IPv4 length zero', ethernet(0x0800, ipv4(6, tcp(4, DATA), { totalLen: 0 })), ipTcp4, {
    ipLengthZero: true,
    ipEnd: 59,
  }),
  en('IPv4 cut by snaplen', ethernet(0x0800, ipv4(6, tcp(4), { totalLen: 1500 })), ipTcp4, { ipCut: true, ipEnd: 54 }),
  en('IPv4 version 5', ethernet(0x0800, [0x55, ...tcp4.slice(1)]), [K.Link], { ip: -1 }, Wire.BadVersion),
  en('IPv4 header length 4', ethernet(0x0800, [0x41, ...tcp4.slice(1)]), [K.Link], { ip: -1 }, Wire.BadLength),
  en('UDP', ethernet(0x0800, ipv4(17, udp(4, DATA))), [K.Link, K.Ipv4, K.Udp], { l4: 34, payload: 42 }),
  en(
    'UDP length 3',
    ethernet(0x0800, ipv4(17, udp(4, DATA, 53, 3))),
    [K.Link, K.Ipv4, K.Udp],
    { l4: 34, payload: -1 },
    Wire.BadLength,
  ),
  en('ICMP echo', ethernet(0x0800, ipv4(1, icmp(8, hex('00010002')))), [K.Link, K.Ipv4, K.Icmp], { embedded: -1 }),
  en(
    'ICMP unreachable',
    ethernet(0x0800, ipv4(1, icmp(3, [0, 0, 0, 0, ...ipv4(17, udp(4, DATA))]))),
    [K.Link, K.Ipv4, K.Icmp],
    { embedded: 42 },
  ),
  en('SCTP', ethernet(0x0800, ipv4(132, sctp(DATA))), [K.Link, K.Ipv4, K.Sctp], { l4: 34, payload: 46 }),
  en('IGMP', ethernet(0x0800, ipv4(2, hex('1164ee9b00000000'))), [K.Link, K.Ipv4, K.Other], { l4: 34, l4Protocol: 2 }),
  en('IPv4 AH', ethernet(0x0800, ipv4(51, [6, 4, ...new Array<number>(22).fill(0), ...tcp(4)])), ipTcp4, {
    l4: 58,
    l4Protocol: 6,
  }),
  en(
    'ARP',
    ethernet(0x0806, hex('0001 0800 06 04 0001 020000000002 0a000001 000000000000 0a000002')),
    [K.Link, K.Arp],
    { arp: 14, l3: 14, ip: -1, etherType: 0x0806 },
  ),
  en('unknown EtherType', ethernet(0x88cc, DATA), [K.Link], { l3: 14, etherType: 0x88cc }),
  en('802.3 LLC', ethernet(3, hex('4242 03 0000000000')), [K.Link], { etherType: -1, etherTypeAt: -1, l3: 14 }),
  en('802.3 SNAP', ethernet(8 + tcp4.length, [...hex('aaaa03 000000 0800'), ...tcp4]), ipTcp4, {
    l3: 22,
    etherTypeAt: 20,
    etherType: 0x0800,
    ip: 22,
  }),
];

const TAGGED: readonly Vector[] = [
  en('802.1Q', ethernet(0x8100, [...hex('a064 0800'), ...tcp4]), [K.Link, K.Vlan, K.Ipv4, K.Tcp], {
    vlan: 14,
    vlanCount: 1,
    etherTypeAt: 16,
    l3: 18,
    ip: 18,
  }),
  en('QinQ', ethernet(0x88a8, [...hex('0064 8100 0065 86dd'), ...tcp6]), [K.Link, K.Vlan, K.Vlan, K.Ipv6, K.Tcp], {
    vlan: 14,
    vlanCount: 2,
    etherTypeAt: 20,
    etherType: 0x86dd,
    l3: 22,
  }),
  en(
    '0x9100',
    ethernet(0x9100, [...hex('0064 9100 0065 8100 0066 0800'), ...tcp4]),
    [K.Link, K.Vlan, K.Vlan, K.Vlan, K.Ipv4, K.Tcp],
    { vlanCount: 3, l3: 26 },
  ),
  en('MPLS', ethernet(0x8847, [...hex('00064040 00065140'), ...tcp4]), [K.Link, K.Mpls, K.Mpls, K.Ipv4, K.Tcp], {
    l3: 14,
    ip: 22,
    etherType: 0x8847,
  }),
  en('MPLS IPv6', ethernet(0x8848, [...hex('00065140'), ...tcp6]), [K.Link, K.Mpls, K.Ipv6, K.Tcp], { ip: 18 }),
  en(
    'EoMPLS with control word',
    ethernet(0x8847, [...hex('00065140 00000000'), ...ethernet(0x8100, [...hex('0064 0800'), ...tcp4])]),
    [K.Link, K.Mpls, K.Ethernet, K.Vlan, K.Ipv4, K.Tcp],
    { macs: 0, vlanCount: 0, etherType: 0x8847, l3: 14, ip: 40 },
  ),
  en(
    'EoMPLS',
    ethernet(0x8847, [...hex('00065140'), ...ethernet(0x0800, tcp4).map((b, i) => (i === 0 ? 0x92 : b))]),
    [K.Link, K.Mpls, K.Ethernet, K.Ipv4, K.Tcp],
    { ip: 32 },
  ),
  en('MPLS associated channel', ethernet(0x8847, hex('00065140 10000021')), [K.Link, K.Mpls], { ip: -1 }),
  en(
    'PPPoE IPv4',
    ethernet(0x8864, [...hex('1100 0001'), ...u16(2 + tcp4.length), ...hex('0021'), ...tcp4, 9, 9]),
    [K.Link, K.Pppoe, K.Ipv4, K.Tcp],
    { l3: 14, ip: 22 },
  ),
  en(
    'PPPoE IPv6',
    ethernet(0x8864, [...hex('1100 0001'), ...u16(2 + tcp6.length), ...hex('0057'), ...tcp6]),
    [K.Link, K.Pppoe, K.Ipv6, K.Tcp],
    { ip: 22, ipVersion: 6 },
  ),
  en(
    'more labels than layers',
    ethernet(0x8847, new Array<number>(400).fill(0)),
    [K.Link, ...new Array<number>(23).fill(K.Mpls)],
    {},
    Wire.Unsupported,
  ),
];

const IPV6: readonly Vector[] = [
  en('TCP over IPv6', ethernet(0x86dd, tcp6), ipTcp6, { ip: 14, ipVersion: 6, l4: 54, payload: 94, ipEnd: 99 }),
  en('UDP over IPv6', ethernet(0x86dd, ipv6(17, udp(6, DATA))), [K.Link, K.Ipv6, K.Udp], { l4: 54 }),
  en('ICMPv6 echo', ethernet(0x86dd, ipv6(58, icmpv6(128, hex('00010002')))), [K.Link, K.Ipv6, K.Icmpv6], {
    embedded: -1,
  }),
  en(
    'ICMPv6 packet too big',
    ethernet(0x86dd, ipv6(58, icmpv6(2, [...hex('00000500'), ...ipv6(17, udp(6, DATA))]))),
    [K.Link, K.Ipv6, K.Icmpv6],
    { embedded: 62 },
  ),
  en(
    'extension headers',
    ethernet(
      0x86dd,
      ipv6(0, [
        ...hopByHop(43),
        ...[60, 2, 0, 0, 0, 0, 0, 0],
        ...SRC6,
        ...hopByHop(135),
        ...hopByHop(139),
        ...hopByHop(140),
        ...hopByHop(51),
        ...[60, 1, 0, 0, ...u32(1), ...u32(2)],
        ...hopByHop(6),
        ...tcp(6),
      ]),
    ),
    ipTcp6,
    { l4: 138, l4Protocol: 6, ipv6Routing: -1 },
  ),
  en('segments left', ethernet(0x86dd, ipv6(43, [6, 2, 0, 1, 0, 0, 0, 0, ...SRC6, ...tcp(6)])), ipTcp6, {
    ipv6Routing: 54,
    l4: 78,
  }),
  en('IPv6 first fragment', ethernet(0x86dd, ipv6(44, [...fragment6(6, 1), ...tcp(6)])), ipTcp6, {
    fragment: 1,
    ipv6Fragment: 54,
    l4: 62,
    l4Protocol: 6,
  }),
  en('IPv6 later fragment', ethernet(0x86dd, ipv6(44, [...fragment6(6, 0x28), ...DATA])), [K.Link, K.Ipv6], {
    fragment: 2,
    ipv6Fragment: 54,
    l4: -1,
    l4Protocol: 6,
  }),
  en('IPv6 atomic fragment', ethernet(0x86dd, ipv6(44, [...fragment6(6, 0), ...tcp(6)])), ipTcp6, {
    fragment: 0,
    ipv6Fragment: 54,
  }),
  en('ESP', ethernet(0x86dd, ipv6(50, hex('00000001 00000001 deadbeef'))), [K.Link, K.Ipv6, K.Other], {
    l4: 54,
    l4Protocol: 50,
  }),
  en('no next header', ethernet(0x86dd, ipv6(59, [])), [K.Link, K.Ipv6, K.Other], {
    l4Protocol: 59,
    ipEnd: 54,
    ipLengthZero: false,
  }),
  en('jumbogram', ethernet(0x86dd, ipv6(0, [6, 0, 0xc2, 4, ...u32(8 + 20), ...tcp(6), 9, 9], 0)), ipTcp6, {
    ipLengthZero: false,
    ipEnd: 82,
    l4: 62,
  }),
  en('IPv6 length zero', ethernet(0x86dd, ipv6(6, tcp(6, DATA), 0)), ipTcp6, { ipLengthZero: true, ipEnd: 79 }),
  en(
    'too many extension headers',
    ethernet(0x86dd, ipv6(60, new Array(40).fill(hopByHop(60)).flat())),
    [K.Link, K.Ipv6],
    { ip: 14, l4: -1 },
    Wire.Unsupported,
  ),
  en(
    'extension header beyond the packet',
    ethernet(0x86dd, ipv6(60, [6, 9, 0, 0, 0, 0, 0, 0])),
    [K.Link, K.Ipv6],
    { l4: -1 },
    Wire.BadLength,
  ),
];

const GRE_ALL: Bytes = [...hex('b000 0800 aaaa0000 00000001 00000002'), ...tcp4];
const inner4: readonly number[] = [K.Ipv4, K.Tcp];
const VXLAN: Bytes = [...hex('08000000 00002a00'), ...eth4];

const TUNNELS: readonly Vector[] = [
  en('4in4', ethernet(0x0800, ipv4(4, tcp4)), [K.Link, K.Ipv4, ...inner4], {
    ip: 14,
    l4: 34,
    l4Protocol: 4,
    tunnel: 34,
    ipVersion: 4,
  }),
  en('6in4', ethernet(0x0800, ipv4(41, tcp6)), [K.Link, K.Ipv4, K.Ipv6, K.Tcp], {
    ip: 14,
    ipVersion: 4,
    l4Protocol: 41,
  }),
  en('4in6', ethernet(0x86dd, ipv6(4, tcp4)), [K.Link, K.Ipv6, ...inner4], { ip: 14, ipVersion: 6 }),
  en('6in6', ethernet(0x86dd, ipv6(41, tcp6)), [K.Link, K.Ipv6, K.Ipv6, K.Tcp], { ip: 14 }),
  en('4in4 in a fragment', ethernet(0x0800, ipv4(4, tcp4, { flagsOffset: 0x2000 })), [K.Link, K.Ipv4, K.Other], {
    tunnel: -1,
  }),
  en('GRE with checksum, key, sequence', ethernet(0x0800, ipv4(47, GRE_ALL)), [K.Link, K.Ipv4, K.Gre, ...inner4], {
    tunnel: 50,
    l4: 34,
  }),
  en(
    'GRE Ethernet',
    ethernet(0x0800, ipv4(47, [...hex('0000 6558'), ...eth4])),
    [K.Link, K.Ipv4, K.Gre, K.Ethernet, ...inner4],
    { tunnel: 38 },
  ),
  en('GRE PPTP', ethernet(0x0800, ipv4(47, [...hex('3081 880b 00000001 00000002 00000003 ff03 0021'), ...tcp4])), [
    K.Link,
    K.Ipv4,
    K.Gre,
    ...inner4,
  ]),
  en('GRE source routing', ethernet(0x0800, ipv4(47, hex('4000 0800 00000000'))), [K.Link, K.Ipv4, K.Other], {
    l4: 34,
  }),
  en(
    'VXLAN',
    ethernet(0x0800, ipv4(17, udp(4, VXLAN, 4789))),
    [K.Link, K.Ipv4, K.Udp, K.Vxlan, K.Ethernet, ...inner4],
    { l4: 34, macs: 0, tunnel: 50 },
  ),
  en('port 4789, not VXLAN', ethernet(0x0800, ipv4(17, udp(4, DATA, 4789))), [K.Link, K.Ipv4, K.Udp], {
    tunnel: -1,
    innerStatus: 0,
  }),
  en(
    'VXLAN with a broken packet',
    ethernet(0x0800, ipv4(17, udp(4, VXLAN.slice(0, 30), 4789))),
    [K.Link, K.Ipv4, K.Udp, K.Vxlan, K.Ethernet],
    { l4: 34, innerStatus: Wire.Truncated },
  ),
  en('MPLS in IP', ethernet(0x0800, ipv4(137, [...hex('00065140'), ...tcp4])), [K.Link, K.Ipv4, K.Mpls, ...inner4]),
  en('tunnels without end', ethernet(0x0800, nest(40)), [K.Link, ...new Array<number>(23).fill(K.Ipv4)], {
    innerStatus: Wire.Unsupported,
  }),
];

function nest(depth: number): Bytes {
  let packet = tcp4;
  for (let i = 0; i < depth; i++) packet = ipv4(4, packet);
  return packet;
}

const WIFI = '0000 020000000001 020000000002 020000000003 0000';
const SNAP4: Bytes = [...hex('aaaa03 000000 0800'), ...tcp4];
const RADIOTAP_PAD: Bytes = hex('00 00 1200 03000080 00000000 0000000000000000').slice(0, 12);

const LINKS: readonly Vector[] = [
  ...[L.RAW, L.RAW_BSD, L.RAW_OPENBSD, L.IPV4].map((n) =>
    link(`raw ${n}`, n, tcp4, inner4, { l3: 0, ip: 0, etherTypeAt: -1 }),
  ),
  link('raw IPv6', L.RAW, tcp6, [K.Ipv6, K.Tcp], { ip: 0, ipVersion: 6 }),
  link('IPV6', L.IPV6, tcp6, [K.Ipv6, K.Tcp], { ip: 0, etherType: 0x86dd }),
  link('NULL little-endian', L.NULL, [...hex('02000000'), ...tcp4], ipTcp4, {
    l3: 4,
    ip: 4,
    etherType: 0x0800,
    etherTypeAt: -1,
  }),
  link('NULL big-endian', L.NULL, [...hex('00000002'), ...tcp4], ipTcp4, { ip: 4 }),
  ...[10, 24, 28, 30].flatMap((family) => [
    link(`LOOP ${family}`, L.LOOP, [0, 0, 0, family, ...tcp6], ipTcp6, { ip: 4, etherType: 0x86dd }),
    link(`NULL ${family}`, L.NULL, [family, 0, 0, 0, ...tcp6], ipTcp6, { ip: 4 }),
  ]),
  link('SLL', L.LINUX_SLL, [...hex('0000 0001 0006 020000000001 0000 0800'), ...tcp4], ipTcp4, {
    l3: 16,
    etherTypeAt: 14,
  }),
  link(
    'SLL VLAN',
    L.LINUX_SLL,
    [...hex('0000 0001 0006 020000000001 0000 8100 0064 0800'), ...tcp4],
    [K.Link, K.Vlan, K.Ipv4, K.Tcp],
    { l3: 20, etherTypeAt: 18, vlan: 16 },
  ),
  link('SLL LLC', L.LINUX_SLL, [...hex('0000 0001 0006 020000000001 0000 0004'), ...SNAP4], ipTcp4, {
    ip: 24,
    etherTypeAt: 22,
  }),
  link('SLL netlink', L.LINUX_SLL, [...hex('0000 0338 0000 000000000000 0000 0800'), ...tcp4], [K.Link], { ip: -1 }),
  link('SLL2', L.LINUX_SLL2, [...hex('86dd 0000 00000002 0001 00 06 020000000001 0000'), ...tcp6], ipTcp6, {
    l3: 20,
    etherTypeAt: 0,
  }),
  link('C_HDLC', L.C_HDLC, [...hex('0f00 0800'), ...tcp4], ipTcp4, { l3: 4, etherTypeAt: 2 }),
  link('PPP', L.PPP, [...hex('ff03 0021'), ...tcp4], ipTcp4, { l3: 4 }),
  link('PPP without address', L.PPP, [...hex('0057'), ...tcp6], ipTcp6, { l3: 2 }),
  link('PPP compressed', L.PPP, [0x21, ...tcp4], ipTcp4, { l3: 1 }),
  link('PPP LCP', L.PPP, hex('ff03 c021 01010004'), [K.Link], { ip: -1, etherType: -1 }),
  link('PPP_SERIAL', L.PPP_SERIAL, [...hex('ff03 0057'), ...tcp6], ipTcp6, { l3: 4 }),
  link('PPP_SERIAL HDLC', L.PPP_SERIAL, [...hex('8f00 0800'), ...tcp4], ipTcp4, { l3: 4, etherTypeAt: 2 }),
  link('PPP_ETHER', L.PPP_ETHER, [...hex('0021'), ...tcp4], ipTcp4, { l3: 2 }),
  link('802.11', L.IEEE802_11, [...hex(`0801 ${WIFI}`), ...SNAP4], ipTcp4, { ieee80211: 0, l3: 32, etherTypeAt: 30 }),
  link('802.11 QoS', L.IEEE802_11, [...hex(`8802 ${WIFI} 0000`), ...SNAP4], ipTcp4, { l3: 34 }),
  link(
    '802.11 QoS, four addresses, HT',
    L.IEEE802_11,
    [...hex(`8883 ${WIFI} 020000000004 0000 00000000`), ...SNAP4],
    ipTcp4,
    { l3: 44 },
  ),
  link('radiotap', L.IEEE802_11_RADIOTAP, [...hex(`00 00 0800 00000000 0801 ${WIFI}`), ...SNAP4], ipTcp4, {
    ieee80211: 8,
    l3: 40,
  }),
  link(
    'radiotap, time, padded',
    L.IEEE802_11_RADIOTAP,
    [...hex(`00 00 1100 03000000 0000000000000000 20 8801 ${WIFI} 0000 0000`), ...SNAP4],
    ipTcp4,
    { ieee80211: 17, l3: 53 },
  ),
  link(
    'radiotap, two bitmaps',
    L.IEEE802_11_RADIOTAP,
    [
      ...RADIOTAP_PAD.map((b, i) => (i === 2 ? 25 : b)),
      ...hex(`00000000 0000000000000000 20 8801 ${WIFI} 0000 0000`),
      ...SNAP4,
    ],
    ipTcp4,
    { ieee80211: 25, l3: 61 },
  ),
  link('JUNIPER_ETHER', L.JUNIPER_ETHER, [...hex('4d474300'), ...eth4], ipTcp4, { macs: 4, l3: 18, etherTypeAt: 16 }),
  link('JUNIPER_ETHER extended', L.JUNIPER_ETHER, [...hex('4d474381 0006 01020304 0506'), ...eth4], ipTcp4, {
    macs: 12,
    l3: 26,
  }),
  link('JUNIPER_ETHER without Ethernet', L.JUNIPER_ETHER, [...hex('4d474302 00000800'), ...tcp4], ipTcp4, {
    macs: -1,
    ip: 8,
  }),
  { ...link('802.11 encrypted', L.IEEE802_11, [...hex(`0841 ${WIFI}`), ...SNAP4], []), status: Wire.Unsupported },
  { ...link('802.11 beacon', L.IEEE802_11, [...hex(`8000 ${WIFI}`), ...SNAP4], []), status: Wire.Unsupported },
  { ...link('802.11 A-MSDU', L.IEEE802_11, [...hex(`8802 ${WIFI} 8000`), ...SNAP4], []), status: Wire.Unsupported },
  { ...link('USER0', L.USER0, tcp4, []), status: Wire.Unsupported },
];

export const VECTORS: readonly Vector[] = [...ETHERNET, ...TAGGED, ...IPV6, ...TUNNELS, ...LINKS];
export { DST4, MACS };
