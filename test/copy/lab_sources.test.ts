/** Where clients may be: on this host, in another network namespace; and the portable way out. */
import fs from 'node:fs';
import t from 'tap';
import { labUnavailable } from '../../lab/availability.ts';
import { makeLab } from '../../lab/lab.ts';
import { startNginx } from '../../lab/servers.ts';
import { hasRawSocket } from '../../src/device/raw_socket.ts';
import { makeRig, PORT, PRODUCTION, TARGET, TSCOPY } from './lab_rig.ts';

const skip = labUnavailable('nginx', 'curl') ?? false;
const TO_TARGET = ['--target', `${TARGET}:${PORT}`, '--intercept', 'local'];

/** Port and request of each answer, without the client's address. */
const portsIn = (log: string): string[] =>
  fs
    .readFileSync(log, 'utf8')
    .split('\n')
    .filter(Boolean)
    .map((line) => line.replace(/^\[[^\]]*\]/, '').replace(/ @[\d.]+$/, ''))
    .sort();

t.test('clients on this host, as a proxy before the service, from addresses of a pool', { skip }, async (t) => {
  const rig = await makeRig();
  t.teardown(() => rig.lab.teardown());
  await rig.startAgent(...TO_TARGET, '-i', 'lo', '--client-pool', '198.18.0.0/24');
  const urls = Array.from({ length: 20 }, (_, i) => `http://127.0.0.1:${PORT}/own/${i}`);
  rig.production.run(['curl', '-s', ...urls]);
  rig.production.run(['curl', '-s', '--data', 'x'.repeat(100_000), `http://${PRODUCTION}:${PORT}/post`]);
  await rig.stopAgent();
  t.equal(rig.agent!.child.exitCode, 0, rig.agent!.stderr);
  t.equal(portsIn(rig.productionLog).length, 21);
  t.same(portsIn(rig.targetLog), portsIn(rig.productionLog), 'every request, on its own port');
  const strangers = rig.lines(rig.targetLog).filter((line) => !line.startsWith('[198.18.0.'));
  t.same(strangers, [], 'from the pool');
});

t.test('clients of a service in another network namespace', { skip }, async (t) => {
  const lab = makeLab({
    hosts: ['c', 'p', 'k', 't'],
    links: [
      { a: { host: 'c', iface: 'eth0', v4: '10.91.0.10/24' }, b: { host: 'p', iface: 'eth0', v4: '10.91.0.1/24' } },
      { a: { host: 'p', iface: 'k0', v4: '10.93.0.1/24' }, b: { host: 'k', iface: 'eth0', v4: '10.93.0.2/24' } },
      { a: { host: 'p', iface: 'eth1', v4: '10.92.0.1/24' }, b: { host: 't', iface: 'eth0', v4: `${TARGET}/24` } },
    ],
  });
  t.teardown(() => lab.teardown());
  const [clients, production, container, target] = ['c', 'p', 'k', 't'].map((name) => lab.host(name));
  clients!.run(['ip', 'route', 'add', 'default', 'via', '10.91.0.1']);
  container!.run(['ip', 'route', 'add', 'default', 'via', '10.93.0.1']);
  target!.run(['ip', 'route', 'add', 'default', 'via', '10.92.0.1']);
  production!.run(['sh', '-c', 'echo 1 > /proc/sys/net/ipv4/ip_forward']);
  const logs = [`${lab.directory}/production.log`, `${lab.directory}/target.log`] as const;
  for (const [i, host] of [container!, target!].entries()) {
    const format = `log_format copy '[$remote_addr]:$remote_port $request_uri';`;
    const block = `server { listen ${PORT}; access_log "${logs[i]}" copy; location / { return 200 "ok"; } }`;
    await startNginx(lab, host, { http: `${format} ${block}`, port: 8079 });
  }
  const agent = production!.spawn([process.execPath, TSCOPY, ...TO_TARGET, '--netns', container!.netns]);
  await agent.waitFor(/ready/i);
  t.match(agent.stdout, / on eth0/, "the container's interface was found there");
  clients!.run(['curl', '-s', ...Array.from({ length: 20 }, (_, i) => `http://10.93.0.2:${PORT}/${i}`)]);
  agent.child.kill('SIGTERM');
  await agent.ended;
  t.equal(agent.child.exitCode, 0, agent.stderr);
  const [wanted, found] = logs.map((log) => fs.readFileSync(log, 'utf8').split('\n').filter(Boolean).sort());
  t.equal(wanted!.length, 20);
  t.same(found, wanted, 'all of them, from their own address and port');

  const nowhere = production!.run([process.execPath, TSCOPY, ...TO_TARGET, '--netns', 'nowhere-at-all'], {
    check: false,
  });
  t.equal(nowhere.status, 3);
  t.match(nowhere.stderr, /there is no network namespace nowhere-at-all: ip netns list shows the names/);
});

const noPackage = hasRawSocket() ? skip : 'the npm package raw-socket is not built';
t.test('copies leave through the package raw-socket', { skip: skip || noPackage }, async (t) => {
  const rig = await makeRig();
  t.teardown(() => rig.lab.teardown());
  await rig.startAgent(...TO_TARGET, '-i', 'eth0', '--sender', 'raw_socket');
  rig.clients.run(['curl', '-s', ...Array.from({ length: 20 }, (_, i) => `http://${PRODUCTION}:${PORT}/${i}`)]);
  await rig.stopAgent();
  t.equal(rig.agent!.child.exitCode, 0, rig.agent!.stderr);
  t.equal(rig.lines(rig.productionLog).length, 20);
  t.same(rig.lines(rig.targetLog), rig.lines(rig.productionLog));
});
