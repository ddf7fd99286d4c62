/** Replies of one frame, decoded one by one. */
import type { TargetHeader } from '../target_header.ts';
import { decodeReply } from './reply.ts';

/** Replies as they came: valid during the call of `onReplies`. */
export class ReplyBatch {
  bytes: Buffer = Buffer.alloc(0);
  view: DataView = new DataView(this.bytes.buffer);
  /** Records lie in [at, end) of `bytes` and `view`; `at` moves with `next`. */
  at = 0;
  end = 0;
  /** Replies that the far end gave up since the last batch because this end did not read. */
  lost = 0;
  /** Age of the oldest record when the batch left, µs. */
  ageUs = 0;

  /** Decodes the next record; false: there is none. */
  next(into: TargetHeader): boolean {
    const bytes = decodeReply(this.view, this.at, this.end, into);
    this.at += bytes;
    return bytes > 0;
  }
}
