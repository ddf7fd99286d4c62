/** Command lines, option files and YAML to option values; every refusal's sentence. */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import t from 'tap';
import { OperatorError } from '../../src/base/errors.ts';
import { nearestName } from '../../src/cli/autoopts.ts';
import { type CommandLine, optionNames, parseCommandLine } from '../../src/cli/command_line.ts';
import { REPLAY_TABLE } from '../../src/cli/replay_table.ts';

const FILES: Record<string, string> = {};
const readText = (path: string): string => {
  const text = FILES[path];
  if (text === undefined) throw new OperatorError('USAGE', `${path} cannot be read: no such file`);
  return text;
};

/** `a b "c d"` as a shell splits it. */
function words(line: string): string[] {
  return [...line.matchAll(/"([^"]*)"|(\S+)/g)].map((match) => match[1] ?? match[2]!);
}

function parse(line: string): Promise<CommandLine> {
  return parseCommandLine(REPLAY_TABLE, words(line), readText);
}

/** Only what differs from no option at all. */
async function run(line: string): Promise<{ options: Record<string, unknown>; operands: readonly string[] }> {
  const parsed = await parse(line);
  assert.equal(parsed.kind, 'run', line);
  const { options, operands } = parsed as Extract<CommandLine, { kind: 'run' }>;
  const standard = (await parseCommandLine(REPLAY_TABLE, [], readText)) as Extract<CommandLine, { kind: 'run' }>;
  const given = Object.entries(options).filter(([name, value]) => standard.options[name] !== value);
  return { options: Object.fromEntries(given), operands };
}

async function refused(line: string, message: string | RegExp): Promise<void> {
  try {
    await parse(line);
  } catch (error) {
    assert.ok(error instanceof OperatorError, `${line}: ${error}`);
    assert.equal(error.exit, 2, line);
    if (typeof message === 'string') assert.equal(error.message, message, line);
    else assert.match(error.message, message, line);
    return;
  }
  assert.fail(`accepted: ${line}`);
}

