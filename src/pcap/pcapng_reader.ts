/**
 * HOT: packets of a pcapng file, about 15 ns each. No object per packet: offsets go into the caller's batch.
 *
 * A packet block's header may be overwritten by whoever has the batch (`headroomBytes`): nothing of it is read again.
 * Blocks that carry no packet are handled on the way; those that are not looked into are skipped, however long.
 */
import type { FrameBatch } from '../base/batch.ts';
import { FRAME_BYTES_MAX } from '../base/region.ts';
import { recordFault, truncationFault } from './faults.ts';
import { PcapngDetails } from './pcapng_details.ts';
import { blockBytesMin, blockName, diagnoseBlock, sectionIsLittle } from './pcapng_faults.ts';
import {
  BLOCK_BYTES_MAX,
  BLOCK_BYTES_MIN,
  BlockType,
  INTERFACES_MAX,
  PACKET_BLOCK_HEADER_BYTES,
  parseInterfaceBlock,
  SIMPLE_BLOCK_HEADER_BYTES,
} from './pcapng_format.ts';
import { InterfaceTable } from './pcapng_interfaces.ts';
import type { CaptureInfo, CaptureReader } from './reader.ts';
import type { CaptureWindow } from './window.ts';

/** The parts of `CaptureInfo` that change from section to section. */
type MutableInfo = { -readonly [K in keyof CaptureInfo]: CaptureInfo[K] };

/** Blocks whose content is not needed may be longer than any window. */
function isSkipped(type: number): boolean {
  return !(
    type === BlockType.EnhancedPacket ||
    type === BlockType.SectionHeader ||
    type === BlockType.Interface ||
    type === BlockType.Packet ||
    type === BlockType.SimplePacket ||
    type === BlockType.InterfaceStatistics
  );
}

export class PcapngReader implements CaptureReader {
  readonly info: CaptureInfo;
  readonly details: PcapngDetails | null;
  readonly #info: MutableInfo;
  readonly #window: CaptureWindow;
  readonly #interfaces: InterfaceTable = new InterfaceTable();
  #little = true;
  /** Stream offset of the next block. */
  #offset = 0;
  #packetsRead = 0;
  #lastSec = 0;
  #lastNsec = 0;
  #closed = false;

  constructor(window: CaptureWindow, info: Omit<CaptureInfo, 'bigEndian' | 'interfaces'>, keepDetails: boolean) {
    this.#window = window;
    this.#info = { ...info, bigEndian: false, interfaces: this.#interfaces.list };
    this.info = this.#info;
    this.details = keepDetails ? new PcapngDetails() : null;
  }

