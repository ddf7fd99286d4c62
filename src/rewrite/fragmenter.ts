/**
 * HOT: IP fragmentation: RFC 791 section 3.2 (options without the copied flag stay in the first fragment), RFC 8200
 * section 4.5 (a Fragment header behind the per-hop headers). Fragments are fragmented further.
 */
import {
  fixIpv4Checksum,
  IPV4_MIN_HEADER_LEN,
  IPV4_MORE_FRAGMENTS,
  Ipv4Option,
  ipv4DontFragment,
  ipv4FragmentOffset,
  ipv4HeaderLen,
  ipv4Id,
  ipv4MoreFragments,
  setIpv4Fragment,
  setIpv4HeaderLen,
  setIpv4Id,
  setIpv4TotalLen,
} from '../wire/ipv4.ts';
import { IPV6_HEADER_LEN, ipv6NextHeader, setIpv6NextHeader, setIpv6PayloadLen } from '../wire/ipv6.ts';
import {
  checkIpv6Extension,
  IPV6_EXTENSIONS_MAX,
  IPV6_FRAGMENT_LEN,
  ipv6ExtensionLen,
  ipv6ExtensionNext,
  ipv6FragmentId,
  ipv6FragmentOffset,
  ipv6MoreFragments,
  isIpv6Extension,
  setIpv6ExtensionNext,
  setIpv6Fragment,
} from '../wire/ipv6extension.ts';
import { type Layers, Wire } from '../wire/layers.ts';
import { IpProtocol } from '../wire/protocol.ts';
import type { Emitter } from './emitter.ts';
import { Split, type SplitStatus } from './split.ts';

const COPIED = 0x80;
const UNIT = 8;
/** Nothing longer can be put together again. */
const PACKET_MAX = 0xffff;

export class Fragmenter {
  readonly #emitter: Emitter;
  readonly #layers: Layers;
  /** Packets whose "don't fragment" was not obeyed. */
  dontFragmentIgnored = 0;
  #nextId = 1;
  // IPv6: offset of the field that names the Fragment header, and end of the part in front of it.
  #nextHeaderAt = 0;
  #perHopEnd = 0;
  #nextHeader = 0;

  constructor(emitter: Emitter, layers: Layers) {
    this.#emitter = emitter;
    this.#layers = layers;
  }

  /**
   * Emits the fragments of the frame at `at`, none longer than `frameBytesMax`. Preconditions: `layers` are the
   * frame's and hold an IP header; `emitter.begin` was called.
   */
  split(at: number, frameBytesMax: number, framesMax: number): SplitStatus {
    return this.#layers.ipVersion === 4
      ? this.#split4(at, frameBytesMax, framesMax)
      : this.#split6(at, frameBytesMax, framesMax);
  }