const LINES: readonly (readonly [string, Record<string, unknown>, readonly string[]])[] = [
  ['-i eth0 a.pcap', { intf1: 'eth0' }, ['a.pcap']],
  ['--intf1=eth0 a.pcap', { intf1: 'eth0' }, ['a.pcap']],
  ['--intf1 eth0 a.pcap', { intf1: 'eth0' }, ['a.pcap']],
  ['-ieth0 a.pcap', { intf1: 'eth0' }, ['a.pcap']],
  ['--multiplier 5 prod.pcap -i eth1', { multiplier: 5, intf1: 'eth1' }, ['prod.pcap']],
  [
    '-i eth0 -t -K --loop=3 --flow-expiry=30 a.pcap',
    { intf1: 'eth0', topspeed: true, preloadPcap: true, loop: 3, flowExpiry: 30 },
    ['a.pcap'],
  ],
  ['-tKi eth0 a.pcap', { intf1: 'eth0', topspeed: true, preloadPcap: true }, ['a.pcap']],
  ['-tKieth0 a.pcap b.pcap', { intf1: 'eth0', topspeed: true, preloadPcap: true }, ['a.pcap', 'b.pcap']],
  ['--preload_pcap --TOPSPEED -i eth0 a', { preloadPcap: true, topspeed: true, intf1: 'eth0' }, ['a']],
  ['--pre --mult 2 x', { preloadPcap: true, multiplier: 2 }, ['x']],
  [
    '-i eth0 -I eth1 -c a.cache --loop=3 a.pcap',
    { intf1: 'eth0', intf2: 'eth1', cachefile: 'a.cache', loop: 3 },
    ['a.pcap'],
  ],
  ['-i eth0 -I eth1 -2 a b', { intf1: 'eth0', intf2: 'eth1', dualfile: true }, ['a', 'b']],
  ['-x .5 -L 10 --duration=5 -i lo -', { multiplier: 0.5, limit: 10, duration: 5, intf1: 'lo' }, ['-']],
  ['-p 1e3 --pps-multi=4 -i lo x', { pps: 1000, ppsMulti: 4, intf1: 'lo' }, ['x']],
  ['-M10.5 -i lo x', { mbps: 10.5, intf1: 'lo' }, ['x']],
  ['-M 0 -i lo x', { mbps: 0, intf1: 'lo' }, ['x']],
  ['-l 010 --loopdelay-ms 5 -i lo x', { loop: 10, loopdelayMs: 5, intf1: 'lo' }, ['x']],
  ['--unique-ip --unique-ip-loops=2.0 -l 4 -i lo x', { uniqueIp: true, uniqueIpLoops: 2, loop: 4, intf1: 'lo' }, ['x']],
  ['-T gtod -i lo x', { timer: 'spin', intf1: 'lo' }, ['x']],
  ['-T nano -i lo x', { timer: 'sleep', intf1: 'lo' }, ['x']],
  ['--timer=select -i lo x', { timer: 'sleep', intf1: 'lo' }, ['x']],
  ['-T adaptive -i lo x', { timer: 'adaptive', intf1: 'lo' }, ['x']],
  ['--xdp --xdp-batch-size=64 -t -i lo x', { xdp: true, xdpBatchSize: 64, topspeed: true, intf1: 'lo' }, ['x']],
  ['-v -A "-e -tttt" -w out.pcap x', { verbose: true, decode: '-e -tttt', write: 'out.pcap' }, ['x']],
  [
    '--no-flow-stats -P -W -q --stats=0 -w o x',
    { flowStats: false, pid: true, suppressWarnings: true, quiet: true, stats: 0, write: 'o' },
    ['x'],
  ],
  [
    '--include=1-5,9,72- -w o x',
    {
      include: [
        { first: 1, last: 5 },
        { first: 9, last: 9 },
        { first: 72, last: Number.POSITIVE_INFINITY },
      ],
      write: 'o',
    },
    ['x'],
  ],
  [
    '--exclude=7,3-4,5 -w o x',
    {
      exclude: [
        { first: 3, last: 5 },
        { first: 7, last: 7 },
      ],
      write: 'o',
    },
    ['x'],
  ],
  [
    '--include=010,-3 -w o x',
    {
      include: [
        { first: 1, last: 3 },
        { first: 10, last: 10 },
      ],
      write: 'o',
    },
    ['x'],
  ],
  ['-w o -- -i x', { write: 'o' }, ['-i', 'x']],
  ['--shard 2/4 -w o x', { shard: { index: 1, count: 4 }, write: 'o' }, ['x']],
  ['--metrics-port 9100 -w o x', { metricsPort: { host: '127.0.0.1', port: 9100 }, write: 'o' }, ['x']],
  ['--metrics-port [::1]:0 -w o x', { metricsPort: { host: '::1', port: 0 }, write: 'o' }, ['x']],
  ['--qdisc-bypass -i lo x', { qdiscBypass: true, intf1: 'lo' }, ['x']],
  ['--no-qdisc-bypass -i lo x', { qdiscBypass: false, intf1: 'lo' }, ['x']],
  ['-d2 --maxsleep=0.5 -w o x', { dbug: 2, maxsleep: 0.5, write: 'o' }, ['x']],
];

t.test('command lines of the field', async (t) => {
  for (const [line, options, operands] of LINES) assert.deepEqual(await run(line), { options, operands }, line);
  t.ok(true, `${LINES.length} command lines`);
  for (const [line, kind] of [
    ['--help', 'help'],
    ['-H', 'help'],
    ['-h', 'usage'],
    ['--less-help', 'usage'],
    ['-!', 'pager'],
    ['--more-help', 'pager'],
    ['-V', 'version'],
    ['--version', 'version'],
    ['-i lo --version a', 'version'],
    ['-t -p 5 --help', 'help'],
  ] as const) {
    assert.equal((await parse(line)).kind, kind, line);
  }
  t.end();
});

