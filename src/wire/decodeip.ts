/**
 * HOT: IP headers, extension headers and transports of `decode`, and what tells tunnels. The outermost IP packet fills
 * `ip`, `l4` and so on; the ones inside only add layers.
 */
import { checkGre, greHeaderLen, greProtocol } from './gre.ts';
import { checkIcmp, icmpEmbeddedAt } from './icmp.ts';
import { checkIcmpv6, icmpv6EmbeddedAt } from './icmpv6.ts';
import {
  checkIpv4,
  IPV4_MIN_HEADER_LEN,
  ipv4FragmentBits,
  ipv4FragmentOffset,
  ipv4HeaderLen,
  ipv4Protocol,
  ipv4TotalLen,
} from './ipv4.ts';
import { checkIpv6, IPV6_HEADER_LEN, ipv6NextHeader, ipv6PayloadLen } from './ipv6.ts';
import {
  checkIpv6Extension,
  IPV6_EXTENSIONS_MAX,
  ipv6ExtensionLen,
  ipv6ExtensionNext,
  ipv6FragmentOffset,
  ipv6JumboLen,
  ipv6MoreFragments,
  ipv6SegmentsLeft,
  isIpv6Extension,
} from './ipv6extension.ts';
import { Fragment, LayerKind, type Layers, Next, pushLayer, Wire, type WireStatus } from './layers.ts';
import { EtherType, IpProtocol } from './protocol.ts';
import { checkSctp, SCTP_HEADER_LEN } from './sctp.ts';
import { checkTcp, TCP_MIN_HEADER_LEN, tcpHeaderLen } from './tcp.ts';
import { checkUdp, UDP_HEADER_LEN, udpDstPort, udpLength } from './udp.ts';
import { checkVxlan, VXLAN_HEADER_LEN, VXLAN_PORT, VXLAN_PORT_LINUX } from './vxlan.ts';

export function decodeIpv4(view: DataView, ip: number, end: number, out: Layers): WireStatus {
  const status = checkIpv4(view, ip, end);
  // Cut options leave the fixed header true; every other fault leaves nothing.
  if (status !== Wire.Ok && (status !== Wire.Truncated || end - ip < IPV4_MIN_HEADER_LEN)) return status;
  const totalLen = ipv4TotalLen(view, ip);
  const announced = totalLen === 0 ? end : ip + totalLen;
  const cut = announced > end;
  const stop = cut ? end : announced;
  if (!pushLayer(out, LayerKind.Ipv4, ip, stop)) return Wire.Unsupported;
  const protocol = ipv4Protocol(view, ip);
  let fragment: number = Fragment.None;
  if (ipv4FragmentBits(view, ip) !== 0) {
    fragment = ipv4FragmentOffset(view, ip) === 0 ? Fragment.First : Fragment.Later;
  }
  const outer = out.ip < 0;
  if (outer) {
    out.ip = ip;
    out.ipVersion = 4;
    out.ipEnd = stop;
    out.ipCut = cut;
    out.ipLengthZero = totalLen === 0;
    out.fragment = fragment;
    out.l4Protocol = protocol;
    out.linkDone = true;
  }
  if (status !== Wire.Ok) return status;
  if (fragment === Fragment.Later) return Wire.Ok;
  const l4 = ip + ipv4HeaderLen(view, ip);
  if (protocol === IpProtocol.Ah) return decodeExtensions(view, l4, stop, protocol, fragment, cut, outer, out);
  return decodeTransport(view, l4, stop, protocol, fragment, cut, outer, out);
}

