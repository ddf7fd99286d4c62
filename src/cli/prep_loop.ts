/**
 * HOT: frames in, verdicts of a cache out. A classifier that waits for the end of the capture has its subjects kept,
 * four bytes a packet; of a capture that can be read again only the first `KEPT_MAX` are, so that memory stays flat.
 */
import type { FrameBatch } from '../base/batch.ts';
import type { AddressFilter, Classifier } from '../flow/index.ts';
import { type PrepCacheBuilder, PrepVerdict } from '../pcap/prep_cache.ts';
import { type Select, TAKE } from '../replay/select.ts';

const SKIPPED = -100;
/** 32 MiB of subjects. */
export const KEPT_MAX = 8_388_608;

export class PrepLoop {
  /** Packets looked at. */
  packets = 0;
  readonly #classifier: Classifier;
  readonly #select: Select | null;
  readonly #addresses: readonly AddressFilter[];
  readonly #builder: PrepCacheBuilder;
  readonly #keptMax: number;
  #subjects = new Int32Array(4096);
  #kept = 0;

  /** `keptMax`: Infinity where the capture cannot be read again. */
  constructor(
    classifier: Classifier,
    select: Select | null,
    addresses: readonly AddressFilter[],
    builder: PrepCacheBuilder,
    keptMax: number,
  ) {
    this.#classifier = classifier;
    this.#select = select;
    this.#addresses = addresses;
    this.#builder = builder;
    this.#keptMax = keptMax;
  }

  /** The first reading: looks at all frames, and decides where nothing has to be waited for. */
  take(batch: FrameBatch): void {
    const waits = this.#classifier.waits;
    for (let i = 0; i < batch.count; i++) {
      const subject = this.#isTaken(batch, i) ? this.#classifier.look(batch, i) : SKIPPED;
      if (waits) this.#keep(subject);
      else this.#decide(subject);
    }
    this.packets += batch.count;
  }

  /** After `settle`: decides what was kept. False: the capture has to be read again, into `takeAgain`. */
  decideKept(): boolean {
    for (let k = 0; k < this.#kept; k++) this.#decide(this.#subjects[k]!);
    return this.#builder.packets === this.packets;
  }

  /** The second reading: decides the frames behind those that were kept. */
  takeAgain(batch: FrameBatch): void {
    for (let i = 0; i < batch.count; i++) {
      const taken = this.#isTaken(batch, i);
      if (batch.numberFirst + i <= this.#kept) continue;
      if (this.#builder.packets === this.packets) return;
      this.#decide(taken ? this.#classifier.look(batch, i) : SKIPPED);
    }
  }

  #isTaken(batch: FrameBatch, i: number): boolean {
    if (this.#select !== null && this.#select.causeOf(batch, i) !== TAKE) return false;
    const addresses = this.#addresses;
    for (let k = 0; k < addresses.length; k++) if (!addresses[k]!.takes(batch, i)) return false;
    return true;
  }

  #keep(subject: number): void {
    if (this.#kept >= this.#keptMax) return;
    if (this.#kept === this.#subjects.length) {
      const more = new Int32Array(this.#kept * 2);
      more.set(this.#subjects);
      this.#subjects = more;
    }
    this.#subjects[this.#kept++] = subject;
  }

  #decide(subject: number): void {
    if (subject === SKIPPED) this.#builder.add(PrepVerdict.Skip);
    else this.#builder.add(this.#classifier.isPrimary(subject) ? PrepVerdict.Primary : PrepVerdict.Secondary);
  }
}
