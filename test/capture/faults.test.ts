/** What goes wrong around `tscap`: one sentence, the right counts, the right status, valid files. */
import { spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { gunzipSync } from 'node:zlib';
import t from 'tap';
import { hasProgram, labUnavailable } from '../../lab/availability.ts';
import { type Lab, makeLab, pair } from '../../lab/lab.ts';
import { encodePcap, readPcap } from '../../lab/pcapfile.ts';
import { runProgram, shellQuote } from '../../lab/process.ts';
import type { CaptureSnapshot } from '../../src/capture/report.ts';
import { captureLines, captureLiveLine } from '../../src/cli/capture_report.ts';
import { packageRoot } from '../structure/repository.ts';
import { reportOf } from './tscap_report.ts';

const skip = labUnavailable('tcpdump', 'ping') ?? false;
const TSCAP = path.join(packageRoot(), 'dist/src/cli/tscap.js');
const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'tscap-faults-'));
t.teardown(() => fs.rmSync(directory, { recursive: true, force: true }));

// A machine that is shared needs longer.
t.setTimeout(180_000);

let lab: Lab;
t.before(() => {
  if (skip === false) lab = makeLab(pair());
});
t.teardown(() => lab?.teardown());

let made = 0;
const fileName = (extension = 'pcap'): string => path.join(directory, `f${made++}.${extension}`);
const run = (args: readonly string[], input?: Uint8Array) =>
  spawnSync(process.execPath, [TSCAP, ...args], { encoding: 'utf8', timeout: 30_000, input });

/** UDP packets between two addresses. */
function capture(packets: number): Buffer {
  const data = (i: number): Buffer =>
    Buffer.from(
      `0200000000020200000000010800450000200000000040110000${i % 2 === 0 ? '0a000001' : '0a000002'}0a000003` +
        `1388${(1000 + i).toString(16).padStart(4, '0')}000c0000${'00'.repeat(22)}`,
      'hex',
    );
  const list = Array.from({ length: packets }, (_, i) => ({ sec: 100 + i, nsec: i * 1000, len: 64, data: data(i) }));
  return encodePcap({ linktype: 1, snaplen: 65_535, precision: 'micro', bigEndian: false, packets: list });
}

t.test('command lines that are wrong', async (t) => {
  const wrong: [string[], number, RegExp][] = [
    [['-r', 'x.pcap', '-w', 'y.pcap', '-i', 'lo'], 2, /--interface and --read cannot both/],
    [['-i', 'lo', '-W', '3'], 2, /--file-count needs --file-size or --rotate-seconds/],
    [['-i', 'lo', '-w', '-', '--workers', '2'], 2, /one stream/],
    [['-i', 'lo', '-w', 'x', '-b', 'files:3'], 2, /needs one of filesize/],
    [['-i', 'lo', '-w', 'x', '--compress', 'lzma'], 2, /--compress is zstd/],
    [['-i', 'lo', '-w', 'x', '-b', 'packets:3', '-b', 'packets:4'], 2, /-b packets is given twice/],
    [['-i', 'lo', '-w', 'x', '--max-disk', '1K'], 2, /--max-disk needs a size like 100M or 20G, 1M at least/],
    [['-i', 'lo', '-i', 'lo'], 2, /-i lo is given twice/],
    [['-i', 'lo', '-i', 'any'], 2, /-i any is every interface/],
    [['-i', 'lo,eth0'], 2, /-i lo,eth0: an interface each: -i lo -i eth0/],
    [['-i', 'lo', '--relinquish-privileges', 'x'], 2, /type --user NAME/],
    [['-i', 'lo', '-K'], 2, /checksums are looked at with -v only/],
    [['--pid', '4194304', '-i', 'lo'], 3, /no network namespace of process 4194304: ps -e shows processes/],
    [['-i', 'lo', '-c', '0'], 2, /--count needs a whole number/],
    [['-i', 'lo', '-a', 'packets:3000000000'], 2, /-a packets needs a whole number from 1 to 2000000000/],
    [['-r', path.join(directory, 'none.pcap')], 1, /cannot open .*none\.pcap/],
    [['--netns', 'tscap-none', '-i', 'lo'], 3, /there is no network namespace tscap-none: ip netns list/],
  ];
  for (const [args, status, pattern] of wrong) {
    const result = run(args);
    t.match(result.stderr, pattern);
    t.equal(result.status, status, args.join(' '));
    t.equal(result.stderr.trim().split('\n').length, 1, 'one line');
  }
});

