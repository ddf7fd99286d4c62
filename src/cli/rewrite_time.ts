/** Time stamps moved by `--shift-time` and `--start-at`: exact in nanoseconds over any distance. */
import { NS_PER_SECOND } from '../base/units.ts';
import { usage } from './values.ts';

/** Seconds, and nanoseconds in [0, 10^9). */
export interface Stamp {
  readonly sec: number;
  readonly nsec: number;
}

/** Nanoseconds of a unit, as a whole number of seconds or a share of one. */
const UNIT_SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400, '': 1 };
const UNIT_DIGITS: Readonly<Record<string, number>> = { ms: 3, us: 6, µs: 6, ns: 9 };

/** `+90`, `-1.5s`, `2h`, `-250us`. */
export function signedDuration(value: string, option: string): Stamp {
  const match = /^([+-]?)(\d+)(?:\.(\d{0,9})\d*)?\s*(ns|us|µs|ms|s|m|h|d|)$/.exec(value.trim());
  if (match === null) throw usage(`${option} needs a time like +90, -1.5s, 2h or -250us, not "${value}"`);
  const [, sign, whole = '0', fraction = '', unit = ''] = match;
  const digits = UNIT_DIGITS[unit];
  let sec: number;
  let nsec: number;
  if (digits !== undefined) {
    const per = 10 ** digits;
    sec = Math.floor(Number(whole) / per);
    nsec = Math.round((Number(whole) % per) * (NS_PER_SECOND / per) + Number(`0.${fraction}0`) * (NS_PER_SECOND / per));
  } else {
    const factor = UNIT_SECONDS[unit]!;
    const rest = Number(fraction.padEnd(9, '0')) * factor;
    sec = Number(whole) * factor + Math.floor(rest / NS_PER_SECOND);
    nsec = rest % NS_PER_SECOND;
  }
  return sign === '-' ? normal(-sec, -nsec) : normal(sec, nsec);
}

/** ISO 8601 or seconds since 1970, with up to nine decimals. */
export function instant(value: string, option: string): Stamp {
  const seconds = /^(\d{1,10})(?:\.(\d{1,9})\d*)?$/.exec(value.trim());
  if (seconds !== null) return { sec: Number(seconds[1]), nsec: Number((seconds[2] ?? '').padEnd(9, '0')) };
  const iso = /^(\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2})?)?)(?:\.(\d{1,9}))?(Z|[+-]\d{2}:?\d{2})?$/.exec(
    value.trim(),
  );
  // A date alone means UTC to Date.parse; here it is local, as with a time.
  const day = iso?.[1]?.replace(' ', 'T') ?? '';
  const ms = iso === null ? Number.NaN : Date.parse(`${day.includes('T') ? day : `${day}T00:00`}${iso[3] ?? ''}`);
  if (!(ms >= 0))
    throw usage(`${option} needs a time from 1970 on like 2026-11-22T10:00:00Z or 1795341600.25, not "${value}"`);
  return { sec: Math.floor(ms / 1000), nsec: Number((iso![2] ?? '').padEnd(9, '0')) };
}

export function normal(sec: number, nsec: number): Stamp {
  const carry = Math.floor(nsec / NS_PER_SECOND);
  return { sec: sec + carry, nsec: nsec - carry * NS_PER_SECOND };
}

/** What must be added to `from` to get `to`. */
export function stampDifference(to: Stamp, from: Stamp): Stamp {
  return normal(to.sec - from.sec, to.nsec - from.nsec);
}
