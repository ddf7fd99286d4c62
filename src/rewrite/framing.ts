/**
 * HOT: puts a packet into another framing: link header off, link header on. Used by `--dlt` and by the replay engine,
 * which must hand frames to a device in the device's own framing. A packet that cannot be converted stays as it was.
 */
import type { FrameBatch } from '../base/batch.ts';
import { OperatorError } from '../base/errors.ts';
import { ArpOperation, arpOperation, arpSenderMacAt, arpTargetMacAt, isArpIpv4 } from '../wire/arp.ts';
import { ETHERNET_HEADER_LEN, setEthernetDst, setEthernetSrc, setEthernetType } from '../wire/ethernet.ts';
import { ieee80211DstAt, ieee80211SrcAt } from '../wire/ieee80211.ts';
import { ipv4Dst, isIpv4Multicast } from '../wire/ipv4.ts';
import { ipv6DstWord, isIpv6DstMulticast } from '../wire/ipv6.ts';
import { Wire } from '../wire/layers.ts';
import {
  HDLC_HEADER_LEN,
  NULL_HEADER_LEN,
  SLL_HEADER_LEN,
  SLL2_HEADER_LEN,
  setHdlc,
  setNullEtherType,
  setSll,
  setSll2,
  setSll2Address,
  setSllAddress,
  sll2AddressAt,
  sll2AddressLen,
  sllAddressAt,
  sllAddressLen,
} from '../wire/linkheader.ts';
import { isRawIp, Linktype, linktypeName } from '../wire/linktype.ts';
import { pppOfEtherType, setPppHdlc } from '../wire/ppp.ts';
import { ETHERTYPE_MIN, EtherType } from '../wire/protocol.ts';
import { isVlanType, vlanTpid } from '../wire/vlan.ts';
import { Cause } from './causes.ts';
import { Frame } from './frame.ts';
import { macHigh, macLow } from './mac_editor.ts';
import { Edit, type EditStatus } from './rewriter.ts';
import type { Encapsulation, MacPair, RewriteSpec } from './spec.ts';

/**
 * Finds the MAC address of the next hop towards the destination of the IP packet at `ip` and writes its six bytes into
 * `out`. False: not known.
 */
export type ResolveMac = (view: DataView, ip: number, version: number, out: Uint8Array) => boolean;

export interface FramingSpec {
  readonly encapsulation: Encapsulation;
  /** LINKTYPE_ that frames have afterwards; null: that of the encapsulation (`user`: that of the input). */
  readonly linktype: number | null;
  readonly destinationMac: MacPair;
  readonly sourceMac: MacPair;
  readonly hdlcAddress: number;
  readonly hdlcControl: number;
  /** [server to client, client to server], or one for both. */
  readonly userHeaders: readonly (readonly number[])[];
  /** See `RewriteSpec.compat`. */
  readonly dropLabels: boolean;
  /** Asked where no destination MAC is configured. */
  readonly resolveMac: ResolveMac | null;
  /** Headroom of each frame that somebody else may have used already (`Rewriter.growBytesMax`). */
  readonly headroomUsedBytes: number;
}

/** Unicast, `ff:ff:ff:ff:ff:ff` and control of Cisco HDLC where the operator said nothing. */
const HDLC_UNICAST = 0x0f;
const ARPHRD_ETHER = 1;
const PPP_HDLC_LEN = 4;

export const FRAMING_DEFAULTS: FramingSpec = Object.freeze({
  encapsulation: 'enet',
  linktype: null,
  destinationMac: { clientToServer: null, serverToClient: null },
  sourceMac: { clientToServer: null, serverToClient: null },
  hdlcAddress: HDLC_UNICAST,
  hdlcControl: 0,
  userHeaders: [],
  dropLabels: false,
  resolveMac: null,
  headroomUsedBytes: 0,
});