t.test('files: filtered, converted, from standard input', { skip: skip || false }, async (t) => {
  const input = fileName();
  fs.writeFileSync(input, capture(100));
  const ng = fileName('pcapng');
  const converted = run(['-r', input, '-w', ng, '--json', 'src host 10.0.0.1']);
  const report = JSON.parse(converted.stdout);
  t.same(Object.keys(report), ['received', 'dropped', 'written', 'bytes', 'seconds', 'files']);
  t.same(Object.keys(report.dropped), ['kernel', 'interface', 'shed']);
  t.equal(report.received, 100);
  t.equal(report.written, 50);
  t.equal(runProgram(['tcpdump', '-nr', ng]).stdout.trim().split('\n').length, 50);
  const back = run(['-r', '-', '-w', '-', '-c', '7', '--time-stamp-precision', 'micro'], fs.readFileSync(ng));
  t.equal(back.status, 0, back.stderr);
  const out = fileName();
  run(['-r', ng, '-w', out, '--time-stamp-precision', 'micro']);
  t.same(
    readPcap(out).packets.map((one) => one.data.toString('hex')),
    readPcap(input)
      .packets.filter((_, i) => i % 2 === 0)
      .map((one) => one.data.toString('hex')),
    'byte for byte',
  );
  fs.appendFileSync(input, Buffer.from([1, 2, 3]));
  const cut = fileName();
  const truncated = run(['-r', input, '-w', cut]);
  t.equal(truncated.status, 1, 'a truncated capture');
  t.match(truncated.stderr, /packet 101|truncated|cut/);
  t.equal(readPcap(cut).packets.length, 100, 'is read up to its last whole record');
  const lines = run(['-r', ng, '-c', '3', '--quiet']).stdout.trim().split('\n');
  t.equal(lines.length, 3);
  t.match(lines[0]!, /IP 10\.0\.0\.1\.5000 > 10\.0\.0\.3\.1000: UDP/);
});

t.test('-z: a program is run on each finished file', { skip: hasProgram('gzip') ? skip : 'needs gzip' }, async (t) => {
  const input = fileName();
  fs.writeFileSync(input, capture(100));
  const folder = fs.mkdtempSync(path.join(directory, 'z'));
  const done = run(['-r', input, '-w', path.join(folder, 'a.pcap'), '-b', 'packets:40', '-z', 'gzip']);
  t.equal(done.status, 0, done.stderr);
  const files = fs.readdirSync(folder).sort();
  t.equal(files.length, 3);
  const packets = files.map((name) => {
    const plain = fileName();
    fs.writeFileSync(plain, gunzipSync(fs.readFileSync(path.join(folder, name))));
    return readPcap(plain).packets.length;
  });
  t.same(packets, [40, 40, 20], 'the last one, too; none was cut when the program began');
  const compressed = ['-r', input, '-w', path.join(folder, 'b.pcap'), '--compress', 'gzip', '-z', 'false'];
  t.match(run(compressed), { status: 0, stderr: /tscap: false .*b\.pcap\.gz ended with status 1/ });
  t.match(run(['-r', input, '-w', 'x', '-z', 'gzip -9']), { status: 2, stderr: /no program gzip -9: .* a script/ });
  const silent = ['-r', input, '-w', path.join(folder, 'c.pcap'), '-X'];
  t.match(run(silent), { status: 0, stderr: /-X is about lines, and none are printed: add --print/ });
  t.match(run(['-r', input, '-w', '-', '-z', 'gzip']), { status: 2, stderr: /-z needs a file/ });
});

