/** A probe's packets: the SYN of a connection that nobody wants, and the RST that ends it half open. */

import { tcpPseudoSum } from '../../device/segmentation.ts';
import { checksumAdd, checksumFinish } from '../../wire/checksum.ts';
import { fixIpv4Checksum, IPV4_DONT_FRAGMENT, IPV4_MIN_HEADER_LEN } from '../../wire/ipv4.ts';
import { IPV6_HEADER_LEN } from '../../wire/ipv6.ts';
import { IpProtocol } from '../../wire/protocol.ts';
import { TCP_MIN_HEADER_LEN, TcpFlag, tcpChecksumAt } from '../../wire/tcp.ts';
import { setTcpMss, setTcpOption, setTcpWindowScale, TcpOption } from '../../wire/tcpoption.ts';
import { FrameEmitter } from '../agent/emitter.ts';
import type { AgentTarget } from '../agent/spec.ts';
import type { AddressWords } from '../targets.ts';

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

/** The emitter that copies leave by: same device, same headers, same part of the checksum left to the device. */
export class ProbeSender {
  readonly #targets: readonly AgentTarget[];
  readonly #emitter: FrameEmitter;

  /** Throws INTERFACE, PERMISSION or UNSUPPORTED with the line to type. */
  constructor(targets: readonly AgentTarget[]) {
    this.#targets = targets;
    this.#emitter = new FrameEmitter(targets);
  }

  /** Returns null, or why the kernel took no packet: `EPERM`, a device's fault in words. */
  sendSyn(target: number, packet: ProbePacket): string | null {
    return this.#send(target, packet, TcpFlag.Syn, OPTION_BYTES);
  }

  /** The target forgets the connection (RFC 9293 section 3.10.7.4, SYN-RECEIVED). */
  sendReset(target: number, packet: ProbePacket): void {
    this.#send(target, { ...packet, seq: packet.seq + 1 }, TcpFlag.Rst, 0);
  }

  #send(index: number, packet: ProbePacket, flags: number, optionBytes: number): string | null {
    const emitter = this.#emitter;
    const target = this.#targets[index]!;
    const ipBytes = target.address.length === 4 ? IPV6_HEADER_LEN : IPV4_MIN_HEADER_LEN;
    const length = ipBytes + TCP_MIN_HEADER_LEN + optionBytes;
    const at = emitter.reserve(length);
    const { view } = emitter.region;
    const tcp = at + ipBytes;
    writeIp(view, at, length, packet, target);
    writeTcp(view, tcp, packet, target.port, flags, optionBytes);
    if (optionBytes > 0) writeOptions(view, tcp + TCP_MIN_HEADER_LEN, target.mtu - ipBytes - TCP_MIN_HEADER_LEN);
    if (emitter.fillsSums(index)) view.setUint16(tcpChecksumAt(tcp), tcpPseudoSum(view, at, tcp, length));
    else {
      const from = at + (ipBytes === IPV6_HEADER_LEN ? 8 : 12);
      const sum = checksumAdd(view, from, at + length, IpProtocol.Tcp + (length - ipBytes));
      view.setUint16(tcpChecksumAt(tcp), checksumFinish(sum));
    }
    const sent = emitter.sent();
    emitter.sendBuilt(at, length, index);
    emitter.flush();
    return emitter.sent() > sent ? null : (emitter.refusal() ?? 'refused');
  }

  close(): void {
    this.#emitter.close();
  }
}

function writeIp(view: DataView, at: number, length: number, { source }: ProbePacket, { address }: AgentTarget): void {
  if (address.length === 1) {
    view.setUint32(at, 0x45000000 | length);
    view.setUint32(at + 4, IPV4_DONT_FRAGMENT);
    view.setUint32(at + 8, (TTL << 24) | (IpProtocol.Tcp << 16));
    view.setUint32(at + 12, source[0]);
    view.setUint32(at + 16, address[0]);
    fixIpv4Checksum(view, at);
    return;
  }
  view.setUint32(at, 0x60000000);
  view.setUint32(at + 4, ((length - IPV6_HEADER_LEN) << 16) | (IpProtocol.Tcp << 8) | TTL);
  for (let word = 0; word < 4; word++) {
    view.setUint32(at + 8 + 4 * word, source[word] ?? 0);
    view.setUint32(at + 24 + 4 * word, address[word] ?? 0);
  }
}

/** The checksum is 0 as yet. */
function writeTcp(
  view: DataView,
  tcp: number,
  { port, seq }: ProbePacket,
  to: number,
  flags: number,
  optionBytes: number,
): void {
  view.setUint16(tcp, port);
  view.setUint16(tcp + 2, to);
  view.setUint32(tcp + 4, seq);
  view.setUint32(tcp + 8, 0);
  view.setUint8(tcp + 12, ((TCP_MIN_HEADER_LEN + optionBytes) >>> 2) << 4);
  view.setUint8(tcp + 13, flags);
  view.setUint16(tcp + 14, WINDOW);
  view.setUint32(tcp + 16, 0);
}

function writeOptions(view: DataView, at: number, mss: number): void {
  setTcpMss(view, at, Math.min(0xffff, mss));
  setTcpOption(view, at + 4, TcpOption.SackPermitted, 2);
  view.setUint8(at + 6, TcpOption.Nop);
  view.setUint8(at + 7, TcpOption.Nop);
  setTcpWindowScale(view, at + 8, SHIFT);
  view.setUint8(at + 11, TcpOption.End);
}
