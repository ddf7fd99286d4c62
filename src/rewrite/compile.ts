/**
 * HOT: a spec compiled into one straight pass over each packet. Every edit is applied once, in this order:
 *
 * FCS off; tunnels off; new framing; MAC addresses; VLAN tags; TOS, TTL, traffic class, flow label; ports; sequence
 * numbers; fuzzing; cut packets and MTU; addresses (and what ICMP errors quote); IP length; full checksums where asked
 * for; MAC address of IP multicast.
 *
 * Everything that can fail is decided before the first byte is written. Budget 60 ns beyond decoding.
 */
import type { FrameBatch } from '../base/batch.ts';
import { OperatorError } from '../base/errors.ts';
import { ETHERNET_FCS_LEN, ethernetDstHigh, ethernetDstLow, ethernetType, setEthernetDst } from '../wire/ethernet.ts';
import { ipv4Dst, isIpv4Multicast } from '../wire/ipv4.ts';
import { ipv6DstWord, isIpv6DstMulticast } from '../wire/ipv6.ts';
import { LayerKind, Wire } from '../wire/layers.ts';
import { isRawIp, Linktype } from '../wire/linktype.ts';
import { ETHERTYPE_MIN, EtherType } from '../wire/protocol.ts';
import { fixChecksums } from '../wire/verify.ts';
import { Cause, RewriteCounters } from './causes.ts';
import { Decapsulator } from './decapsulator.ts';
import { EDITED_BYTES_MAX, Frame } from './frame.ts';
import { Framer, framingOf, type MissingMacs } from './framing.ts';
import { Fuzzer } from './fuzzer.ts';
import { IpEditor } from './ip_editor.ts';
import { fillsFrame, LengthEditor } from './length_editor.ts';
import { MacEditor } from './mac_editor.ts';
import { type Direction, Edit, type EditStatus, type Rewriter } from './rewriter.ts';
import { checkRewriteSpec, type RewriteSpec } from './spec.ts';
import { TagEditor, tagsAt } from './tag_editor.ts';
import { applyPending } from './transport_sum.ts';
import { TunnelEditor } from './tunnel_editor.ts';
import { VlanEditor } from './vlan_editor.ts';

/** Compiles the rules. Throws `OperatorError('USAGE')` with the first clash between them. */
export function compileRewriter(spec: RewriteSpec): CompiledRewriter {
  const clash = checkRewriteSpec(spec)[0];
  if (clash !== undefined) throw new OperatorError('USAGE', clash);
  return new CompiledRewriter(spec);
}

export class CompiledRewriter implements Rewriter {
  readonly counters: RewriteCounters = new RewriteCounters();
  /** Most bytes in front of a frame that `edit` may use up. */
  readonly growBytesMax: number;
  readonly #frame: Frame = new Frame();
  readonly #stripsFcs: boolean;
  readonly #framer: Framer | null;
  readonly #macs: MacEditor;
  readonly #vlan: VlanEditor | null;
  readonly #tags: TagEditor | null;
  readonly #decapsulator: Decapsulator | null;
  readonly #tunnels: TunnelEditor | null;
  readonly #editsEveryLayer: boolean;
  readonly #ip: IpEditor;
  readonly #editsIp: boolean;
  readonly #fuzzer: Fuzzer | null;
  readonly #lengths: LengthEditor;
  readonly #editsLengths: boolean;
  /** A checksum field may be gone before addresses are edited. */
  readonly #cutsPackets: boolean;
  readonly #fixesHeader: boolean;
  readonly #editsLink: boolean;
  readonly #mayGrow: boolean;
  readonly #tagBytesMax: number;
  readonly #fixesSums: boolean;
  readonly #isReference: boolean;
  /** Why the last packet that ended in `SoftError` could not be edited. */
  lastCause: Cause = Cause.None;

