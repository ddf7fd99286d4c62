/**
 * HOT: the addresses in each kind of header, and the sums that cover them. Methods that return a number return where
 * what they do not know begins.
 */
import { ARP_IPV4_LEN, arpSenderMacAt, arpTargetMacAt, isArpIpv4 } from '../wire/arp.ts';
import { ICMP_HEADER_LEN, IcmpType, icmpChecksumAt, icmpEmbeddedAt, icmpType } from '../wire/icmp.ts';
import { ICMPV6_HEADER_LEN, icmpv6EmbeddedAt, icmpv6Type } from '../wire/icmpv6.ts';
import {
  IPV4_MIN_HEADER_LEN,
  Ipv4Option,
  ipv4ChecksumAt,
  ipv4DstAt,
  ipv4FinalDstAt,
  ipv4FragmentOffset,
  ipv4HeaderLen,
  ipv4Protocol,
  ipv4SrcAt,
} from '../wire/ipv4.ts';
import { IPV6_ADDRESS_LEN, IPV6_HEADER_LEN, ipv6DstAt, ipv6NextHeader, ipv6SrcAt } from '../wire/ipv6.ts';
import {
  checkIpv6Extension,
  IPV6_EXTENSIONS_MAX,
  ipv6ExtensionLen,
  ipv6ExtensionNext,
  ipv6FinalDstAt,
  ipv6FragmentOffset,
  ipv6SegmentsLeft,
  isIpv6Extension,
} from '../wire/ipv6extension.ts';
import { LayerKind, type Layers, Wire } from '../wire/layers.ts';
import { IpProtocol } from '../wire/protocol.ts';
import { udpChecksum } from '../wire/udp.ts';
import type { AddressPseudonyms } from './anonymize_addresses.ts';
import type { CoveringSums } from './anonymize_sums.ts';
import { transportSumAt } from './transport_sum.ts';

const IPV4_LEN = 4;
/** First address of an IPv6 routing header. */
const ROUTING_ADDRESSES = 8;
/** RFC 4861 section 4: targets of neighbour messages; option types with link-layer addresses, prefixes, packets. */
const ND_ROUTER_SOLICIT = 133;
const ND_ROUTER_ADVERT = 134;
const ND_NEIGHBOUR_SOLICIT = 135;
const ND_NEIGHBOUR_ADVERT = 136;
const ND_REDIRECT = 137;
const ND_SOURCE_LINK = 1;
const ND_TARGET_LINK = 2;
const ND_PREFIX = 3;
const ND_RDNSS = 25;
/** RFC 2710 and 3810: multicast listener messages name groups only. */
const MLD_QUERY = 130;
const MLD_DONE = 132;
const MLD2_REPORT = 143;
/** What is kept of a transport header that an error quotes: ports and sequence number, or ICMP's fixed part. */
const QUOTED_TRANSPORT_LEN = 8;

export class HeaderAnonymizer {
  changed = false;
  readonly #pseudonyms: AddressPseudonyms;
  readonly #sums: CoveringSums;
  #view: DataView = new DataView(new ArrayBuffer(0));
  #layers!: Layers;
  /** End of the innermost IP packet seen, -1: none. */
  #ipEnd = -1;
  /** Set by `#walk6`: the transport's protocol and place, the destination that its sum covers. */
  #protocol = -1;
  #transportAt = -1;
  #finalDstAt = 0;

  constructor(pseudonyms: AddressPseudonyms, sums: CoveringSums) {
    this.#pseudonyms = pseudonyms;
    this.#sums = sums;
  }

  begin(view: DataView, layers: Layers): void {
    this.#view = view;
    this.#layers = layers;
    this.#ipEnd = -1;
    this.changed = false;
  }

  /** Where the innermost packet ends and padding begins. */
  innermostEnd(end: number): number {
    return this.#ipEnd < 0 ? end : this.#ipEnd;
  }

  mac(at: number): void {
    const view = this.#view;
    const high = view.getUint16(at);
    const low = view.getInt32(at + 2);
    this.#pseudonyms.mapMac(high, low);
    const { macHigh, macLow } = this.#pseudonyms;
    if (macHigh === high && macLow === low) return;
    this.#sums.set16(at, macHigh);
    this.#sums.set32(at + 2, macLow);
    this.changed = true;
  }

  /** Linux cooked header: the sender's address, where it has the length of a MAC address. */
  cooked(lengthAt: number, lengthBytes: number, addressAt: number): void {
    const length = lengthBytes === 2 ? this.#view.getUint16(lengthAt) : this.#view.getUint8(lengthAt);
    if (length === 6) this.mac(addressAt);
  }

