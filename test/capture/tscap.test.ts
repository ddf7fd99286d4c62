/** The command `tscap` on the wire: veth between namespaces, real traffic, files opened by tcpdump. */
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { hasProgram, labUnavailable } from '../../lab/availability.ts';
import type { Host } from '../../lab/host.ts';
import { type Lab, makeLab, pair } from '../../lab/lab.ts';
import { encodePcap, readPcap } from '../../lab/pcapfile.ts';
import { type LabProcess, runProgram, until } from '../../lab/process.ts';
import { startNginx } from '../../lab/servers.ts';
import { hasCap } from '../../src/device/index.ts';
import { packageRoot } from '../structure/repository.ts';
import { reportOf, type TscapReport } from './tscap_report.ts';

const skip = labUnavailable('tcpdump', 'ping') ?? false;
const TSREPLAY = path.join(packageRoot(), 'dist/src/cli/tsreplay.js');
const TSCAP = path.join(packageRoot(), 'dist/src/cli/tscap.js');

let lab: Lab;
t.before(() => {
  if (skip === false) lab = makeLab(pair({}, 'both'));
});
t.teardown(() => lab?.teardown());

let made = 0;
const fileName = (extension = 'pcap'): string => path.join(lab.directory, `t${made++}.${extension}`);
const tscap = (...args: string[]): string[] => [process.execPath, TSCAP, ...args];

async function start(host: Host, ...args: string[]): Promise<LabProcess> {
  const running = host.spawn(tscap(...args));
  await running.waitFor(/listening on/);
  return running;
}

async function finish(running: LabProcess, signal: 'SIGINT' | 'SIGTERM' = 'SIGINT'): Promise<TscapReport> {
  await running.stop(signal);
  return reportOf(running);
}

const ping = (count: number, to = '10.77.0.2'): void => {
  lab.host('a').run(['ping', '-q', '-c', String(count), '-i', '0.01', to]);
};

/** Lines of tcpdump, which must be able to read the whole file. */
function tcpdumpLines(file: string, ...filter: string[]): string[] {
  const { stdout, stderr } = runProgram(['tcpdump', '-nr', file, ...filter]);
  if (/truncated|bad dump/.test(stderr)) throw new Error(stderr);
  return stdout.split('\n').filter((line) => line !== '' && !line.startsWith('\t') && !line.startsWith('    '));
}

const conserved = (report: TscapReport): boolean =>
  report.received === report.written + report.dropped.kernel + report.dropped.shed;

t.test('packets of ping and curl, in pcap and pcapng, µs and ns', { skip }, async (t) => {
  if (hasProgram('nginx')) await startNginx(lab, lab.host('b'), { files: { 'a.txt': 'x'.repeat(100_000) } });
  for (const [extension, precision] of [
    ['pcap', 'nano'],
    ['pcapng', 'nano'],
    ['pcap', 'micro'],
  ] as const) {
    const file = fileName(extension);
    const running = await start(lab.host('b'), '-i', 'eth0', '-w', file, '--json', '--time-stamp-precision', precision);
    const before = lab.host('b').statistics('eth0');
    ping(20);
    if (hasProgram('nginx') && hasProgram('curl')) {
      lab.host('a').run(['curl', '-s', '-o', '/dev/null', 'http://10.77.0.2/a.txt']);
    }
    const after = lab.host('b').statistics('eth0');
    const report = await finish(running);
    const passed = after.rxPackets - before.rxPackets + after.txPackets - before.txPackets;
    t.equal(report.written, passed, `${extension} ${precision}: every packet that the interface counted`);
    t.equal(tcpdumpLines(file).length, report.written, 'and tcpdump finds them in the file');
    t.ok(conserved(report) && report.files === 1, 'conservation');
    t.equal(tcpdumpLines(file, 'icmp').length, 40, 'requests and replies');
  }
});

t.test('filter in the kernel, count, direction, snaplen', { skip }, async (t) => {
  const file = fileName();
  const run = lab
    .host('b')
    .spawn(tscap('-i', 'eth0', '-w', file, '--json', '-c', '5', '-s', '60', '-Q', 'in', 'icmp', 'or', 'udp'));
  await run.waitFor(/listening on/);
  ping(12);
  t.same(await run.ended, { status: 0, signal: null });
  const { packets, snaplen } = readPcap(file);
  t.equal(packets.length, 5, 'ends after five');
  t.equal(snaplen, 60);
  t.ok(
    packets.every((one) => one.data.length === 60 && one.len === 98),
    'cut to 60 of 98 bytes',
  );
  t.equal(tcpdumpLines(file, 'src', 'host', '10.77.0.1').length, 5, 'only what comes in');
  const out = fileName();
  const leaving = await start(lab.host('b'), '-i', 'eth0', '-w', out, '--json', '-Q', 'out', 'icmp');
  ping(3);
  t.equal((await finish(leaving)).written, 3);
  t.equal(tcpdumpLines(out, 'src', 'host', '10.77.0.2').length, 3, 'only what leaves');
});