const LINKTYPE_OF: Readonly<Record<Exclude<Encapsulation, 'user'>, number>> = {
  enet: Linktype.EN10MB,
  raw: Linktype.RAW,
  null: Linktype.NULL,
  loop: Linktype.LOOP,
  linuxsll: Linktype.LINUX_SLL,
  linuxsll2: Linktype.LINUX_SLL2,
  hdlc: Linktype.C_HDLC,
  pppserial: Linktype.PPP_SERIAL,
};

const HEADER_LEN: Readonly<Record<Exclude<Encapsulation, 'user'>, number>> = {
  enet: ETHERNET_HEADER_LEN,
  raw: 0,
  null: NULL_HEADER_LEN,
  loop: NULL_HEADER_LEN,
  linuxsll: SLL_HEADER_LEN,
  linuxsll2: SLL2_HEADER_LEN,
  hdlc: HDLC_HEADER_LEN,
  pppserial: PPP_HDLC_LEN,
};

/** The encapsulation that makes frames of a device's link type; throws where none does. */
export function encapsulationOf(linktype: number): Encapsulation {
  if (isRawIp(linktype)) return 'raw';
  for (const [encapsulation, value] of Object.entries(LINKTYPE_OF)) {
    if (value === linktype) return encapsulation as Encapsulation;
  }
  const name = linktypeName(linktype);
  throw new OperatorError(
    'FRAMING',
    `frames of link type ${name} cannot be built: send from an Ethernet or IP interface`,
  );
}

/** What `--dlt` asks for; null: the framing stays. */
export function framingOf(spec: RewriteSpec): FramingSpec | null {
  if (spec.encapsulation === null) return null;
  return {
    ...FRAMING_DEFAULTS,
    encapsulation: spec.encapsulation,
    linktype: spec.encapsulation === 'user' ? spec.userLinktype : null,
    destinationMac: spec.destinationMac,
    sourceMac: spec.sourceMac,
    hdlcAddress: spec.hdlcAddress ?? HDLC_UNICAST,
    hdlcControl: spec.hdlcControl ?? 0,
    userHeaders: spec.userHeaders,
    dropLabels: spec.compat === 'tcprewrite',
  };
}

/** What is missing, and the options that say it. */
export interface MissingMacs {
  readonly what: string;
  readonly option: string;
}

/** Link types whose frames carry source and destination MAC addresses. */
const WITH_MACS: readonly number[] = [
  Linktype.EN10MB,
  Linktype.JUNIPER_ETHER,
  Linktype.IEEE802_11,
  Linktype.IEEE802_11_RADIOTAP,
];
/** Link types that carry the source's. */
const WITH_SOURCE: readonly number[] = [Linktype.LINUX_SLL, Linktype.LINUX_SLL2];

export class Framer {
  readonly #spec: FramingSpec;
  readonly #headerLen: number;
  readonly #userHeaders: readonly Uint8Array[];
  readonly #frame: Frame = new Frame();
  readonly #resolved: Uint8Array = new Uint8Array(6);
  /** Why the last packet could not be converted. */
  cause: Cause = Cause.None;
  // The plan for one frame, filled by `plan`.
  #payloadOffset = 0;
  #protocol = 0;
  #dstHigh = -1;
  #dstLow = 0;
  #srcHigh = -1;
  #srcLow = 0;

