/** HOT: edits of lengths: packets that the capture has cut, packets above an MTU, IP lengths that lie. */

import { ETHERNET_HEADER_LEN, ethernetType, setEthernetType } from '../wire/ethernet.ts';
import { ipv4HeaderLen, ipv4TotalLen, rewriteIpv4TotalLen } from '../wire/ipv4.ts';
import { IPV6_HEADER_LEN, ipv6PayloadLen, setIpv6PayloadLen } from '../wire/ipv6.ts';
import { Fragment, findLayer, LayerKind, type Layers } from '../wire/layers.ts';
import { PPPOE_HEADER_LEN, setPppoeLength } from '../wire/pppoe.ts';
import { ETHERTYPE_MIN, IpProtocol } from '../wire/protocol.ts';
import { TCP_MIN_HEADER_LEN } from '../wire/tcp.ts';
import { setUdpLength, UDP_HEADER_LEN, udpLength } from '../wire/udp.ts';
import type { Frame } from './frame.ts';
import type { RewriteSpec } from './spec.ts';

const ICMP_MIN_LEN = 4;
const IP_LENGTH_MAX = 0xffff;

/** After the frame or its IP length shrank: forgets what does not lie in it any more. */
export function clipLayers(frame: Frame): void {
  const { layers, end } = frame;
  if (layers.ip < 0) return;
  if (layers.ipEnd > end) {
    layers.ipEnd = end;
    layers.ipCut = true;
  }
  const fixed = layers.ipVersion === 4 ? 20 : IPV6_HEADER_LEN;
  if (layers.ip + fixed > end) layers.ip = -1;
  if (layers.l4 >= 0 && layers.l4 + transportLen(layers) > layers.ipEnd) layers.l4 = -1;
  if (layers.embedded >= 0 && layers.embedded + fixed > layers.ipEnd) layers.embedded = -1;
  if (layers.payload > layers.ipEnd || layers.l4 < 0) layers.payload = -1;
}

function transportLen(layers: Layers): number {
  if (layers.l4Protocol === IpProtocol.Tcp) return TCP_MIN_HEADER_LEN;
  return layers.l4Protocol === IpProtocol.Udp ? UDP_HEADER_LEN : ICMP_MIN_LEN;
}

export class LengthEditor {
  readonly #mode: RewriteSpec['fixLength'];
  readonly #mtu: number;
  readonly #truncates: boolean;
  readonly #fixesHeader: boolean;
  readonly #fixesUdp: boolean;
  readonly #repairs: boolean;

  constructor(spec: RewriteSpec) {
    this.#mode = spec.fixLength;
    this.#mtu = spec.mtuBytes;
    this.#truncates = spec.mtuTruncate;
    this.#fixesHeader = spec.fixHeaderLength;
    this.#fixesUdp = spec.compat === 'none';
    this.#repairs = spec.compat === 'tcprewrite';
  }

  /** Bytes that are appended to a cut frame. */
  padBytes(frame: Frame): number {
    return this.#mode === 'pad' ? Math.max(0, frame.len - frame.caplen) : 0;
  }

  drops(frame: Frame): boolean {
    return this.#mode === 'delete' && frame.caplen < frame.len;
  }

