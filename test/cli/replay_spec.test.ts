/** Option values to a frozen spec; times, profiles and every clash that only shows with all values together. */
import assert from 'node:assert/strict';
import t from 'tap';
import { OperatorError } from '../../src/base/errors.ts';
import { parseCommandLine } from '../../src/cli/command_line.ts';
import { parseProfileFile } from '../../src/cli/profile_file.ts';
import { type ReplayOptions, replaySpecFrom, type Surroundings } from '../../src/cli/replay_spec.ts';
import { REPLAY_TABLE } from '../../src/cli/replay_table.ts';
import { durationNs, moment } from '../../src/cli/values.ts';
import type { ReplaySpec } from '../../src/replay/spec.ts';

const AROUND: Surroundings = {
  nowMs: Date.UTC(2026, 10, 22, 12, 0, 0),
  profile: null,
  copyTo: [],
};

async function spec(argv: string, around: Partial<Surroundings> = {}): Promise<ReplaySpec> {
  const line = await parseCommandLine(REPLAY_TABLE, argv.split(' '), () => '');
  assert.equal(line.kind, 'run');
  if (line.kind !== 'run') throw new Error('unreachable');
  return replaySpecFrom(line.options as ReplayOptions, line.operands, { ...AROUND, ...around });
}

async function refused(promise: () => Promise<unknown>, message: string | RegExp): Promise<void> {
  await assert.rejects(promise, (error: unknown) => {
    assert.ok(error instanceof OperatorError, String(error));
    assert.equal(error.code, 'USAGE');
    if (typeof message === 'string') assert.equal(error.message, message);
    else assert.match(error.message, message);
    return true;
  });
}

t.test('defaults are those of the help text', async (t) => {
  t.match(await spec('-i eth0 a.pcap'), {
    inputs: ['a.pcap'],
    primary: { kind: 'interface', name: 'eth0', backend: 'auto', qdiscBypass: false },
    secondary: null,
    split: { kind: 'none' },
    select: { include: null, exclude: null, filter: null, limit: 0, durationNs: 0 },
    originalLength: false,
    rate: { kind: 'multiplier', factor: 1 },
    maxSleepNs: 0,
    timer: 'adaptive',
    realtime: false,
    loop: { count: 1, delayNs: 0, uniqueIp: false, uniqueIpEvery: 1, preload: false },
    oversize: 'error',
    workers: 1,
    shard: null,
    startAtMs: null,
    flows: { enabled: true, expirySeconds: 0 },
    impair: null,
  });
  t.end();
});

