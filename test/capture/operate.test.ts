/** `tscap` as it is operated: with other programs, metrics, a terminal, a small disk, a key, several interfaces. */
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { hasProgram, labUnavailable } from '../../lab/availability.ts';
import type { Host } from '../../lab/host.ts';
import { type Lab, makeLab, pair } from '../../lab/lab.ts';
import { encodePcap } from '../../lab/pcapfile.ts';
import { type LabProcess, runProgram, shellQuote, until } from '../../lab/process.ts';
import { packageRoot } from '../structure/repository.ts';
import { reportOf, type TscapReport } from './tscap_report.ts';

const skip = labUnavailable('tcpdump', 'ping') ?? false;
const without = (program: string): string | false => skip || (hasProgram(program) ? false : `needs ${program}`);
const command = (name: string): string => path.join(packageRoot(), `dist/src/cli/${name}.js`);
const FIXTURES = path.join(packageRoot(), 'fixtures/pcaps');

t.setTimeout(120_000);

let lab: Lab;
let b: Host;
t.before(() => {
  if (skip !== false) return;
  const end = (host: string, n: number) => ({ host, iface: 'eth1', v4: `10.78.0.${n}/24` });
  lab = makeLab({ hosts: ['a', 'b'], links: [...pair().links, { a: end('a', 1), b: end('b', 2) }] });
  b = lab.host('b');
});
t.teardown(() => lab?.teardown());

const folder = (): string => fs.mkdtempSync(path.join(lab.directory, 'd-'));
const tscap = (...args: string[]): string[] => [process.execPath, command('tscap'), ...args];
const shell = (text: string, ...args: string[]): LabProcess => b.spawn(['sh', '-c', text, 'sh', ...tscap(...args)]);
const ping = (count: number, ...options: string[]): void => {
  lab.host('a').run(['ping', '-q', '-c', String(count), '-i', '0.005', ...options, '10.77.0.2']);
};
const reportIn = (text: string): TscapReport => JSON.parse(text.slice(text.indexOf('{'))) as TscapReport;
const conserved = (one: TscapReport): boolean => one.received === one.written + one.dropped.kernel + one.dropped.shed;

async function start(...args: string[]): Promise<LabProcess> {
  const running = b.spawn(tscap(...args));
  await running.waitFor(/listening on/);
  return running;
}

/** Packets that tcpdump finds in a whole file, compressed or not. */
function packetsIn(file: string): number {
  const read = /\.(zst|gz)$/.test(file) ? `${file.endsWith('.gz') ? 'zcat' : 'zstdcat'} "$0" | tcpdump -nr -` : '';
  const done = runProgram(['sh', '-c', read || 'tcpdump -nr "$0"', file]);
  if (/truncated|bad dump/.test(done.stderr)) throw new Error(done.stderr);
  return done.stdout.split('\n').filter((line) => /^\d\d:/.test(line)).length;
}

t.test(
  'rings of compressed files with an index; metrics agree with the report',
  { skip: without('zstd') },
  async (t) => {
    for (const [codec, suffix] of [
      ['zstd:3', 'zst'],
      ['gzip', 'gz'],
    ] as const) {
      const place = folder();
      const index = path.join(place, 'index');
      const ring = ['-b', 'packets:50', '-b', 'files:3', '--compress', codec, '--index', index];
      const running = await start(
        ...[
          '-i',
          'eth0',
          '-w',
          path.join(place, `x.pcapng.${suffix}`),
          ...ring,
          '--metrics-port',
          '0',
          '--json',
          'icmp',
        ],
      );
      await running.waitFor(/Metrics: (\S+)/);
      const [, url] = /Metrics: (\S+)/.exec(running.stderr)!;
      ping(110);
      let text = '';
      const scraped = (): Record<string, number> =>
        Object.fromEntries([...text.matchAll(/^(tscap\S+) (\S+)$/gm)].map(([, name, value]) => [name!, Number(value)]));
      await until('everything is written', () => {
        text = b.run(['curl', '-s', url!]).stdout;
        return scraped()['tscap_packets_written_total'] === 220;
      });
      const metrics = scraped();
      await running.stop('SIGINT');
      const report = await reportOf(running);
      t.same([report.received, report.written, report.files], [220, 220, 5], codec);
      t.same(
        [metrics['tscap_packets_received_total'], metrics['tscap_bytes_written_total'], metrics['tscap_files_total']],
        [report.received, report.bytes, report.files],
      );
      t.equal(metrics['tscap_packets_dropped_total{by="kernel"}'], 0);
      const entries = fs
        .readFileSync(index, 'utf8')
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as { file?: string; removed?: string; packets: number; fileBytes: number });
      const removed = new Set(entries.map((entry) => entry.removed));
      const kept = entries.filter((entry) => entry.file !== undefined && !removed.has(entry.file));
      t.same(
        kept.map((entry) => path.basename(entry.file!)),
        fs
          .readdirSync(place)
          .filter((name) => name !== 'index')
          .sort(),
        'the index tells what there is',
      );
      for (const { file, packets, fileBytes } of kept) {
        t.match(file, new RegExp(`x_0000[345]_\\d{14}\\.pcapng\\.${suffix}$`));
        t.same([packetsIn(file!), fs.statSync(file!).size], [packets, fileBytes]);
      }
    }
  },
);

