/**
 * HOT: link headers other than plain Ethernet: what `decode` begins with. Each leaves EtherType and offset of what
 * follows in the cursor of `Layers`.
 */
import { checkIeee80211, checkRadiotap, ieee80211HeaderLen, radiotapHasDataPad, radiotapLen } from './ieee80211.ts';
import { checkJuniper, juniperHasEthernet, juniperHeaderLen } from './juniper.ts';
import { LayerKind, type Layers, Next, pushLayer, Wire, type WireStatus } from './layers.ts';
import {
  HDLC_HEADER_LEN,
  hdlcProtocolAt,
  NULL_HEADER_LEN,
  nullEtherType,
  SLL_HEADER_LEN,
  SLL2_HEADER_LEN,
  sll2HasEtherType,
  sll2ProtocolAt,
  sllHasEtherType,
  sllProtocolAt,
} from './linkheader.ts';
import { Linktype } from './linktype.ts';
import { etherTypeOfPpp, PPP_HDLC_ADDRESS_CONTROL, pppProtocol, pppProtocolLen } from './ppp.ts';
import { ETHERTYPE_MIN, EtherType } from './protocol.ts';

/** Protocol of Linux cooked frames that begin with an LLC header (ETH_P_802_2, include/uapi/linux/if_ether.h). */
const SLL_PROTOCOL_LLC = 4;
/** Bytes between Juniper's header and an IP header without link header. */
const JUNIPER_NO_LINK_LEN = 4;

export function decodeLinkHeader(view: DataView, at: number, end: number, linktype: number, out: Layers): WireStatus {
  switch (linktype) {
    case Linktype.RAW:
    case Linktype.RAW_BSD:
    case Linktype.RAW_OPENBSD:
      return next(Next.Ip, at, end, out);
    case Linktype.IPV4:
      return next(EtherType.Ipv4, at, end, out);
    case Linktype.IPV6:
      return next(EtherType.Ipv6, at, end, out);
    case Linktype.NULL:
    case Linktype.LOOP:
      if (end - at < NULL_HEADER_LEN) return Wire.Truncated;
      return link(nullEtherType(view, at), -1, at, at + NULL_HEADER_LEN, end, out);
    case Linktype.LINUX_SLL:
      if (end - at < SLL_HEADER_LEN) return Wire.Truncated;
      return cooked(view, sllHasEtherType(view, at), sllProtocolAt(at), at, at + SLL_HEADER_LEN, end, out);
    case Linktype.LINUX_SLL2:
      if (end - at < SLL2_HEADER_LEN) return Wire.Truncated;
      return cooked(view, sll2HasEtherType(view, at), sll2ProtocolAt(at), at, at + SLL2_HEADER_LEN, end, out);
    case Linktype.C_HDLC:
      return decodeHdlc(view, at, end, out);
    case Linktype.PPP:
    case Linktype.PPP_SERIAL:
    case Linktype.PPP_ETHER:
      return decodePppLink(view, at, end, linktype, out);
    case Linktype.IEEE802_11:
      return decodeIeee80211(view, at, at, end, false, out);
    case Linktype.IEEE802_11_RADIOTAP:
      return decodeRadiotap(view, at, end, out);
    case Linktype.JUNIPER_ETHER:
      return decodeJuniper(view, at, end, out);
    default:
      return Wire.Unsupported;
  }
}

/** What follows a link header without bytes. */
function next(type: number, at: number, end: number, out: Layers): WireStatus {
  out.l3 = at;
  out.nextType = type;
  out.nextAt = at;
  out.nextEnd = end;
  if (type >= ETHERTYPE_MIN) out.etherType = type;
  return Wire.Ok;
}

/** Adds the link layer [at, behind) and notes what follows it; `type` -1 = not looked into. */
function link(type: number, typeAt: number, at: number, behind: number, end: number, out: Layers): WireStatus {
  pushLayer(out, LayerKind.Link, at, end);
  next(type < 0 ? Next.None : type, behind, end, out);
  out.etherTypeAt = typeAt;
  return Wire.Ok;
}

function cooked(
  view: DataView,
  hasEtherType: boolean,
  typeAt: number,
  at: number,
  behind: number,
  end: number,
  out: Layers,
): WireStatus {
  const type = view.getUint16(typeAt);
  if (hasEtherType && type >= ETHERTYPE_MIN) return link(type, typeAt, at, behind, end, out);
  return link(hasEtherType && type === SLL_PROTOCOL_LLC ? Next.Llc : -1, -1, at, behind, end, out);
}

function decodeHdlc(view: DataView, at: number, end: number, out: Layers): WireStatus {
  if (end - at < HDLC_HEADER_LEN) return Wire.Truncated;
  const typeAt = hdlcProtocolAt(at);
  return link(view.getUint16(typeAt), typeAt, at, at + HDLC_HEADER_LEN, end, out);
}

function decodePppLink(view: DataView, at: number, end: number, linktype: number, out: Layers): WireStatus {
  if (end - at < 2) return Wire.Truncated;
  let start = at;
  if (linktype !== Linktype.PPP_ETHER) {
    const first = view.getUint16(at);
    if (first === PPP_HDLC_ADDRESS_CONTROL) start += 2;
    // LINKTYPE_PPP_SERIAL: Cisco HDLC where the address is a router's (RFC 1547 section 4.3.1).
    else if (linktype === Linktype.PPP_SERIAL && (first >>> 8 === 0x0f || first >>> 8 === 0x8f)) {
      return decodeHdlc(view, at, end, out);
    }
  }
  if (start >= end || end - start < pppProtocolLen(view, start)) return Wire.Truncated;
  const behind = start + pppProtocolLen(view, start);
  return link(etherTypeOfPpp(pppProtocol(view, start)), -1, at, behind, end, out);
}

/** `at`: the 802.11 header, `linkAt`: where the link header begins (radiotap). */
function decodeIeee80211(
  view: DataView,
  linkAt: number,
  at: number,
  end: number,
  padded: boolean,
  out: Layers,
): WireStatus {
  const status = checkIeee80211(view, at, end);
  if (status !== Wire.Ok) return status;
  const length = ieee80211HeaderLen(view, at);
  const body = at + (padded ? (length + 3) & ~3 : length);
  if (body > end) return Wire.Truncated;
  out.ieee80211 = at;
  return link(Next.Llc, -1, linkAt, body, end, out);
}

function decodeRadiotap(view: DataView, at: number, end: number, out: Layers): WireStatus {
  const status = checkRadiotap(view, at, end);
  if (status !== Wire.Ok) return status;
  return decodeIeee80211(view, at, at + radiotapLen(view, at), end, radiotapHasDataPad(view, at), out);
}

function decodeJuniper(view: DataView, at: number, end: number, out: Layers): WireStatus {
  const status = checkJuniper(view, at, end);
  if (status !== Wire.Ok) return status;
  const behind = at + juniperHeaderLen(view, at);
  if (juniperHasEthernet(view, at)) return next(EtherType.Teb, behind, end, out);
  return end - behind < JUNIPER_NO_LINK_LEN
    ? Wire.Truncated
    : link(Next.Ip, -1, at, behind + JUNIPER_NO_LINK_LEN, end, out);
}
