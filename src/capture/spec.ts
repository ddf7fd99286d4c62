/** What a capture is to do, as plain data that a thread can be handed. */
import type { CaptureBackend, Direction, StampSource } from '../device/capture_source.ts';
import type { NamespaceSpec } from '../device/host_capture.ts';

/** Everything about a capture but where its frames go. Absent: the default that is named. */
export interface CaptureOptions {
  /** Names, or `any`. Either these or `files`. */
  readonly interfaces?: readonly string[];
  /** Captures to read instead, `-` for standard input. */
  readonly files?: readonly string[];
  /** Files: in the order of stamps. Default: one after the other. */
  readonly merge?: boolean;
  /** Default: `af_packet` on Linux, else `libpcap`. */
  readonly backend?: CaptureBackend;
  /** libpcap expression. Default: everything. */
  readonly filter?: string;
  /** Bytes kept of a frame, 1 to 262144 (default). */
  readonly snaplen?: number;
  /** Default true. */
  readonly promiscuous?: boolean;
  /** Default `inout`. */
  readonly direction?: Direction;
  /** Bytes of the kernel's buffer for each interface. Default 64 MiB. */
  readonly bufferBytes?: number;
  /** Milliseconds that a frame may wait in a buffer that is not full, 1 to 1000. Default 50. */
  readonly retireMs?: number;
  readonly stamps?: StampSource;
  /** Network namespace to capture in. Default: that of the process. */
  readonly netns?: NamespaceSpec;
  /** Number of the group of sockets that share the packets, for captures that run side by side. Default: alone. */
  readonly fanoutGroup?: number;
  /** End after so many frames. */
  readonly packets?: number;
  /** Percent of one processor that this process may use before frames are given up unread. Default: no limit. */
  readonly cpuPercentMax?: number;
  /**
   * How the thread waits where there is nothing: `block` it (for a thread of its own, cheapest), or `yield` to its
   * event loop (default).
   */
  readonly wait?: 'block' | 'yield';
  /** Milliseconds after which an empty batch is handed out where nothing came. Default: none ever. */
  readonly idleMs?: number;
}

export const SNAPLEN_MAX = 262_144;
export const BUFFER_BYTES: number = 64 << 20;
export const RETIRE_MS = 50;

/** Counts of frames. Every frame received is in exactly one of delivered, filtered, shed, droppedByKernel. */
export interface CaptureCounts {
  /** Passed the kernel's filter. */
  readonly received: number;
  /** Handed out. */
  readonly delivered: number;
  /** Not accepted by a filter that runs in this process (files, some filters on `any`). */
  readonly filtered: number;
  /** Given up unread for `cpuPercentMax`. */
  readonly shed: number;
  readonly droppedByKernel: number;
  /** Never received: the interface had no room. */
  readonly droppedByInterface: number;
  /** Times that the kernel's ring was full. */
  readonly frozen: number;
}
