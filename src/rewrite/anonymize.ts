/**
 * HOT: frames without the people in them: addresses become pseudonyms at every layer, in tunnels and in the packets
 * that errors quote; payloads are kept, zeroed or cut. Checksums stay as true as they were.
 *
 * What is not understood is not let through: behind the last header that is known, an undecodable frame and a protocol
 * that is neither IP nor ARP are zeroed, whatever the payload policy (`counters.opaque`).
 *
 * Out of reach: addresses inside payloads that are kept (DNS answers, SIP, FTP, HTTP), IPv6 home address options, and
 * the transport checksum of fragmented packets whose payload is zeroed.
 */
import type { FrameBatch } from '../base/batch.ts';
import { decode } from '../wire/decode.ts';
import { ETHERNET_HEADER_LEN } from '../wire/ethernet.ts';
import { checkGre, greChecksumAt, greHeaderLen } from '../wire/gre.ts';
import { LayerKind, Layers, Wire } from '../wire/layers.ts';
import { Linktype } from '../wire/linktype.ts';
import { MPLS_ENTRY_LEN } from '../wire/mpls.ts';
import { PPPOE_HEADER_LEN } from '../wire/pppoe.ts';
import { IpProtocol } from '../wire/protocol.ts';
import { computeSctpChecksum, SCTP_HEADER_LEN, sctpChecksum, setSctpChecksum } from '../wire/sctp.ts';
import { TCP_MIN_HEADER_LEN, tcpHeaderLen } from '../wire/tcp.ts';
import { UDP_HEADER_LEN } from '../wire/udp.ts';
import { VLAN_TAG_LEN } from '../wire/vlan.ts';
import { VXLAN_HEADER_LEN } from '../wire/vxlan.ts';
import { AddressPseudonyms } from './anonymize_addresses.ts';
import { HeaderAnonymizer } from './anonymize_headers.ts';
import type { AnonymizeSpec } from './anonymize_spec.ts';
import { CoveringSums } from './anonymize_sums.ts';
import { Edit, type EditStatus } from './rewriter.ts';

export class AnonymizeCounters {
  /** Frames seen; frames with an address or payload changed; frames with parts that were not understood, zeroed. */
  frames = 0;
  edited = 0;
  opaque = 0;
  /** Bytes zeroed and bytes cut off. */
  zeroedBytes = 0;
  cutBytes = 0;
}

export interface Anonymizer {
  readonly counters: Readonly<AnonymizeCounters>;
  /** Edits frame `i` in place; `caplen` of the batch follows where the payload is cut, `len` stays. */
  edit(batch: FrameBatch, i: number): EditStatus;
}

class FrameAnonymizer implements Anonymizer {
  readonly counters: AnonymizeCounters = new AnonymizeCounters();
  readonly #zeroes: boolean;
  readonly #cuts: boolean;
  readonly #layers: Layers = new Layers();
  readonly #sums: CoveringSums = new CoveringSums();
  readonly #headers: HeaderAnonymizer;
  /** First byte that is payload of the innermost packet; -1: there is none. */
  #payload = -1;
  /** Nothing behind `#payload` is understood. */
  #isOpaque = false;

  constructor(spec: AnonymizeSpec) {
    this.#zeroes = spec.payload === 'zero';
    this.#cuts = spec.payload === 'cut';
    const pseudonyms = new AddressPseudonyms(spec.key, spec.scope === 'all', spec.keepOui ?? false);
    this.#headers = new HeaderAnonymizer(pseudonyms, this.#sums);
  }