  read(batch: FrameBatch): number {
    batch.count = 0;
    if (this.#closed) return 0;
    this.details?.packetComments.clear();
    batch.numberFirst = this.#packetsRead + 1;
    let at = 0;
    let before = -1;
    // as long as there are only blocks without packets
    while (batch.count === 0 && this.#offset > before) {
      before = this.#offset;
      at = this.#showBlock();
      at = this.#fill(batch, at);
      this.#offset = this.#window.base + at;
    }
    const region = this.#window.region;
    batch.region = region;
    region.scratchNext = region.scratchStart;
    this.#packetsRead += batch.count;
    if (batch.count === 0) this.#endOrThrow(at);
    return batch.count;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#window.close();
  }

  /** Brings the next block that is looked into wholly into the window, if it is there. Returns its region offset. */
  #showBlock(): number {
    const window = this.#window;
    for (;;) {
      const at = window.show(this.#offset, BLOCK_BYTES_MIN);
      const left = window.end - at;
      if (left < BLOCK_BYTES_MIN) return at;
      const view = window.region.view;
      const type = view.getUint32(at, this.#little);
      const little = type === BlockType.SectionHeader ? sectionIsLittle(view, at) === true : this.#little;
      const total = view.getUint32(at + 4, little);
      if (total < BLOCK_BYTES_MIN || total % 4 !== 0) return at;
      if (!isSkipped(type)) return total > BLOCK_BYTES_MAX ? at : window.show(this.#offset, total);
      this.#skip(type, total, left);
      this.#offset += total;
    }
  }

  #skip(type: number, total: number, left: number): void {
    const window = this.#window;
    const closing = window.show(this.#offset + total - 4, 4);
    if (window.end - closing < 4) {
      const there = Math.max(left, window.base + window.end - this.#offset);
      const what = `the file ends after ${there} of the ${total} bytes of its ${blockName(type)}`;
      throw truncationFault(this.info.path, this.#packetsRead + 1, this.#offset, window, what);
    }
    const closingTotal = window.region.view.getUint32(closing, this.#little);
    if (closingTotal !== total) {
      const what = `the ${blockName(type)} says a length of ${total} in front and ${closingTotal} behind`;
      throw recordFault(this.info.path, this.#packetsRead + 1, this.#offset, what);
    }
    this.details?.countBlock(type);
  }

  /** Every whole block from region offset `from` on, until the batch is full. Returns the offset behind the last. */
  #fill(batch: FrameBatch, from: number): number {
    const { at, caplen, len, sec, nsec, linktype, interfaceIndex, capacity } = batch;
    const view = this.#window.region.view;
    const end = this.#window.end;
    const interfaces = this.#interfaces;
    const list = interfaces.list;
    const details = this.details;
    const headEnd = end - BLOCK_BYTES_MIN;
    let little = this.#little;
    let headroom = PACKET_BLOCK_HEADER_BYTES;
    let p = from;
    let n = 0;
    while (n < capacity && p <= headEnd) {
      const type = view.getUint32(p, little);
      if (type !== BlockType.EnhancedPacket && type !== BlockType.SimplePacket && type !== BlockType.Packet) {
        const bytes = this.#control(type, p, this.#packetsRead + n + 1);
        if (bytes === 0) break;
        p += bytes;
        little = this.#little;
        continue;
      }
      const isSimple = type === BlockType.SimplePacket;
      const headerBytes = isSimple ? SIMPLE_BLOCK_HEADER_BYTES : PACKET_BLOCK_HEADER_BYTES;
      const total = view.getUint32(p + 4, little);
      const room = total - headerBytes - 4;
      if (room < 0 || (total & 3) !== 0 || total > end - p || total > BLOCK_BYTES_MAX) break;
      if (view.getUint32(p + total - 4, little) !== total) break;
      let id = 0;
      if (type === BlockType.EnhancedPacket) id = view.getUint32(p + 8, little);
      else if (!isSimple) id = view.getUint16(p + 8, little);
      if (id >= interfaces.sectionCount) break;
      const index = interfaces.sectionFirst + id;
      const declared = list[index]!;
      let bytes: number;
      let wireBytes: number;
      if (isSimple) {
        // no stamp of its own: it goes with the packet before it
        headroom = SIMPLE_BLOCK_HEADER_BYTES;
        wireBytes = view.getUint32(p + 8, little);
        bytes = Math.min(wireBytes, room, declared.snaplen === 0 ? room : declared.snaplen);
      } else {
        bytes = view.getUint32(p + 20, little);
        wireBytes = view.getUint32(p + 24, little);
      }
      if (bytes > FRAME_BYTES_MAX || bytes > room) break;
      if (!isSimple) {
        interfaces.convert(index, view.getUint32(p + 12, little), view.getUint32(p + 16, little));
        this.#lastSec = interfaces.sec;
        this.#lastNsec = interfaces.nsec;
      }
      const frame = p + headerBytes;
      at[n] = frame;
      caplen[n] = bytes;
      len[n] = Math.max(wireBytes, bytes);
      sec[n] = this.#lastSec;
      nsec[n] = this.#lastNsec;
      linktype[n] = declared.linktype;
      interfaceIndex[n] = index;
      if (details !== null) {
        details.countBlock(type);
        details.packet(view, frame + ((bytes + 3) & ~3), p + total - 4, little, this.#packetsRead + n + 1);
      }
      p += total;
      n++;
    }
    batch.count = n;
    batch.headroomBytes = headroom;
    return p;
  }

  /** A block without a packet. Returns its bytes, or 0: not wholly in the window, or wrong. */
  #control(type: number, at: number, packetNext: number): number {
    const view = this.#window.region.view;
    const left = this.#window.end - at;
    const isSection = type === BlockType.SectionHeader;
    const little = isSection ? sectionIsLittle(view, at) : this.#little;
    if (little === null) return 0;
    const total = view.getUint32(at + 4, little);
    if (total > left || total < blockBytesMin(type) || total % 4 !== 0 || total > BLOCK_BYTES_MAX) return 0;
    if (view.getUint32(at + total - 4, little) !== total) return 0;
    const end = at + total;
    const details = this.details;
    if (isSection) {
      const minor = view.getUint16(at + 14, little);
      // 1.2 is written by some programs and means 1.0
      if (view.getUint16(at + 12, little) !== 1 || (minor !== 0 && minor !== 2)) return 0;
      this.#little = little;
      this.#info.bigEndian = !little;
      this.#interfaces.beginSection();
      details?.section(view, at + 24, end - 4, little, packetNext);
    } else if (type === BlockType.Interface) {
      const block = parseInterfaceBlock(view, at, end, little);
      if (typeof block === 'string' || this.#interfaces.list.length >= INTERFACES_MAX) return 0;
      this.#interfaces.add(block);
      details?.interface(block);
    } else if (type === BlockType.InterfaceStatistics && details !== null && total >= 24) {
      const index = this.#interfaces.sectionFirst + view.getUint32(at + 8, little);
      details.statisticsBlock(view, at, end, little, index);
    }
    details?.countBlock(type);
    return total;
  }

  /** No whole block at `at`: the end of the capture, or its fault. */
  #endOrThrow(at: number): void {
    const window = this.#window;
    const left = window.end - at;
    if (window.stopped || (left === 0 && window.fault === null)) return;
    const interfaces = this.#interfaces;
    const view = window.region.view;
    const fault = diagnoseBlock(view, at, left, this.#little, interfaces.sectionCount, interfaces.list.length);
    const packet = this.#packetsRead + 1;
    if (fault.isTruncated) throw truncationFault(this.info.path, packet, this.#offset, window, fault.what);
    throw recordFault(this.info.path, packet, this.#offset, fault.what);
  }
}
