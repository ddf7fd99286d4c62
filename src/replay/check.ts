/** What a spec may not say, one sentence each. */
import { OperatorError } from '../base/errors.ts';
import type { ProfileStep, RateSpec, ReplaySpec } from './spec.ts';

/** Throws `OperatorError('USAGE')` with the first clash found. */
export function checkReplaySpec(spec: ReplaySpec): void {
  const clash = firstClash(spec);
  if (clash !== null) throw new OperatorError('USAGE', clash);
}

function firstClash(spec: ReplaySpec): string | null {
  return checkRate(spec.rate) ?? checkInputs(spec) ?? checkOutputs(spec) ?? checkNumbers(spec);
}

function checkRate(rate: RateSpec): string | null {
  switch (rate.kind) {
    case 'multiplier':
      return positive('multiplier', rate.factor);
    case 'pps':
      if (!(Number.isInteger(rate.burst) && rate.burst >= 1)) return `a burst is 1 packet or more, not ${rate.burst}`;
      return positive('packets per second', rate.pps);
    case 'mbps':
      return positive('megabits per second', rate.mbps);
    case 'profile':
      return checkProfile(rate.steps, rate.repeat);
    default:
      return null;
  }
}

function positive(what: string, value: number): string | null {
  if (value > 0 && Number.isFinite(value)) return null;
  return `${what} must be a number above 0, not ${value}; for full speed use --topspeed`;
}

function checkProfile(steps: readonly ProfileStep[], repeat: boolean): string | null {
  if (steps.length === 0) return 'a rate profile needs at least one step';
  let work = 0;
  for (const [k, step] of steps.entries()) {
    const name = `step ${k + 1} of the rate profile`;
    if (!(step.from >= 0 && step.to >= 0 && Number.isFinite(step.from) && Number.isFinite(step.to))) {
      return `${name}: rates are numbers from 0 up, not ${step.from} to ${step.to}`;
    }
    if (!(step.durationNs > 0)) return `${name}: it must last longer than 0`;
    const endless = step.durationNs === Number.POSITIVE_INFINITY;
    if (endless && step.from !== step.to) return `${name}: a ramp needs a duration`;
    if (endless && (repeat || k + 1 < steps.length)) return `${name}: only the last step may last for ever`;
    work += step.from + step.to;
  }
  return work > 0 ? null : 'a rate profile must send something: every step has rate 0';
}

function checkInputs(spec: ReplaySpec): string | null {
  if (spec.inputs.length === 0) return 'name at least one capture file to send';
  const streams = spec.inputs.filter((path) => path === '-').length;
  if (streams > 1) return 'stdin can be read once only: give "-" once';
  if (streams > 0 && spec.loop.count !== 1 && !spec.loop.preload) {
    return 'stdin cannot be read again for the next loop: add --preload-pcap';
  }
  if (streams > 0 && spec.workers > 1) return 'several workers cannot share stdin: use one worker, or a file';
  if (streams > 0 && spec.rate.kind === 'oneatatime')
    return '--oneatatime asks on stdin, so the capture must be a file';
  if (spec.split.kind !== 'dualfile') return null;
  if (spec.inputs.length % 2 !== 0) return `--dualfile takes pairs of files, ${spec.inputs.length} given`;
  return streams > 0 ? '--dualfile cannot read from stdin' : null;
}

function checkOutputs(spec: ReplaySpec): string | null {
  if (spec.split.kind !== 'none' && spec.secondary === null) {
    const option = { cache: '--cachefile', auto: '--auto', dualfile: '--dualfile' }[spec.split.kind];
    return `${option} needs a second interface: add --intf2`;
  }
  if (spec.split.kind === 'none' && spec.secondary !== null) {
    return 'a second interface needs --cachefile, --auto or --dualfile, which say what goes there';
  }
  if (spec.workers > 1 && (spec.primary.kind === 'file' || spec.secondary?.kind === 'file')) {
    return 'a file is written by one worker: use --workers 1 with --write';
  }
  if (spec.workers > 1 && spec.secondary !== null) {
    return 'two interfaces are fed by one worker, which keeps the order between them: use --workers 1';
  }
  return spec.workers > 1 && spec.rate.kind === 'oneatatime' ? '--oneatatime works with one worker only' : null;
}

function checkNumbers(spec: ReplaySpec): string | null {
  if (!(Number.isInteger(spec.workers) && spec.workers >= 1 && spec.workers <= 64)) {
    return `--workers takes 1 to 64, not ${spec.workers}`;
  }
  const { loop, shard } = spec;
  if (!(Number.isInteger(loop.count) && loop.count >= 0)) return `--loop takes 0 (for ever) or more, not ${loop.count}`;
  if (!(loop.uniqueIpEvery >= 1)) return `--unique-ip-loops takes 1.0 or more, not ${loop.uniqueIpEvery}`;
  if (shard !== null && !(shard.index >= 0 && shard.index < shard.count)) {
    return `--shard i/N takes 1 <= i <= N, not ${shard.index + 1}/${shard.count}`;
  }
  return null;
}
