/**
 * HOT: the packet that an ICMP or ICMPv6 error quotes. It travelled the other way, so it is edited as a packet of the
 * opposite direction; the error then still belongs to its (rewritten) flow. Its own sums stay as true as they were,
 * where they were captured, and so does the error's.
 */
import { sumDelta32 } from '../wire/checksum.ts';
import { icmpChecksumAt } from '../wire/icmp.ts';
import { icmpv6ChecksumAt } from '../wire/icmpv6.ts';
import {
  IPV4_MIN_HEADER_LEN,
  ipv4Checksum,
  ipv4Dst,
  ipv4FragmentOffset,
  ipv4HeaderLen,
  ipv4Protocol,
  ipv4Src,
  rewriteIpv4Dst,
  rewriteIpv4Src,
} from '../wire/ipv4.ts';
import { IPV6_HEADER_LEN, ipv6DstAt, ipv6NextHeader, ipv6SrcAt } from '../wire/ipv6.ts';
import {
  checkIpv6Extension,
  IPV6_EXTENSIONS_MAX,
  ipv6ExtensionLen,
  ipv6ExtensionNext,
  ipv6FragmentOffset,
  isIpv6Extension,
} from '../wire/ipv6extension.ts';
import { Wire } from '../wire/layers.ts';
import { IpProtocol } from '../wire/protocol.ts';
import { seqAdd } from '../wire/seq.ts';
import { setTcpDstPort, setTcpSeq, setTcpSrcPort, tcpDstPort, tcpSeq, tcpSrcPort } from '../wire/tcp.ts';
import type { Frame } from './frame.ts';
import type { AddressEditors } from './ip_editor.ts';
import { applySum, transportSumAt } from './transport_sum.ts';

/** Ports, and TCP's sequence number behind them: the eight bytes that every error quotes. */
const PORTS_LEN = 4;
const SEQUENCE_END = 8;

export class EmbeddedEditor {
  readonly #addresses: AddressEditors;
  readonly #ports: Uint16Array | null;
  readonly #shift: number;
  readonly #editsIpv4: boolean;
  /** Protocol behind the quoted IPv6 header's extension headers, set by `#transport6`. */
  #protocol = -1;

  constructor(addresses: AddressEditors, ports: Uint16Array | null, shift: number, editsIpv4: boolean) {
    this.#addresses = addresses;
    this.#ports = ports;
    this.#shift = shift;
    this.#editsIpv4 = editsIpv4;
  }

  /** Preconditions: `frame.layers.embedded >= 0`. */
  edit(frame: Frame): void {
    const { view, layers } = frame;
    const isV4 = layers.l4Protocol === IpProtocol.Icmp;
    if (isV4 !== (layers.ipVersion === 4) || (isV4 && !this.#editsIpv4)) return;
    const delta = isV4 ? this.#edit4(frame, layers.embedded) : this.#edit6(frame, layers.embedded);
    if (delta === 0) return;
    const at = isV4 ? icmpChecksumAt(layers.l4) : icmpv6ChecksumAt(layers.l4);
    applySum(view, at, layers.l4Protocol, delta);
    frame.changed = true;
  }

  /** Returns the change of the sum over the quoted bytes. */
  #edit4(frame: Frame, ip: number): number {
    const { view, layers } = frame;
    const back = 1 - frame.direction;
    const headerSum = ipv4Checksum(view, ip);
    let pseudo = 0;
    const source = ipv4Src(view, ip) | 0;
    const newSource = this.#addresses.source[back]!.map4(source);
    if (newSource !== source) {
      rewriteIpv4Src(view, ip, newSource);
      pseudo = sumDelta32(pseudo, source, newSource);
    }
    const destination = ipv4Dst(view, ip) | 0;
    const newDestination = this.#addresses.destination[back]!.map4(destination);
    if (newDestination !== destination) {
      rewriteIpv4Dst(view, ip, newDestination);
      pseudo = sumDelta32(pseudo, destination, newDestination);
    }
    const delta = pseudo === 0 ? 0 : sumDelta32(pseudo, headerSum, ipv4Checksum(view, ip));
    const headerLen = ipv4HeaderLen(view, ip);
    if (ipv4FragmentOffset(view, ip) !== 0 || headerLen < IPV4_MIN_HEADER_LEN) return delta;
    const l4 = ip + headerLen;
    return this.#editTransport(view, l4, layers.ipEnd, ipv4Protocol(view, ip), 4, pseudo, delta);
  }

  #edit6(frame: Frame, ip: number): number {
    const { view, layers } = frame;
    const back = 1 - frame.direction;
    const source = this.#addresses.source[back]!.edit6(view, ipv6SrcAt(ip));
    const pseudo = source + this.#addresses.destination[back]!.edit6(view, ipv6DstAt(ip));
    const l4 = this.#transport6(view, ip, layers.ipEnd);
    return l4 < 0 ? pseudo : this.#editTransport(view, l4, layers.ipEnd, this.#protocol, 6, pseudo, pseudo);
  }

  /** Offset behind the extension headers, or -1 in a later fragment or where they are cut. */
  #transport6(view: DataView, ip: number, end: number): number {
    let protocol = ipv6NextHeader(view, ip);
    let at = ip + IPV6_HEADER_LEN;
    for (let n = 0; isIpv6Extension(protocol); n++) {
      if (n === IPV6_EXTENSIONS_MAX || checkIpv6Extension(view, at, end, protocol) !== Wire.Ok) return -1;
      if (protocol === IpProtocol.Fragment && ipv6FragmentOffset(view, at) !== 0) return -1;
      const length = ipv6ExtensionLen(view, at, protocol);
      protocol = ipv6ExtensionNext(view, at);
      at += length;
    }
    this.#protocol = protocol;
    return at;
  }

  /** `pseudo`: change of the pseudo-header's sum. Returns `delta` grown by what is changed here. */
  #editTransport(
    view: DataView,
    l4: number,
    end: number,
    protocol: number,
    version: number,
    pseudo: number,
    delta: number,
  ): number {
    let own = 0;
    const hasPorts = protocol === IpProtocol.Tcp || protocol === IpProtocol.Udp;
    if (hasPorts && this.#ports !== null && l4 + PORTS_LEN <= end) own = this.#editPorts(view, l4, this.#ports);
    if (protocol === IpProtocol.Tcp && this.#shift !== 0 && l4 + SEQUENCE_END <= end) {
      const before = tcpSeq(view, l4);
      const after = seqAdd(before, this.#shift);
      setTcpSeq(view, l4, after);
      own = sumDelta32(own, before, after);
    }
    let total = delta + own;
    const covered = pseudo + own;
    const sumAt = transportSumAt(l4, protocol, version);
    if (covered !== 0 && sumAt >= 0 && sumAt + 2 <= end) {
      const before = view.getUint16(sumAt);
      applySum(view, sumAt, protocol, covered);
      total += sumDelta32(0, before, view.getUint16(sumAt));
    }
    return total;
  }

  /** UDP has its ports where TCP has them. */
  #editPorts(view: DataView, l4: number, ports: Uint16Array): number {
    const source = tcpSrcPort(view, l4);
    const destination = tcpDstPort(view, l4);
    const newSource = ports[source]!;
    const newDestination = ports[destination]!;
    if (newSource === source && newDestination === destination) return 0;
    setTcpSrcPort(view, l4, newSource);
    setTcpDstPort(view, l4, newDestination);
    return sumDelta32(0, source * 0x1_0000 + destination, newSource * 0x1_0000 + newDestination);
  }
}
