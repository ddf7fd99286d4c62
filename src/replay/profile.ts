/**
 * HOT: a rate that changes over time, in steps and ramps. Each step works off demand at a rate that goes linearly from
 * `from` to `to` over its duration: packets (pps), bytes (mbps) or capture time (multiplier). What a packet still lacks
 * when a step ends is worked off at the next step's rate, in the next step's unit.
 */
import { NS_PER_SECOND } from '../base/units.ts';
import type { ProfileStep } from './spec.ts';

export class ProfileClock {
  readonly #steps: readonly ProfileStep[];
  readonly #repeat: boolean;
  #index = 0;
  /** Start of the current step, ns since the first packet. */
  #stepStartNs = 0;
  /** Demand worked off since the current step began, in its unit. */
  #done = 0;

  /** Preconditions: at least one step; rates >= 0; a repeated profile has finite durations and works off something. */
  constructor(steps: readonly ProfileStep[], repeat: boolean) {
    this.#steps = steps;
    this.#repeat = repeat;
  }

  /**
   * Time, ns since the first packet, when one more packet of `bytes` bytes and `gapNs` of capture time is worked off.
   * Infinity: the profile has ended, or rests at rate 0 for ever.
   */
  advance(bytes: number, gapNs: number): number {
    let share = 1;
    while (this.#index < this.#steps.length) {
      const step = this.#steps[this.#index]!;
      const whole = demandOf(step.unit, bytes, gapNs);
      if (whole === 0) return this.#nowNs(step);
      const target = this.#done + share * whole;
      const at = timeFor(step, target);
      if (at <= step.durationNs) {
        this.#done = target;
        return this.#stepStartNs + at;
      }
      share -= (capacityOf(step) - this.#done) / whole;
      if (share < 0) share = 0;
      this.#nextStep(step);
    }
    return Number.POSITIVE_INFINITY;
  }

  #nowNs(step: ProfileStep): number {
    return this.#stepStartNs + Math.min(step.durationNs, timeFor(step, this.#done));
  }

  #nextStep(step: ProfileStep): void {
    this.#stepStartNs += step.durationNs;
    this.#done = 0;
    this.#index++;
    if (this.#index === this.#steps.length && this.#repeat) this.#index = 0;
  }
}

/** What one packet asks for, in the step's unit: packets, bytes, or ns of capture time. */
function demandOf(unit: ProfileStep['unit'], bytes: number, gapNs: number): number {
  if (unit === 'pps') return 1;
  return unit === 'mbps' ? bytes : gapNs;
}

/** Nanoseconds per unit at rate 1. */
function nsPerUnit(unit: ProfileStep['unit']): number {
  if (unit === 'pps') return NS_PER_SECOND;
  return unit === 'mbps' ? 8000 : 1;
}

/** Demand that the whole step works off. */
function capacityOf(step: ProfileStep): number {
  if (step.durationNs === Number.POSITIVE_INFINITY) return Number.POSITIVE_INFINITY;
  return (((step.from + step.to) / 2) * step.durationNs) / nsPerUnit(step.unit);
}

/** ns into the step when `demand` is worked off: the root of from*t + (to-from)*t^2/(2*duration) = demand. */
function timeFor(step: ProfileStep, demand: number): number {
  if (demand <= 0) return 0;
  const area = demand * nsPerUnit(step.unit);
  if (step.from === step.to || step.durationNs === Number.POSITIVE_INFINITY) {
    return step.from > 0 ? area / step.from : Number.POSITIVE_INFINITY;
  }
  const slope = (step.to - step.from) / step.durationNs;
  const root = step.from * step.from + 2 * slope * area;
  if (root < 0) return Number.POSITIVE_INFINITY;
  // The form with the sum in the denominator loses no digits when the slope is small.
  return (2 * area) / (step.from + Math.sqrt(root));
}
