/** VXLAN, RFC 7348 section 5. An Ethernet header follows. */
import { Wire, type WireStatus } from './layers.ts';

const FLAGS = 0;
const VNI = 4;
export const VXLAN_HEADER_LEN = 8;
/** UDP destination port, and the one that Linux used before IANA's. */
export const VXLAN_PORT = 4789;
export const VXLAN_PORT_LINUX = 8472;
const FLAG_VNI = 0x08;

/** After `Wire.Ok` no vxlan* accessor reads outside [vxlan, end). Without the I flag it is no VXLAN: Unsupported. */
export function checkVxlan(view: DataView, vxlan: number, end: number): WireStatus {
  if (end - vxlan < VXLAN_HEADER_LEN) return Wire.Truncated;
  return (view.getUint8(vxlan + FLAGS) & FLAG_VNI) === 0 ? Wire.Unsupported : Wire.Ok;
}

/** Network identifier, 0..2^24-1. */
export function vxlanVni(view: DataView, vxlan: number): number {
  return view.getUint32(vxlan + VNI) >>> 8;
}

/** Writes the whole header. */
export function setVxlan(view: DataView, vxlan: number, vni: number): void {
  view.setUint32(vxlan + FLAGS, FLAG_VNI << 24);
  view.setUint32(vxlan + VNI, vni << 8);
}
