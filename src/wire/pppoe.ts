/** PPPoE session header, RFC 2516 section 4, with the two bytes of the PPP protocol behind it. */
import { Wire, type WireStatus } from './layers.ts';

const VERSION_TYPE = 0;
const CODE = 1;
const SESSION = 2;
const LENGTH = 4;
const PROTOCOL = 6;
/** Header without the PPP protocol field. */
export const PPPOE_HEADER_LEN = 6;
export const PPPOE_SESSION_LEN = 8;

/** After `Wire.Ok` no pppoe* accessor reads outside [pppoe, end), and it is a session packet of version 1, type 1. */
export function checkPppoe(view: DataView, pppoe: number, end: number): WireStatus {
  if (end - pppoe < PPPOE_SESSION_LEN) return Wire.Truncated;
  if (view.getUint8(pppoe + VERSION_TYPE) !== 0x11 || view.getUint8(pppoe + CODE) !== 0) return Wire.BadVersion;
  return view.getUint16(pppoe + LENGTH) < 2 ? Wire.BadLength : Wire.Ok;
}

export function pppoeSession(view: DataView, pppoe: number): number {
  return view.getUint16(pppoe + SESSION);
}

/** Bytes behind the six-byte header, PPP protocol field included. */
export function pppoeLength(view: DataView, pppoe: number): number {
  return view.getUint16(pppoe + LENGTH);
}

/** Offset of the PPP protocol field. */
export function pppoeProtocolAt(pppoe: number): number {
  return pppoe + PROTOCOL;
}

export function setPppoeSession(view: DataView, pppoe: number, session: number): void {
  view.setUint16(pppoe + SESSION, session);
}

export function setPppoeLength(view: DataView, pppoe: number, length: number): void {
  view.setUint16(pppoe + LENGTH, length);
}

/** Writes version, type and code of a session packet, and the PPP protocol. */
export function setPppoe(view: DataView, pppoe: number, session: number, length: number, protocol: number): void {
  view.setUint8(pppoe + VERSION_TYPE, 0x11);
  view.setUint8(pppoe + CODE, 0);
  view.setUint16(pppoe + SESSION, session);
  view.setUint16(pppoe + LENGTH, length);
  view.setUint16(pppoe + PROTOCOL, protocol);
}