  /** Addresses 1 to 3, and 4 between access points. */
  ieee80211(at: number, end: number): void {
    for (let address = at + 4; address <= at + 16; address += 6) if (address + 6 <= end) this.mac(address);
    const betweenStations = (this.#view.getUint8(at + 1) & 3) === 3;
    if (betweenStations && at + 30 <= end) this.mac(at + 24);
  }

  arp(at: number, end: number): number {
    if (end - at < ARP_IPV4_LEN || !isArpIpv4(this.#view, at)) return at;
    this.mac(arpSenderMacAt(at));
    this.#address4(arpSenderMacAt(at) + 6);
    this.mac(arpTargetMacAt(at));
    this.#address4(arpTargetMacAt(at) + 6);
    return at + ARP_IPV4_LEN;
  }

  #address4(at: number): void {
    const before = this.#view.getInt32(at);
    const after = this.#pseudonyms.map4(before);
    if (before === after) return;
    this.#sums.set32(at, after);
    this.changed = true;
  }

  #address6(at: number): void {
    const view = this.#view;
    const { words } = this.#pseudonyms;
    this.#pseudonyms.map6(view, at);
    for (let w = 0; w < 4; w++) {
      const after = words[w]!;
      if (view.getInt32(at + 4 * w) === after) continue;
      this.#sums.set32(at + 4 * w, after);
      this.changed = true;
    }
  }

  /** IP header of layer `n`. Returns where its payload begins when nothing behind it is known. */
  ip(n: number): number {
    const layers = this.#layers;
    const ip = layers.at[n]!;
    const end = layers.end[n]!;
    this.#ipEnd = end;
    return layers.kind[n] === LayerKind.Ipv4 ? this.#ip4(ip, end) : this.#ip6(ip, end);
  }

  #ip4(ip: number, end: number): number {
    const view = this.#view;
    const headerLen = Math.max(ipv4HeaderLen(view, ip), IPV4_MIN_HEADER_LEN);
    const headerEnd = ip + headerLen;
    this.#sums.push(ipv4ChecksumAt(ip), ip, headerEnd, false);
    const isWhole = headerEnd <= end;
    const dstAt = isWhole && headerLen > IPV4_MIN_HEADER_LEN ? ipv4FinalDstAt(view, ip) : ipv4DstAt(ip);
    if (isWhole && ipv4FragmentOffset(view, ip) === 0) {
      this.#pushTransport(headerEnd, end, ipv4Protocol(view, ip), 4, IPV4_LEN, ipv4SrcAt(ip), dstAt);
    }
    this.#address4(ipv4SrcAt(ip));
    this.#address4(ipv4DstAt(ip));
    if (isWhole) this.#options4(ip, headerEnd);
    return Math.min(headerEnd, end);
  }

