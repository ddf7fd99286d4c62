/** What the session engine counts. Every way to lose a request or a session has a name of its own. */

export const Count = {
  /** Packets of clients handed in; those of them that were no usable TCP; with a wrong checksum. */
  ClientPackets: 0,
  ClientMalformed: 1,
  ClientBadChecksum: 2,
  ClientFragments: 3,
  /** Packets to a service that is not mapped, or of clients that are not admitted (`percent`). */
  ClientUnmapped: 4,
  ClientNotAdmitted: 5,
  /** Packets without a session that cannot begin one (pure ACKs, late FINs). */
  ClientWithoutSession: 6,
  ClientBytes: 7,
  /** Packets of which the client had sent everything before. */
  ClientRetransmittedPackets: 8,
  ClientOutOfOrder: 9,
  /** Sequence numbers far outside what the session can have. */
  ClientOutOfWindow: 10,

  SessionsSeen: 11,
  /** Sessions that were already open when their first packet was seen. */
  SessionsTakenUp: 12,
  /** Connections established with the target; attempts to replace an earlier one of the same session. */
  ConnectionsOpened: 13,
  ConnectionsRenewed: 14,
  SessionsEnded: 15,
  /** Sessions not begun: table full, memory, too many incarnations of one port, service clash, over the CPU limit. */
  ShedTableFull: 16,
  ShedMemory: 17,
  ShedIncarnations: 18,
  ShedCollision: 19,
  ShedLoad: 20,
  /** Sessions given up by the policy `drop`. */
  DroppedByPolicy: 21,
  /** Connections that the target refused, reset, left unanswered. */
  TargetRefused: 22,
  TargetReset: 23,
  TargetSilent: 24,
  EndedIdle: 25,
  EndedFinWait: 26,

  /** A request begins where the client's acknowledgement has advanced before it sends data. */
  RequestsSeen: 27,
  RequestsSent: 28,
  RequestsDelivered: 29,
  /** Sent because the deadline passed before the target's reply to the one before. */
  RequestsLate: 30,
  /** Sent again on a new connection, since the target had not acknowledged any byte of them. */
  RequestsResent: 31,
  SkippedRefused: 32,
  SkippedReset: 33,
  SkippedSilent: 34,
  SkippedGap: 35,
  SkippedFull: 36,
  SkippedClientReset: 37,
  SkippedClosing: 38,
  /** Data passed over until the next request begins. */
  SkippedBytes: 39,

  PacketsSent: 40,
  /** Client packets sent from where they lay; packets built from stored bytes. */
  PacketsInPlace: 41,
  DataPackets: 42,
  BytesSent: 43,
  AckPackets: 44,
  SynPackets: 45,
  FinPackets: 46,
  ResetPackets: 47,
  RetransmittedTimeout: 48,
  RetransmittedFast: 49,
  RetransmittedProbe: 50,
  RetransmittedSyn: 51,
  WindowProbes: 52,
  /** The emitter had no room; the kernel refused a packet; it was too long for the path. */
  SendQueueFull: 53,
  SendErrors: 54,
  SendTooLong: 55,

  TargetHeaders: 56,
  TargetBytes: 57,
  /** Headers of no session; with numbers that the session cannot have. */
  TargetStray: 58,
  TargetInvalid: 59,
  TargetRetransmitted: 60,
  TargetDuplicateAcks: 61,

  /** Client bytes that were never seen: waited for in vain. */
  GapsAbandoned: 62,
  /** Times that a session or the pool was full. */
  SessionFull: 63,
  PoolFull: 64,
  /** Requests whose beginning was sent and whose rest was not: their connection was closed. */
  RequestsCut: 65,
  /** Sent before the reply to the one before, since their session was behind. */
  RequestsAhead: 66,
} as const;
export type Count = (typeof Count)[keyof typeof Count];

export const COUNTS = 67;

/** Every counter by name. */
export function countsByName(counts: Float64Array): Record<keyof typeof Count, number> {
  const named: Record<string, number> = {};
  for (const [name, cell] of Object.entries(Count)) named[name] = counts[cell]!;
  return named as Record<keyof typeof Count, number>;
}
