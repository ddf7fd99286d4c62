/**
 * HOT: when the packets of a capture came: span, gaps, order, and the rate over time in bins of equal length. Bins
 * begin at a millisecond and double whenever the capture outgrows them, so that memory is the same for a second and a
 * year.
 */
import { HISTOGRAM_CELLS, histogramRecord } from '../base/histogram.ts';

const BINS = 1024;
const BIN_NS_FIRST = 1_000_000;

export class SurveyTime {
  packets = 0;
  firstSec = 0;
  firstNsec = 0;
  lastSec = 0;
  lastNsec = 0;
  /** Latest less earliest stamp, ns. */
  spanNs = 0;
  /** Packets stamped earlier than the one in front of them; number of the first, 0 = none. */
  backward = 0;
  backwardFirst = 0;
  /** Largest step back, ns. */
  backwardNsMax = 0;
  /** Packets with the stamp of the one in front of them. */
  equal = 0;
  gapNsMax = 0;
  /** Number of the packet behind the largest gap. */
  gapAt = 0;
  /** Gaps in ns, `base/histogram.ts`; steps back are left out. */
  readonly gaps: Int32Array = new Int32Array(HISTOGRAM_CELLS);
  /** Nanoseconds of a bin; bin 0 begins at the first packet, and holds what was stamped before it. */
  binNs: number = BIN_NS_FIRST;
  /** Bins in use. */
  bins = 0;
  readonly binPackets: Float64Array = new Float64Array(BINS);
  readonly binBytes: Float64Array = new Float64Array(BINS);
  #previousNs = 0;
  #earliestNs = 0;
  #latestNs = 0;

  /** `bytes`: length on the wire. */
  note(number: number, sec: number, nsec: number, bytes: number): void {
    if (this.packets === 0) {
      this.firstSec = sec;
      this.firstNsec = nsec;
    }
    // Relative to the first packet, so that nanoseconds stay exact for 104 days.
    const atNs = (sec - this.firstSec) * 1e9 + (nsec - this.firstNsec);
    if (this.packets > 0) this.#step(number, atNs - this.#previousNs);
    this.packets++;
    this.#previousNs = atNs;
    if (atNs < this.#earliestNs) this.#earliestNs = atNs;
    if (atNs > this.#latestNs) this.#latestNs = atNs;
    this.spanNs = this.#latestNs - this.#earliestNs;
    this.lastSec = sec;
    this.lastNsec = nsec;
    this.#bin(atNs, bytes);
  }

  #step(number: number, gapNs: number): void {
    if (gapNs < 0) {
      this.backward++;
      if (this.backwardFirst === 0) this.backwardFirst = number;
      if (-gapNs > this.backwardNsMax) this.backwardNsMax = -gapNs;
      return;
    }
    if (gapNs === 0) this.equal++;
    if (gapNs > this.gapNsMax) {
      this.gapNsMax = gapNs;
      this.gapAt = number;
    }
    histogramRecord(this.gaps, gapNs);
  }

  #bin(atNs: number, bytes: number): void {
    let bin = atNs > 0 ? Math.floor(atNs / this.binNs) : 0;
    while (bin >= BINS) {
      this.#halve();
      bin = Math.floor(atNs / this.binNs);
    }
    this.binPackets[bin]!++;
    this.binBytes[bin]! += bytes;
    if (bin >= this.bins) this.bins = bin + 1;
  }

  #halve(): void {
    for (let i = 0; i < BINS / 2; i++) {
      this.binPackets[i] = this.binPackets[2 * i]! + this.binPackets[2 * i + 1]!;
      this.binBytes[i] = this.binBytes[2 * i]! + this.binBytes[2 * i + 1]!;
    }
    this.binPackets.fill(0, BINS / 2);
    this.binBytes.fill(0, BINS / 2);
    this.binNs *= 2;
    this.bins = Math.ceil(this.bins / 2);
  }
}
