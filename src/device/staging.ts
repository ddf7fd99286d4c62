/**
 * Copies of frames that lie in plain memory, at addresses that the kernel can be told. Only tests and unmapped inputs
 * come here; frames in mappings are sent from where they are.
 */
import { FRAME_BYTES_MAX, type Region, scratchReserve } from '../base/region.ts';
import { anonymousRegion } from '../sys/memory.ts';

const STAGING_BYTES = 4 * FRAME_BYTES_MAX;

export class Staging {
  #region: Region | null = null;

  /** Address of a copy of the frame, or -1: full until `reset`. */
  copy(from: Region, at: number, length: number): number {
    this.#region ??= anonymousRegion(0, STAGING_BYTES);
    const to = scratchReserve(this.#region, length);
    if (to < 0) return -1;
    this.#region.bytes.set(from.bytes.subarray(at, at + length), to);
    return this.#region.address + to;
  }

  reset(): void {
    if (this.#region !== null) this.#region.scratchNext = this.#region.scratchStart;
  }

  release(): void {
    this.#region?.release();
    this.#region = null;
  }
}
