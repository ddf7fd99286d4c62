/** Reads the TAP that `tap run --reporter=tap` prints: one line a test file, failures in full, skips with reasons. */

const RESULT = /^( *)(not )?ok\b(?: \d+)?(?: - )?(.*)$/;
const SUBTEST = /^( *)# Subtest: (.*)$/;
const SUMMARY = /^# \{ total: (\d+)(.*)\}$/;

export class TapReport {
  /** `{ total, pass, fail, skip, todo }` as tap counted them, or null while it has not. */
  summary = null;
  skips = [];
  failures = [];
  #print;
  /** Lines of the test file being read. */
  #lines = [];
  /** Names of the open subtests, by depth. */
  #open = [];

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

  #result(depth, failed, rest) {
    const skip = /^(.*?) *# SKIP ?(.*)$/i.exec(rest);
    const title = (skip ? skip[1] : rest).replace(/ # time=.*$/, '').replace(/ \{$/, '');
    const closesSubtest = this.#open[depth] === title;
    const name = [...this.#open.slice(0, depth), title].join(' > ').replace(/^dist\//, '');
    if (skip) this.skips.push({ name, reason: skip[2] });
    const todo = / # TO-?DO/i.test(rest);
    if (failed && !todo && !(closesSubtest && this.failures.some((other) => other.startsWith(`${name} > `)))) {
      this.failures.push(name);
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
}
