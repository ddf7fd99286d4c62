import { closingOf, lineOf } from './mask.ts';

export interface FunctionSpan {
  readonly name: string;
  readonly firstLine: number;
  readonly lastLine: number;
}

const CONTROL = new Set(['if', 'for', 'while', 'switch', 'catch', 'with', 'await']);
const skipSpace = (code: string, at: number): number => {
  let next = at;
  while (/\s/.test(code[next] ?? '')) next++;
  return next;
};

/** Every function, method and arrow with a body in braces, found in masked code (`maskSource`). */
export function functionSpans(code: string): FunctionSpan[] {
  const spans: FunctionSpan[] = [];
  for (let open = code.indexOf('('); open >= 0; open = code.indexOf('(', open + 1)) {
    const name = /([\w$#]+)\s*(?:<[^()]*>)?\s*$/.exec(code.slice(Math.max(0, open - 200), open))?.[1] ?? '';
    if (CONTROL.has(name)) continue;
    const body = bodyAfter(code, closingOf(code, open) + 1);
    if (body < 0) continue;
    spans.push({
      name: name === '' || name === 'async' ? '(anonymous)' : name,
      firstLine: lineOf(code, open),
      lastLine: lineOf(code, closingOf(code, body)),
    });
  }
  return spans;
}

/** Offset of the `{` of the body that follows a parameter list, or -1 where none does. */
function bodyAfter(code: string, afterParameters: number): number {
  let at = skipSpace(code, afterParameters);
  if (code[at] === ':') at = skipType(code, at + 1);
  if (at < 0) return -1;
  if (code.startsWith('=>', at)) at = skipSpace(code, at + 2);
  return code[at] === '{' ? at : -1;
}

/** Offset of what follows a return type: the body's `{` or a `=>`; -1 where neither does. */
function skipType(code: string, from: number): number {
  let angle = 0;
  let expectsType = true;
  for (let at = skipSpace(code, from); at < code.length; at = skipSpace(code, at)) {
    const c = code[at]!;
    if (code.startsWith('=>', at)) {
      // After a parenthesised list this is a function type when a type goes on behind it, else the arrow itself.
      if (/^=>\s*\{/.test(code.slice(at, at + 40)) || !expectsType) return at;
      at += 2;
    } else if (c === '{' && !expectsType && angle === 0) {
      return at;
    } else if (c === '(' || c === '[' || c === '{') {
      at = closingOf(code, at) + 1;
      expectsType = false;
    } else if (c === '<' || c === '>') {
      angle += c === '<' ? 1 : -1;
      expectsType = c === '<';
      at++;
    } else if (c === '|' || c === '&' || (c === ',' && angle > 0)) {
      expectsType = true;
      at++;
    } else if (/[\w$.'"?`]/.test(c)) {
      at = wordEnd(code, at);
      expectsType = false;
    } else {
      return -1;
    }
  }
  return -1;
}

function wordEnd(code: string, from: number): number {
  let at = from;
  if (code[at] === '"' || code[at] === "'") return code.indexOf(code[at]!, at + 1) + 1;
  while (/[\w$.?`]/.test(code[at] ?? '')) at++;
  return Math.max(at, from + 1);
}

/** [start, end) of each loop's body in masked code, single statements included. */
export function loopBodies(code: string): [number, number][] {
  const bodies: [number, number][] = [];
  for (const match of code.matchAll(/\b(for|while)\b(?:\s+await)?\s*\(|\bdo\s*\{/g)) {
    const opener = match.index + match[0].length - 1;
    const start = match[1] ? skipSpace(code, closingOf(code, opener) + 1) : opener;
    if (code[start] === ';') continue;
    bodies.push([start, code[start] === '{' ? closingOf(code, start) : statementEnd(code, start)]);
  }
  return bodies;
}

function statementEnd(code: string, from: number): number {
  for (let at = from; at < code.length; at++) {
    if (code[at] === ';') return at;
    if (code[at] === '(' || code[at] === '[') at = closingOf(code, at);
    else if (code[at] === '{') {
      at = closingOf(code, at);
      if (!/^\s*else\b/.test(code.slice(at + 1, at + 20))) return at;
    }
  }
  return code.length;
}
