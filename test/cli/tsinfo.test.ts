/** The command `tsinfo`: dumps, facts, obstacles, JSON, the page. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import t from 'tap';
import * as v from 'valibot';
import { encodePcap, type PcapPacket } from '../../lab/pcapfile.ts';
import { longHelp } from '../../src/cli/help.ts';
import { escapeHtml, scriptJson } from '../../src/cli/html_page.ts';
import { bar, columnChart, gather } from '../../src/cli/info_chart.ts';
import { stampText } from '../../src/cli/info_facts.ts';
import { infoMain } from '../../src/cli/info_main.ts';
import type { FileReport, InfoReport } from '../../src/cli/info_report.ts';
import { INFO_TABLE } from '../../src/cli/info_table.ts';
import { packageRoot } from '../structure/repository.ts';
import { checkHelpPage } from './help_page.ts';
import { type Ended, runInProcess } from './in_process.ts';
import { readPage } from './page_rig.ts';

const root = packageRoot();
const CLI = join(root, 'dist', 'src', 'cli', 'tsinfo.js');
const fixture = (name: string): string => join(root, 'fixtures', 'pcaps', name);
const scratch = mkdtempSync(join(tmpdir(), 'tsinfo-test-'));
t.teardown(() => rmSync(scratch, { recursive: true, force: true }));

const tsinfo = (...argv: string[]): Promise<Ended> => runInProcess(infoMain, argv);

async function facts(path: string, ...argv: string[]): Promise<FileReport> {
  const run = await tsinfo('--json', ...argv, path);
  return (JSON.parse(run.out) as InfoReport).files[0]!;
}

function file(name: string, bytes: Uint8Array): string {
  const path = join(scratch, name);
  writeFileSync(path, bytes);
  return path;
}

function capture(name: string, packets: readonly PcapPacket[], linktype = 1): string {
  return file(name, encodePcap({ linktype, snaplen: 262_144, precision: 'nano', bigEndian: false, packets }));
}

/** An Ethernet frame of zeros behind an EtherType that nobody looks into. */
function blank(sec: number, nsec: number, length = 60): PcapPacket {
  const data = Buffer.alloc(length);
  data.writeUInt16BE(0x88b5, 12);
  return { sec, nsec, len: length, data };
}

const counted = v.strictObject({ packets: v.number(), firstPacket: v.number() });
const sums = v.strictObject({ good: v.number(), bad: v.number(), unknown: v.number() });
const traffic = v.array(v.strictObject({ name: v.string(), packets: v.number(), bytes: v.number() }));
const FINDINGS = [
  'cut',
  'overlong',
  'empty',
  'oversize',
  'headerCut',
  'malformed',
  'ipLengthZero',
  'ipChecksumBad',
  'transportChecksumBad',
  'transportChecksumPartial',
];
const TCP = [
  'connections',
  'complete',
  'unanswered',
  'midstream',
  'finished',
  'reset',
  'segments',
  'retransmissions',
  'outOfOrder',
  'keepAlives',
  'holes',
  'zeroWindows',
  'untracked',
];
const numbers = (names: readonly string[]) =>
  v.strictObject(Object.fromEntries(names.map((name) => [name, v.number()])));
