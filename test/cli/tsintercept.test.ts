/** The command `tsintercept`: its texts, and what it says when something is wrong. What it does: test/copy. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { labUnavailable } from '../../lab/availability.ts';
import { makeLab, pair } from '../../lab/lab.ts';
import { buildCommand } from '../../src/cli/command_line.ts';
import { longHelp, shortHelp } from '../../src/cli/help.ts';
import { NoteLog } from '../../src/cli/intercept_log.ts';
import { interceptLiveLine, reportLines } from '../../src/cli/intercept_report.ts';
import { INTERCEPT_TABLE } from '../../src/cli/intercept_table.ts';
import { CliOption } from '../../src/cli/option_table.ts';
import type { InterceptSnapshot } from '../../src/copy/intercept/intercept.ts';
import { readKeyFile } from '../../src/copy/tunnel/key.ts';
import { INTERCEPT_LOSSES, INTERCEPT_METRIC_ROWS } from '../../src/metrics/intercept.ts';
import { packageRoot } from '../structure/repository.ts';
import { checkHelpPage } from './help_page.ts';

const root = packageRoot();
const CLI = join(root, 'dist', 'src', 'cli', 'tsintercept.js');
const DOCS = join(root, 'docs', 'tsintercept.md');

function tsintercept(...args: string[]): { status: number | null; out: string; error: string } {
  // Should one of them start after all, SIGTERM lets it take its rules away again.
  const run = spawnSync(process.execPath, [CLI, ...args], { encoding: 'utf8', timeout: 30_000 });
  return { status: run.status, out: run.stdout, error: run.stderr };
}

const SNAPSHOT: InterceptSnapshot = {
  seconds: 10,
  replies: 1_234_567,
  routed: 1_234_000,
  routedLate: 3,
  unrouted: 500,
  waiting: 1,
  lostToAgents: 60,
  droppedByKernel: 7,
  malformed: 2,
  foreign: 1,
  sessions: 4_321,
  sessionsTakenOver: 0,
  sessionsRefused: 0,
  delayNs: { p50: 90_000, p99: 800_000, max: 2e6 },
  agents: [{ agent: '10.0.0.5:41234', sessions: 4_321, replies: 1_234_000, lost: 60, queuedBytes: 0 }],
  connections: { accepted: 4, authenticated: 1 },
  ends: { wrongKey: 2, tooLong: 1 },
  ringRestarts: 0,
  connectionsAborted: 12,
};

t.test('docs/tsintercept.md', (t) => {
  const help = longHelp(INTERCEPT_TABLE);
  const metrics = [
    ...INTERCEPT_METRIC_ROWS.map(({ name, kind, help }) => [name, kind, '', help]),
    ['tsintercept_replies_lost_total', 'counter', 'cause', 'Replies that reached no agent, by cause.'],
    ['tsintercept_connections_ended_total', 'counter', 'cause', 'Connections that ended, by cause.'],
  ];
  if (process.env['UPDATE_DOCS'] === '1') {
    const table = metrics.map((row) => `| ${row.map((cell, i) => (i === 0 ? `\`${cell}\`` : cell)).join(' | ')} |`);
    const old = readFileSync(DOCS, 'utf8');
    writeFileSync(
      DOCS,
      old.replace(/(\| metric \|.*\n\|.*\n)([\s\S]*?)\n\n/, (_all, head) => `${head}${table.join('\n')}\n\n`),
    );
  }
  const text = checkHelpPage(t, INTERCEPT_TABLE);
  const rows = (heading: string): string[][] => {
    const table = text.slice(text.indexOf(heading)).split('\n\n')[0]!.split('\n').slice(2);
    return table.map((row) => row.split('|').map((cell) => cell.trim().replaceAll('`', '')));
  };
  t.same(
    rows('| metric | type').map((row) => row.slice(1, 5)),
    metrics,
  );
  const fields = rows('| field | meaning').flatMap((row) => row[1]!.split(', '));
  t.same(fields, Object.keys(SNAPSHOT), 'fields of --json');
  for (const line of [...help.split('\n'), ...shortHelp(INTERCEPT_TABLE).split('\n')])
    assert.ok(line.length <= 100, line);
  for (const option of buildCommand(INTERCEPT_TABLE).options) {
    assert.ok(option instanceof CliOption && (option.row.help ?? '') !== '', `${option.flags} is explained`);
  }
  t.end();
});

t.test('lines', (t) => {
  const live = (columns: number) => interceptLiveLine(SNAPSHOT, { seconds: 9, replies: 1_200_000 }, columns);
  t.equal(live(60), '1 agent, 4,321 sessions, 1,234,567 replies, 34,567/s');
  t.match(live(200), /delay p99 800\.0 µs, 500 unregistered, 60 lost to slow agents, 7 dropped by the kernel$/);
  const report = reportLines(SNAPSHOT).join('\n');
  t.match(report, /^Replies: 1,234,567 seen, 1,234,000 handed to agents in 10\.0 s\n/);
  t.match(report, /\twrongKey: +2\n\ttooLong: +1\nCopied connections ended: 12$/);
  const written: string[] = [];
  const log = new NoteLog({ write: (level, message) => written.push(`${level} ${message}`) });
  for (let i = 0; i < 50; i++) log.note({ kind: 'refused', peer: `10.0.0.9:${i}`, why: 'tooLong' });
  t.ok(written.length >= 5 && written.length <= 12, 'a port scan does not fill the log');
  t.equal(written[0], 'warn connection from 10.0.0.9:0 refused: tooLong');
  t.end();
});

t.test('keys', (t) => {
  const dir = t.testdir();
  const path = join(dir, 'key');
  t.same(tsintercept('--new-key', path), {
    status: 0,
    out: `New key in ${path}: copy it to the other host, readable by its owner only\n`,
    error: '',
  });
  t.equal(statSync(path).mode & 0o777, 0o600);
  t.match(tsintercept('--new-key', path), { status: 1, error: /exists and is left alone/ });
  // As systemd hands credentials over: the service's by an access list, which shows as a right of the group.
  chmodSync(path, 0o440);
  t.throws(() => readKeyFile(path), { message: /others may read the key file/ });
  t.teardown(() => delete process.env['CREDENTIALS_DIRECTORY']);
  process.env['CREDENTIALS_DIRECTORY'] = dir;
  t.equal(readKeyFile(path).length, 44, 'a credential');
  chmodSync(path, 0o444);
  t.throws(() => readKeyFile(path), { message: /others may read the key file/ }, 'which not everybody may read');
  t.end();
});

t.test('an error is one line and a status', (t) => {
  const dir = t.testdir({ open: 'sixteen bytes or more' });
  chmodSync(join(dir, 'open'), 0o644);
  const yaml = join(dir, 'config.yaml');
  writeFileSync(yaml, 'service: "80"\nexcept: [10.0.0.0/40]\n');
  const table: readonly (readonly [readonly string[], number, RegExp])[] = [
    [[], 2, /--service is needed/],
    [['80'], 2, /"80" is no option: services are named with --service/],
    [['-F', 'tcp and src port 80'], 2, /intercept's -F .* is --service 80/],
    [['-s', 'http'], 2, /--service needs \[ADDRESS:\]PORT.* not "http"/],
    [['-s', '10.0.0.300:80'], 2, /not "10\.0\.0\.300:80"/],
    [['-s', '80', '-l', '80'], 2, /--service 80 is the port of the tunnel itself/],
    [['-s', '80', '-x', '0.0.0.0/0'], 2, /leaves nothing to be swallowed/],
    [['-s', '80', '-x', '10.0.0.0/33'], 2, /--except needs networks like/],
    [['-m', 'assistant', '-s', '80'], 2, /--mode assistant needs --interface/],
    [['-m', 'assistant', '-i', 'lo', '-s', '80'], 2, /needs the test server's address: --service 10\.0\.0\.9:80/],
    [['-m', 'assistant', '-i', 'lo', '-s', '10.0.0.9:80', '-x', '10.0.0.0/8'], 2, /--except is for --mode host/],
    [['-s', '80', '--tls-cert', 'a'], 2, /--tls-cert needs --tls-key/],
    [['--cleanup', '-s', '80'], 2, /--cleanup and --service cannot both be given/],
    [['--config', yaml], 2, /--except needs networks like/],
    [['-s', '80', '-k', join(dir, 'none')], 1, /there is no key file .*: make one with tsintercept --new-key/],
    [['-s', '80', '-k', join(dir, 'open')], 3, /others may read the key file .*: chmod 600 /],
  ];
  for (const [args, status, error] of table) {
    const run = tsintercept(...args);
    t.match(run, { status, out: '', error }, args.join(' '));
    t.match(run.error, /^tsintercept: [^\n]+\n$/);
  }
  t.end();
});

t.test('metrics and the text report', { skip: labUnavailable('curl') ?? false }, async (t) => {
  const lab = makeLab(pair());
  t.teardown(() => lab.teardown());
  const host = lab.host('a');
  for (const name of ['all', 'eth0']) host.run(['sh', '-c', `echo 0 > /proc/sys/net/ipv4/conf/${name}/rp_filter`]);
  const key = join(lab.directory, 'key');
  writeFileSync(key, 'sixteen bytes or more', { mode: 0o600 });
  const yaml = join(lab.directory, 'config.yaml');
  writeFileSync(yaml, `service: [80, "10.77.0.1:81"]\nkey-file: ${key}\nmetrics-port: 9100\n`);
  const running = host.spawn([process.execPath, CLI, '--config', yaml]);
  await running.waitFor(
    /^Ready: replies of 80, 10\.77\.0\.1:81 are swallowed into tsintercept0, agents connect to 0\.0\.0\.0:36524\n/,
  );
  await running.waitFor(/metrics at http:\/\/127\.0\.0\.1:9100\/metrics/);
  const scraped = host.run(['curl', '-s', 'http://127.0.0.1:9100/metrics']).stdout;
  for (const { name, kind } of INTERCEPT_METRIC_ROWS) assert.ok(scraped.includes(`# TYPE ${name} ${kind}`), name);
  for (const [cause] of INTERCEPT_LOSSES)
    assert.ok(scraped.includes(`tsintercept_replies_lost_total{cause="${cause}"}`));
  host.run(['curl', '-s', '-m', '2', 'http://10.77.0.1:36524/'], { check: false });
  await running.waitFor(/connection from 10\.77\.0\.1:\d+ refused: tooLong/);
  running.child.kill('SIGTERM');
  t.equal((await running.ended).status, 0);
  t.match(
    running.stdout,
    /\nReplies: 0 seen, 0 handed to agents in [\d.]+ s\n[\s\S]*Agents: 0 of 1 connections\n\ttooLong: +1\n/,
  );
});
