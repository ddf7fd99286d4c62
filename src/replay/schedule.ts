/**
 * HOT: when each packet is due. One absolute schedule in nanoseconds since the first packet, computed from what has
 * been counted, never from when something was sent: no drift after any number of loops, and every worker that walks
 * the same packets gets the same times. All arithmetic stays below 2^53 ns (104 days), where a double is exact.
 *
 * A due time never lies before the one of the packet in front: equal and backward stamps are due at once.
 */
import { NS_PER_SECOND } from '../base/units.ts';
import { ProfileClock } from './profile.ts';
import type { RateSpec } from './spec.ts';

/** How a schedule measures progress. */
const Kind = { Stamps: 0, Packets: 1, Bytes: 2, Free: 3, Profile: 4 } as const;
type Kind = (typeof Kind)[keyof typeof Kind];

export class Schedule {
  readonly #kind: Kind;
  /** Capture time passes this many times as fast. Divided by, so that whole factors give correctly rounded times. */
  readonly #factor: number;
  /** Packets: ns per packet. Bytes: ns per byte. */
  readonly #nsPerUnit: number;
  readonly #burst: number;
  readonly #maxSleepNs: number;
  readonly #profile: ProfileClock | null;

  /** Due time that counting starts from: moves with files, loops and capped gaps. */
  #baseNs = 0;
  #anchorSec = 0;
  #anchorNsec = 0;
  #anchored = false;
  /** Packets or bytes counted since `#baseNs`. */
  #units = 0;
  #dueNs = 0;
  /** Capture time of the packet before, relative to the anchor, for profiles. */
  #lastStampNs = 0;
  #first = true;

  constructor(rate: RateSpec, maxSleepNs: number) {
    this.#maxSleepNs = maxSleepNs;
    this.#factor = rate.kind === 'multiplier' ? rate.factor : 1;
    this.#burst = rate.kind === 'pps' ? rate.burst : 1;
    this.#profile = rate.kind === 'profile' ? new ProfileClock(rate.steps, rate.repeat) : null;
    switch (rate.kind) {
      case 'multiplier':
        this.#kind = Kind.Stamps;
        this.#nsPerUnit = 0;
        break;
      case 'pps':
        this.#kind = Kind.Packets;
        this.#nsPerUnit = NS_PER_SECOND / rate.pps;
        break;
      case 'mbps':
        this.#kind = Kind.Bytes;
        this.#nsPerUnit = 8000 / rate.mbps;
        break;
      case 'profile':
        this.#kind = Kind.Profile;
        this.#nsPerUnit = 0;
        break;
      case 'topspeed':
      case 'oneatatime':
        this.#kind = Kind.Free;
        this.#nsPerUnit = 0;
        break;
    }
  }

  /** Nothing is ever waited for. */
  get free(): boolean {
    return this.#kind === Kind.Free;
  }

  /** Due time of the packet last asked for. */
  get dueNs(): number {
    return this.#dueNs;
  }

  /** The next packet is the first of a file: its stamp anchors what follows at the current due time. */
  startFile(): void {
    this.#anchored = false;
  }

  /** Shifts everything that follows, as between two loops. */
  delayNs(ns: number): void {
    this.#rebase(this.#dueNs + ns);
  }

  /** Due time of the next packet, of capture time `sec`, `nsec` and `bytes` length on the wire (as sent). */
  next(sec: number, nsec: number, bytes: number): number {
    let due = 0;
    switch (this.#kind) {
      case Kind.Stamps:
        due = this.#baseNs + this.#stampNs(sec, nsec) / this.#factor;
        break;
      case Kind.Packets:
        due = this.#baseNs + (this.#units - (this.#units % this.#burst)) * this.#nsPerUnit;
        this.#units++;
        break;
      case Kind.Bytes:
        due = this.#baseNs + this.#units * this.#nsPerUnit;
        this.#units += bytes;
        break;
      case Kind.Profile:
        due = this.#baseNs + this.#profileNs(sec, nsec, bytes);
        break;
      case Kind.Free:
        return 0;
    }
    if (due < this.#dueNs) due = this.#dueNs;
    if (this.#maxSleepNs > 0 && due - this.#dueNs > this.#maxSleepNs) {
      const capped = this.#dueNs + this.#maxSleepNs;
      this.#baseNs -= due - capped;
      due = capped;
    }
    this.#dueNs = due;
    return due;
  }

  /** Counting goes on from `ns`. */
  #rebase(ns: number): void {
    if (this.#kind === Kind.Stamps) this.#anchored = false;
    else this.#baseNs += ns - this.#dueNs;
    this.#dueNs = ns;
  }

  #stampNs(sec: number, nsec: number): number {
    if (!this.#anchored) {
      this.#anchored = true;
      this.#anchorSec = sec;
      this.#anchorNsec = nsec;
      this.#baseNs = this.#dueNs;
      return 0;
    }
    return (sec - this.#anchorSec) * NS_PER_SECOND + (nsec - this.#anchorNsec);
  }

  /** A packet is due when the demand of the packet before it has been worked off. */
  #profileNs(sec: number, nsec: number, bytes: number): number {
    const profile = this.#profile!;
    if (!this.#anchored) {
      this.#anchored = true;
      this.#anchorSec = sec;
      this.#anchorNsec = nsec;
      this.#lastStampNs = 0;
    }
    const stamp = (sec - this.#anchorSec) * NS_PER_SECOND + (nsec - this.#anchorNsec);
    const gapNs = stamp > this.#lastStampNs ? stamp - this.#lastStampNs : 0;
    if (stamp > this.#lastStampNs) this.#lastStampNs = stamp;
    const due = this.#first ? 0 : profile.advance(this.#units, gapNs);
    this.#first = false;
    this.#units = bytes;
    return due;
  }
}
