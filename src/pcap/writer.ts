/** Writing captures: the contract of both formats, and the choice between them. */
import type { FrameBatch } from '../base/batch.ts';
import { OperatorError } from '../base/errors.ts';
import type { Region } from '../base/region.ts';
import { PcapWriter } from './pcap_writer.ts';
import { PcapngWriter } from './pcapng_writer.ts';

/**
 * A capture being written. Frames are copied into one preallocated block, so they may change as soon as a call
 * returns; the block leaves when it is full, on `flush` and on `close`.
 *
 * A write that fails throws `OperatorError('FILE')` from then on; the file is cut back to its last whole record, and
 * `packetsWritten` and `bytesWritten` then say what is in it.
 */
export interface CaptureWriter {
  /** As in messages: the path, or `fd 1`. */
  readonly name: string;
  readonly packetsWritten: number;
  /** Bytes of the capture so far, headers and what is still buffered included. */
  readonly bytesWritten: number;
  /**
   * One frame of `caplen` bytes at region offset `at`; `len` bytes on the wire; stamp in seconds and nanoseconds.
   * `interfaceIndex`: of `options.interfaces` and `addInterface`; 0 in pcap.
   */
  write(
    region: Region,
    at: number,
    caplen: number,
    len: number,
    sec: number,
    nsec: number,
    interfaceIndex?: number,
  ): void;
  /** All frames of a batch. */
  writeBatch(batch: FrameBatch): void;
  flush(): void;
  /** Flushes; closes the file unless a descriptor was given. May throw; the file is closed all the same. */
  close(): void;
}

/** What only pcapng can say. */
export interface PcapngCaptureWriter extends CaptureWriter {
  /** Declares one more interface; returns its index. */
  addInterface(description: WriterInterface): number;
  /** As `write`, with comments of the packet. */
  writeCommented(
    region: Region,
    at: number,
    caplen: number,
    len: number,
    sec: number,
    nsec: number,
    interfaceIndex: number,
    comments: readonly string[],
  ): void;
  /** Interface statistics block, stamped `sec`, `nsec`. */
  writeStatistics(interfaceIndex: number, sec: number, nsec: number, statistics: WriterStatistics): void;
}

/** An interface of a pcapng file. */
export interface WriterInterface {
  readonly linktype: number;
  /** Bytes; 0 = no limit. Default 262144. */
  readonly snaplen?: number;
  readonly name?: string;
  readonly description?: string;
  readonly os?: string;
  /** The capture filter's text. */
  readonly filter?: string;
  /** Bytes of frame check sequence at the end of each frame. */
  readonly fcsBytes?: number;
  /** 6 (default: the writer's) or 9. */
  readonly timestampDigits?: 6 | 9;
  readonly comments?: readonly string[];
}

/** Counters in packets; what is absent is not written. */
export interface WriterStatistics {
  readonly received?: number;
  readonly dropped?: number;
  readonly acceptedByFilter?: number;
  readonly droppedByOs?: number;
  readonly delivered?: number;
  readonly comments?: readonly string[];
}

export interface CaptureWriterOptions {
  readonly format: 'pcap' | 'pcapng';
  /** Digits of a second in stamps: 6 (default) or 9. */
  readonly timestampDigits?: 6 | 9;
  /** LINKTYPE_ of the file, or of the first interface. Default 1 (Ethernet). */
  readonly linktype?: number;
  /** Bytes, stated in the header; frames are never cut here. Default 262144. */
  readonly snaplen?: number;
  /** Bytes of frame check sequence at the end of each frame, stated in the header. Default: not stated. */
  readonly fcsBytes?: number;
  /** pcapng: all interfaces, instead of one made of `linktype` and `snaplen`. */
  readonly interfaces?: readonly WriterInterface[];
  /** pcapng section header. */
  readonly hardware?: string;
  readonly os?: string;
  readonly application?: string;
  readonly comments?: readonly string[];
  /** Bytes of the block that writes are gathered in. Default and least 1 MiB. */
  readonly bufferBytes?: number;
}

/** Several of the longest records fit. */
const BLOCK_BYTES = 1 << 20;

export function createCaptureWriter(
  target: string | number,
  options: CaptureWriterOptions & { format: 'pcapng' },
): PcapngCaptureWriter;
export function createCaptureWriter(target: string | number, options: CaptureWriterOptions): CaptureWriter;
/**
 * Creates (or empties) a capture file in host byte order. `target`: a path, `-` for stdout, or an open descriptor,
 * which stays open. Throws `OperatorError`: FILE (cannot be written, or is being read), USAGE (options that clash).
 */
export function createCaptureWriter(target: string | number, options: CaptureWriterOptions): CaptureWriter {
  if (options.format === 'pcap' && (options.interfaces?.length ?? 1) > 1) {
    throw new OperatorError('USAGE', 'a pcap file has one interface: write pcapng to keep several');
  }
  const blockBytes = Math.max(options.bufferBytes ?? 0, BLOCK_BYTES);
  return options.format === 'pcap'
    ? new PcapWriter(target, blockBytes, options)
    : new PcapngWriter(target, blockBytes, options);
}
