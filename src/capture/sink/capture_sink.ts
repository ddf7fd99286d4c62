/** HOT: the capture sink: frames into records, records into files, files by the rotation's rules. */

import type { FrameBatch } from '../../base/batch.ts';
import { OperatorError } from '../../base/errors.ts';
import { FRAME_BYTES_MAX } from '../../base/region.ts';
import type { RingBlock } from '../../device/ring_block.ts';
import type { FileSummary } from './file_chain.ts';
import { Gather } from './gather.ts';
import type { RecordOutput } from './output.ts';
import type { RecordFormat } from './record_format.ts';
import { REASON_NAMES, type Rotation, RotationReason } from './rotation.ts';
import type { CaptureSink, CaptureSinkSpec, InterfaceCounts, SinkStats } from './sink.ts';
import { warmUp } from './warm_up.ts';

/** Copied records are handed on from here on. */
const FLUSH_BYTES = 256 * 1024;
const POLL_MS = 1000;

export class RecordSink implements CaptureSink {
  readonly name: string;
  readonly stats: SinkStats = {
    packets: 0,
    bytes: 0,
    fileBytes: 0,
    files: 0,
    filesRemoved: 0,
    currentFile: '',
    droppedDiskFull: 0,
    droppedCompressor: 0,
    droppedUnwritable: 0,
    droppedEnded: 0,
    isDiskFull: false,
  };
  readonly #format: RecordFormat;
  readonly #output: RecordOutput;
  readonly #rotation: Rotation;
  readonly #gather: Gather;
  readonly #refers: boolean;
  readonly #flushMs: number;
  readonly #isStream: boolean;
  readonly #counts: (InterfaceCounts | null)[];
  #fault: OperatorError | null = null;
  #hasBegun = false;
  #isOpen = false;
  #isClosed = false;
  #isRotationAsked = false;
  #nowMs: number;
  #flushedMs: number;
  #polledMs: number;
  /** Of the current file: bytes and packets handed on and gathered, stamps of its frames. */
  #fileBytes = 0;
  #filePackets = 0;
  #fileFrameBytes = 0;
  #firstSec = 0;
  #lastSec = 0;
  /** What a later failure of this file's packets is subtracted from. */
  #packetsBefore = 0;
  #bytesBefore = 0;

  /**
   * Begins the first file. `isStream`: it is the only one, whatever is asked. Throws `OperatorError` where it cannot be
   * written.
   */
  constructor(
    spec: CaptureSinkSpec,
    format: RecordFormat,
    output: RecordOutput,
    rotation: Rotation,
    isStream: boolean,
    nowMs: number,
  ) {
    this.name = spec.path === '-' ? 'stdout' : spec.path;
    this.#format = format;
    this.#output = output;
    this.#rotation = rotation;
    this.#refers = !output.keepsBlocks;
    this.#gather = new Gather(format, this.#refers);
    this.#flushMs = spec.flushMs ?? 1000;
    this.#isStream = isStream;
    this.#counts = spec.interfaces.map(() => null);
    this.#nowMs = nowMs;
    this.#flushedMs = nowMs;
    this.#polledMs = nowMs;
    this.#begin();
    output.report(this.stats);
  }

  get fault(): OperatorError | null {
    return this.#fault ?? this.#output.fault;
  }

  get ended(): boolean {
    return this.#isClosed || this.#rotation.isOver || this.#output.isHungUp || this.fault !== null;
  }