  edit(batch: FrameBatch, i: number): EditStatus {
    const view = batch.region.view;
    const at = batch.at[i]!;
    const end = at + batch.caplen[i]!;
    const layers = this.#layers;
    const counters = this.counters;
    counters.frames++;
    decode(view, at, end, batch.linktype[i]!, layers);
    this.#sums.begin(view);
    this.#headers.begin(view, layers);
    this.#payload = at;
    this.#isOpaque = true;
    this.#link(at, end, batch.linktype[i]!);
    for (let n = 0; n < layers.count; n++) this.#layer(view, n);
    if (layers.status !== Wire.Ok || layers.innerStatus !== Wire.Ok) this.#fault(end);
    const isEdited = this.#settlePayload(view, batch, i, at, end) || this.#headers.changed;
    if (this.#isOpaque) counters.opaque++;
    if (!isEdited) return Edit.Unchanged;
    counters.edited++;
    return Edit.Edited;
  }

  /** Link headers other than Ethernet that hold addresses. */
  #link(at: number, end: number, linktype: number): void {
    const { macs, ieee80211 } = this.#layers;
    if (macs >= 0) {
      this.#headers.mac(macs);
      this.#headers.mac(macs + 6);
    } else if (ieee80211 >= 0) this.#headers.ieee80211(ieee80211, end);
    else if (linktype === Linktype.LINUX_SLL && end - at >= 16) this.#headers.cooked(at + 4, 2, at + 6);
    else if (linktype === Linktype.LINUX_SLL2 && end - at >= 20) this.#headers.cooked(at + 11, 1, at + 12);
    if (this.#layers.l3 >= 0) this.#payload = this.#layers.l3;
  }

  /** Edits layer `n`, pushes the sums that cover what it carries, and notes where its payload begins. */
  #layer(view: DataView, n: number): void {
    const layers = this.#layers;
    const at = layers.at[n]!;
    const end = layers.end[n]!;
    switch (layers.kind[n]) {
      case LayerKind.Link:
        return;
      case LayerKind.Ethernet:
        this.#headers.mac(at);
        this.#headers.mac(at + 6);
        this.#carries(at + ETHERNET_HEADER_LEN, true);
        return;
      case LayerKind.Vlan:
        this.#carries(at + VLAN_TAG_LEN, true);
        return;
      case LayerKind.Mpls:
        this.#carries(at + MPLS_ENTRY_LEN, true);
        return;
      case LayerKind.Pppoe:
        this.#carries(at + PPPOE_HEADER_LEN, true);
        return;
      case LayerKind.Arp:
        this.#payload = this.#headers.arp(at, end);
        this.#isOpaque = this.#payload === at;
        return;
      case LayerKind.Ipv4:
      case LayerKind.Ipv6:
        this.#carries(this.#headers.ip(n), false);
        return;
      case LayerKind.Gre:
        this.#gre(view, at, end);
        return;
      case LayerKind.Vxlan:
        this.#carries(at + VXLAN_HEADER_LEN, true);
        return;
      default:
        this.#transport(view, n, at, end);
    }
  }

  #carries(payload: number, isOpaque: boolean): void {
    this.#payload = payload;
    this.#isOpaque = isOpaque;
  }

  #gre(view: DataView, at: number, end: number): void {
    if (checkGre(view, at, end) !== Wire.Ok) {
      this.#carries(at, true);
      return;
    }
    const sumAt = greChecksumAt(view, at);
    if (sumAt >= 0) this.#sums.push(sumAt, at, end, false);
    this.#carries(at + greHeaderLen(view, at), true);
  }

  #transport(view: DataView, n: number, at: number, end: number): void {
    switch (this.#layers.kind[n]) {
      case LayerKind.Tcp: {
        const headerLen = tcpHeaderLen(view, at);
        this.#carries(Math.min(end, at + Math.max(headerLen, TCP_MIN_HEADER_LEN)), false);
        return;
      }
      case LayerKind.Udp:
        this.#carries(at + UDP_HEADER_LEN, false);
        return;
      case LayerKind.Sctp:
        this.#carries(at + SCTP_HEADER_LEN, false);
        return;
      case LayerKind.Icmp:
        this.#carries(this.#headers.icmp(at, end), false);
        return;
      case LayerKind.Icmpv6:
        this.#carries(this.#headers.icmpv6(at, end), false);
        return;
      default:
        this.#carries(at, false);
        return;
    }
  }

  /** The pass has stopped at a header that is cut or wrong: nothing behind what it knows may stay. */
  #fault(end: number): void {
    const layers = this.#layers;
    const last = layers.count === 0 ? 0 : layers.kind[layers.count - 1]!;
    // a TCP header whose options are cut or malformed is still followed by payload only
    if (last === LayerKind.Tcp) return;
    if (this.#payload <= end) this.#isOpaque = true;
  }

  /** Zeroes or cuts what the policy, or caution, wants gone. Returns whether anything changed. */
  #settlePayload(view: DataView, batch: FrameBatch, i: number, at: number, end: number): boolean {
    const from = this.#payload;
    if (from < at || from >= end) return false;
    if (this.#cuts) {
      batch.caplen[i] = from - at;
      this.counters.cutBytes += end - from;
      return true;
    }
    if (!this.#zeroes && !this.#isOpaque) return false;
    const { l4, l4Protocol, ipEnd, ipCut, fragment } = this.#layers;
    const sctp = l4Protocol === IpProtocol.Sctp && l4 >= 0 && !ipCut && fragment === 0 && from < ipEnd ? l4 : -1;
    const wasTrue = sctp >= 0 && sctpChecksum(view, sctp) === computeSctpChecksum(view, sctp, ipEnd);
    // padding behind the packet is nobody's checksum, and may hold leftovers of others
    const inner = Math.max(from, this.#headers.innermostEnd(end));
    const outer = Math.max(inner, ipEnd);
    this.#sums.zero(from, inner);
    this.#sums.zero(inner, outer);
    this.#sums.zero(outer, end);
    if (wasTrue) setSctpChecksum(view, sctp, computeSctpChecksum(view, sctp, ipEnd));
    this.counters.zeroedBytes += end - from;
    return true;
  }
}

export { type AnonymizeSpec, parsePayloadPolicy, readAnonymizeKey } from './anonymize_spec.ts';

/** The key is expanded once; the caches take 1.2 MiB. */
export function openAnonymizer(spec: AnonymizeSpec): Anonymizer {
  return new FrameAnonymizer(spec);
}
