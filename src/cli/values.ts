/** Values of options: text in, a checked value out, or one sentence that says what the option needs. */
import { OperatorError } from '../base/errors.ts';
import { NS_PER_SECOND } from '../base/units.ts';
import type { PacketRanges } from '../replay/spec.ts';

/** Turns an option's text into its value. `option` is how the operator knows it: `--limit`. */
export type ValueParser = (text: string, option: string) => unknown;

export function usage(message: string): OperatorError {
  return new OperatorError('USAGE', message);
}

export function text(value: string, option: string): string {
  if (value === '') throw usage(`${option} needs a value, not an empty one`);
  return value;
}

/** Whole numbers, decimal (`010` is ten). */
export function integer(min: number, max: number = Number.MAX_SAFE_INTEGER): ValueParser {
  const range = max === Number.MAX_SAFE_INTEGER ? `of at least ${min}` : `from ${min} to ${max}`;
  return (value: string, option: string) => {
    const n = /^[+-]?\d+$/.test(value) ? Number(value) : Number.NaN;
    if (!(n >= min && n <= max)) throw usage(`${option} needs a whole number ${range}, not "${value}"`);
    return n;
  };
}

const DECIMAL = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;

/** Decimal numbers from `min` on; `hint` is appended to the refusal. */
export function decimal(min: number, hint = '', max: number = Number.MAX_VALUE): ValueParser {
  const range = max === Number.MAX_VALUE ? `of at least ${min}` : `from ${min} to ${max}`;
  return (value: string, option: string) => {
    const n = DECIMAL.test(value) ? Number(value) : Number.NaN;
    if (!(n >= min && n <= max)) throw usage(`${option} needs a number ${range}, not "${value}"${hint}`);
    return n;
  };
}

/** Decimal numbers above zero; `hint` is appended to the refusal. */
export function positive(hint = ''): ValueParser {
  return (value: string, option: string) => {
    const n = DECIMAL.test(value) ? Number(value) : Number.NaN;
    if (!(n > 0 && Number.isFinite(n))) throw usage(`${option} needs a number above 0, not "${value}"${hint}`);
    return n;
  };
}

/** One of `names`; the values are what each stands for. A value that starts with `!` is why the name is refused. */
export function choice(names: Readonly<Record<string, string>>): ValueParser {
  const good = Object.keys(names).filter((name) => !names[name]?.startsWith('!'));
  return (value: string, option: string) => {
    const meaning = Object.hasOwn(names, value) ? names[value] : undefined;
    if (meaning === undefined) throw usage(`${option} is one of ${listed(good, 'or')}, not "${value}"`);
    if (meaning.startsWith('!')) throw usage(`${option} ${value}: ${meaning.slice(1)}`);
    return meaning;
  };
}

/**
 * Packet numbers: `1-5,9,72-`, counted from 1, decimal. `3-` goes to the end, `-5` begins at 1. The result is sorted
 * and disjoint. The leading `P:` of tcpprep's lists is allowed.
 */
export function packetList(value: string, option: string): PacketRanges {
  const ranges: { first: number; last: number }[] = [];
  for (const part of value.replace(/^P:/i, '').split(',')) {
    const match = /^(\d+)?(-)?(\d+)?$/.exec(part.trim());
    const low = match?.[1];
    const dash = match?.[2] !== undefined;
    const high = match?.[3];
    if (match === null || (low === undefined && high === undefined)) {
      throw usage(`${option} needs packet numbers like 1-5,9,72-, not "${value}"`);
    }
    const first = low === undefined ? 1 : Number(low);
    const last = high !== undefined ? Number(high) : dash ? Number.POSITIVE_INFINITY : first;
    if (first < 1) throw usage(`${option}: packets are counted from 1, so "${part}" names none`);
    if (last < first) throw usage(`${option}: the range "${part}" is backward`);
    ranges.push({ first, last });
  }
  return mergeRanges(ranges);
}

function mergeRanges(ranges: { first: number; last: number }[]): PacketRanges {
  ranges.sort((a, b) => a.first - b.first);
  const merged: { first: number; last: number }[] = [];
  for (const range of ranges) {
    const previous = merged.at(-1);
    if (previous !== undefined && range.first <= previous.last + 1) previous.last = Math.max(previous.last, range.last);
    else merged.push({ ...range });
  }
  return merged;
}

