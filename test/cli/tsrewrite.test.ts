/** The command `tsrewrite`: the reference's goldens, its own options on the fixtures, errors, hostile input. */
import { deepEqual, equal } from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import t from 'tap';
import { Rng } from '../../src/base/rng.ts';
import { buildCommand } from '../../src/cli/command_line.ts';
import { shortHelp } from '../../src/cli/help.ts';
import type { CliOption } from '../../src/cli/option_table.ts';
import { jsonRewriteReport } from '../../src/cli/rewrite_report.ts';
import { REWRITE_TABLE } from '../../src/cli/rewrite_table.ts';
import { PrepCacheBuilder, PrepVerdict } from '../../src/pcap/prep_cache.ts';
import { readPcap, writePcap } from '../rewrite/support.ts';
import { checkHelpPage } from './help_page.ts';
import { fixtures, judge, ROOT, TCPDUMP, tsrewrite } from './rewrite_rig.ts';

const CLI = join(ROOT, 'dist', 'src', 'cli', 'tsrewrite.js');
const GOLDENS = join(ROOT, '..', 'shared', 'conformance', 'tcpreplay');
const MANIFEST = join(GOLDENS, 'manifest.json');
const CAPTURES = fixtures();
const HTTP = CAPTURES.get('http-keepalive')!;

interface Case {
  readonly name: string;
  readonly tool: string;
  readonly args: readonly string[];
  readonly expected: { readonly le?: string };
  readonly compare: string;
  readonly rules?: string;
}

t.test('the reference tool’s cases', { skip: existsSync(MANIFEST) ? false : `needs ${MANIFEST}` }, async (t) => {
  const dir = t.testdir();
  const cases: readonly Case[] = JSON.parse(readFileSync(MANIFEST, 'utf8')).cases;
  const ours = cases.filter((one) => one.tool === 'tcprewrite');
  t.equal(ours.filter((one) => one.compare === 'bytes').length, 35);
  for (const [i, one] of ours.entries()) {
    const out = join(dir, `${i}.pcap`);
    const rules = join(dir, 'rules');
    if (one.rules !== undefined) writeFileSync(rules, one.rules);
    const fill = (arg: string): string => arg.replace('{DIR}', GOLDENS).replace('{OUT}', out).replace('{RULES}', rules);
    const ran = await tsrewrite('-q', ...one.args.map(fill));
    if (one.compare.startsWith('exit_nonzero')) {
      t.match(ran, { status: 2, error: one.compare.split(':')[1]! }, one.name);
      continue;
    }
    t.match(ran, { status: 0, error: '' }, one.name);
    if (one.compare === 'exit0_nonempty') t.ok(statSync(out).size > 24, one.name);
    if (one.compare !== 'bytes') continue;
    t.equal(Buffer.compare(readFileSync(out), readFileSync(join(GOLDENS, one.expected.le!))), 0, one.name);
  }
  const config = join(dir, 'config');
  const filled = readFileSync(join(GOLDENS, 'config.in'), 'utf8').replaceAll('@srcdir@', GOLDENS);
  writeFileSync(config, filled.replace('test.rewrite_config1', join(dir, 'o.pcap')));
  t.match(await tsrewrite(`--load-opts=${config}`), { status: 0, error: '' });
  t.same(readFileSync(join(dir, 'o.pcap')), readFileSync(join(GOLDENS, 'test2.rewrite_config')), 'option file');
});

t.test('as a process', async (t) => {
  const run = (...args: string[]) => spawnSync(process.execPath, [CLI, ...args], { encoding: 'utf8', timeout: 30_000 });
  const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string };
  t.match(run('--version'), { status: 0, stdout: `tsrewrite version: ${version}\n`, stderr: '' });
  t.match(run('-H'), { status: 0, stdout: /^Usage: tsrewrite \[options\] -i FILE -o FILE/ });
  t.match(run('-h'), { status: 0, stdout: /More: tsrewrite --help\n$/ });
  const dir = t.testdir();
  const out = join(dir, 'o.pcap');
  t.match(run('-i', HTTP, '-o', out, '--ttl=-1'), { status: 0, stdout: /^Packets: \d+ read, /, stderr: '' });
  const piped = spawnSync(process.execPath, [CLI, '-i', '-', '-o', '-', '--ttl=-1'], { input: readFileSync(HTTP) });
  t.equal(piped.status, 0);
  t.same(piped.stdout, readFileSync(out), 'standard input to standard output');
  t.match(piped.stderr.toString(), /^Packets: /);
  const verbose = run('-i', HTTP, '-o', out, '-v', '-A', '-c 9');
  if (TCPDUMP === false) t.match(verbose, { stdout: /IP .* > .*: Flags/ }, 'packets are printed');
});