const time = v.strictObject({
  first: v.string(),
  last: v.string(),
  seconds: v.number(),
  packetsPerSecond: v.nullable(v.number()),
  bitsPerSecond: v.nullable(v.number()),
  gapNs: numbers(['p50', 'p99', 'max', 'maxAtPacket']),
  backward: numbers(['packets', 'firstPacket', 'largestNs']),
  equal: v.number(),
  rate: v.strictObject({ binSeconds: v.number(), packets: v.array(v.number()), bytes: v.array(v.number()) }),
});
const REPORT = v.strictObject({
  tool: v.literal('tsinfo'),
  version: v.string(),
  mtu: v.number(),
  warnings: v.array(v.string()),
  files: v.array(
    v.strictObject({
      path: v.string(),
      format: v.picklist(['pcap', 'pcapng']),
      compression: v.picklist(['none', 'gzip', 'zstd']),
      bigEndian: v.boolean(),
      fileBytes: v.nullable(v.number()),
      fault: v.nullable(v.string()),
      application: v.string(),
      os: v.string(),
      hardware: v.string(),
      comments: v.array(v.string()),
      interfaces: v.array(
        v.strictObject({
          linktype: v.number(),
          linktypeName: v.string(),
          snaplen: v.number(),
          name: v.string(),
          description: v.string(),
          timestampDigits: v.number(),
          packets: v.number(),
          dropped: v.nullable(v.number()),
        }),
      ),
      linktypes: v.array(v.strictObject({ linktype: v.number(), name: v.string(), packets: v.number() })),
      packets: v.number(),
      bytes: v.number(),
      capturedBytes: v.number(),
      time: v.nullable(time),
      sizes: v.strictObject({
        min: v.number(),
        max: v.number(),
        maxAtPacket: v.number(),
        mean: v.number(),
        networkMax: v.number(),
        classes: v.array(v.strictObject({ from: v.number(), to: v.nullable(v.number()), packets: v.number() })),
      }),
      protocols: traffic,
      ports: traffic,
      fragments: v.number(),
      vlanPackets: v.number(),
      tunnelPackets: v.number(),
      ipChecksums: sums,
      transportChecksums: sums,
      findings: v.strictObject(Object.fromEntries(FINDINGS.map((name) => [name, counted]))),
      flows: numbers(['oneWay', 'packets', 'otherPackets']),
      tcp: numbers(TCP),
      hosts: v.number(),
      talkers: v.array(
        v.strictObject({
          address: v.string(),
          sentPackets: v.number(),
          sentBytes: v.number(),
          receivedPackets: v.number(),
          receivedBytes: v.number(),
        }),
      ),
      ready: v.boolean(),
      obstacles: v.array(
        v.strictObject({
          kind: v.string(),
          blocks: v.boolean(),
          packets: v.number(),
          firstPacket: v.number(),
          what: v.string(),
          remedy: v.string(),
        }),
      ),
    }),
  ),
});

t.test('JSON: one schema for every capture, sums that add up', async (t) => {
  const run = await tsinfo('--json', fixture(''));
  t.equal(run.status, 0);
  const report = v.parse(REPORT, JSON.parse(run.out)) as unknown as InfoReport;
  for (const file of report.files) {
    const told = JSON.parse(readFileSync(join(dirname(file.path), 'case.json'), 'utf8'));
    assert.equal(file.packets, told.packets, file.path);
    assert.equal(file.capturedBytes, told.capturedBytes, file.path);
    const sum = (list: readonly { readonly packets: number }[]): number =>
      list.reduce((n, each) => n + each.packets, 0);
    assert.equal(sum(file.protocols), file.packets, `${file.path}: protocols`);
    assert.equal(sum(file.sizes.classes), file.packets, `${file.path}: lengths`);
    assert.equal(sum(file.linktypes), file.packets, `${file.path}: link types`);
    assert.equal(sum(file.interfaces), file.packets, `${file.path}: interfaces`);
    const binned = file.time!.rate;
    assert.equal(
      binned.packets.reduce((a, b) => a + b),
      file.packets,
      `${file.path}: rate`,
    );
    assert.equal(
      binned.bytes.reduce((a, b) => a + b),
      file.bytes,
      `${file.path}: bytes over time`,
    );
    const { tcp } = file;
    assert.equal(tcp.complete + tcp.unanswered + tcp.midstream, tcp.connections, `${file.path}: connections`);
    assert.deepEqual([...new Set(file.linktypes.map((each) => each.linktype))].sort(), [...told.linktypes].sort());
  }
  t.ok(report.files.length >= 20, `${report.files.length} captures`);
});