t.test('standard output: to tcpdump, compressed, to a reader that leaves', { skip: without('zstd') }, async (t) => {
  const whole = shell('"$@" | tcpdump -nr -', '-i', 'eth0', '-w', '-', '-c', '20', '-U', '--json', 'icmp');
  await whole.waitFor(/listening on/);
  ping(12);
  await whole.ended;
  t.equal(whole.stdout.match(/ICMP echo/g)?.length, 20);
  t.equal(reportIn(whole.stderr.replace(/^.*listening.*$/m, '').replace(/^reading.*$/m, '')).written, 20);
  const packed = shell('"$@" | zstd -dc | tcpdump -nr -', '-i', 'eth0', '-w', '-', '-c', '20', '--compress', 'zstd');
  await packed.waitFor(/listening on/);
  ping(12);
  await packed.ended;
  t.ok((packed.stdout.match(/ICMP echo/g)?.length ?? 0) >= 18, 'of 20, some may be neighbours asking');
  const left = shell('"$@" | head -c 300 > /dev/null', '-i', 'eth0', '-w', '-', '-U', '--json', '--strict', 'icmp');
  await left.waitFor(/listening on/);
  ping(50);
  await left.ended;
  const report = reportIn(left.stderr);
  t.ok(
    conserved(report) && report.written < 100 && report.dropped.shed === 0,
    'what came later is not counted as lost',
  );
});

t.test('SIGHUP while -G names files by the time', { skip }, async (t) => {
  const place = folder();
  const running = await start(
    '-i',
    'eth0',
    '-w',
    path.join(place, 'h-%Y.pcap'),
    '-G',
    '86400',
    '--duration',
    '1000h',
    '--json',
    'icmp',
  );
  ping(10);
  await new Promise((resolve) => setTimeout(resolve, 300));
  running.child.kill('SIGHUP');
  await until('a second file', () => fs.readdirSync(place).length === 2);
  ping(10);
  await running.stop('SIGTERM');
  const names = fs.readdirSync(place);
  t.equal((await reportOf(running)).written, 40);
  t.equal(
    names.reduce((sum, name) => sum + packetsIn(path.join(place, name)), 0),
    40,
    'nothing is written over',
  );
});

t.test('a full disk is told, and again when there is room', { skip }, async (t) => {
  const small = path.join(lab.directory, 'small');
  fs.mkdirSync(small);
  // In the mount namespace of this one program, which ends it; the file is copied out of it.
  const script = [
    `cd ${shellQuote(lab.directory)} && mount -t tmpfs -o size=300k tmpfs small`,
    'head -c 200k /dev/zero > small/ballast',
    '("$@"; echo "status $?" >&2) &',
    'while [ ! -e room ]; do sleep 0.05; done; rm small/ballast; wait; cp small/x.pcapng .',
  ].join('\n');
  const running = b.spawn([
    ...['unshare', '--mount', 'sh', '-c', script, 'sh'],
    ...tscap('-i', 'eth0', '-w', `${small}/x.pcapng`, '-U', '--json', '--strict', '-c', '260', 'icmp'),
  ]);
  await running.waitFor(/listening on/);
  ping(100, '-s', '1400');
  await running.waitFor(/tscap: no room on the disk: packets are counted, not written, until there is/);
  fs.writeFileSync(path.join(lab.directory, 'room'), '');
  await new Promise((resolve) => setTimeout(resolve, 300));
  ping(20, '-s', '1400');
  await running.waitFor(/tscap: writing again: \d+ packets were not written/);
  ping(20, '-s', '1400');
  await running.ended;
  const report = await reportOf(running);
  t.match(running.stderr, /status 1/, '--strict');
  t.ok(conserved(report) && report.received === 260 && report.dropped.shed > 0);
  t.equal(packetsIn(path.join(lab.directory, 'x.pcapng')), report.written, 'one valid file');
  t.match(running.stderr, new RegExp(`writing again: ${report.dropped.shed} packets`), 'the same number');
});

