import type { FrameBatch } from '../base/batch.ts';

/** Which side a packet comes from: decided by a tcpprep cache, else every packet is client to server. */
export const Direction = { ClientToServer: 0, ServerToClient: 1 } as const;
export type Direction = (typeof Direction)[keyof typeof Direction];

export const Edit = {
  /** Nothing applied to this packet. */
  Unchanged: 0,
  Edited: 1,
  /** An edit says that this packet is not to be sent or written (fuzzing, `--fixlen=del`). */
  Drop: 2,
  /** The frame cannot be decoded far enough to do what was asked; it is left as it was. */
  SoftError: 3,
  /** The region's scratch memory is full: send what is queued, reset the scratch, call again. Nothing was changed. */
  NoRoom: 4,
} as const;
export type EditStatus = (typeof Edit)[keyof typeof Edit];

/** Edit rules compiled once into straight calls. */
export interface Rewriter {
  /**
   * Edits frame `i` of the batch in place; `at`, `caplen`, `len`, `linktype` of the batch follow. A frame that grows
   * uses the batch's headroom or the region's scratch. All checksums stay as true as they were.
   */
  edit(batch: FrameBatch, i: number, direction: Direction): EditStatus;
}
