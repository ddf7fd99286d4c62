/**
 * HOT: short records written into a block as 32-bit words. A pcap record ends anywhere, so the next one may begin
 * between two words of the block: words are then shifted into place, each read and written once. Frames must begin at
 * a word, which the receive ring sees to (packet_ring_open.ts).
 *
 * Measured with bench/capture.ts, 64-byte frames, processor time a packet of the whole capture: 150 ns through a
 * DataView, 130 by words, of which a profile gives this loop 21 (most of it waiting for memory that another processor
 * wrote), reading the ring 11 and the kernel's write 30.
 */
import type { FrameBatch } from '../../base/batch.ts';
import type { Region } from '../../base/region.ts';

/** Longer frames are left to the foreign memcpy, which costs 46 ns a call and little a byte (pcap/copy.ts). */
export const WORDS_BYTES_MAX = 320;
/** What a shifted record may write behind its end. */
export const SLACK_BYTES = 4;

const HEADER_WORDS = 4;

/** The words of a region, or null where it does not begin at one. */
export function regionWords(region: Region): Int32Array | null {
  const { buffer, byteOffset } = region.bytes;
  return (byteOffset & 3) === 0 ? new Int32Array(buffer, byteOffset, region.byteLength >>> 2) : null;
}

/**
 * A pcap record for frame `i`, written at byte `to`; little-endian hosts only. Up to `SLACK_BYTES` behind the record
 * are written over. Preconditions: the frame begins at a word of `source`, which has the frame's last word whole.
 */
export function putPcapRecord(
  target: Int32Array,
  to: number,
  batch: FrameBatch,
  i: number,
  unitNs: number,
  source: Int32Array,
): void {
  const caplen = batch.caplen[i]!;
  const from = batch.at[i]! >>> 2;
  const end = from + ((caplen + 3) >>> 2);
  const sec = batch.sec[i]! | 0;
  const nsec = batch.nsec[i]! | 0;
  const fraction = unitNs === 1 ? nsec : (nsec / 1000) | 0;
  const len = batch.len[i]! | 0;
  const shift = (to & 3) << 3;
  let at = to >>> 2;
  if (shift === 0) {
    target[at] = sec;
    target[at + 1] = fraction;
    target[at + 2] = caplen;
    target[at + 3] = len;
    at += HEADER_WORDS;
    for (let word = from; word < end; word++) target[at++] = source[word]!;
    return;
  }
  const back = 32 - shift;
  target[at] = (target[at]! & ((1 << shift) - 1)) | (sec << shift);
  target[at + 1] = (sec >>> back) | (fraction << shift);
  target[at + 2] = (fraction >>> back) | (caplen << shift);
  target[at + 3] = (caplen >>> back) | (len << shift);
  let carried = len >>> back;
  at += HEADER_WORDS;
  for (let word = from; word < end; word++) {
    const value = source[word]!;
    target[at++] = carried | (value << shift);
    carried = value >>> back;
  }
  target[at] = carried;
}

/** Copies whole words of `bytes` rounded up. Both sides begin at a word. */
export function copyWords(source: Int32Array, from: number, target: Int32Array, to: number, bytes: number): void {
  const end = (from >>> 2) + ((bytes + 3) >>> 2);
  let at = to >>> 2;
  for (let word = from >>> 2; word < end; word++) target[at++] = source[word]!;
}

/** What `copyEights` may read and write behind the end. */
export const EIGHTS_SLACK_BYTES = 7;

/**
 * Copies `bytes`, rounded up to eights, between any two places. A double is only the carrier: loads and stores keep all
 * its bits, those of NaNs as well (a test sees to it). Measured, 64 bytes with a record header: 9 ns, 15 by aligned
 * words, 21 by words of a DataView, 105 by its BigInts, 9 by aligned BigInts.
 */
export function copyEights(source: DataView, from: number, target: DataView, to: number, bytes: number): void {
  const end = from + bytes;
  let at = to;
  let next = from;
  for (; next + 24 < end; next += 32) {
    target.setFloat64(at, source.getFloat64(next, true), true);
    target.setFloat64(at + 8, source.getFloat64(next + 8, true), true);
    target.setFloat64(at + 16, source.getFloat64(next + 16, true), true);
    target.setFloat64(at + 24, source.getFloat64(next + 24, true), true);
    at += 32;
  }
  for (; next < end; next += 8) {
    target.setFloat64(at, source.getFloat64(next, true), true);
    at += 8;
  }
}
