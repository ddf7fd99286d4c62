/**
 * Why a packet that was read did not leave. Skips are what the operator asked for; the others make a run incomplete.
 * Every packet read ends in exactly one of: sent, failed at the sink, or one of these.
 */
export const Cause = {
  NotIncluded: 0,
  Excluded: 1,
  Filtered: 2,
  CacheSkip: 3,
  OtherShard: 4,
  OversizeSkip: 5,
  EditDrop: 6,
  Impaired: 7,
  /** From here on: not what was asked for. */
  CacheShort: 8,
  EmptyRecord: 9,
  NotConvertible: 10,
  Oversize: 11,
  NoRoom: 12,
  NotSplittable: 13,
  Unsent: 14,
} as const;
export type Cause = (typeof Cause)[keyof typeof Cause];
export const CAUSES = 15;
const FIRST_FAULT: number = Cause.CacheShort;

/** As in reports and in `--json`. */
export const CAUSE_NAMES: readonly string[] = [
  'not included',
  'excluded',
  'filtered',
  'cache says do not send',
  'other shard',
  'oversize skipped',
  'dropped by an edit',
  'loss asked for',
  'cache file too short',
  'empty record',
  'link type not convertible',
  'oversize',
  'too large to edit',
  'oversize, not TCP or IP enough to split',
  'not sent before the end',
];

/** A cause that leaves the run incomplete. */
export function isFault(cause: number): boolean {
  return cause >= FIRST_FAULT;
}