t.test('--max-disk without rotation: one file, never larger, and told', { skip }, async (t) => {
  const file = path.join(folder(), 'x.pcapng');
  const running = await start('-i', 'eth0', '-w', file, '--max-disk', '1M', '--json', '-U', 'icmp');
  lab.host('a').run(['ping', '-q', '-f', '-c', '1000', '-s', '1400', '10.77.0.2']);
  await running.waitFor(/no room on the disk, or under --max-disk: packets are counted, not written/);
  await running.stop('SIGINT');
  const report = await reportOf(running);
  t.ok(conserved(report) && report.dropped.shed > 0 && report.files === 1);
  t.ok(fs.statSync(file).size <= 1 << 20 && fs.statSync(file).size > (1 << 20) - 4000);
  t.equal(packetsIn(file), report.written);
  const info = runProgram([process.execPath, command('tsinfo'), file]).stdout;
  t.match(info, /Interface: +eth0: .* 0 lost by the capture/, 'its statistics are in it');
});

t.test('two interfaces, one is removed: told at once, the other goes on, one file by time', { skip }, async (t) => {
  b.run(['ip', 'link', 'add', 'd0', 'type', 'veth', 'peer', 'name', 'd1']);
  for (const name of ['d0', 'd1']) b.run(['ip', 'link', 'set', name, 'up']);
  const file = path.join(folder(), 'x.pcapng');
  const running = await start('-i', 'eth0', '-i', 'd0', '-i', 'eth1', '-w', file, '--json', 'icmp');
  const other = lab.host('a').spawn(['ping', '-q', '-c', '60', '-i', '0.005', '10.78.0.2']);
  ping(50);
  b.run(['ip', 'link', 'delete', 'd0']);
  await running.waitFor(/tscap: d0 was removed during the run.*; the other interfaces go on/);
  await other.ended;
  ping(5);
  await running.stop('SIGINT');
  t.equal((await running.ended).status, 1);
  const report = await reportOf(running);
  t.same([report.received, report.written], [230, 230]);
  const info = runProgram([process.execPath, command('tsinfo'), file]).stdout;
  t.match(info, /Interface 0: +eth0: .* 110 packets, 0 lost/);
  t.match(info, /Interface 1: +d0: .* 0 packets/);
  t.match(info, /Interface 2: +eth1: .* 120 packets, 0 lost/);
  t.match(info, /Time order: +yes/);
  if (!hasProgram('capinfos')) return;
  const capinfos = runProgram(['capinfos', file]).stdout;
  t.match(capinfos, /Strict time order: +True/);
  t.match(capinfos, /Capture application: tscap/);
  t.match(capinfos, /Time precision = nanoseconds/);
  t.match(capinfos, /Filter string = icmp/);
  t.match(capinfos, /Number of stat entries = 1/);
});

t.test('--anonymize: the same key, the same people; sums stay true', { skip }, async (t) => {
  const place = folder();
  const key = path.join(place, 'key');
  fs.writeFileSync(key, Buffer.alloc(32, 7));
  const anonymized = (input: string, policy: string, name: string): string => {
    const out = path.join(place, name);
    runProgram(tscap('-r', input, '-w', out, '--anonymize', key, '--anonymize-payload', policy, '--quiet'));
    return out;
  };
  const sums = (file: string): string => runProgram(['tcpdump', '-nevv', '-r', file]).stdout;
  const addresses = (text: string): string[] => [...new Set(text.match(/\d+\.\d+\.\d+\.\d+(?=[.:, ])/g))];
  const frames = (text: string): number => text.match(/^\d\d:/gm)!.length;
  const inputs = ['icmp-errors', 'http-ipv6', 'dns', 'fragments-ipv4'].flatMap((name) => {
    const one = path.join(FIXTURES, name);
    return ['-r', path.join(one, fs.readdirSync(one).find((file) => file.startsWith('in.'))!)];
  });
  const input = path.join(place, 'in.pcap');
  runProgram(tscap(...inputs, '-w', input, '--quiet'));
  for (const policy of ['keep', 'zero', 'cut']) {
    const text = sums(anonymized(input, policy, `${policy}.pcap`));
    t.notMatch(text, /incorrect|bad (udp|icmp6)? ?cksum|wrong/, policy);
    // HTTP names its host in the payload.
    if (policy !== 'keep') t.notMatch(text, /10\.77\.0\.|fd77::/, 'no address is left, quoted ones included');
    t.equal(frames(text), frames(sums(input)));
  }
  const again = anonymized(input, 'zero', 'again.pcap');
  t.ok(fs.readFileSync(again).equals(fs.readFileSync(path.join(place, 'zero.pcap'))), 'byte for byte');
  const known = addresses(sums(again));
  const networks = new Set(known.map((one) => one.split('.').slice(0, 2).join('.')));
  t.ok(networks.size < known.length, `prefixes are kept: ${known.join(' ')}`);
  const live = path.join(place, 'live.pcap');
  const running = await start('-i', 'eth0', '-w', live, '--anonymize', key, '--json', 'icmp');
  ping(5);
  await running.stop('SIGINT');
  t.equal(packetsIn(live), 10);
  t.notMatch(sums(live), /10\.77\.0\.|02:00:00:00:00|wrong/);
});

