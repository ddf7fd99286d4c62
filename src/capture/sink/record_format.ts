/**
 * HOT: records of both capture formats in host byte order: what stands in front of a frame and behind it. The frame
 * itself is somebody else's to place.
 */
import os from 'node:os';
import type { FrameBatch } from '../../base/batch.ts';
import type { Region } from '../../base/region.ts';
import { type RingBlock, RingWord } from '../../device/ring_block.ts';
import {
  PCAP_FILE_HEADER_BYTES,
  PCAP_MAGIC_NS,
  PCAP_MAGIC_US,
  PCAP_RECORD_HEADER_BYTES,
} from '../../pcap/pcap_format.ts';
import { BlockType, BYTE_ORDER_MAGIC, Option, PACKET_BLOCK_HEADER_BYTES } from '../../pcap/pcapng_format.ts';
import { OptionsBuilder } from '../../pcap/pcapng_options.ts';
import type { CaptureSinkSpec, InterfaceCounts } from './sink.ts';
import { copyEights, copyWords, putPcapRecord } from './word_records.ts';

const LITTLE: boolean = os.endianness() === 'LE';
const TWO_16 = 0x1_0000;
const TWO_32 = 0x1_0000_0000;
const EMPTY = new Uint8Array(0);
/** Where the words of the same meaning as a pcap record's header begin in a ring's. */
const RING_HEADER_AT: number = RingWord.Sec << 2;

export interface RecordFormat {
  readonly headerBytes: number;
  /** Bytes behind a frame of `caplen` bytes, padding included. */
  trailerBytes(caplen: number): number;
  putHeader(view: DataView, to: number, batch: FrameBatch, i: number): void;
  putTrailer(view: DataView, to: number, caplen: number): void;
  /** Whether `putRecord` may be used. */
  readonly hasWordRecords: boolean;
  /** Records have whole words, and `putRecord` is for those that begin at one. */
  readonly recordsAreWords: boolean;
  /**
   * Header, frame and trailer of frame `i`, by words (word_records.ts). Preconditions: those of `putPcapRecord`.
   */
  putRecord(block: Region, words: Int32Array, to: number, batch: FrameBatch, i: number, source: Int32Array): void;
  /** Whether `putRingHeader` may be used. */
  readonly takesRing: boolean;
  /**
   * What stands in front of the frame whose header is at `frame` of a ring's block, of interface 0. `caplen` bytes are
   * kept of it; a tag that was put back makes it `tagBytes` longer.
   */
  putRingHeader(view: DataView, to: number, block: RingBlock, frame: number, caplen: number, tagBytes: number): void;
  /** Whether frame `i` can be said in this file. */
  accepts(batch: FrameBatch, i: number): boolean;
  /** The bytes that a file begins with. */
  fileHeader(): Uint8Array;
  /** The bytes that it ends with: `counts` of each interface, at `nowMs`. */
  fileTrailer(counts: readonly (InterfaceCounts | null)[], nowMs: number): Uint8Array;
}

export class PcapRecords implements RecordFormat {
  readonly headerBytes: number = PCAP_RECORD_HEADER_BYTES;
  readonly hasWordRecords: boolean = LITTLE;
  readonly recordsAreWords: boolean = false;
  readonly takesRing: boolean = LITTLE;
  readonly #spec: CaptureSinkSpec;
  readonly #linktype: number;
  readonly #unitNs: number;

  constructor(spec: CaptureSinkSpec) {
    this.#spec = spec;
    this.#linktype = spec.interfaces[0]!.linktype;
    this.#unitNs = spec.timestampDigits === 9 ? 1 : 1000;
  }

  trailerBytes(): number {
    return 0;
  }

