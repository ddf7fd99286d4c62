/** The command itself, as a process; packets go to a file, which needs no rights. */
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { packageRoot } from '../structure/repository.ts';

const root = packageRoot();
const CLI = join(root, 'dist', 'src', 'cli', 'tsreplay.js');
const CASE = join(root, 'fixtures', 'pcaps', 'http-keepalive');
const CAPTURE = join(CASE, 'in.pcap');
const FACTS = JSON.parse(readFileSync(join(CASE, 'case.json'), 'utf8')) as { packets: number; capturedBytes: number };
const TIMEOUT_MS = 30_000;

interface Ended {
  readonly status: number | null;
  readonly out: string;
  readonly error: string;
}

function tsreplay(args: readonly string[], input = ''): Ended {
  const run = spawnSync(process.execPath, [CLI, ...args], {
    input,
    encoding: 'utf8',
    timeout: TIMEOUT_MS,
    killSignal: 'SIGKILL',
  });
  return { status: run.status, out: run.stdout, error: run.stderr };
}

interface Running {
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;
  /** Resolves once standard error or output holds this. */
  saw(pattern: RegExp): Promise<string>;
}

function startTsreplay(t: Tap, args: readonly string[]): Running {
  const child = spawn(process.execPath, [CLI, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: TIMEOUT_MS,
    killSignal: 'SIGKILL',
  });
  t.teardown(() => child.kill('SIGKILL'));
  let out = '';
  let error = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    out += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    error += text;
  });
  const ended = new Promise<Ended>((resolve) => {
    child.on('close', (status) => resolve({ status, out, error }));
  });
  const saw = async (pattern: RegExp): Promise<string> => {
    for (let waited = 0; waited < TIMEOUT_MS; waited += 20) {
      const match = pattern.exec(error) ?? pattern.exec(out);
      if (match !== null) return match[0];
      await pause(20);
    }
    throw new Error(`never seen: ${pattern} in ${error} ${out}`);
  };
  return { child, ended, saw };
}

type Tap = { teardown(fn: () => unknown): void; testdir(): string };

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

t.test('texts', (t) => {
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
  t.same(tsreplay(['--version']), { status: 0, out: `tsreplay version: ${version}\n`, error: '' });
  t.match(tsreplay(['--help']), { status: 0, out: /^Usage: tsreplay \[options\] FILE/, error: '' });
  t.match(tsreplay(['-!']), { status: 0, out: /^Usage: tsreplay/ }, 'no pager off a terminal');
  t.match(tsreplay(['-h']), { status: 0, out: /More: tsreplay --help\n$/ });
  t.match(tsreplay(['--listnics']), { status: 0, out: /^Available network interfaces:\n([\s\S]*\n)?lo\n/ });
  const head = '{ "$0" "$1" --help; echo "status $?" >&2; } | head -n 1';
  const piped = spawnSync('sh', ['-c', head, process.execPath, CLI], { encoding: 'utf8', timeout: TIMEOUT_MS });
  t.same([piped.stdout.split('\n').length, piped.stderr], [2, 'status 0\n'], '| head is quiet');
  t.end();
});

t.test('an error is one line and a status', (t) => {
  const table: readonly (readonly [readonly string[], number, string | RegExp])[] = [
    [['--topspeed', '--save-opts=/nowhere/rc'], 1, /^tsreplay: \/nowhere\/rc cannot be written: no such file/],
    [['--limit=x', CAPTURE], 2, 'tsreplay: --limit needs a whole number of at least 1, not "x"\n'],
    [[CAPTURE], 2, 'tsreplay: --intf1 or --write is needed: where are the packets to go?\n'],
    [['-i', 'lo'], 2, 'tsreplay: no capture is named: tsreplay -i INTERFACE FILE (see tsreplay --help)\n'],
    [['-w', 'o', '/nowhere/a.pcap'], 1, 'tsreplay: /nowhere/a.pcap cannot be read: no such file\n'],
    [['-w', 'o', '--load-opts=/nowhere/x', CAPTURE], 2, 'tsreplay: /nowhere/x cannot be read: no such file\n'],
    [['-w', 'o', '--profile=/nowhere/p', CAPTURE], 2, 'tsreplay: /nowhere/p cannot be read: no such file\n'],
    [['-i', 'nosuch0', CAPTURE], 3, /^tsreplay: [^\n]*nosuch0[^\n]*\n$/],
    [['-w', '/nowhere/o.pcap', CAPTURE], 1, /^tsreplay: [^\n]*\/nowhere\/o\.pcap[^\n]*\n$/],
  ];
  for (const [args, status, error] of table) t.match(tsreplay(args), { status, out: '', error }, args.join(' '));
  t.end();
});

