import type { FrameBatch } from '../base/batch.ts';

/** Where a packet goes. */
export const Route = {
  Primary: 0,
  Secondary: 1,
  /** Another worker sends it; this one only counts it, so that both keep the same schedule. */
  Elsewhere: 2,
} as const;
export type Route = (typeof Route)[keyof typeof Route];

/** Frames ready to be sent, in order. */
export interface SendBatch {
  readonly frames: FrameBatch;
  readonly route: Uint8Array;
  /** The first frame is the first one of its file: its stamp anchors the schedule. */
  startsFile: boolean;
}
