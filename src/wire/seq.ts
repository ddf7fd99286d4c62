/** TCP sequence number arithmetic modulo 2^32, RFC 9293 section 3.4. The only file that compares sequence numbers. */

/** Signed distance from `a` to `b`: negative when `b` is before `a`. */
export function seqDelta(a: number, b: number): number {
  return (b - a) | 0;
}

/** `a` moved by `delta` (any integer below 2^53 in magnitude), in [0, 2^32). */
export function seqAdd(a: number, delta: number): number {
  return (a + delta) >>> 0;
}

export function seqBefore(a: number, b: number): boolean {
  return ((a - b) | 0) < 0;
}

export function seqAfter(a: number, b: number): boolean {
  return ((a - b) | 0) > 0;
}

/** True when `seq` lies in [from, from + length), modulo 2^32. */
export function seqInWindow(seq: number, from: number, length: number): boolean {
  return (seq - from) >>> 0 < length;
}

/** The later of the two. */
export function seqMax(a: number, b: number): number {
  return seqBefore(a, b) ? b : a;
}
