/** Cells of a session in the pairing: 32-bit integers. */

/** Cells of a session here; a session that has none of these yet has zeros: exchanges are kept plus one. */
export const S = {
  /** Oldest and newest exchange. */
  Head: 0,
  Tail: 1,
  Count: 2,
  /** Runs of production that wait. */
  RunHead: 3,
  RunTail: 4,
  /** The exchange whose request is being sent; whose reply the target sends; exchange or run that production is at. */
  Sending: 5,
  Cursor: 6,
  Run: 7,
  /** Production's ACK number when it began that. */
  RunAck: 8,
  Connection: 9,
  Ordinal: 10,
  ProductionNext: 11,
  Flags: 12,
  /** The connection that a request was sent on last. */
  SentOn: 13,
} as const;
export const S_CELLS = 16;
export const HAS_PRODUCTION = 1;
/** What `Run` names is one of those that wait. */
export const RUN_WAITS = 2;
