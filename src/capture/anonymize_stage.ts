/** HOT: frames lose the people in them before anything is written or printed. */
import type { FrameBatch } from '../base/batch.ts';
import { openAnonymizer } from '../rewrite/anonymize.ts';
import type { AnonymizeSpec } from '../rewrite/anonymize_spec.ts';
import type { BatchStage } from './run.ts';

export function openAnonymizeStage(spec: AnonymizeSpec): BatchStage {
  const anonymizer = openAnonymizer(spec);
  return {
    apply(batch: FrameBatch): void {
      for (let i = 0; i < batch.count; i++) anonymizer.edit(batch, i);
    },
  };
}
