/**
 * HOT: frames longer than a device takes, as `--oversize` says: cut, fragmented (IP), or resegmented (TCP; other IP
 * packets are fragmented then). What comes out lies in the region's scratch and is appended to a batch; the frame that
 * went in stays as it is.
 *
 * Segments are what a TSO device makes (Linux, Documentation/networking/segmentation-offloads.rst): sequence numbers go
 * on, FIN and PSH stay on the last one, CWR on the first, IPv4 ids count up, checksums are computed. Packets captured
 * with an IP length of 0 are told by their frame. "Don't fragment" is not obeyed where the operator asks for fragments:
 * the bit is off in them, and `dontFragmentIgnored` counts such packets.
 */
import type { FrameBatch } from '../base/batch.ts';
import { decode } from '../wire/decode.ts';
import { rewriteIpv4TotalLen } from '../wire/ipv4.ts';
import { IPV6_HEADER_LEN, setIpv6PayloadLen } from '../wire/ipv6.ts';
import { Fragment, Layers } from '../wire/layers.ts';
import { IpProtocol } from '../wire/protocol.ts';
import { setUdpLength, UDP_HEADER_LEN, udpLength } from '../wire/udp.ts';
import { fixChecksums } from '../wire/verify.ts';
import { Emitter } from './emitter.ts';
import { Fragmenter } from './fragmenter.ts';
import { Segmenter } from './segmenter.ts';
import { Split, type SplitStatus } from './split.ts';

export { Split, type SplitStatus };

/** Parts that one frame may become: 262,144 bytes at an MSS of 536 and less make more. */
export const SPLIT_FRAMES_MAX = 512;

export class OversizeSplitter {
  readonly #policy: 'truncate' | 'fragment' | 'segment';
  readonly #frameBytesMax: number;
  readonly #layers: Layers = new Layers();
  readonly #emitter: Emitter = new Emitter();
  readonly #segmenter: Segmenter;
  readonly #fragmenter: Fragmenter;

  /** `frameBytesMax`: longest frame of the device, link header and tags included. */
  constructor(policy: 'truncate' | 'fragment' | 'segment', frameBytesMax: number) {
    this.#policy = policy;
    this.#frameBytesMax = frameBytesMax;
    this.#segmenter = new Segmenter(this.#emitter, this.#layers);
    this.#fragmenter = new Fragmenter(this.#emitter, this.#layers);
  }

  get dontFragmentIgnored(): number {
    return this.#fragmenter.dontFragmentIgnored;
  }

  /** Appends what becomes of frame `i` to `out`, a batch of the same region. Precondition: the frame is too long. */
  split(batch: FrameBatch, i: number, out: FrameBatch): SplitStatus {
    const layers = this.#layers;
    const at = batch.at[i]!;
    decode(batch.region.view, at, at + batch.caplen[i]!, batch.linktype[i]!, layers);
    this.#emitter.begin(batch, i, out, layers);
    if (this.#policy === 'truncate') return this.#truncate(batch, i);
    if (layers.ip < 0) return Split.NotSplittable;
    // A frame that is long by its padding alone needs only to lose it.
    if (layers.ipEnd - at <= this.#frameBytesMax) return this.#truncate(batch, i);
    const isWholeTcp = layers.l4Protocol === IpProtocol.Tcp && layers.payload >= 0 && layers.fragment === Fragment.None;
    return this.#policy === 'segment' && isWholeTcp
      ? this.#segmenter.split(at, this.#frameBytesMax, SPLIT_FRAMES_MAX)
      : this.#fragmenter.split(at, this.#frameBytesMax, SPLIT_FRAMES_MAX);
  }

  /** The first bytes, with IP and UDP lengths and checksums to match. */
  #truncate(batch: FrameBatch, i: number): SplitStatus {
    const layers = this.#layers;
    const { view, bytes } = batch.region;
    const at = batch.at[i]!;
    const limit = this.#frameBytesMax;
    if (layers.ip >= 0 && layers.l4 < 0 && layers.fragment !== Fragment.Later) return Split.NotSplittable;
    const headersEnd = Math.max(layers.ip + IPV6_HEADER_LEN, layers.l4, layers.payload) + UDP_HEADER_LEN;
    if (layers.ip >= 0 && headersEnd - at > limit) return Split.NotSplittable;
    const to = this.#emitter.frame(limit);
    if (to < 0) return Split.NoRoom;
    bytes.copyWithin(to, at, at + limit);
    if (layers.ip < 0) return Split.Done;
    const isCut = layers.ipEnd - at > limit;
    decode(view, to, to + limit, batch.linktype[i]!, layers);
    if (layers.ip < 0) return Split.Done;
    if (!isCut && !layers.ipLengthZero) return Split.Done;
    const length = layers.ipEnd - layers.ip;
    if (layers.ipVersion === 4) rewriteIpv4TotalLen(view, layers.ip, length);
    else setIpv6PayloadLen(view, layers.ip, length - IPV6_HEADER_LEN);
    this.#emitter.fixLinkLengths(to, limit);
    layers.ipCut = false;
    const udp = layers.l4;
    const isWholeUdp = udp >= 0 && layers.l4Protocol === IpProtocol.Udp && layers.fragment === Fragment.None;
    if (isWholeUdp && udpLength(view, udp) > layers.ipEnd - udp) setUdpLength(view, udp, layers.ipEnd - udp);
    fixChecksums(view, layers);
    return Split.Done;
  }
}
