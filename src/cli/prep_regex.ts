/**
 * POSIX extended regular expressions (IEEE 1003.1 section 9.4) as JavaScript's: alike but for brackets, where `\` is
 * a plain character, `]` first is one, and `[:digit:]` names a class; and for what JavaScript adds behind `\` and `(?`.
 */
import { usage } from './values.ts';

const CLASSES: Readonly<Record<string, string>> = {
  alnum: 'A-Za-z0-9',
  alpha: 'A-Za-z',
  blank: ' \\t',
  cntrl: '\\x00-\\x1f\\x7f',
  digit: '0-9',
  graph: '\\x21-\\x7e',
  lower: 'a-z',
  print: '\\x20-\\x7e',
  punct: '!-\\/:-@\\[-`{-~',
  space: '\\s',
  upper: 'A-Z',
  xdigit: 'A-Fa-f0-9',
};

/** Throws USAGE where the expression is none. */
export function posixRegex(source: string, option: string): RegExp {
  try {
    return new RegExp(translate(source), 'u');
  } catch (error) {
    const why = error instanceof Error ? error.message.replace(/^Invalid regular expression: /, '') : String(error);
    throw usage(`${option} needs a POSIX extended expression like ^10\\.1\\., not "${source}": ${why}`);
  }
}

function translate(source: string): string {
  let out = '';
  for (let i = 0; i < source.length; ) {
    const c = source[i]!;
    if (c === '[') {
      const end = bracketEnd(source, i);
      out += bracket(source.slice(i + 1, end));
      i = end + 1;
    } else if (c === '\\') {
      const next = source[i + 1];
      if (next === undefined) throw new Error('a backslash stands at its end');
      // Behind a backslash every character is itself: no \d, no \1.
      out += /[A-Za-z0-9]/.test(next) ? next : hexEscape(next);
      i += 2;
    } else if (c === '(' && source[i + 1] === '?') {
      throw new Error('"(?" repeats nothing');
    } else {
      out += c;
      i++;
    }
  }
  return out;
}

/** A character that means itself wherever it stands. */
function hexEscape(character: string): string {
  return `\\u{${character.codePointAt(0)!.toString(16)}}`;
}

/** Index of the `]` that closes the bracket at `start`. */
function bracketEnd(source: string, start: number): number {
  let i = start + 1;
  if (source[i] === '^') i++;
  if (source[i] === ']') i++;
  for (; i < source.length; i++) {
    if (source[i] === '[' && /[:.=]/.test(source[i + 1] ?? '')) {
      const close = source.indexOf(`${source[i + 1]}]`, i + 2);
      if (close < 0) throw new Error('a class like [:digit:] is not closed');
      i = close + 1;
    } else if (source[i] === ']') return i;
  }
  throw new Error('a bracket [ is not closed');
}

function bracket(inside: string): string {
  const negated = inside.startsWith('^');
  const body = (negated ? inside.slice(1) : inside).replace(
    /\[:([a-z]+):\]|\[[.=](.)[.=]\]|[\\\][]/g,
    (found, name?: string, single?: string) => {
      if (single !== undefined) return hexEscape(single);
      if (name === undefined) return `\\${found}`;
      const set = CLASSES[name];
      if (set === undefined) throw new Error(`[:${name}:] is no class`);
      return set;
    },
  );
  return `[${negated ? '^' : ''}${body}]`;
}
