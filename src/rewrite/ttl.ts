/** `--ttl=N|+N|-N`: set, add, subtract. */
import type { TtlRule } from './spec.ts';
import { badValue } from './usage.ts';

export function parseTtl(option: string, text: string): TtlRule {
  const match = /^([+-]?)(\d{1,3})$/.exec(text.trim());
  const value = Number(match?.[2] ?? Number.NaN);
  if (match === null || value > 255) throw badValue(option, text, 'N, +N or -N with N from 0 to 255');
  return { mode: match[1] === '+' ? 'add' : match[1] === '-' ? 'subtract' : 'set', value };
}
