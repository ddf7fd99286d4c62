/** Characters after which a `/` starts a regular expression, not a division. */
const BEFORE_REGEX = new Set('(,=:[!&|?{};+-*%~^<>\n'.split(''));
const KEYWORD_BEFORE_REGEX = /\b(return|typeof|case|in|of|delete|void|throw|else|do|yield|await)\s*$/;

/**
 * The text with the insides of comments, strings, template texts and regular expressions blanked out, newlines kept:
 * what is left is code, at the same offsets. Expressions inside templates stay.
 */
export function maskSource(text: string): string {
  return new Masker(text).run();
}

class Masker {
  readonly #text: string;
  readonly #out: string[];
  #at = 0;
  /** Depth of braces at which each open template expression ends. */
  readonly #templates: number[] = [];
  #depth = 0;

  constructor(text: string) {
    this.#text = text;
    this.#out = text.split('');
  }

  run(): string {
    while (this.#at < this.#text.length) this.#step();
    return this.#out.join('');
  }

  #step(): void {
    const text = this.#text;
    const c = text[this.#at]!;
    const two = text.slice(this.#at, this.#at + 2);
    if (two === '//') this.#blankTo(this.#end('\n', this.#at, 0));
    else if (two === '/*') this.#blankTo(this.#end('*/', this.#at + 2, 2));
    else if (c === '"' || c === "'") this.#quoted(c);
    else if (c === '`') this.#template(this.#at + 1);
    else if (c === '/' && this.#regexMayStart()) this.#regex();
    else if (c === '}' && this.#templates.at(-1) === this.#depth) {
      this.#templates.pop();
      this.#depth--;
      this.#template(this.#at + 1);
    } else {
      if (c === '{') this.#depth++;
      if (c === '}') this.#depth--;
      this.#at++;
    }
  }

  #end(mark: string, from: number, length: number): number {
    const found = this.#text.indexOf(mark, from);
    return found < 0 ? this.#text.length : found + length;
  }

  #blankTo(end: number): void {
    for (let i = this.#at; i < end; i++) if (this.#text[i] !== '\n') this.#out[i] = ' ';
    this.#at = end;
  }

  /** Keeps the quotes, so that an import can be found again. */
  #quoted(quote: string): void {
    let end = this.#at + 1;
    while (end < this.#text.length && this.#text[end] !== quote && this.#text[end] !== '\n') {
      end += this.#text[end] === '\\' ? 2 : 1;
    }
    this.#at++;
    this.#blankTo(Math.min(end, this.#text.length));
    this.#at++;
  }

  #template(from: number): void {
    let end = from;
    while (end < this.#text.length) {
      if (this.#text[end] === '\\') end++;
      else if (this.#text[end] === '`') break;
      else if (this.#text[end] === '$' && this.#text[end + 1] === '{') {
        this.#at = from;
        this.#blankTo(end);
        this.#at = end + 2;
        this.#depth++;
        this.#templates.push(this.#depth);
        return;
      }
      end++;
    }
    this.#at = from;
    this.#blankTo(Math.min(end, this.#text.length));
    this.#at++;
  }

  #regexMayStart(): boolean {
    let before = this.#at - 1;
    while (before >= 0 && ' \t'.includes(this.#out[before]!)) before--;
    if (before < 0 || BEFORE_REGEX.has(this.#out[before]!)) return true;
    return KEYWORD_BEFORE_REGEX.test(this.#out.slice(Math.max(0, this.#at - 12), this.#at).join(''));
  }

  #regex(): void {
    let inClass = false;
    let end = this.#at + 1;
    for (; end < this.#text.length && this.#text[end] !== '\n'; end++) {
      const c = this.#text[end];
      if (c === '\\') end++;
      else if (c === '[') inClass = true;
      else if (c === ']') inClass = false;
      else if (c === '/' && !inClass) break;
    }
    this.#at++;
    this.#blankTo(Math.min(end, this.#text.length));
    this.#at++;
  }
}

const CLOSER: Readonly<Record<string, string>> = { '(': ')', '[': ']', '{': '}' };

/** Offset of the bracket that closes the one at `open`, in masked code; the end of the text if there is none. */
export function closingOf(code: string, open: number): number {
  const from = code[open]!;
  const to = CLOSER[from];
  let depth = 0;
  for (let i = open; i < code.length; i++) {
    if (code[i] === from) depth++;
    else if (code[i] === to && --depth === 0) return i;
  }
  return code.length;
}

export function lineOf(text: string, offset: number): number {
  let line = 1;
  for (let i = text.indexOf('\n'); i >= 0 && i < offset; i = text.indexOf('\n', i + 1)) line++;
  return line;
}
