/**
 * HOT: the checksums that cover the place being edited, innermost last. Every write goes through here and keeps all of
 * them as true as they were: those of the packet itself, and those of the tunnels and ICMP errors around it.
 */
import { checksumAdd, checksumApply, checksumReplace16, checksumReplace16Odd } from '../wire/checksum.ts';

/** Two a nested packet; deeper ones are left alone, and then are as false as such a packet is strange. */
const SUMS_MAX = 32;

export class CoveringSums {
  view: DataView = new DataView(new ArrayBuffer(0));
  #count = 0;
  /** Field; covered bytes; two more ranges (the pseudo-header's addresses), empty where there is none. */
  readonly #at: Uint32Array = new Uint32Array(SUMS_MAX);
  readonly #start: Uint32Array = new Uint32Array(SUMS_MAX);
  readonly #end: Uint32Array = new Uint32Array(SUMS_MAX);
  readonly #srcAt: Uint32Array = new Uint32Array(SUMS_MAX);
  readonly #dstAt: Uint32Array = new Uint32Array(SUMS_MAX);
  readonly #addressLen: Uint32Array = new Uint32Array(SUMS_MAX);
  /** UDP: zero means none and is never produced. */
  readonly #isUdp: Uint8Array = new Uint8Array(SUMS_MAX);

  begin(view: DataView): void {
    this.view = view;
    this.#count = 0;
  }

  get depth(): number {
    return this.#count;
  }

  /** Forgets the sums pushed since `depth` was this. */
  truncate(depth: number): void {
    this.#count = depth;
  }

  /** Field at `at` covers [start, end), and the addresses of `addressLen` bytes at `srcAt` and `dstAt`. */
  push(at: number, start: number, end: number, isUdp: boolean, addressLen = 0, srcAt = 0, dstAt = 0): void {
    const n = this.#count;
    if (n === SUMS_MAX || at + 2 > end) return;
    this.#at[n] = at;
    this.#start[n] = start;
    this.#end[n] = end;
    this.#isUdp[n] = isUdp ? 1 : 0;
    this.#addressLen[n] = addressLen;
    this.#srcAt[n] = srcAt;
    this.#dstAt[n] = dstAt;
    this.#count = n + 1;
  }

  /** Writes a 16-bit word. */
  set16(at: number, after: number): void {
    this.#write(at, after, this.#count);
  }

  set32(at: number, after: number): void {
    this.#write(at, after >>> 16, this.#count);
    this.#write(at + 2, after & 0xffff, this.#count);
  }

  /** Zeroes [from, to). */
  zero(from: number, to: number): void {
    if (to <= from) return;
    const view = this.view;
    for (let n = this.#count - 1; n >= 0; n--) {
      if (from < this.#start[n]! || to > this.#end[n]!) continue;
      const sum = checksumAdd(view, from, to);
      if (sum === 0) continue;
      const aligned = ((from - this.#start[n]!) & 1) === 0 ? sum : ((sum & 0xff) << 8) | (sum >>> 8);
      const at = this.#at[n]!;
      const field = view.getUint16(at);
      // taking a sum away is adding its complement
      this.#write(at, this.#finish(n, field, checksumApply(field, ~aligned & 0xffff)), n);
    }
    let i = from;
    for (; i + 8 <= to; i += 8) view.setFloat64(i, 0);
    for (; i < to; i++) view.setUint8(i, 0);
  }

  /** Writes a word that the first `count` sums may cover. */
  #write(at: number, after: number, count: number): void {
    const view = this.view;
    const before = view.getUint16(at);
    if (before === after) return;
    view.setUint16(at, after);
    for (let n = count - 1; n >= 0; n--) {
      const parity = this.#parityOf(n, at);
      if (parity < 0) continue;
      const sumAt = this.#at[n]!;
      const field = view.getUint16(sumAt);
      const next = parity === 0 ? checksumReplace16(field, before, after) : checksumReplace16Odd(field, before, after);
      this.#write(sumAt, this.#finish(n, field, next), n);
    }
  }

  #finish(n: number, field: number, next: number): number {
    if (this.#isUdp[n] === 0) return next;
    return field === 0 ? 0 : next === 0 ? 0xffff : next;
  }

  /** 0 or 1: where the word lies in what sum `n` covers; -1: it does not. */
  #parityOf(n: number, at: number): number {
    if (at >= this.#start[n]! && at + 2 <= this.#end[n]!) return (at - this.#start[n]!) & 1;
    const length = this.#addressLen[n]!;
    const inSrc = at - this.#srcAt[n]!;
    if (inSrc >= 0 && inSrc < length) return inSrc & 1;
    const inDst = at - this.#dstAt[n]!;
    return inDst >= 0 && inDst < length ? inDst & 1 : -1;
  }
}
