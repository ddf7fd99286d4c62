/** What became of a frame that is too long. */
export const Split = {
  /** Its parts were appended. */
  Done: 0,
  /** Scratch memory or the batch is full: send what is there, then again. Nothing was appended. */
  NoRoom: 1,
  /** It cannot be made shorter: not IP, headers longer than the limit, more parts than allowed. */
  NotSplittable: 2,
} as const;
export type SplitStatus = (typeof Split)[keyof typeof Split];
