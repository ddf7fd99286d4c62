/**
 * HOT: records of a classic capture file, about 10 ns each. No object per record: offsets go into the caller's batch.
 *
 * A record's header may be overwritten by whoever has the batch (`headroomBytes`): nothing of it is read again.
 */
import type { FrameBatch } from '../base/batch.ts';
import { FRAME_BYTES_MAX } from '../base/region.ts';
import { NS_PER_SECOND } from '../base/units.ts';
import { recordFault, truncationFault } from './faults.ts';
import { Lengths, PCAP_FILE_HEADER_BYTES, type PcapHeader } from './pcap_format.ts';
import type { CaptureInfo, CaptureReader } from './reader.ts';
import type { CaptureWindow } from './window.ts';

export class PcapReader implements CaptureReader {
  readonly info: CaptureInfo;
  readonly details: null = null;
  readonly #window: CaptureWindow;
  readonly #header: PcapHeader;
  /** Stream offset of the next record. */
  #offset: number = PCAP_FILE_HEADER_BYTES;
  #packetsRead = 0;
  #closed = false;

  constructor(window: CaptureWindow, header: PcapHeader, info: CaptureInfo) {
    this.#window = window;
    this.#header = header;
    this.info = info;
  }

  read(batch: FrameBatch): number {
    batch.count = 0;
    if (this.#closed) return 0;
    const window = this.#window;
    const headerBytes = this.#header.recordHeaderBytes;
    batch.numberFirst = this.#packetsRead + 1;
    batch.headroomBytes = headerBytes;
    let at = window.show(this.#offset, headerBytes);
    if (window.end - at >= headerBytes) {
      const caplen = this.#caplenAt(at);
      if (caplen <= FRAME_BYTES_MAX) at = window.show(this.#offset, headerBytes + caplen);
    }
    batch.region = window.region;
    window.region.scratchNext = window.region.scratchStart;
    const next = this.#fill(batch, at);
    this.#offset = window.base + next;
    this.#packetsRead += batch.count;
    if (batch.count === 0) this.#endOrThrow(next);
    return batch.count;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#window.close();
  }

  /**
   * Every whole record from region offset `from` on, as many as the batch holds. Returns the offset behind the last.
   */
  #fill(batch: FrameBatch, from: number): number {
    const header = this.#header;
    const view = this.#window.region.view;
    const little = !header.bigEndian;
    const fractionNs = header.fractionNs;
    const fractionMax = NS_PER_SECOND / fractionNs;
    const headerBytes = header.recordHeaderBytes;
    const caplenFirst = header.lengths === Lengths.CaplenFirst;
    const { at, caplen, len, sec, nsec } = batch;
    const capacity = batch.capacity;
    const end = this.#window.end;
    const headerEnd = end - headerBytes;
    let p = from;
    let n = 0;
    while (n < capacity && p <= headerEnd) {
      let bytes = view.getUint32(p + 8, little);
      let wireBytes = view.getUint32(p + 12, little);
      if (!caplenFirst && (header.lengths === Lengths.LenFirst || bytes > wireBytes)) {
        const swap = bytes;
        bytes = wireBytes;
        wireBytes = swap;
      }
      const frame = p + headerBytes;
      if (bytes > FRAME_BYTES_MAX || frame + bytes > end) break;
      let seconds = view.getUint32(p, little);
      let fraction = view.getUint32(p + 4, little);
      if (fraction >= fractionMax) {
        const carry = Math.floor(fraction / fractionMax);
        seconds += carry;
        fraction -= carry * fractionMax;
      }
      at[n] = frame;
      caplen[n] = bytes;
      // what is there was on the wire, whatever the record says
      len[n] = Math.max(wireBytes, bytes);
      sec[n] = seconds;
      nsec[n] = fraction * fractionNs;
      p = frame + bytes;
      n++;
    }
    batch.linktype.fill(header.linktype, 0, n);
    batch.interfaceIndex.fill(0, 0, n);
    batch.count = n;
    return p;
  }

  /** Bytes of the record at `at`, whose header lies in the window. */
  #caplenAt(at: number): number {
    const header = this.#header;
    const view = this.#window.region.view;
    const first = view.getUint32(at + 8, !header.bigEndian);
    if (header.lengths === Lengths.CaplenFirst) return first;
    const second = view.getUint32(at + 12, !header.bigEndian);
    return header.lengths === Lengths.LenFirst ? second : Math.min(first, second);
  }

  /** No whole record at `at`: the end of the capture, or its fault. */
  #endOrThrow(at: number): void {
    const window = this.#window;
    const left = window.end - at;
    if (window.stopped || (left === 0 && window.fault === null)) return;
    const packet = this.#packetsRead + 1;
    const headerBytes = this.#header.recordHeaderBytes;
    if (left < headerBytes) {
      const what = `the file ends after ${left} of the ${headerBytes} bytes of its record header`;
      throw truncationFault(this.info.path, packet, this.#offset, window, what);
    }
    const caplen = this.#caplenAt(at);
    if (caplen > FRAME_BYTES_MAX) {
      const limit = `more than the ${FRAME_BYTES_MAX} a packet may have`;
      const what = `its record header says ${caplen} captured bytes, ${limit}`;
      throw recordFault(this.info.path, packet, this.#offset, what);
    }
    const what = `the file ends after ${left - headerBytes} of its ${caplen} captured bytes`;
    throw truncationFault(this.info.path, packet, this.#offset, window, what);
  }
}