  putHeader(view: DataView, to: number, batch: FrameBatch, i: number): void {
    view.setUint32(to, batch.sec[i]!, LITTLE);
    view.setUint32(to + 4, (batch.nsec[i]! / this.#unitNs) | 0, LITTLE);
    view.setUint32(to + 8, batch.caplen[i]!, LITTLE);
    view.setUint32(to + 12, batch.len[i]!, LITTLE);
  }

  putTrailer(): void {}

  putRecord(_: Region, words: Int32Array, to: number, batch: FrameBatch, i: number, source: Int32Array): void {
    putPcapRecord(words, to, batch, i, this.#unitNs, source);
  }

  /** Four words of the ring are the record's header but for the unit of its fractions. */
  putRingHeader(view: DataView, to: number, block: RingBlock, frame: number, caplen: number, tagBytes: number): void {
    copyEights(block.region.view, frame + RING_HEADER_AT, view, to, PCAP_RECORD_HEADER_BYTES);
    const word = frame >>> 2;
    if (this.#unitNs !== 1) view.setInt32(to + 4, (block.words[word + RingWord.Nsec]! / this.#unitNs) | 0, LITTLE);
    if (tagBytes === 0) return;
    view.setInt32(to + 8, caplen, LITTLE);
    view.setInt32(to + 12, block.words[word + RingWord.Len]! + tagBytes, LITTLE);
  }

  accepts(batch: FrameBatch, i: number): boolean {
    return batch.linktype[i]! === this.#linktype;
  }

  fileHeader(): Uint8Array {
    const bytes = new Uint8Array(PCAP_FILE_HEADER_BYTES);
    const view = new DataView(bytes.buffer);
    view.setUint32(0, this.#unitNs === 1 ? PCAP_MAGIC_NS : PCAP_MAGIC_US, LITTLE);
    view.setUint16(4, 2, LITTLE);
    view.setUint16(6, 4, LITTLE);
    view.setUint32(16, Math.max(...this.#spec.interfaces.map((one) => one.snaplen)), LITTLE);
    view.setUint32(20, this.#linktype, LITTLE);
    return bytes;
  }

  fileTrailer(): Uint8Array {
    return EMPTY;
  }
}

export class PcapngRecords implements RecordFormat {
  readonly headerBytes: number = PACKET_BLOCK_HEADER_BYTES;
  readonly hasWordRecords: boolean = true;
  readonly recordsAreWords: boolean = true;
  readonly takesRing: boolean = LITTLE;
  readonly #spec: CaptureSinkSpec;
  readonly #linktypes: Uint16Array;
  readonly #units: number;
  readonly #unitNs: number;
  #stampHigh = 0;
  #stampLow = 0;
  /** The share of the seconds in the stamp, kept: most packets follow one of the same second. */
  #baseSec = -1;
  #baseHigh = 0;
  #baseLow = 0;

  constructor(spec: CaptureSinkSpec) {
    this.#spec = spec;
    this.#linktypes = Uint16Array.from(spec.interfaces, (one) => one.linktype);
    this.#units = 10 ** spec.timestampDigits;
    this.#unitNs = spec.timestampDigits === 9 ? 1 : 1000;
  }

  trailerBytes(caplen: number): number {
    return (-caplen & 3) + 4;
  }

  putHeader(view: DataView, to: number, batch: FrameBatch, i: number): void {
    const caplen = batch.caplen[i]!;
    this.#stamp(batch.sec[i]!, batch.nsec[i]!);
    view.setUint32(to, BlockType.EnhancedPacket, LITTLE);
    view.setUint32(to + 4, blockBytes(caplen), LITTLE);
    view.setUint32(to + 8, batch.interfaceIndex[i]!, LITTLE);
    view.setUint32(to + 12, this.#stampHigh, LITTLE);
    view.setUint32(to + 16, this.#stampLow, LITTLE);
    view.setUint32(to + 20, caplen, LITTLE);
    view.setUint32(to + 24, batch.len[i]!, LITTLE);
  }

  putRingHeader(view: DataView, to: number, block: RingBlock, frame: number, caplen: number, tagBytes: number): void {
    const { words } = block;
    const word = frame >>> 2;
    const sec = words[word + RingWord.Sec]! >>> 0;
    if (sec !== this.#baseSec) this.#setBase(sec);
    const low = this.#baseLow + ((words[word + RingWord.Nsec]! / this.#unitNs) | 0);
    view.setInt32(to, BlockType.EnhancedPacket, LITTLE);
    view.setInt32(to + 4, blockBytes(caplen), LITTLE);
    view.setInt32(to + 8, 0, LITTLE);
    view.setInt32(to + 12, low < TWO_32 ? this.#baseHigh : this.#baseHigh + 1, LITTLE);
    view.setInt32(to + 16, low, LITTLE);
    view.setInt32(to + 20, caplen, LITTLE);
    view.setInt32(to + 24, words[word + RingWord.Len]! + tagBytes, LITTLE);
  }

  /** Blocks are whole words: nothing is shifted. */
  putRecord(block: Region, words: Int32Array, to: number, batch: FrameBatch, i: number, source: Int32Array): void {
    const caplen = batch.caplen[i]!;
    this.putHeader(block.view, to, batch, i);
    copyWords(source, batch.at[i]!, words, to + this.headerBytes, caplen);
    this.putTrailer(block.view, to + this.headerBytes + caplen, caplen);
  }

  putTrailer(view: DataView, to: number, caplen: number): void {
    const padding = -caplen & 3;
    // its fourth byte is the length's
    if (padding > 0) view.setInt32(to, 0, LITTLE);
    view.setInt32(to + padding, blockBytes(caplen), LITTLE);
  }

  accepts(batch: FrameBatch, i: number): boolean {
    // an index beyond the list reads as undefined, which no link type equals
    return this.#linktypes[batch.interfaceIndex[i]!] === batch.linktype[i]!;
  }

  fileHeader(): Uint8Array {
    const spec = this.#spec;
    const section = new Uint8Array(16);
    const view = new DataView(section.buffer);
    view.setUint32(0, BYTE_ORDER_MAGIC, LITTLE);
    view.setUint16(4, 1, LITTLE);
    section.fill(0xff, 8); // length of the section: not known beforehand
    const options = new OptionsBuilder().text(Option.Os, spec.os).text(Option.Application, spec.application).end();
    const blocks = [block(BlockType.SectionHeader, section, options)];
    for (const one of spec.interfaces) {
      const body = new Uint8Array(8);
      const fields = new DataView(body.buffer);
      fields.setUint16(0, one.linktype, LITTLE);
      fields.setUint32(4, one.snaplen, LITTLE);
      const described = new OptionsBuilder()
        .text(Option.InterfaceName, one.name)
        .text(Option.InterfaceDescription, one.description)
        .filter(one.filter)
        .text(Option.InterfaceOs, spec.os)
        .byte(Option.TimestampResolution, spec.timestampDigits)
        .end();
      blocks.push(block(BlockType.Interface, body, described));
    }
    return joined(blocks);
  }

  fileTrailer(counts: readonly (InterfaceCounts | null)[], nowMs: number): Uint8Array {
    const blocks: Uint8Array[] = [];
    this.#stamp(Math.floor(nowMs / 1000), (nowMs % 1000) * 1_000_000);
    for (const [index, one] of counts.entries()) {
      if (one === null) continue;
      const body = new Uint8Array(12);
      const view = new DataView(body.buffer);
      view.setUint32(0, index, LITTLE);
      view.setUint32(4, this.#stampHigh, LITTLE);
      view.setUint32(8, this.#stampLow, LITTLE);
      const options = new OptionsBuilder()
        .counter(Option.ReceivedByInterface, one.received)
        .counter(Option.DroppedByInterface, one.droppedByInterface)
        .counter(Option.DroppedByOs, one.droppedByKernel)
        .end();
      blocks.push(block(BlockType.InterfaceStatistics, body, options));
    }
    return joined(blocks);
  }

  /** 64-bit count of units, exact: seconds are split so that no product passes 2^53. Stamps begin in 1970. */
  #stamp(sec: number, nsec: number): void {
    if (sec !== this.#baseSec) this.#setBase(sec);
    const sum = this.#baseLow + Math.floor(nsec / this.#unitNs);
    this.#stampHigh = sum < TWO_32 ? this.#baseHigh : this.#baseHigh + 1;
    this.#stampLow = sum >>> 0;
  }

  #setBase(sec: number): void {
    const seconds = Math.max(sec, 0);
    const upper = Math.floor(seconds / TWO_16);
    const high = upper * this.#units;
    const low = (high & 0xffff) * TWO_16 + (seconds - upper * TWO_16) * this.#units;
    this.#baseHigh = Math.floor(high / TWO_16) + Math.floor(low / TWO_32);
    this.#baseLow = low >>> 0;
    this.#baseSec = sec;
  }
}

function blockBytes(caplen: number): number {
  return PACKET_BLOCK_HEADER_BYTES + ((caplen + 3) & ~3) + 4;
}

function block(type: number, body: Uint8Array, options: Uint8Array): Uint8Array {
  const total = 12 + body.length + options.length;
  const bytes = new Uint8Array(total);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, type, LITTLE);
  view.setUint32(4, total, LITTLE);
  bytes.set(body, 8);
  bytes.set(options, 8 + body.length);
  view.setUint32(total - 4, total, LITTLE);
  return bytes;
}

function joined(blocks: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(blocks.reduce((sum, one) => sum + one.length, 0));
  let at = 0;
  for (const one of blocks) {
    bytes.set(one, at);
    at += one.length;
  }
  return bytes;
}