const REFUSALS: readonly (readonly [string, string | RegExp])[] = [
  ['--zzz', '--zzz is no option of tsreplay: see tsreplay --help'],
  ['--multipler 5', '--multipler is no option of tsreplay: did you mean --multiplier?'],
  ['-Z', '-Z is no option of tsreplay: see tsreplay --help'],
  ['--loopdelay 3', '--loopdelay is ambiguous: --loopdelay-ms or --loopdelay-ns'],
  ['--limit', '--limit needs a value'],
  ['-L', '--limit needs a value'],
  ['--topspeed=1', '--topspeed takes no value, but was given "1"'],
  ['--limit=abc x', '--limit needs a whole number of at least 1, not "abc"'],
  ['--limit=0 x', '--limit needs a whole number of at least 1, not "0"'],
  ['--limit=1.5 x', '--limit needs a whole number of at least 1, not "1.5"'],
  ['--dbug=6 x', '--dbug needs a whole number from 0 to 5, not "6"'],
  ['-x 0 x', '--multiplier needs a number above 0, not "0": use --topspeed to send without waiting'],
  ['-x -1 x', '--multiplier needs a number above 0, not "-1": use --topspeed to send without waiting'],
  ['-x 5x x', /^--multiplier needs a number above 0, not "5x"/],
  ['-p 0 x', '--pps needs a number above 0, not "0"'],
  ['-M -1 x', '--mbps needs a number of at least 0, not "-1"'],
  ['-x 1e999 x', /^--multiplier needs a number above 0/],
  ['--loss 101 x', '--loss needs a number from 0 to 100, not "101"'],
  ['--intf1= x', '--intf1 needs a value, not an empty one'],
  ['-T fast x', '--timer is one of adaptive, spin, sleep, gtod, nano or select, not "fast"'],
  ['-T ioport x', '--timer ioport: the CPU timer it names is no longer there: use --timer spin'],
  ['-T abstime x', '--timer abstime: it was withdrawn: use --timer sleep, which sleeps until absolute times'],
  ['--netmap -i x', /^--netmap is not supported/],
  ['--nm-delay=3 -i x', /^--nm-delay belongs to netmap/],
  ['--io-uring -i x', /^--io-uring is not supported: packets are sent in sendmmsg batches/],
  ['--include=5-3 x', '--include: the range "5-3" is backward'],
  ['--include=0 x', '--include: packets are counted from 1, so "0" names none'],
  ['--include=a x', '--include needs packet numbers like 1-5,9,72-, not "a"'],
  ['--include=1,,2 x', '--include needs packet numbers like 1-5,9,72-, not "1,,2"'],
  ['--shard 0/4 x', '--shard needs i/N with 1 <= i <= N, as 1/4, not "0/4"'],
  ['--shard 5/4 x', /^--shard needs i\/N/],
  ['--metrics-port http x', '--metrics-port needs [HOST:]PORT, as 9100 or 0.0.0.0:9100, not "http"'],
  ['--metrics-port 99999 x', /^--metrics-port needs/],
  ['-t -p 5 x', '--pps and --topspeed cannot both be given: a replay has one speed'],
  ['-x 1 -M 5 x', '--multiplier and --mbps cannot both be given: a replay has one speed'],
  ['-L 1 -L 2 x', '--limit may be given once only (the command line)'],
  ['-t -t x', '--topspeed may be given once only (the command line)'],
  ['-i a -w b x', '--write and --intf1 cannot both be given: a packet goes to one place'],
  ['-w b --qdisc-bypass x', '--write and --qdisc-bypass cannot both be given: a file has no queueing discipline'],
  ['-I a x', '--intf2 needs --intf1'],
  ['-i a -I b x', '--intf2 needs --cachefile, --auto or --dualfile: something must say which packets go there'],
  ['-i a -c b x', '--cachefile needs --intf2: the secondary packets need an interface'],
  ['-i a -I b -c c -2 x', '--cachefile and --dualfile cannot both be given: packets are split in one way'],
  ['--pps-multi 2 x', '--pps-multi needs --pps'],
  ['--loopdelay-ms 2 x', '--loopdelay-ms needs --loop'],
  [
    '-l 2 --loopdelay-ms 2 --loopdelay-ns 3 x',
    '--loopdelay-ms and --loopdelay-ns cannot both be given: there is one delay between loops',
  ],
  ['--unique-ip x', '--unique-ip needs --loop'],
  ['-l 2 --unique-ip-loops 2 x', '--unique-ip-loops needs --unique-ip'],
  [
    '--flow-expiry 2 --no-flow-stats x',
    '--flow-expiry and --no-flow-stats cannot both be given: flows that are not counted do not expire',
  ],
  ['-A -e x', '--decode needs --verbose'],
  [
    '--include 1 --exclude 2 x',
    '--include and --exclude cannot both be given: leave the excluded numbers out of --include',
  ],
  ['--xdp --raw -i a x', '--xdp and --raw cannot both be given: packets take one way to the interface'],
  [
    '--qdisc-bypass --no-qdisc-bypass -i a x',
    '--qdisc-bypass and --no-qdisc-bypass cannot both be given: one undoes the other',
  ],
  ['--json --stats=1 -i a x', /^--stats and --json cannot both be given/],
  ['--load-opts=nowhere x', 'nowhere cannot be read: no such file'],
];

