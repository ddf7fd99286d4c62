/**
 * A rewriting packet by packet: every input, format and option. What `rewrite_in_place.ts` cannot do, this can, at
 * about twice its cost.
 */
import { BATCH_FRAMES, FrameBatch } from '../base/batch.ts';
import { OperatorError } from '../base/errors.ts';
import { plainRegion } from '../base/region.ts';
import { NS_PER_SECOND } from '../base/units.ts';
import { type CaptureReader, openCapture } from '../pcap/index.ts';
import { type Anonymizer, openAnonymizer } from '../rewrite/anonymize.ts';
import { Cause, type CompiledRewriter, compileRewriter, Edit } from '../rewrite/index.ts';
import { linktypeName } from '../wire/linktype.ts';
import type { RewriteFileSpec } from './rewrite_file_spec.ts';
import type { FragrouteStage } from './rewrite_fragroute.ts';
import { RewriteOutput } from './rewrite_output.ts';
import { OversizeStage } from './rewrite_oversize.ts';
import { type Router, Side } from './rewrite_side.ts';
import { addCounters, bump, newTally, type RewriteTally } from './rewrite_tally.ts';
import { type Stamp, stampDifference } from './rewrite_time.ts';

export interface StreamParts {
  readonly router: Router;
  readonly fragroute: FragrouteStage | null;
  /** Takes lines for the operator (`echo` and `print` of fragroute). */
  readonly say: (line: string) => void;
  /** Files that get a copy of every packet of the first and the second output (`--verbose`); [] = none. */
  readonly copyTo: readonly string[];
}

/** Longest time stamp digits of what an interface says. */
function digitsOf(reader: CaptureReader, spec: RewriteFileSpec): 6 | 9 {
  if (spec.stamps !== 'keep') return spec.stamps === 'us' ? 6 : 9;
  return reader.info.interfaces.some((one) => one.timestampDigits > 6) ? 9 : 6;
}

export class StreamRewriting {
  readonly tally: RewriteTally = newTally();
  readonly warnings: string[] = [];
  readonly #spec: RewriteFileSpec;
  readonly #router: Router;
  readonly #fragroute: FragrouteStage | null;
  readonly #copyTo: readonly string[];
  readonly #rewriter: CompiledRewriter;
  readonly #oversize: OversizeStage | null;
  readonly #batch: FrameBatch = new FrameBatch(BATCH_FRAMES, plainRegion(0));
  readonly #reader: CaptureReader;
  readonly #outputs: RewriteOutput[] = [];
  readonly #copies: RewriteOutput[] = [];
  #shift: Stamp | null;
  readonly #anonymizer: Anonymizer | null;
  readonly #say: (line: string) => void;
  /** Packets that no other rule changed. */
  #onlyAnonymized = 0;
  #dontSend = 0;
  #digits: 6 | 9 = 6;
  #saidCoarse = false;

  /** Opens the input. Throws `OperatorError`. */
  constructor(spec: RewriteFileSpec, parts: StreamParts) {
    this.#spec = spec;
    this.#router = parts.router;
    this.#fragroute = parts.fragroute;
    this.#copyTo = parts.copyTo;
    this.#rewriter = compileRewriter(spec.rewrite);
    this.#oversize = spec.oversize === null ? null : new OversizeStage(spec.oversize, spec.rewrite.mtuBytes);
    this.#anonymizer = spec.anonymize === null ? null : openAnonymizer(spec.anonymize);
    this.#say = parts.say;
    this.#shift = spec.shift;
    this.#reader = openCapture(spec.input);
  }