t.test('what is found in captures that are known', async (t) => {
  const lossy = await facts(fixture('tcp-retransmissions/in.pcapng'));
  // Counted by hand in tcpdump's output: the SYN twice, the SYN-ACK three times, five segments of the body twice.
  t.match(lossy.tcp, { connections: 1, complete: 1, finished: 1, retransmissions: 8, outOfOrder: 0, holes: 0 });
  const gro = await facts(fixture('http-gro/in.pcap'));
  t.equal(gro.ready, false);
  t.same(
    gro.obstacles.map(({ kind, blocks, packets, remedy }) => ({ kind, blocks, packets, remedy })),
    [
      { kind: 'oversize', blocks: true, packets: gro.findings.oversize.packets, remedy: '--oversize segment' },
      { kind: 'partialChecksum', blocks: false, packets: 23, remedy: '--fixcsum' },
    ],
  );
  t.equal((await facts(fixture('http-gro/in.pcap'), '--mtu', '65535')).findings.oversize.packets, 0);
  const cut = await facts(fixture('http-snaplen/in.pcap'));
  t.match(cut, { ready: true, obstacles: [{ kind: 'cut', blocks: false }] });
  t.ok(cut.transportChecksums.unknown >= cut.findings.cut.packets, 'what was cut cannot be summed');
  t.match(await facts(fixture('sll/in.pcap')), { ready: false, obstacles: [{ kind: 'addresses', blocks: true }] });
  const two = await facts(fixture('pcapng-two-interfaces/in.pcapng'));
  t.same(
    two.obstacles.map((each) => each.kind),
    ['linktypes', 'addresses'],
  );
  const clean = await facts(fixture('mixed/in.pcap'), '--top', '2');
  t.match(clean, { ready: true, obstacles: [], talkers: { length: 2 }, ports: { length: 2 } });
  t.equal(clean.talkers[0]!.address, '10.77.0.1');
});

t.test('obstacles of time, length and damage', async (t) => {
  const kinds = async (path: string): Promise<string[]> => (await facts(path)).obstacles.map((each) => each.kind);
  t.same(await kinds(capture('back', [blank(10, 5), blank(10, 4), blank(11, 0)])), ['backward']);
  const back = await facts(join(scratch, 'back'));
  t.same(back.time!.backward, { packets: 1, firstPacket: 2, largestNs: 1 });
  t.same(await kinds(capture('still', [blank(10, 5), blank(10, 5)])), ['noTime']);
  t.same(await kinds(capture('gap', [blank(10, 0), blank(70, 0)])), ['longGap']);
  t.same(await kinds(capture('no gap', [blank(10, 0), blank(69, 0)])), []);
  t.same(await kinds(capture('empty', [])), ['noPackets']);
  t.same(await kinds(capture('hollow', [{ ...blank(1, 0), data: Buffer.alloc(0) }, blank(2, 0)])), ['empty']);
  t.same(await kinds(capture('unknown', [blank(1, 0), blank(2, 0)], 250)), ['framing']);
  const wrong = Buffer.from(readFileSync(fixture('http-keepalive/in.pcap')));
  // Third packet: the first TCP segment. Its last checksum byte, and one of the IP header's.
  let at = 24;
  for (let i = 0; i < 2; i++) at += 16 + wrong.readUInt32LE(at + 8);
  wrong[at + 16 + 14 + 10]! ^= 1;
  wrong[at + 16 + 34 + 16]! ^= 1;
  const bad = await facts(file('bad.pcap', wrong));
  t.match(bad.findings, {
    ipChecksumBad: { packets: 1, firstPacket: 3 },
    transportChecksumBad: { packets: 1, firstPacket: 3 },
    transportChecksumPartial: { packets: 0, firstPacket: 0 },
  });
  t.same(
    bad.obstacles.map((each) => each.remedy),
    ['--fixcsum', '--fixcsum'],
  );
});

