/** Directives about TCP: `tcp_seg`, `tcp_opt`. */
import { ipv4Id, setIpv4Id } from '../../wire/ipv4.ts';
import { seqAdd } from '../../wire/seq.ts';
import { setTcpFlags, setTcpSeq, TcpFlag, tcpFlags, tcpSeq } from '../../wire/tcp.ts';
import { TcpOption } from '../../wire/tcpoption.ts';
import { joined, type Packet, withTcpOptions } from './packet.ts';
import { type Overlap, overlapOf, type Rule, type RuleContext, randomBytes, type Words } from './rule.ts';

const OPTION_BYTES_MAX = 40;

/** Packets without room for the option stay as they are. */
export function tcpOptRule(words: Words): Rule {
  words.count(2, Number.POSITIVE_INFINITY, 'tcp_opt mss|wscale N | raw BYTES');
  const option = optionOf(words);
  const padded = new Uint8Array(Math.ceil(option.length / 4) * 4).fill(TcpOption.Nop);
  padded.set(option);
  return (packets) =>
    packets.map((packet) => (packet.isTcp && !packet.isFragment ? (withTcpOptions(packet, padded) ?? packet) : packet));
}

function optionOf(words: Words): Uint8Array {
  const kind = words.choice(0, ['mss', 'wscale', 'raw']);
  if (kind === 'raw') return words.bytes(1, OPTION_BYTES_MAX);
  words.count(2, 2, `tcp_opt ${kind} N`);
  if (kind === 'wscale') return Uint8Array.from([TcpOption.WindowScale, 3, words.number(1, 'the shift', 0, 255)]);
  const mss = words.number(1, 'the segment size', 0, 65_535);
  return Uint8Array.from([TcpOption.Mss, 4, mss >>> 8, mss & 255]);
}

/** Overlap as in `ip_frag`. */
export function tcpSegRule(words: Words): Rule {
  words.count(1, 2, 'tcp_seg SIZE [old|new|win32|unix]');
  const size = words.number(0, 'the size', 1, 65_535);
  const overlap = overlapOf(words, 1);
  return (packets, context) => packets.flatMap((packet) => segments(packet, size, overlap, context));
}

function segments(packet: Packet, size: number, overlap: Overlap, { rng }: RuleContext): Packet[] {
  const total = packet.tcpPayloadBytes;
  if (total <= size) return [packet];
  const out: Packet[] = [];
  for (let offset = 0; offset < total; offset += size) {
    const length = Math.min(size, total - offset);
    const from = packet.layers.payload + offset;
    const isLast = offset + length === total;
    const real = segment(packet, offset, packet.bytes.subarray(from, from + length), isLast, out.length);
    if (overlap === 'none' || offset === 0) {
      out.push(real);
      continue;
    }
    const noise = segment(packet, offset, randomBytes(rng, length), isLast, out.length + 1);
    if (overlap === 'old') out.push(real, noise);
    else out.push(noise, real);
  }
  return out;
}

/** FIN and PSH stay on the last segment, SYN and CWR on the first; a SYN takes a sequence number of its own. */
function segment(packet: Packet, offset: number, data: Uint8Array, isLast: boolean, index: number): Packet {
  const { layers } = packet;
  const headers = packet.bytes.slice(0, layers.payload);
  const view = new DataView(headers.buffer);
  let flags = tcpFlags(view, layers.l4);
  const syn = (flags & TcpFlag.Syn) !== 0 && offset > 0 ? 1 : 0;
  if (!isLast) flags &= ~(TcpFlag.Fin | TcpFlag.Psh);
  if (offset > 0) flags &= ~(TcpFlag.Syn | TcpFlag.Cwr | TcpFlag.Urg);
  setTcpFlags(view, layers.l4, flags);
  setTcpSeq(view, layers.l4, seqAdd(tcpSeq(view, layers.l4), offset + syn));
  if (packet.version === 4) setIpv4Id(view, 0, (ipv4Id(view, 0) + index) & 0xffff);
  return joined(headers, data);
}
