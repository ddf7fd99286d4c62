/** What tscopy refuses on a host, says at the start, or has to live through. */
import t from 'tap';
import { labUnavailable } from '../../lab/availability.ts';
import { startNginx } from '../../lab/servers.ts';
import { makeRig, PORT, PRODUCTION, type Rig, TARGET, TSCOPY } from './lab_rig.ts';

const skip = labUnavailable('nginx', 'wrk', 'curl', 'openssl') ?? false;
// A machine that is shared needs longer.
t.setTimeout(180_000);

function refusal(rig: Rig, ...options: string[]): { readonly status: number; readonly stderr: string } {
  return rig.production.run([process.execPath, TSCOPY, ...options, '-i', 'eth0', '--intercept', 'local'], {
    check: false,
  });
}

function load(rig: Rig): void {
  const shape = ['-t1', '-c6', '-d1', '-s', rig.delayScript(4), '-H', 'Connection: close'];
  rig.clients.run(['wrk', ...shape, `http://${PRODUCTION}:${PORT}/`]);
}

t.test('targets that cannot be', { skip }, async (t) => {
  const rig = await makeRig({ v6: true });
  t.teardown(() => rig.lab.teardown());
  for (const host of [PRODUCTION, '10.92.0.1']) {
    const said = refusal(rig, '--target', `${host}:${PORT}`);
    t.match(said, {
      status: 3,
      stderr: new RegExp(`the target ${host}:${PORT} is this host, so copies would come back`),
    });
  }
  t.match(refusal(rig, '--target', `10.99.0.9:${PORT}`), {
    status: 3,
    stderr: /no route leads to the target 10\.99\.0\.9/,
  });
  rig.production.run(['ip', 'route', 'add', 'unreachable', '10.98.0.0/16']);
  t.match(refusal(rig, '--target', `10.98.0.9:${PORT}`), {
    status: 3,
    stderr: /no route leads to the target 10\.98\.0\.9/,
  });
  const mistyped: [string[], number, RegExp][] = [
    [['--target', `10.92.0.255:${PORT}`], 3, /10\.92\.0\.255 is a broadcast address/],
    [['--target', `224.0.0.1:${PORT}`], 3, /224\.0\.0\.1 is a multicast address/],
    [['--target', `${TARGET}:${PORT}`, '--filter', '1) or (tcp'], 2, /--filter: filter "1\) or \(tcp": can't parse/],
    [['--target', `${TARGET}:${PORT}`, '--client-pool', '10.92.0.0/24'], 2, /--client-pool holds 10\.92\.0\.9/],
    [
      ['--target', `${TARGET}:${PORT}`, '--client-pool', '198.18.0.0/30', '--clone', '3'],
      2,
      /2 addresses, and each of 3/,
    ],
    [['--target', `[fd92::9]:${PORT}`, '--client-pool', '198.18.0.0/16'], 2, /for fd92::9 would come from addresses/],
    [['--target', `${TARGET}:${PORT}`, '--client-pool', '127.0.0.0/8'], 2, /no host takes packets from these/],
  ];
  for (const [options, status, stderr] of mistyped) t.match(refusal(rig, ...options), { status, stderr });
  const interceptedHere = ['--target', `${TARGET}:${PORT}`, '--intercept', 'local'];
  const run = (...options: string[]) =>
    rig.production.run([process.execPath, TSCOPY, ...interceptedHere, ...options], { check: false });
  t.match(run('-i', 'eth0,eth1'), { status: 3, stderr: /no interface eth0,eth1; there are: any, eth0, .* take "any"/ });
  t.match(run('-r', '20'), { status: 1, stderr: /there is no file 20; for a share of the clients type --percent 20/ });
  t.notMatch(rig.production.run(['ip', 'rule']).stdout, /blackhole/, 'no rule is left behind');
});

t.test('a port that carries TLS; clients’ interface down and up', { skip }, async (t) => {
  const rig = await makeRig();
  t.teardown(() => rig.lab.teardown());
  await startNginx(rig.lab, rig.production, { port: 8070, tls: true });
  await startNginx(rig.lab, rig.target, { port: 8070, tls: true });
  const maps = [443, PORT].flatMap((port) => ['--map', `${port}=${TARGET}:${port}`]);
  const agent = await rig.startAgent(...maps, '-i', 'eth0', '--intercept', 'local');
  t.match(agent.stderr, /port 443 usually carries TLS/, 'said at the start');
  rig.clients.run(['curl', '-sk', `https://${PRODUCTION}/`], { check: false });
  await agent.waitFor(/port 443 carries TLS: another server cannot understand a copied TLS session/);

  for (const state of ['down', 'up']) {
    rig.production.run(['ip', 'link', 'set', 'eth0', state]);
    await new Promise((resolve) => setTimeout(resolve, 800));
  }
  const neighbour = ['10.91.0.10', 'lladdr', '02:00:00:00:00:01', 'dev', 'eth0', 'nud', 'permanent'];
  rig.production.run(['ip', 'neigh', 'replace', ...neighbour]);
  rig.clearLogs();
  load(rig);
  const found = await rig.compare();
  t.ok(found.production > 100, `${found.production} requests`);
  t.match(found, { missing: 0, extra: 0 }, 'clients are copied again');
  await rig.stopAgent();
});
