/**
 * HOT: source and destination host of a frame's outermost IP packet, without decoding more than that where the frame is
 * Ethernet with plain IPv4. Budget 5 ns for such frames, that of `decode` for others.
 */
import type { FrameBatch } from '../base/batch.ts';
import { decode } from '../wire/decode.ts';
import { ipv4DstAt, ipv4SrcAt } from '../wire/ipv4.ts';
import { ipv6DstAt, ipv6SrcAt } from '../wire/ipv6.ts';
import { Fragment, Layers } from '../wire/layers.ts';
import { Linktype } from '../wire/linktype.ts';
import { IpProtocol } from '../wire/protocol.ts';
import { TCP_MIN_HEADER_LEN } from '../wire/tcp.ts';
import { UDP_HEADER_LEN } from '../wire/udp.ts';
import type { HostTable } from './hosts.ts';

/** Ethernet and IPv4 without options. */
const PLAIN_BYTES = 34;
/** EtherType IPv4, version 4, five words of header: the upper three of the bytes 12 to 15. */
const PLAIN_TYPE = 0x080045;
/** More fragments, and the offset (RFC 791 section 3.1). */
const FRAGMENT_BITS = 0x3fff;

export class IpEnds {
  /** 4, 6, or 0 where the last frame holds no IP packet. */
  version = 0;
  /** Offsets of the two addresses in the region. */
  srcAt = 0;
  dstAt = 0;
  readonly layers: Layers = new Layers();
  /** Of the last `findTransport`: as in `Layers`. */
  l4 = -1;
  l4Protocol = -1;
  ipEnd = -1;
  fragment = 0;

  /** Finds the addresses of frame `i`; false when it holds no IP packet. `layers` is not filled. */
  find(batch: FrameBatch, i: number): boolean {
    const view = batch.region.view;
    const at = batch.at[i]!;
    if (batch.linktype[i] === Linktype.EN10MB && batch.caplen[i]! >= PLAIN_BYTES) {
      // A total length below 20 bytes is decode's to judge.
      if (view.getUint32(at + 12) >>> 8 === PLAIN_TYPE && view.getUint16(at + 16) >= 20) {
        this.version = 4;
        this.srcAt = at + 26;
        this.dstAt = at + 30;
        return true;
      }
    }
    return this.decode(batch, i);
  }

  /** As `find`, with the transport's fields filled; `layers` too where the frame is not Ethernet with plain IPv4. */
  findTransport(batch: FrameBatch, i: number): boolean {
    if (this.#isPlainTransport(batch, i)) return true;
    const found = this.decode(batch, i);
    const layers = this.layers;
    this.l4 = layers.l4;
    this.l4Protocol = layers.l4Protocol;
    this.ipEnd = layers.ipEnd;
    this.fragment = layers.fragment;
    return found;
  }

  /** TCP or UDP, the fixed header whole, no fragment: what `decode` would find, at an eighth of its price. */
  #isPlainTransport(batch: FrameBatch, i: number): boolean {
    const caplen = batch.caplen[i]!;
    if (batch.linktype[i] !== Linktype.EN10MB || caplen < PLAIN_BYTES + UDP_HEADER_LEN) return false;
    const view = batch.region.view;
    const at = batch.at[i]!;
    if (view.getUint32(at + 12) >>> 8 !== PLAIN_TYPE || (view.getUint16(at + 20) & FRAGMENT_BITS) !== 0) return false;
    const protocol = view.getUint8(at + 23);
    const header = protocol === IpProtocol.Tcp ? TCP_MIN_HEADER_LEN : UDP_HEADER_LEN;
    if (protocol !== IpProtocol.Tcp && protocol !== IpProtocol.Udp) return false;
    const end = Math.min(view.getUint16(at + 16) + 14, caplen);
    if (end < PLAIN_BYTES + header) return false;
    this.version = 4;
    this.srcAt = at + 26;
    this.dstAt = at + 30;
    this.l4 = at + PLAIN_BYTES;
    this.l4Protocol = protocol;
    this.ipEnd = at + end;
    this.fragment = Fragment.None;
    return true;
  }

  /** The same, with `layers` filled. */
  decode(batch: FrameBatch, i: number): boolean {
    const at = batch.at[i]!;
    const layers = this.layers;
    decode(batch.region.view, at, at + batch.caplen[i]!, batch.linktype[i]!, layers);
    const ip = layers.ip;
    this.version = 0;
    if (ip < 0) return false;
    this.version = layers.ipVersion;
    this.srcAt = this.version === 4 ? ipv4SrcAt(ip) : ipv6SrcAt(ip);
    this.dstAt = this.version === 4 ? ipv4DstAt(ip) : ipv6DstAt(ip);
    return true;
  }

  source(view: DataView, hosts: HostTable): number {
    return this.version === 4 ? hosts.idOfIpv4(view.getInt32(this.srcAt)) : hosts.idOfIpv6(view, this.srcAt);
  }

  destination(view: DataView, hosts: HostTable): number {
    return this.version === 4 ? hosts.idOfIpv4(view.getInt32(this.dstAt)) : hosts.idOfIpv6(view, this.dstAt);
  }
}
