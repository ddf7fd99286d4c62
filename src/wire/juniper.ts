/** Juniper's header in front of an Ethernet header (LINKTYPE_JUNIPER_ETHER, www.tcpdump.org/linktypes). */
import { Wire, type WireStatus } from './layers.ts';

const MAGIC = 0; // "MGC" and a byte of flags
const FLAGS = 3;
const EXTENSION_LEN = 4;
export const JUNIPER_MIN_LEN = 4;
const FLAG_NO_LINK_HEADER = 0x02;
const FLAG_EXTENSION = 0x80;

/** After `Wire.Ok` the header with its extensions lies whole before `end`. */
export function checkJuniper(view: DataView, at: number, end: number): WireStatus {
  if (end - at < JUNIPER_MIN_LEN) return Wire.Truncated;
  if (view.getUint32(at + MAGIC) >>> 8 !== 0x4d4743) return Wire.BadVersion;
  if ((view.getUint8(at + FLAGS) & FLAG_EXTENSION) !== 0 && end - at < EXTENSION_LEN + 2) return Wire.Truncated;
  return end - at < juniperHeaderLen(view, at) ? Wire.Truncated : Wire.Ok;
}

/** Bytes up to the Ethernet header, or up to what follows where there is none. */
export function juniperHeaderLen(view: DataView, at: number): number {
  if ((view.getUint8(at + FLAGS) & FLAG_EXTENSION) === 0) return JUNIPER_MIN_LEN;
  return EXTENSION_LEN + 2 + view.getUint16(at + EXTENSION_LEN);
}

/** False when four bytes and an IP header follow instead of an Ethernet header. */
export function juniperHasEthernet(view: DataView, at: number): boolean {
  return (view.getUint8(at + FLAGS) & FLAG_NO_LINK_HEADER) === 0;
}

/** Writes a header without extensions; `incoming` is the direction bit. */
export function setJuniper(view: DataView, at: number, incoming: boolean): void {
  view.setUint32(at + MAGIC, 0x4d474300 | (incoming ? 1 : 0));
}