  setInterfaceCounts(interfaceIndex: number, counts: InterfaceCounts): void {
    if (interfaceIndex < this.#counts.length) this.#counts[interfaceIndex] = counts;
  }

  writeBatch(batch: FrameBatch): void {
    const count = batch.count;
    if (count === 0) return;
    if (this.#rotation.isTimeDue(this.#nowMs) && this.#output.canRotate) this.#finish(RotationReason.Time);
    if (this.ended) {
      this.stats.droppedEnded += count;
      return;
    }
    const gather = this.#gather;
    for (let i = 0; i < count; i++) {
      i += this.#addShort(batch, i);
      if (i === count) break;
      const caplen = batch.caplen[i]!;
      if (caplen > FRAME_BYTES_MAX || !this.#format.accepts(batch, i)) {
        this.stats.droppedUnwritable++;
        continue;
      }
      const mayNotStay = this.#fileBytes > this.#rotation.bytesMost || this.#filePackets > this.#rotation.packetsMost;
      if (mayNotStay && i > 0) this.#lastSec = batch.sec[i - 1]! + batch.nsec[i - 1]! * 1e-9;
      if ((mayNotStay || !this.#isOpen) && !this.#turn()) {
        this.#countRefused();
        continue;
      }
      if (!gather.hasBlock || !gather.add(batch, i)) {
        if (!this.#addAfterFlush(batch, i)) continue;
      }
      if (this.#filePackets === 0) this.#firstSec = batch.sec[i]! + batch.nsec[i]! * 1e-9;
      this.#filePackets++;
      this.#fileBytes += this.#format.headerBytes + caplen + this.#format.trailerBytes(caplen);
      this.#fileFrameBytes += caplen;
    }
    this.#lastSec = batch.sec[count - 1]! + batch.nsec[count - 1]! * 1e-9;
    this.#handOnDue();
  }

  prepareBlocks(): void {
    warmUp(this.#format, this.#refers);
  }

  writeBlock(block: RingBlock): void {
    if (this.#rotation.isTimeDue(this.#nowMs) && this.#output.canRotate) this.#finish(RotationReason.Time);
    const isRing = this.#format.takesRing;
    while (isRing && block.left > 0 && this.#makeReady()) {
      if (this.#addBlock(block) > 0) continue;
      if (this.#gather.isEmpty) break;
      // no room: once more with all of it
      this.#handOn();
      if (!this.#hasBlock() || this.#addBlock(block) === 0) break;
    }
    this.#handOnDue();
  }

  /** A file that takes a frame, and memory for it. False: there is none, `writeBatch` counts what that costs. */
  #makeReady(): boolean {
    if (this.ended) return false;
    const isFull = this.#fileBytes > this.#rotation.bytesMost || this.#filePackets > this.#rotation.packetsMost;
    if (isFull || !this.#isOpen) {
      if (!this.#output.canRotate || !this.#turn()) return false;
    }
    return this.#hasBlock();
  }

  #addBlock(block: RingBlock): number {
    const gather = this.#gather;
    const before = gather.bytes;
    const frameBytesBefore = gather.frameBytesAdded;
    const bytesLeft = this.#rotation.bytesMost - this.#fileBytes;
    if (this.#filePackets === 0) this.#firstSec = block.stampOf(block.frame);
    const added = gather.addBlock(block, bytesLeft, this.#rotation.packetsMost + 1 - this.#filePackets);
    if (added > 0) this.#lastSec = block.stampOf(block.last);
    this.#filePackets += added;
    this.#fileBytes += gather.bytes - before;
    this.#fileFrameBytes += gather.frameBytesAdded - frameBytesBefore;
    return added;
  }

  #handOnDue(): void {
    const gather = this.#gather;
    if (gather.references > 0 || gather.bytes >= FLUSH_BYTES || this.#flushMs === 0) this.#handOn();
  }

  /**
   * Short frames from `first` on, as many as can be added at once and may stay in this file. Returns how many; the next
   * one may be of any kind.
   */
  #addShort(batch: FrameBatch, first: number): number {
    const gather = this.#gather;
    const bytesLeft = this.#rotation.bytesMost - this.#fileBytes;
    const packetsLeft = this.#rotation.packetsMost + 1 - this.#filePackets;
    if (!gather.hasBlock || !this.#isOpen || bytesLeft < 0 || packetsLeft <= 0) return 0;
    const before = gather.bytes;
    const frameBytesBefore = gather.frameBytesAdded;
    const added = gather.addShort(batch, first, bytesLeft, packetsLeft);
    if (added === 0) return 0;
    if (this.#filePackets === 0) this.#firstSec = batch.sec[first]! + batch.nsec[first]! * 1e-9;
    this.#filePackets += added;
    this.#fileBytes += gather.bytes - before;
    this.#fileFrameBytes += gather.frameBytesAdded - frameBytesBefore;
    return added;
  }

  /** Ends the current file where it is full, and begins the next. False: that cannot be. */
  #turn(): boolean {
    if (this.ended || !this.#output.canRotate) return false;
    if (this.#isOpen) this.#finish(this.#rotation.due(this.#fileBytes, this.#filePackets));
    this.#begin();
    return this.fault === null;
  }

  #countRefused(): void {
    if (this.ended) this.stats.droppedEnded++;
    else this.stats.droppedCompressor++;
  }

  /** Hands on what was gathered to make room for frame `i`. False: there is none, and the frame is counted. */
  #addAfterFlush(batch: FrameBatch, i: number): boolean {
    this.#handOn();
    if (!this.ended && this.#hasBlock() && this.#gather.add(batch, i)) return true;
    this.#countRefused();
    return false;
  }

  #hasBlock(): boolean {
    if (this.#gather.hasBlock) return true;
    const block = this.#output.acquire();
    if (block === null) return false;
    this.#gather.reset(block);
    return true;
  }

  #handOn(): void {
    this.#flushedMs = this.#nowMs;
    if (this.#gather.isEmpty) return;
    this.#gather.seal();
    this.#output.submit(this.#gather, this.stats);
  }

  #begin(): void {
    const path = this.#rotation.begin(this.#nowMs);
    const header = this.#format.fileHeader();
    try {
      this.#output.begin(path, header);
    } catch (error) {
      if (!(error instanceof OperatorError) || !this.#hasBegun) throw error;
      this.#fault = error;
      return;
    }
    this.#hasBegun = true;
    this.stats.currentFile = path;
    this.#isOpen = true;
    this.#fileBytes = header.length;
    this.#filePackets = 0;
    this.#fileFrameBytes = 0;
    this.#firstSec = 0;
    this.#lastSec = 0;
    this.#packetsBefore = this.stats.packets;
    this.#bytesBefore = this.stats.bytes;
  }

  #finish(reason: RotationReason): void {
    if (!this.#isOpen) return;
    this.#handOn();
    // a block without records is the compressor's to take a message in
    if (this.#output.keepsBlocks) this.#gather.detach();
    this.#isOpen = false;
    const isDirect = !this.#output.keepsBlocks;
    const summary: FileSummary = {
      packets: isDirect ? this.stats.packets - this.#packetsBefore : this.#filePackets,
      bytes: isDirect ? this.stats.bytes - this.#bytesBefore : this.#fileFrameBytes,
      firstSec: this.#firstSec,
      lastSec: this.#lastSec,
      reason: REASON_NAMES[reason]!,
    };
    this.#output.finish(this.#format.fileTrailer(this.#counts, this.#nowMs), summary);
    this.#rotation.finished(reason);
    this.#output.report(this.stats);
  }

  tick(nowMs: number): void {
    this.#nowMs = nowMs;
    if (this.#isClosed) return;
    if (this.#isRotationAsked) this.rotate();
    // a file without packets waits for them: no empty files in quiet times
    if (this.#rotation.isTimeDue(nowMs) && this.#filePackets > 0 && this.#output.canRotate) {
      this.#finish(RotationReason.Time);
    }
    if (hasPassed(nowMs - this.#flushedMs, this.#flushMs)) this.#handOn();
    if (hasPassed(nowMs - this.#polledMs, POLL_MS)) {
      this.#polledMs = nowMs;
      this.#output.settle();
      this.#output.report(this.stats);
    }
  }

  flush(): void {
    this.#handOn();
    this.#output.report(this.stats);
  }

  rotate(): void {
    if (this.ended) return;
    if (this.#isStream) {
      this.flush();
      return;
    }
    // a compressor that is behind: `tick` tries again
    this.#isRotationAsked = !this.#output.canRotate;
    if (this.#isRotationAsked) return;
    this.#finish(RotationReason.Asked);
    this.#begin();
    this.#output.report(this.stats);
  }

  close(): void {
    if (this.#isClosed) return;
    this.#finish(RotationReason.End);
    this.#isClosed = true;
    this.#output.close(this.stats);
    this.#gather.release();
  }
}

/** A clock that was put back has run for nobody knows how long. */
function hasPassed(ms: number, wantedMs: number): boolean {
  return ms >= wantedMs || ms < 0;
}
