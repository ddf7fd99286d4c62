/** Which side sent a packet. */
import type { FrameBatch } from '../base/batch.ts';

/** `Client` and `Server` are the numbers of `Direction`. */
export const Side = { Client: 0, Server: 1, DontSend: 2 } as const;
export type Side = (typeof Side)[keyof typeof Side];

export interface Router {
  /** Side of frame `i` of the batch, frames in their order. May throw `OperatorError`. */
  sideOf(batch: FrameBatch, i: number): Side;
}

/** Without a split every packet is the client's. */
export const ONE_SIDE: Router = { sideOf: () => Side.Client };