const UNIT_NS: Readonly<Record<string, number>> = {
  ns: 1,
  us: 1e3,
  µs: 1e3,
  ms: 1e6,
  s: 1e9,
  m: 60e9,
  h: 3600e9,
  '': 1e9,
};

/** `30s`, `500ms`, `2m`, `1.5h`, `10` (seconds) as nanoseconds; NaN when it is none of these. */
export function durationNs(value: string): number {
  const match = /^(\d+\.?\d*|\.\d+)\s*(ns|us|µs|ms|s|m|h|)$/.exec(value.trim());
  if (match === null) return Number.NaN;
  return Math.round(Number(match[1]) * UNIT_NS[match[2] ?? '']!);
}

/** `i/N`, counted from 1: `1/4` is the first of four. */
export function shard(value: string, option: string): { index: number; count: number } {
  const match = /^(\d+)\/(\d+)$/.exec(value);
  const index = Number(match?.[1]);
  const count = Number(match?.[2]);
  if (match === null || count < 1 || index < 1 || index > count) {
    throw usage(`${option} needs i/N with 1 <= i <= N, as 1/4, not "${value}"`);
  }
  return { index: index - 1, count };
}

export interface HostPort {
  readonly host: string;
  readonly port: number;
}

/** `9100`, `0.0.0.0:9100`, `[::1]:9100`. Without a host: 127.0.0.1. Port 0: any free port. */
export function hostPort(value: string, option: string): HostPort {
  const match = /^(?:(?:\[([^\]]+)\]|([^:]+)):)?(\d{1,5})$/.exec(value);
  const port = Number(match?.[3]);
  if (match === null || port > 65_535)
    throw usage(`${option} needs [HOST:]PORT, as 9100 or 0.0.0.0:9100, not "${value}"`);
  return { host: match[1] ?? match[2] ?? '127.0.0.1', port };
}

/** Largest distance of an `HH:MM:SS` from now: the nearest such moment is meant. */
const HALF_DAY_MS = 12 * 3600 * 1000;

/**
 * A moment, as ms since 1970: ISO 8601 (local time where it has no zone), `HH:MM:SS[.fff]` (the nearest one), seconds
 * since 1970, or `+10s` from now.
 */
export function moment(value: string, option: string, nowMs: number): number {
  const at = momentOf(value, nowMs);
  if (Number.isNaN(at)) {
    throw usage(`${option} needs a time like 2026-11-22T10:00:00Z, 10:00:00, 1795341600 or +10s, not "${value}"`);
  }
  if (at < nowMs) {
    const seconds = ((nowMs - at) / 1000).toFixed(1);
    throw usage(`${option} ${value} is ${seconds} seconds in the past: give a later time, or +10s`);
  }
  return at;
}

function momentOf(value: string, nowMs: number): number {
  if (value.startsWith('+')) return nowMs + durationNs(value.slice(1)) / 1e6;
  if (/^\d{9,10}(\.\d+)?$/.test(value)) return Number(value) * 1000;
  const clock = /^(\d{1,2}):(\d{2}):(\d{2}(?:\.\d+)?)$/.exec(value);
  if (clock !== null) {
    const [hours, minutes, seconds] = [Number(clock[1]), Number(clock[2]), Number(clock[3])];
    if (hours > 23 || minutes > 59 || seconds >= 60) return Number.NaN;
    const day = new Date(nowMs);
    let at = day.setHours(hours, minutes, 0, 0) + seconds * 1000;
    if (at < nowMs - HALF_DAY_MS) at += 2 * HALF_DAY_MS;
    else if (at > nowMs + HALF_DAY_MS) at -= 2 * HALF_DAY_MS;
    return at;
  }
  if (!/^\d{4}-\d{2}-\d{2}([T ]|$)/.test(value)) return Number.NaN;
  return Date.parse(value.replace(' ', 'T'));
}

/** `a`, `a or b`, `a, b or c`. */
export function listed(names: readonly string[], word: 'and' | 'or'): string {
  if (names.length < 2) return names.join('');
  return `${names.slice(0, -1).join(', ')} ${word} ${names.at(-1)}`;
}

export function secondsToNs(seconds: number): number {
  return Math.round(seconds * NS_PER_SECOND);
}
