/**
 * HOT: one pass over a frame, from its link header down through tunnels, into a preallocated `Layers`. Budget 40 ns for
 * Ethernet, IPv4, TCP.
 *
 * Lengths always come from the IP header: padding and FCS lie behind `ipEnd`. Never reads outside [at, end).
 */
import { checkArp } from './arp.ts';
import { decodeIpv4, decodeIpv6 } from './decodeip.ts';
import { decodeLinkHeader } from './decodelink.ts';
import { ETHERNET_HEADER_LEN, ethernetType, ethernetTypeAt } from './ethernet.ts';
import { LayerKind, type Layers, Next, pushLayer, resetLayers, Wire, type WireStatus } from './layers.ts';
import { Linktype } from './linktype.ts';
import { checkLlc, isSnap, SNAP_LEN, snapType, snapTypeAt } from './llc.ts';
import { isMplsBottom, MPLS_CONTROL_WORD_LEN, MPLS_ENTRY_LEN } from './mpls.ts';
import { etherTypeOfPpp, pppProtocol, pppProtocolLen } from './ppp.ts';
import { checkPppoe, PPPOE_HEADER_LEN, pppoeLength, pppoeProtocolAt } from './pppoe.ts';
import { ETHERTYPE_MIN, EtherType, IpProtocol } from './protocol.ts';
import { VLAN_TAG_LEN, vlanType, vlanTypeAt } from './vlan.ts';

/** Decodes the frame [at, end) of `view` and returns `out.status`. See `Layers` for what each field promises. */
export function decode(view: DataView, at: number, end: number, linktype: number, out: Layers): WireStatus {
  if (linktype === Linktype.EN10MB && decodePlain(view, at, end, out)) return Wire.Ok;
  return decodeAny(view, at, end, linktype, out);
}

/** `decode` without its short cut; the same result for every frame. */
export function decodeAny(view: DataView, at: number, end: number, linktype: number, out: Layers): WireStatus {
  resetLayers(out);
  let status =
    linktype === Linktype.EN10MB ? decodeEthernet(view, at, end, out) : decodeLinkHeader(view, at, end, linktype, out);
  while (status === Wire.Ok && out.nextType !== Next.None) status = decodeNext(view, out);
  // A fault behind the outermost IP packet's own headers belongs to what a tunnel carries.
  if (status !== Wire.Ok && out.tunnel >= 0) {
    out.innerStatus = status;
    status = Wire.Ok;
  }
  out.status = status;
  return status;
}

/** Ethernet, IPv4 without options, TCP: the fixed headers. */
const PLAIN_LEN = 54;
/** EtherType IPv4, version 4, five words of header: bytes 12 to 14. */
const PLAIN_TYPE = 0x080045;
/** More-fragments bit and fragment offset. */
const FRAGMENT_BITS = 0x3fff;

/**
 * The short cut: Ethernet, IPv4 without options and not fragmented, TCP with its whole header captured, which most
 * frames are. Measured: 20 ns instead of 38. False: nothing was decoded.
 */
