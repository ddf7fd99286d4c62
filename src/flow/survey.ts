/**
 * HOT: describes a capture in one pass over its frames: lengths, times, protocols, hosts, flows, TCP connections, and
 * everything that a replay would stumble over. Memory does not grow with the capture. Budget 400 ns a packet.
 */
import type { FrameBatch } from '../base/batch.ts';
import { checksumFold, pseudoHeaderSum } from '../wire/checksum.ts';
import { ipv4SrcAt } from '../wire/ipv4.ts';
import { IPV6_ADDRESS_LEN, ipv6SrcAt } from '../wire/ipv6.ts';
import { Fragment, Wire } from '../wire/layers.ts';
import { IpProtocol } from '../wire/protocol.ts';
import { TCP_MIN_HEADER_LEN, tcpChecksum } from '../wire/tcp.ts';
import { coveredDstAt } from '../wire/transport.ts';
import { udpChecksum } from '../wire/udp.ts';
import { Checksum, verifyIpChecksum, verifyTransportChecksum } from '../wire/verify.ts';
import { IpEnds } from './ip_ends.ts';
import { SurveyHosts } from './survey_hosts.ts';
import { SurveyProtocols } from './survey_protocols.ts';
import { SurveyTime } from './survey_time.ts';
import { FlowTable } from './table.ts';
import { TcpConnections } from './tcp_connections.ts';

/** Least lengths of the size classes, bytes on the wire. */
export const SIZE_CLASSES: readonly number[] = [0, 64, 128, 256, 512, 1024, 1519, 4096, 9019];

/** What is counted together with the number of the first such packet. */
export const Finding = {
  /** Captured shorter than on the wire. */
  Cut: 0,
  /** Captured longer than on the wire, which cannot be. */
  Overlong: 1,
  /** No byte captured. */
  Empty: 2,
  /** IP packet (or what stands in its place) longer than the MTU. */
  Oversize: 3,
  /** Headers cut by the end of the frame. */
  HeaderCut: 4,
  /** A length or version field contradicts the rest. */
  Malformed: 5,
  /** IP length 0: captured in front of segmentation offload. */
  IpLengthZero: 6,
  IpChecksumFalse: 7,
  TransportChecksumFalse: 8,
  /** Only the pseudo-header is summed: captured in front of checksum offload. */
  TransportChecksumPartial: 9,
} as const;
export type Finding = (typeof Finding)[keyof typeof Finding];
export const FINDINGS = 10;

export class Survey {
  packets = 0;
  capturedBytes = 0;
  wireBytes = 0;
  sizeMin = 0;
  sizeMax = 0;
  /** Number of the longest packet. */
  sizeMaxAt = 0;
  /** Longest that stands where an IP packet stands, bytes. */
  networkBytesMax = 0;
  readonly sizes: Float64Array = new Float64Array(SIZE_CLASSES.length);
  readonly linktypes: Map<number, number> = new Map();
  readonly interfaces: Map<number, number> = new Map();
  readonly findings: Float64Array = new Float64Array(FINDINGS);
  readonly findingFirst: Float64Array = new Float64Array(FINDINGS);
  /** Verdicts by `Checksum`. */
  readonly ipChecksums: Float64Array = new Float64Array(4);
  readonly transportChecksums: Float64Array = new Float64Array(4);
  readonly time: SurveyTime = new SurveyTime();
  readonly protocols: SurveyProtocols = new SurveyProtocols();
  readonly hosts: SurveyHosts = new SurveyHosts();
  readonly flows: FlowTable = new FlowTable();
  readonly tcp: TcpConnections = new TcpConnections();
  readonly #ends = new IpEnds();
  readonly #mtu: number;

  /** `mtu`: bytes of the longest packet that the network would take, without its link header. */
  constructor(mtu: number) {
    this.#mtu = mtu;
  }

  take(batch: FrameBatch): void {
    for (let i = 0; i < batch.count; i++) this.#frame(batch, i, batch.numberFirst + i);
    this.#countRuns(batch);
    this.packets += batch.count;
  }

