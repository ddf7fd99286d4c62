/**
 * HOT: the records of one window of a classic capture, edited where they lie in the read buffer, which is then written
 * as it is: no packet is copied and no header rebuilt unless its length changes. Budget 15 ns a record beside the edit.
 */
import { FrameBatch } from '../base/batch.ts';
import { FRAME_BYTES_MAX, type Region } from '../base/region.ts';
import type { CompiledRewriter } from '../rewrite/compile.ts';
import { Edit } from '../rewrite/rewriter.ts';

const RECORD_HEADER_BYTES = 16;
const FRACTION = 4;
const CAPLEN = 8;
const LEN = 12;

/** Side of a packet, by its number: 0, 1, or 2 = not to be edited (`rewrite_side.ts`). May throw `OperatorError`. */
export interface NumberRouter {
  sideOfNumber(number: number): number;
}
const DONT_SEND = 2;

export interface WindowRules {
  /** LINKTYPE_ of the input. */
  readonly linktype: number;
  /** Units of a second in stamps: 10^6 or 10^9. */
  readonly fractionMax: number;
  readonly isLittle: boolean;
  readonly skipSoftErrors: boolean;
  /** Frames that cannot be converted would be garbage in the output, those with this cause excepted. */
  readonly converts: boolean;
  readonly keptCause: number;
}

export class WindowEditor {
  /** Records of the last window, and where the first one that is not whole begins. */
  records = 0;
  consumedEnd = 0;
  // Over all windows.
  read = 0;
  written = 0;
  empty = 0;
  dontSend = 0;
  /** Packets not to be sent that would be garbage in the output. */
  dontSendDropped = 0;
  failedDropped = 0;
  /** Soft errors with `keptCause` that were left out. */
  keptCauseDropped = 0;
  longest = 0;
  readonly #rewriter: CompiledRewriter;
  readonly #rules: WindowRules;
  readonly #router: NumberRouter | null;
  readonly #region: Region;
  readonly #batch: FrameBatch;

  constructor(region: Region, rewriter: CompiledRewriter, router: NumberRouter | null, rules: WindowRules) {
    this.#region = region;
    this.#rewriter = rewriter;
    this.#router = router;
    this.#rules = rules;
    this.#batch = new FrameBatch(1, region);
    this.#batch.headroomBytes = 0;
  }

  /** Steps over the whole records of [0, end): sets `records` and `consumedEnd`. */
  scan(end: number): void {
    const view = this.#region.view;
    const little = this.#rules.isLittle;
    let p = 0;
    let n = 0;
    while (p + RECORD_HEADER_BYTES <= end) {
      const caplen = view.getUint32(p + CAPLEN, little);
      if (caplen > FRAME_BYTES_MAX || p + RECORD_HEADER_BYTES + caplen > end) break;
      p += RECORD_HEADER_BYTES + caplen;
      n++;
    }
    this.records = n;
    this.consumedEnd = p;
  }

  /**
   * Edits the records of [0, end), of which the first is packet `number`; `end` is where a record ends (`scan`).
   * Returns how many bytes of the region, from its first, are to be written. May throw the router's `OperatorError`.
   */
  edit(end: number, number: number): number {
    const view = this.#region.view;
    const rules = this.#rules;
    const little = rules.isLittle;
    const rewriter = this.#rewriter;
    const router = this.#router;
    const batch = this.#batch;
    const { at, caplen, len, linktype } = batch;
    let out = 0;
    let longest = this.longest;
    let written = 0;
    let n = number;
    let p = 0;
    for (; p + RECORD_HEADER_BYTES <= end; n++) {
      const bytes = view.getUint32(p + CAPLEN, little);
      const wireBytes = view.getUint32(p + LEN, little);
      const frame = p + RECORD_HEADER_BYTES;
      if (bytes > FRAME_BYTES_MAX || frame + bytes > end) break;
      at[0] = frame;
      caplen[0] = bytes;
      len[0] = Math.max(wireBytes, bytes);
      linktype[0] = rules.linktype;
      const side = router === null ? 0 : router.sideOfNumber(n);
      let keeps = true;
      if (side === DONT_SEND) keeps = this.#countDontSend();
      else {
        const status = rewriter.edit(batch, 0, side === 0 ? 0 : 1);
        if (status >= Edit.Drop) keeps = status === Edit.SoftError && this.#keepsFailed();
      }
      const newBytes = caplen[0]!;
      if (keeps && newBytes === 0) {
        this.empty++;
        keeps = false;
      }
      if (keeps) {
        written++;
        if (newBytes > longest) longest = newBytes;
        const isSame =
          at[0] === frame &&
          newBytes === bytes &&
          len[0] === wireBytes &&
          view.getUint32(p + FRACTION, little) < rules.fractionMax;
        if (!isSame) this.#moveChanged(p, out, at[0]!, newBytes, len[0]!);
        else if (out !== p) this.#region.bytes.copyWithin(out, p, frame + bytes);
        out += RECORD_HEADER_BYTES + newBytes;
      }
      p = frame + bytes;
    }
    this.longest = longest;
    this.consumedEnd = p;
    this.records = n - number;
    this.read += n - number;
    this.written += written;
    return out;
  }

  #countDontSend(): boolean {
    if (this.#rules.converts) this.dontSendDropped++;
    else this.dontSend++;
    return !this.#rules.converts;
  }

  /** Whether a packet that could not be edited is written as it is. */
  #keepsFailed(): boolean {
    const rules = this.#rules;
    const isKept = this.#rewriter.lastCause === rules.keptCause;
    if (!rules.skipSoftErrors && (isKept || !rules.converts)) return true;
    if (isKept) this.keptCauseDropped++;
    else this.failedDropped++;
    return false;
  }

  /** Puts a record of another length, or with a stamp to be mended, to `out`, which is not behind `p`. */
  #moveChanged(p: number, out: number, at: number, caplen: number, len: number): void {
    const { view, bytes } = this.#region;
    const little = this.#rules.isLittle;
    let seconds = view.getUint32(p, little);
    let fraction = view.getUint32(p + FRACTION, little);
    if (fraction >= this.#rules.fractionMax) {
      seconds += Math.floor(fraction / this.#rules.fractionMax);
      fraction %= this.#rules.fractionMax;
    }
    bytes.copyWithin(out + RECORD_HEADER_BYTES, at, at + caplen);
    view.setUint32(out, seconds, little);
    view.setUint32(out + FRACTION, fraction, little);
    view.setUint32(out + CAPLEN, caplen, little);
    view.setUint32(out + LEN, len, little);
  }
}
