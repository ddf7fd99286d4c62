/** HOT: pcapng files in host byte order, one section, several interfaces. No object per packet. */

import { assert } from '../base/assert.ts';
import type { FrameBatch } from '../base/batch.ts';
import { OperatorError } from '../base/errors.ts';
import { FRAME_BYTES_MAX, type Region } from '../base/region.ts';
import { NS_PER_SECOND } from '../base/units.ts';
import { copyFrame } from './copy.ts';
import { CaptureOutput, type RecordShape } from './output.ts';
import { HOST_IS_LITTLE } from './pcap_writer.ts';
import {
  BLOCK_BYTES_MIN,
  BlockType,
  BYTE_ORDER_MAGIC,
  INTERFACES_MAX,
  Option,
  PACKET_BLOCK_HEADER_BYTES,
} from './pcapng_format.ts';
import { OptionsBuilder } from './pcapng_options.ts';
import type { CaptureWriterOptions, PcapngCaptureWriter, WriterInterface, WriterStatistics } from './writer.ts';

const TWO_16 = 0x1_0000;
const TWO_32 = 0x1_0000_0000;
const NO_OPTIONS = new Uint8Array(0);

const BLOCKS: RecordShape = {
  lengthAt: (view, at) => view.getUint32(at + 4, HOST_IS_LITTLE),
  isPacketAt: (view, at) => view.getUint32(at, HOST_IS_LITTLE) === BlockType.EnhancedPacket,
};

export class PcapngWriter implements PcapngCaptureWriter {
  readonly #output: CaptureOutput;
  readonly #digits: 6 | 9;
  /** Units of a second per interface. */
  readonly #units: number[] = [];
  #packets = 0;
  #stampHigh = 0;
  #stampLow = 0;
  /** Whole units of second `#baseSec`. */
  #baseSec = -1;
  #baseUnits = 0;
  #baseHigh = 0;
  #baseLow = 0;

  constructor(target: string | number, blockBytes: number, options: CaptureWriterOptions) {
    this.#output = new CaptureOutput(target, blockBytes, BLOCKS);
    this.#digits = options.timestampDigits ?? 6;
    this.#section(options);
    const { linktype = 1, snaplen = FRAME_BYTES_MAX, fcsBytes } = options;
    const only: WriterInterface = fcsBytes === undefined ? { linktype, snaplen } : { linktype, snaplen, fcsBytes };
    for (const one of options.interfaces ?? [only]) this.addInterface(one);
  }

  get name(): string {
    return this.#output.name;
  }

  get packetsWritten(): number {
    return this.#packets - this.#output.lostPackets;
  }

  get bytesWritten(): number {
    return this.#output.flushedBytes + this.#output.used;
  }

  write(region: Region, at: number, caplen: number, len: number, sec: number, nsec: number, interfaceIndex = 0): void {
    this.#packet(region, at, caplen, len, sec, nsec, interfaceIndex, NO_OPTIONS);
  }

  writeBatch(batch: FrameBatch): void {
    const { region, at, caplen, len, sec, nsec, interfaceIndex, count } = batch;
    for (let i = 0; i < count; i++) {
      this.#packet(region, at[i]!, caplen[i]!, len[i]!, sec[i]!, nsec[i]!, interfaceIndex[i]!, NO_OPTIONS);
    }
  }

  writeCommented(
    region: Region,
    at: number,
    caplen: number,
    len: number,
    sec: number,
    nsec: number,
    interfaceIndex: number,
    comments: readonly string[],
  ): void {
    const options = new OptionsBuilder().comments(comments).end();
    this.#packet(region, at, caplen, len, sec, nsec, interfaceIndex, options);
  }

  addInterface(description: WriterInterface): number {
    const index = this.#units.length;
    if (index >= INTERFACES_MAX) throw new OperatorError('USAGE', `a capture has at most ${INTERFACES_MAX} interfaces`);
    const digits = description.timestampDigits ?? this.#digits;
    const options = new OptionsBuilder()
      .text(Option.InterfaceName, description.name)
      .text(Option.InterfaceDescription, description.description)
      .filter(description.filter)
      .text(Option.InterfaceOs, description.os)
      .byte(Option.TimestampResolution, digits)
      .byte(Option.FcsLength, description.fcsBytes)
      .comments(description.comments)
      .end();
    const at = this.#block(BlockType.Interface, 8, options);
    const view = this.#output.view;
    view.setUint16(at + 8, description.linktype, HOST_IS_LITTLE);
    view.setUint16(at + 10, 0, HOST_IS_LITTLE);
    view.setUint32(at + 12, description.snaplen ?? FRAME_BYTES_MAX, HOST_IS_LITTLE);
    this.#units.push(10 ** digits);
    return index;
  }

