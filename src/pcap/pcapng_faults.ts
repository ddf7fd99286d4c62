/** What is wrong with a block that the reader stopped at. */
import { FRAME_BYTES_MAX } from '../base/region.ts';
import {
  BLOCK_BYTES_MAX,
  BLOCK_BYTES_MIN,
  BlockType,
  BYTE_ORDER_MAGIC,
  INTERFACE_BLOCK_BYTES_MIN,
  INTERFACES_MAX,
  PACKET_BLOCK_HEADER_BYTES,
  parseInterfaceBlock,
  SECTION_BLOCK_BYTES_MIN,
  SIMPLE_BLOCK_HEADER_BYTES,
} from './pcapng_format.ts';

const NAMES = new Map<number, string>([
  [BlockType.SectionHeader, 'section header block'],
  [BlockType.Interface, 'interface description block'],
  [BlockType.Packet, 'packet block'],
  [BlockType.SimplePacket, 'simple packet block'],
  [BlockType.NameResolution, 'name resolution block'],
  [BlockType.InterfaceStatistics, 'interface statistics block'],
  [BlockType.EnhancedPacket, 'enhanced packet block'],
  [BlockType.DecryptionSecrets, 'decryption secrets block'],
  [BlockType.Custom, 'custom block'],
  [BlockType.CustomNoCopy, 'custom block'],
]);

export function blockName(type: number): string {
  return NAMES.get(type) ?? `block of type 0x${type.toString(16)}`;
}

/** Shortest legal total length of a block type. */
export function blockBytesMin(type: number): number {
  if (type === BlockType.SectionHeader) return SECTION_BLOCK_BYTES_MIN;
  if (type === BlockType.Interface) return INTERFACE_BLOCK_BYTES_MIN;
  if (type === BlockType.EnhancedPacket || type === BlockType.Packet) return PACKET_BLOCK_HEADER_BYTES + 4;
  return type === BlockType.SimplePacket ? SIMPLE_BLOCK_HEADER_BYTES + 4 : BLOCK_BYTES_MIN;
}

export interface BlockFault {
  readonly what: string;
  /** The stream ended inside the block. */
  readonly isTruncated: boolean;
}

/** Byte order that a section header declares: true = little, null = neither. Needs 12 bytes. */
export function sectionIsLittle(view: DataView, at: number): boolean | null {
  if (view.getUint32(at + 8, true) === BYTE_ORDER_MAGIC) return true;
  return view.getUint32(at + 8) === BYTE_ORDER_MAGIC ? false : null;
}

/** The block at `at` has `left` bytes in the window and could not be read. */
export function diagnoseBlock(
  view: DataView,
  at: number,
  left: number,
  sectionLittle: boolean,
  sectionInterfaces: number,
  fileInterfaces: number,
): BlockFault {
  const wrong = (what: string): BlockFault => ({ what, isTruncated: false });
  if (left < BLOCK_BYTES_MIN) {
    return { what: `the file ends after ${left} bytes of a block's header`, isTruncated: true };
  }
  const type = view.getUint32(at, sectionLittle);
  const little = type === BlockType.SectionHeader ? sectionIsLittle(view, at) : sectionLittle;
  const name = blockName(type);
  if (little === null)
    return wrong(`the section header's byte order magic is 0x${view.getUint32(at + 8).toString(16)}`);
  const total = view.getUint32(at + 4, little);
  if (total % 4 !== 0) return wrong(`the ${name} says a length of ${total}, which is not a multiple of 4`);
  if (total < blockBytesMin(type)) {
    return wrong(`the ${name} says a length of ${total}, less than the ${blockBytesMin(type)} it must have`);
  }
  if (total > BLOCK_BYTES_MAX) return wrong(`the ${name} says a length of ${total}, more than ${BLOCK_BYTES_MAX}`);
  if (left < total)
    return { what: `the file ends after ${left} of the ${total} bytes of its ${name}`, isTruncated: true };
  const closing = view.getUint32(at + total - 4, little);
  if (closing !== total) return wrong(`the ${name} says a length of ${total} in front and ${closing} behind`);
  return wrong(diagnoseContent(view, at, total, little, type, sectionInterfaces, fileInterfaces));
}

function diagnoseContent(
  view: DataView,
  at: number,
  total: number,
  little: boolean,
  type: number,
  sectionInterfaces: number,
  fileInterfaces: number,
): string {
  if (type === BlockType.SectionHeader) {
    const version = `${view.getUint16(at + 12, little)}.${view.getUint16(at + 14, little)}`;
    return `the section has pcapng version ${version}; version 1.0 can be read`;
  }
  if (type === BlockType.Interface) {
    if (fileInterfaces >= INTERFACES_MAX) return `the file has more than ${INTERFACES_MAX} interfaces`;
    const parsed = parseInterfaceBlock(view, at, at + total, little);
    return typeof parsed === 'string' ? parsed : 'the interface description block cannot be read';
  }
  const name = blockName(type);
  const isSimple = type === BlockType.SimplePacket;
  const id = isSimple ? 0 : type === BlockType.Packet ? view.getUint16(at + 8, little) : view.getUint32(at + 8, little);
  if (id >= sectionInterfaces) {
    return `the ${name} names interface ${id}, but the section has declared ${sectionInterfaces}`;
  }
  const caplen = isSimple ? total - SIMPLE_BLOCK_HEADER_BYTES - 4 : view.getUint32(at + 20, little);
  if (caplen > FRAME_BYTES_MAX) {
    return `the ${name} says ${caplen} captured bytes, more than the ${FRAME_BYTES_MAX} a packet may have`;
  }
  return `the ${name} of ${total} bytes says ${caplen} captured bytes`;
}
