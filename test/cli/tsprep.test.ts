/** The command `tsprep` as a process, its values, and the reference's golden caches. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { BATCH_FRAMES, FrameBatch } from '../../src/base/batch.ts';
import { Exit, OperatorError } from '../../src/base/errors.ts';
import { plainRegion } from '../../src/base/region.ts';
import { longHelp } from '../../src/cli/help.ts';
import { PrepLoop } from '../../src/cli/prep_loop.ts';
import { prepMain } from '../../src/cli/prep_main.ts';
import { posixRegex } from '../../src/cli/prep_regex.ts';
import { PREP_TABLE } from '../../src/cli/prep_table.ts';
import { addressList, macList, packetRule, parseServices } from '../../src/cli/prep_values.ts';
import { packetList } from '../../src/cli/values.ts';
import { AUTO_DEFAULTS, openClassifier } from '../../src/flow/index.ts';
import { captureFrames, openCapture } from '../../src/pcap/index.ts';
import { type PrepCache, PrepCacheBuilder, PrepVerdict, readPrepCache } from '../../src/pcap/prep_cache.ts';
import { Select } from '../../src/replay/select.ts';
import { packageRoot } from '../structure/repository.ts';
import { checkHelpPage } from './help_page.ts';
import { type Ended, runInProcess } from './in_process.ts';

const root = packageRoot();
const CLI = join(root, 'dist', 'src', 'cli', 'tsprep.js');
const FIXTURES = join(root, 'fixtures', 'pcaps');
const HTTP = join(FIXTURES, 'http-keepalive', 'in.pcap');
const scratch = mkdtempSync(join(tmpdir(), 'tsprep-test-'));
t.teardown(() => rmSync(scratch, { recursive: true, force: true }));
const CACHE = join(scratch, 'out.cache');

const tsprep = (...argv: string[]): Promise<Ended> => runInProcess(prepMain, argv);

function processOf(argv: readonly string[], input?: Uint8Array): Ended {
  const run = spawnSync(process.execPath, [CLI, ...argv], { input: input ?? '', timeout: 30_000 });
  return { status: run.status, out: run.stdout.toString(), error: run.stderr.toString() };
}

const LETTERS = { [PrepVerdict.Skip]: '.', [PrepVerdict.Primary]: 'P', [PrepVerdict.Secondary]: 's' };

function letters(cache: PrepCache): string {
  return Array.from({ length: cache.packets }, (_, i) => LETTERS[cache.verdictOf(i + 1)]).join('');
}

async function split(capture: string, ...argv: string[]): Promise<string> {
  rmSync(CACHE, { force: true });
  assert.deepEqual(await tsprep('-i', capture, '-o', CACHE, ...argv), { status: Exit.Done, out: '', error: '' });
  return letters(readPrepCache(CACHE));
}

function isArp(bytes: Uint8Array): boolean {
  return Buffer.from(bytes).includes(Buffer.from('000108000604', 'hex'));
}

/** Whether each packet of a fixture has the client's address as source, found by its bytes alone. */
function fromClient(capture: string, addresses: readonly string[]): string {
  const patterns = addresses.map((hex) => Buffer.from(hex, 'hex'));
  let found = '';
  for (const frame of captureFrames(capture)) {
    const bytes = Buffer.from(frame.bytes);
    // The source comes before the destination in both versions; a client's packet has its address first.
    const isClient =
      !isArp(bytes) &&
      patterns.some((pattern) => {
        const at = bytes.indexOf(pattern);
        const server = Buffer.from(pattern);
        server[server.length - 1] = 2;
        const other = bytes.indexOf(server);
        return at >= 0 && (other < 0 || at < other);
      });
    found += isClient ? 'P' : 's';
  }
  return found;
}

const V4 = ['0a4d0001'];
const V6 = ['fd770000000000000000000000000001'];

