/** The block capture file: constants and options (draft-ietf-opsawg-pcapng). */
import { NS_PER_SECOND } from '../base/units.ts';
import { linktypeOfWord } from './pcap_format.ts';

export const BlockType = {
  SectionHeader: 0x0a0d0d0a,
  Interface: 1,
  /** Obsolete, still read. */
  Packet: 2,
  SimplePacket: 3,
  NameResolution: 4,
  InterfaceStatistics: 5,
  EnhancedPacket: 6,
  DecryptionSecrets: 10,
  Custom: 0xbad,
  CustomNoCopy: 0x40000bad,
} as const;

export const BYTE_ORDER_MAGIC = 0x1a2b3c4d;

/** Type, total length; the total length again closes a block. */
export const BLOCK_HEADER_BYTES = 8;
export const BLOCK_BYTES_MIN = 12;
/** Bytes in front of the frame: enhanced and obsolete packet blocks, simple packet block. */
export const PACKET_BLOCK_HEADER_BYTES = 28;
export const SIMPLE_BLOCK_HEADER_BYTES = 12;
export const SECTION_BLOCK_BYTES_MIN = 28;
export const INTERFACE_BLOCK_BYTES_MIN = 20;

/** Longest block that is looked into (libpcap's limit). Others are skipped, whatever their length. */
export const BLOCK_BYTES_MAX: number = 16 << 20;

/** Interfaces of a whole file: `FrameBatch.interfaceIndex` has 16 bits. */
export const INTERFACES_MAX = 65_536;

export const Option = {
  End: 0,
  Comment: 1,
  // section header
  Hardware: 2,
  Os: 3,
  Application: 4,
  // interface description
  InterfaceName: 2,
  InterfaceDescription: 3,
  TimestampResolution: 9,
  Filter: 11,
  InterfaceOs: 12,
  FcsLength: 13,
  TimestampOffset: 14,
  // interface statistics
  StatisticsStart: 2,
  StatisticsEnd: 3,
  ReceivedByInterface: 4,
  DroppedByInterface: 5,
  AcceptedByFilter: 6,
  DroppedByOs: 7,
  DeliveredToUser: 8,
} as const;

/** Called for each option; its value's bytes are [at, at + length). */
export type OptionVisitor = (code: number, at: number, length: number) => void;

/** Visits the options in [from, to). False: an option reaches beyond `to`. */
export function visitOptions(view: DataView, from: number, to: number, little: boolean, visit: OptionVisitor): boolean {
  let at = from;
  while (at + 4 <= to) {
    const code = view.getUint16(at, little);
    const length = view.getUint16(at + 2, little);
    if (code === Option.End) return true;
    if (at + 4 + length > to) return false;
    visit(code, at + 4, length);
    at += 4 + ((length + 3) & ~3);
  }
  return true;
}

const decoder = new TextDecoder();

/** A copy of text in a region. */
export function textAt(view: DataView, at: number, length: number): string {
  const text = decoder.decode(new Uint8Array(view.buffer, view.byteOffset + at, length));
  return text.endsWith('\0') ? text.slice(0, -1) : text;
}

/** An interface description block, read. */
export interface InterfaceBlock {
  readonly linktype: number;
  readonly snaplen: number;
  readonly name: string;
  readonly description: string;
  readonly filter: string;
  readonly os: string;
  readonly comments: readonly string[];
  /** Units of a second: 10^6 unless stated; may be above 2^53. */
  readonly unitsPerSecond: number;
  /** Exponent of the units: base 2 or 10. */
  readonly resolutionIsBinary: boolean;
  readonly resolutionExponent: number;
  /** Seconds to be added to each stamp. */
  readonly offsetSeconds: number;
  readonly fcsBytes: number;
}

/** Reads the block's body [at + 8, end). Returns what is wrong as the end of a sentence, or the interface. */
export function parseInterfaceBlock(view: DataView, at: number, end: number, little: boolean): InterfaceBlock | string {
  const word = view.getUint16(at + 8, little);
  const read = { name: '', description: '', filter: '', os: '', comments: [] as string[], resolution: 6 };
  let offsetSeconds = 0;
  let fcsBytes = -1;
  const whole = visitOptions(view, at + 16, end - 4, little, (code, from, length) => {
    if (code === Option.Comment) read.comments.push(textAt(view, from, length));
    else if (code === Option.InterfaceName) read.name = textAt(view, from, length);
    else if (code === Option.InterfaceDescription) read.description = textAt(view, from, length);
    else if (code === Option.InterfaceOs) read.os = textAt(view, from, length);
    else if (code === Option.Filter && length > 1) read.filter = textAt(view, from + 1, length - 1);
    else if (code === Option.TimestampResolution && length >= 1) read.resolution = view.getUint8(from);
    else if (code === Option.TimestampOffset && length >= 8) offsetSeconds = Number(view.getBigInt64(from, little));
    else if (code === Option.FcsLength && length >= 1) {
      // the draft says bits, its example and most writers mean bytes; nothing has a check sequence of 16 bytes
      const stated = view.getUint8(from);
      fcsBytes = stated >= 16 ? stated >> 3 : stated;
    }
  });
  if (!whole) return 'an option of the interface description reaches beyond its block';
  const resolutionIsBinary = (read.resolution & 0x80) !== 0;
  const resolutionExponent = read.resolution & 0x7f;
  return {
    linktype: linktypeOfWord(word),
    snaplen: view.getUint32(at + 12, little),
    name: read.name,
    description: read.description,
    filter: read.filter,
    os: read.os,
    comments: read.comments,
    unitsPerSecond: (resolutionIsBinary ? 2 : 10) ** resolutionExponent,
    resolutionIsBinary,
    resolutionExponent,
    offsetSeconds,
    fcsBytes,
  };
}

/** Decimal digits of a second that a resolution carries, rounded up, at most 9. */
export function timestampDigitsOf(block: InterfaceBlock): number {
  const exponent = block.resolutionExponent;
  return Math.min(9, block.resolutionIsBinary ? Math.ceil(exponent * Math.log10(2)) : exponent);
}

/**
 * Exact conversion of a 64-bit stamp for resolutions whose arithmetic does not fit doubles (finer than 10^-15 or
 * 2^-23). The usual resolutions never come here.
 */
export function exactStamp(
  high: number,
  low: number,
  block: InterfaceBlock,
  into: { sec: number; nsec: number },
): void {
  const stamp = (BigInt(high) << 32n) | BigInt(low);
  const units = (block.resolutionIsBinary ? 2n : 10n) ** BigInt(block.resolutionExponent);
  into.sec = Number(stamp / units) + block.offsetSeconds;
  into.nsec = Number(((stamp % units) * BigInt(NS_PER_SECOND)) / units);
}