/** Sends frames from host a as they are. */
function send(frames: readonly Buffer[]): void {
  const file = fileName();
  const packets = frames.map((data, i) => ({ sec: 1, nsec: i, len: data.length, data }));
  fs.writeFileSync(file, encodePcap({ linktype: 1, snaplen: 65_535, precision: 'nano', bigEndian: false, packets }));
  lab.host('a').run([process.execPath, TSREPLAY, '-i', 'eth0', '--topspeed', file]);
}

t.test('VLAN tags are put back, and filters see them', { skip }, async (t) => {
  // The kernel takes the tag out of each frame before a capture sees it.
  const tagged = (id: number): Buffer =>
    Buffer.from(`0200000000020200000000018100${id.toString(16).padStart(4, '0')}88b5${'a5'.repeat(46)}`, 'hex');
  const plain = Buffer.from(`02000000000202000000000188b5${'5a'.repeat(46)}`, 'hex');
  const frames = [tagged(7), plain, tagged(8), tagged(0x6007)];
  const all = fileName();
  const cooked = fileName();
  const seven = fileName();
  const everything = await start(lab.host('b'), '-i', 'eth0', '-w', all, '--json', '-Q', 'in', '-s', '40');
  const any = await start(lab.host('b'), '-i', 'any', '-w', cooked, '--json', '-Q', 'in');
  const filtered = await start(lab.host('b'), '-i', 'eth0', '-w', seven, '--json', 'vlan 7');
  send(frames);
  t.equal((await finish(everything)).written, 4);
  t.equal((await finish(any)).written, 4);
  t.equal((await finish(filtered)).written, 2, 'vlan 7');
  t.same(
    readPcap(all).packets.map((one) => one.data.toString('hex')),
    frames.map((frame) => frame.subarray(0, 40).toString('hex')),
    'as they were on the wire, cut to the snaplen',
  );
  t.same(
    readPcap(all).packets.map((one) => one.len),
    frames.map((frame) => frame.length),
  );
  t.same(
    readPcap(cooked).packets.map((one) => one.data.readUInt16BE(0)),
    [0x8100, 0x88b5, 0x8100, 0x8100],
    'also in cooked frames',
  );
  t.equal(readPcap(cooked).packets[3]!.data.readUInt32BE(20), 0x6007_88b5);
});

t.test('any: cooked frames, each once, loopback too', { skip }, async (t) => {
  const file = fileName();
  const running = await start(lab.host('b'), '-i', 'any', '-w', file, '--json', 'icmp');
  ping(5);
  lab.host('b').run(['ping', '-q', '-c', '3', '-i', '0.01', '127.0.0.1']);
  const report = await finish(running);
  t.equal(report.written, 16);
  t.equal(readPcap(file).linktype, 276);
  t.equal(tcpdumpLines(file, 'host 10.77.0.1').length, 10);
  t.equal(tcpdumpLines(file, 'host 127.0.0.1').length, 6);
  const other = fileName();
  const narrow = await start(lab.host('b'), '-i', 'any', '-w', other, '--json', 'icmp and greater 200');
  lab.host('a').run(['ping', '-q', '-c', '2', '-s', '300', '-i', '0.01', '10.77.0.2']);
  ping(2);
  t.equal((await finish(narrow)).written, 4, 'a filter that the kernel cannot run is run here');
});

t.test('workers share the packets', { skip }, async (t) => {
  const file = fileName();
  const running = await start(lab.host('b'), '-i', 'eth0', '-w', file, '--json', '--workers', '2', 'icmp or tcp');
  ping(10);
  for (let i = 0; i < 6; i++) {
    lab.host('a').run(['curl', '-s', '-o', '/dev/null', 'http://10.77.0.2/a.txt'], { check: false });
  }
  const report = await finish(running);
  const [one, two] = [1, 2].map((n) => readPcap(file.replace('.pcap', `.w${n}.pcap`)).packets.length);
  t.equal(one! + two!, report.written, 'each in one file');
  t.ok(report.written >= 20 && conserved(report));
  const merged = fileName('pcapng');
  const parts = [1, 2].flatMap((n) => ['-r', file.replace('.pcap', `.w${n}.pcap`)]);
  runProgram(tscap(...parts, '--merge', '-w', merged, '--quiet'));
  const stamps = tcpdumpLines(merged, '-tt').map((line) => Number(line.split(' ')[0]));
  t.equal(stamps.length, report.written, '--merge');
  t.same(
    stamps,
    stamps.toSorted((a, b) => a - b),
    'in the order of time',
  );
});

