/** Reads the TAP that `tap run --reporter=tap` prints: one line a test file, failures in full, skips with reasons. */

const RESULT = /^( *)(not )?ok\b(?: \d+)?(?: - )?(.*)$/;
const SUBTEST = /^( *)# Subtest: (.*)$/;
const SUMMARY = /^# \{ total: (\d+)(.*)\}$/;
/** Fields of a failure that its place and the difference say better. */
const LEFT_OUT = /^(source|at|compare|stdio|cwd|externalID|command|args|tapCaught|generatedMessage|type|code):/;
const DETAIL_LINES_MAX = 24;
const DETAIL_COLUMNS_MAX = 200;
/** Failures told with their details at the end; the rest by name. */
const DETAILED_MAX = 20;

export class TapReport {
  /** `{ total, pass, fail, skip, todo }` as tap counted them, or null while it has not. */
  summary = null;
  skips = [];
  /** `{ name, detail }`: file > subtest > assertion; what tap tells of it, in a few lines. */
  failures = [];
  #print;
  /** Lines of the test file being read. */
  #lines = [];
  /** Names of the open subtests, by depth. */
  #open = [];
  /** The failure whose details follow, and the block of them that is being read. */
  #failure = null;
  #block = null;

  constructor(print) {
    this.#print = print;
  }

  line(text) {
    const summary = SUMMARY.exec(text);
    if (summary) {
      const count = (name) => Number(new RegExp(`\\b${name}: (\\d+)`).exec(text)?.[1] ?? 0);
      this.summary = {
        total: Number(summary[1]),
        pass: count('pass'),
        fail: count('fail'),
        skip: count('skip'),
        todo: count('todo'),
      };
      return;
    }
    this.#lines.push(text);
    if (this.#detail(text)) return;
    const subtest = SUBTEST.exec(text);
    if (subtest) {
      const depth = subtest[1].length / 4;
      this.#open.length = depth;
      this.#open[depth] = subtest[2];
      return;
    }
    const result = RESULT.exec(text);
    if (result) this.#result(result[1].length / 4, Boolean(result[2]), result[3]);
  }

  /** True: the line belongs to the details of a result, and is no result itself, whatever it looks like. */
  #detail(text) {
    if (this.#block === null) {
      const begin = /^( +)---$/.exec(text);
      if (begin === null) return false;
      this.#block = { indent: begin[1], lines: [], isLeftOut: false };
      return true;
    }
    const { indent, lines } = this.#block;
    if (text === `${indent}...`) {
      if (this.#failure !== null) this.#failure.detail = shortened(lines);
      this.#failure = null;
      this.#block = null;
      return true;
    }
    const line = text.startsWith(indent) ? text.slice(indent.length) : text.trimStart();
    if (/^\S/.test(line)) this.#block.isLeftOut = LEFT_OUT.test(line);
    if (!this.#block.isLeftOut && line.trim() !== '') lines.push(line);
    return true;
  }

  #result(depth, failed, rest) {
    const skip = /^(.*?) *# SKIP ?(.*)$/i.exec(rest);
    const title = (skip ? skip[1] : rest).replace(/ # time=.*$/, '').replace(/ \{$/, '');
    const closesSubtest = this.#open[depth] === title;
    const name = [...this.#open.slice(0, depth), title].join(' > ').replace(/^dist\//, '');
    this.#failure = null;
    if (skip) this.skips.push({ name, reason: skip[2] });
    const todo = / # TO-?DO/i.test(rest);
    if (failed && !todo && !(closesSubtest && this.failures.some((other) => other.name.startsWith(`${name} > `)))) {
      this.#failure = { name, detail: [] };
      this.failures.push(this.#failure);
    }
    if (depth === 0) this.#file(failed, rest);
  }

  #file(failed, rest) {
    const ms = Number(/# time=([\d.]+)ms/.exec(rest)?.[1] ?? 0);
    const name = rest.replace(/ # time=.*$/, '').replace(/^dist\//, '');
    this.#print(`${failed ? 'FAIL' : 'ok  '} ${name} (${(ms / 1000).toFixed(1)} s)`);
    if (failed) this.#print(this.#lines.join('\n'));
    this.#lines = [];
    this.#open = [];
  }

  /** What failed, short enough for the end of a log that is cut. Returns '' where nothing did. */
  failureText() {
    if (this.failures.length === 0) return '';
    const lines = this.failures.flatMap(({ name, detail }, n) => [
      `  ${name}`,
      ...(n < DETAILED_MAX ? detail.map((line) => `      ${line}`) : []),
    ]);
    return `Failed:\n${lines.join('\n')}\n`;
  }
}

function shortened(lines) {
  const kept = lines.slice(0, DETAIL_LINES_MAX).map((line) => line.slice(0, DETAIL_COLUMNS_MAX));
  return lines.length > kept.length ? [...kept, `(${lines.length - kept.length} more lines)`] : kept;
}
