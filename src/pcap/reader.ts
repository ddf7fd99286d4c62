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
  /** pcapng opened with `details: true`; otherwise null. Grows while the file is read. */
  readonly details: CaptureDetails | null;
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

/** What a pcapng file says beside its packets. */
export interface CaptureDetails {
  readonly sections: readonly SectionDetails[];
  /** Parallel to `CaptureInfo.interfaces`. */
  readonly interfaces: readonly InterfaceDetails[];
  /** Interface statistics blocks, in their order. */
  readonly statistics: readonly InterfaceStatistics[];
  /** Block type -> blocks seen. */
  readonly blocks: ReadonlyMap<number, number>;
  /** Packet number -> its comments, for the frames of the last `read` only. */
  readonly packetComments: ReadonlyMap<number, readonly string[]>;
}

export interface SectionDetails {
  /** Number of the first packet that the section may hold. */
  readonly firstPacket: number;
  readonly hardware: string;
  readonly os: string;
  readonly application: string;
  readonly comments: readonly string[];
}

export interface InterfaceDetails {
  readonly description: string;
  /** The capture filter's text. */
  readonly filter: string;
  readonly os: string;
  readonly comments: readonly string[];
}

/** Counters in packets, -1 where the file does not say. */
export interface InterfaceStatistics {
  /** Over the whole file. */
  readonly interfaceIndex: number;
  readonly received: number;
  readonly dropped: number;
  readonly acceptedByFilter: number;
  readonly droppedByOs: number;
  readonly delivered: number;
  readonly comments: readonly string[];
}
