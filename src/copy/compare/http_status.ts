/** HOT: the status line of an HTTP reply (RFC 9112 section 4), of which only the first bytes were captured. 2 ns. */

/** "HTTP/1.1 200": what has to be there. */
export const STATUS_LINE_BYTES = 12;
const HTTP = 0x48545450;
/** "/1." */
const SLASH_ONE_DOT = 0x2f312e;
const SPACE = 0x20;
const ZERO = 0x30;

/** Status of the reply that begins at `at`, 100..999; 0: no HTTP/1 reply begins there, or too little was captured. */
export function httpStatus(view: DataView, at: number, end: number): number {
  if (end - at < STATUS_LINE_BYTES || view.getUint32(at) !== HTTP) return 0;
  if (view.getUint32(at + 4) >>> 8 !== SLASH_ONE_DOT || view.getUint8(at + 8) !== SPACE) return 0;
  const hundreds = view.getUint8(at + 9) - ZERO;
  const tens = view.getUint8(at + 10) - ZERO;
  const ones = view.getUint8(at + 11) - ZERO;
  if (hundreds < 1 || hundreds > 9 || tens < 0 || tens > 9 || ones < 0 || ones > 9) return 0;
  return hundreds * 100 + tens * 10 + ones;
}

/** 100 Continue and 103 Early Hints come before the reply proper; 101 is one, and what follows is no HTTP. */
export function isInterim(status: number): boolean {
  return status >= 100 && status < 200 && status !== SWITCHING;
}

/** Whether data behind this status still belongs to the same HTTP reply, until another status line comes. */
export function isFramed(status: number): boolean {
  return status > 0 && status !== SWITCHING;
}

const SWITCHING = 101;