t.test('a filter, an interface, a file that is wrong', { skip }, async (t) => {
  const b = lab.host('b');
  const refused = (...args: string[]) => b.run([process.execPath, TSCAP, ...args], { check: false });
  const filter = refused('-i', 'eth0', '-w', fileName(), 'tcp', 'prot', '80');
  t.equal(filter.status, 2);
  t.match(filter.stderr, /syntax error at "prot" \(character 5\)/);
  const missing = refused('-i', 'eth9', '-w', fileName());
  t.equal(missing.status, 3);
  t.match(missing.stderr, /no interface eth9; there are: eth0, lo/);
  const unwritable = refused('-i', 'eth0', '-w', path.join(directory, 'no/such/x.pcap'));
  t.equal(unwritable.status, 1);
  t.match(unwritable.stderr, /no\/such\/x\.pcap.*No such file or directory/);
  const user = refused('-i', 'eth0', '-w', fileName(), '--user', 'nobody-at-all');
  t.equal(user.status, 2);
  t.match(user.stderr, /there is no user nobody-at-all/);
  const stamps = refused('-i', 'eth0', '-w', fileName(), '-j', 'adapter');
  t.equal(stamps.status, 3);
  t.match(stamps.stderr, /eth0 gives no stamps of its own .*leave out --time-stamp-type adapter/);
  const powerless = b.run(
    [
      'setpriv',
      '--bounding-set=-net_raw',
      '--inh-caps=-net_raw',
      process.execPath,
      TSCAP,
      '-i',
      'eth0',
      '-w',
      fileName(),
    ],
    { check: false },
  );
  t.equal(powerless.status, 3);
  t.match(powerless.stderr, /no permission to capture on eth0: .*sudo setcap cap_net_raw\+ep /);
});

t.test('rights are given up before the file is made', { skip }, async (t) => {
  const place = fs.mkdtempSync(path.join(directory, 'nobody-'));
  fs.chmodSync(directory, 0o755);
  fs.chmodSync(place, 0o777);
  const file = path.join(place, 'x.pcap');
  const running = lab
    .host('b')
    .spawn([process.execPath, TSCAP, '-i', 'eth0', '-w', file, '--json', '-Z', 'nobody', 'icmp']);
  await running.waitFor(/listening on/);
  lab.host('a').run(['ping', '-q', '-c', '3', '-i', '0.01', '10.77.0.2']);
  await running.stop('SIGINT');
  t.equal((await reportOf(running)).written, 6);
  t.equal(fs.statSync(file).uid, Number(runProgram(['id', '-u', 'nobody']).stdout));
});

t.test('an interface that goes down, and one that is removed', { skip }, async (t) => {
  for (const [what, message] of [
    ['down', /d0 went down during the run: ip link set d0 up/],
    ['delete', /d0 was removed during the run/],
  ] as const) {
    const b = lab.host('b');
    b.run(['ip', 'link', 'add', 'd0', 'type', 'veth', 'peer', 'name', 'd1']);
    for (const name of ['d0', 'd1']) b.run(['ip', 'link', 'set', name, 'up']);
    b.run(['ip', 'address', 'add', '10.79.0.1/24', 'dev', 'd0']);
    const file = fileName();
    const running = b.spawn([process.execPath, TSCAP, '-i', 'd0', '-w', file, '--json', 'arp']);
    await running.waitFor(/listening on/);
    b.run(['ping', '-q', '-c', '1', '-W', '1', '10.79.0.9'], { check: false });
    b.run(what === 'down' ? ['ip', 'link', 'set', 'd0', 'down'] : ['ip', 'link', 'delete', 'd0']);
    const { status } = await running.ended;
    t.equal(status, 1, what);
    t.match(running.stderr, message);
    const report = await reportOf(running);
    t.ok(report.written > 0 && report.written === readPcap(file).packets.length, 'right counts, a valid file');
    b.run(['ip', 'link', 'delete', 'd0'], { check: false });
  }
});