t.test('refusals, each with its sentence', async (t) => {
  for (const [line, message] of REFUSALS) await refused(line, message);
  t.ok(true, `${REFUSALS.length} refusals`);
  t.end();
});

t.test('option files', async (t) => {
  FILES['run.opts'] = [
    '# preset',
    '',
    'intf1 = eth9',
    '[TCPREWRITE]',
    'no such option here',
    '[TCPREPLAY]',
    'topspeed',
    'loop   3   # thrice',
    'decode "-e -tttt # no comment"',
    "filter: 'tcp port 80'",
    'verbose',
    '[tsreplay]',
    'limit=7',
    '[TCPPREP]',
    'auto bridge',
  ].join('\n');
  const wanted = {
    intf1: 'eth9',
    topspeed: true,
    loop: 3,
    decode: '-e -tttt # no comment',
    filter: 'tcp port 80',
    verbose: true,
    limit: 7,
  };
  t.same((await run('--load-opts=run.opts a.pcap')).options, { loadOpts: ['run.opts'], ...wanted });
  t.same(
    (await run('-i eth1 -L 2 --load-opts run.opts a')).options,
    { loadOpts: ['run.opts'], ...wanted, intf1: 'eth1', limit: 2 },
    'the command line wins',
  );
  FILES['more.opts'] = 'limit 9\n';
  t.same(
    (await run('--load-opts more.opts --load-opts run.opts a')).options,
    { loadOpts: ['more.opts', 'run.opts'], ...wanted },
    'the later file wins',
  );
  t.same((await run('--load-opts run.opts --no-load-opts -w o a')).options, { write: 'o' }, 'none is read');
  const bad: readonly (readonly [string, string])[] = [
    ['pps 5\n\nzzz 1', 'bad line 3: --zzz is no option of tsreplay: see tsreplay --help'],
    ['[TCP', 'bad line 1: "[TCP" is no section like [TSREPLAY]'],
    ['?', 'bad line 1: "?" is no option like "pps 100"'],
    ['topspeed yes', 'bad line 1: --topspeed takes no value, but was given "yes"'],
    ['limit', 'bad line 1: --limit needs a value'],
    ['filter "tcp', 'bad line 1: the quote " is not closed'],
    ['filter "tcp" udp', 'bad line 1: "udp" stands behind the closing quote'],
    ['load-opts x', 'bad line 1: --load-opts works on the command line only'],
    ['loopdelay 3', 'bad line 1: --loopdelay is ambiguous: --loopdelay-ms or --loopdelay-ns'],
    [
      'netmap',
      '--netmap is not supported, as netmap needs drivers of its own: use --xdp, which bypasses the stack as well',
    ],
    ['limit 1\nlimit 2', '--limit may be given once only (bad line 2)'],
    ['pps 5\ntopspeed', '--pps and --topspeed cannot both be given (bad line 1; bad line 2): a replay has one speed'],
  ];
  for (const [text, message] of bad) {
    FILES['bad'] = text;
    await refused('--load-opts=bad a', message);
  }
  t.end();
});

