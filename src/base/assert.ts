/** A programmer's fault. Never used for what a packet, a file or an operator can cause. */
export class AssertionFault extends Error {
  override readonly name = 'AssertionFault';
}

export function assert(condition: boolean, what: string): asserts condition {
  if (!condition) throw new AssertionFault(what);
}