t.test('each option reaches its place', async (t) => {
  const table: readonly (readonly [string, (s: ReplaySpec) => unknown, unknown])[] = [
    ['-i eth0 -x 2.5 a', (s) => s.rate, { kind: 'multiplier', factor: 2.5 }],
    ['-i eth0 -p 12.5 a', (s) => s.rate, { kind: 'pps', pps: 12.5, burst: 1 }],
    ['-i eth0 -p 100 --pps-multi=8 a', (s) => s.rate, { kind: 'pps', pps: 100, burst: 8 }],
    ['-i eth0 -M 9.5 a', (s) => s.rate, { kind: 'mbps', mbps: 9.5 }],
    ['-i eth0 -M 0 a', (s) => s.rate, { kind: 'topspeed' }],
    ['-i eth0 -t a', (s) => s.rate, { kind: 'topspeed' }],
    ['-i eth0 -o a', (s) => s.rate, { kind: 'oneatatime' }],
    ['-i eth0 --maxsleep=1.5 a', (s) => s.maxSleepNs, 1_500_000],
    ['-i eth0 -T gtod a', (s) => s.timer, 'spin'],
    ['-i eth0 -l 0 --loopdelay-ms=3 a', (s) => [s.loop.count, s.loop.delayNs], [0, 3_000_000]],
    ['-i eth0 -l 2 --loopdelay-ns=1500000000 a', (s) => s.loop.delayNs, 1_500_000_000],
    [
      '-i eth0 -l 2 --unique-ip --unique-ip-loops=2 -K a',
      (s) => s.loop,
      {
        count: 2,
        delayNs: 0,
        uniqueIp: true,
        uniqueIpEvery: 2,
        preload: true,
      },
    ],
    ['-i eth0 -L 5 --duration 1.5 a', (s) => [s.select.limit, s.select.durationNs], [5, 1_500_000_000]],
    ['-i eth0 --filter tcp --pktlen a', (s) => [s.select.filter, s.originalLength], ['tcp', true]],
    ['-i eth0 -I eth1 -c c.cache a', (s) => [s.split, s.secondary?.name], [{ kind: 'cache', path: 'c.cache' }, 'eth1']],
    ['-i eth0 -I eth1 -2 a b', (s) => s.split, { kind: 'dualfile' }],
    ['-w o.pcap a', (s) => s.primary, { kind: 'file', name: 'o.pcap', backend: 'file', qdiscBypass: false }],
    ['-i eth0 --xdp a', (s) => s.primary.backend, 'af_xdp'],
    ['-i eth0 --xdp --xdp-batch-size=32 a', (s) => s.primary.batchFrames, 32],
    ['-i eth0 --raw a', (s) => s.primary.backend, 'raw_ip'],
    ['-i eth0 --backend libpcap a', (s) => s.primary.backend, 'libpcap'],
    ['-i eth0 --qdisc-bypass a', (s) => s.primary.qdiscBypass, true],
    ['-i eth0 --oversize segment a', (s) => s.oversize, 'segment'],
    ['-i eth0 --loss 2.5 a', (s) => s.impair, { lossPercent: 2.5, seed: 1 }],
    ['-i eth0 --loss 2.5 --loss-seed 9 a', (s) => s.impair, { lossPercent: 2.5, seed: 9 }],
    ['-i eth0 --loss 0 a', (s) => s.impair, null],
    ['-i eth0 --workers 4 --shard 2/3 a', (s) => [s.workers, s.shard], [4, { index: 1, count: 3 }]],
    ['-i eth0 --shard 1/1 a', (s) => s.shard, null],
    ['-i eth0 --start-at +10s a', (s) => s.startAtMs, AROUND.nowMs + 10_000],
    ['-i eth0 --no-flow-stats a', (s) => s.flows.enabled, false],
    ['-i eth0 --flow-expiry 30 a', (s) => s.flows, { enabled: true, expirySeconds: 30 }],
  ];
  for (const [argv, pick, wanted] of table) assert.deepEqual(pick(await spec(argv)), wanted, argv);
  t.equal((await spec('-i eth0 -v a', { copyTo: ['/tmp/fifo'] })).primary.copyTo, '/tmp/fifo');
  const frozen = await spec('-i eth0 --include 1-3 a');
  assert.throws(() => Object.assign(frozen.select, { limit: 3 }), TypeError);
  assert.throws(() => Object.assign(frozen.select.include![0]!, { first: 3 }), TypeError);
  t.same(structuredClone(frozen), frozen, 'workers get it whole');
  t.end();
});

t.test('clashes', async (t) => {
  const table: readonly (readonly [string, string | RegExp])[] = [
    ['-i eth0', 'no capture is named: tsreplay -i INTERFACE FILE (see tsreplay --help)'],
    ['a.pcap', '--intf1 or --write is needed: where are the packets to go?'],
    ['-i eth0 - -', '"-" is named twice, but standard input can be read once only'],
    ['-i eth0 -o -', '--oneatatime reads answers from standard input, so "-" cannot be a capture'],
    ['-i eth0 -I eth1 -2 a -', '--dualfile reads two files side by side, so "-" cannot be one of them'],
    ['-i eth0 -I eth1 -2 a b c', '--dualfile needs an even number of files, not 3: name them in pairs'],
    ['-i netmap:eth0 a', 'netmap:eth0: netmap is not supported: name the interface itself and use --xdp'],
    ['-i zc:eth0 a', 'zc:eth0: PF_RING is not supported: name the interface itself and use --xdp'],
    ['-i %2 a', '%2: aliases are not supported: name the interface itself (tsreplay --listnics)'],
    ['-i /dev/khial a', '/dev/khial: a path is no interface: use --write to send to a file'],
    ['-i eth0 --xdp --qdisc-bypass a', '--qdisc-bypass is for the af_packet and tx_ring backends, not af_xdp'],
    ['-i eth0 --raw --no-qdisc-bypass a', '--no-qdisc-bypass is for the af_packet and tx_ring backends, not raw_ip'],
    ['-i eth0 --backend tap --xdp-batch-size 3 a', '--xdp-batch-size needs --xdp'],
    [
      '-i eth0 --start-at 2020-01-01T00:00:00Z a',
      /^--start-at 2020-01-01T00:00:00Z is \d+\.\d seconds in the past: give/,
    ],
    [
      '-i eth0 --start-at noon a',
      '--start-at needs a time like 2026-11-22T10:00:00Z, 10:00:00, 1795341600 or +10s, not "noon"',
    ],
  ];
  for (const [argv, message] of table) await refused(() => spec(argv), message);
  t.ok(true, `${table.length} clashes`);
  t.end();
});