t.test('saved options are read back as given', async (t) => {
  const line = '-i eth0 -t --filter "tcp port 80 # x" -A "a\\b" -v --loop=3 a.pcap';
  const saved = await parse(`${line} --save-opts=out.rc`);
  assert.ok(saved.kind === 'save');
  t.equal(saved.path, 'out.rc');
  FILES['saved'] = saved.text;
  const again = await run('--load-opts=saved a.pcap');
  t.same(again.options, { ...(await run(line)).options, loadOpts: ['saved'] });
  const standard = await parse('--topspeed --save-opts');
  t.same(standard, {
    kind: 'save',
    path: '.tsreplayrc',
    text: '# Options of tsreplay: read with --load-opts\n[TSREPLAY]\ntopspeed\n',
  });
  await fc.assert(
    fc.asyncProperty(fc.string({ minLength: 1, unit: 'grapheme-ascii' }), async (text) => {
      const first = await parseCommandLine(REPLAY_TABLE, ['--filter', text, '--save-opts'], readText);
      if (first.kind !== 'save') return false;
      FILES['any'] = first.text;
      const second = await parseCommandLine(REPLAY_TABLE, ['--load-opts=any'], readText);
      return second.kind === 'run' && second.options['filter'] === text;
    }),
    { numRuns: 200 },
  );
  t.end();
});

t.test('YAML configuration', async (t) => {
  FILES['c.yaml'] = [
    'intf1: eth0',
    'pps: 1000',
    'flow-stats: false',
    'preload_pcap: true',
    'unique-ip: false',
    'include: 1-3',
    'qdisc-bypass: false',
    'files: [a.pcap, b.pcap]',
  ].join('\n');
  const wanted = {
    config: 'c.yaml',
    intf1: 'eth0',
    pps: 1000,
    flowStats: false,
    preloadPcap: true,
    include: [{ first: 1, last: 3 }],
    qdiscBypass: false,
  };
  t.same(await run('--config c.yaml'), { options: wanted, operands: ['a.pcap', 'b.pcap'] });
  t.same(await run('--config c.yaml -p 5 c.pcap'), { options: { ...wanted, pps: 5 }, operands: ['c.pcap'] });
  const bad: readonly (readonly [string, string | RegExp])[] = [
    ['pps: 5\nlimt: 3', 'bad line 2: limt is no option of tsreplay: did you mean limit?'],
    ['zzzzzz: 3', 'bad line 1: zzzzzz is no option of tsreplay: see tsreplay --help'],
    ['pps: 5\n\ntopspeed: 3', 'bad line 3: topspeed is true or false, not 3'],
    ['pps: true', 'bad line 1: pps needs a value, not true'],
    ['pps: {a: 1}', 'bad line 1: pps needs a text, a number, true or false, or a list of them'],
    ['- pps', 'bad line 1: options are written as "name: value"'],
    ['pps: abc', '--pps needs a number above 0, not "abc"'],
    ['pps: [1, 2]', '--pps may be given once only (bad line 1)'],
    ['a: 1\npps: "x', /^bad line \d: Missing closing "quote/],
    ['pps: 1\npps: 2', /^bad line 2: Map keys must be unique/],
    ['config: x', 'bad line 1: --config works on the command line only'],
    ['io-uring: true', /^--io-uring is not supported/],
  ];
  for (const [text, message] of bad) {
    FILES['bad'] = text;
    await refused('--config bad a', message);
  }
  FILES['empty'] = '# nothing\n';
  t.same((await run('--config empty a')).operands, ['a']);
  t.end();
});

t.test('names', (t) => {
  t.equal(nearestName('multipler', ['mbps', 'multiplier']), 'multiplier');
  t.equal(nearestName('xyz', ['mbps', 'multiplier']), null);
  const names = optionNames(REPLAY_TABLE);
  t.equal(new Set(names).size, names.length, 'no name twice');
  t.end();
});

t.test('any argv ends in a result or one usage sentence', async (t) => {
  const names = optionNames(REPLAY_TABLE);
  const token = fc.oneof(
    fc.string(),
    fc.constantFrom(...names.map((name) => `--${name}`)),
    fc.constantFrom('-', '--', '-i', '1', '=', '-tK'),
    fc.tuple(fc.constantFrom(...names), fc.string()).map(([name, value]) => `--${name}=${value}`),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(token, { maxLength: 8 }), async (argv) => {
      try {
        await parseCommandLine(REPLAY_TABLE, argv, readText);
      } catch (error) {
        assert.ok(error instanceof OperatorError, String(error));
      }
    }),
    { numRuns: 500 },
  );
  t.end();
});