t.test('a disk that is full', { skip }, async (t) => {
  const b = lab.host('b');
  const small = path.join(directory, 'small');
  fs.mkdirSync(small);
  // In the mount namespace of this one program.
  const mount = `mount -t tmpfs -o size=64k tmpfs ${shellQuote(small)}`;
  const copy = `cp ${shellQuote(`${small}/x.pcap`, `${directory}/full.pcap`)}`;
  const script = `${mount} && "$@"; s=$?; ${copy}; exit $s`;
  const tool = [
    process.execPath,
    TSCAP,
    '-i',
    'eth0',
    '-w',
    `${small}/x.pcap`,
    '--json',
    '--strict',
    '--duration',
    '3',
    'icmp',
  ];
  const running = b.spawn(['unshare', '--mount', 'sh', '-c', script, 'sh', ...tool]);
  await running.waitFor(/listening on/);
  lab.host('a').run(['ping', '-q', '-c', '100', '-i', '0.005', '-s', '1400', '10.77.0.2']);
  const { status } = await running.ended;
  const report = await reportOf(running);
  t.equal(status, 1, running.stderr);
  t.equal(report.received, 200);
  t.equal(report.written + report.dropped.shed, 200, 'what did not fit is counted');
  t.ok(report.dropped.shed > 0);
  t.equal(readPcap(path.join(directory, 'full.pcap')).packets.length, report.written, 'the file is valid');
});

t.test('--cpu-limit sheds, and counts', { skip }, async (t) => {
  const file = fileName();
  const running = lab
    .host('b')
    .spawn([process.execPath, TSCAP, '-i', 'eth0', '-w', file, '--json', '--cpu-limit', '1', '--strict', '-B', '8192']);
  await running.waitFor(/listening on/);
  const input = path.join(directory, 'load.pcap');
  fs.writeFileSync(input, capture(2000));
  lab
    .host('a')
    .run([
      process.execPath,
      path.join(packageRoot(), 'dist/src/cli/tsreplay.js'),
      ...['-i', 'eth0', '--topspeed', '--preload-pcap', '--loop', '200', '--quiet', input],
    ]);
  const { status } = await running.stop('SIGINT').then(() => running.ended);
  const report = await reportOf(running);
  t.ok(report.dropped.shed > 0, `${report.dropped.shed} shed`);
  t.equal(report.received, report.written + report.dropped.shed + report.dropped.kernel);
  t.ok(report.received >= 400_000);
  t.equal(status, 1, '--strict');
});

t.test('signals at any time', { skip }, async (t) => {
  for (const [i, signal] of (['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGINT', 'SIGTERM', 'SIGHUP'] as const).entries()) {
    const file = fileName();
    const child = spawn(process.execPath, [TSCAP, '-i', 'lo', '-w', file, '--json'], { stdio: 'ignore' });
    const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
    await new Promise((resolve) => setTimeout(resolve, 330 + i * 45));
    child.kill(signal);
    if (signal === 'SIGHUP') setTimeout(() => child.kill('SIGINT'), 150);
    // One that comes before the program listens to signals ends it before it has made a file.
    const status = await ended;
    t.ok(status === 0 || (status === null && !fs.existsSync(file)), `${signal}: status ${status}`);
    for (const name of fs.readdirSync(directory).filter((one) => file.endsWith(one))) {
      t.equal(
        runProgram(['tcpdump', '-nr', path.join(directory, name)], { check: false }).status,
        0,
        'a valid capture',
      );
    }
  }
});

t.test('report and live line', async (t) => {
  const zero = { received: 0, filtered: 0, shed: 0, droppedByKernel: 0, droppedByInterface: 0, droppedDiskFull: 0 };
  const more = {
    droppedCompressor: 0,
    droppedUnwritable: 0,
    droppedBroken: 0,
    frozen: 0,
    fileBytes: 0,
    files: 0,
    filesRemoved: 0,
  };
  const snapshot: CaptureSnapshot = { ...zero, ...more, written: 1234, bytes: 100_000, diskFull: true, seconds: 2 };
  const line = captureLiveLine(snapshot, { seconds: 1, written: 1000, bytes: 0 }, 200);
  t.equal(line, '1,234 packets, disk full, 234 pps, 0.80 Mbps, dropped 0, 2 s');
  t.equal(captureLiveLine(snapshot, { seconds: 1, written: 1000, bytes: 0 }, 20), '1,234 packets');
  t.match(captureLines({ ...snapshot, droppedDiskFull: 3 }, 'written').join('\n'), /3 packets not written: no room/);
});