t.test('an error is one line and a status', async (t) => {
  const dir = t.testdir({ 'bad.rules': 'ip_frag 8\ntcp_blah 3\n', 'x.cache': 'tcpprep\0' });
  const out = join(dir, 'o.pcap');
  const io = ['-i', HTTP, '-o', out];
  const raw = ['-i', CAPTURES.get('raw-ip')!, '-o', out];
  const short = new PrepCacheBuilder();
  short.add(PrepVerdict.Primary);
  short.write(join(dir, 'short.cache'));
  const table: readonly (readonly [readonly string[], number, string | RegExp])[] = [
    [[], 2, '--infile is needed: which capture is to be read?'],
    [['-i', HTTP], 2, '--outfile is needed: where is the capture to be written?'],
    [[...io, 'more'], 2, '"more" is no option: name the captures with --infile and --outfile'],
    [['-i', '/nowhere/a', '-o', out], 1, /cannot open \/nowhere\/a: No such file or directory/],
    [['-i', HTTP, '-o', '/nowhere/o'], 1, /cannot write \/nowhere\/o: no such file/],
    [['-i', HTTP, '-o', HTTP], 1, /is the capture that is being read: write to another file/],
    [[...io, '--ttl=abc'], 2, '--ttl=abc: expected N, +N or -N with N from 0 to 255'],
    [[...io, '-e', '1.2.3.4:2.3.4.5'], 2, /--endpoints needs --cachefile or --auto/],
    [[...io, '--outfile-secondary=x'], 2, /--outfile-secondary needs --cachefile or --auto/],
    [[...io, '--fragdir=c2s'], 2, /--fragdir needs --fragroute/],
    [[...io, '--decode=x'], 2, /--decode needs --verbose/],
    [[...io, '-c', 'x', '--auto=first'], 2, /--cachefile and --auto cannot both be given/],
    [[...io, '--mtu-trunc', '--oversize=skip'], 2, /--oversize and --mtu-trunc cannot both be given/],
    [[...io, '-c', join(dir, 'x.cache')], 1, /is not a tcpprep cache/],
    [[...io, '-c', join(dir, 'short.cache')], 1, /short\.cache knows 1 packets and says nothing about packet 2/],
    [[...io, `--fragroute=${dir}/bad.rules`], 2, /bad\.rules line 2: tcp_blah: is no directive; there are delay, /],
    [[...io, '--fragroute=/nowhere/r'], 2, /\/nowhere\/r cannot be read: no such file/],
    [[...raw, '--dlt=enet'], 2, /RAW frames, which have no MAC addresses: add --enet-smac=MAC and --enet-dmac=MAC/],
    [[...raw, '--dlt=enet', '--enet-smac=02:00:00:00:00:01'], 2, /no destination MAC address: add --enet-dmac=MAC/],
    [[...io, '--shift-time=soon'], 2, '--shift-time needs a time like +90, -1.5s, 2h or -250us, not "soon"'],
    [[...io, '--start-at=soon'], 2, /--start-at needs a time from 1970 on like/],
    [[...io, '--shift-time=-100000d'], 2, /would be stamped before 1970/],
    [[...io, '--vlan=swap:3'], 2, /--vlan=swap:3: expected push:100/],
    [[...io, '--vlan=map:1-3=5-9'], 2, /two ranges of the same length/],
    [[...io, '--layer=middle'], 2, '--layer is one of outer, inner or all, not "middle"'],
    [
      ['-i', CAPTURES.get('http-gro')!, '-o', out, '--oversize=error'],
      3,
      /packet \d+ has \d+ bytes above its link header, more than --mtu=1500/,
    ],
    [['-i', '-', '-o', out, '--auto=bridge'], 2, /--auto reads the capture twice/],
  ];
  for (const [args, status, error] of table) {
    const ran = await tsrewrite(...args);
    t.match(ran, { status, error }, args.join(' '));
    t.match(ran.error, /^tsrewrite: [^\n]+\n$/, 'one line');
  }
  t.match((await tsrewrite(...io, '--mtu=300')).error, /^Warning: --mtu alone changes nothing/);
  t.equal((await tsrewrite(...io, '--mtu=300', '-w')).error, '');
});