t.test('damage: everything up to the fault, then its place, exit status 1', async (t) => {
  const whole = readFileSync(fixture('http-keepalive/in.pcap'));
  const all = await facts(fixture('http-keepalive/in.pcap'));
  const path = file('cut.pcap', whole.subarray(0, whole.length - 3));
  const run = await tsinfo('--json', path);
  t.match(run, { status: 1, error: /^tsinfo: .*cut\.pcap: packet 26 at byte \d+: the file ends/ });
  const cut = (JSON.parse(run.out) as InfoReport).files[0]!;
  t.equal(cut.packets, all.packets - 1);
  t.match(cut, { ready: false, fault: /packet 26/, obstacles: [{ kind: 'damaged', blocks: true }] });
  const several = await tsinfo('-q', path, join(root, 'package.json'), fixture('mixed/in.pcap'));
  t.equal(several.status, 1);
  t.match(several.out, /cut\.pcap: no\n[\s\S]*mixed.in\.pcap: yes$/, 'the others are described all the same');
  t.match(several.error, /package\.json is neither pcap nor pcapng/);
  const zipped = gzipSync(whole);
  const packed = await tsinfo('--json', file('cut.gz', zipped.subarray(0, zipped.length - 20)));
  t.match(packed, { status: 1, error: /gzip data ends early/ });
  t.equal(v.is(REPORT, JSON.parse(packed.out)), true);
});

t.test('text', async (t) => {
  const run = await tsinfo(fixture('mixed/in.pcap'));
  t.equal(run.status, 0);
  for (const line of [
    /^Format: +pcap, little-endian, 98,723 bytes$/m,
    /^Interface: +EN10MB, snaplen 262,144, 10\^-9 s stamps$/m,
    /^Packets: +478, 91,051 bytes$/m,
    /^First: +2026-11-22T\d\d:\d\d:\d\d\.\d{9}Z$/m,
    /^Time order: +yes/m,
    /^Checksums: +IPv4 414 good; TCP, UDP, ICMP 476 good$/m,
    /^TCP: +24 connections: 24 with whole handshake/m,
    /^ +10\.77\.0\.1 +sent 223 packets/m,
    /^ +80\/tcp +180 packets +65,292 bytes$/m,
    /^Packets over time: a column is .*packets\/s\n {2}[▁▂▃▄▅▆▇█ ]+\n/m,
    /^ +64 to 127 {2}█{40} 404 \(84\.5 %\)$/m,
    /\nReady to replay .*mixed.in\.pcap: yes$/,
  ]) {
    assert.match(run.out, line);
  }
  t.match(
    (await tsinfo('-q', fixture('http-snaplen/in.pcap'))).out,
    /: yes, but\n {2}• 5 × cut by the capture.*--pktlen/,
  );
  t.match(
    (await tsinfo(capture('one', [blank(1, 0)]))).out,
    /Duration: +0 s\nTime order: +yes/,
    'one packet has no rate',
  );
});

