/** What is said of a comparison: lines, page, metrics; files that are written whole; the log of both commands. */
import assert from 'node:assert/strict';
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { comparePage } from '../../src/cli/compare_html.ts';
import { compareLines, share } from '../../src/cli/compare_text.ts';
import { copyReportLines } from '../../src/cli/copy_report.ts';
import { jsonLog, LOG_LEVELS, textLog } from '../../src/cli/log.ts';
import { checkReportFile, writeReportFile } from '../../src/cli/report_file.ts';
import { snapshotOf } from '../../src/copy/agent/report.ts';
import { AgentTotals } from '../../src/copy/agent/rows.ts';
import { type CompareReport, Comparison } from '../../src/copy/compare/comparison.ts';
import { Pairing } from '../../src/copy/compare/pairing.ts';
import { CompareRow } from '../../src/copy/compare/rows.ts';
import { CELLS, Cell, SessionFlag } from '../../src/copy/session_cells.ts';
import { copyRegistry } from '../../src/metrics/copy.ts';
import { readPage } from './page_rig.ts';

const MS = 1e6;

/** Two workers; each request of a session gets what `replies` says, production's 1 ms later, the target's 10 ms. */
function comparison(replies: readonly (readonly [status: number, bytes: number, status: number, bytes: number])[]) {
  const found = new Comparison(2);
  for (const worker of [0, 1]) {
    const cells = new Int32Array(CELLS);
    cells[Cell.PortTarget] = (40_000 + worker) << 16;
    cells.set([0xfd000000 | 0, 0, 0, worker + 1]);
    cells[Cell.Flags] = SessionFlag.Ipv6;
    const pairing = new Pairing(new CompareRow(found.buffer, worker), cells, 1, 64);
    let said = 0;
    replies.forEach(([production, productionBytes, target, targetBytes], i) => {
      const at = i * 100 * MS;
      // A connection of its own for each.
      pairing.connected(0);
      pairing.requestSent(0, i * 10, 10, true, false, 0, i * 10 + 7, at, at);
      if (productionBytes > 0) pairing.productionReply(0, said, i * 10 + 10, productionBytes, production, at + MS);
      said += productionBytes;
      if (targetBytes > 0) pairing.targetReply(0, i * 10 + 17, targetBytes, false, target, at + 10 * MS);
    });
    pairing.sessionEnded(0);
  }
  found.sample(1);
  return found;
}

const TARGETS = [{ host: 'fd00::9', port: 80 }];

t.test('lines, page and metrics tell the same', async (t) => {
  const found = comparison([
    [200, 100, 200, 100],
    [200, 100, 500, 30],
    [200, 100, 200, 90],
    [404, 50, 0, 0],
    [0, 0, 200, 10],
    [0, 0, 0, 0],
  ]);
  const report = found.report(TARGETS);
  const lines = compareLines(report).join('\n');
  t.match(lines, /^Replies compared: 6, of which 33\.33 % are alike/);
  t.match(lines, /Status: 66\.66 % equal of 6\n\t\t200 -> 500: 2\n\tLength: 33\.33 % equal/);
  t.match(lines, /2 replies missing at the test server, 2 replies missing at production, 2 requests that neither/);
  t.match(lines, /\tFirst byte p50 +9\d\d\.\d µs +9\.\d\d ms +1\d\.\d\dx\n/);
  t.match(lines, /\tBytes +600 +440 +0\.73x$/);
  const agent = { ...snapshotOf(new AgentTotals(), 2, 0, 1), compare: found.snapshot() };
  t.equal(copyReportLines(agent).join('\n').endsWith(lines), true, 'the report ends with them');

  const page = comparePage(report, new Date(0));
  const { charts, data } = readPage(page);
  t.equal(charts, 5);
  t.same(JSON.parse(data), JSON.parse(JSON.stringify(report)), 'the page holds what --json says');
  t.match(page, /<td>\[fd00:0:0:0:0:0:0:1\]:40000<\/td>/);
  t.match(page, /<tr><th>200<\/th><td class="same">4<\/td><td class="other">2<\/td><\/tr>/);
  t.match(page, /other status<\/td><td>200 → 500<\/td><td>100 → 30<\/td>/);
  t.match(page, /no reply of the test server<\/td><td>404 → –<\/td>/);
  t.notMatch(readPage(comparePage(comparison([]).report(TARGETS), new Date(0))).data, /NaN|Infinity/);

  const metrics = await copyRegistry(() => agent).metrics();
  t.match(metrics, /tscopy_replies_compared_total 6/);
  t.match(metrics, /tscopy_replies_differing_total\{how="status"\} 2/);
  t.match(metrics, /tscopy_replies_differing_total\{how="length"\} 4/);
  t.match(metrics, /tscopy_replies_differing_total\{how="missing_target"\} 2/);
  t.match(metrics, /tscopy_reply_status_total\{production="200",target="500"\} 2/);
  t.match(metrics, /tscopy_reply_seconds\{side="target",until="last_byte",quantile="0.5"\} 0\.009\d/);
  const without = await copyRegistry(() => ({ ...agent, compare: null })).metrics();
  t.notMatch(without, /tscopy_repl/, 'none of them where nothing is compared');
  t.same([share(1, 3), share(2, 2), share(0, 0), share(99_999, 100_000)], ['33.33 %', '100 %', '-', '99.99 %']);
});

