/** HOT: the side by the source MAC address; the only mode for packets of any kind. */
import type { FrameBatch } from '../base/batch.ts';
import { decode } from '../wire/decode.ts';
import { ETHERNET_HEADER_LEN, ethernetSrcHigh, ethernetSrcLow } from '../wire/ethernet.ts';
import { Layers } from '../wire/layers.ts';
import { Linktype } from '../wire/linktype.ts';
import { type Classifier, type DirectionCommon, Subject } from './direction.ts';

export class MacClassifier implements Classifier {
  readonly waits: boolean = false;
  /** Frames looked at that have no Ethernet header. */
  withoutMac = 0;
  readonly #layers = new Layers();
  readonly #high: number[];
  readonly #low: number[];
  readonly #reverse: boolean;

  /** `macs`: six bytes each. */
  constructor(common: DirectionCommon, macs: readonly (readonly number[])[]) {
    this.#reverse = common.reverse;
    this.#high = macs.map((mac) => mac[0]! * 0x100 + mac[1]!);
    this.#low = macs.map((mac) => ((mac[2]! << 24) | (mac[3]! << 16) | (mac[4]! << 8) | mac[5]!) >>> 0);
  }

  look(batch: FrameBatch, i: number): number {
    const view = batch.region.view;
    const at = batch.at[i]!;
    let macs = at;
    if (batch.linktype[i] !== Linktype.EN10MB || batch.caplen[i]! < ETHERNET_HEADER_LEN) {
      decode(view, at, at + batch.caplen[i]!, batch.linktype[i]!, this.#layers);
      macs = this.#layers.macs;
    }
    if (macs < 0) {
      this.withoutMac++;
      return Subject.NonIp;
    }
    const high = ethernetSrcHigh(view, macs);
    const low = ethernetSrcLow(view, macs);
    for (let k = 0; k < this.#high.length; k++) {
      if (this.#low[k] === low && this.#high[k] === high) return Subject.Primary;
    }
    return Subject.Secondary;
  }

  settle(): string | null {
    return null;
  }

  isPrimary(subject: number): boolean {
    return (subject === Subject.Primary) !== this.#reverse;
  }
}