function decodePlain(view: DataView, at: number, end: number, out: Layers): boolean {
  if (end - at < PLAIN_LEN || view.getInt32(at + 12) >>> 8 !== PLAIN_TYPE) return false;
  if (view.getUint8(at + 23) !== IpProtocol.Tcp || (view.getUint16(at + 20) & FRAGMENT_BITS) !== 0) return false;
  const ip = at + 14;
  const announced = ip + view.getUint16(at + 16);
  const cut = announced > end;
  const stop = cut ? end : announced;
  const l4 = at + 34;
  const headerLen = (view.getUint8(at + 46) >>> 4) << 2;
  if (headerLen < 20 || l4 + headerLen > stop) return false;
  out.status = Wire.Ok;
  out.innerStatus = Wire.Ok;
  out.count = 3;
  const { kind, at: begins, end: ends } = out;
  kind[0] = LayerKind.Link;
  kind[1] = LayerKind.Ipv4;
  kind[2] = LayerKind.Tcp;
  begins[0] = at;
  begins[1] = ip;
  begins[2] = l4;
  ends[0] = end;
  ends[1] = stop;
  ends[2] = stop;
  out.macs = at;
  out.etherTypeAt = at + 12;
  out.etherType = EtherType.Ipv4;
  out.vlan = -1;
  out.vlanCount = 0;
  out.l3 = ip;
  out.arp = -1;
  out.ieee80211 = -1;
  out.ip = ip;
  out.ipVersion = 4;
  out.ipEnd = stop;
  out.ipCut = cut;
  out.ipLengthZero = false;
  out.fragment = 0;
  out.ipv6Fragment = -1;
  out.ipv6Routing = -1;
  out.l4 = l4;
  out.l4Protocol = IpProtocol.Tcp;
  out.payload = l4 + headerLen;
  out.embedded = -1;
  out.tunnel = -1;
  out.nextType = Next.None;
  out.linkDone = true;
  return true;
}

/** An Ethernet header: the outermost one, or one inside a tunnel. */
function decodeEthernet(view: DataView, at: number, end: number, out: Layers): WireStatus {
  if (end - at < ETHERNET_HEADER_LEN) return Wire.Truncated;
  if (out.count === 0) {
    out.macs = at;
    pushLayer(out, LayerKind.Link, at, end);
  } else {
    if (!pushLayer(out, LayerKind.Ethernet, at, end)) return Wire.Unsupported;
  }
  return follow(ethernetType(view, at), ethernetTypeAt(at), at + ETHERNET_HEADER_LEN, end, out);
}

/** Notes what an EtherType field says. While no network layer is found, it is the outermost header's. */
function follow(type: number, typeAt: number, next: number, end: number, out: Layers): WireStatus {
  if (!out.linkDone) {
    out.etherTypeAt = typeAt;
    out.etherType = type;
    out.l3 = next;
  }
  out.nextAt = next;
  if (type >= ETHERTYPE_MIN) {
    out.nextType = type;
    out.nextEnd = end;
    return Wire.Ok;
  }
  // IEEE 802.3: a length, and padding behind it.
  if (!out.linkDone) {
    out.etherTypeAt = -1;
    out.etherType = -1;
  }
  out.nextType = Next.Llc;
  out.nextEnd = Math.min(next + type, end);
  return Wire.Ok;
}

function decodeNext(view: DataView, out: Layers): WireStatus {
  const type = out.nextType;
  const at = out.nextAt;
  const end = out.nextEnd;
  out.nextType = Next.None;
  switch (type) {
    case EtherType.Ipv4:
      return decodeIpv4(view, at, end, out);
    case EtherType.Ipv6:
      return decodeIpv6(view, at, end, out);
    case EtherType.Vlan:
    case EtherType.ProviderVlan:
    case EtherType.OldVlan:
      return decodeVlan(view, at, end, out);
    case EtherType.Arp:
    case EtherType.Rarp:
      return decodeArp(view, at, end, out);
    case EtherType.Mpls:
    case EtherType.MplsMulticast:
      return decodeMpls(view, at, end, out);
    case EtherType.PppoeSession:
      return decodePppoe(view, at, end, out);
    case EtherType.Teb:
      return decodeEthernet(view, at, end, out);
    case EtherType.Ppp:
      return decodePpp(view, at, end, out);
    case Next.Ip:
      return decodeByVersion(view, at, end, out);
    case Next.MplsPayload:
      return decodeMplsPayload(view, at, end, out);
    case Next.Llc:
      return decodeLlc(view, at, end, out);
    default:
      return Wire.Ok; // Something that is not looked into.
  }
}

