/** ICMP and ICMPv6 messages, IGMP and SCTP in one line. Never reads outside [at, end). */
import {
  ICMP_HEADER_LEN,
  IcmpType,
  icmpCode,
  icmpEmbeddedAt,
  icmpId,
  icmpSequence,
  icmpType,
} from '../../wire/icmp.ts';
import { icmpv6EmbeddedAt } from '../../wire/icmpv6.ts';
import { ipv4HeaderLen, ipv4Protocol } from '../../wire/ipv4.ts';
import { IPV6_HEADER_LEN, ipv6NextHeader } from '../../wire/ipv6.ts';
import { IpProtocol } from '../../wire/protocol.ts';
import { ipv4Text, ipv6Text } from './text.ts';

const UNREACHABLE: readonly string[] = [
  'net # unreachable',
  'host # unreachable',
  '# protocol @ unreachable',
  '# port @ unreachable',
  '# unreachable - need to frag',
  '# unreachable - source route failed',
  'net # unreachable - unknown',
  'host # unreachable - unknown',
  '# unreachable - source host isolated',
  'net # unreachable - admin prohibited',
  'host # unreachable - admin prohibited',
  'net # unreachable - tos prohibited',
  'host # unreachable - tos prohibited',
  'host # unreachable - admin prohibited filter',
  'host # unreachable - host precedence violation',
  'host # unreachable - precedence cutoff',
];
const UNREACHABLE_6: readonly string[] = [
  'unreachable route',
  'unreachable prohibited',
  'beyond scope',
  'unreachable address',
  'unreachable port',
];

/** `length`: of the message, as the IP header says. */
export function icmpText(view: DataView, at: number, end: number, length: number): string {
  const type = icmpType(view, at);
  if (at + ICMP_HEADER_LEN > end) return 'ICMP [|icmp]';
  const code = icmpCode(view, at);
  switch (type) {
    case IcmpType.Echo:
    case IcmpType.EchoReply: {
      const what = type === IcmpType.Echo ? 'request' : 'reply';
      return `ICMP echo ${what}, id ${icmpId(view, at)}, seq ${icmpSequence(view, at)}, length ${length}`;
    }
    case IcmpType.Unreachable:
      return `ICMP ${unreachable(view, at, end, code)}, length ${length}`;
    case IcmpType.Redirect: {
      const quoted = icmpEmbeddedAt(view, at, end);
      const to = quoted < 0 ? '' : ` ${ipv4Text(view, quoted + 16)}`;
      const what = ['net', 'host', 'tos-net', 'tos-host'][code] ?? `#${code}`;
      return `ICMP redirect${to} to ${what} ${ipv4Text(view, at + 4)}, length ${length}`;
    }
    case IcmpType.TimeExceeded:
      return `ICMP ${code === 1 ? 'ip reassembly time exceeded' : 'time exceeded in-transit'}, length ${length}`;
    case IcmpType.SourceQuench:
      return `ICMP source quench, length ${length}`;
    case IcmpType.ParameterProblem:
      return `ICMP parameter problem - octet ${view.getUint8(at + 4)}, length ${length}`;
    case 13:
    case 14: {
      const what = type === 13 ? 'query' : 'reply';
      return `ICMP time stamp ${what} id ${icmpId(view, at)} seq ${icmpSequence(view, at)}, length ${length}`;
    }
    default:
      return `ICMP type-#${type}, length ${length}`;
  }
}

function unreachable(view: DataView, at: number, end: number, code: number): string {
  const quoted = icmpEmbeddedAt(view, at, end);
  const pattern = UNREACHABLE[code];
  if (quoted < 0 || pattern === undefined) return `unreachable #${code}`;
  const protocol = ipv4Protocol(view, quoted);
  const l4 = quoted + ipv4HeaderLen(view, quoted);
  const address = ipv4Text(view, quoted + 16);
  if (code === 3) {
    const port = l4 + 4 <= end ? view.getUint16(l4 + 2) : 0;
    const name = protocol === IpProtocol.Tcp ? 'tcp' : protocol === IpProtocol.Udp ? 'udp' : '';
    return name === ''
      ? `${address} protocol ${protocol} port ${port} unreachable`
      : `${address} ${name} port ${port} unreachable`;
  }
  const mtu = code === 4 && view.getUint16(at + 6) !== 0 ? ` (mtu ${view.getUint16(at + 6)})` : '';
  return `${pattern.replace('#', address).replace('@', String(protocol))}${mtu}`;
}