t.test('kill -9 under load: at most one record is cut off, and the tools read up to it', { skip }, async (t) => {
  const place = folder();
  const input = path.join(place, 'load.pcap');
  const data = Buffer.concat([Buffer.from('02000000000202000000000188b5', 'hex'), Buffer.alloc(586, 0x5a)]);
  const packets = Array.from({ length: 5000 }, (_, i) => ({ sec: 1, nsec: i, len: data.length, data }));
  fs.writeFileSync(input, encodePcap({ linktype: 1, snaplen: 65_535, precision: 'nano', bigEndian: false, packets }));
  for (const [name, ...options] of [['x.pcap'], ['x.pcapng'], ['x.pcap', '--compress', 'zstd:1']] as const) {
    const file = path.join(place, options.length > 0 ? `${name}.zst` : name);
    const running = await start('-i', 'eth0', '-w', path.join(place, name), ...options);
    const load = lab
      .host('a')
      .spawn([
        process.execPath,
        command('tsreplay'),
        '-i',
        'eth0',
        '--pps',
        '50000',
        '--loop',
        '100',
        '--quiet',
        input,
      ]);
    await until('a file that grows', () => fs.existsSync(file) && fs.statSync(file).size > 20_000);
    running.child.kill('SIGKILL');
    await running.ended;
    await load.stop('SIGINT');
    const info = JSON.parse(runProgram([process.execPath, command('tsinfo'), '--json', file], { check: false }).stdout);
    const count = (info as { files: { packets: number }[] }).files[0]!.packets;
    const out = path.join(place, 'out.pcap');
    runProgram([process.execPath, command('tsreplay'), '--topspeed', '--quiet', '--write', out, file], {
      check: false,
    });
    t.ok(count > 0 && packetsIn(out) === count, `${file}: ${count} packets`);
  }
});

t.test('a terminal gets a live line', { skip: without('script') }, async (t) => {
  const running = b.spawn([
    'script',
    '-qec',
    // `exec`: a shell that stays between the two (dash, where SHELL is not set) would answer Ctrl-C with 130.
    `exec ${shellQuote(...tscap('-i', 'eth0', '-w', path.join(folder(), 'x'), 'icmp'))}`,
    '/dev/null',
  ]);
  await running.waitFor(/listening on/);
  ping(20);
  await running.waitFor(/\r\x1b\[K40 packets, .* pps, .* Mbps, dropped 0, \d+ s/);
  running.child.stdin!.write('\x03');
  t.same((await running.ended).status, 0, 'Ctrl-C');
  t.match(running.stdout, /\r\x1b\[K40 packets written/, 'the line makes room for the report');
});

t.test('any: lines name the interface', { skip }, async (t) => {
  const running = await start('-i', 'any', '-c', '4', 'icmp');
  ping(2);
  await running.ended;
  t.match(
    running.stdout,
    /^\S+ eth0 {2}In {2}IP 10\.77\.0\.1 > 10\.77\.0\.2: ICMP echo request.*\n\S+ eth0 {2}Out IP 10/,
  );
});

t.test('the library, from outside', { skip }, async (t) => {
  const place = folder();
  fs.mkdirSync(path.join(place, 'node_modules'));
  fs.symlinkSync(packageRoot(), path.join(place, 'node_modules/tsreplay'));
  // The example of docs/tscap.md, ended after six frames.
  const page = fs.readFileSync(path.join(packageRoot(), 'docs/tscap.md'), 'utf8');
  const [, example] = /## As a library\n+```ts\n([^`]*)```/.exec(page)!;
  t.match(example, /from 'tsreplay\/capture'/);
  const text = example!.replace("filter: 'tcp port 80' }", "filter: 'icmp', packets: 6 }");
  t.not(text, example);
  fs.writeFileSync(path.join(place, 'example.mjs'), `${text}\nconsole.log('end');\n`);
  const running = b.spawn([process.execPath, path.join(place, 'example.mjs')], { cwd: place });
  for (let n = 0; n < 100 && running.running; n++) {
    ping(1);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  t.equal((await running.ended).status, 0, running.stderr);
  const lines = running.stdout.trim().split('\n');
  t.equal(lines.filter((line) => /^\d+ \d+ 98$/.test(line)).length, 6);
  t.match(running.stdout, /received: 6,/);
  t.equal(lines.at(-1), 'end');
});
