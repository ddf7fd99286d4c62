/** Each rule of the structure is seen to fail on a planted violation, and to pass beside it. */
import t from 'tap';
import { functionSpans, loopBodies } from './functions.ts';
import { importViolations } from './imports.ts';
import { maskSource } from './mask.ts';
import { linkViolations, packageViolations } from './repository.ts';
import {
  consoleViolations,
  habitViolations,
  hotViolations,
  machinePathViolations,
  sizeViolations,
  sourceFile,
} from './rules.ts';

const HOT = '/**\n * Sends.\n * HOT: see the architecture.\n */\n';
const hot = (body: string): string[] => hotViolations(sourceFile('src/replay/x.ts', HOT + body));

t.test('masking keeps code and offsets', async (t) => {
  const template = ['b = `T $', '{f({ k: `IN $', '{1}` })} U`;'].join('');
  const text = `const a = 'STR => y'; // COMMENT\n${template} r = /[/'"]RE+/g; let q = a / b / c; /* END */`;
  const code = maskSource(text);
  t.equal(code.length, text.length);
  t.notMatch(code, /[A-Z]|=>/, 'what is not code is blank');
  t.match(code, /f\(\{ k: ` +\$\{1\}` \}\)\}/, 'expressions in templates stay');
  t.match(code, /r = \/ +\/g; let q = a \/ b \/ c; +$/, 'a division is not a regular expression');
});

t.test('functions are found with their true length', async (t) => {
  const text = [
    'export function plain(a: number): { x: number } | null {',
    '  if (a) {',
    '  }',
    '  return null;',
    '}',
    'const arrow = (a: string): Promise<Map<string, { b: 1 }>> => {',
    '  return a ? f(a) : { c: 1 };',
    '};',
    'class C {',
    '  async #method<T>(a: T): Promise<void> {',
    '    while (x(a)) {',
    '    }',
    '  }',
    '}',
    'function guard(x: unknown): asserts x is Foo { }',
    'type F = (a: number) => { b: 1 };',
  ].join('\n');
  const spans = functionSpans(maskSource(text)).map(({ name, firstLine, lastLine }) => [name, firstLine, lastLine]);
  t.same(spans.slice(0, 4), [
    ['plain', 1, 5],
    [spans[1]?.[0], 6, 8],
    ['#method', 10, 13],
    ['guard', 15, 15],
  ]);
});

t.test('size', async (t) => {
  const body = (lines: number): string => `function f(): void {\n${'  g();\n'.repeat(lines - 2)}}\n`;
  t.same(sizeViolations(sourceFile('src/a/b.ts', body(70))), []);
  t.match(sizeViolations(sourceFile('src/a/b.ts', body(71))), [/function f has 71 lines/]);
  const method = `class A {\n  m(a: number): number {\n${'    g();\n'.repeat(69)}  }\n}\n`;
  t.match(sizeViolations(sourceFile('src/a/b.ts', method)), [/function m has 71 lines/]);
  t.same(sizeViolations(sourceFile('src/a/b.ts', `${'x'.repeat(120)}\n`)), []);
  t.match(sizeViolations(sourceFile('src/a/b.ts', `${'x'.repeat(121)}\n`)), [/longer than 120/]);
  t.same(sizeViolations(sourceFile('src/a/b.ts', '\n'.repeat(500))), []);
  t.match(sizeViolations(sourceFile('src/a/b.ts', 'x\n'.repeat(501))), [/501 lines/]);
});

t.test('the import table', async (t) => {
  const wrong = (file: string, text: string): string[] => importViolations(sourceFile(file, text));
  t.match(wrong('src/wire/a.ts', "import { x } from '../sys/libc.ts';"), [/src\/wire may not import src\/sys/]);
  t.match(wrong('src/base/a.ts', "import fs from 'node:fs';"), [/base imports nothing/]);
  t.match(wrong('src/base/a.ts', "import type { A } from '../wire/a.ts';"), [/may not import src\/wire/]);
  t.match(wrong('src/pcap/a.ts', "import koffi from 'koffi';"), [/may not import the package koffi/]);
  t.match(wrong('src/cli/a.ts', "export * from '../sys/libc.ts';"), [/may not import src\/sys/]);
  t.match(wrong('src/replay/a.ts', "const m = await import('../copy/a.ts');"), [/may not import src\/copy/]);
  t.match(wrong('src/replay/a.ts', "new Worker(new URL('../capture/a.js', import.meta.url));"), [/src\/capture/]);
  t.match(wrong('src/device/a.ts', "createRequire(import.meta.url)('x'); require('koffi');"), [/package koffi/]);
  t.match(wrong('src/replay/a.ts', "import { makeLab } from '../../lab/lab.ts';"), [/outside src/]);
  t.match(wrong('src/wrong/a.ts', 'let a = 1;'), [/not in the import table/]);
  t.same(wrong('src/pcap/a.ts', "// from '../cli/a.ts'\nimport { x } from '../sys/file.ts';\nimport './b.ts';"), []);
  t.same(wrong('lab/a.ts', "import { x } from '../src/sys/file.ts';"), []);
});