t.test('golden files of the reference tool', async (t) => {
  const folder = join(root, '..', 'shared', 'conformance', 'tcpreplay');
  const manifest = join(folder, 'manifest.json');
  if (!existsSync(manifest))
    return void t.pass('skipped', { skip: 'needs the conformance files beside the repository' });
  const cases = (JSON.parse(readFileSync(manifest, 'utf8')).cases as { [key: string]: unknown }[]).filter(
    (each) => each['tool'] === 'tcpprep',
  ) as unknown as { name: string; args: string[]; compare: string; expected: { any?: string } }[];
  const config = join(scratch, 'config');
  writeFileSync(config, readFileSync(join(folder, 'config.in'), 'utf8').replaceAll('@srcdir@', folder));
  let compared = 0;
  const differ: string[] = [];
  for (const { name, args, compare, expected } of cases) {
    const filled = args.map((arg) => arg.replace('{DIR}', folder).replace('{OUT}', CACHE).replace('{CONFIG}', config));
    rmSync(CACHE, { force: true });
    const run = await tsprep('--compat', 'tcpprep', ...filled);
    assert.equal(run.status, 0, `${name}: ${run.error}`);
    if (compare !== 'bytes') continue;
    const golden = readFileSync(join(folder, expected.any!));
    assert.ok(readFileSync(CACHE).equals(golden), `${name} is byte-identical under --compat`);
    compared++;
    await tsprep(...filled);
    if (!readFileSync(CACHE).equals(golden)) differ.push(name.replace('tcpprep/', ''));
  }
  t.equal(compared, 18, 'all cases that compare bytes');
  const defects = [
    'auto_bridge',
    'auto_client',
    'auto_first',
    'auto_router',
    'auto_server',
    'prep_config',
    'regex_reverse',
  ];
  t.same(differ.sort(), defects, 'without --compat only those differ that hold IPv6 in --auto, or reverse a regex');
  // IPv6: packets 30 to 39 are one connection; the reference calls both of its ends clients.
  const first = join(folder, 'test.auto_first');
  const right = await split(join(folder, 'test.pcap'), '-a', 'first', '--no-arg-comment');
  const theirs = letters(readPrepCache(first));
  const changed = [...right].flatMap((letter, i) => (letter === theirs[i] ? [] : [`${i + 1}${letter}`]));
  t.same(changed, ['30s', '33s', '34s', '37s'], 'the server of the IPv6 connection is a server');
});

t.test('own captures: the client of each fixture', async (t) => {
  const cases: [name: string, clients: string[]][] = [
    ['dns/in.pcap', [...V4, ...V6]],
    ['fragments-ipv4/in.pcap', V4],
    ['fragments-ipv6/in.pcapng', V6],
    ['http-ipv6/in.pcapng', V6],
    ['http-gro/in.pcap', V4],
    ['http-snaplen/in.pcap', V4],
    ['qinq/in.pcapng', V4],
    ['vlan/in.pcap', V4],
    ['redis/in.pcapng', V4],
    ['sll/in.pcap', [...V4, ...V6]],
    ['sll2/in.pcap', [...V4, ...V6]],
    ['tls/in.pcap', V4],
    ['tcp-retransmissions/in.pcapng', V4],
    ['raw-ip/in.pcap', ['0a4f0001']],
  ];
  for (const [name, clients] of cases) {
    const capture = join(FIXTURES, name);
    const expected = fromClient(capture, clients);
    const isIp = [...captureFrames(capture)].map((frame) => !isArp(frame.bytes));
    assert.ok(/P/.test(expected) && /s/.test(expected), name);
    for (const mode of ['bridge', 'router', 'client', 'server']) {
      assert.equal(await split(capture, '-a', mode), expected, `${name} ${mode}`);
    }
    const list = '10.77.0.1,10.79.0.1,fd77::1';
    assert.equal(await split(capture, '--cidr', list), expected, `${name} cidr`);
    assert.equal(await split(capture, '--regex', '[.:][.:]?1$'), expected, `${name} regex`);
    const swapped = [...expected].map((letter, i) => (letter === 'P' || !isIp[i] ? 's' : 'P')).join('');
    assert.equal(await split(capture, '--regex', '[.:][.:]?1$', '--reverse'), swapped, `${name} regex reversed`);
    assert.equal(await split(capture, '--auto=server', '--reverse'), swapped, `${name} server reversed`);
    assert.equal(
      await split(capture, '-x', 'P:2-3', '-p'),
      `.${(await split(capture, '-p')).slice(1, 3)}${'.'.repeat(expected.length - 3)}`,
    );
  }
  t.pass(`${cases.length} captures, seven ways each`);
});