t.test('moments and durations', (t) => {
  const now = new Date(2026, 10, 22, 23, 59, 50).getTime();
  const at = (text: string): number => moment(text, '--start-at', now) - now;
  t.equal(at('+10'), 10_000);
  t.equal(at('+1.5s'), 1_500);
  t.equal(at('+250ms'), 250);
  t.equal(at('00:00:05'), 15_000, 'the next midnight is nearer');
  t.equal(at('23:59:50.250'), 250);
  t.equal(at(String(now / 1000 + 7)), 7_000);
  t.equal(moment('2026-11-23T10:00:00Z', '--start-at', now), Date.UTC(2026, 10, 23, 10));
  t.equal(moment('2026-11-23T10:00:00.500+02:00', '--start-at', now), Date.UTC(2026, 10, 23, 8, 0, 0, 500));
  t.throws(() => at('23:59:49'), /--start-at 23:59:49 is 1\.0 seconds in the past/);
  for (const wrong of ['', '+', '+x', '24:00:00', '10:60:00', '12', '2026-13-01', '+-3s']) {
    assert.throws(() => at(wrong), /needs a time like/, wrong);
  }
  t.equal(durationNs('30s'), 30e9);
  t.equal(durationNs('2m'), 120e9);
  t.equal(durationNs('1.5h'), 5_400e9);
  t.equal(durationNs('7us'), 7_000);
  t.ok(Number.isNaN(durationNs('30 days')));
  t.end();
});

t.test('rate profiles', async (t) => {
  const text = 'steps:\n  - {pps: 1000, for: 30s}\n  - {mbps: {from: 1, to: 10}, for: 1m}\n  - multiplier: 2\n';
  t.same(await parseProfileFile('p', text), {
    kind: 'profile',
    repeat: false,
    steps: [
      { unit: 'pps', from: 1000, to: 1000, durationNs: 30e9 },
      { unit: 'mbps', from: 1, to: 10, durationNs: 60e9 },
      { unit: 'multiplier', from: 2, to: 2, durationNs: Number.POSITIVE_INFINITY },
    ],
  });
  const bad: readonly (readonly [string, string | RegExp])[] = [
    ['', 'p line 1: a profile is a list of steps under the key "steps"'],
    ['steps: []', 'p line 1: steps needs at least one step'],
    ['step:\n - pps: 3', 'p line 1: a profile has no "step": did you mean steps?'],
    ['steps:\n - {pps: 3, forr: 3s}', 'p line 2: a profile has no "forr": did you mean for?'],
    ['steps:\n - {for: 3s}', 'p line 2: step 1 needs one of pps, mbps and multiplier, and has 0'],
    ['steps:\n - {pps: 3, mbps: 3, for: 3s}', 'p line 2: step 1 needs one of pps, mbps and multiplier, and has 2'],
    ['steps:\n - {pps: 3, for: 3s}\n - {pps: x, for: 3s}', 'p line 3: steps.pps needs a number or {from, to}'],
    ['steps:\n - {pps: -3, for: 3s}', 'p line 2: steps.pps needs a number of at least 0'],
    [
      'steps:\n - {pps: 3}\n - {pps: 4}',
      'p line 2: step 1 needs "for", as for: 30s; only the last step of a profile without repeat goes on',
    ],
    ['steps:\n - {pps: 3}\nrepeat: true', /^p line 2: step 1 needs "for"/],
    ['steps:\n - {pps: {from: 1, to: 2}}', 'p line 2: step 1 goes from 1 to 2 and needs "for" to say how slowly'],
    ['steps:\n - {pps: 0}', 'p line 2: step 1 has rate 0 and no end, so the replay would never end'],
    ['steps:\n - {pps: 0, for: 1s}\nrepeat: true', 'p line 1: every step has rate 0, so nothing would ever be sent'],
    ['steps:\n - {pps: 3, for: soon}', 'p line 2: step 1: "for" needs a duration like 30s, 500ms or 2m, not "soon"'],
    ['repeat: maybe\nsteps: [{pps: 3}]', 'p line 1: repeat needs true or false'],
    ['steps: [{pps: 3', /^p line \d: /],
  ];
  for (const [yaml, message] of bad) await refused(() => parseProfileFile('p', yaml), message);
  t.ok(true, `${bad.length} refusals`);
  t.end();
});
