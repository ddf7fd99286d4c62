/** What `npm test` makes of tap's output: counts, reasons of skips, failures, and an end without a summary. */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import t from 'tap';
import { packageRoot } from './repository.ts';

interface TapReport {
  readonly summary: {
    readonly pass: number;
    readonly fail: number;
    readonly skip: number;
    readonly todo: number;
  } | null;
  readonly skips: readonly { readonly name: string; readonly reason: string }[];
  readonly failures: readonly { readonly name: string; readonly detail: readonly string[] }[];
  line(text: string): void;
  failureText(): string;
}

const root = packageRoot();
const { TapReport: Report } = (await import(pathToFileURL(path.join(root, 'scripts/tap-report.mjs')).href)) as {
  TapReport: new (print: (text: string) => void) => TapReport;
};

function read(text: string): { readonly report: TapReport; readonly printed: string } {
  const printed: string[] = [];
  const report = new Report((line) => printed.push(line));
  for (const line of text.split('\n')) report.line(line);
  return { report, printed: printed.join('\n') };
}

t.test('a written-down run', async (t) => {
  const { report, printed } = read(`TAP version 14
# Subtest: dist/test/a.test.js
    ok 1 - one
    ok 2 - lab # SKIP needs root
    # Subtest: inner
        not ok 1 - two is three
          ---
          at:
            fileName: dist/test/a.test.js
          stack: |
            dist/test/a.test.js:3:3
          source: >
            t.equal(3, 2, 'two is three');

            ok 7 - a line of the source
          diff: here
          ...
        1..1
    not ok 3 - inner # time=1.6ms
    1..3
not ok 1 - dist/test/a.test.js # time=1200.5ms

# Subtest: dist/test/b.test.js
    ok 1 - fine
    1..1
ok 2 - dist/test/b.test.js # time=8ms

# { total: 4, pass: 2, fail: 1, skip: 1 }
# time=1317.035ms`);
  t.same(report.summary, { total: 4, pass: 2, fail: 1, skip: 1, todo: 0 });
  t.same(report.skips, [{ name: 'test/a.test.js > lab', reason: 'needs root' }]);
  const detail = ['stack: |', '  dist/test/a.test.js:3:3', 'diff: here'];
  t.same(report.failures, [{ name: 'test/a.test.js > inner > two is three', detail }]);
  const told = ['Failed:', '  test/a.test.js > inner > two is three', ...detail.map((line) => `      ${line}`), ''];
  t.equal(report.failureText(), told.join('\n'));
  t.match(printed, /^FAIL test\/a\.test\.js \(1\.2 s\)\n[\s\S]*diff: here[\s\S]*\nok {3}test\/b\.test\.js \(0\.0 s\)$/);
  t.equal(read('TAP version 14\nok 1 - fine').report.failureText(), '');
  t.equal(read('TAP version 14\nok 1 - dist/test/a.test.js\n').report.summary, null, 'no summary is no summary');
});

t.test("tap's own output has the form that is read", async (t) => {
  // A project of its own: two runs of tap in one folder disturb each other's files.
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'tsreplay-runner-'));
  t.teardown(() => fs.rmSync(dir, { recursive: true }));
  fs.symlinkSync(path.join(root, 'node_modules'), path.join(dir, 'node_modules'));
  fs.copyFileSync(path.join(root, '.taprc'), path.join(dir, '.taprc'));
  const files = {
    'package.json': '{"type":"module"}',
    'good.mjs': "import t from 'tap'; t.ok(true, 'a'); t.test('b', { skip: 'no such thing' }, () => {});",
    'bad.mjs': "import t from 'tap'; t.test('c', async (t) => { t.equal(1, 2, 'd'); });",
    'crash.mjs': 'process.exit(3);',
  };
  for (const [name, text] of Object.entries(files)) fs.writeFileSync(path.join(dir, name), text);
  const tests = Object.keys(files).filter((name) => name.endsWith('.mjs'));
  const tap = [path.join(root, 'node_modules/.bin/tap'), 'run', '--reporter=tap', '--include=*.mjs', ...tests];
  const done = spawnSync(process.execPath, tap, { cwd: dir, encoding: 'utf8', env: environment() });
  if (done.stdout === '') t.comment(done.stderr);
  const { report } = read(done.stdout);
  t.match(report.summary, { pass: 1, fail: 2, skip: 1 });
  t.match(report.skips, [{ reason: 'no such thing' }]);
  t.match(report.failures.map(({ name }) => name).sort(), [/bad\.mjs > c > d$/, /crash\.mjs$/]);
  const text = report.failureText();
  t.match(text, /^Failed:\n[\s\S]*bad\.mjs > c > d\n(?: {6}.*\n)+/);
  t.match(text, /\n {8}-2\n {8}\+1\n/, 'the difference');
  t.match(text, /bad\.mjs:1:\d+/, 'the place');
  t.match(text, /crash\.mjs\n {6}exitCode: 3\n/);
  t.notMatch(text, /import t from/, 'without the source around');
  t.not(done.status, 0);
});

/** Without what tap tells its own child processes. */
function environment(): Record<string, string | undefined> {
  const own = Object.entries(process.env).filter(([name]) => !/^(_?TAP|NODE_OPTIONS)/.test(name));
  return { ...Object.fromEntries(own), FORCE_COLOR: '0' };
}
