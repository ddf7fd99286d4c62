/**
 * `--profile FILE`: a rate over time.
 *
 * ```yaml
 * steps:
 *   - { pps: 1000, for: 30s }
 *   - { mbps: { from: 10, to: 100 }, for: 1m }
 *   - { multiplier: 2 }
 * repeat: false
 * ```
 */
import type { ProfileStep, RateSpec } from '../replay/spec.ts';
import { nearestName } from './autoopts.ts';
import { durationNs, usage } from './values.ts';
import { parseYamlFile, type YamlFile } from './yaml_file.ts';

const UNITS = ['pps', 'mbps', 'multiplier'] as const;
type Unit = (typeof UNITS)[number];
type Keys = readonly (string | number)[];

export async function parseProfileFile(path: string, text: string): Promise<RateSpec & { kind: 'profile' }> {
  const file = await parseYamlFile(path, text);
  const { steps, repeat } = await checkedProfile(file);
  const parsed = steps.map((step, i) => stepOf(file, step, i, i === steps.length - 1 && !repeat));
  if (repeat && parsed.every((step) => step.from === 0 && step.to === 0)) {
    throw usage(`${path} line ${file.lineOf(['steps'])}: every step has rate 0, so nothing would ever be sent`);
  }
  return { kind: 'profile', steps: parsed, repeat };
}

type RawRate = number | { from: number; to: number };
interface RawStep {
  readonly pps?: RawRate | undefined;
  readonly mbps?: RawRate | undefined;
  readonly multiplier?: RawRate | undefined;
  readonly for?: string | number | undefined;
}

async function checkedProfile(file: YamlFile): Promise<{ steps: readonly RawStep[]; repeat: boolean }> {
  const v = await import('valibot');
  const amount = v.pipe(v.number('a number'), v.finite('a finite number'), v.minValue(0, 'a number of at least 0'));
  const rate = v.optional(v.union([amount, v.strictObject({ from: amount, to: amount })], 'a number or {from, to}'));
  const step = v.strictObject({
    pps: rate,
    mbps: rate,
    multiplier: rate,
    for: v.optional(v.union([v.string(), v.number()], 'a duration like 30s')),
  });
  const schema = v.strictObject({
    steps: v.pipe(v.array(step, 'a list'), v.minLength(1, 'at least one step')),
    repeat: v.optional(v.boolean('true or false'), false),
  });
  const result = v.safeParse(schema, file.value);
  if (result.success) return result.output;
  const issue = result.issues.find((one) => one.expected === 'never') ?? result.issues[0];
  const keys: Keys = (issue.path ?? []).map((part) => part.key as string | number);
  throw complaint(file, keys, issue.expected === 'never', issue.message);
}

function complaint(file: YamlFile, keys: Keys, unknown: boolean, needed: string): Error {
  const where = `${file.path} line ${file.lineOf(keys)}`;
  const key = String(keys.at(-1) ?? '');
  if (unknown) {
    const near = nearestName(key, keys.length === 1 ? ['steps', 'repeat'] : [...UNITS, 'for']);
    return usage(`${where}: a profile has no "${key}"${near === null ? '' : `: did you mean ${near}?`}`);
  }
  if (keys.length === 0) return usage(`${where}: a profile is a list of steps under the key "steps"`);
  const message = /^Invalid (key|type)/.test(needed) ? 'a value' : needed;
  return usage(`${where}: ${keys.filter((part) => typeof part === 'string').join('.')} needs ${message}`);
}

function stepOf(file: YamlFile, step: RawStep, i: number, endless: boolean): ProfileStep {
  const where = `${file.path} line ${file.lineOf(['steps', i])}: step ${i + 1}`;
  const units = UNITS.filter((unit) => step[unit] !== undefined);
  if (units.length !== 1) throw usage(`${where} needs one of pps, mbps and multiplier, and has ${units.length}`);
  const unit: Unit = units[0]!;
  const rate = step[unit]!;
  const { from, to } = typeof rate === 'number' ? { from: rate, to: rate } : rate;
  if (step.for === undefined) {
    if (!endless)
      throw usage(`${where} needs "for", as for: 30s; only the last step of a profile without repeat goes on`);
    if (from !== to) throw usage(`${where} goes from ${from} to ${to} and needs "for" to say how slowly`);
    if (from === 0) throw usage(`${where} has rate 0 and no end, so the replay would never end`);
    return { unit, from, to, durationNs: Number.POSITIVE_INFINITY };
  }
  const ns = durationNs(String(step.for));
  if (!(ns > 0)) throw usage(`${where}: "for" needs a duration like 30s, 500ms or 2m, not "${step.for}"`);
  return { unit, from, to, durationNs: ns };
}
