/** ARP, RFC 826. The address accessors are for IPv4 over any hardware with 6-byte addresses (`isArpIpv4`). */
import { Wire, type WireStatus } from './layers.ts';
import { EtherType } from './protocol.ts';

const HARDWARE = 0;
const PROTOCOL = 2;
const HARDWARE_LEN = 4;
const PROTOCOL_LEN = 5;
const OPERATION = 6;
const SENDER_MAC = 8;
const SENDER_IP = 14;
const TARGET_MAC = 18;
const TARGET_IP = 24;
export const ARP_FIXED_LEN = 8;
/** Length of ARP for IPv4 over Ethernet. */
export const ARP_IPV4_LEN = 28;

export const ArpOperation = { Request: 1, Reply: 2 } as const;
const HARDWARE_ETHERNET = 1;

/**
 * After `Wire.Ok` `arpOperation` and `isArpIpv4` do not read outside [arp, end), and the other accessors do not either
 * if `isArpIpv4` says true. Voided by the setters of lengths.
 */
export function checkArp(view: DataView, arp: number, end: number): WireStatus {
  if (end - arp < ARP_FIXED_LEN) return Wire.Truncated;
  const length = ARP_FIXED_LEN + 2 * (view.getUint8(arp + HARDWARE_LEN) + view.getUint8(arp + PROTOCOL_LEN));
  return end - arp < length ? Wire.Truncated : Wire.Ok;
}

/** 1 request, 2 reply, 3 and 4 reverse. */
export function arpOperation(view: DataView, arp: number): number {
  return view.getUint16(arp + OPERATION);
}

/** IPv4 addresses and 6-byte hardware addresses: the layout that the address accessors assume. */
export function isArpIpv4(view: DataView, arp: number): boolean {
  return (
    view.getUint16(arp + PROTOCOL) === EtherType.Ipv4 &&
    view.getUint8(arp + HARDWARE_LEN) === 6 &&
    view.getUint8(arp + PROTOCOL_LEN) === 4
  );
}

export function arpSenderIp(view: DataView, arp: number): number {
  return view.getUint32(arp + SENDER_IP);
}

export function arpTargetIp(view: DataView, arp: number): number {
  return view.getUint32(arp + TARGET_IP);
}

/** Offset of the sender's hardware address. */
export function arpSenderMacAt(arp: number): number {
  return arp + SENDER_MAC;
}

/** Offset of the target's hardware address. */
export function arpTargetMacAt(arp: number): number {
  return arp + TARGET_MAC;
}

/** Writes the fixed part of ARP for IPv4 over Ethernet. */
export function setArpIpv4(view: DataView, arp: number, operation: number): void {
  view.setUint16(arp + HARDWARE, HARDWARE_ETHERNET);
  view.setUint16(arp + PROTOCOL, EtherType.Ipv4);
  view.setUint8(arp + HARDWARE_LEN, 6);
  view.setUint8(arp + PROTOCOL_LEN, 4);
  view.setUint16(arp + OPERATION, operation);
}

export function setArpSenderIp(view: DataView, arp: number, address: number): void {
  view.setUint32(arp + SENDER_IP, address);
}

export function setArpTargetIp(view: DataView, arp: number, address: number): void {
  view.setUint32(arp + TARGET_IP, address);
}

export function setArpSenderMac(view: DataView, arp: number, high: number, low: number): void {
  view.setUint16(arp + SENDER_MAC, high);
  view.setUint32(arp + SENDER_MAC + 2, low);
}

export function setArpTargetMac(view: DataView, arp: number, high: number, low: number): void {
  view.setUint16(arp + TARGET_MAC, high);
  view.setUint32(arp + TARGET_MAC + 2, low);
}