export function decodeIpv6(view: DataView, ip: number, end: number, out: Layers): WireStatus {
  const status = checkIpv6(view, ip, end);
  if (status !== Wire.Ok) return status;
  const next = ipv6NextHeader(view, ip);
  const payload = ip + IPV6_HEADER_LEN;
  const payloadLen = ipv6PayloadLen(view, ip);
  let announced = payload + payloadLen;
  let lengthZero = false;
  if (payloadLen === 0 && next !== IpProtocol.NoNext) {
    const jumbo =
      next === IpProtocol.HopByHop && checkIpv6Extension(view, payload, end, next) === Wire.Ok
        ? ipv6JumboLen(view, payload)
        : -1;
    lengthZero = jumbo < 0;
    announced = lengthZero ? end : payload + jumbo;
  }
  const cut = announced > end;
  const stop = cut ? end : announced;
  if (!pushLayer(out, LayerKind.Ipv6, ip, stop)) return Wire.Unsupported;
  const outer = out.ip < 0;
  if (outer) {
    out.ip = ip;
    out.ipVersion = 6;
    out.ipEnd = stop;
    out.ipCut = cut;
    out.ipLengthZero = lengthZero;
    out.l4Protocol = next;
    out.linkDone = true;
  }
  if (isIpv6Extension(next)) return decodeExtensions(view, payload, stop, next, Fragment.None, cut, outer, out);
  return decodeTransport(view, payload, stop, next, Fragment.None, cut, outer, out);
}

/** Steps over extension headers (in IPv4: over the Authentication Header) to the transport. */
function decodeExtensions(
  view: DataView,
  start: number,
  end: number,
  first: number,
  fragmentBefore: number,
  cut: boolean,
  outer: boolean,
  out: Layers,
): WireStatus {
  let at = start;
  let protocol = first;
  let fragment = fragmentBefore;
  for (let n = 0; isIpv6Extension(protocol); n++) {
    if (n >= IPV6_EXTENSIONS_MAX) return Wire.Unsupported;
    const status = checkIpv6Extension(view, at, end, protocol);
    if (status !== Wire.Ok) return cut ? status : Wire.BadLength;
    const next = ipv6ExtensionNext(view, at);
    if (outer) out.l4Protocol = next;
    if (protocol === IpProtocol.Fragment) {
      if (ipv6FragmentOffset(view, at) !== 0) fragment = Fragment.Later;
      else if (ipv6MoreFragments(view, at)) fragment = Fragment.First;
      if (outer) {
        out.ipv6Fragment = at;
        out.fragment = fragment;
      }
      if (fragment === Fragment.Later) return Wire.Ok;
    } else if (protocol === IpProtocol.Routing && outer && ipv6SegmentsLeft(view, at) > 0) {
      out.ipv6Routing = at;
    }
    at += ipv6ExtensionLen(view, at, protocol);
    protocol = next;
  }
  return decodeTransport(view, at, end, protocol, fragment, cut, outer, out);
}

/** Notes the transport header when its fixed part is whole, and what a tunnel's carries. */
function decodeTransport(
  view: DataView,
  l4: number,
  end: number,
  protocol: number,
  fragment: number,
  cut: boolean,
  outer: boolean,
  out: Layers,
): WireStatus {
  let status: WireStatus;
  switch (protocol) {
    case IpProtocol.Tcp:
      status = decodeTcp(view, l4, end, outer, out);
      break;
    case IpProtocol.Udp:
      status = decodeUdp(view, l4, end, fragment, outer, out);
      break;
    case IpProtocol.Icmp:
    case IpProtocol.Icmpv6:
      status = decodeIcmp(view, l4, end, protocol, outer, out);
      break;
    case IpProtocol.Sctp:
      status = checkSctp(view, l4, end);
      if (status === Wire.Ok) status = transport(LayerKind.Sctp, l4, l4 + SCTP_HEADER_LEN, end, outer, out);
      break;
    case IpProtocol.Gre:
      status = decodeGre(view, l4, end, fragment, outer, out);
      break;
    case IpProtocol.Ipv4:
      return decodeIpInIp(EtherType.Ipv4, l4, end, fragment, outer, out);
    case IpProtocol.Ipv6:
      return decodeIpInIp(EtherType.Ipv6, l4, end, fragment, outer, out);
    case IpProtocol.Mpls:
      return decodeIpInIp(EtherType.Mpls, l4, end, fragment, outer, out);
    default:
      return transport(LayerKind.Other, l4, -1, end, outer, out);
  }
  // The packet's own length is too short for the header: no fault of the capture.
  return status === Wire.Truncated && !cut ? Wire.BadLength : status;
}

