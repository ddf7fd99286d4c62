/**
 * Address blocks as option values: `10.0.0.0/8`, `10.1.2.3` (= /32), `[2001:db8::/32]`, `[2001:db8::]/32`, `[::1]`
 * (= /128). Brackets keep IPv6 colons apart from those between the two sides of a map.
 */
import type { Cidr } from './spec.ts';

const V4 = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/;

/** u32, or null. */
export function ipv4FromText(text: string): number | null {
  const match = V4.exec(text);
  if (match === null) return null;
  let value = 0;
  for (let i = 1; i <= 4; i++) {
    const byte = Number(match[i]);
    if (byte > 255) return null;
    value = value * 256 + byte;
  }
  return value;
}

/** Four u32, most significant first, or null. RFC 4291 section 2.2, dotted tail included; no zone. */
export function ipv6FromText(text: string): readonly number[] | null {
  const halves = text.split('::');
  if (halves.length > 2) return null;
  const head = groups(halves[0]!, halves.length === 1);
  const tail = halves.length === 2 ? groups(halves[1]!, true) : [];
  if (head === null || tail === null) return null;
  const missing = 8 - head.length - tail.length;
  if (halves.length === 1 ? missing !== 0 : missing < 1) return null;
  const all = [...head, ...new Array<number>(missing).fill(0), ...tail];
  return [0, 2, 4, 6].map((i) => all[i]! * 0x1_0000 + all[i + 1]!);
}

function groups(text: string, last: boolean): number[] | null {
  if (text === '') return [];
  const out: number[] = [];
  const parts = text.split(':');
  for (const [i, part] of parts.entries()) {
    const dotted = last && i === parts.length - 1 ? ipv4FromText(part) : null;
    if (dotted !== null) out.push(dotted >>> 16, dotted & 0xffff);
    else if (/^[0-9a-f]{1,4}$/i.test(part)) out.push(Number.parseInt(part, 16));
    else return null;
  }
  return out;
}

/** A block, or null where the text is none. */
export function cidrFromText(text: string): Cidr | null {
  const trimmed = text.trim();
  const bracketed = /^\[([^[\]]*)\](?:\/(\d{1,3}))?$/.exec(trimmed);
  const plain = bracketed === null ? trimmed : bracketed[1]!;
  const outer = bracketed?.[2];
  const [address = '', inner, ...rest] = plain.split('/');
  if (rest.length > 0 || (inner !== undefined && outer !== undefined)) return null;
  const v4 = bracketed === null ? ipv4FromText(address) : null;
  const words = v4 === null ? ipv6FromText(address) : [v4];
  if (words === null) return null;
  const version = v4 === null ? 6 : 4;
  const most = version === 4 ? 32 : 128;
  const prefix = inner ?? outer;
  if (prefix !== undefined && !/^\d{1,3}$/.test(prefix)) return null;
  const prefixLength = prefix === undefined ? most : Number(prefix);
  return prefixLength > most ? null : { version, words, prefixLength };
}

/** Splits at `separator` where it is not inside brackets. */
export function splitOutsideBrackets(text: string, separator: string): string[] {
  const parts: string[] = [];
  let depth = 0;
  let start = 0;
  for (let i = 0; i < text.length; i++) {
    const c = text[i];
    if (c === '[') depth++;
    else if (c === ']') depth--;
    else if (c === separator && depth === 0) {
      parts.push(text.slice(start, i));
      start = i + 1;
    }
  }
  parts.push(text.slice(start));
  return parts;
}

/** Mask of word `index` (0..3, u32) for a prefix. */
export function prefixMask(prefixLength: number, index: number): number {
  const bits = Math.min(32, Math.max(0, prefixLength - 32 * index));
  return bits === 0 ? 0 : (0xffff_ffff << (32 - bits)) >>> 0;
}