/** Options that keep every checksum true, each with what tcpdump must say of some packet. */
const GOLDEN: readonly (readonly [string, readonly string[], RegExp | null])[] = [
  ['http-keepalive', ['--portmap=80:9090'], /\.9090[ :]/],
  ['http-keepalive', ['--pnat=0.0.0.0/0:198.51.100.0/24'], /198\.51\.100\.\d+\.\d+ > 198\.51\.100/],
  ['http-ipv6', ['--pnat=[::/0]:[2001:db8:77::/60]', '--flowlabel=77', '--tclass=9'], /2001:db8:77:/],
  ['dns', ['--seed=7', '--ttl=77'], /ttl 77/],
  [
    'dns',
    ['--srcipmap=0.0.0.0/0:203.0.113.7', '--dstipmap=0.0.0.0/0:203.0.113.9'],
    /203\.0\.113\.7\.\d+ > 203\.0\.113\.9/,
  ],
  ['tls', ['--tcp-sequence=42', '--compat=none'], null],
  ['icmp-errors', ['--pnat=0.0.0.0/0:198.51.100.0/24', '--compat=none'], /ICMP 198\.51\.100/],
  [
    'mixed',
    ['--enet-dmac=02:00:00:00:00:07', '--enet-smac=02:00:00:00:00:08', '--tos=8'],
    /02:00:00:00:00:08 > 02:00:00:00:00:07/,
  ],
  ['mixed', ['--enet-mac-seed=9', '--enet-mac-seed-keep-bytes=3'], null],
  [
    'mixed',
    ['--vlan=push:vid=100,pri=5', '--vlan=push:1.vid=7,1.tpid=802.1ad'],
    /vlan 100, p 5, ethertype 802\.1Q-QinQ.*vlan 7/,
  ],
  ['qinq', ['--vlan=pop:all'], null],
  ['vlan', ['--vlan=set:0.vid=123,0.dei=1'], /vlan 123,.*DEI/],
  ['vlan', ['--vlan=map:1-4000=2-4001'], null],
  ['mixed', ['--enet-vlan=add', '--enet-vlan-tag=9'], /vlan 9/],
  ['mixed', ['--mtu-trunc', '--mtu=200'], null],
  ['http-snaplen', ['--fixlen=trunc', '--fixcsum', '--compat=none'], null],
  ['http-snaplen', ['--fixlen=pad', '--fixcsum', '--compat=none'], null],
  ['http-gro', ['--oversize=segment'], null],
  ['http-gro', ['--oversize=fragment', '--mtu=576'], /flags \[\+\]/],
  ['http-gro', ['--oversize=truncate', '--mtu=576'], null],
  ['sll', ['--dlt=enet', '--enet-dmac=02:00:00:00:00:07'], /> 02:00:00:00:00:07, ethertype IPv4/],
  ['sll2', ['--dlt=raw', '--skip-soft-errors'], null],
  ['raw-ip', ['--ttl=7'], /ttl 7/],
  ['raw-ip', ['--dlt=null'], null],
  ['mixed', ['--dlt=linuxsll2'], null],
  ['fragments-ipv4', ['--portmap=1-65535:9', '--pnat=0.0.0.0/0:198.51.100.0/24'], null],
  ['fragments-ipv6', ['--pnat=[::/0]:[2001:db8:77::/61]', '--fixcsum'], null],
];

