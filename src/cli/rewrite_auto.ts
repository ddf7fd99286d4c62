/** `--auto`: the capture is read once to learn what its hosts do, then sides are told packet by packet. */
import { BATCH_FRAMES, FrameBatch } from '../base/batch.ts';
import { OperatorError } from '../base/errors.ts';
import { plainRegion } from '../base/region.ts';
import { AUTO_DEFAULTS, openClassifier } from '../flow/index.ts';
import { openCapture } from '../pcap/index.ts';
import type { AutoModeName } from './rewrite_file_spec.ts';
import { type Router, Side } from './rewrite_side.ts';

/** Throws `OperatorError` where the capture cannot be read, or its hosts cannot be told apart as asked. */
export function autoRouter(path: string, mode: AutoModeName): Router {
  const classifier = openClassifier({ ...AUTO_DEFAULTS, mode });
  const reader = openCapture(path);
  try {
    const batch = new FrameBatch(BATCH_FRAMES, plainRegion(0));
    while (reader.read(batch) > 0) for (let i = 0; i < batch.count; i++) classifier.look(batch, i);
  } catch (error) {
    // A damaged end: what was read is judged, and the rewriting itself will say what is wrong.
    if (!(error instanceof OperatorError) || error.code !== 'FORMAT') throw error;
  } finally {
    reader.close();
  }
  const obstacle = classifier.settle();
  if (obstacle !== null) throw new OperatorError('FORMAT', `--auto=${mode}: ${obstacle}`);
  return {
    sideOf: (batch, i) => (classifier.isPrimary(classifier.look(batch, i)) ? Side.Client : Side.Server),
  };
}
