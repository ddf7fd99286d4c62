/** Numbers as option values: decimal, 0x hexadecimal or 0-leading octal as the reference tool reads them. */
import { badValue } from './usage.ts';

const DECIMAL = /^(?:0|[1-9]\d*)$/;
const HEXADECIMAL = /^0x[0-9a-f]+$/i;
const OCTAL = /^0[0-7]+$/;

/** Parses an integer in [least, most]; throws `OperatorError('USAGE')` otherwise. */
export function parseNumber(option: string, text: string, least: number, most: number): number {
  const trimmed = text.trim();
  let value = Number.NaN;
  if (DECIMAL.test(trimmed)) value = Number(trimmed);
  else if (HEXADECIMAL.test(trimmed)) value = Number.parseInt(trimmed, 16);
  else if (OCTAL.test(trimmed)) value = Number.parseInt(trimmed, 8);
  if (!(value >= least && value <= most)) throw badValue(option, text, `a number from ${least} to ${most}`);
  return value;
}

/** A seed: any 32-bit number, negative ones as their two's complement. Returns a u32. */
export function parseSeed(option: string, text: string, least = -0x8000_0000): number {
  const magnitude = text.trim().replace(/^-/, '');
  if (magnitude.length === text.trim().length) return parseNumber(option, text, Math.max(least, 0), 0xffff_ffff);
  if (!/^[1-9]\d*$/.test(magnitude) || Number(magnitude) > -least) {
    throw badValue(option, text, `a number from ${least} to ${0xffff_ffff}`);
  }
  return -Number(magnitude) >>> 0;
}
