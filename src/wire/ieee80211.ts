/**
 * IEEE 802.11 data frames (IEEE 802.11-2020 section 9.3.2.1) and the radiotap header in front of them (radiotap.org).
 * Everything in them is little-endian but the LLC header behind.
 */
import { Wire, type WireStatus } from './layers.ts';

const CONTROL = 0;
const CONTROL_FLAGS = 1;
const ADDRESS_1 = 4;
const ADDRESS_2 = 10;
const ADDRESS_3 = 16;
const ADDRESS_4 = 24;
const HEADER_LEN = 24;
const HEADER_LEN_4 = 30;

const TYPE_MASK = 0x0c;
const TYPE_DATA = 0x08;
const SUBTYPE_NO_DATA = 0x40;
const SUBTYPE_QOS = 0x80;
const FLAG_TO_DS = 1;
const FLAG_FROM_DS = 2;
const FLAG_PROTECTED = 0x40;
const FLAG_ORDER = 0x80;
const QOS_A_MSDU = 0x80;

const RADIOTAP_LEN = 2;
const RADIOTAP_PRESENT = 4;
const RADIOTAP_MIN_LEN = 8;
const PRESENT_TSFT = 1;
const PRESENT_FLAGS = 2;
const PRESENT_MORE = 0x80000000 | 0;
const RADIOTAP_FLAG_DATA_PAD = 0x20;

/**
 * After `Wire.Ok` it is an unencrypted data frame with a body, not an A-MSDU, whose header lies whole before `end`;
 * other frames are Unsupported.
 */
export function checkIeee80211(view: DataView, at: number, end: number): WireStatus {
  if (end - at < 2) return Wire.Truncated;
  const control = view.getUint8(at + CONTROL);
  if ((control & 3) !== 0) return Wire.BadVersion;
  if ((control & TYPE_MASK) !== TYPE_DATA || (control & SUBTYPE_NO_DATA) !== 0) return Wire.Unsupported;
  if ((view.getUint8(at + CONTROL_FLAGS) & FLAG_PROTECTED) !== 0) return Wire.Unsupported;
  const length = ieee80211HeaderLen(view, at);
  if (end - at < length) return Wire.Truncated;
  if ((control & SUBTYPE_QOS) !== 0 && (view.getUint8(at + qosAt(view, at)) & QOS_A_MSDU) !== 0)
    return Wire.Unsupported;
  return Wire.Ok;
}

function hasFourAddresses(view: DataView, at: number): boolean {
  return (view.getUint8(at + CONTROL_FLAGS) & (FLAG_TO_DS | FLAG_FROM_DS)) === (FLAG_TO_DS | FLAG_FROM_DS);
}

/** Offset of the QoS control field within the frame. */
function qosAt(view: DataView, at: number): number {
  return hasFourAddresses(view, at) ? HEADER_LEN_4 : HEADER_LEN;
}

/** Bytes up to the LLC header: 24 to 36. */
export function ieee80211HeaderLen(view: DataView, at: number): number {
  let length = hasFourAddresses(view, at) ? HEADER_LEN_4 : HEADER_LEN;
  if ((view.getUint8(at + CONTROL) & SUBTYPE_QOS) !== 0) {
    length += 2;
    if ((view.getUint8(at + CONTROL_FLAGS) & FLAG_ORDER) !== 0) length += 4; // HT control
  }
  return length;
}

/** Offset of the destination's MAC address. Precondition: `checkIeee80211` said Ok. */
export function ieee80211DstAt(view: DataView, at: number): number {
  return (view.getUint8(at + CONTROL_FLAGS) & FLAG_TO_DS) !== 0 ? at + ADDRESS_3 : at + ADDRESS_1;
}

/** Offset of the source's MAC address. Precondition: `checkIeee80211` said Ok. */
export function ieee80211SrcAt(view: DataView, at: number): number {
  const flags = view.getUint8(at + CONTROL_FLAGS);
  if ((flags & FLAG_FROM_DS) === 0) return at + ADDRESS_2;
  return (flags & FLAG_TO_DS) !== 0 ? at + ADDRESS_4 : at + ADDRESS_3;
}

/** After `Wire.Ok` the radiotap header lies whole before `end`. */
export function checkRadiotap(view: DataView, at: number, end: number): WireStatus {
  if (end - at < RADIOTAP_MIN_LEN) return Wire.Truncated;
  if (view.getUint8(at) !== 0) return Wire.BadVersion;
  const length = view.getUint16(at + RADIOTAP_LEN, true);
  if (length < RADIOTAP_MIN_LEN) return Wire.BadLength;
  return end - at < length ? Wire.Truncated : Wire.Ok;
}

export function radiotapLen(view: DataView, at: number): number {
  return view.getUint16(at + RADIOTAP_LEN, true);
}

/**
 * True when the 802.11 header is padded to a multiple of four bytes in front of its body (flag 0x20, Atheros).
 * Precondition: `checkRadiotap` said Ok.
 */
export function radiotapHasDataPad(view: DataView, at: number): boolean {
  const end = at + radiotapLen(view, at);
  const present = view.getInt32(at + RADIOTAP_PRESENT, true);
  if ((present & PRESENT_FLAGS) === 0) return false;
  let field = at + RADIOTAP_PRESENT;
  while (field + 4 <= end && (view.getInt32(field, true) & PRESENT_MORE) !== 0) field += 4;
  field += 4;
  // The 64-bit timestamp in front of the flags is aligned to eight bytes from the header's start.
  if ((present & PRESENT_TSFT) !== 0) field = at + Math.ceil((field - at) / 8) * 8 + 8;
  return field < end && (view.getUint8(field) & RADIOTAP_FLAG_DATA_PAD) !== 0;
}
