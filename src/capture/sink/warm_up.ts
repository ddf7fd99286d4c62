/**
 * The loop over a ring's frames, run over made ones before there is traffic. A loop that first runs for a long time is
 * optimised while it runs, when nothing behind it was ever executed: that code is given up each time the loop ends,
 * and taken again the next time (seen: 1,000 times in a run, which cost 20 to 40 ns a packet). Code that has seen the
 * whole function stays.
 */
import { anonymousRegion } from '../../device/host.ts';
import { RING_HAS_TAG, RingBlock, RingWord } from '../../device/ring_block.ts';
import { Gather } from './gather.ts';
import type { RecordFormat } from './record_format.ts';

const FRAMES = 40;
const FRAME_BYTES = 1024;
/** From the header to the frame. */
const START_BYTES = 80;
/** So many that the optimised code is there before they are over: some milliseconds. */
const ROUNDS = 400;
const TARGET_BYTES = 1 << 20;
const START_SEC = 1_800_000_000;
/** As of a capture without rotation: no small integer, which the code is to know of. */
const UNLIMITED = Number.MAX_SAFE_INTEGER;

/** Once for a sink, before its first frame. */
export function warmUp(format: RecordFormat, refers: boolean): void {
  if (!format.takesRing) return;
  const source = anonymousRegion((FRAMES + 1) * FRAME_BYTES);
  const target = anonymousRegion(TARGET_BYTES);
  const gather = new Gather(format, refers);
  const block = new RingBlock(source, FRAME_BYTES);
  for (let n = 0; n < FRAMES; n++) describe(block, n);
  for (let round = 0; round < ROUNDS; round++) {
    gather.reset(target);
    block.frame = 0;
    block.left = FRAMES;
    gather.addBlock(block, UNLIMITED, FRAMES - 2);
    gather.addBlock(block, TARGET_BYTES, UNLIMITED);
    gather.frameBytes(gather.list.records);
    gather.seal();
  }
  gather.release();
  target.release();
  source.release();
}

/** Short frames of several lengths, a long one, and last one with a tag, in front of which the loop ends. */
function describe({ words }: RingBlock, n: number): void {
  const word = (n * FRAME_BYTES) >>> 2;
  words[word + RingWord.Next] = FRAME_BYTES;
  // stamps of several seconds, as large as real ones: pcapng counts them in 64 bits
  words[word + RingWord.Sec] = START_SEC + (n >>> 3);
  words[word + RingWord.Nsec] = n * 24_000_000;
  words[word + RingWord.Caplen] = n % 20 === 19 ? FRAME_BYTES - START_BYTES : 60 + (n % 8) * 13;
  words[word + RingWord.Start] = START_BYTES;
  words[word + RingWord.Status] = n === FRAMES - 1 ? RING_HAS_TAG : 0;
}
