/** A probe's packets: the SYN of a connection that nobody wants, and the RST that ends it half open. */
import type { Region } from '../../base/region.ts';
import { anonymousRegion } from '../../device/host.ts';
import type { Sink } from '../../device/sink.ts';
import { checksumAdd, checksumFinish } from '../../wire/checksum.ts';
import { fixIpv4Checksum, IPV4_DONT_FRAGMENT, IPV4_MIN_HEADER_LEN } from '../../wire/ipv4.ts';
import { IPV6_HEADER_LEN } from '../../wire/ipv6.ts';
import { IpProtocol } from '../../wire/protocol.ts';
import { TCP_MIN_HEADER_LEN, TcpFlag, tcpChecksumAt } from '../../wire/tcp.ts';
import { setTcpMss, setTcpOption, setTcpWindowScale, TcpOption } from '../../wire/tcpoption.ts';
import { openSink } from '../agent/emitter.ts';
import type { AgentTarget } from '../agent/spec.ts';
import type { AddressWords } from '../targets.ts';

const ETHERNET_BYTES = 14;
const REGION_BYTES = 4096;
/** Where the IP header is: behind a link header, aligned. */
const IP_AT = 16;
const TTL = 64;
const WINDOW = 0xffff;
/** MSS, SACK permitted, window scale: what any client offers. */
const OPTION_BYTES = 12;
const SHIFT = 7;

export interface ProbePacket {
  readonly source: AddressWords;
  readonly port: number;
  readonly seq: number;
}

/** The way to one target, by the sender that its copies will leave by. */
export class ProbeSender {
  readonly #target: AgentTarget;
  readonly #region: Region = anonymousRegion(REGION_BYTES);
  readonly #sink: Sink;

  /** Throws INTERFACE or PERMISSION with the line to type. */
  constructor(target: AgentTarget) {
    this.#target = target;
    this.#sink = openSink(target);
  }

  /** Returns null, or why the kernel took no packet: `EPERM`, a device's fault in words. */
  sendSyn(packet: ProbePacket): string | null {
    const view = this.#region.view;
    const tcp = this.#writeIp(packet, TCP_MIN_HEADER_LEN + OPTION_BYTES);
    this.#writeTcp(tcp, packet, packet.seq, TcpFlag.Syn, OPTION_BYTES);
    const option = tcp + TCP_MIN_HEADER_LEN;
    setTcpMss(view, option, Math.min(0xffff, this.#target.mtu - (tcp - IP_AT) - TCP_MIN_HEADER_LEN));
    setTcpOption(view, option + 4, TcpOption.SackPermitted, 2);
    view.setUint8(option + 6, TcpOption.Nop);
    view.setUint8(option + 7, TcpOption.Nop);
    setTcpWindowScale(view, option + 8, SHIFT);
    view.setUint8(option + 11, TcpOption.End);
    return this.#send(tcp, OPTION_BYTES);
  }

  /** The target forgets the connection (RFC 9293 section 3.10.7.4, SYN-RECEIVED). */
  sendReset(packet: ProbePacket): void {
    const tcp = this.#writeIp(packet, TCP_MIN_HEADER_LEN);
    this.#writeTcp(tcp, packet, packet.seq + 1, TcpFlag.Rst, 0);
    this.#send(tcp, 0);
  }

  #writeIp({ source }: ProbePacket, tcpBytes: number): number {
    const view = this.#region.view;
    const { address } = this.#target;
    if (address.length === 1) {
      const length = IPV4_MIN_HEADER_LEN + tcpBytes;
      view.setUint32(IP_AT, 0x45000000 | length);
      view.setUint32(IP_AT + 4, IPV4_DONT_FRAGMENT);
      view.setUint32(IP_AT + 8, (TTL << 24) | (IpProtocol.Tcp << 16));
      view.setUint32(IP_AT + 12, source[0]);
      view.setUint32(IP_AT + 16, address[0]);
      fixIpv4Checksum(view, IP_AT);
      return IP_AT + IPV4_MIN_HEADER_LEN;
    }
    view.setUint32(IP_AT, 0x60000000);
    view.setUint32(IP_AT + 4, (tcpBytes << 16) | (IpProtocol.Tcp << 8) | TTL);
    for (let word = 0; word < 4; word++) {
      view.setUint32(IP_AT + 8 + 4 * word, source[word] ?? 0);
      view.setUint32(IP_AT + 24 + 4 * word, address[word] ?? 0);
    }
    return IP_AT + IPV6_HEADER_LEN;
  }

  #writeTcp(tcp: number, { port }: ProbePacket, seq: number, flags: number, optionBytes: number): void {
    const view = this.#region.view;
    view.setUint16(tcp, port);
    view.setUint16(tcp + 2, this.#target.port);
    view.setUint32(tcp + 4, seq);
    view.setUint32(tcp + 8, 0);
    view.setUint8(tcp + 12, ((TCP_MIN_HEADER_LEN + optionBytes) >>> 2) << 4);
    view.setUint8(tcp + 13, flags);
    view.setUint16(tcp + 14, WINDOW);
    view.setUint32(tcp + 16, 0);
  }

  #send(tcp: number, optionBytes: number): string | null {
    const view = this.#region.view;
    const end = tcp + TCP_MIN_HEADER_LEN + optionBytes;
    const from = tcp - IP_AT === IPV6_HEADER_LEN ? IP_AT + 8 : IP_AT + 12;
    const sum = checksumAdd(view, from, end, IpProtocol.Tcp + (end - tcp));
    view.setUint16(tcpChecksumAt(tcp), checksumFinish(sum));
    const { macs, address } = this.#target;
    let at = IP_AT;
    if (macs.byteLength > 0) {
      at -= ETHERNET_BYTES;
      for (let i = 0; i < macs.byteLength; i++) view.setUint8(at + i, macs[i]!);
      view.setUint16(at + macs.byteLength, address.length === 4 ? 0x86dd : 0x0800);
    }
    const sink = this.#sink;
    const refused = sink.counters.failed;
    sink.push(this.#region, at, end - at);
    sink.flush();
    if (sink.fault !== null) return sink.fault.message;
    return sink.counters.failed > refused ? ([...sink.counters.causes.keys()].at(-1) ?? 'refused') : null;
  }

  close(): void {
    this.#sink.close();
    this.#region.release();
  }
}
