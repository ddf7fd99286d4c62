/**
 * HOT: states of a session towards the target, and the moves between them. One cell per session, changed by
 * `moveSession` only.
 *
 * ```
 * Free ──► Held ──► SynSent ──► Open ──► FinSent ──► LastAck ──► Linger ──► Free
 *   └──► Idle ◄─────────┘  ▲      │ └──► TargetClosed ──┘
 *         └────────────────┘◄─────┘        (Idle: from every state that has or awaits a connection)
 * ```
 * Prohibited, and why:
 * - Free -> Open, FinSent, …: nothing may be sent on a connection whose sequence numbers no handshake has agreed on.
 * - Held -> Open: an older incarnation has the same four-tuple at the target; its bytes would be taken for ours.
 * - SynSent -> FinSent, TargetClosed: a close before the handshake ends is no close of a connection; the client's FIN
 *   waits in the segment list until Open.
 * - Open -> SynSent: a renewed connection starts from Idle, where the old one's sender is known to be at rest.
 * - FinSent, LastAck -> Open: a FIN cannot be taken back; nothing may follow it on this connection.
 * - LastAck -> FinSent: the target's FIN was seen, so only our own is still unacknowledged.
 * - Linger -> SynSent, Idle: the client has closed. What comes with its ports is another incarnation, which is Held
 * until
 *   this one is Free.
 * - Idle -> Open: a connection is never assumed; only a SYN-ACK opens it.
 * - anything but Free -> Held: a session that has sent anything cannot wait behind itself.
 */
import { assert } from '../base/assert.ts';

export const State = {
  /** The slot is not taken. */
  Free: 0,
  /** Waits until the incarnation before it has ended. */
  Held: 1,
  SynSent: 2,
  Open: 3,
  /** The target has sent its FIN; we may still send. */
  TargetClosed: 4,
  /** Our FIN is on its way, the target's has not come. */
  FinSent: 5,
  /** Both FINs are sent; ours is not acknowledged yet. */
  LastAck: 6,
  /** The client lives on, but has no connection at the target: the next request opens one. */
  Idle: 7,
  /** Both sides have closed; late segments of the target are still answered. */
  Linger: 8,
} as const;
export type State = (typeof State)[keyof typeof State];

const bits = (...states: readonly State[]): number => states.reduce<number>((all, state) => all | (1 << state), 0);

const ALLOWED: readonly number[] = [
  /* Free */ bits(State.Held, State.SynSent, State.Idle),
  /* Held */ bits(State.SynSent, State.Idle, State.Free),
  /* SynSent */ bits(State.Open, State.Idle, State.Free),
  /* Open */ bits(State.TargetClosed, State.FinSent, State.Idle, State.Free),
  /* TargetClosed */ bits(State.LastAck, State.Idle, State.Free),
  /* FinSent */ bits(State.LastAck, State.Linger, State.Idle, State.Free),
  /* LastAck */ bits(State.Linger, State.Idle, State.Free),
  /* Idle */ bits(State.SynSent, State.Free),
  /* Linger */ bits(State.Free),
];

/** Whether a session may move from one state to another. */
export function mayMove(from: number, to: number): boolean {
  return (ALLOWED[from]! & (1 << to)) !== 0;
}

/** The only function that writes a state. `at`: the cell that holds it. */
export function moveSession(cells: Int32Array, at: number, to: State): void {
  assert(mayMove(cells[at]!, to), 'the session may move there');
  cells[at] = to;
}

/** States in which a connection at the target exists and new bytes may be sent on it. */
export function maySendData(state: number): boolean {
  return state === State.Open || state === State.TargetClosed;
}

/** States in which the target's segments are processed by the connection's own rules. */
export function isConnected(state: number): boolean {
  return state >= State.Open && state <= State.LastAck;
}