  writeStatistics(interfaceIndex: number, sec: number, nsec: number, statistics: WriterStatistics): void {
    assert(interfaceIndex < this.#units.length, 'the interface was added');
    const options = new OptionsBuilder()
      .counter(Option.ReceivedByInterface, statistics.received)
      .counter(Option.DroppedByInterface, statistics.dropped)
      .counter(Option.AcceptedByFilter, statistics.acceptedByFilter)
      .counter(Option.DroppedByOs, statistics.droppedByOs)
      .counter(Option.DeliveredToUser, statistics.delivered)
      .comments(statistics.comments)
      .end();
    const at = this.#block(BlockType.InterfaceStatistics, 12, options);
    this.#stamp(interfaceIndex, sec, nsec);
    const view = this.#output.view;
    view.setUint32(at + 8, interfaceIndex, HOST_IS_LITTLE);
    view.setUint32(at + 12, this.#stampHigh, HOST_IS_LITTLE);
    view.setUint32(at + 16, this.#stampLow, HOST_IS_LITTLE);
  }

  flush(): void {
    this.#output.flush();
  }

  close(): void {
    this.#output.close();
  }

  #section(options: CaptureWriterOptions): void {
    const built = new OptionsBuilder()
      .text(Option.Hardware, options.hardware)
      .text(Option.Os, options.os)
      .text(Option.Application, options.application)
      .comments(options.comments)
      .end();
    const at = this.#block(BlockType.SectionHeader, 16, built);
    const view = this.#output.view;
    view.setUint32(at + 8, BYTE_ORDER_MAGIC, HOST_IS_LITTLE);
    view.setUint16(at + 12, 1, HOST_IS_LITTLE);
    view.setUint16(at + 14, 0, HOST_IS_LITTLE);
    // length of the section: not known beforehand
    view.setUint32(at + 16, 0xffffffff);
    view.setUint32(at + 20, 0xffffffff);
  }

  /** Reserves a block with a body of `bodyBytes` (a multiple of 4) and options behind it. Returns its offset. */
  #block(type: number, bodyBytes: number, options: Uint8Array): number {
    const output = this.#output;
    const total = BLOCK_BYTES_MIN + bodyBytes + options.length;
    const at = output.reserve(total);
    const view = output.view;
    view.setUint32(at, type, HOST_IS_LITTLE);
    view.setUint32(at + 4, total, HOST_IS_LITTLE);
    view.setUint32(at + total - 4, total, HOST_IS_LITTLE);
    if (options !== NO_OPTIONS) output.block.bytes.set(options, at + 8 + bodyBytes);
    return at;
  }

  #packet(
    region: Region,
    from: number,
    caplen: number,
    len: number,
    sec: number,
    nsec: number,
    interfaceIndex: number,
    options: Uint8Array,
  ): void {
    assert(caplen <= FRAME_BYTES_MAX, 'a frame is at most FRAME_BYTES_MAX long');
    assert(interfaceIndex < this.#units.length, 'the interface was added');
    const padded = (caplen + 3) & ~3;
    const at = this.#block(BlockType.EnhancedPacket, PACKET_BLOCK_HEADER_BYTES - 8 + padded, options);
    const view = this.#output.view;
    this.#stamp(interfaceIndex, sec, nsec);
    view.setUint32(at + 8, interfaceIndex, HOST_IS_LITTLE);
    view.setUint32(at + 12, this.#stampHigh, HOST_IS_LITTLE);
    view.setUint32(at + 16, this.#stampLow, HOST_IS_LITTLE);
    view.setUint32(at + 20, caplen, HOST_IS_LITTLE);
    view.setUint32(at + 24, len, HOST_IS_LITTLE);
    const frame = at + PACKET_BLOCK_HEADER_BYTES;
    // the padding is zeroed first, where the last word of the frame will be
    if (padded !== caplen) view.setUint32(frame + padded - 4, 0);
    copyFrame(region, from, this.#output.block, frame, caplen);
    this.#packets++;
  }

  /**
   * 64-bit count of units, exact: seconds are split so that no product passes 2^53. The share of the seconds is kept,
   * since most packets follow one of the same second.
   */
  #stamp(interfaceIndex: number, sec: number, nsec: number): void {
    const units = this.#units[interfaceIndex]!;
    if (sec !== this.#baseSec || units !== this.#baseUnits) {
      // stamps before 1970 cannot be written
      const seconds = Math.max(sec, 0);
      const upper = Math.floor(seconds / TWO_16);
      const high = upper * units;
      const low = (high & 0xffff) * TWO_16 + (seconds - upper * TWO_16) * units;
      this.#baseHigh = Math.floor(high / TWO_16) + Math.floor(low / TWO_32);
      this.#baseLow = low >>> 0;
      this.#baseSec = sec;
      this.#baseUnits = units;
    }
    const sum = this.#baseLow + (units === NS_PER_SECOND ? nsec : Math.floor(nsec / 1000));
    this.#stampHigh = sum < TWO_32 ? this.#baseHigh : this.#baseHigh + 1;
    this.#stampLow = sum >>> 0;
  }
}