  /** Reads and writes everything. Throws the `OperatorError` that ends it early; what was done stays in the files. */
  run(): void {
    try {
      let count = this.#reader.read(this.#batch);
      this.#open();
      for (; count > 0; count = this.#reader.read(this.#batch)) this.#edit();
    } finally {
      this.#settle();
    }
  }

  /** Counts up and closes everything; a failing close does not keep the others from being closed. */
  #settle(): void {
    addCounters(this.tally, this.#rewriter.counters, this.#dontSend);
    this.tally.edited += this.#onlyAnonymized;
    bump(this.tally.unchanged, 'no-rule', -this.#onlyAnonymized);
    this.#reader.close();
    let fault: unknown = null;
    for (const output of [...this.#outputs, ...this.#copies]) {
      try {
        output.close();
      } catch (error) {
        fault ??= error;
      }
    }
    this.tally.written = this.#outputs.reduce((sum, output) => sum + output.packetsWritten, 0);
    if (fault !== null) throw fault;
  }

  /** Creates the outputs, once the first frames have told the link type. */
  #open(): void {
    const { reader, spec, rewriter } = { reader: this.#reader, spec: this.#spec, rewriter: this.#rewriter };
    const { info } = reader;
    const linktype = this.#batch.count > 0 ? this.#batch.linktype[0]! : (info.interfaces[0]?.linktype ?? 1);
    this.#digits = digitsOf(reader, spec);
    this.#refuseWithoutMacs(linktype);
    const format = spec.format === 'keep' ? info.format : spec.format;
    const common = { format, digits: this.#digits, linktype: rewriter.linktypeAfter(linktype) };
    const paths = spec.outputSecondary === null ? [spec.output] : [spec.output, spec.outputSecondary];
    for (const path of paths) this.#outputs.push(new RewriteOutput({ ...common, path }));
    if (format === 'pcapng') {
      for (const [index, one] of info.interfaces.entries()) {
        for (const output of this.#outputs) output.declare(index, rewriter.linktypeAfter(one.linktype), one.name);
      }
    }
    for (const path of this.#copyTo) this.#copies.push(new RewriteOutput({ ...common, format: 'pcap', path }));
  }

  /** An Ethernet header is to be made, and where its addresses come from is known before the first packet. */
  #refuseWithoutMacs(linktype: number): void {
    const lack = this.#rewriter.macsMissing(linktype, this.#spec.cachefile !== null || this.#spec.auto !== null);
    if (lack === null) return;
    throw new OperatorError(
      'USAGE',
      `--dlt=enet makes Ethernet headers of ${linktypeName(linktype)} frames, ` +
        `which have no ${lack.what}: add ${lack.option}`,
    );
  }

  #edit(): void {
    const batch = this.#batch;
    const { skipSoftErrors } = this.#spec;
    const rewriter = this.#rewriter;
    const region = batch.region;
    for (let i = 0; i < batch.count; i++) {
      this.tally.read++;
      const before = batch.linktype[i]!;
      const side = this.#router.sideOf(batch, i);
      // Nothing refers to the last frame any more.
      region.scratchNext = region.scratchStart;
      let status: number = Edit.Unchanged;
      if (side !== Side.DontSend) status = rewriter.edit(batch, i, side);
      else if (rewriter.linktypeAfter(before) === before) this.#dontSend++;
      else {
        // As it is, it would be garbage in a file of another link type.
        bump(this.tally.dropped, 'dont-send');
        continue;
      }
      if (status === Edit.Drop) continue;
      if (status === Edit.NoRoom) {
        throw new OperatorError(
          'RESOURCE',
          `packet ${batch.numberFirst + i} does not fit the memory for edited packets`,
        );
      }
      if (status === Edit.SoftError) {
        if (!this.#keeps(before, batch.numberFirst + i, skipSoftErrors)) continue;
        // The reference writes 802.3 frames unconverted into a file of any link type.
        if (rewriter.lastCause === Cause.LengthFrame) batch.linktype[i] = rewriter.linktypeAfter(before);
      }
      if (batch.caplen[i] === 0) {
        bump(this.tally.dropped, 'empty');
        continue;
      }
      if (this.#anonymizer !== null) this.#anonymize(this.#anonymizer, i, status);
      this.#pass(i, side);
    }
  }

  /** Whatever is written is anonymized, packets that could not be edited, too. */
  #anonymize(anonymizer: Anonymizer, i: number, status: number): void {
    if (anonymizer.edit(this.#batch, i) === Edit.Edited && status === Edit.Unchanged) this.#onlyAnonymized++;
  }

  /** Whether a packet that could not be edited is written as it is. */
  #keeps(linktype: number, number: number, skipSoftErrors: boolean): boolean {
    const cause = this.#rewriter.lastCause;
    if (skipSoftErrors) {
      if (cause === Cause.LengthFrame) bump(this.tally.dropped, 'length-frame');
      else this.tally.failedDropped++;
      if (cause === Cause.LengthFrame) bump(this.tally.unchanged, 'length-frame', -1);
      return false;
    }
    if (cause === Cause.NoDestinationMac || cause === Cause.NoSourceMac) {
      const [what, option] = cause === Cause.NoSourceMac ? ['source', '--enet-smac'] : ['destination', '--enet-dmac'];
      throw new OperatorError(
        'ADDRESS',
        `packet ${number} has no ${what} MAC address for an Ethernet header: add ${option}`,
      );
    }
    if (cause === Cause.LengthFrame || this.#rewriter.linktypeAfter(linktype) === linktype) return true;
    this.tally.failedDropped++;
    return false;
  }

  /** Frame `i` through fragroute and splitting into its file. */
  #pass(i: number, side: Side): void {
    const batch = this.#batch;
    const second = side === Side.Server && this.#outputs.length > 1 ? 1 : 0;
    const fragroute = this.#fragroute;
    if (fragroute !== null && side !== Side.DontSend && fragroute.takes(side)) {
      const made = fragroute.pass(batch, i, this.tally);
      fragroute.drain(this.#say);
      if (made !== null) {
        if (made.count === 0) bump(this.tally.dropped, 'fragroute');
        else this.tally.added += made.count - 1;
        for (let k = 0; k < made.count; k++) this.#split(made, k, i, second);
        return;
      }
    }
    this.#split(batch, i, i, second);
  }

  /** Frame `k` of `from`, which was made of frame `i` of the input. */
  #split(from: FrameBatch, k: number, i: number, second: number): void {
    const oversize = this.#oversize;
    if (oversize === null || !oversize.isTooLong(from, k)) {
      this.#write(from, k, i, second);
      return;
    }
    const parts = oversize.split(from, k);
    if (parts === null) {
      bump(this.tally.failed, 'not-splittable');
      this.tally.failedDropped++;
      return;
    }
    if (parts.count === 0) {
      bump(this.tally.dropped, 'oversize');
      return;
    }
    this.tally.added += parts.count - 1;
    for (let n = 0; n < parts.count; n++) this.#write(parts, n, i, second);
  }

  #write(from: FrameBatch, k: number, i: number, second: number): void {
    const batch = this.#batch;
    let sec = batch.sec[i]!;
    let nsec = batch.nsec[i]!;
    const { startAt } = this.#spec;
    if (startAt !== null && this.#shift === null) this.#shift = stampDifference(startAt, { sec, nsec });
    if (this.#shift !== null) {
      sec += this.#shift.sec;
      nsec += this.#shift.nsec;
      if (nsec >= NS_PER_SECOND) {
        nsec -= NS_PER_SECOND;
        sec++;
      }
    }
    if (this.#digits === 6 && nsec % 1000 !== 0 && !this.#saidCoarse) this.#sayCoarse();
    const input = batch.interfaceIndex[i]!;
    const name = this.#reader.info.interfaces[input]?.name ?? '';
    const linktype = from.linktype[k]!;
    const output = this.#outputs[second]!;
    const { at, caplen, len } = { at: from.at[k]!, caplen: from.caplen[k]!, len: from.len[k]! };
    output.write(from.region, at, caplen, len, sec, nsec, linktype, input, name);
    this.#copies[second]?.write(from.region, at, caplen, len, sec, nsec, linktype, input, name);
  }

  /** Asked for by --ts=us: no warning. */
  #sayCoarse(): void {
    this.#saidCoarse = true;
    if (this.#spec.stamps !== 'us') {
      this.warnings.push('some time stamps are finer than those of the first interface and were cut: add --ts=ns');
    }
  }
}
