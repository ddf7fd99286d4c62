/**
 * The classic capture file: constants and the reading of its header (draft-ietf-opsawg-pcap; libpcap savefile(5)).
 */

export const PCAP_FILE_HEADER_BYTES = 24;

/** Microsecond stamps. */
export const PCAP_MAGIC_US = 0xa1b2c3d4;
/** Nanosecond stamps. */
export const PCAP_MAGIC_NS = 0xa1b23c4d;
/** Alexey Kuznetsov's patched libpcap: interface index, protocol and packet type follow each record header. */
export const PCAP_MAGIC_KUZNETSOV = 0xa1b2cd34;
/** Francisco Mesquita's and Navtel's variants: known by name only, libpcap refuses them too. */
export const PCAP_MAGIC_FMESQUITA = 0xa1b234cd;
export const PCAP_MAGIC_NAVTEL = 0xa12b3c4d;

export const PCAP_RECORD_HEADER_BYTES = 16;
export const PCAP_RECORD_HEADER_BYTES_KUZNETSOV = 24;

/** Order of the two length fields in a record header. */
export const Lengths = { CaplenFirst: 0, LenFirst: 1, LessIsCaplen: 2 } as const;
export type Lengths = (typeof Lengths)[keyof typeof Lengths];

export interface PcapHeader {
  readonly bigEndian: boolean;
  /** Nanoseconds of one unit of the stamp's second field: 1000 or 1. */
  readonly fractionNs: number;
  readonly recordHeaderBytes: number;
  readonly lengths: Lengths;
  readonly snaplen: number;
  readonly linktype: number;
  /** -1: not stated. */
  readonly fcsBytes: number;
}

const LINKTYPE_RAW = 101;
const LINKTYPE_IPV4 = 228;
const LINKTYPE_IPV6 = 229;

/** Upper bits of the link type word, as libpcap splits them. */
const LINKTYPE_MASK = 0xffff;
const CLASS_MASK = 0x03ff0000;
const FCS_PRESENT = 0x04000000;
/** NetBSD writes raw packets of one address family as class 0x224 with the family in the low bits. */
const CLASS_NETBSD_RAWAF = 0x02240000;
const NETBSD_AF_INET = 2;
const NETBSD_AF_INET6 = 24;

/** Link type of a file header's or an interface block's word; -1: a class of link types that is not known. */
export function linktypeOfWord(word: number): number {
  const low = word & LINKTYPE_MASK;
  const classBits = word & CLASS_MASK;
  if (classBits === CLASS_NETBSD_RAWAF) {
    if (low === NETBSD_AF_INET) return LINKTYPE_IPV4;
    return low === NETBSD_AF_INET6 ? LINKTYPE_IPV6 : -1;
  }
  if (classBits !== 0) return -1;
  // DLT_RAW of most systems and of OpenBSD, written unmapped by old programs
  return low === 12 || low === 14 ? LINKTYPE_RAW : low;
}

/** Reads 24 header bytes. Returns what is wrong as the end of a sentence, or the header. */
export function parsePcapHeader(view: DataView, at: number): PcapHeader | string {
  const bigEndian = isPcapMagic(view.getUint32(at));
  const little = !bigEndian;
  const magic = view.getUint32(at, little);
  if (magic === PCAP_MAGIC_FMESQUITA || magic === PCAP_MAGIC_NAVTEL) {
    const whose = magic === PCAP_MAGIC_NAVTEL ? 'Navtel' : "Francisco Mesquita's tcpdump";
    return `is a capture of ${whose} (magic 0x${magic.toString(16)}), whose records have no published layout`;
  }
  const major = view.getUint16(at + 4, little);
  const minor = view.getUint16(at + 6, little);
  // libpcap: 2.0 to 2.4, and 543.0 that DG/UX wrote; lengths changed places in 2.3, not in every program at once
  const dgux = major === 543 && minor === 0;
  if (!dgux && (major !== 2 || minor > 4)) return `has pcap version ${major}.${minor}; versions 2.0 to 2.4 can be read`;
  const lengths = dgux || minor < 3 ? Lengths.LenFirst : minor === 3 ? Lengths.LessIsCaplen : Lengths.CaplenFirst;
  const word = view.getUint32(at + 20, little);
  const linktype = linktypeOfWord(word);
  if (linktype < 0) return `has the unknown link type 0x${word.toString(16)}`;
  const kuznetsov = magic === PCAP_MAGIC_KUZNETSOV;
  return {
    bigEndian,
    fractionNs: magic === PCAP_MAGIC_NS ? 1 : 1000,
    recordHeaderBytes: kuznetsov ? PCAP_RECORD_HEADER_BYTES_KUZNETSOV : PCAP_RECORD_HEADER_BYTES,
    lengths,
    snaplen: view.getUint32(at + 16, little),
    linktype,
    // counted in 16-bit words
    fcsBytes: (word & FCS_PRESENT) !== 0 ? (word >>> 28) * 2 : -1,
  };
}

/** One of the magics above, in the byte order that `word` was read in. */
export function isPcapMagic(word: number): boolean {
  return (
    word === PCAP_MAGIC_US ||
    word === PCAP_MAGIC_NS ||
    word === PCAP_MAGIC_KUZNETSOV ||
    word === PCAP_MAGIC_FMESQUITA ||
    word === PCAP_MAGIC_NAVTEL
  );
}