t.test('several interfaces, another namespace, a process', { skip }, async (t) => {
  const file = fileName('pcapng');
  const running = await start(lab.host('b'), '-i', 'eth0', '-i', 'lo', '-w', file, '--json', 'icmp');
  ping(2);
  lab.host('b').run(['ping', '-q', '-c', '2', '-i', '0.01', '127.0.0.1']);
  t.equal((await finish(running)).written, 8);
  t.equal(tcpdumpLines(file).length, 8);
  const netns = fileName();
  const outside = lab
    .host('a')
    .spawn(tscap('--netns', lab.host('b').netns, '-i', 'eth0', '-w', netns, '--json', 'icmp'));
  await outside.waitFor(/listening on/);
  ping(2);
  t.equal((await finish(outside)).written, 4, '--netns');
  const sleeper = lab.host('b').spawn(['sleep', '30']);
  const pid = fileName();
  const container = lab
    .host('a')
    .spawn(tscap('--pid', String(sleeper.child.pid), '-i', 'lo', '-w', pid, '--json', 'icmp'));
  await container.waitFor(/listening on/);
  lab.host('b').run(['ping', '-q', '-c', '3', '-i', '0.01', '127.0.0.1']);
  t.equal((await finish(container)).written, 6, '--pid');
  const list = lab.host('a').run(tscap('--list', '--netns', lab.host('b').netns)).stdout;
  t.match(list, /eth0 +up .*10\.77\.0\.2\/24/);
});

t.test('libpcap, and the package cap', { skip }, async (t) => {
  for (const backend of ['libpcap', ...(hasCap() ? ['cap'] : [])]) {
    const file = fileName();
    const running = await start(lab.host('b'), '-i', 'eth0', '-w', file, '--json', '--backend', backend, 'icmp');
    ping(15);
    const report = await finish(running);
    t.equal(report.written, 30, backend);
    t.equal(tcpdumpLines(file).length, 30);
  }
});

t.test('rotation on SIGHUP, by size; counts of all files', { skip }, async (t) => {
  const directory = fs.mkdtempSync(path.join(lab.directory, 'ring-'));
  const running = await start(
    lab.host('b'),
    '-i',
    'eth0',
    '-w',
    path.join(directory, 'r.pcap'),
    '--json',
    '-C',
    '4K',
    'icmp',
  );
  ping(40);
  running.child.kill('SIGHUP');
  await new Promise((resolve) => setTimeout(resolve, 300));
  ping(10);
  const report = await finish(running, 'SIGTERM');
  const names = fs.readdirSync(directory);
  const found = names.reduce((sum, name) => sum + tcpdumpLines(path.join(directory, name)).length, 0);
  t.equal(report.written, 100);
  t.equal(found, 100, `in ${names.length} files`);
  t.equal(report.files, names.length);
});

/** The packets that the statistics blocks of a pcapng file say were received (option 4), one number a block. */
function receivedIn(file: string): number[] {
  const bytes = fs.readFileSync(file);
  const found: number[] = [];
  for (let at = 0; at < bytes.length; at += bytes.readUInt32LE(at + 4)) {
    if (bytes.readUInt32LE(at) !== 5) continue;
    for (let option = at + 20; bytes.readUInt16LE(option) !== 0; ) {
      if (bytes.readUInt16LE(option) === 4) found.push(Number(bytes.readBigUInt64LE(option + 4)));
      option += 4 + ((bytes.readUInt16LE(option + 2) + 3) & ~3);
    }
  }
  return found;
}

t.test('pcapng files that end by their size say what was received, too', { skip }, async (t) => {
  const directory = fs.mkdtempSync(path.join(lab.directory, 'said-'));
  const file = path.join(directory, 's.pcapng');
  const running = await start(lab.host('b'), '-i', 'eth0', '-w', file, '--json', '-C', '4K', '-U', 'icmp');
  for (let n = 0; n < 4; n++) {
    ping(20);
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
  const { written, files } = await finish(running, 'SIGTERM');
  t.ok(written === 160 && files > 3, `${files} files`);
  const said = [file, ...Array.from({ length: files - 1 }, (_, n) => file + (n + 1))].map(receivedIn);
  t.ok(
    said.every((one) => one.length === 1),
    JSON.stringify(said),
  );
  t.equal(said.at(-1)![0], 160);
  t.ok(said[1]![0]! > 0 && said[1]![0]! < 160, 'as it was when the file ended');
});

t.test('kill -9 leaves at most one record cut off', { skip }, async (t) => {
  const file = fileName();
  const running = await start(lab.host('b'), '-i', 'eth0', '-w', file, '-U', 'icmp');
  ping(10);
  await until('all of them, while it runs', () => readPcap(file).packets.length >= 20);
  running.child.kill('SIGKILL');
  await running.ended;
  t.equal(readPcap(file).packets.length, 20);
});