t.test('a worker that crashes keeps what it has found', (t) => {
  const found = comparison([[200, 100, 500, 30]]);
  const before: CompareReport = found.report(TARGETS);
  found.retire(1);
  const { exchanges, ...after } = found.report(TARGETS);
  t.match(after, { compared: before.compared, statuses: before.statuses, differing: before.differing });
  t.equal(exchanges.length, 2);
  t.end();
});

t.test('files are refused before a run, and written whole', (t) => {
  const dir = t.testdir({ 'old.html': 'old' });
  t.throws(() => checkReportFile(join(dir, 'none', 'x.html'), '--report'), /--report: .*x\.html cannot be written/);
  t.throws(() => checkReportFile(dir, '--report'), /cannot be written/);
  const file = join(dir, 'old.html');
  checkReportFile(file, '--report');
  writeReportFile(file, 'new');
  t.equal(readFileSync(file, 'utf8'), 'new');
  mkdirSync(join(dir, 'taken'));
  writeFileSync(join(dir, 'taken', 'x'), '');
  t.throws(() => writeReportFile(join(dir, 'taken'), 'text'));
  t.same(readdirSync(dir).sort(), ['old.html', 'taken'], 'nothing is left beside them');
  chmodSync(dir, 0o700);
  t.ok(existsSync(join(dir, 'taken', 'x')));
  t.end();
});

t.test('a log, for people and by pino', async (t) => {
  for (const [i, least] of LOG_LEVELS.entries()) {
    const [text, json]: [string[], string[]] = [[], []];
    const logs = [
      textLog(least, (line, level) => text.push(`${level} ${line}`)),
      await jsonLog({ name: 'tscopy', least, line: (line) => json.push(line) }),
    ];
    for (const log of logs) for (const level of LOG_LEVELS) log.write(level, `a ${level}`, { event: 'note' });
    const levels = LOG_LEVELS.slice(i);
    assert.deepEqual(
      text,
      levels.map((level) => `${level} a ${level}`),
    );
    const objects = json.map((line) => JSON.parse(line) as Record<string, unknown>);
    assert.deepEqual(
      objects.map(({ level, name, event, text: said, pid }) => ({ level, name, event, said, pid })),
      levels.map((level) => ({ level, name: 'tscopy', event: 'note', said: `a ${level}`, pid: process.pid })),
    );
    for (const { time } of objects) assert.ok(Math.abs(Date.parse(String(time)) - Date.now()) < 60_000);
  }
  t.pass('levels, one object a line');
});
