/**
 * Ethernet II and IEEE 802.3 header, IEEE 802.3 clause 3. Accessors are unchecked: call `checkEthernet` first.
 * A MAC address is two numbers: its first 16 bits and its last 32 bits.
 */
import { Wire, type WireStatus } from './layers.ts';

const DST = 0;
const SRC = 6;
const TYPE = 12;
export const ETHERNET_HEADER_LEN = 14;
/** Shortest frame without FCS; shorter ones are padded on the wire. */
export const ETHERNET_FRAME_MIN = 60;
export const ETHERNET_FCS_LEN = 4;

/** After `Wire.Ok` no ethernet* accessor reads outside [at, end). */
export function checkEthernet(_view: DataView, at: number, end: number): WireStatus {
  return end - at < ETHERNET_HEADER_LEN ? Wire.Truncated : Wire.Ok;
}

export function ethernetDstHigh(view: DataView, at: number): number {
  return view.getUint16(at + DST);
}

export function ethernetDstLow(view: DataView, at: number): number {
  return view.getUint32(at + DST + 2);
}

export function ethernetSrcHigh(view: DataView, at: number): number {
  return view.getUint16(at + SRC);
}

export function ethernetSrcLow(view: DataView, at: number): number {
  return view.getUint32(at + SRC + 2);
}

/** EtherType, or the 802.3 length where below 0x600. */
export function ethernetType(view: DataView, at: number): number {
  return view.getUint16(at + TYPE);
}

/** Offset of the EtherType field. */
export function ethernetTypeAt(at: number): number {
  return at + TYPE;
}

/** The group bit of the destination: multicast and broadcast. */
export function isEthernetMulticast(view: DataView, at: number): boolean {
  return (view.getUint8(at + DST) & 1) !== 0;
}

export function setEthernetDst(view: DataView, at: number, high: number, low: number): void {
  view.setUint16(at + DST, high);
  view.setUint32(at + DST + 2, low);
}

export function setEthernetSrc(view: DataView, at: number, high: number, low: number): void {
  view.setUint16(at + SRC, high);
  view.setUint32(at + SRC + 2, low);
}

export function setEthernetType(view: DataView, at: number, type: number): void {
  view.setUint16(at + TYPE, type);
}