  /** Record route and source routes hold addresses from their fourth byte on (RFC 791 section 3.1). */
  #options4(ip: number, headerEnd: number): void {
    const view = this.#view;
    let at = ip + IPV4_MIN_HEADER_LEN;
    while (at + 1 < headerEnd) {
      const kind = view.getUint8(at);
      if (kind === Ipv4Option.End) return;
      const length = kind === Ipv4Option.Nop ? 1 : view.getUint8(at + 1);
      if (length === 0 || (length < 2 && kind !== Ipv4Option.Nop) || at + length > headerEnd) return;
      const isRoute =
        kind === Ipv4Option.RecordRoute ||
        kind === Ipv4Option.LooseSourceRoute ||
        kind === Ipv4Option.StrictSourceRoute;
      if (isRoute) for (let a = at + 3; a + IPV4_LEN <= at + length; a += IPV4_LEN) this.#address4(a);
      at += length;
    }
  }

  #ip6(ip: number, end: number): number {
    const behind = this.#walk6(ip, end, false);
    if (this.#transportAt >= 0) {
      const at = this.#transportAt;
      this.#pushTransport(at, end, this.#protocol, 6, IPV6_ADDRESS_LEN, ipv6SrcAt(ip), this.#finalDstAt);
    }
    this.#address6(ipv6SrcAt(ip));
    this.#address6(ipv6DstAt(ip));
    this.#walk6(ip, end, true);
    return Math.min(behind, end);
  }

  /**
   * Steps over extension headers; with `edits`, maps the addresses of routing headers. Returns where they end, or what
   * could not be stepped over begins.
   */
  #walk6(ip: number, end: number, edits: boolean): number {
    const view = this.#view;
    let protocol = ipv6NextHeader(view, ip);
    let at = ip + IPV6_HEADER_LEN;
    this.#finalDstAt = ipv6DstAt(ip);
    this.#transportAt = -1;
    for (let n = 0; isIpv6Extension(protocol); n++) {
      if (n === IPV6_EXTENSIONS_MAX || checkIpv6Extension(view, at, end, protocol) !== Wire.Ok) return at;
      const length = ipv6ExtensionLen(view, at, protocol);
      if (protocol === IpProtocol.Fragment && ipv6FragmentOffset(view, at) !== 0) return at + length;
      if (protocol === IpProtocol.Routing) {
        const finalAt = ipv6SegmentsLeft(view, at) > 0 ? ipv6FinalDstAt(view, at) : -1;
        if (finalAt >= 0) this.#finalDstAt = finalAt;
        if (edits && ipv6FinalDstAt(view, at) >= 0) {
          const stop = at + length - IPV6_ADDRESS_LEN;
          for (let a = at + ROUTING_ADDRESSES; a <= stop; a += IPV6_ADDRESS_LEN) this.#address6(a);
        }
      }
      protocol = ipv6ExtensionNext(view, at);
      at += length;
    }
    this.#protocol = protocol;
    this.#transportAt = at;
    return at;
  }

  /** The sum of the transport at `l4`, where it has one that is there and in use. */
  #pushTransport(
    l4: number,
    end: number,
    protocol: number,
    version: number,
    addressLen: number,
    srcAt: number,
    dstAt: number,
  ): void {
    const view = this.#view;
    if (protocol === IpProtocol.Icmp && version === 4) {
      this.#sums.push(icmpChecksumAt(l4), l4, end, false);
      return;
    }
    const sumAt = transportSumAt(l4, protocol, version);
    if (sumAt < 0 || sumAt + 2 > end) return;
    const isUdp = protocol === IpProtocol.Udp;
    if (isUdp && udpChecksum(view, l4) === 0) return;
    this.#sums.push(sumAt, l4, end, isUdp, addressLen, srcAt, dstAt);
  }

  icmp(at: number, end: number): number {
    const view = this.#view;
    const known = Math.min(at + ICMP_HEADER_LEN, end);
    if (icmpType(view, at) === IcmpType.Redirect && at + ICMP_HEADER_LEN <= end) this.#address4(at + 4);
    const quoted = icmpEmbeddedAt(view, at, end);
    if (quoted < 0) return known;
    const transport = this.#ip4(quoted, end);
    return Math.min(transport + QUOTED_TRANSPORT_LEN, end);
  }

  icmpv6(at: number, end: number): number {
    const view = this.#view;
    const type = icmpv6Type(view, at);
    const known = Math.min(at + ICMPV6_HEADER_LEN, end);
    const quoted = icmpv6EmbeddedAt(view, at, end);
    if (quoted >= 0) return Math.min(this.#ip6(quoted, end) + QUOTED_TRANSPORT_LEN, end);
    if (type >= ND_ROUTER_SOLICIT && type <= ND_REDIRECT) return this.#neighbour(type, at, end);
    if ((type >= MLD_QUERY && type <= MLD_DONE) || type === MLD2_REPORT) return end;
    return known;
  }

  #neighbour(type: number, at: number, end: number): number {
    let next = at + ICMPV6_HEADER_LEN;
    if (type === ND_ROUTER_ADVERT) next += 8;
    const targets = type === ND_REDIRECT ? 2 : type === ND_NEIGHBOUR_SOLICIT || type === ND_NEIGHBOUR_ADVERT ? 1 : 0;
    for (let n = 0; n < targets; n++) {
      if (next + IPV6_ADDRESS_LEN > end) return Math.min(next, end);
      this.#address6(next);
      next += IPV6_ADDRESS_LEN;
    }
    // an option that is cut or unknown ends what is known: it is payload
    while (next + 8 <= end) {
      const length = this.#view.getUint8(next + 1) * 8;
      if (length === 0 || next + length > end || !this.#neighbourOption(next, length)) return next;
      next += length;
    }
    return Math.min(next, end);
  }

  #neighbourOption(at: number, length: number): boolean {
    switch (this.#view.getUint8(at)) {
      case ND_SOURCE_LINK:
      case ND_TARGET_LINK:
        if (length !== 8) return false;
        this.mac(at + 2);
        return true;
      case ND_PREFIX:
        if (length !== 32) return false;
        this.#address6(at + 16);
        return true;
      case ND_RDNSS:
        for (let a = at + 8; a + IPV6_ADDRESS_LEN <= at + length; a += IPV6_ADDRESS_LEN) this.#address6(a);
        return true;
      case 5: // MTU
        return length === 8;
      default:
        return false;
    }
  }
}