t.test('options on real captures', { skip: TCPDUMP }, async (t) => {
  const dir = t.testdir();
  const out = join(dir, 'o.pcap');
  for (const [name, args, shows] of GOLDEN) {
    const input = CAPTURES.get(name)!;
    const ran = await tsrewrite('-i', input, '-o', out, ...args);
    const what = `${name} ${args.join(' ')}`;
    t.match(ran, { status: 0, error: '' }, what);
    const before = judge(input);
    const after = judge(out);
    t.ok(after.wrong <= before.wrong, `${what}: ${after.wrong} wrong sums, ${before.wrong} before`);
    if (shows !== null) t.match(after.text, shows, what);
  }
});

t.test('packet by packet and in the read buffer come the same bytes', async (t) => {
  const dir = t.testdir();
  const lists: readonly (readonly string[])[] = [
    ['--ttl=-1', '--pnat=0.0.0.0/0:198.51.100.0/24', '--enet-dmac=02:00:00:00:00:07'],
    ['--fuzz-seed=4', '--fuzz-factor=2'],
    ['--efcs', '--vlan=pop'],
    ['--dlt=raw'],
    ['--fixlen=del'],
    ['--compat=none', '--mtu-trunc', '--mtu=90', '--skip-soft-errors'],
  ];
  for (const [name, input] of CAPTURES) {
    if (!input.endsWith('.pcap')) continue;
    const bytes = readFileSync(input);
    const packed = join(dir, `${name}.gz`);
    writeFileSync(packed, gzipSync(bytes, { level: 1 }));
    for (const args of lists) {
      const fast = await tsrewrite('--json', '-i', input, '-o', join(dir, 'fast'), ...args);
      const slow = await tsrewrite('--json', '-i', packed, '-o', join(dir, 'slow'), ...args);
      const what = `${name} ${args.join(' ')}`;
      equal(Buffer.compare(readFileSync(join(dir, 'fast')), readFileSync(join(dir, 'slow'))), 0, what);
      const counts = ({ out }: { out: string }) => ({ ...JSON.parse(out), input: '', output: '', seconds: 0 });
      deepEqual(counts(fast), counts(slow), what);
      const { read, edited, unchanged, failed, dropped, written } = counts(fast) as Record<string, number>;
      const sum = (cells: unknown) => Object.values(cells as Record<string, number>).reduce((a, b) => a + b, 0);
      equal(edited! + sum(unchanged) + sum(failed) + sum(dropped), read, `${what}: every packet counted once`);
      equal(fast.status, slow.status, what);
      equal(written! <= read!, true, what);
    }
  }
  t.pass('all captures, all lists');
});

t.test('several threads write what one writes', async (t) => {
  const dir = t.testdir();
  const { records, linktype, nanoseconds } = readPcap(HTTP);
  const total = records.reduce((sum, { data }) => sum + data.length + 16, 0);
  const many = Array.from({ length: Math.ceil((24 << 20) / total) }, () => records).flat();
  const big = join(dir, 'big.pcap');
  writeFileSync(big, writePcap({ linktype, nanoseconds, records: many }));
  const cache = new PrepCacheBuilder();
  for (let k = 0; k < many.length; k++)
    cache.add(k % 7 === 0 ? PrepVerdict.Skip : k % 3 === 0 ? PrepVerdict.Secondary : PrepVerdict.Primary);
  cache.write(join(dir, 'big.cache'));
  const args = ['-q', '-i', big, '-c', join(dir, 'big.cache'), '-e', '10.0.0.1:10.0.0.2', '--fixlen=del', '--efcs'];
  for (const workers of ['1', '3']) {
    const ran = await tsrewrite(...args, '--json', `--workers=${workers}`, '-o', join(dir, workers));
    t.match(JSON.parse(ran.out), { read: many.length, written: many.length, fault: null });
  }
  t.equal(Buffer.compare(readFileSync(join(dir, '1')), readFileSync(join(dir, '3'))), 0, `${many.length} packets`);
  const cut = readFileSync(big).subarray(0, -5);
  writeFileSync(big, cut);
  const ran = await tsrewrite(...args, '--workers=3', '-o', join(dir, '4'));
  t.match(ran, { status: 1, error: /packet [\d,]+ at byte \d+: the file ends after \d+ of its \d+ captured bytes/ });
  t.equal(readPcap(join(dir, '4')).records.length, many.length - 1, 'all whole packets are there');
});

