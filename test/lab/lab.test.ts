import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { labUnavailable } from '../../lab/availability.ts';
import { makeLab, pair } from '../../lab/lab.ts';
import { runProgram, until } from '../../lab/process.ts';
import { startDns, startNginx, startRedis } from '../../lab/servers.ts';

const skip = (...programs: string[]): string | false => labUnavailable('ethtool', 'tcpdump', ...programs) ?? false;

t.test('a ping crosses, and only the ping is captured', { skip: skip('ping') }, async (t) => {
  const lab = makeLab(pair({}, 'both'));
  t.teardown(() => lab.teardown());
  const [a, b] = [lab.host('a'), lab.host('b')];
  const capture = await b.capture('eth0', path.join(lab.directory, 'ping.pcap'));
  a.run(['ping', '-c2', '-i0.1', '-W1', '10.77.0.2']);
  a.run(['ping', '-c1', '-W1', 'fd77::2']);
  await capture.waitForPackets(6);
  const { packets, precision, linktype } = await capture.finish();
  t.equal(linktype, 1);
  t.equal(precision, 'nano');
  t.equal(packets.length, 6, 'three echoes, three replies, and no noise');
  t.ok(
    packets.some((each) => each.nsec % 1000 !== 0),
    'stamps are in nanoseconds',
  );
  t.equal(packets[0]?.data.toString('hex', 0, 14), '0200000000020200000000010800', 'from a to b, IPv4');
  t.equal(a.statistics('eth0').txPackets, b.statistics('eth0').rxPackets, 'both ends count alike');
});

t.test('frames are dropped at ingress behind the capture tap', { skip: skip('ping', 'nft') }, async (t) => {
  const lab = makeLab(pair());
  t.teardown(() => lab.teardown());
  const [a, b] = [lab.host('a'), lab.host('b')];
  b.dropAtIngress('eth0');
  const capture = await b.capture('eth0', path.join(lab.directory, 'drop.pcap'));
  const ping = a.run(['ping', '-c2', '-i0.1', '-W1', '10.77.0.2'], { check: false });
  t.not(ping.status, 0, 'no answer comes back');
  t.equal((await capture.finish()).packets.length, 2, 'two requests, no reply');
  t.equal(b.statistics('eth0').rxPackets, 2);
});

t.test(
  'servers answer in their own host',
  { skip: skip('nginx', 'redis-server', 'dnsmasq', 'curl', 'dig') },
  async (t) => {
    const lab = makeLab(pair());
    t.teardown(() => lab.teardown());
    const [a, b] = [lab.host('a'), lab.host('b')];
    await startNginx(lab, b, { files: { 'hello.txt': 'hello\n' }, tls: true });
    await startRedis(lab, b);
    await startDns(lab, b, { 'www.example.test': '192.0.2.80' });
    t.equal(a.run(['curl', '-s', 'http://10.77.0.2/hello.txt']).stdout, 'hello\n');
    t.equal(a.run(['curl', '-sk', 'https://10.77.0.2/hello.txt']).stdout, 'hello\n');
    t.equal(a.run(['redis-cli', '-h', '10.77.0.2', 'ping']).stdout, 'PONG\n');
    t.equal(a.run(['dig', '+short', '@10.77.0.2', 'www.example.test']).stdout, '192.0.2.80\n');
  },
);

t.test('teardown leaves nothing', { skip: skip() }, async (t) => {
  const lab = makeLab(pair());
  const [a] = [lab.host('a')];
  const running = a.spawn(['sleep', '60']);
  const { directory } = lab;
  const namespaces = (): string => runProgram(['ip', 'netns', 'list']).stdout;
  t.match(namespaces(), a.netns);
  await lab.teardown();
  await lab.teardown();
  t.notMatch(namespaces(), a.netns);
  t.notOk(running.running, 'the program is gone');
  t.notOk(fs.existsSync(directory), 'the files are gone');
});

t.test('a lab that cannot be made whole leaves nothing', { skip: skip() }, async (t) => {
  const before = runProgram(['ip', 'netns', 'list']).stdout;
  const end = { host: 'a', iface: 'eth0' };
  t.throws(
    () => makeLab({ hosts: ['a'], links: [{ a: end, b: { ...end, host: 'nobody' } }] }),
    /unknown host "nobody"/,
  );
  t.throws(() => makeLab({ hosts: ['a'], links: [{ a: { ...end, v4: 'nonsense' }, b: { ...end, iface: 'eth1' } }] }));
  const mine = (text: string): string[] => text.split('\n').filter((line) => line.includes(`tsrlab-${process.pid}-`));
  t.same(mine(runProgram(['ip', 'netns', 'list']).stdout), mine(before));
});

t.test('a process that is killed leaves no program behind', { skip: skip() }, async (t) => {
  const here = new URL('../../lab/lab.js', import.meta.url).href;
  const source = `import(${JSON.stringify(here)}).then(({ makeLab, pair }) => {
    const lab = makeLab(pair());
    const sleeper = lab.host('a').spawn(['sleep', '61']);
    const die = () => process.kill(process.pid, 'SIGKILL');
    setTimeout(() => { console.log(sleeper.child.pid, lab.host('a').netns); die(); }, 300);
  });`;
  const [pid, netns] = runProgram([process.execPath, '-e', source], { check: false }).stdout.trim().split(' ');
  t.match(pid, /^\d+$/);
  const status = `/proc/${pid}/status`;
  await until(
    'its programs die with it',
    () => !fs.existsSync(status) || /^State:\tZ/m.test(fs.readFileSync(status, 'utf8')),
  );
  const lab = makeLab(pair());
  t.teardown(() => lab.teardown());
  t.notMatch(runProgram(['ip', 'netns', 'list']).stdout, netns ?? 'a name', 'the next lab removes its namespaces');
});
