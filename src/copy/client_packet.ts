/**
 * HOT: what the engine needs of a captured client packet, read once into preallocated fields. Budget 40 ns.
 */
import { plainRegion, type Region } from '../base/region.ts';
import { checksumAdd, checksumFinish, pseudoHeaderSum } from '../wire/checksum.ts';
import { IPV4_MIN_HEADER_LEN, ipv4SrcAt } from '../wire/ipv4.ts';
import { IPV6_HEADER_LEN, ipv6SrcAt } from '../wire/ipv6.ts';
import { Fragment, type Layers, Wire } from '../wire/layers.ts';
import { IpProtocol } from '../wire/protocol.ts';
import { TCP_MIN_HEADER_LEN, TcpFlag, tcpAck, tcpFlags, tcpHeaderLen, tcpSeq } from '../wire/tcp.ts';
import {
  checkTcpOptions,
  findTcpOption,
  TCP_WINDOW_SCALE_MAX,
  TcpOption,
  tcpMss,
  tcpTimestampValue,
  tcpWindowScale,
} from '../wire/tcpoption.ts';

/** What is known of a captured packet's TCP checksum. */
export const SumState = {
  /** Nothing: the engine checks it. */
  Unknown: 0,
  /** Found right by the network card or the kernel (TP_STATUS_CSUM_VALID): it is updated, not computed. */
  True: 1,
  /** Not filled in (TP_STATUS_CSUMNOTREADY), or stale after GRO: the bytes are good, the field is not. */
  Absent: 2,
} as const;
export type SumState = (typeof SumState)[keyof typeof SumState];

export const ClientFault = { None: 0, Malformed: 1, BadChecksum: 2, Fragment: 3 } as const;
export type ClientFault = (typeof ClientFault)[keyof typeof ClientFault];

/** NOP, NOP, Timestamps of 10 bytes: RFC 7323 appendix A, what every stack sends on data segments. */
const ALIGNED_TIMESTAMPS = 0x0101080a;
const ALIGNED_TIMESTAMPS_LEN = 12;

export class ClientPacket {
  region: Region = plainRegion(0);
  ip = 0;
  ipEnd = 0;
  isIpv6 = false;
  tcp = 0;
  srcAt = 0;
  /** Length of source and destination address each; the destination lies behind the source. */
  addressBytes = 4;
  payload = 0;
  payloadBytes = 0;
  /** Signed 32-bit, as all sequence numbers here. */
  seq = 0;
  ack = 0;
  flags = 0;
  clientPort = 0;
  servicePort = 0;
  hasTimestamps = false;
  tsValue = 0;
  sum: SumState = SumState.Unknown;
  /** Plain headers (no IP options, TCP options none or aligned timestamps): it can be rewritten where it lies. */
  isPlain = false;
  /** SYN options. */
  mss = 0;
  shift = -1;
  hasSackPermitted = false;

  /** Reads a decoded frame. Precondition for any other field: the answer is `None`. */
  read(region: Region, layers: Layers, sum: SumState): ClientFault {
    const view = region.view;
    const tcp = layers.l4;
    if (layers.fragment !== Fragment.None) return ClientFault.Fragment;
    if (tcp < 0 || layers.l4Protocol !== IpProtocol.Tcp || layers.ipCut || layers.payload < 0)
      return ClientFault.Malformed;
    this.region = region;
    this.ip = layers.ip;
    this.ipEnd = layers.ipEnd;
    this.isIpv6 = layers.ipVersion === 6;
    this.tcp = tcp;
    this.srcAt = this.isIpv6 ? ipv6SrcAt(layers.ip) : ipv4SrcAt(layers.ip);
    this.addressBytes = this.isIpv6 ? 16 : 4;
    const headerLen = tcpHeaderLen(view, tcp);
    this.payload = tcp + headerLen;
    this.payloadBytes = layers.ipEnd - this.payload;
    this.sum = sum;
    if (headerLen < TCP_MIN_HEADER_LEN || this.payloadBytes < 0) return ClientFault.Malformed;
    this.seq = tcpSeq(view, tcp) | 0;
    this.ack = tcpAck(view, tcp) | 0;
    this.flags = tcpFlags(view, tcp);
    const ports = view.getUint32(tcp);
    this.clientPort = ports >>> 16;
    this.servicePort = ports & 0xffff;
    const fault = this.#readOptions(view, tcp, headerLen);
    if (fault !== ClientFault.None) return fault;
    const fixed = this.isIpv6 ? IPV6_HEADER_LEN : IPV4_MIN_HEADER_LEN;
    this.isPlain = this.isPlain && tcp - layers.ip === fixed && !layers.ipLengthZero;
    if (sum !== SumState.Unknown) return ClientFault.None;
    const total = pseudoHeaderSum(
      view,
      this.srcAt,
      this.srcAt + this.addressBytes,
      this.addressBytes,
      6,
      layers.ipEnd - tcp,
    );
    if (checksumFinish(checksumAdd(view, tcp, layers.ipEnd, total)) !== 0) return ClientFault.BadChecksum;
    this.sum = SumState.True;
    return ClientFault.None;
  }

  #readOptions(view: DataView, tcp: number, headerLen: number): ClientFault {
    const optionBytes = headerLen - TCP_MIN_HEADER_LEN;
    this.hasTimestamps = false;
    this.mss = 0;
    this.shift = -1;
    this.hasSackPermitted = false;
    this.isPlain = true;
    if (optionBytes === 0) return this.#checkFlags();
    const first = tcp + TCP_MIN_HEADER_LEN;
    if (optionBytes === ALIGNED_TIMESTAMPS_LEN && view.getUint32(first) === ALIGNED_TIMESTAMPS) {
      this.hasTimestamps = true;
      this.tsValue = view.getInt32(first + 4);
      return this.#checkFlags();
    }
    this.isPlain = false;
    if (checkTcpOptions(view, tcp) !== Wire.Ok) return ClientFault.Malformed;
    const timestamps = findTcpOption(view, tcp, TcpOption.Timestamps);
    if (timestamps >= 0) {
      this.hasTimestamps = true;
      this.tsValue = tcpTimestampValue(view, timestamps) | 0;
    }
    if ((this.flags & TcpFlag.Syn) !== 0) this.#readSynOptions(view, tcp);
    return this.#checkFlags();
  }

  #readSynOptions(view: DataView, tcp: number): void {
    const mss = findTcpOption(view, tcp, TcpOption.Mss);
    if (mss >= 0) this.mss = tcpMss(view, mss);
    const shift = findTcpOption(view, tcp, TcpOption.WindowScale);
    if (shift >= 0) this.shift = Math.min(tcpWindowScale(view, shift), TCP_WINDOW_SCALE_MAX);
    this.hasSackPermitted = findTcpOption(view, tcp, TcpOption.SackPermitted) >= 0;
  }

  /** A client sends SYN alone, never SYN with ACK, FIN or RST; and every other segment but a RST has ACK. */
  #checkFlags(): ClientFault {
    const flags = this.flags;
    if ((flags & TcpFlag.Syn) !== 0) {
      return (flags & (TcpFlag.Ack | TcpFlag.Fin | TcpFlag.Rst)) === 0 ? ClientFault.None : ClientFault.Malformed;
    }
    if ((flags & (TcpFlag.Ack | TcpFlag.Rst)) === 0) return ClientFault.Malformed;
    return (flags & TcpFlag.Rst) !== 0 && (flags & TcpFlag.Fin) !== 0 ? ClientFault.Malformed : ClientFault.None;
  }
}