t.test('stamps, formats and outputs', async (t) => {
  const dir = t.testdir();
  const out = join(dir, 'o.pcap');
  const before = readPcap(HTTP);
  const unit = before.nanoseconds ? 1e9 : 1e6;
  const ns = (path: string): number[] => {
    const { records, nanoseconds } = readPcap(path);
    return records.map(
      ({ sec, fraction }) => (sec - before.records[0]!.sec) * 1e9 + fraction * (nanoseconds ? 1 : 1000),
    );
  };
  const origin = before.records.map(
    ({ sec, fraction }) => (sec - before.records[0]!.sec) * 1e9 + fraction * (1e9 / unit),
  );
  t.equal((await tsrewrite('-i', HTTP, '-o', out, '--shift-time=+2.5s', '--ts=ns')).status, 0);
  t.same(
    ns(out),
    origin.map((at) => at + 2.5e9),
  );
  t.equal(readPcap(out).nanoseconds, true);
  t.equal((await tsrewrite('-i', out, '-o', join(dir, 'b'), '--shift-time=-2500ms', '--ts=keep')).status, 0);
  t.same(ns(join(dir, 'b')), origin, 'there and back');
  t.equal((await tsrewrite('-i', HTTP, '-o', out, '--start-at=1700000000.000000250', '--ts=ns')).status, 0);
  t.match(readPcap(out).records[0], { sec: 1_700_000_000, fraction: 250 });
  t.equal((await tsrewrite('-i', out, '-o', join(dir, 'b'), '--ts=us')).status, 0);
  t.match(readPcap(join(dir, 'b')).records[0], { sec: 1_700_000_000, fraction: 0 });
  const two = CAPTURES.get('pcapng-two-interfaces')!;
  t.equal((await tsrewrite('-i', two, '-o', out, '--format=keep', '--ttl=9')).status, 0);
  t.equal(readFileSync(out).readUInt32BE(0), 0x0a0d0d0a, 'pcapng stays pcapng');
  t.equal((await tsrewrite('-i', HTTP, '-o', out, '--format=pcapng')).status, 0);
  t.equal((await tsrewrite('-i', out, '-o', join(dir, 'b'))).status, 0);
  t.same(readPcap(join(dir, 'b')).records, readPcap(HTTP).records, 'pcapng and back');
  const ran = await tsrewrite('-i', HTTP, '-o', out, '--outfile-secondary', join(dir, 's'), '--auto=bridge', '--json');
  t.match(JSON.parse(ran.out), { read: before.records.length, written: before.records.length });
  const [clients, servers] = [readPcap(out).records.length, readPcap(join(dir, 's')).records.length];
  t.ok(clients > 0 && servers > 0 && clients + servers === before.records.length, `${clients} and ${servers} packets`);
});

t.test('what cannot be edited', async (t) => {
  const dir = t.testdir();
  const out = join(dir, 'o.pcap');
  const frame = (...bytes: number[]) => ({ sec: 1, fraction: 0, len: bytes.length, data: Uint8Array.from(bytes) });
  const macs = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
  const records = [
    frame(...macs, 8, 0, 0x45, 0),
    frame(...macs, 0x12, 0x34, 1, 2, 3),
    frame(...macs, 0, 3, 0x42, 0x42, 3),
    frame(),
  ];
  const odd = join(dir, 'odd.pcap');
  writeFileSync(odd, writePcap({ linktype: 1, nanoseconds: false, records }));
  const plain = await tsrewrite('-i', odd, '-o', out, '--ttl=9', '--json');
  t.match(JSON.parse(plain.out), {
    failed: { undecodable: 2 },
    unchanged: { 'not-ip': 1, 'length-frame': 1 },
    written: 3,
  });
  t.match(plain, { status: 1 });
  const skipped = await tsrewrite('-i', odd, '-o', out, '--ttl=9', '--skip-soft-errors');
  t.match(skipped, { status: 0, out: /Failed: 2 cut or malformed headers; 2 not written\n/ });
  t.match(await tsrewrite('-i', odd, '-o', out, '--ttl=9', '--skip-soft-errors', '--strict'), { status: 1 });
  t.match(await tsrewrite('-i', odd, '-o', out, '--dlt=raw'), { status: 1, out: /not written/ });
  t.equal(readPcap(out).records.length, 1, 'of them 802.3 frames alone, as the reference has it');
});