  constructor(spec: RewriteSpec) {
    const framing = framingOf(spec);
    this.#isReference = spec.compat === 'tcprewrite';
    this.#stripsFcs = spec.stripFcs;
    this.#framer = framing === null ? null : new Framer(framing);
    this.#macs = new MacEditor(spec);
    this.#vlan = spec.vlan === null ? null : new VlanEditor(spec.vlan);
    this.#tags = spec.tags.length === 0 ? null : new TagEditor(spec.tags);
    this.#decapsulator = spec.decap ? new Decapsulator() : null;
    this.#tunnels = spec.layer === 'outer' ? null : new TunnelEditor();
    this.#editsEveryLayer = spec.layer === 'all';
    this.#ip = new IpEditor(spec);
    this.#editsIp = editsIp(spec);
    this.#fuzzer = spec.fuzz === null ? null : new Fuzzer(spec.fuzz.seed, spec.fuzz.factor);
    this.#lengths = new LengthEditor(spec);
    this.#editsLengths = spec.fixLength !== null || spec.mtuTruncate;
    this.#cutsPackets = this.#editsLengths || this.#fuzzer !== null;
    this.#fixesSums = spec.fixChecksums || (this.#isReference && spec.ttl !== null);
    this.#fixesHeader = spec.fixHeaderLength;
    this.#editsLink = this.#framer !== null || this.#vlan !== null || this.#tags !== null || !this.#macs.idle;
    this.#tagBytesMax = (this.#vlan?.growBytes ?? 0) + (this.#tags?.growBytes ?? 0);
    this.#mayGrow = this.#framer !== null || this.#tagBytesMax > 0 || spec.fixLength === 'pad';
    this.growBytesMax = (this.#framer?.growBytesMax ?? 0) + this.#tagBytesMax;
  }

  /** Link type of the frames after editing, given that of the input. */
  linktypeAfter(linktype: number): number {
    return this.#framer === null ? linktype : this.#framer.linktypeAfter(linktype);
  }

  /** Addresses that Ethernet headers made of frames of this link type would lack; null: none. */
  macsMissing(linktype: number, bothSides: boolean): MissingMacs | null {
    return this.#framer === null ? null : this.#framer.macsMissing(linktype, bothSides);
  }

  edit(batch: FrameBatch, i: number, direction: Direction): EditStatus {
    const frame = this.#frame;
    frame.load(batch, i);
    frame.direction = direction;
    if (this.#stripsFcs && frame.caplen > ETHERNET_FCS_LEN) this.#stripFcs(frame);
    if (this.#editsLengths && this.#lengths.drops(frame)) {
      this.counters.dropped++;
      this.counters.cut++;
      return Edit.Drop;
    }
    if (this.#isReference) useInnerEthernet(frame);
    let cause: Cause = Cause.None;
    if (this.#decapsulator !== null) cause = this.#decapsulator.apply(frame);
    if (cause === Cause.None) cause = this.#obstacle(frame);
    if (cause !== Cause.None) {
      if (frame.changed) frame.store(batch, i); // the FCS goes from frames that are not understood, too
      this.lastCause = cause;
      this.counters.fail(cause);
      return Edit.SoftError;
    }
    if (this.#mayGrow && !this.#makeRoom(frame)) return Edit.NoRoom;
    if (this.#editsLink) this.#editLink(frame);
    const isTunnelled = this.#tunnels !== null && frame.layers.tunnel >= 0;
    const editsOuter = !isTunnelled || this.#editsEveryLayer;
    if (editsOuter && this.#ip.editsHeaders) this.#ip.editHeaders(frame);
    if (this.#cutsPackets) applyPending(frame);
    if (this.#fuzzer?.apply(frame)) {
      this.counters.dropped++;
      return Edit.Drop;
    }
    if (this.#editsLengths) this.#lengths.edit(frame);
    if (editsOuter && this.#ip.editsAddresses) this.#ip.editAddresses(frame);
    applyPending(frame);
    if (isTunnelled) this.#editTunnelled(frame, this.#tunnels!);
    if (this.#fixesHeader) this.#lengths.fixHeader(frame);
    if (this.#fixesSums || frame.recompute) this.#fixSums(frame);
    if (frame.layers.macs >= 0) setMulticastMac(frame);
    if (!frame.changed) {
      this.counters.unchanged++;
      if (frame.layers.ip < 0 && frame.layers.arp < 0) this.counters.unchangedNotIp++;
      return Edit.Unchanged;
    }
    frame.store(batch, i);
    this.counters.edited++;
    return Edit.Edited;
  }

  /** Four bytes off the frame on the wire; what was captured of them goes too. */
  #stripFcs(frame: Frame): void {
    const len = frame.len - ETHERNET_FCS_LEN;
    frame.cutTo(Math.min(frame.caplen, len), len);
    frame.decode();
  }

  /** Why this packet cannot be edited. Decides, changes nothing. */
  #obstacle(frame: Frame): Cause {
    const { layers, view } = frame;
    if (layers.l3 < 0) return layers.status === Wire.Unsupported ? Cause.LinktypeUnknown : Cause.Undecodable;
    if (this.#isReference && frame.linktype === Linktype.EN10MB && ethernetType(view, frame.at) < ETHERTYPE_MIN) {
      return Cause.LengthFrame;
    }
    if (this.#editsIp && layers.ip < 0 && layers.status !== Wire.Ok && announcesIp(frame)) return Cause.Undecodable;
    if (frame.len > EDITED_BYTES_MAX && this.#lengths.padBytes(frame) > 0) return Cause.TooLong;
    if (this.#framer !== null) return this.#framer.plan(frame);
    if (this.#vlan !== null && layers.macs < 0) return Cause.LinktypeUnknown;
    if (this.#tags?.pushes && tagsAt(layers) < 0) return Cause.LinktypeUnknown;
    return Cause.None;
  }

  #makeRoom(frame: Frame): boolean {
    const front = Math.max(0, this.#framer?.growBytes ?? 0) + this.#tagBytesMax;
    return frame.makeRoom(front, this.#lengths.padBytes(frame));
  }

  #editLink(frame: Frame): void {
    if (this.#framer !== null) this.#framer.apply(frame);
    const macs = frame.layers.macs;
    const isOuter = this.#tunnels === null || this.#editsEveryLayer || frame.layers.tunnel < 0;
    if (macs >= 0 && isOuter && !this.#macs.idle) this.#macs.apply(frame, macs);
    if (macs >= 0 && this.#vlan !== null) {
      this.#vlan.apply(frame);
      if (this.#tags !== null) frame.decode();
    }
    if (this.#tags !== null && tagsAt(frame.layers) >= 0) this.#tags.apply(frame);
  }

  /** The packets inside: all, or the innermost one. */
  #editTunnelled(outer: Frame, tunnels: TunnelEditor): void {
    const depth = tunnels.open(outer);
    if (depth === 0) return;
    for (let level = this.#editsEveryLayer ? 1 : depth; level <= depth; level++) {
      const frame = tunnels.frameAt(level);
      const macs = frame.layers.macs;
      if (macs >= 0 && !this.#macs.idle) this.#macs.apply(frame, macs);
      if (this.#ip.editsHeaders) this.#ip.editHeaders(frame);
      if (this.#ip.editsAddresses) this.#ip.editAddresses(frame);
      applyPending(frame);
      if (this.#fixesSums) this.#fixSums(frame);
      if (macs >= 0 && frame.changed) setMulticastMac(frame);
    }
    tunnels.close(outer);
  }

  /** The reference tool leaves frames alone whose IP length is not their length. */
  #fixSums(frame: Frame): void {
    if (frame.layers.ip < 0) return;
    if (this.#isReference && !fillsFrame(frame)) return;
    if (fixChecksums(frame.view, frame.layers) !== 0) frame.changed = true;
  }
}

/** True when some rule needs the IP header. */
function editsIp(spec: RewriteSpec): boolean {
  const numbers = [spec.seed, spec.tcpSequenceSeed, spec.tos, spec.trafficClass, spec.flowLabel];
  const maps = [spec.portMap, spec.pnat, spec.sourceMap, spec.destinationMap];
  if (numbers.some((value) => value !== null) || maps.some((map) => map.length > 0)) return true;
  return spec.ttl !== null || spec.fixChecksums || spec.fixHeaderLength || spec.mtuTruncate;
}

/** In Ethernet over MPLS the reference tool edits the inner Ethernet header. */
function useInnerEthernet(frame: Frame): void {
  const { layers, view } = frame;
  for (let n = 0; n < layers.count; n++) {
    const kind = layers.kind[n];
    if (kind === LayerKind.Ipv4 || kind === LayerKind.Ipv6) return;
    if (kind !== LayerKind.Ethernet) continue;
    layers.macs = layers.at[n]!;
    layers.etherType = ethernetType(view, layers.macs);
  }
}

function announcesIp(frame: Frame): boolean {
  const type = frame.layers.etherType;
  return type === EtherType.Ipv4 || type === EtherType.Ipv6 || isRawIp(frame.linktype);
}

/** Multicast IP goes to the MAC address made from it: RFC 1112 section 6.4, RFC 2464 section 7. */
function setMulticastMac(frame: Frame): void {
  const { layers, view } = frame;
  const ip = layers.ip;
  if (ip < 0 || ip !== layers.l3) return;
  let high = 0x0100;
  let low = 0;
  if (layers.ipVersion === 4) {
    const destination = ipv4Dst(view, ip);
    if (!isIpv4Multicast(destination)) return;
    low = 0x5e00_0000 + (destination & 0x7f_ffff);
  } else {
    if (!isIpv6DstMulticast(view, ip)) return;
    high = 0x3333;
    low = ipv6DstWord(view, ip, 3);
  }
  if (ethernetDstHigh(view, layers.macs) === high && ethernetDstLow(view, layers.macs) === low) return;
  setEthernetDst(view, layers.macs, high, low);
  frame.changed = true;
}