t.test('a run into a file', (t) => {
  const dir = t.testdir();
  const out = join(dir, 'o.pcap');
  const plain = tsreplay(['-w', out, '-t', CAPTURE]);
  t.equal(plain.error, '');
  t.equal(plain.status, 0);
  const { packets, capturedBytes } = FACTS;
  t.match(
    plain.out,
    new RegExp(`^Actual: ${packets} packets \\(${capturedBytes} bytes\\) sent in \\d+\\.\\d+ seconds\nRated: `),
  );
  t.match(plain.out, `\tSuccessful packets:        ${packets}\n`);
  const json = tsreplay(['-w', out, '-t', '--json', '--loop=3', '--limit', '30', CAPTURE]);
  t.equal(json.error, '');
  const report = JSON.parse(json.out) as Record<string, unknown>;
  t.match(report, { tool: 'tsreplay', files: [CAPTURE], packets: { sent: 30, failed: 0 }, fault: null, wire: null });
  const looped = tsreplay(['-w', out, '-p', '500', '-l', '2', '--stats=0', CAPTURE]);
  t.match(looped.out, /^Loop 1 of 2\.\.\.\nTest start: 2\d{3}-\d\d-\d\d .* \.\.\.\nActual: /);
  t.match(looped.out, new RegExp(`Loop 2 of 2\\.\\.\\.\nTest complete: .*\nActual: ${2 * packets} packets`));
  t.match(looped.out, /\nLateness: p50 .*, p99 .*, max .*\n/);
  writeFileSync(join(dir, 'run.opts'), `[TCPREPLAY]\nwrite ${out}\ntopspeed\ninclude 1-5\n`);
  t.match(tsreplay([`--load-opts=${dir}/run.opts`, CAPTURE]).out, /^Actual: 5 packets/);
  t.match(tsreplay(['-P', '-w', out, '-t', CAPTURE]).error, /^PID: \d+\n$/);
  t.match(JSON.parse(tsreplay(['-d1', '-w', out, '-t', CAPTURE]).error), {
    rate: { kind: 'topspeed' },
    inputs: [CAPTURE],
  });
  t.end();
});

t.test('directories', (t) => {
  const dir = t.testdir({ in: { 'README.txt': 'no capture' } });
  writeFileSync(join(dir, 'in', 'b.pcap'), readFileSync(CAPTURE));
  writeFileSync(join(dir, 'in', 'a.pcap'), readFileSync(CAPTURE));
  const args = ['-w', join(dir, 'o'), '-t', '--json', join(dir, 'in')];
  const run = tsreplay(args);
  t.equal(run.error, `Warning: ${dir}/in/README.txt is no pcap or pcapng file: skipped\n`);
  t.match(JSON.parse(run.out), {
    files: [join(dir, 'in', 'a.pcap'), join(dir, 'in', 'b.pcap')],
    packets: { sent: 2 * FACTS.packets },
  });
  t.equal(tsreplay(['-W', ...args]).error, '');
  t.end();
});

t.test('one at a time', (t) => {
  const out = join(t.testdir(), 'o.pcap');
  const run = tsreplay(['-w', out, '-o', CAPTURE], '\n3\nx\n2\n');
  t.equal(run.error, 'A whole number is needed, or an empty line for one packet.\n');
  const asked = [
    ...run.out.matchAll(/^\*{4} Next packet #(\d+) out .+\. {2}How many packets do you wish to send\? /gm),
  ];
  t.same(
    asked.map((match) => match[1]),
    ['1', '2', '5', '5', '7'],
  );
  t.match(run.out, /Sending packet 1 out: .+o\.pcap\n/);
  t.match(run.out, /\nActual: 6 packets/);
  t.equal(run.status, 1, 'the end of the answers leaves packets unsent');
  t.end();
});

const tcpdump = spawnSync('sh', ['-c', 'command -v tcpdump || ls /usr/sbin/tcpdump']).status === 0;
t.test('packets printed while they go', { skip: tcpdump ? false : 'needs tcpdump' }, (t) => {
  const out = join(t.testdir(), 'o.pcap');
  const run = tsreplay(['-w', out, '-t', '-v', '-A', '-tttt -e', CAPTURE]);
  t.equal(run.status, 0);
  t.equal(run.error, '');
  const path = `${process.env['PATH']}:/usr/sbin`;
  const oracle = execFileSync('tcpdump', ['-n', '-tttt', '-e', '-r', CAPTURE], {
    env: { ...process.env, PATH: path },
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  t.equal(run.out.slice(0, run.out.indexOf('Actual:')), oracle, "tcpdump's own text of the capture, times included");
  const wrong = tsreplay(['-w', out, '-t', '-v', '-A', '--no-such-option', CAPTURE]);
  t.match(wrong.error, /^Warning: --verbose: tcpdump ended with status 1: /);
  t.match(wrong.out, `Actual: ${FACTS.packets} packets`, 'the replay does not depend on it');
  t.end();
});

t.test('signals', async (t) => {
  const out = join(t.testdir(), 'o.pcap');
  const run = startTsreplay(t, ['-w', out, '-p', '100', '-l', '0', '--json', '--metrics-port', '0', CAPTURE]);
  const url = (await run.saw(/Metrics: http:\S+/)).slice('Metrics: '.length);
  const sent = async (): Promise<{ packets: number; paused: number }> => {
    const text = await (await fetch(url)).text();
    const number = (name: RegExp): number => Number(new RegExp(`^${name.source} (\\S+)$`, 'm').exec(text)?.[1]);
    return {
      packets: number(/tsreplay_packets_sent_total\{interface="[^"]*"\}/),
      paused: number(/tsreplay_paused/),
    };
  };
  while ((await sent()).packets === 0) await pause(20);
  run.child.kill('SIGUSR1');
  while ((await sent()).paused === 0) await pause(20);
  // The packet that is due goes still.
  await pause(300);
  const paused = await sent();
  await pause(300);
  t.equal((await sent()).packets, paused.packets, 'nothing goes while paused');
  const from = performance.now();
  run.child.kill('SIGCONT');
  let after = paused;
  while (after.packets < paused.packets + 20) {
    await pause(20);
    after = await sent();
  }
  t.equal(after.paused, 0);
  const due = ((performance.now() - from) / 1000) * 100;
  t.ok(after.packets - paused.packets < due + 15, 'goes on at its rate, without a burst');
  run.child.kill('SIGINT');
  const { status, out: text } = await run.ended;
  t.equal(status, 130);
  t.match(JSON.parse(text), { interrupted: true, complete: false });
  t.end();
});
