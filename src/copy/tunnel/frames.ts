/** Length-prefixed frames out of a stream of chunks, each looked at where it lies unless it was cut in two. */
import { FRAME_HEAD_BYTES, LENGTH_BYTES } from './protocol.ts';

/** One frame: `bytes[start..end)` is its payload, valid during the call. Returns false to read no further. */
export type FrameHandler = (type: number, bytes: Buffer, start: number, end: number) => boolean;

export const FrameFault = { None: 0, TooLong: 1, Empty: 2 } as const;
export type FrameFault = (typeof FrameFault)[keyof typeof FrameFault];

export class FrameReader {
  /** Longest frame, type and payload, from now on. A longer one ends the reading. */
  frameBytesMax: number;
  /** What ended the reading. */
  fault: FrameFault = FrameFault.None;
  readonly #handler: FrameHandler;
  /** Beginning of a frame whose rest has not come; never longer than a frame may be. */
  #rest: Buffer | null = null;

  constructor(frameBytesMax: number, handler: FrameHandler) {
    this.frameBytesMax = frameBytesMax;
    this.#handler = handler;
  }

  /** Bytes kept for a frame that is not whole. */
  get heldBytes(): number {
    return this.#rest === null ? 0 : this.#rest.length;
  }

  /** Takes what arrived. False: a fault, or the handler wants no more. */
  push(chunk: Buffer): boolean {
    const bytes = this.#rest === null ? chunk : Buffer.concat([this.#rest, chunk]);
    let at = 0;
    while (bytes.length - at >= FRAME_HEAD_BYTES) {
      const length = bytes.readUInt32BE(at);
      if (length === 0) return this.#stop(FrameFault.Empty);
      if (length > this.frameBytesMax) return this.#stop(FrameFault.TooLong);
      const end = at + LENGTH_BYTES + length;
      if (end > bytes.length) break;
      if (!this.#handler(bytes[at + LENGTH_BYTES]!, bytes, at + FRAME_HEAD_BYTES, end)) return this.#stop(this.fault);
      at = end;
    }
    // A copy, so that a few bytes do not keep a whole chunk alive.
    this.#rest = at === bytes.length ? null : Buffer.from(bytes.subarray(at));
    return true;
  }

  #stop(fault: FrameFault): false {
    this.fault = fault;
    this.#rest = null;
    return false;
  }
}

/** A frame of this type around `payload`. */
export function frameOf(type: number, payload: Uint8Array = new Uint8Array(0)): Buffer {
  const frame = Buffer.allocUnsafe(FRAME_HEAD_BYTES + payload.length);
  frame.writeUInt32BE(payload.length + 1, 0);
  frame[LENGTH_BYTES] = type;
  frame.set(payload, FRAME_HEAD_BYTES);
  return frame;
}