  /** Link types and interfaces rarely change from frame to frame. */
  #countRuns(batch: FrameBatch): void {
    let from = 0;
    for (let i = 1; i <= batch.count; i++) {
      const same =
        i < batch.count &&
        batch.linktype[i] === batch.linktype[from] &&
        batch.interfaceIndex[i] === batch.interfaceIndex[from];
      if (same) continue;
      const linktype = batch.linktype[from]!;
      const index = batch.interfaceIndex[from]!;
      this.linktypes.set(linktype, (this.linktypes.get(linktype) ?? 0) + i - from);
      this.interfaces.set(index, (this.interfaces.get(index) ?? 0) + i - from);
      from = i;
    }
  }

  #frame(batch: FrameBatch, i: number, number: number): void {
    const caplen = batch.caplen[i]!;
    const length = batch.len[i]!;
    this.#length(number, caplen, length);
    this.time.note(number, batch.sec[i]!, batch.nsec[i]!, length);
    const ends = this.#ends;
    const isIp = ends.decode(batch, i);
    const layers = ends.layers;
    this.protocols.note(batch, i, layers);
    this.flows.note(batch.region.view, layers, batch.sec[i]!);
    if (layers.status === Wire.Truncated) this.#find(Finding.HeaderCut, number);
    else if (layers.status === Wire.BadLength || layers.status === Wire.BadVersion)
      this.#find(Finding.Malformed, number);
    if (layers.l3 >= 0) this.#network(number, length - (layers.l3 - batch.at[i]!));
    if (!isIp) return;
    this.hosts.note(batch, i, ends);
    if (layers.ipLengthZero) this.#find(Finding.IpLengthZero, number);
    this.#checksums(batch.region.view, number);
    const isTcp = layers.l4 >= 0 && layers.l4Protocol === IpProtocol.Tcp && layers.fragment === Fragment.None;
    if (isTcp && layers.ipEnd - layers.l4 >= TCP_MIN_HEADER_LEN) {
      this.tcp.note(batch.region.view, layers, batch.at[i]!, length);
    }
  }

  #length(number: number, caplen: number, length: number): void {
    this.capturedBytes += caplen;
    this.wireBytes += length;
    if (this.time.packets === 0 || length < this.sizeMin) this.sizeMin = length;
    if (length > this.sizeMax) {
      this.sizeMax = length;
      this.sizeMaxAt = number;
    }
    let size = SIZE_CLASSES.length - 1;
    while (length < SIZE_CLASSES[size]!) size--;
    this.sizes[size]!++;
    if (caplen === 0) this.#find(Finding.Empty, number);
    else if (caplen < length) this.#find(Finding.Cut, number);
    else if (caplen > length) this.#find(Finding.Overlong, number);
  }

  #network(number: number, bytes: number): void {
    if (bytes > this.networkBytesMax) this.networkBytesMax = bytes;
    if (bytes > this.#mtu) this.#find(Finding.Oversize, number);
  }

  #checksums(view: DataView, number: number): void {
    const layers = this.#ends.layers;
    const ip = verifyIpChecksum(view, layers);
    this.ipChecksums[ip]!++;
    if (ip === Checksum.False) this.#find(Finding.IpChecksumFalse, number);
    const transport = verifyTransportChecksum(view, layers);
    this.transportChecksums[transport]!++;
    if (transport !== Checksum.False) return;
    this.#find(this.#isPartial(view) ? Finding.TransportChecksumPartial : Finding.TransportChecksumFalse, number);
  }

  /** The field holds the sum of the pseudo-header, as the kernel leaves it for the network card to complete. */
  #isPartial(view: DataView): boolean {
    const layers = this.#ends.layers;
    const l4 = layers.l4;
    const protocol = layers.l4Protocol;
    if (protocol !== IpProtocol.Tcp && protocol !== IpProtocol.Udp) return false;
    const field = protocol === IpProtocol.Tcp ? tcpChecksum(view, l4) : udpChecksum(view, l4);
    const isV4 = layers.ipVersion === 4;
    const srcAt = isV4 ? ipv4SrcAt(layers.ip) : ipv6SrcAt(layers.ip);
    const length = layers.ipEnd - l4;
    const addressBytes = isV4 ? 4 : IPV6_ADDRESS_LEN;
    return (
      field === checksumFold(pseudoHeaderSum(view, srcAt, coveredDstAt(view, layers), addressBytes, protocol, length))
    );
  }

  #find(finding: Finding, number: number): void {
    if (this.findings[finding] === 0) this.findingFirst[finding] = number;
    this.findings[finding]!++;
  }
}
