/**
 * HOT: frames on their way into a file: record headers in a block, and the pieces that one gathering write takes.
 *
 * Long frames are written from where they lie (the kernel's ring, a mapped file); short ones are copied into the block
 * behind their header. Measured, CPU a packet, pcap records, batches of 256, kernel 6.18, against one copy into a block
 * of 1 MiB: pieces of 64 bytes cost 102 ns (copy 68) on tmpfs and 106 (30) on ext4; 512 bytes 288 (268) and 231 (176);
 * 1514 bytes 678 (756) and 440 (600). Headers written into the ring in front of each frame save another 15 to 30 ns
 * below 512 bytes and nothing above, and would make pages of a mapped file private: not kept.
 *
 * Budget of `addBlock`: 25 ns a frame of 64 bytes, most of it waiting for memory that another processor wrote.
 */
import type { FrameBatch } from '../../base/batch.ts';
import type { Region } from '../../base/region.ts';
import { RING_HAS_TAG, RING_TAG_AT, RING_TAG_BYTES, type RingBlock, RingWord } from '../../device/ring_block.ts';
import { RECORDS_MAX, VectorList } from '../../device/vector_list.ts';
import { copyFrame } from '../../pcap/copy.ts';
import type { RecordFormat } from './record_format.ts';
import { copyEights, EIGHTS_SLACK_BYTES, regionWords, SLACK_BYTES, WORDS_BYTES_MAX } from './word_records.ts';

/** Frames from this length on are not copied. */
export const REFERENCE_BYTES_MIN = 768;
/** Header, frame, trailer. */
const PIECES_A_RECORD = 3;
/** A frame of a ring that is not copied once its tag is back. */
const LONG_BYTES_MIN: number = REFERENCE_BYTES_MIN - RING_TAG_BYTES;
/** Most that a record of a ring takes in the block whose frame is not there, or short: any header and trailer. */
const OWN_BYTES_MAX: number = REFERENCE_BYTES_MIN + 64;
/** Most that a record written by words takes in the block. */
const WORD_RECORD_BYTES_MAX: number = WORDS_BYTES_MAX + 64 + SLACK_BYTES;

export class Gather {
  readonly list: VectorList = new VectorList();
  /** Bytes of each frame in the list. */
  readonly caplens: Uint32Array = new Uint32Array(RECORDS_MAX);
  /** Frames that the list refers to where they lie: the list must be written before their batch is given back. */
  references = 0;
  /** Of the records gathered. */
  bytes = 0;
  /** Of all frames that were ever added. */
  frameBytesAdded = 0;
  readonly #format: RecordFormat;
  readonly #refers: boolean;
  #block: Region | null = null;
  #blockWords: Int32Array | null = null;
  #wordsOf: Region | null = null;
  #sourceWords: Int32Array | null = null;
  #used = 0;
  /** Of the records gathered, without headers. */
  #frameBytes = 0;
  /** Bytes of the block that the list has. */
  #sealed = 0;

  /** `refers`: false copies every frame, for blocks that outlive the batch. */
  constructor(format: RecordFormat, refers: boolean) {
    this.#format = format;
    this.#refers = refers;
  }