t.test('selection keeps packet numbers', async (t) => {
  const all = await split(HTTP, '-a', 'first');
  const only = await split(HTTP, '-a', 'first', '-x', 'F:tcp[tcpflags] & tcp-push != 0');
  t.equal(only.length, all.length, 'F: leaves no packet out of the cache');
  assert.ok([...only].every((letter, i) => letter === '.' || letter === all[i]));
  const rest = await split(HTTP, '-a', 'first', '-X', 'F:tcp[tcpflags] & tcp-push != 0');
  const joined = [...only].map((letter, i) => (letter === '.' ? rest[i] : letter)).join('');
  t.equal(joined, all, 'exclude is the rest');
  t.match(only, /[Ps]/);
  const sent = await split(HTTP, '-a', 'first', '-x', 'S:10.77.0.1');
  t.equal(sent, `ss${all.slice(2).replaceAll('s', '.')}`, 'by source; ARP has no address to choose it by');
  const both = await split(HTTP, '-a', 'first', '-x', 'S:10.77.0.1', '-X', 'P:1');
  t.equal(both, `.${sent.slice(1)}`, 'include and exclude together');
  t.equal(await split(HTTP, '-c', '10.77.0.1', '-X', 'E:10.0.0.0/8'), `ss${'.'.repeat(all.length - 2)}`);
  // What is left out does not count as evidence: without its SYN nothing tells who the client is.
  t.notMatch(await split(HTTP, '-a', 'bridge', '-X', 'F:tcp[tcpflags] & tcp-syn != 0'), /P/);
});

t.test('comments and what is printed of a cache', async (t) => {
  const text = async (...argv: string[]) => (await tsprep('-P', CACHE, ...argv)).out;
  await split(HTTP, '-a', 'first', '-C', 'two words');
  const packets = readPrepCache(CACHE).packets;
  t.equal(
    await text(),
    `tcpprep args: -i ${HTTP} -o ${CACHE} -a first\ntwo words\nCache contains data for ${packets} packets`,
  );
  await split(HTTP, '-a', 'first', '--no-arg-comment');
  t.equal(await text(), `tcpprep args: \nCache contains data for ${packets} packets`);
  await split(HTTP, '-a', 'first', '--no-arg-comment', '--comment', 'x');
  t.equal(readPrepCache(CACHE).comment, '\nx', 'a line feed, then the comment');
  const verdicts = await split(HTTP, '-a', 'first', '-X', 'P:2');
  const info = (await tsprep('-I', CACHE)).out.split('\n');
  t.equal(info.length, packets);
  t.same(info.slice(0, 3), ['Packet 1 -> Secondary', "Packet 2 -> Don't Send", 'Packet 3 -> Primary']);
  const count = (letter: string): number => verdicts.split(letter).length - 1;
  const lines = [
    `Primary packets:\t${count('P')}`,
    `Secondary packets:\t${count('s')}`,
    'Skipped packets:\t1',
    '------------------------------',
    `Total packets:\t\t${packets}`,
  ];
  t.equal((await tsprep('-S', CACHE)).out, lines.join('\n'));
});

t.test('why each host was called what it is', async (t) => {
  const explain = async (...argv: string[]) => (await tsprep('--explain', ...argv)).out.split('\n');
  t.same(await explain('-a', 'bridge', join(FIXTURES, 'icmp-errors', 'in.pcapng')), [
    '10.77.0.1 is client (primary): sent a SYN',
    '10.77.0.2 is server (secondary): said that a port is unreachable',
    'fd77::1 is server (secondary): nothing tells; mode bridge takes unknown hosts for servers',
    'fd77::2 is server (secondary): said that a port is unreachable',
  ]);
  t.same(await explain('-a', 'first', HTTP), [
    '10.77.0.1 is client (primary): first seen as a source',
    '10.77.0.2 is server (secondary): first seen as a destination',
  ]);
  const router = await explain('-a', 'router', join(FIXTURES, 'icmp-errors', 'in.pcapng'));
  t.match(router[0], /^Server networks: \/32 for IPv6, /, 'no IPv4 host is unknown');
  t.equal(router[3], "fd77::1 is server (secondary): nothing tells; it lies in a server's network of /32");
  t.same(await explain('-c', '10.77.0.1', HTTP), [
    '10.77.0.1 is client (primary): it matches the --cidr list',
    '10.77.0.2 is server (secondary): it does not match the --cidr list',
  ]);
  t.match(
    (await explain('-r', '2$', '--reverse', HTTP))[1],
    /^10\.77\.0\.2 is server \(secondary\): it matches --regex 2\$/,
  );
  // Both roles: three SYNs against one SYN-ACK.
  const mixed = await explain('-a', 'bridge', join(FIXTURES, 'mixed', 'in.pcap'));
  t.match(mixed.join('\n'), /10\.77\.0\.1 is client \(primary\): sent SYN 20 times and asked port 53 12 times/);
});

