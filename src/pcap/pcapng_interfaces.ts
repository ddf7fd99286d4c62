/**
 * HOT: what the packet loop needs of the interfaces of a pcapng file, as arrays, and the conversion of their stamps.
 *
 * A stamp is a 64-bit count of units. Its upper 32 bits stay the same for seconds (ns) to hours (µs), so their share
 * is computed once per change; the rest is one exact division of numbers below 2^53.
 */
import { NS_PER_SECOND } from '../base/units.ts';
import { exactStamp, type InterfaceBlock, timestampDigitsOf } from './pcapng_format.ts';
import type { CaptureInterface } from './reader.ts';

/** How units become nanoseconds. */
const Scale = { Multiply: 0, Divide: 1, Binary: 2, Exact: 3 } as const;

/** Finest resolutions whose arithmetic is exact in doubles. */
const DECIMAL_EXPONENT_MAX = 15;
const BINARY_EXPONENT_MAX = 23;

interface Timing {
  readonly block: InterfaceBlock;
  readonly units: number;
  readonly scale: number;
  readonly factor: number;
  high: number;
  /** Whole seconds and rest units of `high` * 2^32, offset included. */
  baseSeconds: number;
  baseUnits: number;
}

export class InterfaceTable {
  /** As shown to users, over the whole file. */
  readonly list: CaptureInterface[] = [];
  readonly #timings: Timing[] = [];
  /** Index of the section's interface 0. */
  sectionFirst = 0;
  /** Result of `convert`. */
  sec = 0;
  nsec = 0;

  /** Interfaces of the section that is being read. */
  get sectionCount(): number {
    return this.list.length - this.sectionFirst;
  }

  beginSection(): void {
    this.sectionFirst = this.list.length;
  }

  add(block: InterfaceBlock): void {
    this.list.push({
      linktype: block.linktype,
      snaplen: block.snaplen,
      name: block.name,
      timestampDigits: timestampDigitsOf(block),
      fcsBytes: block.fcsBytes,
    });
    const exponent = block.resolutionExponent;
    let scale: number = Scale.Exact;
    let factor = 0;
    if (block.resolutionIsBinary && exponent <= BINARY_EXPONENT_MAX) scale = Scale.Binary;
    else if (!block.resolutionIsBinary && exponent <= 9) {
      scale = Scale.Multiply;
      factor = 10 ** (9 - exponent);
    } else if (!block.resolutionIsBinary && exponent <= DECIMAL_EXPONENT_MAX) {
      scale = Scale.Divide;
      factor = 10 ** (exponent - 9);
    }
    const units = block.unitsPerSecond;
    this.#timings.push({ block, units, scale, factor, high: -1, baseSeconds: 0, baseUnits: 0 });
  }

  /** Puts the stamp of interface `index` (over the whole file) into `sec`, `nsec`. */
  convert(index: number, high: number, low: number): void {
    const timing = this.#timings[index]!;
    if (timing.scale === Scale.Exact) {
      exactStamp(high, low, timing.block, this);
      return;
    }
    if (timing.high !== high) rebase(timing, high);
    const sum = timing.baseUnits + low;
    const units = timing.units;
    const whole = Math.floor(sum / units);
    const rest = sum - whole * units;
    this.sec = timing.baseSeconds + whole;
    if (timing.scale === Scale.Multiply) this.nsec = rest * timing.factor;
    else if (timing.scale === Scale.Divide) this.nsec = Math.floor(rest / timing.factor);
    else this.nsec = Math.floor((rest * NS_PER_SECOND) / units);
  }
}

/** Long division of `high` * 2^32 by the units, 2 bits at a time: units up to 10^15 leave room for that below 2^53. */
function rebase(timing: Timing, high: number): void {
  const units = timing.units;
  let quotient = Math.floor(high / units);
  let rest = high - quotient * units;
  for (let bits = 0; bits < 32; bits += 2) {
    const shifted = rest * 4;
    const digit = Math.floor(shifted / units);
    quotient = quotient * 4 + digit;
    rest = shifted - digit * units;
  }
  timing.high = high;
  timing.baseSeconds = quotient + timing.block.offsetSeconds;
  timing.baseUnits = rest;
}
