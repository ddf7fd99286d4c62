/** MPLS label stack entries, RFC 3032 section 2.1; EoMPLS control word, RFC 4448 section 4.6. */
import { Wire, type WireStatus } from './layers.ts';

const ENTRY = 0;
const TTL = 3;
export const MPLS_ENTRY_LEN = 4;
/** The EoMPLS control word between the bottom of the stack and the inner Ethernet header. */
export const MPLS_CONTROL_WORD_LEN = 4;

/** After `Wire.Ok` no mpls* accessor reads outside [mpls, end). */
export function checkMpls(_view: DataView, mpls: number, end: number): WireStatus {
  return end - mpls < MPLS_ENTRY_LEN ? Wire.Truncated : Wire.Ok;
}

/** Label, 0..2^20-1. */
export function mplsLabel(view: DataView, mpls: number): number {
  return view.getUint32(mpls + ENTRY) >>> 12;
}

export function mplsTrafficClass(view: DataView, mpls: number): number {
  return (view.getUint32(mpls + ENTRY) >>> 9) & 7;
}

/** True for the last entry of the stack. */
export function isMplsBottom(view: DataView, mpls: number): boolean {
  return (view.getUint32(mpls + ENTRY) & 0x100) !== 0;
}

export function mplsTtl(view: DataView, mpls: number): number {
  return view.getUint8(mpls + TTL);
}

export function setMplsEntry(
  view: DataView,
  mpls: number,
  label: number,
  trafficClass: number,
  bottom: boolean,
  ttl: number,
): void {
  view.setUint32(mpls + ENTRY, (label << 12) | (trafficClass << 9) | (bottom ? 0x100 : 0) | ttl);
}