  /** Cut packets and the MTU. Precondition: `makeRoom(…, padBytes)`. */
  edit(frame: Frame): void {
    if (frame.caplen < frame.len) {
      if (this.#mode === 'pad') this.#pad(frame);
      else if (this.#mode === 'trunc') this.#truncate(frame);
    }
    if (this.#truncates) this.#cutToMtu(frame);
  }

  #pad(frame: Frame): void {
    const { layers, view } = frame;
    frame.bytes.fill(0, frame.end, frame.at + frame.len);
    frame.cutTo(frame.len, frame.len);
    frame.recompute = true;
    if (layers.ip < 0 || layers.ipLengthZero) return;
    const announced = layers.ip + ipLength(view, layers);
    layers.ipCut = announced > frame.end;
    layers.ipEnd = Math.min(announced, frame.end);
  }

  #truncate(frame: Frame): void {
    frame.cutTo(frame.caplen, frame.caplen);
    if (frame.layers.ip < 0 || !frame.layers.ipCut) return;
    this.#setLength(frame, frame.end - frame.layers.ip);
    frame.recompute = true;
  }

  #cutToMtu(frame: Frame): void {
    const { layers, view } = frame;
    if (this.#repairs && layers.ip >= 0) frame.recompute = true;
    const l3 = layers.ip >= 0 ? layers.ip : layers.l3;
    if (l3 < 0) return;
    const limit = l3 - frame.at + this.#mtu;
    if (frame.len <= limit) return;
    const shortens = layers.ip >= 0 && (layers.ipLengthZero || ipLength(view, layers) > this.#mtu);
    frame.cutTo(Math.min(frame.caplen, limit), limit);
    if (shortens) this.#setLength(frame, this.#mtu);
    clipLayers(frame);
    layers.ipCut = layers.ip >= 0 && layers.ip + ipLength(view, layers) > frame.end;
    frame.recompute = true;
  }

  /** PPPoE and 802.3 say how long their payload is, too. */
  #fixLinkLengths(frame: Frame): void {
    const { layers, view } = frame;
    if (layers.ip < 0) return;
    const pppoe = findLayer(layers, LayerKind.Pppoe);
    const length = layers.ip + ipLength(view, layers) - frame.at;
    if (pppoe >= 0) setPppoeLength(view, layers.at[pppoe]!, frame.at + length - layers.at[pppoe]! - PPPOE_HEADER_LEN);
    if (layers.macs !== frame.at || layers.vlan >= 0 || ethernetType(view, frame.at) >= ETHERTYPE_MIN) return;
    setEthernetType(view, frame.at, length - ETHERNET_HEADER_LEN);
  }

  /** `--fixhdrlen`: the IP length becomes what the frame holds. */
  fixHeader(frame: Frame): void {
    const { layers, view } = frame;
    if (!this.#fixesHeader || layers.ip < 0) return;
    if (layers.ipVersion === 4 && layers.fragment !== Fragment.None) return;
    const held = frame.end - layers.ip;
    if (held > IP_LENGTH_MAX || held === ipLength(view, layers)) return;
    if (layers.ipVersion === 4 && held < ipv4HeaderLen(view, layers.ip)) return;
    this.#setLength(frame, held);
    frame.recompute = true;
  }

  /** Sets the IP length (header included), and UDP's where that is longer than its packet now. */
  #setLength(frame: Frame, length: number): void {
    const { layers, view } = frame;
    if (layers.ipVersion === 4) rewriteIpv4TotalLen(view, layers.ip, length);
    else setIpv6PayloadLen(view, layers.ip, length - IPV6_HEADER_LEN);
    frame.changed = true;
    layers.ipEnd = Math.min(layers.ip + length, frame.end);
    layers.ipCut = layers.ip + length > frame.end;
    layers.ipLengthZero = false;
    clipLayers(frame);
    if (this.#fixesUdp) this.#fixLinkLengths(frame);
    const udp = layers.l4;
    if (!this.#fixesUdp || udp < 0 || layers.l4Protocol !== IpProtocol.Udp || layers.fragment !== Fragment.None) return;
    const room = layers.ip + length - udp;
    if (udpLength(view, udp) > room) setUdpLength(view, udp, room);
  }
}

/** What the IP header says, header included; 0 in IPv4 packets captured before segmentation offload. */
function ipLength(view: DataView, layers: Layers): number {
  if (layers.ipVersion === 4) return ipv4TotalLen(view, layers.ip);
  return IPV6_HEADER_LEN + ipv6PayloadLen(view, layers.ip);
}

/**
 * Whether the IP header's length is exactly what the frame had on the wire: the reference tool computes sums of such
 * packets only, and leaves padded ones alone.
 */
export function fillsFrame(frame: Frame): boolean {
  return ipLength(frame.view, frame.layers) === frame.at + frame.len - frame.layers.ip;
}