  #split4(at: number, frameBytesMax: number, framesMax: number): SplitStatus {
    const { ip, ipEnd } = this.#layers;
    const { view, bytes } = this.#emitter.region!;
    const headerLen = ipv4HeaderLen(view, ip);
    const total = ipEnd - ip - headerLen;
    const unit = (frameBytesMax - (ip - at) - headerLen) & -UNIT;
    const before = ipv4FragmentOffset(view, ip);
    if (unit < UNIT || total <= 0 || Math.ceil(total / unit) > framesMax) return Split.NotSplittable;
    if (before + total + headerLen > PACKET_MAX) return Split.NotSplittable;
    const dontFragment = ipv4DontFragment(view, ip);
    const more = ipv4MoreFragments(view, ip);
    const id = dontFragment && ipv4Id(view, ip) === 0 ? this.#freshId() & 0xffff : ipv4Id(view, ip);
    for (let offset = 0; offset < total; offset += unit) {
      const length = Math.min(unit, total - offset);
      const linkLen = ip - at;
      const to = this.#emitter.frame(linkLen + headerLen + length);
      if (to < 0) return Split.NoRoom;
      const out = to + linkLen;
      bytes.copyWithin(to, at, ip + headerLen);
      const outLen = offset === 0 ? headerLen : dropOptions(view, bytes, out, headerLen);
      bytes.copyWithin(out + outLen, ip + headerLen + offset, ip + headerLen + offset + length);
      if (outLen < headerLen) this.#emitter.shorten(headerLen - outLen);
      const isLast = offset + length === total;
      setIpv4TotalLen(view, out, outLen + length);
      setIpv4Id(view, out, id);
      setIpv4Fragment(view, out, !isLast || more ? IPV4_MORE_FRAGMENTS : 0, before + offset);
      fixIpv4Checksum(view, out);
      this.#emitter.fixLinkLengths(to, linkLen + outLen + length);
    }
    if (dontFragment) this.dontFragmentIgnored++;
    return Split.Done;
  }

  #split6(at: number, frameBytesMax: number, framesMax: number): SplitStatus {
    const { ip, ipEnd, ipv6Fragment } = this.#layers;
    const { view, bytes } = this.#emitter.region!;
    if (!this.#findPerHopEnd(view)) return Split.NotSplittable;
    const perHop = this.#perHopEnd;
    const body = ipv6Fragment >= 0 ? ipv6Fragment + IPV6_FRAGMENT_LEN : perHop;
    const headerLen = perHop - at + IPV6_FRAGMENT_LEN;
    const total = ipEnd - body;
    const unit = (frameBytesMax - headerLen) & -UNIT;
    if (unit < UNIT || total <= 0 || Math.ceil(total / unit) > framesMax) return Split.NotSplittable;
    const before = ipv6Fragment >= 0 ? ipv6FragmentOffset(view, ipv6Fragment) : 0;
    if (before + total > PACKET_MAX) return Split.NotSplittable;
    const more = ipv6Fragment >= 0 && ipv6MoreFragments(view, ipv6Fragment);
    const id = ipv6Fragment >= 0 ? ipv6FragmentId(view, ipv6Fragment) : this.#freshId();
    for (let offset = 0; offset < total; offset += unit) {
      const length = Math.min(unit, total - offset);
      const to = this.#emitter.frame(headerLen + length);
      if (to < 0) return Split.NoRoom;
      bytes.copyWithin(to, at, perHop);
      bytes.copyWithin(to + headerLen, body + offset, body + offset + length);
      const out = to + ip - at;
      this.#setNextHeader(view, to - at);
      setIpv6PayloadLen(view, out, to + headerLen + length - out - IPV6_HEADER_LEN);
      const isLast = offset + length === total;
      setIpv6Fragment(view, to + perHop - at, this.#nextHeader, before + offset, !isLast || more, id);
      this.#emitter.fixLinkLengths(to, headerLen + length);
    }
    return Split.Done;
  }

  /** Fragment identification for packets that had none. */
  #freshId(): number {
    const id = this.#nextId;
    this.#nextId = (id + 1) >>> 0 || 1;
    return id;
  }

  /**
   * Finds the end of the headers that every router looks at: hop-by-hop options, routing, and destination options
   * before routing. False where the chain is cut.
   */
  #findPerHopEnd(view: DataView): boolean {
    const { ip, ipEnd, ipv6Fragment } = this.#layers;
    let protocol = ipv6NextHeader(view, ip);
    let at = ip + IPV6_HEADER_LEN;
    let previous = -1;
    this.#nextHeaderAt = -1;
    this.#perHopEnd = at;
    this.#nextHeader = protocol;
    for (let n = 0; n < IPV6_EXTENSIONS_MAX && isIpv6Extension(protocol); n++) {
      if (checkIpv6Extension(view, at, ipEnd, protocol) !== Wire.Ok) return false;
      const next = ipv6ExtensionNext(view, at);
      if (at === ipv6Fragment) {
        this.#nextHeaderAt = previous;
        this.#perHopEnd = at;
        this.#nextHeader = next;
        return true;
      }
      const length = ipv6ExtensionLen(view, at, protocol);
      if (protocol === IpProtocol.HopByHop || protocol === IpProtocol.Routing) {
        this.#nextHeaderAt = at;
        this.#perHopEnd = at + length;
        this.#nextHeader = next;
      }
      previous = at;
      at += length;
      protocol = next;
    }
    return true;
  }

  /** `shift`: from the packet's offsets to the fragment's. `#nextHeaderAt` -1: the IPv6 header itself. */
  #setNextHeader(view: DataView, shift: number): void {
    if (this.#nextHeaderAt < 0) setIpv6NextHeader(view, this.#layers.ip + shift, IpProtocol.Fragment);
    else setIpv6ExtensionNext(view, this.#nextHeaderAt + shift, IpProtocol.Fragment);
  }
}

/** Removes the options that only the first fragment carries; returns the new header's length. */
function dropOptions(view: DataView, bytes: Uint8Array, ip: number, headerLen: number): number {
  const end = ip + headerLen;
  let kept = ip + IPV4_MIN_HEADER_LEN;
  let at = kept;
  while (at < end) {
    const kind = view.getUint8(at);
    if (kind === Ipv4Option.End) break;
    if (kind === Ipv4Option.Nop) {
      at += 1;
      continue;
    }
    const length = at + 1 < end ? view.getUint8(at + 1) : 0;
    if (length < 2 || at + length > end) break;
    if ((kind & COPIED) !== 0) {
      bytes.copyWithin(kept, at, at + length);
      kept += length;
    }
    at += length;
  }
  const outLen = (kept - ip + 3) & ~3;
  bytes.fill(Ipv4Option.End, kept, ip + outLen);
  setIpv4HeaderLen(view, ip, outLen);
  return outLen;
}
