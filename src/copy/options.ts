/** Settings of the session engine, and their bounds. */
import { OperatorError } from '../base/errors.ts';
import { NS_PER_MS, NS_PER_SECOND } from '../base/units.ts';

/** What is done when a session, or the pool, has no room for a client's bytes. Each time is counted. */
export type FullPolicy =
  /** What is stored is kept; what does not fit is left out, and the session goes on with the next request that fits. */
  | 'hold'
  /** What is stored and not sent is given up as well: the session goes on with the client's next request. */
  | 'skip'
  /** The session is ended and the client's further packets are passed over. */
  | 'drop';

export interface EngineOptions {
  /** Sessions at once. */
  readonly maxSessions: number;
  /** Bytes of client data stored at once over all sessions; rounded down to whole segments. */
  readonly memoryBytes: number;
  /** Bytes of client data stored at once for one session; 0: up to three times what all leave free. */
  readonly sessionBytes: number;
  readonly whenFull: FullPolicy;
  /** Sessions that were open before are not taken up. */
  readonly onlyNew: boolean;
  /** Requests do not wait for replies. */
  readonly noWait: boolean;
  /** Longest time that a request waits for the target's reply to the one before. */
  readonly replyDeadlineNs: number;
  /** A reply that has begun and then been silent for this long has ended. */
  readonly replyQuietNs: number;
  /** Longest packet towards a target, IP header included. */
  readonly mtu: number;
  /** MSS offered to targets and upper bound of theirs; 0: by the MTU. */
  readonly mss: number;
  /** Bounds of the retransmission time-out (RFC 6298), and its value before the first measurement. */
  readonly rtoMinNs: number;
  readonly rtoMaxNs: number;
  readonly rtoInitialNs: number;
  /** SYNs sent before a target counts as silent. */
  readonly synTries: number;
  /** A connection without any progress for this long counts as silent. */
  readonly silentNs: number;
  /** RFC 5681 congestion control; without it only the target's window limits. */
  readonly congestionControl: boolean;
  /** Longest delay of an acknowledgement of the target's bytes. */
  readonly ackDelayNs: number;
  /** How long a gap in the client's bytes may be filled by its own retransmission. */
  readonly gapWaitNs: number;
  /** As `gapWaitNs` for some seconds after the capture has reported loss (`noteCaptureLoss`). */
  readonly gapWaitLossyNs: number;
  /** A session without any client packet for this long is ended. */
  readonly idleNs: number;
  /** After both sides have closed. */
  readonly lingerNs: number;
  /** After our FIN, without any segment of the target. */
  readonly finWaitNs: number;
  /**
   * A first packet with data that comes this long after the start begins a request, as its session was silent until
   * then; not so once sessions have been shed.
   */
  readonly takeUpAfterNs: number;
  /** Share of clients that are copied, 0..100, and the time over which it rises to that. */
  readonly percent: number;
  readonly rampNs: number;
}

/** The defaults. A class, so that all options have one shape: each spread that is frozen has one of its own. */
class Options implements EngineOptions {
  readonly maxSessions: number = 65_536;
  readonly memoryBytes: number = 67_108_864;
  readonly sessionBytes: number = 4_194_304;
  readonly whenFull: EngineOptions['whenFull'] = 'hold';
  readonly onlyNew: boolean = false;
  readonly noWait: boolean = false;
  readonly replyDeadlineNs: number = NS_PER_SECOND;
  readonly replyQuietNs: number = 3 * NS_PER_MS;
  readonly mtu: number = 1500;
  readonly mss: number = 0;
  readonly rtoMinNs: number = 200 * NS_PER_MS;
  readonly rtoMaxNs: number = 4 * NS_PER_SECOND;
  // RFC 6298 says a second, for paths that nobody knows: here a SYN that is lost keeps back what its client goes on to
  // send, and targets are near.
  readonly rtoInitialNs: number = 250 * NS_PER_MS;
  readonly synTries: number = 7;
  readonly silentNs: number = 30 * NS_PER_SECOND;
  readonly congestionControl: boolean = true;
  readonly ackDelayNs: number = 2 * NS_PER_MS;
  readonly gapWaitNs: number = 10 * NS_PER_SECOND;
  readonly gapWaitLossyNs: number = NS_PER_SECOND;
  readonly idleNs: number = 600 * NS_PER_SECOND;
  readonly lingerNs: number = 500 * NS_PER_MS;
  readonly finWaitNs: number = 60 * NS_PER_SECOND;
  readonly takeUpAfterNs: number = 2 * NS_PER_SECOND;
  readonly percent: number = 100;
  readonly rampNs: number = 0;
}

export const ENGINE_DEFAULTS: EngineOptions = Object.freeze(new Options());

type NumberOption = { [K in keyof EngineOptions]: EngineOptions[K] extends number ? K : never }[keyof EngineOptions];

/** Bounds of each number, both included. */
const BOUNDS: { readonly [K in NumberOption]: readonly [number, number] } = {
  maxSessions: [1, 4_194_304],
  memoryBytes: [65_536, 17_179_869_184],
  sessionBytes: [0, 1_073_741_824],
  replyDeadlineNs: [0, 3_600 * NS_PER_SECOND],
  replyQuietNs: [0, 60 * NS_PER_SECOND],
  mtu: [576, 65_535],
  mss: [0, 65_495],
  rtoMinNs: [NS_PER_MS, 60 * NS_PER_SECOND],
  rtoMaxNs: [NS_PER_MS, 120 * NS_PER_SECOND],
  rtoInitialNs: [NS_PER_MS, 60 * NS_PER_SECOND],
  synTries: [1, 16],
  silentNs: [NS_PER_MS, 3_600 * NS_PER_SECOND],
  ackDelayNs: [0, NS_PER_SECOND],
  gapWaitNs: [0, 600 * NS_PER_SECOND],
  gapWaitLossyNs: [0, 600 * NS_PER_SECOND],
  idleNs: [NS_PER_SECOND, 86_400 * NS_PER_SECOND],
  lingerNs: [0, 240 * NS_PER_SECOND],
  finWaitNs: [NS_PER_MS, 3_600 * NS_PER_SECOND],
  takeUpAfterNs: [0, 3_600 * NS_PER_SECOND],
  percent: [0, 100],
  rampNs: [0, 86_400 * NS_PER_SECOND],
};

/** The defaults with `given` in their place. Throws `OperatorError` USAGE for values out of bounds or at odds. */
export function engineOptions(given: Partial<EngineOptions> = {}): EngineOptions {
  const options = Object.freeze(Object.assign(new Options(), given));
  for (const [name, [least, most]] of Object.entries(BOUNDS)) {
    const value = options[name as NumberOption];
    if (!(value >= least && value <= most)) {
      throw new OperatorError('USAGE', `${name} is ${value}: give ${least} to ${most}`);
    }
  }
  if (options.rtoMinNs > options.rtoMaxNs) {
    throw new OperatorError(
      'USAGE',
      `rtoMinNs ${options.rtoMinNs} is above rtoMaxNs ${options.rtoMaxNs}: raise the latter`,
    );
  }
  return options;
}
