/** HOT: the capture sink: frames into records, records into files, files by the rotation's rules. */

import type { FrameBatch } from '../../base/batch.ts';
import { OperatorError } from '../../base/errors.ts';
import { FRAME_BYTES_MAX } from '../../base/region.ts';
import type { FileSummary } from './file_chain.ts';
import { Gather } from './gather.ts';
import type { RecordOutput } from './output.ts';
import type { RecordFormat } from './record_format.ts';
import { REASON_NAMES, type Rotation, RotationReason } from './rotation.ts';
import type { CaptureSink, CaptureSinkSpec, InterfaceCounts, SinkStats } from './sink.ts';

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
  readonly #flushMs: number;
  readonly #counts: (InterfaceCounts | null)[];
  #fault: OperatorError | null = null;
  #hasBegun = false;
  #isOpen = false;
  #isClosed = false;
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

  /** Begins the first file. Throws `OperatorError` where it cannot be written. */
  constructor(
    spec: CaptureSinkSpec,
    format: RecordFormat,
    output: RecordOutput,
    rotation: Rotation,
    nowMs: number = Date.now(),
  ) {
    this.name = spec.path === '-' ? 'stdout' : spec.path;
    this.#format = format;
    this.#output = output;
    this.#rotation = rotation;
    this.#gather = new Gather(format, !output.keepsBlocks);
    this.#flushMs = spec.flushMs ?? 1000;
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
    if (this.#rotation.isTimeDue(this.#nowMs)) this.#finish(RotationReason.Time);
    if (this.ended) {
      this.stats.droppedEnded += count;
      return;
    }
    const gather = this.#gather;
    for (let i = 0; i < count; i++) {
      if (!this.#accepts(batch, i)) this.stats.droppedUnwritable++;
      else if (this.ended) this.stats.droppedEnded++;
      else if (!this.#add(batch, i)) this.stats.droppedCompressor++;
    }
    if (gather.references > 0 || gather.list.bytes >= FLUSH_BYTES || this.#flushMs === 0) this.#handOn();
  }

  /** HOT: adds one frame to the current file, or to the next one. False: the compressor has no room. */
  #add(batch: FrameBatch, i: number): boolean {
    const gather = this.#gather;
    const due = this.#isOpen ? this.#rotation.due(this.#fileBytes, this.#filePackets) : RotationReason.None;
    if (due !== RotationReason.None) {
      if (!this.#output.canRotate) return false;
      this.#finish(due);
    }
    if (!this.#isOpen) {
      if (!this.#output.canRotate) return false;
      this.#begin();
      if (this.fault !== null) {
        this.stats.droppedEnded++;
        return true;
      }
    }
    if (!this.#hasBlock()) return false;
    if (!gather.add(batch, i)) {
      this.#handOn();
      if (!this.#hasBlock()) return false;
      gather.add(batch, i);
    }
    const caplen = batch.caplen[i]!;
    const sec = batch.sec[i]! + batch.nsec[i]! * 1e-9;
    if (this.#filePackets === 0) this.#firstSec = sec;
    this.#lastSec = sec;
    this.#filePackets++;
    this.#fileBytes += this.#format.headerBytes + caplen + this.#format.trailerBytes(caplen);
    this.#fileFrameBytes += caplen;
    return true;
  }

  #hasBlock(): boolean {
    if (this.#gather.hasBlock) return true;
    const block = this.#output.acquire();
    if (block === null) return false;
    this.#gather.reset(block);
    return true;
  }

  #accepts(batch: FrameBatch, i: number): boolean {
    return batch.caplen[i]! <= FRAME_BYTES_MAX && this.#format.accepts(batch, i);
  }

  #handOn(): void {
    this.#flushedMs = this.#nowMs;
    if (this.#gather.isEmpty) return;
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
    // a file without packets waits for them: no empty files in quiet times
    if (this.#rotation.isTimeDue(nowMs) && this.#filePackets > 0 && this.#output.canRotate) {
      this.#finish(RotationReason.Time);
    }
    if (nowMs - this.#flushedMs >= this.#flushMs) this.#handOn();
    if (nowMs - this.#polledMs >= POLL_MS) {
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
    if (this.ended || !this.#output.canRotate) return;
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
