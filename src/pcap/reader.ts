import type { FrameBatch } from '../base/batch.ts';

/**
 * A capture being read: pcap or pcapng, plain or compressed, from a mapped file or a stream. Made by `openCapture`.
 *
 * `read` fills the batch with the next frames and returns how many; 0 = end of the capture. A truncated or corrupt
 * capture delivers every whole packet before the fault; the `read` after that throws an `OperatorError('FORMAT')`
 * naming file, packet number and byte offset. Frames stay valid until the next `read` or `close`.
 */
export interface CaptureReader {
  readonly info: CaptureInfo;
  read(batch: FrameBatch): number;
  close(): void;
}

export interface CaptureInfo {
  /** As given by the operator; `-` for stdin. */
  readonly path: string;
  readonly format: 'pcap' | 'pcapng';
  readonly compression: 'none' | 'gzip' | 'zstd';
  /** pcap: byte order of the file; pcapng: of the section being read. */
  readonly bigEndian: boolean;
  /** Interfaces seen so far (pcap: one). Grows while a pcapng file is read. */
  readonly interfaces: readonly CaptureInterface[];
  /** Bytes of the file, or -1 for a stream. */
  readonly byteLength: number;
}

export interface CaptureInterface {
  readonly linktype: number;
  /** Bytes; 0 = no limit stated. */
  readonly snaplen: number;
  readonly name: string;
  /** Decimal digits of a second that stamps carry: 6 = µs, 9 = ns; binary resolutions are rounded up. */
  readonly timestampDigits: number;
  /** Bytes of frame check sequence at the end of each frame, or -1 where the capture does not say. */
  readonly fcsBytes: number;
}
