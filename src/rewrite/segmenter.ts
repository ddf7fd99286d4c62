/** HOT: cuts a TCP super-packet (GRO, TSO) into segments as a TSO device does. */
import { checksumAdd, checksumFinish, pseudoHeaderSum } from '../wire/checksum.ts';
import { fixIpv4Checksum, ipv4Id, ipv4SrcAt, setIpv4Id, setIpv4TotalLen } from '../wire/ipv4.ts';
import {
  IPV6_ADDRESS_LEN,
  IPV6_HEADER_LEN,
  ipv6NextHeader,
  ipv6PayloadLen,
  ipv6SrcAt,
  setIpv6NextHeader,
  setIpv6PayloadLen,
} from '../wire/ipv6.ts';
import { IPV6_EXTENSION_MIN_LEN, ipv6ExtensionLen, ipv6ExtensionNext, ipv6JumboLen } from '../wire/ipv6extension.ts';
import type { Layers } from '../wire/layers.ts';
import { IpProtocol } from '../wire/protocol.ts';
import { seqAdd } from '../wire/seq.ts';
import {
  setTcpChecksum,
  setTcpFlags,
  setTcpSeq,
  setTcpUrgent,
  TcpFlag,
  tcpFlags,
  tcpSeq,
  tcpUrgent,
} from '../wire/tcp.ts';
import { coveredDstAt } from '../wire/transport.ts';
import type { Emitter } from './emitter.ts';
import { Split, type SplitStatus } from './split.ts';

const IPV4_ADDRESS_LEN = 4;

/** Flags that only the last segment keeps. */
const LAST_ONLY = TcpFlag.Fin | TcpFlag.Psh;
const FIRST_ONLY = TcpFlag.Cwr;

/** One super-packet at a time; the fields describe the one being cut. */
export class Segmenter {
  readonly #emitter: Emitter;
  readonly #layers: Layers;
  #at = 0;
  /** Bytes of the jumbo header that is left out. */
  #jumbo = 0;

  constructor(emitter: Emitter, layers: Layers) {
    this.#emitter = emitter;
    this.#layers = layers;
  }

  /**
   * Emits the segments of the frame at `at`, none longer than `frameBytesMax`. Preconditions: `layers` are the frame's,
   * an unfragmented TCP packet whose header is whole (`payload >= 0`); `emitter.begin` was called.
   */
  split(at: number, frameBytesMax: number, framesMax: number): SplitStatus {
    const layers = this.#layers;
    const { view, bytes } = this.#emitter.region!;
    this.#at = at;
    this.#jumbo = jumboHeaderLen(view, layers);
    const headerLen = layers.payload - at - this.#jumbo;
    const payloadMax = frameBytesMax - headerLen;
    const total = layers.ipEnd - layers.payload;
    if (payloadMax < 1 || total < 1) return Split.NotSplittable;
    const count = Math.ceil(total / payloadMax);
    if (count > framesMax) return Split.NotSplittable;
    for (let n = 0; n < count; n++) {
      const offset = n * payloadMax;
      const length = Math.min(payloadMax, total - offset);
      const to = this.#emitter.frame(headerLen + length);
      if (to < 0) return Split.NoRoom;
      this.#copyHeaders(view, bytes, to);
      bytes.copyWithin(to + headerLen, layers.payload + offset, layers.payload + offset + length);
      this.#emitter.fixLinkLengths(to, headerLen + length);
      this.#finishTcp(view, to, offset, n === count - 1);
      this.#finishIp(view, to, n, headerLen + length);
    }
    return Split.Done;
  }

  #copyHeaders(view: DataView, bytes: Uint8Array, to: number): void {
    const layers = this.#layers;
    const at = this.#at;
    if (this.#jumbo === 0) {
      bytes.copyWithin(to, at, layers.payload);
      return;
    }
    const extension = layers.ip + IPV6_HEADER_LEN;
    bytes.copyWithin(to, at, extension);
    bytes.copyWithin(to + extension - at, extension + this.#jumbo, layers.payload);
    setIpv6NextHeader(view, to + layers.ip - at, ipv6ExtensionNext(view, extension));
  }

  #tcp(to: number): number {
    return this.#layers.l4 - this.#at - this.#jumbo + to;
  }

  #finishTcp(view: DataView, to: number, offset: number, isLast: boolean): void {
    const tcp = this.#tcp(to);
    let flags = tcpFlags(view, tcp);
    if (!isLast) flags &= ~LAST_ONLY;
    if (offset > 0) flags &= ~FIRST_ONLY;
    if ((flags & TcpFlag.Urg) !== 0) {
      const urgent = Math.max(0, tcpUrgent(view, tcp) - offset);
      setTcpUrgent(view, tcp, urgent);
      if (urgent === 0) flags &= ~TcpFlag.Urg;
    }
    setTcpFlags(view, tcp, flags);
    setTcpSeq(view, tcp, seqAdd(tcpSeq(view, tcp), offset));
  }

  /** Lengths, id and both checksums of segment `n`. `frameLen`: bytes of its frame. */
  #finishIp(view: DataView, to: number, n: number, frameLen: number): void {
    const layers = this.#layers;
    const ip = layers.ip - this.#at + to;
    const tcp = this.#tcp(to);
    const end = to + frameLen;
    const isV4 = layers.ipVersion === 4;
    if (isV4) {
      setIpv4TotalLen(view, ip, end - ip);
      setIpv4Id(view, ip, (ipv4Id(view, ip) + n) & 0xffff);
      fixIpv4Checksum(view, ip);
    } else {
      setIpv6PayloadLen(view, ip, end - ip - IPV6_HEADER_LEN);
    }
    // The addresses are those of the packet that is being cut.
    const src = isV4 ? ipv4SrcAt(layers.ip) : ipv6SrcAt(layers.ip);
    const addressLen = isV4 ? IPV4_ADDRESS_LEN : IPV6_ADDRESS_LEN;
    const sum = pseudoHeaderSum(view, src, coveredDstAt(view, layers), addressLen, IpProtocol.Tcp, end - tcp);
    setTcpChecksum(view, tcp, 0);
    setTcpChecksum(view, tcp, checksumFinish(checksumAdd(view, tcp, end, sum)));
  }
}

/** Bytes of a hop-by-hop header that only says the jumbo length (RFC 2675), which segments must not have. */
function jumboHeaderLen(view: DataView, layers: Layers): number {
  const { ip } = layers;
  if (layers.ipVersion !== 6 || ipv6PayloadLen(view, ip) !== 0 || ipv6NextHeader(view, ip) !== IpProtocol.HopByHop) {
    return 0;
  }
  const extension = ip + IPV6_HEADER_LEN;
  if (ipv6ExtensionLen(view, extension, IpProtocol.HopByHop) !== IPV6_EXTENSION_MIN_LEN) return 0;
  return ipv6JumboLen(view, extension) < 0 ? 0 : IPV6_EXTENSION_MIN_LEN;
}