  constructor(spec: FramingSpec) {
    this.#spec = spec;
    this.#userHeaders = spec.userHeaders.map((header) => Uint8Array.from(header));
    this.#headerLen =
      spec.encapsulation === 'user' ? (this.#userHeaders[0]?.length ?? 0) : HEADER_LEN[spec.encapsulation];
  }

  /** Most bytes that a frame grows by: an Ethernet header in front of a bare IP packet, for instance. */
  get growBytesMax(): number {
    return this.#headerLen;
  }

  /** Link type of the frames afterwards, given that of the input. */
  linktypeAfter(linktype: number): number {
    const { encapsulation, linktype: fixed } = this.#spec;
    return fixed ?? (encapsulation === 'user' ? linktype : LINKTYPE_OF[encapsulation]);
  }

  /** Addresses that Ethernet headers made of frames of this link type would lack; null: none. */
  macsMissing(linktype: number, bothSides: boolean): MissingMacs | null {
    const { encapsulation, destinationMac, sourceMac, resolveMac } = this.#spec;
    if (encapsulation !== 'enet' || WITH_MACS.includes(linktype)) return null;
    const lacks = (pair: MacPair): boolean =>
      pair.clientToServer === null || (bothSides && pair.serverToClient === null);
    const noDestination = resolveMac === null && lacks(destinationMac);
    const noSource = !WITH_SOURCE.includes(linktype) && lacks(sourceMac);
    const value = bothSides ? 'MAC,MAC' : 'MAC';
    if (noDestination && noSource) {
      return { what: 'MAC addresses', option: `--enet-smac=${value} and --enet-dmac=${value}` };
    }
    if (noDestination) return { what: 'destination MAC address', option: `--enet-dmac=${value}` };
    return noSource ? { what: 'source MAC address', option: `--enet-smac=${value}` } : null;
  }

  /** Converts frame `i` of the batch. `SoftError`: see `cause`; `NoRoom`: see `Edit`. Nothing is changed then. */
  toLinktype(batch: FrameBatch, i: number, direction = 0): EditStatus {
    const frame = this.#frame;
    this.cause = Cause.None;
    if (this.#isFramed(batch.linktype[i]!)) return Edit.Unchanged;
    frame.load(batch, i);
    frame.direction = direction;
    frame.headroomBytes = Math.max(0, frame.headroomBytes - this.#spec.headroomUsedBytes);
    this.cause = this.plan(frame);
    if (this.cause !== Cause.None) return Edit.SoftError;
    if (!frame.makeRoom(Math.max(0, this.growBytes), 0)) return Edit.NoRoom;
    this.apply(frame);
    frame.store(batch, i);
    return Edit.Edited;
  }

  /** Frames of this link type need nothing. */
  #isFramed(linktype: number): boolean {
    const { encapsulation } = this.#spec;
    if (encapsulation === 'user' || encapsulation === 'hdlc') return false;
    if (encapsulation === 'raw') return linktype === this.linktypeAfter(linktype);
    return linktype === LINKTYPE_OF[encapsulation];
  }

  /** Bytes that the planned frame grows by; negative: shrinks. */
  get growBytes(): number {
    return this.#headerLen - this.#payloadOffset;
  }

  /** Decides how the frame is converted; changes nothing. Precondition: the frame is decoded. */
  plan(frame: Frame): Cause {
    const { layers } = frame;
    if (this.#isFramed(frame.linktype)) {
      this.#payloadOffset = this.#headerLen;
      return Cause.None;
    }
    if (layers.l3 < 0) return layers.status === Wire.Unsupported ? Cause.LinktypeUnknown : Cause.Undecodable;
    switch (this.#spec.encapsulation) {
      case 'raw':
      case 'null':
      case 'loop':
        return this.#planIp(frame);
      case 'pppserial':
        this.#protocol = pppOfEtherType(this.#etherType(frame));
        this.#payloadOffset = layers.l3 - frame.at;
        return this.#protocol < 0 ? Cause.ProtocolUnknown : Cause.None;
      case 'hdlc':
        this.#protocol = this.#etherType(frame);
        this.#payloadOffset = (this.#spec.dropLabels && layers.ip >= 0 ? layers.ip : layers.l3) - frame.at;
        return this.#protocol < ETHERTYPE_MIN ? Cause.ProtocolUnknown : Cause.None;
      case 'user':
        this.#payloadOffset = (layers.ip >= 0 ? layers.ip : layers.l3) - frame.at;
        return Cause.None;
      case 'enet':
        this.#planTagged(frame);
        if (this.#protocol < ETHERTYPE_MIN) return Cause.ProtocolUnknown;
        return this.#planMacs(frame);
      default:
        this.#planTagged(frame);
        this.#planSource(frame);
        return this.#protocol < ETHERTYPE_MIN ? Cause.ProtocolUnknown : Cause.None;
    }
  }

  /** Writes the planned header. Preconditions: `plan` said None, then `makeRoom(max(0, growBytes), 0)`. */
  apply(frame: Frame): void {
    if (this.#isFramed(frame.linktype)) return;
    frame.growFront(this.growBytes); // marks the frame as reframed even where it grows by nothing
    frame.linktype = this.linktypeAfter(frame.linktype);
    frame.changed = true;
    this.#writeHeader(frame);
  }

  #planIp(frame: Frame): Cause {
    const { layers } = frame;
    if (layers.ip < 0) return Cause.NotIp;
    const linktype = this.linktypeAfter(frame.linktype);
    if (linktype === Linktype.IPV4 && layers.ipVersion !== 4) return Cause.ProtocolUnknown;
    if (linktype === Linktype.IPV6 && layers.ipVersion !== 6) return Cause.ProtocolUnknown;
    this.#payloadOffset = layers.ip - frame.at;
    this.#protocol = layers.ipVersion === 4 ? EtherType.Ipv4 : EtherType.Ipv6;
    return Cause.None;
  }

  /** Keeps VLAN tags. */
  #planTagged(frame: Frame): void {
    const { view, layers } = frame;
    if (layers.vlan < 0) {
      this.#protocol = this.#etherType(frame);
      this.#payloadOffset = layers.l3 - frame.at;
      return;
    }
    const tpid = vlanTpid(view, layers.vlan);
    this.#protocol = isVlanType(tpid) ? tpid : EtherType.Vlan;
    this.#payloadOffset = layers.vlan - frame.at;
  }

  #etherType(frame: Frame): number {
    const { layers } = frame;
    if (layers.etherType >= 0) return layers.etherType;
    if (layers.ip !== layers.l3) return -1;
    return layers.ipVersion === 4 ? EtherType.Ipv4 : EtherType.Ipv6;
  }

  #planMacs(frame: Frame): Cause {
    this.#planSource(frame);
    this.#planDestination(frame);
    if (this.#dstHigh < 0) return Cause.NoDestinationMac;
    return this.#srcHigh < 0 ? Cause.NoSourceMac : Cause.None;
  }

  #planSource(frame: Frame): void {
    const { view, at, layers } = frame;
    const pair = this.#spec.sourceMac;
    const mac = frame.direction === 0 ? pair.clientToServer : pair.serverToClient;
    this.#srcHigh = -1;
    if (mac !== null) {
      this.#srcHigh = macHigh(mac);
      this.#srcLow = macLow(mac);
    } else if (layers.macs >= 0) this.#takeSource(view, layers.macs + 6);
    else if (layers.ieee80211 >= 0) this.#takeSource(view, ieee80211SrcAt(view, layers.ieee80211));
    else if (frame.linktype === Linktype.LINUX_SLL && sllAddressLen(view, at) === 6) {
      this.#takeSource(view, sllAddressAt(at));
    } else if (frame.linktype === Linktype.LINUX_SLL2 && sll2AddressLen(view, at) === 6) {
      this.#takeSource(view, sll2AddressAt(at));
    } else if (layers.arp >= 0 && isArpIpv4(view, layers.arp)) this.#takeSource(view, arpSenderMacAt(layers.arp));
  }