function decodeVlan(view: DataView, at: number, end: number, out: Layers): WireStatus {
  if (end - at < VLAN_TAG_LEN) return Wire.Truncated;
  if (!pushLayer(out, LayerKind.Vlan, at, end)) return Wire.Unsupported;
  if (!out.linkDone) {
    if (out.vlanCount === 0) out.vlan = at;
    out.vlanCount++;
  }
  return follow(vlanType(view, at), vlanTypeAt(at), at + VLAN_TAG_LEN, end, out);
}

function decodeLlc(view: DataView, at: number, end: number, out: Layers): WireStatus {
  const status = checkLlc(view, at, end);
  if (status !== Wire.Ok) return status;
  if (!isSnap(view, at)) return Wire.Ok;
  const type = snapType(view, at);
  return type < ETHERTYPE_MIN ? Wire.Ok : follow(type, snapTypeAt(at), at + SNAP_LEN, end, out);
}

function decodeArp(view: DataView, at: number, end: number, out: Layers): WireStatus {
  const status = checkArp(view, at, end);
  if (status !== Wire.Ok) return status;
  if (!pushLayer(out, LayerKind.Arp, at, end)) return Wire.Unsupported;
  if (out.ip < 0) out.arp = at;
  return Wire.Ok;
}

function decodeMpls(view: DataView, at: number, end: number, out: Layers): WireStatus {
  out.linkDone = true;
  let entry = at;
  for (;;) {
    if (end - entry < MPLS_ENTRY_LEN) return Wire.Truncated;
    if (!pushLayer(out, LayerKind.Mpls, entry, end)) return Wire.Unsupported;
    const bottom = isMplsBottom(view, entry);
    entry += MPLS_ENTRY_LEN;
    if (bottom) break;
  }
  out.nextType = Next.MplsPayload;
  out.nextAt = entry;
  out.nextEnd = end;
  return Wire.Ok;
}

/** The label alone says what follows, and only routers know it: guessed from the first nibble (RFC 4928 section 2). */
function decodeMplsPayload(view: DataView, at: number, end: number, out: Layers): WireStatus {
  if (at >= end) return Wire.Truncated;
  const nibble = view.getUint8(at) >>> 4;
  if (nibble === 4 || nibble === 6) return decodeByVersion(view, at, end, out);
  if (nibble === 1) return Wire.Ok; // Associated channel header (RFC 5586): management, no user's packet.
  return decodeEthernet(view, nibble === 0 ? at + MPLS_CONTROL_WORD_LEN : at, end, out);
}

function decodePppoe(view: DataView, at: number, end: number, out: Layers): WireStatus {
  out.linkDone = true;
  const status = checkPppoe(view, at, end);
  if (status !== Wire.Ok) return status;
  const stop = at + PPPOE_HEADER_LEN + pppoeLength(view, at);
  const clipped = Math.min(stop, end);
  if (!pushLayer(out, LayerKind.Pppoe, at, clipped)) return Wire.Unsupported;
  return decodePpp(view, pppoeProtocolAt(at), clipped, out);
}

/** A PPP protocol field, perhaps compressed, perhaps behind address and control. */
function decodePpp(view: DataView, at: number, end: number, out: Layers): WireStatus {
  const start = end - at >= 2 && view.getUint16(at) === 0xff03 ? at + 2 : at;
  if (end <= start || end - start < pppProtocolLen(view, start)) return Wire.Truncated;
  const type = etherTypeOfPpp(pppProtocol(view, start));
  if (type < 0) return Wire.Ok;
  out.nextType = type;
  out.nextAt = start + pppProtocolLen(view, start);
  out.nextEnd = end;
  return Wire.Ok;
}

function decodeByVersion(view: DataView, at: number, end: number, out: Layers): WireStatus {
  if (at >= end) return Wire.Truncated;
  const version = view.getUint8(at) >>> 4;
  if (version === 4) return decodeIpv4(view, at, end, out);
  return version === 6 ? decodeIpv6(view, at, end, out) : Wire.BadVersion;
}