  /** Begins anew in `block`, which is mapped memory of 1 MiB or more. */
  reset(block: Region): void {
    if (this.#blockWords === null || this.#block !== block) this.#blockWords = regionWords(block);
    this.#block = block;
    this.#used = 0;
    this.#sealed = 0;
    this.bytes = 0;
    this.#frameBytes = 0;
    this.references = 0;
    this.list.clear();
  }

  get hasBlock(): boolean {
    return this.#block !== null;
  }

  get isEmpty(): boolean {
    return this.list.records === 0;
  }

  /** The block is somebody else's now. */
  detach(): void {
    this.#block = null;
    this.#blockWords = null;
    this.list.clear();
  }

  /** Adds frame `i`. False: there is no room, the list is to be written first. Precondition: `hasBlock`. */
  add(batch: FrameBatch, i: number): boolean {
    const block = this.#block!;
    const format = this.#format;
    const list = this.list;
    const region = batch.region;
    const caplen = batch.caplen[i]!;
    const header = format.headerBytes;
    const trailer = format.trailerBytes(caplen);
    const isReferred = this.#refers && caplen >= REFERENCE_BYTES_MIN && region.address !== 0;
    const own = header + trailer + (isReferred ? 0 : caplen);
    if (this.#used + own > block.byteLength || !list.hasRoom(PIECES_A_RECORD)) return false;
    const at = this.#used;
    format.putHeader(block.view, at, batch, i);
    if (isReferred) {
      this.#used = at + header;
      this.seal();
      list.add(region.address + batch.at[i]!, caplen);
      if (trailer > 0) format.putTrailer(block.view, at + header, caplen);
      this.references++;
    } else {
      copyFrame(region, batch.at[i]!, block, at + header, caplen);
      if (trailer > 0) format.putTrailer(block.view, at + header + caplen, caplen);
    }
    this.caplens[list.records] = caplen;
    list.endRecord(header + caplen + trailer);
    this.#used = at + own;
    this.#count(header + caplen + trailer, caplen);
    return true;
  }

  /**
   * Adds short frames from `first` on, by words, and stops in front of the first that cannot be added so (`add` may
   * take it), or once the run has more than `bytesMost` bytes of records or `framesMost` frames. Returns how many.
   * Precondition: `hasBlock`.
   */
  addShort(batch: FrameBatch, first: number, bytesMost: number, framesMost: number): number {
    const block = this.#block!;
    const target = this.#blockWords;
    const source = this.#wordsFor(batch.region);
    const format = this.#format;
    if (target === null || source === null || !format.hasWordRecords || !this.list.hasRoom(PIECES_A_RECORD)) return 0;
    const { at, caplen } = batch;
    const { caplens } = this;
    const { lengths } = this.list;
    if (format.recordsAreWords && (this.#used & 3) !== 0) this.#toWord();
    const start = this.#used;
    const most = Math.min(block.byteLength - WORD_RECORD_BYTES_MAX, start + bytesMost) | 0;
    const last = Math.min(batch.count, first + Math.min(framesMost, RECORDS_MAX - this.list.records));
    const sourceBytes = (source.length - 1) * 4;
    let record = this.list.records;
    let used = start;
    let frameBytes = 0;
    let i = first;
    for (; i < last && used <= most; i++) {
      const bytes = caplen[i]!;
      const from = at[i]!;
      if (bytes > WORDS_BYTES_MAX || (from & 3) !== 0 || from + bytes > sourceBytes || !format.accepts(batch, i)) break;
      format.putRecord(block, target, used, batch, i, source);
      const length = format.headerBytes + bytes + format.trailerBytes(bytes);
      caplens[record] = bytes;
      lengths[record++] = length;
      used += length;
      frameBytes += bytes;
    }
    this.list.records = record;
    this.#used = used;
    this.#count(used - start, frameBytes);
    return i - first;
  }

  /** Behind the trailer of a frame that is not in the block. */
  #toWord(): void {
    this.seal();
    this.#used = (this.#used + 3) & ~3;
    this.#sealed = this.#used;
  }

  #wordsFor(region: Region): Int32Array | null {
    if (this.#wordsOf !== region) {
      this.#wordsOf = region;
      this.#sourceWords = regionWords(region);
    }
    return this.#sourceWords;
  }

  /**
   * Adds frames of a ring's block, from its `frame` on, straight from the ring's words, and moves the block on. Tags
   * that the kernel took out are put back. Stops in front of the first that has to become a batch (at the end of the
   * region), where there is no room, or once the run has more than `bytesMost` bytes of records or `framesMost` frames.
   * Returns how many. Preconditions: `hasBlock`, `takesRing` of the format.
   */
  addBlock(from: RingBlock, bytesMost: number, framesMost: number): number {
    const source = from.region.view;
    const target = this.#block!.view;
    const words = from.words;
    const format = this.#format;
    const headerBytes = format.headerBytes;
    const { caplens } = this;
    const { lengths } = this.list;
    const endMost = from.region.byteLength - EIGHTS_SLACK_BYTES;
    const usedMost = this.#block!.byteLength - OWN_BYTES_MAX;
    const first = this.list.records;
    const last = first + Math.min(from.left, framesMost, RECORDS_MAX - first);
    let record = first;
    let frame = from.frame;
    let taken = from.last;
    let used = this.#used;
    let bytes = 0;
    let frameBytes = 0;
    for (; record < last && used <= usedMost && bytes <= bytesMost; record++) {
      const word = frame >>> 2;
      let caplen = words[word + RingWord.Caplen]!;
      let at = frame + (words[word + RingWord.Start]! & 0xffff);
      if (at + caplen > endMost) break;
      if (caplen >= LONG_BYTES_MIN && !this.#hasRoomForLong(used, caplen)) break;
      let tagBytes = 0;
      if ((words[word + RingWord.Status]! & RING_HAS_TAG) !== 0 && caplen >= RING_TAG_AT) {
        at = from.putTag(frame);
        tagBytes = RING_TAG_BYTES;
        caplen = Math.min(caplen + RING_TAG_BYTES, from.snaplen);
      }
      format.putRingHeader(target, used, from, frame, caplen, tagBytes);
      used += headerBytes;
      if (caplen < REFERENCE_BYTES_MIN) {
        copyEights(source, at, target, used, caplen);
        used += caplen;
      } else used = this.#addLong(from.region, at, used, caplen);
      const trailerBytes = format.trailerBytes(caplen);
      if (trailerBytes > 0) format.putTrailer(target, used, caplen);
      used += trailerBytes;
      const length = headerBytes + caplen + trailerBytes;
      caplens[record] = caplen;
      lengths[record] = length;
      bytes += length;
      frameBytes += caplen;
      taken = frame;
      frame += words[word + RingWord.Next]!;
    }
    const added = record - first;
    from.last = taken;
    from.frame = frame;
    from.left -= added;
    this.list.records = record;
    this.#used = used;
    this.#count(bytes, frameBytes);
    return added;
  }

  #hasRoomForLong(used: number, caplen: number): boolean {
    if (this.#refers) return this.list.hasRoom(PIECES_A_RECORD);
    return used + caplen + OWN_BYTES_MAX <= this.#block!.byteLength;
  }

  /** A frame behind its header, which ends at `used`. Returns where what follows it in the block begins. */
  #addLong(region: Region, at: number, used: number, caplen: number): number {
    if (!this.#refers) {
      copyFrame(region, at, this.#block!, used, caplen);
      return used + caplen;
    }
    this.#used = used;
    this.seal();
    this.list.add(region.address + at, caplen);
    this.references++;
    return used;
  }

  #count(bytes: number, frameBytes: number): void {
    this.bytes += bytes;
    this.#frameBytes += frameBytes;
    this.frameBytesAdded += frameBytes;
  }

  /** Puts what was written into the block since the last piece into the list. To be called before the list is used. */
  seal(): void {
    if (this.#used === this.#sealed) return;
    this.list.add(this.#block!.address + this.#sealed, this.#used - this.#sealed);
    this.#sealed = this.#used;
  }

  /** Bytes of the first `records` frames. */
  frameBytes(records: number): number {
    if (records === this.list.records) return this.#frameBytes;
    let sum = 0;
    for (let n = 0; n < records; n++) sum += this.caplens[n]!;
    return sum;
  }

  release(): void {
    this.list.release();
  }
}