  #takeSource(view: DataView, at: number): void {
    this.#srcHigh = view.getUint16(at);
    this.#srcLow = view.getUint32(at + 2);
  }

  #takeDestination(view: DataView, at: number): void {
    this.#dstHigh = view.getUint16(at);
    this.#dstLow = view.getUint32(at + 2);
  }

  #planDestination(frame: Frame): void {
    const { view, layers } = frame;
    const pair = this.#spec.destinationMac;
    const mac = frame.direction === 0 ? pair.clientToServer : pair.serverToClient;
    this.#dstHigh = -1;
    if (this.#planGroup(frame)) return;
    if (mac !== null) {
      this.#dstHigh = macHigh(mac);
      this.#dstLow = macLow(mac);
    } else if (layers.macs >= 0) this.#takeDestination(view, layers.macs);
    else if (layers.ieee80211 >= 0) this.#takeDestination(view, ieee80211DstAt(view, layers.ieee80211));
    else if (layers.arp >= 0 && isArpIpv4(view, layers.arp)) this.#planArpDestination(view, layers.arp);
    else if (layers.ip >= 0 && this.#spec.resolveMac !== null) {
      const out = this.#resolved;
      if (!this.#spec.resolveMac(view, layers.ip, layers.ipVersion, out)) return;
      this.#dstHigh = (out[0]! << 8) | out[1]!;
      this.#dstLow = ((out[2]! << 24) | (out[3]! << 16) | (out[4]! << 8) | out[5]!) >>> 0;
    }
  }

  #planArpDestination(view: DataView, arp: number): void {
    if (arpOperation(view, arp) === ArpOperation.Reply) {
      this.#takeDestination(view, arpTargetMacAt(arp));
    } else {
      this.#dstHigh = 0xffff;
      this.#dstLow = 0xffff_ffff;
    }
  }

  /** Multicast and broadcast of IP say themselves where they go: RFC 1112 section 6.4, RFC 2464 section 7. */
  #planGroup(frame: Frame): boolean {
    const { view, layers } = frame;
    if (layers.ip < 0) return false;
    if (layers.ipVersion === 6) {
      if (!isIpv6DstMulticast(view, layers.ip)) return false;
      this.#dstHigh = 0x3333;
      this.#dstLow = ipv6DstWord(view, layers.ip, 3);
      return true;
    }
    const destination = ipv4Dst(view, layers.ip);
    if (destination === 0xffff_ffff) {
      this.#dstHigh = 0xffff;
      this.#dstLow = 0xffff_ffff;
      return true;
    }
    if (!isIpv4Multicast(destination)) return false;
    this.#dstHigh = 0x0100;
    this.#dstLow = 0x5e00_0000 + (destination & 0x7f_ffff);
    return true;
  }

  #writeHeader(frame: Frame): void {
    const { view, at, layers } = frame;
    switch (this.#spec.encapsulation) {
      case 'enet':
        setEthernetDst(view, at, this.#dstHigh, this.#dstLow);
        setEthernetSrc(view, at, this.#srcHigh, this.#srcLow);
        setEthernetType(view, at, this.#protocol);
        layers.macs = at;
        return;
      case 'null':
      case 'loop':
        setNullEtherType(view, at, this.#protocol);
        break;
      case 'linuxsll':
        setSll(view, at, 0, ARPHRD_ETHER, this.#protocol);
        if (this.#srcHigh >= 0) setSllAddress(view, at, this.#srcHigh, this.#srcLow);
        break;
      case 'linuxsll2':
        setSll2(view, at, 0, ARPHRD_ETHER, 0, this.#protocol);
        if (this.#srcHigh >= 0) setSll2Address(view, at, this.#srcHigh, this.#srcLow);
        break;
      case 'hdlc':
        setHdlc(view, at, this.#spec.hdlcAddress, this.#spec.hdlcControl, this.#protocol);
        break;
      case 'pppserial':
        setPppHdlc(view, at, this.#protocol);
        break;
      case 'user':
        this.#writeUser(frame);
        break;
      case 'raw':
        break;
    }
    layers.macs = -1;
  }

  /** The second header is that of client-to-server packets. */
  #writeUser(frame: Frame): void {
    const header = (frame.direction === 0 ? this.#userHeaders[1] : undefined) ?? this.#userHeaders[0]!;
    for (let b = 0; b < header.length; b++) frame.bytes[frame.at + b] = header[b]!;
  }
}
