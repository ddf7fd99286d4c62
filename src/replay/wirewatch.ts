/**
 * The interfaces before and after a run: preflight findings, and what their own counters say left, which is compared
 * with what was handed over.
 */
import { preflight, type WireCount, wireCounters, wireDifference } from '../device/preflight.ts';
import type { WireReport } from './report.ts';
import type { OutputSpec, ReplaySpec } from './spec.ts';

/** Drivers bring their counters up to date with some delay. */
const SETTLE_MS_MAX = 400;
const SETTLE_STEP_MS = 10;

/** TAP and TUN devices are made when opened, and count our frames as received. */
function isOurs(output: OutputSpec): boolean {
  return output.backend === 'tap' || output.backend === 'tun';
}

export class WireWatch {
  readonly warnings: readonly string[];
  readonly #outputs: readonly OutputSpec[];
  #before: (WireCount | null)[] = [];

  /** Preflight. Throws OperatorError INTERFACE, PERMISSION or UNSUPPORTED. */
  constructor(spec: ReplaySpec) {
    this.#outputs = spec.secondary === null ? [spec.primary] : [spec.primary, spec.secondary];
    const warnings: string[] = [];
    for (const output of this.#outputs) {
      if (output.kind !== 'interface' || isOurs(output)) continue;
      for (const finding of preflight(output.name).findings) warnings.push(finding.message);
    }
    this.warnings = warnings;
  }

  begin(): void {
    this.#before = this.#outputs.map((output) => this.#count(output));
  }

  /** One entry per output, null where there is nothing to compare with. `sent`: frames handed over per output. */
  async end(sent: readonly number[]): Promise<(WireReport | null)[]> {
    const giveUpAt = Date.now() + SETTLE_MS_MAX;
    for (;;) {
      const reports = this.#outputs.map((output, k) => wireDifference(this.#before[k] ?? null, this.#count(output)));
      const settled = reports.every((report, k) => report === null || report.packets >= sent[k]!);
      if (settled || Date.now() >= giveUpAt) return reports;
      await new Promise((resolve) => setTimeout(resolve, SETTLE_STEP_MS));
    }
  }

  #count(output: OutputSpec): WireCount | null {
    return output.kind === 'interface' ? wireCounters(output.name, isOurs(output)) : null;
  }
}
