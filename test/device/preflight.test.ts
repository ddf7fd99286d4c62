/** What stands against sending, one sentence each; addresses of neighbours; counters of the wire. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import { isIPv6 } from 'node:net';
import path from 'node:path';
import process from 'node:process';
import fc from 'fast-check';
import t from 'tap';
import { labUnavailable } from '../../lab/availability.ts';
import { type Lab, makeLab, pair } from '../../lab/lab.ts';
import { addressBytes, openMacResolver, parseMac } from '../../src/device/addressing.ts';
import { openAfPacketSink } from '../../src/device/af_packet.ts';
import { linkFacts, linktypeOfHardware } from '../../src/device/link.ts';
import { preflight, wireCounters, wireDifference } from '../../src/device/preflight.ts';
import { openRawIpSink } from '../../src/device/raw_ip.ts';
import { openTunSink } from '../../src/device/tun.ts';
import { hasIp, ipAddresses, ipLinks, ipRouteGet } from '../../src/sys/ip.ts';
import { hasCapability, permissionRemedy } from '../../src/sys/permission.ts';
import { inNamespace } from './namespace.ts';

const skip = labUnavailable() ?? false;
let lab: Lab;
t.before(() => {
  if (skip !== false) return;
  lab = makeLab(pair({ staticNeighbours: false }, 'both'));
});
t.teardown(() => lab?.teardown());
const a = <T>(run: () => T): T => inNamespace(lab.host('a').netns, run);

t.test('an interface that is not there, down, or of the wrong kind', { skip }, (t) => {
  const host = lab.host('a');
  const missing = { code: 'INTERFACE', message: 'no interface eth9; there are: eth0, lo' };
  t.throws(() => a(() => preflight('eth9')), missing);
  t.throws(() => a(() => openAfPacketSink({ name: 'eth9' })), missing);
  t.throws(() => a(() => preflight('')), { code: 'INTERFACE' });
  t.throws(() => a(() => preflight('a-name-longer-than-any-interface')), { code: 'INTERFACE' });
  host.run(['ip', 'link', 'add', 'down0', 'type', 'veth', 'peer', 'name', 'down1']);
  const down = { code: 'INTERFACE', message: 'down0 is down: ip link set down0 up' };
  t.throws(() => a(() => preflight('down0')), down);
  t.throws(() => a(() => openAfPacketSink({ name: 'down0' })), down);
  t.throws(() => a(() => openRawIpSink({ name: 'down0' })), down);
  host.run(['ip', 'link', 'set', 'down0', 'up']);
  const report = a(() => preflight('down0'));
  t.match(report.findings, [{ code: 'NO_CARRIER', message: /^down0 has no carrier/ }], 'its other end is down');
  host.run(['ip', 'link', 'del', 'down0']);
  t.equal(linktypeOfHardware(801), -1, 'IEEE 802.11 frames cannot be sent as they are');
  t.end();
});

t.test('a sound interface', { skip }, (t) => {
  const report = a(() => preflight('eth0', { addressing: true }));
  t.same(report.findings, []);
  t.match(report.link, { up: true, carrier: true, loopback: false, mtu: 1500, linktype: 1, headerBytes: 14 });
  t.same([...report.link.mac], [2, 0, 0, 0, 0, 1]);
  t.same(report.offloads, { tso: false, gso: false, gro: false, txChecksum: false }, 'the lab has switched them off');
  const index = a(() => ipLinks()).find((link) => link.ifname === 'eth0')!.ifindex;
  t.equal(report.link.ifindex, index, 'as ip says');
  t.match(
    a(() => linkFacts('lo')),
    { loopback: true, mtu: 65_536, linktype: 1 },
  );
  t.ok(a(() => ipAddresses('eth0')).some((address) => address.local === '10.77.0.1'));
  t.end();
});

t.test('capabilities', { skip: process.platform === 'linux' ? false : 'needs Linux' }, (t) => {
  const status = path.join(
    t.testdir({ status: 'Name:\tx\nCapEff:\t0000000000002000\n', none: 'Name:\tx\n' }),
    'status',
  );
  t.equal(hasCapability('CAP_NET_RAW', status), true);
  t.equal(hasCapability('CAP_NET_ADMIN', status), false);
  t.equal(hasCapability('CAP_NET_RAW', `${status}-missing`), true, 'then the system call decides');
  t.match(
    permissionRemedy('CAP_NET_RAW', 'CAP_NET_ADMIN'),
    `sudo setcap cap_net_raw,cap_net_admin+ep ${process.execPath}`,
  );
  t.end();
});

t.test('without the program ip, and without a capability', { skip }, (t) => {
  const url = JSON.stringify(new URL('../../src/device/preflight.js', import.meta.url).href);
  const script = `
    const { preflight } = await import(${url});
    try { preflight('lo', { addressing: true }); console.log('passed'); }
    catch (error) { console.log(error.code, error.exit, error.message); }`;
  const node = [process.execPath, '--input-type=module', '-e', script];
  const poor = spawnSync(node[0]!, node.slice(1), { encoding: 'utf8', env: { PATH: '/nonexistent' } });
  t.match(poor.stdout, /^UNSUPPORTED 3 the program ip is not installed.*apt-get install iproute2, or give --enet-dmac/);
  const caps = ['--bounding-set=-net_raw', '--inh-caps=-net_raw'];
  const weak = spawnSync('setpriv', [...caps, ...node], { encoding: 'utf8' });
  t.match(
    weak.stdout,
    /^PERMISSION 3 no permission to send on lo: run with sudo, or once: sudo setcap cap_net_raw\+ep /,
  );
  t.equal(hasIp(), true);
  t.end();
});

t.test('the next hop is resolved over the wire', { skip }, (t) => {
  const host = lab.host('a');
  host.run(['ip', 'route', 'add', '198.51.100.0/24', 'via', '10.77.0.2']);
  host.run(['ip', '-6', 'route', 'add', '2001:db8:5::/48', 'via', 'fd77::2']);
  a(() => {
    const resolver = openMacResolver('eth0');
    const text = (address: string): string => Buffer.from(resolver.destination(address)).toString('hex');
    t.same([...resolver.source], [2, 0, 0, 0, 0, 1]);
    t.equal(text('10.77.0.2'), '020000000002', 'a neighbour');
    t.equal(text('198.51.100.7'), '020000000002', 'by its gateway');
    t.equal(text('fd77::2'), '020000000002');
    t.equal(text('2001:db8:5::1'), '020000000002');
    t.equal(text('239.1.2.3'), '01005e010203', 'multicast');
    t.equal(text('ff02::1:ff00:2'), '3333ff000002');
    t.equal(text('255.255.255.255'), 'ffffffffffff');
    t.equal(text('10.77.0.255'), 'ffffffffffff', 'broadcast of the subnet');
    t.equal(resolver.destination('10.77.0.2'), resolver.destination('10.77.0.2'), 'asked once');
    const remedy = /give one with --enet-dmac/;
    t.throws(() => resolver.destination('10.77.0.99'), { code: 'ADDRESS', message: /10\.77\.0\.99 does not answer/ });
    t.throws(() => resolver.destination('203.0.113.5'), { code: 'ADDRESS', message: remedy }, 'no route');
    t.throws(() => resolver.destination('10.77.0.1'), { code: 'ADDRESS', message: remedy }, 'this host itself');
    t.throws(() => resolver.destination('not an address'), { code: 'ADDRESS' });
    t.equal(ipRouteGet('203.0.113.5'), null);
    t.same([...openMacResolver('lo').destination('127.0.0.1')], [0, 0, 0, 0, 0, 0]);
    const tun = openTunSink({ kind: 'tun', name: 'tun3' });
    t.throws(() => openMacResolver('tun3'), { code: 'FRAMING' });
    tun.close();
  });
  t.end();
});

t.test('a neighbour on an interface that the routes would not take', { skip }, (t) => {
  const host = lab.host('a');
  const there = lab.host('b').netns;
  host.run(['ip', 'link', 'add', 'x0', 'type', 'veth', 'peer', 'name', 'x1', 'netns', there]);
  for (const line of ['addr add 10.77.0.50/24 dev x0 metric 99', 'link set x0 up'])
    host.run(['ip', ...line.split(' ')]);
  for (const line of ['link set x1 address 02:00:00:00:00:22', 'addr add 10.77.0.60/32 dev x1', 'link set x1 up']) {
    lab.host('b').run(['ip', ...line.split(' ')]);
  }
  const mac = a(() => openMacResolver('x0').destination('10.77.0.60'));
  t.equal(Buffer.from(mac).toString('hex'), '020000000022');
  host.run(['ip', 'link', 'del', 'x0']);
  t.end();
});

t.test('addresses as bytes', (t) => {
  t.same([...addressBytes('10.1.2.3')], [10, 1, 2, 3]);
  t.same([...addressBytes('::ffff:10.1.2.3')].slice(10), [255, 255, 10, 1, 2, 3]);
  t.same([...addressBytes('fe80::1%eth0')].slice(14), [0, 1]);
  fc.assert(
    fc.property(fc.ipV6(), (text) => {
      assert.ok(isIPv6(text));
      const bytes = Buffer.from(addressBytes(text));
      // The URL parser's canonical form is an independent reading.
      const canonical = new URL(`http://[${text}]/`).hostname.slice(1, -1);
      assert.deepEqual(bytes, Buffer.from(addressBytes(canonical)));
      const full = bytes.toString('hex').replace(/(.{4})(?!$)/g, '$1:');
      assert.equal(new URL(`http://[${full}]/`).hostname.slice(1, -1), canonical);
    }),
    { numRuns: 500, seed: 5 },
  );
  t.same(parseMac('02-00-0A-00-00-ff'), Uint8Array.of(2, 0, 10, 0, 0, 255));
  for (const bad of ['', '02:00', '02:00:00:00:00:00:00', '02:00:00:00:00:0g']) t.equal(parseMac(bad), null);
  t.end();
});

t.test('counters of the wire', { skip }, (t) => {
  const name = fs.readdirSync('/sys/class/net')[0]!;
  const sysfs = Number(fs.readFileSync(`/sys/class/net/${name}/statistics/tx_packets`, 'utf8'));
  t.ok(Math.abs(wireCounters(name)!.packets - sysfs) < 1000, 'as /sys says');
  t.equal(wireCounters('nosuch0'), null);
  t.same(wireDifference({ packets: 5, dropped: 1 }, { packets: 9, dropped: 1 }), { packets: 4, dropped: 0 });
  t.equal(wireDifference({ packets: 5, dropped: 1 }, { packets: 2, dropped: 0 }), null, 'made anew in between');
  t.equal(wireDifference(null, { packets: 2, dropped: 0 }), null);
  t.end();
});
