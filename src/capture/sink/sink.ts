/**
 * Where captured frames end: a capture file, a ring of files, another program. What `tscap` asks for is plain data
 * (`CaptureSinkSpec`), `openCaptureSink` (open.ts) touches the disk.
 */
import type { FrameBatch } from '../../base/batch.ts';
import type { OperatorError } from '../../base/errors.ts';
import type { RingBlock } from '../../device/ring_block.ts';

/** An interface as a capture file describes it; pcap keeps the link type of the first only. */
export interface SinkInterface {
  readonly name: string;
  /** LINKTYPE_ value. */
  readonly linktype: number;
  /** Bytes. */
  readonly snaplen: number;
  /** The capture filter's text; empty: none. */
  readonly filter?: string;
  readonly description?: string;
}

/** Packets, as the interface statistics block at the end of each pcapng file says them. Counted since the start. */
export interface InterfaceCounts {
  readonly received: number;
  readonly droppedByKernel: number;
  readonly droppedByInterface: number;
}

/** When to begin the next file. What is absent does not count. */
export interface RotationSpec {
  /**
   * `tcpdump`: strftime of the local time in the name where `durationMs` is set, then a number where `fileBytes` or
   * `packets` are. `dumpcap`: `name_00001_20240131235959.pcap`.
   */
  readonly naming: 'tcpdump' | 'dumpcap';
  /**
   * Bytes before compression. `tcpdump`: the next file begins once a file has more; `dumpcap`: as many or more. A
   * file is longer by its last record at most.
   */
  readonly fileBytes?: number;
  readonly durationMs?: number;
  /** At multiples of so many milliseconds of the clock, as `-b interval:`. */
  readonly intervalMs?: number;
  readonly packets?: number;
  /**
   * Files of the ring. `tcpdump` with `fileBytes`: names are used again; without: the capture ends after so many files.
   * `dumpcap`: the oldest is removed.
   */
  readonly files?: number;
}

export interface CompressionSpec {
  readonly codec: 'zstd' | 'gzip';
  /** zstd 1 to 19, gzip 1 to 9. */
  readonly level: number;
}

export interface CaptureSinkSpec {
  /** Path or its pattern; `-` is stdout. */
  readonly path: string;
  readonly format: 'pcap' | 'pcapng';
  readonly timestampDigits: 6 | 9;
  /** At least one. `batch.interfaceIndex` counts in this list. */
  readonly interfaces: readonly SinkInterface[];
  /** Section header of pcapng: `tscap 1.2.0`, `Linux 6.1`. */
  readonly application?: string;
  readonly os?: string;
  readonly rotation?: RotationSpec;
  readonly compress?: CompressionSpec;
  /**
   * What happens when the compressor is behind by its whole queue: frames are dropped and counted (default, for live
   * sources), or the caller waits (files).
   */
  readonly compressorBehind?: 'drop' | 'wait';
  /** `drop` (default): written pages leave the page cache once they are on disk. `keep`: they stay. */
  readonly pageCache?: 'keep' | 'drop';
  /** Bytes of disk that the files of this run may take together, never exceeded. */
  readonly diskBytesMax?: number;
  /** At `diskBytesMax`: remove the oldest finished file of this run (default), or write no more. */
  readonly diskFull?: 'remove-oldest' | 'stop';
  /** JSON lines, one per finished or removed file, appended to this path. */
  readonly indexPath?: string;
  /** Name of a BroadcastChannel that is told the path of each finished file. */
  readonly finishedChannel?: string;
  /** Milliseconds after which `tick` hands on what is buffered. Default 1000; 0: every batch at once. */
  readonly flushMs?: number;
}

/** Counts since the start, updated in place. */
export interface SinkStats {
  /** Frames in files (or handed to the compressor). */
  packets: number;
  /** Bytes of these frames as captured, without record headers. */
  bytes: number;
  /** Bytes of the capture files written, headers included, after compression. */
  fileBytes: number;
  /** Files begun. */
  files: number;
  /** Files of this run removed again (ring, disk limit). */
  filesRemoved: number;
  currentFile: string;
  /** Frames not written: no room on the disk or under `diskBytesMax`. */
  droppedDiskFull: number;
  /** Frames not written: the compressor was behind by its whole queue. */
  droppedCompressor: number;
  /** Frames not written: longer than a record may be, or of a link type or interface that the file cannot say. */
  droppedUnwritable: number;
  /** Frames offered after writing had ended: a fault, the reader of a pipe gone, `-W` complete. */
  droppedEnded: number;
  /** True while the disk is full. */
  isDiskFull: boolean;
}

/**
 * ```
 * writeBatch(batch)   takes every frame: written, or counted as dropped. The batch is free again on return
 * writeBlock(block)   the same by the block of a ring, of interface 0; what it leaves in the block is for `writeBatch`
 * tick(nowMs)         Date.now(): rotation by time, flush, another try on a full disk. Call it every 100 ms or so
 * rotate()            the next file now (SIGHUP); a stream, which has none, is flushed
 * close()             statistics, everything to disk
 * ```
 * Every file, finished or not, is a valid capture at any time after a flush; a killed process leaves at most one
 * incomplete record at its end. Nothing here throws but `openCaptureSink`: what ends writing is `fault`.
 *
 * The batch's memory is read only: long frames are written from where they lie, short ones are copied (gather.ts).
 */
export interface CaptureSink {
  /** As in messages: the path. */
  readonly name: string;
  readonly stats: Readonly<SinkStats>;
  /** What ended writing for good, or null. */
  readonly fault: OperatorError | null;
  /** No more frames are taken: a fault, a pipe's reader is gone (no fault), or the last file of `-W` is complete. */
  readonly ended: boolean;
  writeBatch(batch: FrameBatch): void;
  /** Once, before the first `writeBlock`: takes some milliseconds. */
  prepareBlocks(): void;
  writeBlock(block: RingBlock): void;
  tick(nowMs: number): void;
  flush(): void;
  rotate(): void;
  /** For the statistics block of pcapng. */
  setInterfaceCounts(interfaceIndex: number, counts: InterfaceCounts): void;
  close(): void;
}