t.test('what a hot file may not contain', async (t) => {
  const planted: [string, RegExp][] = [
    ['const v = bytes.subarray(0, 4);', /subarray/],
    ['const v = bytes.slice(0, 4);', /slice/],
    ['const v = Buffer.alloc(4);', /Buffer/],
    ['const v = 12n;', /BigInt/],
    ['const v = BigInt(a);', /BigInt/],
    ['async function f() {}', /leaves the loop/],
    ['p.then(f);', /leaves the loop/],
    ['function* g() { yield 1; }', /leaves the loop/],
    ['events.emit(1);', /events per packet/],
    ['for (let i = 0; i < n; i++) { list.forEach((x) => x); }', /closure/],
    ['while (a) b(function () {});', /closure/],
    ['for (const a of b) {\n  if (a) throw new Error();\n}', /counter/],
    ['do { throw a; } while (b);', /counter/],
  ];
  for (const [text, why] of planted) {
    t.match(hot(text), [why], text);
    t.same(hotViolations(sourceFile('src/replay/x.ts', `/** Cold. */\n${text}`)), [], `cold: ${text}`);
  }
  t.same(hot("// bytes.slice(0)\nconst s = 'async 12n'; for (;;) { f(`throw`); }\nif (!a) throw new Error();"), []);
  t.same(hot('const a = new SharedArrayBuffer(8); const f = (x: number): number => x;'), []);
  t.equal(loopBodies('for (;;) a(); while (b) { c; }').length, 2);
});

t.test('habits', async (t) => {
  const unfinished = ['TO', 'DO'].join('');
  t.match(habitViolations(sourceFile('src/a/b.ts', `// ${unfinished}: later`)), [/finish it/]);
  t.match(habitViolations(sourceFile('test/a.test.ts', 't.only(1);')), [/leaves the other tests out/]);
  t.match(habitViolations(sourceFile('test/a.test.ts', "t.test('a', { skip: true }, f);")), [/names its reason/]);
  t.match(habitViolations(sourceFile('test/a.test.ts', 't.skip();')), [/without a reason/]);
  t.match(habitViolations(sourceFile('test/a.test.ts', "t.skip('');")), [/without a reason/]);
  t.same(habitViolations(sourceFile('test/a.test.ts', "t.skip('needs root');")), []);
  t.match(consoleViolations(sourceFile('src/replay/a.ts', 'console.log(1); process.exit(2);')), [/prints/, /exits/]);
  t.same(consoleViolations(sourceFile('src/cli/a.ts', 'console.log(1); process.exit(2);')), []);
  const place = ['', 'work', 'main'].join('/');
  t.match(machinePathViolations(sourceFile('docs/a.md', `see ${place}`)), [/machine/]);
  const elsewhere = `see docs${place} and https://a.example${place}`;
  t.same(machinePathViolations(sourceFile('docs/a.md', elsewhere)), [], 'inside a longer path or an address');
});

t.test('package.json and links', async (t) => {
  const settings = {
    bin: { a: 'dist/a.js', b: 'dist/b.js' },
    exports: { '.': { default: './dist/gone.js' }, './package.json': './package.json' },
    scripts: { demo: 'node scripts/gone.mjs' },
  };
  const dir = t.testdir({
    'package.json': JSON.stringify(settings),
    dist: { 'a.js': 'no hashbang\n' },
    'README.md': '# The title, here\n',
  });
  t.match(packageViolations(dir), [/starts with/, /bin "b"/, /exports "\."/, /scripts "demo"/]);
  const links = (text: string): string[] => linkViolations(dir, sourceFile('README.md', text));
  t.match(links('[a](docs/gone.md) [b](README.md#nowhere)'), [/leads nowhere/, /no heading/]);
  t.same(links('[a](README.md#the-title-here) [b](https://example.org/) [c](dist/)\n```\n[x](gone.md)\n```\n'), []);
});
