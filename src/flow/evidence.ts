/**
 * HOT: what one decoded packet says about its sender: client, server, or nothing. A packet says it by how it opens a
 * conversation, never by its port alone, but for DNS, whose clients and servers both speak of port 53.
 */
import { IcmpType, icmpCode, icmpType } from '../wire/icmp.ts';
import { Icmpv6Type, icmpv6Code, icmpv6Type } from '../wire/icmpv6.ts';
import { Fragment, type Layers } from '../wire/layers.ts';
import { IpProtocol } from '../wire/protocol.ts';
import { TCP_MIN_HEADER_LEN, TcpFlag, tcpFlags } from '../wire/tcp.ts';
import { UDP_HEADER_LEN, udpDstPort, udpSrcPort } from '../wire/udp.ts';
import type { IpEnds } from './ip_ends.ts';

export const Evidence = {
  None: -1,
  /** Opens a TCP connection: client. */
  Syn: 0,
  /** To DNS port 53: client. */
  DnsQuery: 1,
  /** Accepts a TCP connection: server. */
  SynAck: 2,
  /** From DNS port 53: server. */
  DnsResponse: 3,
  /** Says that no process listens: it was addressed as a server. */
  PortUnreachable: 4,
} as const;
export type Evidence = (typeof Evidence)[keyof typeof Evidence];

export const EVIDENCE_KINDS = 5;
/** Kinds from this one on speak for a server. */
export const SERVER_EVIDENCE_FIRST: number = Evidence.SynAck;

const DNS_PORT = 53;
const ICMP_PORT_UNREACHABLE = 3;
const ICMPV6_PORT_UNREACHABLE = 4;
const ROUTER_SOLICITATION = 133;
const OPENING = TcpFlag.Syn | TcpFlag.Ack | TcpFlag.Fin | TcpFlag.Rst;
const SYN_ACK = TcpFlag.Syn | TcpFlag.Ack;

/**
 * Preconditions: `ends.findTransport` has looked at the frame. `exactFlags`: SYN and SYN-ACK count only without any
 * other flag (ECN, PSH, URG).
 */
export function evidenceOf(view: DataView, ends: IpEnds, exactFlags: boolean): Evidence {
  const l4 = ends.l4;
  if (l4 < 0 || ends.fragment === Fragment.Later) return Evidence.None;
  switch (ends.l4Protocol) {
    case IpProtocol.Tcp: {
      if (ends.ipEnd - l4 < TCP_MIN_HEADER_LEN) return Evidence.None;
      const flags = tcpFlags(view, l4) & (exactFlags ? 0xff : OPENING);
      if (flags === TcpFlag.Syn) return Evidence.Syn;
      return flags === SYN_ACK ? Evidence.SynAck : Evidence.None;
    }
    case IpProtocol.Udp:
      return dnsEvidence(view, ends, l4);
    case IpProtocol.Icmp:
      if (ends.version !== 4 || icmpType(view, l4) !== IcmpType.Unreachable) return Evidence.None;
      return icmpCode(view, l4) === ICMP_PORT_UNREACHABLE ? Evidence.PortUnreachable : Evidence.None;
    case IpProtocol.Icmpv6:
      if (ends.version !== 6 || icmpv6Type(view, l4) !== Icmpv6Type.Unreachable) return Evidence.None;
      return icmpv6Code(view, l4) === ICMPV6_PORT_UNREACHABLE ? Evidence.PortUnreachable : Evidence.None;
    default:
      return Evidence.None;
  }
}

/** Between two ports 53 the QR bit decides (RFC 1035 section 4.1.1), where it was captured. */
function dnsEvidence(view: DataView, ends: IpEnds, udp: number): Evidence {
  const fromDns = udpSrcPort(view, udp) === DNS_PORT;
  if (udpDstPort(view, udp) !== DNS_PORT) return fromDns ? Evidence.DnsResponse : Evidence.None;
  if (!fromDns) return Evidence.DnsQuery;
  const flags = udp + UDP_HEADER_LEN + 2;
  return flags < ends.ipEnd && view.getUint8(flags) >= 0x80 ? Evidence.DnsResponse : Evidence.DnsQuery;
}

/** Router and neighbor solicitations and advertisements, and redirects: RFC 4861 section 4. */
export function isNeighborDiscovery(view: DataView, layers: Layers): boolean {
  if (layers.l4 < 0 || layers.l4Protocol !== IpProtocol.Icmpv6) return false;
  const type = icmpv6Type(view, layers.l4);
  return type >= ROUTER_SOLICITATION && type <= Icmpv6Type.Redirect;
}
