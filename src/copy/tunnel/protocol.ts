/**
 * The tunnel between `tscopy` and `tsintercept`: frames over one TCP (or TLS) connection.
 *
 * ```
 * frame    u32 bytes that follow (type included) | u8 type | payload            big-endian
 *
 * agent -> server   Hello      "tsrt" u16 version, 32 bytes nonce A
 * server -> agent   Challenge  u16 version, 32 bytes nonce B
 * agent -> server   Proof      HMAC-SHA256(key, "agent" A B version)
 * server -> agent   Welcome    HMAC-SHA256(key, "server" A B version), then JSON: what is intercepted
 *                   Reject     u8 reason, u16 version; the connection ends
 * then, in any order
 * agent -> server   Sessions   n times: u8 operation and family, ports, addresses
 *                   Ping       nothing
 *                   Features   u32 bits: what this agent wants of each reply; see FEATURE_HEADS
 * server -> agent   Replies    u32 replies lost since the last frame, u32 age of the oldest in µs, records (`reply.ts`)
 *                   Status     six f64: see STATUS_FIELDS; once a second, and the answer to Ping
 *                   Bye        nothing: the interception ends, send no more copies
 * agent -> server   Clock      f64 clock on the wall, ms since 1970
 * server -> agent   Time       f64 that of the Clock frame, f64 its own
 * agent -> server   Probe      JSON (`probe.ts`): look for these packets on all interfaces
 *                   ProbeEnd   nothing: look no longer
 * server -> agent   ProbeReady JSON, the answer to Probe; ProbeSeen JSON, that to ProbeEnd
 * ```
 * The agent proves first that it has the key: whoever scans the port gets nothing that the key could be guessed from.
 */

export const TUNNEL_VERSION = 2;
export const TUNNEL_PORT = 36_524;
/** "tsrt" */
export const MAGIC = 0x7473_7274;

export const Frame = {
  Hello: 1,
  Challenge: 2,
  Proof: 3,
  Welcome: 4,
  Reject: 5,
  Sessions: 6,
  Ping: 7,
  Replies: 8,
  Status: 9,
  Bye: 10,
  Features: 16,
  Clock: 20,
  Time: 21,
  Probe: 22,
  ProbeReady: 23,
  ProbeEnd: 24,
  ProbeSeen: 25,
} as const;

export const Reject = { WrongKey: 1, WrongVersion: 2, Full: 3 } as const;

export const LENGTH_BYTES = 4;
export const TYPE_BYTES = 1;
export const FRAME_HEAD_BYTES = 5;
export const NONCE_BYTES = 32;
export const PROOF_BYTES = 32;
export const HELLO_BYTES: number = 4 + 2 + NONCE_BYTES;
export const CHALLENGE_BYTES: number = 2 + NONCE_BYTES;
export const REJECT_BYTES = 3;

/** Longest frame before the far end has proved that it has the key. */
export const FRAME_BYTES_MAX_STRANGER = 64;
/** Longest frame of a far end that has it; a Replies frame ends at `REPLIES_BYTES_MAX`. */
export const FRAME_BYTES_MAX = 262_144;
/** Payload of a Replies frame in front of its records. */
export const REPLIES_HEAD_BYTES = 8;
export const REPLIES_BYTES_MAX = 65_536;

/** In a Sessions frame: an entry's first byte. */
export const SESSION_ADD = 1;
export const SESSION_REMOVE = 2;
/** Added to it where the addresses are IPv6. */
export const SESSION_V6 = 0x80;
export const SESSION_BYTES_V4 = 13;
export const SESSION_BYTES_V6 = 37;

/** With a reply that carries data: its HTTP status, and since when it has been there. */
export const FEATURE_HEADS = 1;
export const FEATURES_BYTES = 4;

/** Fields of a Status frame, f64 each, totals since the start. */
export const STATUS_FIELDS = [
  /** Replies that the ring gave. */
  'replies',
  /** Of these, handed to an agent. */
  'routed',
  /** Of these, those that no agent had registered. */
  'unrouted',
  /** Replies that the kernel dropped because the ring was full. */
  'droppedByKernel',
  /** Replies to this agent that were given up because it did not read. */
  'lostToAgent',
  /** Sessions registered by all agents. */
  'sessions',
] as const;
export type TunnelStatus = Record<(typeof STATUS_FIELDS)[number], number>;
export const STATUS_BYTES: number = STATUS_FIELDS.length * 8;

/** What the server says about itself. */
export interface Welcome {
  readonly mode: 'host' | 'assistant';
  /** `80`, `10.0.0.9:80`, `[fd00::9]:80`. */
  readonly services: readonly string[];
  /** Networks that are answered as ever (`--except`): their clients are not to be copied. */
  readonly except?: readonly string[];
}

export const CLOCK_BYTES = 8;
export const TIME_BYTES = 16;

export const STATUS_PERIOD_MS = 1_000;
/** The server answers at least that often; silence that long means that the far end is gone. */
export const SILENCE_MS_MAX = 10_000;
export const PING_PERIOD_MS = 2_000;