const WRONG: [argv: string, status: number, message: RegExp][] = [
  ['', 2, /^tsprep: no capture is named: tsprep --auto first -i FILE -o CACHE \(see tsprep --help\)$/],
  ['IN', 2, /^tsprep: how are packets to be split\? Give --auto, --cidr, --regex, --port or --mac/],
  ['-a first IN', 2, /^tsprep: where is the cache to go\? Give --cachefile \(or --explain alone\)$/],
  ['-a first IN IN -o OUT', 2, /a cache is of one capture, but 2 are named/],
  ['-a first -p IN -o OUT', 2, /--auto and --port cannot both be given: packets are split in one way/],
  ['-a last IN -o OUT', 2, /--auto is one of bridge, router, client, server or first, not "last"/],
  ['-a bridge -m 8 -M 8 IN -o OUT', 2, /--maxmask 8 is to be less than --minmask 8/],
  ['-a bridge -m 33 IN -o OUT', 2, /--minmask needs a whole number from 0 to 32, not "33"/],
  ['-a bridge -R -1 IN -o OUT', 2, /--ratio needs a number of at least 0, not "-1"/],
  ['-p -R 1 IN -o OUT', 2, /--ratio needs --auto/],
  ['-a first -s /dev/null IN -o OUT', 2, /--services needs --port/],
  ['-p -s /dev/null IN -o OUT', 2, /names no TCP or UDP service: lines are like "http 80\/tcp"/],
  ['-p -s /nowhere IN -o OUT', 2, /--services: \/nowhere cannot be read: no such file/],
  ['-p -s IN IN -o OUT', 2, /line 1: .* is no service like/],
  ['-c 10.0.0.0/40 IN -o OUT', 2, /--cidr needs addresses like .*, not "10\.0\.0\.0\/40"/],
  ['-r [ IN -o OUT', 2, /--regex needs a POSIX extended expression like .*, not "\[": a bracket \[ is not closed/],
  ['-r a( IN -o OUT', 2, /--regex needs a POSIX extended expression/],
  ['-e zz IN -o OUT', 2, /--mac needs MAC addresses like 00:1f:f3:3c:e1:13, not "zz"/],
  ['-p -x Q:1 IN -o OUT', 2, /--include needs S:, D:, B: or E: with addresses, P: with numbers, or F: with a filter/],
  ['-p -x S:foo IN -o OUT', 2, /--include S: needs addresses like/],
  ['-p -X P:5-3 IN -o OUT', 2, /--exclude: the range "5-3" is backward/],
  ['-p -x F:nonsense IN -o OUT', 2, /filter "nonsense": can't parse filter expression/],
  ['-p --explain IN', 2, /--explain and --port cannot both be given: packets are judged one by one, by their port/],
  ['-A -e -p IN -o OUT', 2, /--decode needs --verbose/],
  ['-P a -S b', 2, /--print-comment and --print-stats cannot both be given/],
  ['-P IN', 1, /is not a tcpprep cache: make one with tsprep/],
  ['-P /nowhere', 1, /cannot open \/nowhere/],
  ['-a first /nowhere -o OUT', 1, /cannot open \/nowhere/],
  ['-a first IN -o /nowhere/x', 1, /cannot write \/nowhere\/x/],
  ['-a first EMPTY -o OUT', 1, /holds no packets: nothing to split/],
  ['-a first IN -o IN', 2, /--cachefile names the capture .* itself, which would be overwritten/],
  ['-e 1:2:3:4:5:6 RAW -o OUT', 3, /12 of 12 packets have no Ethernet header: split them by --auto, --cidr or --port/],
  ['-a router -m 9 ICMP -o OUT', 1, /client 10\.79\.0\.1 and server 10\.79\.0\.2 share 30 bits.*: raise --minmask/],
  ['-a first -d 9 IN -o OUT', 2, /--dbug needs a whole number from 0 to 5/],
];

t.test('every error is one sentence and a status', async (t) => {
  const empty = join(scratch, 'empty.pcap');
  writeFileSync(empty, readFileSync(HTTP).subarray(0, 24));
  const copy = join(scratch, 'in.pcap');
  writeFileSync(copy, readFileSync(HTTP));
  const words: Record<string, string> = {
    IN: copy,
    OUT: CACHE,
    EMPTY: empty,
    RAW: join(FIXTURES, 'raw-ip', 'in.pcap'),
    ICMP: join(FIXTURES, 'pcapng-two-interfaces', 'in.pcapng'),
  };
  for (const [argv, status, message] of WRONG) {
    rmSync(CACHE, { force: true });
    const run = await tsprep(
      ...argv
        .split(' ')
        .filter((word) => word !== '')
        .map((word) => words[word] ?? word),
    );
    assert.equal(run.status, status, `${argv}: ${run.error}`);
    assert.match(run.error, message, argv);
    assert.equal(run.error.split('\n').length, 1, argv);
    assert.equal(existsSync(CACHE), false, `${argv} leaves no cache behind`);
  }
  assert.ok(readFileSync(copy).equals(readFileSync(HTTP)), 'the capture itself is never written to');
  t.pass(`${WRONG.length} sentences`);
});

t.test('a damaged capture gives the cache of what lies in front of the fault', async (t) => {
  const cut = join(scratch, 'cut.pcap');
  const bytes = readFileSync(HTTP);
  writeFileSync(cut, bytes.subarray(0, bytes.length - 5));
  const whole = await split(HTTP, '-a', 'bridge');
  const run = await tsprep('-a', 'bridge', cut, '-o', CACHE);
  t.match(run, { status: 1, error: /^tsprep: .*cut\.pcap: packet \d+ at byte \d+: the file ends/ });
  t.equal(letters(readPrepCache(CACHE)), whole.slice(0, -1));
});

t.test('the process: streams, texts, packets printed', async (t) => {
  const expected = await split(HTTP, '-a', 'bridge');
  t.same(processOf(['-a', 'bridge', '-i', '-', '-o', CACHE], readFileSync(HTTP)), { status: 0, out: '', error: '' });
  t.equal(letters(readPrepCache(CACHE)), expected, 'from standard input, read once');
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
  t.same(processOf(['--version']), { status: 0, out: `tsprep version: ${version}\n`, error: '' });
  t.match(processOf(['-h']), { status: 0, out: /More: tsprep --help\n$/ });
  const tcpdump = spawnSync('tcpdump', ['--version']).error === undefined;
  const printed = tcpdump ? processOf(['-v', '-A', '-t', '-a', 'first', HTTP, '-o', CACHE]) : null;
  if (printed === null) t.pass('printed packets', { skip: 'needs tcpdump' });
  else {
    t.equal(printed.status, 0);
    t.equal(printed.out.split('\n').filter((line) => /^(IP|ARP)/.test(line)).length, expected.length);
  }
  const lost = spawnSync(process.execPath, [CLI, '-v', '-p', HTTP, '-o', CACHE], { env: { PATH: '/nowhere' } });
  t.match(lost.stderr.toString(), /tsprep: --verbose prints through tcpdump, which is missing: apt install tcpdump/);
  t.equal(lost.status, 3);
});

t.test('values: any text is a value or a sentence', (t) => {
  const parsers: [string, (text: string) => unknown][] = [
    ['cidr', (text) => addressList(text, '--cidr')],
    ['mac', (text) => macList(text, '--mac')],
    ['rule', (text) => packetRule(text, '--include')],
    ['numbers', (text) => packetList(text, '--include')],
    ['regex', (text) => posixRegex(text, '--regex').test('10.0.0.1')],
    ['services', (text) => parseServices('services', text)],
  ];
  const seeds = [
    '10.0.0.0/8,[fd77::/16]',
    'P:1-5,9,72-',
    'S:10.0.0.1',
    '^[[:digit:]]+\\.(1|2)$',
    'http 80/tcp # web',
    '0:1:2:a:b:c',
  ];
  const text = fc.oneof(fc.string(), fc.constantFrom(...seeds), mutated(seeds));
  fc.assert(
    fc.property(text, (value) => {
      for (const [name, parse] of parsers) {
        try {
          parse(value);
        } catch (error) {
          assert.ok(error instanceof OperatorError && error.code === 'USAGE', `${name}: ${error}`);
        }
      }
    }),
    { numRuns: 3000 },
  );
  t.pass('3,000 texts');
  t.end();
});

/** One of the seeds with one character replaced, put in or taken out. */
function mutated(seeds: readonly string[]): fc.Arbitrary<string> {
  return fc
    .tuple(fc.constantFrom(...seeds), fc.nat(), fc.string({ maxLength: 2 }), fc.nat(1))
    .map(([seed, at, text, cut]) => seed.slice(0, at % seed.length) + text + seed.slice((at % seed.length) + cut));
}

t.test('POSIX expressions are not JavaScript', (t) => {
  const cases: [string, string, boolean][] = [
    ['96.17.211.*', '96.17.211.172', true],
    ['^10\\.', '10.1.1.1', true],
    ['^10\\.', '101.1.1.1', false],
    ['[[:digit:]]{3}$', '1.1.1.200', true],
    ['[^[:alpha:]:]+', '10.0.0.1', true],
    ['^[]\\d.]+$', '10.0.0.1', false],
    ['\\d', '10.0.0.1', false],
    ['a\\/b', 'a/b', true],
    ['(1|2)$', '10.0.0.2', true],
    ['^fd77::[[.1.]]$', 'fd77::1', true],
  ];
  for (const [source, text, expected] of cases)
    assert.equal(posixRegex(source, '--regex').test(text), expected, source);
  t.pass(`${cases.length} expressions`);
  t.end();
});

t.test('services', (t) => {
  const services = parseServices(
    'f',
    '# none\nhttp 80/tcp www # web\r\ndns\t53/UDP\nsctp-thing 99/sctp\nhttp 80/udp\n',
  );
  t.same([services[80], services[53], services[99], services[22]], [3, 2, 0, 0]);
  t.end();
});

t.test('docs/tsprep.md', (t) => {
  const help = longHelp(PREP_TABLE);
  checkHelpPage(t, PREP_TABLE);
  for (const line of help.split('\n')) if (line.length > 100) t.fail(`too long: ${line}`);
  t.end();
});

t.test('a capture too long to keep is read a second time, with the same verdicts', (t) => {
  const capture = join(FIXTURES, 'mixed', 'in.pcap');
  const verdicts = (keptMax: number): string => {
    const classifier = openClassifier({ ...AUTO_DEFAULTS, mode: 'bridge' });
    const builder = new PrepCacheBuilder();
    const ranges = packetList('2-400', '--include');
    const select = new Select({ include: ranges, exclude: null, filter: null, limit: 0, durationNs: 0 }, null);
    const loop = new PrepLoop(classifier, select, [], builder, keptMax);
    const each = (take: (batch: FrameBatch) => void): void => {
      const reader = openCapture(capture);
      const batch = new FrameBatch(BATCH_FRAMES, plainRegion(0));
      while (reader.read(batch) > 0) take(batch);
      reader.close();
    };
    each((batch) => loop.take(batch));
    classifier.settle();
    const whole = loop.decideKept();
    assert.equal(whole, keptMax >= 478);
    if (!whole) each((batch) => loop.takeAgain(batch));
    return letters(builder.build());
  };
  const all = verdicts(1000);
  t.match(all, /^\.[Ps]+\.+$/);
  for (const keptMax of [0, 1, 255, 256, 257, 477, 478]) assert.equal(verdicts(keptMax), all, `${keptMax} kept`);
  t.end();
});
