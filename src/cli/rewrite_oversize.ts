/** `--oversize`: packets whose layer 3 is longer than `--mtu`. */
import { BATCH_FRAMES, FrameBatch } from '../base/batch.ts';
import { OperatorError } from '../base/errors.ts';
import { plainRegion } from '../base/region.ts';
import { OversizeSplitter, SPLIT_FRAMES_MAX, Split } from '../rewrite/index.ts';
import { decode } from '../wire/decode.ts';
import { Layers } from '../wire/layers.ts';
import type { OversizeChoice } from './rewrite_file_spec.ts';

export class OversizeStage {
  readonly #policy: OversizeChoice;
  readonly #mtuBytes: number;
  readonly #layers: Layers = new Layers();
  /** By the bytes in front of layer 3. */
  readonly #splitters = new Map<number, OversizeSplitter>();
  readonly #parts: FrameBatch = new FrameBatch(Math.max(SPLIT_FRAMES_MAX, BATCH_FRAMES), plainRegion(0));
  #linkLen = 0;

  constructor(policy: OversizeChoice, mtuBytes: number) {
    this.#policy = policy;
    this.#mtuBytes = mtuBytes;
  }

  isTooLong(batch: FrameBatch, i: number): boolean {
    // Shorter frames cannot hold a longer packet, whatever their link header.
    if (batch.len[i]! <= this.#mtuBytes) return false;
    const at = batch.at[i]!;
    const layers = this.#layers;
    decode(batch.region.view, at, at + batch.caplen[i]!, batch.linktype[i]!, layers);
    if (layers.l3 < 0) return false;
    this.#linkLen = layers.l3 - at;
    // Padding is no part of the packet; the capture may have cut it.
    const held = layers.ip >= 0 && !layers.ipCut ? layers.ipEnd - at : batch.len[i]!;
    return held > this.#linkLen + this.#mtuBytes;
  }

  /**
   * What becomes of a frame that `isTooLong` was just true for: no frames to leave it out, null where it cannot be
   * split. The batch is overwritten by the next call. Throws `OperatorError('MTU')` for `error`.
   */
  split(batch: FrameBatch, i: number): FrameBatch | null {
    const parts = this.#parts;
    parts.count = 0;
    parts.region = batch.region;
    const policy = this.#policy;
    if (policy === 'skip') return parts;
    if (policy === 'error') {
      const layer3 = batch.len[i]! - this.#linkLen;
      throw new OperatorError(
        'MTU',
        `packet ${batch.numberFirst + i} has ${layer3} bytes above its link header, more than ` +
          `--mtu=${this.#mtuBytes}: choose --oversize=segment, fragment, truncate or skip`,
      );
    }
    const limit = this.#linkLen + this.#mtuBytes;
    let splitter = this.#splitters.get(limit);
    if (splitter === undefined) {
      splitter = new OversizeSplitter(policy, limit);
      this.#splitters.set(limit, splitter);
    }
    return splitter.split(batch, i, parts) === Split.Done ? parts : null;
  }
}
