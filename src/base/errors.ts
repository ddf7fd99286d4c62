/**
 * An operator's fault: one sentence with the remedy, a stable code, an exit status.
 *
 * The three channels are never mixed: a packet's fault is a status number and a counter, a programmer's fault is an
 * assertion (`assert.ts`), and only what an operator can mend is thrown as an `OperatorError`.
 */

/** Exit statuses of every command. */
export const Exit = {
  /** Everything that was asked for was done. */
  Done: 0,
  /** It ran, but not everything asked for was done. */
  Incomplete: 1,
  /** The command line or a configuration file is wrong. */
  Usage: 2,
  /** The machine refused: permission, interface, memory, kernel feature. */
  Refused: 3,
  /** SIGINT. */
  Interrupted: 130,
} as const;
export type Exit = (typeof Exit)[keyof typeof Exit];

/** Stable codes of operator errors; each names one remedy family. */
export type ErrorCode =
  | 'USAGE' // an option or a configuration value
  | 'FILE' // a file cannot be opened, read or written
  | 'FORMAT' // a file's content is wrong: file, packet number, byte offset
  | 'PERMISSION' // a capability is missing
  | 'INTERFACE' // an interface is missing, down, without carrier, of the wrong kind
  | 'MTU' // a packet does not fit
  | 'FRAMING' // the capture's link type cannot be sent on this device
  | 'ADDRESS' // a route, a neighbour or a MAC address is missing
  | 'RESOURCE' // memory, descriptors, locked memory, disk space
  | 'UNSUPPORTED' // the kernel or the platform does not have it
  | 'SYSTEM'; // any other failed system call

const EXIT_OF: Record<ErrorCode, Exit> = {
  USAGE: Exit.Usage,
  FILE: Exit.Incomplete,
  FORMAT: Exit.Incomplete,
  PERMISSION: Exit.Refused,
  INTERFACE: Exit.Refused,
  MTU: Exit.Refused,
  FRAMING: Exit.Refused,
  ADDRESS: Exit.Refused,
  RESOURCE: Exit.Refused,
  UNSUPPORTED: Exit.Refused,
  SYSTEM: Exit.Refused,
};

export class OperatorError extends Error {
  override readonly name = 'OperatorError';
  readonly code: ErrorCode;

  /** `message`: one sentence, what is wrong and what to type next ("eth1 is down: ip link set eth1 up"). */
  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }

  get exit(): Exit {
    return EXIT_OF[this.code];
  }
}
