/**
 * Small link headers in front of an IP packet: NULL, LOOP, Linux cooked v1 and v2, Cisco HDLC. Layouts from
 * www.tcpdump.org/linktypes. Accessors are unchecked: the caller checks `*_LEN` bytes.
 */
import { EtherType } from './protocol.ts';

/** NULL and LOOP: address family in four bytes, in the byte order of whoever captured (NULL) or big-endian (LOOP). */
export const NULL_HEADER_LEN = 4;
const AF_INET = 2;

export const SLL_HEADER_LEN = 16;
const SLL_PACKET_TYPE = 0;
const SLL_ARPHRD = 2;
const SLL_ADDRESS_LEN = 4;
const SLL_ADDRESS = 6;
const SLL_PROTOCOL = 14;

export const SLL2_HEADER_LEN = 20;
const SLL2_PROTOCOL = 0;
const SLL2_INTERFACE = 4;
const SLL2_ARPHRD = 8;
const SLL2_PACKET_TYPE = 10;
const SLL2_ADDRESS_LEN = 11;
const SLL2_ADDRESS = 12;

export const HDLC_HEADER_LEN = 4;
const HDLC_ADDRESS = 0;
const HDLC_CONTROL = 1;
const HDLC_PROTOCOL = 2;

/** ARPHRD_ of Linux whose cooked frames hold no EtherType: netlink. */
const ARPHRD_NETLINK = 824;

/** EtherType for the address family of a NULL or LOOP header in either byte order, or -1. */
export function nullEtherType(view: DataView, at: number): number {
  const big = view.getUint32(at);
  const family = big <= 0xffff ? big : view.getUint32(at, true);
  switch (family) {
    case AF_INET:
      return EtherType.Ipv4;
    case 10: // Linux
    case 23: // Windows
    case 24: // NetBSD, OpenBSD
    case 28: // FreeBSD
    case 30: // macOS
      return EtherType.Ipv6;
    default:
      return -1;
  }
}

/** Writes a NULL or LOOP header in big-endian order: family 2 or, for IPv6, 30. */
export function setNullEtherType(view: DataView, at: number, etherType: number): void {
  view.setUint32(at, etherType === EtherType.Ipv6 ? 30 : AF_INET);
}

/** Offset of the protocol field. */
export function sllProtocolAt(at: number): number {
  return at + SLL_PROTOCOL;
}

/** 0 to us, 1 broadcast, 2 multicast, 3 to others, 4 sent by us. */
export function sllPacketType(view: DataView, at: number): number {
  return view.getUint16(at + SLL_PACKET_TYPE);
}

/** Bytes of the sender's link address. */
export function sllAddressLen(view: DataView, at: number): number {
  return view.getUint16(at + SLL_ADDRESS_LEN);
}

/** Offset of the sender's link address (8 bytes, padded). */
export function sllAddressAt(at: number): number {
  return at + SLL_ADDRESS;
}

export function sllHasEtherType(view: DataView, at: number): boolean {
  return view.getUint16(at + SLL_ARPHRD) !== ARPHRD_NETLINK;
}

/** Writes a whole Linux cooked header without an address. `arphrd`: 1 Ethernet, 772 loopback. */
export function setSll(view: DataView, at: number, packetType: number, arphrd: number, protocol: number): void {
  view.setUint16(at + SLL_PACKET_TYPE, packetType);
  view.setUint16(at + SLL_ARPHRD, arphrd);
  view.setUint16(at + SLL_ADDRESS_LEN, 0);
  view.setUint32(at + SLL_ADDRESS, 0);
  view.setUint32(at + SLL_ADDRESS + 4, 0);
  view.setUint16(at + SLL_PROTOCOL, protocol);
}

/** Offset of the protocol field. */
export function sll2ProtocolAt(at: number): number {
  return at + SLL2_PROTOCOL;
}

export function sll2PacketType(view: DataView, at: number): number {
  return view.getUint8(at + SLL2_PACKET_TYPE);
}

export function sll2Interface(view: DataView, at: number): number {
  return view.getUint32(at + SLL2_INTERFACE);
}

/** Bytes of the sender's link address. */
export function sll2AddressLen(view: DataView, at: number): number {
  return view.getUint8(at + SLL2_ADDRESS_LEN);
}

/** Offset of the sender's link address (8 bytes, padded). */
export function sll2AddressAt(at: number): number {
  return at + SLL2_ADDRESS;
}

export function sll2HasEtherType(view: DataView, at: number): boolean {
  return view.getUint16(at + SLL2_ARPHRD) !== ARPHRD_NETLINK;
}

/** Writes a whole Linux cooked v2 header without an address. */
export function setSll2(
  view: DataView,
  at: number,
  packetType: number,
  arphrd: number,
  interfaceIndex: number,
  protocol: number,
): void {
  view.setUint32(at + SLL2_PROTOCOL, protocol << 16);
  view.setUint32(at + SLL2_INTERFACE, interfaceIndex);
  view.setUint16(at + SLL2_ARPHRD, arphrd);
  view.setUint8(at + SLL2_PACKET_TYPE, packetType);
  view.setUint8(at + SLL2_ADDRESS_LEN, 0);
  view.setUint32(at + SLL2_ADDRESS, 0);
  view.setUint32(at + SLL2_ADDRESS + 4, 0);
}

/** Offset of the EtherType. */
export function hdlcProtocolAt(at: number): number {
  return at + HDLC_PROTOCOL;
}

/** Writes a whole Cisco HDLC header; address 0x0f unicast or 0x8f multicast, control 0. */
export function setHdlc(view: DataView, at: number, address: number, control: number, protocol: number): void {
  view.setUint8(at + HDLC_ADDRESS, address);
  view.setUint8(at + HDLC_CONTROL, control);
  view.setUint16(at + HDLC_PROTOCOL, protocol);
}

/** Writes the sender's MAC address into a cooked header. */
export function setSllAddress(view: DataView, at: number, high: number, low: number): void {
  view.setUint16(at + SLL_ADDRESS_LEN, 6);
  view.setUint16(at + SLL_ADDRESS, high);
  view.setUint32(at + SLL_ADDRESS + 2, low);
}

/** Writes the sender's MAC address into a cooked v2 header. */
export function setSll2Address(view: DataView, at: number, high: number, low: number): void {
  view.setUint8(at + SLL2_ADDRESS_LEN, 6);
  view.setUint16(at + SLL2_ADDRESS, high);
  view.setUint32(at + SLL2_ADDRESS + 2, low);
}