t.test('the page holds its data, its charts and nothing from elsewhere', async (t) => {
  const path = join(scratch, 'report.html');
  const name = capture('<b>&"\'.pcap', [blank(1, 0), blank(2, 0), blank(3, 0, 1514)]);
  const run = await tsinfo('-q', '--html', path, name, fixture('mixed/in.pcap'));
  t.equal(run.status, 0, run.error);
  const page = readFileSync(path, 'utf8');
  const { charts, data } = readPage(page);
  const report = v.parse(REPORT, JSON.parse(data)) as unknown as InfoReport;
  t.equal(report.files.length, 2);
  t.same(
    report.files[1]!.time!.rate,
    (await facts(fixture('mixed/in.pcap'))).time!.rate,
    'the charts show the numbers of --json',
  );
  t.match(page, /uPlot/);
  t.notMatch(page.replace(data, ''), /<b>&/, 'names are escaped');
  t.notMatch(page, /(src|href)\s*=\s*["']?(https?:)?\/\//i, 'nothing is fetched');
  for (const id of ['packets-0', 'bits-0', 'sizes-0', 'packets-1']) assert.ok(page.includes(`id="${id}"`), id);
  t.equal(charts, 6, 'three charts a capture');
  t.equal(scriptJson('</script><!--\u2028'), '"\\u003c/script>\\u003c!--\\u2028"');
  t.equal(escapeHtml(`<a href="x">&'`), '&lt;a href=&quot;x&quot;&gt;&amp;&#39;');
  t.match(await tsinfo('--html', '/nowhere/x.html', name), {
    status: 1,
    error: /\/nowhere\/x\.html cannot be written/,
  });
});

t.test('charts and stamps', (t) => {
  t.same(columnChart([0, 1, 8, 16], 2), ['   █', ' ▁██']);
  t.same(columnChart([0, 0], 1), ['  ']);
  t.same([bar(0, 9, 4), bar(9, 9, 4), bar(1, 1e6, 4), bar(1, 2, 1)], ['', '████', '▏', '▌']);
  t.same(gather([1, 2, 3, 4, 5], 2), [6, 9]);
  t.same(gather([1, 2], 5), [1, 2]);
  t.equal(stampText(1_700_000_000, 5_000, 6), '2023-11-14T22:13:20.000005Z');
  t.equal(stampText(1_700_000_000, 5, 0), '2023-11-14T22:13:20Z');
  t.equal(stampText(1e15, 0, 3), '1000000000000000.000', 'beyond what a date can say');
  t.end();
});

t.test('every error is one sentence and a status', async (t) => {
  const wrong: [argv: string[], status: number, message: RegExp][] = [
    [[], 2, /^tsinfo: no capture is named: tsinfo FILE \(see tsinfo --help\)$/],
    [['-', '-'], 2, /"-" is named twice, but standard input can be read once only/],
    [['--json', '--dump', 'x'], 2, /--json and --dump cannot both be given: standard output holds one of them/],
    [['--dump', '--html', 'y', 'x'], 2, /--dump and --html cannot both be given/],
    [['--mtu', '5', 'x'], 2, /--mtu needs a whole number from 68 to 262144, not "5"/],
    [['--top', 'all', 'x'], 2, /--top needs a whole number from 0 to 10000, not "all"/],
    [['/nowhere'], 1, /\/nowhere cannot be read: no such file/],
    [['--dump', '/nowhere'], 1, /\/nowhere cannot be opened: no such file/],
    [[join(root, 'package.json')], 1, /is neither pcap nor pcapng/],
    [['--nonsense'], 2, /--nonsense is no option of tsinfo/],
  ];
  for (const [argv, status, message] of wrong) {
    const run = await tsinfo(...argv);
    assert.equal(run.status, status, `${argv}: ${run.error}`);
    assert.match(run.error, message);
    assert.equal(run.error.split('\n').length, 1);
  }
  t.pass(`${wrong.length} sentences`);
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
  const told = spawnSync(process.execPath, [CLI, '--version']);
  t.equal(told.stdout.toString(), `tsinfo version: ${version}\n`);
  const piped = spawnSync(process.execPath, [CLI, '-q', '-'], { input: readFileSync(fixture('mixed/in.pcap')) });
  t.match(piped.stdout.toString(), /^Ready to replay -: yes\n$/);
});

t.test('docs/tsinfo.md', (t) => {
  const help = longHelp(INFO_TABLE);
  const text = checkHelpPage(t, INFO_TABLE);
  for (const line of help.split('\n')) if (line.length > 100) t.fail(`too long: ${line}`);
  const rows = [...text.slice(text.indexOf('| field |')).matchAll(/^\| `([a-zA-Z]+)` \|/gm)].map((match) => match[1]);
  const file = REPORT.entries.files.item.entries;
  t.same(rows, Object.keys(file), 'fields of a file');
  t.end();
});
