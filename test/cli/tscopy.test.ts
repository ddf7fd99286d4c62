/** The command line of `tscopy`: what it asks for, and what it refuses before anything is opened. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { parseCommandLine } from '../../src/cli/command_line.ts';
import { copyLine, copyReportLines } from '../../src/cli/copy_report.ts';
import { type CopyOptions, copyRequestFrom } from '../../src/cli/copy_spec.ts';
import { COPY_TABLE } from '../../src/cli/copy_table.ts';
import type { AgentRequest } from '../../src/copy/agent/index.ts';
import { snapshotOf } from '../../src/copy/agent/report.ts';
import { AgentTotals } from '../../src/copy/agent/rows.ts';
import { Count } from '../../src/copy/counts.ts';
import { copyRegistry } from '../../src/metrics/copy.ts';
import { packageRoot } from '../structure/repository.ts';
import { checkHelpPage } from './help_page.ts';

const root = packageRoot();

async function request(...argv: string[]): Promise<AgentRequest> {
  const line = await parseCommandLine(COPY_TABLE, argv, (path) => readFileSync(path, 'utf8'));
  if (line.kind !== 'run') throw new Error(line.kind);
  return copyRequestFrom(line.options as CopyOptions);
}

t.test('what is asked for', async (t) => {
  t.match(await request('--target', '10.0.0.9:80'), {
    maps: [{ address: null, port: 80, target: { host: '10.0.0.9', port: 80 } }],
    intercept: 'target',
    interceptPort: 36524,
    keyFile: '/etc/tsreplay/key',
    device: null,
    engine: { percent: 100, noWait: false, onlyNew: false },
  });
  const many = await request(
    ...['--map', '80=10.0.0.9:8080', '--map', '[fd00::1]:81=[fd00::9]:81', '--intercept', '10.0.0.30', '-i', 'any'],
    ...['--percent', '12.5', '--ramp', '10m', '--no-wait', '--reply-deadline', '250ms', '--clone', '3', '--only-new'],
    ...[
      '--client-pool',
      '198.18.0.0/16',
      '--memory',
      '1G',
      '--max-sessions',
      '1000',
      '--cpu-limit',
      '50',
      '--mss',
      '1000',
    ],
  );
  t.match(many, {
    maps: [{ port: 80 }, { address: 'fd00::1', port: 81, target: { host: 'fd00::9', port: 81 } }],
    intercept: { host: '10.0.0.30', port: 36524 },
    device: 'any',
    engine: {
      percent: 12.5,
      rampNs: 600e9,
      noWait: true,
      onlyNew: true,
      replyDeadlineNs: 250e6,
      memoryBytes: 2 ** 30,
      mss: 1000,
    },
    clones: { copies: 3, pool: { first: 0xc6120001, addresses: 65_534 } },
    cpuPercentMax: 50,
  });
  const offline = await request(
    '--target',
    'a:80',
    '-r',
    'x.pcap',
    '--multiplier',
    '5',
    '--loop',
    '3',
    '--max-gap',
    '1s',
  );
  t.same(offline.files, { paths: ['x.pcap'], multiplier: 5, loops: 3, gapNsMax: 1e9 });
});

t.test('what is refused', async (t) => {
  const cases: [string[], RegExp][] = [
    [[], /Give --target HOST:PORT/],
    [['--target', '10.0.0.9'], /needs HOST:PORT, as 10\.0\.0\.9:80/],
    [['--target', '10.0.0.9:0'], /needs HOST:PORT/],
    [['--target', '10.0.0.9:80,10.0.0.10:81'], /different ports.*give --map/],
    [['--map', '80'], /needs \[IP:\]PORT=HOST:PORT/],
    [['--map', 'name:80=10.0.0.9:80'], /needs \[IP:\]PORT=HOST:PORT/],
    [['--target', '10.0.0.9:80', '--loop', '2'], /--loop needs --input/],
    [['--target', '10.0.0.9:80', '--client-pool', '198.18.0.1/16'], /bits behind the prefix/],
    [['--target', '10.0.0.9:80', '--percent', '101'], /from 0 to 100/],
    [['--target', '10.0.0.9:80', '--memory', 'lots'], /needs a size like 64M/],
    [['--target', '10.0.0.9:80', '--memory', '1K'], /from 64K to 16G, not "1K"/],
    [['--target', '10.0.0.9:80', '--buffer-size', '99999999999999999999'], /from 2M to 4G/],
    [['--target', '10.0.0.9:80', '--ramp', '99999999999999999999'], /at most 24h/],
    [['--target', '10.0.0.9:80', '--stats', '99999999999'], /from 0\.1 to 86400/],
    [['--target', '10.0.0.9:80', '--intercept', 'local', '--tls-ca', 'x'], /--intercept local has none/],
    [['-x', '80-10.0.0.9:8080,10.0.0.1:81-10.0.0.9:81'], /--map 80=10\.0\.0\.9:8080 --map 10\.0\.0\.1:81=10/],
    [['--target', '10.0.0.9:80', '-n', '2'], /tcpcopy's -n is --clone N/],
    [['--target', '10.0.0.9:80', '--tls-cert', 'x'], /--tls-cert needs --tls-key/],
  ];
  for (const [argv, message] of cases) await t.rejects(request(...argv), { message }, argv.join(' '));
});

t.test('what this host refuses', { skip: process.platform !== 'linux' && 'needs Linux routes' }, (t) => {
  const run = (...argv: string[]): { status: number | null; stderr: string } =>
    spawnSync(process.execPath, [join(root, 'dist/src/cli/tscopy.js'), ...argv], { encoding: 'utf8', timeout: 30_000 });
  const loop = run('--target', '127.0.0.1:80');
  t.match(loop.stderr, /the target 127\.0\.0\.1:80 is this host, so copies would come back/);
  t.equal(loop.status, 3);
  const same = run('--map', '10.0.0.9:80=10.0.0.9:80');
  t.match(same.stderr, /the target 10\.0\.0\.9:80 is the production service itself/);
  t.match(run('10.0.0.9:80').stderr, /options only, not "10\.0\.0\.9:80": type --target 10\.0\.0\.9:80/);
  t.match(run('--target', '10.0.0.9:80', 'doctor').stderr, /"doctor" is the first word/);
  t.end();
});

t.test('reports', async (t) => {
  const totals = new AgentTotals();
  totals.counts[Count.RequestsSeen] = 12;
  totals.counts[Count.RequestsSent] = 11;
  totals.counts[Count.RequestsDelivered] = 10;
  totals.counts[Count.SkippedGap] = 1;
  const snapshot = snapshotOf(totals, 2, 1, 10);
  t.equal(
    copyLine(snapshot, null, 100),
    '0 sessions, 1 requests/s, 10 of 12 delivered, lag p99 0 ns, 1 skipped, 1 crashes',
  );
  const lines = copyReportLines(snapshot).join('\n');
  t.match(lines, /Requests: +12 seen, 11 sent, 10 delivered/);
  t.match(lines, /Skipped: +1 bytes never captured/);
  const metrics = await copyRegistry(() => snapshot).metrics();
  t.match(metrics, /tscopy_requests_delivered_total 10/);
  t.match(metrics, /tscopy_requests_skipped_total\{cause="gap"\} 1/);
  t.match(metrics, /tscopy_lag_seconds\{quantile="0.99"\} 0/);
});

t.test('docs/tscopy.md has the help text word for word (UPDATE_DOCS=1 renews it)', (t) => {
  checkHelpPage(t, COPY_TABLE);
  t.end();
});
