/** The contract of sources that a capture reads from, and what all of them are asked for. */
import type { FrameBatch } from '../base/batch.ts';
import type { OperatorError } from '../base/errors.ts';
import type { StampSource } from '../sys/packet_ring.ts';
import type { BlockSource } from './ring_block.ts';
import type { Source } from './source.ts';

export type { StampSource };
export type Direction = 'in' | 'out' | 'inout';

/** Counts of frames since the source was opened; renewed by `updateStatistics`. */
export interface SourceStatistics {
  /** Passed the filter (files: were read), dropped ones included. */
  received: number;
  /** No room in the kernel's buffer. */
  droppedByKernel: number;
  /** The interface had to drop them, before any filter. */
  droppedByInterface: number;
  /** Times that the kernel found its ring full. */
  frozen: number;
}

/** An interface as a source finds it. */
export interface SourceInterface {
  readonly name: string;
  /** LINKTYPE_ value. */
  readonly linktype: number;
  readonly snaplen: number;
}

/**
 * ```
 * read(batch)     the next frames, valid until the next `read` or `shed`; 0: nothing there now
 * shed()          gives up what waits to be read, without looking at it; returns the frames given up
 * halt()          nothing more comes in; `read` goes on until what came in is out, then `ended`
 * ```
 * A device that breaks puts an error into `fault`, hands out what it has, and ends.
 */
export interface CaptureSource extends Source {
  /** In the order of `batch.interfaceIndex`. Files: grows while they are read. */
  readonly interfaces: readonly SourceInterface[];
  /** To poll, or -1: then `wait` is the way. */
  readonly fd: number;
  readonly fault: OperatorError | null;
  readonly statistics: Readonly<SourceStatistics>;
  /** Of the frames counted as received, those that a filter in this process did not accept. */
  readonly filtered: number;
  /** A quarter of the kernel's buffer waits to be read, or more; absent where that is not known. */
  readonly isFilling?: boolean;
  /** Where frames can be taken by the block as well, instead of `read`; absent or null: they cannot. */
  readonly blocks?: BlockSource | null;
  updateStatistics(): void;
  shed(): number;
  halt(): void;
  read(batch: FrameBatch): number;
}

/** What to capture, and how; as the backends see it. */
export interface CaptureSourceSpec {
  /** Interface name, or `any`. */
  readonly name: string;
  readonly backend: CaptureBackend;
  /** libpcap expression; empty: everything. */
  readonly filter: string;
  /** Bytes of a frame that are kept. */
  readonly snaplen: number;
  readonly promiscuous: boolean;
  /** af_packet: further interfaces that are to be promiscuous meanwhile, by index; for the name `any`. Default none. */
  readonly promiscuousOn?: readonly number[];
  readonly direction: Direction;
  /**
   * af_packet, with direction `inout`: what leaves through the interface passes this filter in the place of `filter`,
   * and is cut to this length.
   */
  readonly outgoing?: { readonly filter: string; readonly snaplen: number };
  /**
   * af_packet, Ethernet: `filter` and `outgoing` also hold behind one VLAN tag that is left in the frame: the kernel
   * takes the outer one of two out. Not where they speak of VLANs themselves.
   */
  readonly insideTag?: boolean;
  /** Bytes of the kernel's buffer. */
  readonly bufferBytes: number;
  /**
   * af_packet: bytes of a block, a power of two; what does not fit one is lost. A block is full after `retireMs`,
   * whatever is in it, so that short waits want small blocks. Default 512 KiB.
   */
  readonly blockBytes?: number;
  /** af_packet: frames that were read stay where they are until the source's `release`. Default: to the next `read`. */
  readonly keepsBlocks?: boolean;
  /** Milliseconds that a frame may wait in a buffer that is not full. */
  readonly retireMs: number;
  readonly stamps: StampSource;
  /** Number of the group of sockets that share the frames; null: alone. */
  readonly fanoutGroup: number | null;
  /** Value for `batch.interfaceIndex`. */
  readonly interfaceIndex: number;
}

export const CAPTURE_BACKENDS = ['af_packet', 'libpcap', 'cap'] as const;
export type CaptureBackend = (typeof CAPTURE_BACKENDS)[number];
