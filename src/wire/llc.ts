/** IEEE 802.2 LLC and SNAP (RFC 1042): what 802.3 length frames and 802.11 data frames begin with. */
import { Wire, type WireStatus } from './layers.ts';

const DSAP_SSAP = 0;
const CONTROL = 2;
const OUI = 3;
const TYPE = 6;
export const LLC_LEN = 3;
export const SNAP_LEN = 8;

/** After `Wire.Ok` `isSnap` may be asked, and when it says true no snap* accessor reads outside [llc, end). */
export function checkLlc(view: DataView, llc: number, end: number): WireStatus {
  if (end - llc < LLC_LEN) return Wire.Truncated;
  return view.getUint16(llc + DSAP_SSAP) === 0xaaaa && end - llc < SNAP_LEN ? Wire.Truncated : Wire.Ok;
}

/** SNAP with an OUI whose protocol field is an EtherType: 00-00-00 (RFC 1042) or 00-00-f8 (802.1H bridge tunnel). */
export function isSnap(view: DataView, llc: number): boolean {
  if (view.getUint16(llc + DSAP_SSAP) !== 0xaaaa || view.getUint8(llc + CONTROL) !== 3) return false;
  return (
    view.getUint16(llc + OUI) === 0 && (view.getUint8(llc + OUI + 2) === 0 || view.getUint8(llc + OUI + 2) === 0xf8)
  );
}

export function snapType(view: DataView, llc: number): number {
  return view.getUint16(llc + TYPE);
}

/** Offset of the EtherType. */
export function snapTypeAt(llc: number): number {
  return llc + TYPE;
}

/** Writes LLC and SNAP for an EtherType. */
export function setSnap(view: DataView, llc: number, type: number): void {
  view.setUint16(llc + DSAP_SSAP, 0xaaaa);
  view.setUint32(llc + CONTROL, 0x03000000);
  view.setUint16(llc + TYPE, type);
}