t.test('hostile input', async (t) => {
  const dir = t.testdir();
  const rng = new Rng(5);
  const out = join(dir, 'o.pcap');
  const mutate = (bytes: Buffer): Buffer => {
    const changed = Buffer.from(bytes.subarray(0, rng.below(4) === 0 ? rng.below(bytes.length) : bytes.length));
    for (let k = rng.below(30); k > 0 && changed.length > 0; k--) changed[rng.below(changed.length)] = rng.below(256);
    return changed;
  };
  const cache = new PrepCacheBuilder();
  for (let k = 0; k < 64; k++) cache.add(PrepVerdict.Primary);
  cache.write(join(dir, 'whole.cache'));
  const rules = 'ip_frag 16 old\ntcp_seg 8 new\nip_chaff dup\ntcp_chaff paws\norder random\ndup random 50\n';
  const options = '[TCPREWRITE]\nttl 5\npnat = "10.0.0.0/8:11.0.0.0/8"\nenet-vlan add\nenet-vlan-tag 5\n';
  const names = [...CAPTURES.values()].filter((path) => statSync(path).size < 200_000);
  const lists: readonly (readonly string[])[] = [
    ['--seed=3', '--enet-mac-seed=4', '--layer=all', '--fixcsum'],
    ['--decap', '--mtu-trunc', '--mtu=100', '--vlan=pop:all'],
    [`--fragroute=${join(dir, 'rules')}`],
    ['-c', join(dir, 'cache'), '--tcp-sequence=5'],
    [`--load-opts=${join(dir, 'opts')}`, '--oversize=fragment', '--mtu=68'],
  ];
  for (let round = 0; round < 150; round++) {
    const input = join(dir, 'in');
    writeFileSync(input, mutate(readFileSync(names[round % names.length]!)));
    writeFileSync(join(dir, 'rules'), round % 2 === 0 ? rules : mutate(Buffer.from(rules)));
    writeFileSync(join(dir, 'cache'), mutate(readFileSync(join(dir, 'whole.cache'))));
    writeFileSync(join(dir, 'opts'), round % 2 === 0 ? options : mutate(Buffer.from(options)));
    const ran = await tsrewrite('-i', input, '-o', out, ...lists[round % lists.length]!);
    const where = `round ${round}: ${ran.error}`;
    equal(ran.error.includes('unexpected'), false, where);
    equal([0, 1, 2, 3].includes(ran.status), true, where);
    if (ran.status !== 0 && ran.error === '') equal(/Failed/.test(ran.out), true, where);
  }
  t.pass('150 rounds');
});

t.test('docs/tsrewrite.md', (t) => {
  const text = checkHelpPage(t, REWRITE_TABLE);
  const table = text.slice(text.indexOf('| field | type')).split('\n\n')[0]!.split('\n').slice(2);
  const outcome = { tally: {}, seconds: 0, fault: '', faultExit: 1, warnings: [] } as never;
  const fields = Object.keys(jsonRewriteReport('', {} as never, outcome));
  t.same(
    table.map((row) => row.split('|')[1]!.trim().replaceAll('`', '')),
    fields,
  );
  const short = shortHelp(REWRITE_TABLE);
  for (const option of buildCommand(REWRITE_TABLE).options as CliOption[]) {
    const { name } = option.row;
    if (!short.includes(`--${name}`)) t.fail(`--${name} is missing in the short help`);
    if ((option.row.help ?? '') === '') t.fail(`--${name} has no text`);
  }
  t.end();
});
