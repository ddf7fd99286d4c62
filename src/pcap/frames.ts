/** A capture as an iterable of packets with bytes of their own: for scripts, not for the data plane. */
import { BATCH_FRAMES, FrameBatch } from '../base/batch.ts';
import { plainRegion } from '../base/region.ts';
import { type OpenCaptureOptions, openCapture } from './open.ts';
import type { CaptureInterface } from './reader.ts';

export interface CapturedFrame {
  /** Counted from 1. */
  readonly number: number;
  /** Capture time, seconds and nanoseconds since 1970 (UTC). */
  readonly sec: number;
  readonly nsec: number;
  /** Bytes on the wire; more than `bytes.length` when the frame was cut. */
  readonly len: number;
  /** LINKTYPE_ value. */
  readonly linktype: number;
  readonly interfaceIndex: number;
  readonly interface: CaptureInterface;
  readonly comments: readonly string[];
  /** A copy, the caller's own. */
  readonly bytes: Uint8Array;
}

const NONE: readonly string[] = [];

/**
 * Every packet of a capture, in its order. About 0.5 µs a packet more than `read`, since each is copied into an object.
 * Throws what `openCapture` and `read` throw, the latter after the last whole packet. Leaving the loop closes the file.
 *
 * ```
 * for (const frame of captureFrames('a.pcap')) console.log(frame.number, frame.bytes.length);
 * ```
 */
export function* captureFrames(path: string, options: OpenCaptureOptions = {}): Generator<CapturedFrame, void, void> {
  const reader = openCapture(path, options);
  try {
    const batch = new FrameBatch(BATCH_FRAMES, plainRegion(0));
    while (reader.read(batch) > 0) {
      for (let i = 0; i < batch.count; i++) {
        const at = batch.at[i]!;
        const number = batch.numberFirst + i;
        const interfaceIndex = batch.interfaceIndex[i]!;
        yield {
          number,
          sec: batch.sec[i]!,
          nsec: batch.nsec[i]!,
          len: batch.len[i]!,
          linktype: batch.linktype[i]!,
          interfaceIndex,
          interface: reader.info.interfaces[interfaceIndex]!,
          comments: reader.details?.packetComments.get(number) ?? NONE,
          bytes: batch.region.bytes.slice(at, at + batch.caplen[i]!),
        };
      }
    }
  } finally {
    reader.close();
  }
}