export function icmpv6Text(view: DataView, at: number, end: number, length: number): string {
  const type = view.getUint8(at);
  if (at + 8 > end) return 'ICMP6 [|icmp6]';
  const code = view.getUint8(at + 1);
  const tail = `length ${length}`;
  switch (type) {
    case 1: {
      const what = UNREACHABLE_6[code] ?? `unknown unreach code (${code})`;
      return `ICMP6, destination unreachable, ${what}${quotedTarget(view, at, end, code)}, ${tail}`;
    }
    case 2:
      return `ICMP6, packet too big, mtu ${view.getUint32(at + 4)}, ${tail}`;
    case 3:
      return `ICMP6, time exceeded ${code === 1 ? 'in-reassembly' : 'in-transit'}, ${tail}`;
    case 4:
      return `ICMP6, parameter problem, octet ${view.getUint32(at + 4)}, ${tail}`;
    case 128:
    case 129: {
      const what = type === 128 ? 'request' : 'reply';
      return `ICMP6, echo ${what}, id ${view.getUint16(at + 4)}, seq ${view.getUint16(at + 6)}, ${tail}`;
    }
    case 130:
    case 131:
    case 132: {
      const what = ['query', 'report', 'done'][type - 130]!;
      const group = at + 24 <= end ? ` max resp delay: ${view.getUint16(at + 4)} addr: ${ipv6Text(view, at + 8)}` : '';
      return `ICMP6, multicast listener ${what}${group}, ${tail}`;
    }
    case 133:
      return `ICMP6, router solicitation, ${tail}`;
    case 134:
      return `ICMP6, router advertisement, ${tail}`;
    case 135:
      return at + 24 <= end
        ? `ICMP6, neighbor solicitation, who has ${ipv6Text(view, at + 8)}, ${tail}`
        : 'ICMP6 [|icmp6]';
    case 136:
      return at + 24 <= end
        ? `ICMP6, neighbor advertisement, tgt is ${ipv6Text(view, at + 8)}, ${tail}`
        : 'ICMP6 [|icmp6]';
    case 137:
      return at + 40 <= end
        ? `ICMP6, redirect, ${ipv6Text(view, at + 24)} to ${ipv6Text(view, at + 8)}, ${tail}`
        : 'ICMP6 [|icmp6]';
    case 143:
      return `ICMP6, multicast listener report v2, ${view.getUint16(at + 6)} group record(s), ${tail}`;
    default:
      return `ICMP6, type-#${type}, ${tail}`;
  }
}

function quotedTarget(view: DataView, at: number, end: number, code: number): string {
  const quoted = icmpv6EmbeddedAt(view, at, end);
  if (quoted < 0) return '';
  const address = ipv6Text(view, quoted + 24);
  if (code !== 4) return ` ${address}`;
  const protocol = ipv6NextHeader(view, quoted);
  const l4 = quoted + IPV6_HEADER_LEN;
  const name = protocol === IpProtocol.Tcp ? 'tcp' : protocol === IpProtocol.Udp ? 'udp' : '';
  return name !== '' && l4 + 4 <= end ? `, ${address} ${name} port ${view.getUint16(l4 + 2)}` : '';
}

/** RFC 3376, 2236. */
export function igmpText(view: DataView, at: number, end: number, length: number): string {
  if (at + 8 > end) return 'igmp [|igmp]';
  const type = view.getUint8(at);
  const group = ipv4Text(view, at + 4);
  switch (type) {
    case 0x11:
      return length >= 12 ? 'igmp query v3' : `igmp query v${view.getUint8(at + 1) === 0 ? 1 : 2}`;
    case 0x12:
      return `igmp v1 report ${group}`;
    case 0x16:
      return `igmp v2 report ${group}`;
    case 0x17:
      return `igmp leave ${group}`;
    case 0x22:
      return `igmp v3 report, ${view.getUint16(at + 6)} group record(s)`;
    default:
      return `igmp-${hex(type)}`;
  }
}

const SCTP_CHUNKS: readonly string[] = [
  ...['DATA', 'INIT', 'INIT ACK', 'SACK', 'HB REQ', 'HB ACK', 'ABORT', 'SHUTDOWN', 'SHUTDOWN ACK', 'OP ERR'],
  ...['COOKIE ECHO', 'COOKIE ACK', 'ECN ECHO', 'CWR', 'SHUTDOWN COMPLETE'],
];
const CHUNKS_MAX = 16;

/** Chunks by number and name, from behind the common header (RFC 9260 section 3.2). */
export function sctpText(view: DataView, chunks: number, end: number): string {
  let text = 'sctp';
  let at = chunks;
  for (let n = 1; n <= CHUNKS_MAX && at + 4 <= end; n++) {
    const type = view.getUint8(at);
    const length = view.getUint16(at + 2);
    text += ` (${n}) [${SCTP_CHUNKS[type] ?? `Unknown chunk type: ${hex(type)}`}]`;
    if (length < 4) return `${text} [bad chunk length ${length}]`;
    at += (length + 3) & ~3;
  }
  return text;
}

function hex(value: number): string {
  return `0x${value.toString(16)}`;
}