function transport(kind: LayerKind, at: number, payload: number, end: number, outer: boolean, out: Layers): WireStatus {
  if (!pushLayer(out, kind, at, end)) return Wire.Unsupported;
  if (outer) {
    out.l4 = at;
    out.payload = payload;
  }
  return Wire.Ok;
}

function decodeTcp(view: DataView, tcp: number, end: number, outer: boolean, out: Layers): WireStatus {
  const status = checkTcp(view, tcp, end);
  if (status === Wire.Ok) return transport(LayerKind.Tcp, tcp, tcp + tcpHeaderLen(view, tcp), end, outer, out);
  // Ports and sequence numbers are there even when the options are cut or their length is wrong.
  if (end - tcp >= TCP_MIN_HEADER_LEN) transport(LayerKind.Tcp, tcp, -1, end, outer, out);
  return status;
}

function decodeUdp(
  view: DataView,
  udp: number,
  end: number,
  fragment: number,
  outer: boolean,
  out: Layers,
): WireStatus {
  const status = checkUdp(view, udp, end);
  if (status !== Wire.Ok) {
    if (end - udp >= UDP_HEADER_LEN) transport(LayerKind.Udp, udp, -1, end, outer, out);
    return status;
  }
  const length = udpLength(view, udp);
  const stop = length === 0 || udp + length > end ? end : udp + length;
  const payload = udp + UDP_HEADER_LEN;
  const pushed = transport(LayerKind.Udp, udp, payload, stop, outer, out);
  const port = udpDstPort(view, udp);
  if ((port !== VXLAN_PORT && port !== VXLAN_PORT_LINUX) || fragment !== Fragment.None || pushed !== Wire.Ok) {
    return pushed;
  }
  if (checkVxlan(view, payload, stop) !== Wire.Ok) return Wire.Ok;
  if (!pushLayer(out, LayerKind.Vxlan, payload, stop)) return Wire.Unsupported;
  return enterTunnel(EtherType.Teb, payload + VXLAN_HEADER_LEN, stop, out);
}

function decodeIcmp(
  view: DataView,
  icmp: number,
  end: number,
  protocol: number,
  outer: boolean,
  out: Layers,
): WireStatus {
  const isV6 = protocol === IpProtocol.Icmpv6;
  const status = isV6 ? checkIcmpv6(view, icmp, end) : checkIcmp(view, icmp, end);
  if (status !== Wire.Ok) return status;
  const embedded = isV6 ? icmpv6EmbeddedAt(view, icmp, end) : icmpEmbeddedAt(view, icmp, end);
  if (outer) out.embedded = embedded;
  return transport(isV6 ? LayerKind.Icmpv6 : LayerKind.Icmp, icmp, -1, end, outer, out);
}

function decodeGre(
  view: DataView,
  gre: number,
  end: number,
  fragment: number,
  outer: boolean,
  out: Layers,
): WireStatus {
  if (checkGre(view, gre, end) !== Wire.Ok) return transport(LayerKind.Other, gre, -1, end, outer, out);
  const payload = gre + greHeaderLen(view, gre);
  const status = transport(LayerKind.Gre, gre, payload, end, outer, out);
  if (status !== Wire.Ok || fragment !== Fragment.None || payload === end) return status;
  return enterTunnel(greProtocol(view, gre), payload, end, out);
}

function decodeIpInIp(
  type: number,
  at: number,
  end: number,
  fragment: number,
  outer: boolean,
  out: Layers,
): WireStatus {
  if (outer) {
    out.l4 = at;
    out.payload = at;
  }
  // A fragment holds a part of the inner packet only.
  if (fragment !== Fragment.None) return transport(LayerKind.Other, at, at, end, outer, out);
  return enterTunnel(type, at, end, out);
}

function enterTunnel(type: number, at: number, end: number, out: Layers): WireStatus {
  if (out.tunnel < 0) out.tunnel = at;
  out.nextType = type < Next.Llc ? Next.None : type;
  out.nextAt = at;
  out.nextEnd = end;
  return Wire.Ok;
}
