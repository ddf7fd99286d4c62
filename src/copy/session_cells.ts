/** Cells of a session: 32-bit integers in `SessionTable.cells`, doubles (times) in `SessionTable.times`. */

export const CELLS = 64;
export const TIMES = 16;

/** Sequence numbers are kept as signed 32-bit integers: compare them with `wire/seq.ts` only. */
export const Cell = {
  /** The client's address as the target sees it: IPv4 in word 0, IPv6 in four words. */
  Address0: 0,
  Address1: 1,
  Address2: 2,
  Address3: 3,
  /** Client port in the high half, target index in the low half. */
  PortTarget: 4,
  Hash: 5,
  /** Hash of production's address and port that the client speaks to. */
  Service: 6,
  State: 7,
  /** Bits of `SessionFlag`. */
  Flags: 8,
  /** Next newer incarnation of the same key, or -1. */
  Newer: 9,

  /** The client's initial sequence number (valid with `SessionFlag.HasIsn`). */
  ClientIsn: 10,
  /** Client bytes are stored without a gap up to here. */
  ClientNext: 11,
  /** Client bytes were sent, or given up, up to here. */
  ClientSent: 12,
  /** The client's acknowledgement number in the data stored last, and in the data sent last. */
  StoredAck: 13,
  SentAck: 14,
  /** Options of the client's SYN: MSS (0: none), window shift (-1: none). */
  ClientMss: 15,
  ClientShift: 16,

  Iss: 17,
  SndUna: 18,
  SndNxt: 19,
  RcvNxt: 20,
  /** The target's window, bytes; its shift. */
  PeerWindow: 21,
  PeerShift: 22,
  /** Largest payload of one segment. */
  SendMss: 23,
  /** TSval sent last; the target's TSval seen last. */
  TsValue: 24,
  TsEcho: 25,
  IpId: 26,

  CongestionWindow: 27,
  SlowStartThreshold: 28,
  DuplicateAcks: 29,
  /** `SndNxt` when recovery began. */
  RecoverSeq: 30,
  /** `RecoveryMode`. */
  Recovery: 31,
  /** Transmissions on this connection; the latest of them that is known to have arrived. */
  SendOrder: 32,
  Backoff: 33,
  /** `TimerMode` of `Time.Retransmit`. */
  TimerMode: 34,

  Head: 36,
  Tail: 37,
  /** First segment not sent yet, or -1. */
  NextSend: 38,
  Segments: 39,

  /** Payload bytes of the target since the last request was sent; less than 0: owed for those before it (`Ahead`). */
  ReplyBytes: 40,
  /** Payload bytes of the target that we have not acknowledged. */
  Unacknowledged: 41,
  /** Requests in a row that were sent by deadline. */
  LateInRow: 42,
  /** Connections in a row that ended without the target acknowledging anything. */
  Barren: 43,
  /** Requests sent, to tell a connection that asked nothing. */
  RequestsSent: 44,
  /** Bytes in flight that the target has named in SACK blocks. */
  SackedBytes: 45,
  /** Memory of its segments, in units of a small one. */
  StoredUnits: 46,

  ArrivedOrder: 47,
  /** Lists of segments that count as lost, and that were sent again: first and last of each, -1 when empty. */
  LostHead: 48,
  LostTail: 49,
  ResentHead: 50,
  ResentTail: 51,
  /** Bytes in flight that count as lost and were not sent again. */
  LostBytes: 52,
  /** The last segment that was looked at for loss, -1: none of those in flight. */
  Judged: 53,
  /** The segment of the highest sequence number that a SACK block named, or -1. */
  SackedLast: 54,
  /** Bytes that counted as lost since recovery began; -1: the window was reduced for them. */
  EpochLost: 55,
  /** Congestion window before a time-out that may prove to have been too early, negative once it has; 0: none. */
  WindowBefore: 56,
  /** Transmissions of this connection that may overtake one another before one of them counts as lost. */
  Distance: 57,
} as const;

export const SessionFlag = {
  Ipv6: 1,
  HasIsn: 2,
  ClientSack: 4,
  ClientTimestamps: 8,
  /** Agreed on with the target. */
  Sack: 16,
  Timestamps: 32,
  /** Both sides offered window scaling. */
  WindowScale: 64,
  /** Client data is passed over until a request begins. */
  Skipping: 128,
  /** `SentAck` and `StoredAck` are known. */
  AckKnown: 256,
  /** The next request need not wait for a reply: the connection is new. */
  FreePass: 1024,
  /** The connection was closed by us so that another can be opened for the same client. */
  Renew: 2048,
  /** Had a connection before: the next one takes an initial sequence number of its own. */
  HadConnection: 4096,
  ClientFin: 8192,
  ClientReset: 16384,
  /** There was no room for a client packet: the gap behind the stored bytes will not be filled. */
  GapCertain: 32768,
  /** Refused by the drop policy: the client's packets are passed over for good. */
  Ignored: 65536,
  FinAcked: 131072,
  /** A newer incarnation waits for this one's end. */
  Hurry: 262144,
  /** The target's bytes are to be acknowledged with the next packet, at once. */
  AckNow: 524288,
  /** The client's bytes known last ended with PSH: a request may begin behind them. */
  PushSeen: 1048576,
  /** Requests may be ahead of the target's replies, as the session was behind. */
  Ahead: 2097152,
} as const;

export const RecoveryMode = { None: 0, Fast: 1, Loss: 2 } as const;
export const TimerMode = { None: 0, Retransmit: 1, TailProbe: 2, Persist: 3, Syn: 4 } as const;

/** Doubles. From `Retransmit` to `Life` deadlines, Infinity when not set. */
export const Time = {
  Srtt: 0,
  RttVar: 1,
  Rto: 2,
  /** When the SYN was sent first. */
  SynSent: 3,
  /** Last payload of the target. */
  Reply: 4,
  /** Last packet of the client. */
  Client: 5,
  /** Last time the target acknowledged something new. */
  Progress: 6,
  Retransmit: 7,
  Ack: 8,
  Pace: 9,
  Gap: 10,
  Life: 11,
  /** What the timer wheel is set to. */
  Wheel: 12,
} as const;
export const TIME_FIRST_DEADLINE: number = Time.Retransmit;
export const TIME_LAST_DEADLINE: number = Time.Life;
