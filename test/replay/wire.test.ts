/** The command as its users run it: real interfaces in network namespaces, tcpdump on the far side. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import t from 'tap';
import { labUnavailable, programsMissing } from '../../lab/availability.ts';
import type { Host } from '../../lab/host.ts';
import { type Lab, makeLab, pair } from '../../lab/lab.ts';
import { type PcapPacket, readPcap } from '../../lab/pcapfile.ts';
import { until } from '../../lab/process.ts';
import { PrepCacheBuilder, PrepVerdict } from '../../src/pcap/index.ts';
import { packageRoot } from '../structure/repository.ts';
import { numberedPackets, writeCapture } from './rig.ts';

const TSREPLAY = path.join(packageRoot(), 'dist/src/cli/tsreplay.js');
const FIXTURES = path.join(packageRoot(), 'fixtures/pcaps');
const skip = labUnavailable() ?? programsMissing('tcpdump', 'nft') ?? false;
const MS = 1_000_000;

interface JsonReport {
  readonly packets: { read: number; sent: number; failed: number; skipped: number };
  readonly bytesSent: number;
  readonly latenessNs: { p50: number; p99: number; max: number } | null;
  readonly wire: { packets: number; dropped: number } | null;
  readonly drops: Record<string, number>;
}

function labFor(t: { teardown(fn: () => Promise<void>): void }, spec = pair()): Lab {
  const lab = makeLab(spec);
  t.teardown(() => lab.teardown());
  return lab;
}

/** Runs tsreplay in a host and parses its JSON report. */
function replay(host: Host, args: readonly string[]): { status: number; report: JsonReport; stderr: string } {
  const done = host.run([process.execPath, TSREPLAY, '--json', ...args], { check: false, timeoutMs: 60_000 });
  assert.match(done.stdout, /^\{/, `a report on stdout; stderr: ${done.stderr}`);
  return { status: done.status, report: JSON.parse(done.stdout) as JsonReport, stderr: done.stderr };
}

const same = (a: readonly PcapPacket[], b: readonly PcapPacket[]): void => {
  assert.equal(a.length, b.length);
  a.forEach((packet, n) => {
    assert.ok(packet.data.equals(b[n]!.data), `packet ${n + 1} is as captured`);
  });
};

t.test('every Ethernet fixture arrives byte for byte, through each backend', { skip }, async (t) => {
  const lab = labFor(t, pair({ mtu: 9000 }));
  const cases = fs.readdirSync(FIXTURES).filter((name) => {
    const record = JSON.parse(fs.readFileSync(path.join(FIXTURES, name, 'case.json'), 'utf8'));
    const ethernet = record.linktypes.length === 1 && record.linktypes[0] === 1;
    return ethernet && record.format === 'pcap' && name !== 'http-gro';
  });
  t.ok(cases.length >= 5);
  lab.host('b').dropAtIngress('eth0');
  for (const backend of ['af_packet', 'tx_ring', 'af_xdp', 'libpcap']) {
    for (const name of backend === 'af_packet' ? cases : cases.slice(0, 2)) {
      const file = path.join(FIXTURES, name, 'in.pcap');
      const sent = readPcap(file).packets;
      const capture = await lab.host('b').capture('eth0', path.join(lab.directory, `${backend}-${name}.pcap`));
      const { status, report } = replay(lab.host('a'), ['-t', '-i', 'eth0', '--backend', backend, file]);
      const received = (await capture.finish()).packets;
      t.equal(status, 0, `${backend} ${name}`);
      t.match(report.packets, { read: sent.length, sent: sent.length, failed: 0, skipped: 0 });
      t.match(report.wire, { packets: sent.length, dropped: 0 });
      same(received, sent);
    }
  }
});

t.test('multiplier 5: the far side sees a fifth of every gap, without drift', { skip }, async (t) => {
  const lab = labFor(t);
  lab.host('b').dropAtIngress('eth0');
  const file = writeCapture(lab.directory, 'a.pcap', numberedPackets(400, 10 * MS));
  const capture = await lab.host('b').capture('eth0', path.join(lab.directory, 'out.pcap'));
  const { status, report } = replay(lab.host('a'), ['--multiplier', '5', '-i', 'eth0', file]);
  const received = (await capture.finish()).packets;
  t.equal(status, 0);
  t.equal(received.length, 400);
  const at = (packet: PcapPacket) => packet.sec * 1e9 + packet.nsec;
  const span = at(received[399]!) - at(received[0]!);
  // Loose bounds: a loaded machine delays single packets; drift would show as a wrong span at any load.
  t.ok(Math.abs(span - (399 * 10 * MS) / 5) < 50 * MS, `took ${span / MS} ms of 798 ms`);
  t.ok(report.latenessNs !== null && report.latenessNs.max >= report.latenessNs.p99);
});

t.test('a cache file splits a capture over two interfaces', { skip }, async (t) => {
  const spec = pair();
  const link = spec.links[0]!;
  const second = {
    a: { host: 'a', iface: 'eth1', v4: '10.78.0.1/24' },
    b: { host: 'b', iface: 'eth1', v4: '10.78.0.2/24' },
  };
  const lab = labFor(t, { hosts: spec.hosts, links: [link, second] });
  for (const iface of ['eth0', 'eth1']) lab.host('b').dropAtIngress(iface);
  const file = writeCapture(lab.directory, 'a.pcap', numberedPackets(90, MS / 10));
  const cache = path.join(lab.directory, 'cache');
  const builder = new PrepCacheBuilder();
  for (let n = 0; n < 90; n++) builder.add([PrepVerdict.Primary, PrepVerdict.Secondary, PrepVerdict.Skip][n % 3]!);
  builder.write(cache);
  const captures = [
    await lab.host('b').capture('eth0', path.join(lab.directory, '0.pcap')),
    await lab.host('b').capture('eth1', path.join(lab.directory, '1.pcap')),
  ];
  const { status, report } = replay(lab.host('a'), ['-i', 'eth0', '-I', 'eth1', '-c', cache, file]);
  t.equal(status, 0);
  t.match(report.packets, { read: 90, sent: 60, skipped: 30 });
  for (const capture of captures) t.equal((await capture.finish()).packets.length, 30);
});

t.test('captures without an Ethernet header get one from route and neighbour', { skip }, async (t) => {
  const lab = labFor(t);
  const raw = numberedPackets(5, MS).map((packet) => {
    const data = Buffer.from(packet.data.subarray(14));
    data.set([10, 77, 0, 2], 16);
    return { ...packet, data, len: data.length };
  });
  const file = writeCapture(lab.directory, 'raw.pcap', raw, 101);
  const capture = await lab.host('b').capture('eth0', path.join(lab.directory, 'out.pcap'), { filter: 'udp' });
  const { status } = replay(lab.host('a'), ['-t', '-i', 'eth0', file]);
  const received = (await capture.finish()).packets;
  t.equal(status, 0);
  t.equal(received.length, 5);
  t.match(received[0]!.data.toString('hex', 0, 14), /^02000000..0202000000..010800$/, 'from a to b');
  received.forEach((packet, n) => {
    assert.ok(packet.data.subarray(14).equals(raw[n]!.data));
  });
  const unrouted = numberedPackets(1, MS).map((packet) => ({ ...packet, data: packet.data.subarray(14), len: 36 }));
  const elsewhere = writeCapture(lab.directory, 'far.pcap', unrouted, 101);
  const refused = lab.host('a').run([process.execPath, TSREPLAY, '-t', '-i', 'eth0', elsewhere], { check: false });
  t.equal(refused.status, 3, 'no route: refused before anything is sent');
  t.match(refused.stderr, /--enet-dmac/);
});

t.test('an interface without link layer gets bare IP packets', { skip }, async (t) => {
  const lab = labFor(t);
  const a = lab.host('a');
  // The other end of a TUN device is a program: this one prints what it reads.
  const program = `
    import fs from 'node:fs';
    import { openTunDevice } from '${pathToFileURL(path.join(packageRoot(), 'dist/src/sys/tun.js')).href}';
    const fd = openTunDevice('tun', 'tun7');
    console.log('open');
    const bytes = Buffer.alloc(2048);
    const read = () => {
      try {
        console.log(bytes.toString('hex', 0, fs.readSync(fd, bytes)));
      } catch (error) {
        if (error.code !== 'EAGAIN') throw error;
      }
    };
    setInterval(read, 1);
  `;
  const reader = a.spawn([process.execPath, '--input-type=module', '-e', program]);
  await reader.waitFor(/open/);
  a.run(['ip', 'link', 'set', 'tun7', 'up']);
  const packets = numberedPackets(5, MS);
  const file = writeCapture(lab.directory, 'a.pcap', packets);
  const { status, report } = replay(a, ['-t', '-i', 'tun7', file]);
  t.equal(status, 0);
  t.equal(report.packets.sent, 5);
  await until('five packets', () => packets.every((packet) => reader.stdout.includes(packet.data.toString('hex', 14))));
  const onEthernet = packets.some((packet) => reader.stdout.includes(packet.data.toString('hex')));
  t.notOk(onEthernet, 'without their Ethernet header');
});

t.test('GRO super-packets: refused by name, or resegmented', { skip }, async (t) => {
  const lab = labFor(t);
  lab.host('b').dropAtIngress('eth0');
  const directory = path.join(FIXTURES, 'http-gro');
  const file = path.join(directory, fs.readdirSync(directory).find((name) => name.startsWith('in.'))!);
  const refused = lab.host('a').run([process.execPath, TSREPLAY, '-t', '-i', 'eth0', file], { check: false });
  t.equal(refused.status, 3);
  t.match(refused.stderr, /packet \d+ has \d+ bytes.*--oversize/);
  const edited = [process.execPath, TSREPLAY, '-t', '-C', '-i', 'eth0', file];
  const before = lab.host('a').statistics('eth0').txPackets;
  t.match(
    lab.host('a').run(edited, { check: false }),
    { status: 3, stderr: /packet \d+ has \d+ bytes/ },
    'with edits, too',
  );
  t.equal(lab.host('a').statistics('eth0').txPackets, before, 'nothing has left');
  const cut = replay(lab.host('a'), ['-t', '--mtu', '1400', '--mtu-trunc', '-i', 'eth0', file]);
  t.equal(cut.status, 0, 'an edit that makes them fit is no reason to refuse');
  const capture = await lab.host('b').capture('eth0', path.join(lab.directory, 'out.pcap'));
  const { status, report } = replay(lab.host('a'), ['-t', '-C', '--oversize', 'segment', '-i', 'eth0', file]);
  const received = await capture.finish();
  t.equal(status, 0);
  t.equal(received.packets.length, report.packets.sent);
  t.ok(received.packets.every((packet) => packet.len <= 1514));
  const checked = lab.host('b').run(['tcpdump', '-nvvr', path.join(lab.directory, 'out.pcap'), 'tcp']);
  t.notMatch(checked.stdout, /incorrect|bad cksum/, 'tcpdump finds every checksum right');
});

t.test('two workers and AF_XDP: all of a larger capture, each flow in order', { skip }, async (t) => {
  const lab = labFor(t);
  lab.host('b').dropAtIngress('eth0');
  const file = writeCapture(lab.directory, 'a.pcap', numberedPackets(20_000, 1000, 40));
  for (const args of [['--workers', '2'], ['--xdp'], ['-K', '-l', '3']]) {
    const capture = await lab.host('b').capture('eth0', path.join(lab.directory, 'out.pcap'));
    const { status, report } = replay(lab.host('a'), ['-t', '-i', 'eth0', ...args, file]);
    const received = (await capture.finish()).packets;
    const wanted = args.includes('-l') ? 60_000 : 20_000;
    t.equal(status, 0, args.join(' '));
    t.equal(report.packets.sent, wanted);
    t.match(report.wire, { packets: wanted });
    t.equal(received.length, wanted, 'reported = received');
    const last = new Map<number, number>();
    for (const packet of received) {
      const number = packet.data.readUInt32BE(42);
      const before = last.get(number % 40) ?? -1;
      assert.ok(number > before || number < 40, 'order inside a flow');
      last.set(number % 40, number);
    }
  }
});

t.test('signals: SIGUSR1 pauses, SIGCONT resumes, SIGINT stops and reports', { skip }, async (t) => {
  const lab = labFor(t);
  const a = lab.host('a');
  lab.host('b').dropAtIngress('eth0');
  const file = writeCapture(lab.directory, 'a.pcap', numberedPackets(10_000, 5 * MS));
  const running = a.spawn([process.execPath, TSREPLAY, '-i', 'eth0', '--realtime', '--stats', '1', file]);
  const sent = () => lab.host('a').statistics('eth0').txPackets;
  await until('packets', () => sent() > 20);
  t.ok(isRealtime(running.child.pid!), 'one thread has real-time scheduling');
  running.child.kill('SIGUSR1');
  // A thread that does not get the processor obeys later; one that does not obey sends sixty in the meantime.
  await sleep(500);
  const paused = sent();
  await sleep(300);
  t.ok(sent() - paused <= 1, 'nothing leaves while paused');
  running.child.kill('SIGCONT');
  await until('packets again', () => sent() > paused + 20);
  running.child.kill('SIGINT');
  t.equal((await running.ended).status, 130);
  t.match(running.stdout, /Actual: \d+ packets/);
});

t.test('the interface goes away in mid-run: a clear error, right counts, exit 1', { skip }, async (t) => {
  const lab = labFor(t);
  const a = lab.host('a');
  const file = writeCapture(lab.directory, 'a.pcap', numberedPackets(10_000, 2 * MS));
  const running = a.spawn([process.execPath, TSREPLAY, '--json', '-i', 'eth0', file]);
  await until('packets', () => a.statistics('eth0').txPackets > 50);
  a.run(['ip', 'link', 'del', 'eth0']);
  t.equal((await running.ended).status, 1);
  t.match(running.stderr, /eth0/);
  const report = JSON.parse(running.stdout) as JsonReport;
  t.ok(report.packets.sent >= 50 && report.packets.sent < 10_000);
  t.equal(report.packets.read, report.packets.sent + report.packets.failed + report.packets.skipped);
});

/** Whether a thread of the process has policy SCHED_RR: field 41 of its stat (proc(5)). */
function isRealtime(pid: number): boolean {
  return fs.readdirSync(`/proc/${pid}/task`).some((thread) => {
    const stat = fs.readFileSync(`/proc/${pid}/task/${thread}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[38] === '2';
  });
}

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
