/**
 * VLAN tags, IEEE 802.1Q-2022 clause 9: 802.1Q (0x8100), 802.1ad (0x88a8) and the older 0x9100. `vlan` is the offset of
 * the TCI: the TPID that announces the tag lies two bytes before it, the EtherType of what follows two bytes behind.
 */
import { Wire, type WireStatus } from './layers.ts';
import { EtherType } from './protocol.ts';

const TPID = -2;
const TCI = 0;
const TYPE = 2;
/** Bytes of a tag behind its TPID; also what a tag adds to a frame. */
export const VLAN_TAG_LEN = 4;

const VLAN = EtherType.Vlan;
const PROVIDER = EtherType.ProviderVlan;
const OLD = EtherType.OldVlan;

/** True for EtherTypes that announce a tag. */
export function isVlanType(etherType: number): boolean {
  return etherType === VLAN || etherType === PROVIDER || etherType === OLD;
}

/** After `Wire.Ok` no vlan* accessor but `vlanTpid` reads outside [vlan, end). */
export function checkVlan(_view: DataView, vlan: number, end: number): WireStatus {
  return end - vlan < VLAN_TAG_LEN ? Wire.Truncated : Wire.Ok;
}

/** Reads the two bytes before `vlan`. */
export function vlanTpid(view: DataView, vlan: number): number {
  return view.getUint16(vlan + TPID);
}

/** VLAN identifier, 0..4095. */
export function vlanId(view: DataView, vlan: number): number {
  return view.getUint16(vlan + TCI) & 0xfff;
}

/** Priority code point, 0..7. */
export function vlanPriority(view: DataView, vlan: number): number {
  return view.getUint8(vlan + TCI) >>> 5;
}

/** Drop eligible indicator (CFI before 2011), 0..1. */
export function vlanDei(view: DataView, vlan: number): number {
  return (view.getUint8(vlan + TCI) >>> 4) & 1;
}

/** EtherType of what follows. */
export function vlanType(view: DataView, vlan: number): number {
  return view.getUint16(vlan + TYPE);
}

/** Offset of the EtherType behind the tag. */
export function vlanTypeAt(vlan: number): number {
  return vlan + TYPE;
}

export function setVlanTpid(view: DataView, vlan: number, tpid: number): void {
  view.setUint16(vlan + TPID, tpid);
}

export function setVlanTci(view: DataView, vlan: number, id: number, priority: number, dei: number): void {
  view.setUint16(vlan + TCI, (priority << 13) | (dei << 12) | id);
}

export function setVlanId(view: DataView, vlan: number, id: number): void {
  view.setUint16(vlan + TCI, (view.getUint16(vlan + TCI) & 0xf000) | id);
}

export function setVlanPriority(view: DataView, vlan: number, priority: number): void {
  view.setUint16(vlan + TCI, (view.getUint16(vlan + TCI) & 0x1fff) | (priority << 13));
}

export function setVlanDei(view: DataView, vlan: number, dei: number): void {
  view.setUint16(vlan + TCI, (view.getUint16(vlan + TCI) & 0xefff) | (dei << 12));
}

export function setVlanType(view: DataView, vlan: number, type: number): void {
  view.setUint16(vlan + TYPE, type);
}
