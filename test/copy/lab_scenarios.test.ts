/** Sessions of all kinds between real kernels, with `--intercept local`. */
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { labUnavailable } from '../../lab/availability.ts';
import { until } from '../../lab/process.ts';
import { makeRig, PORT, PRODUCTION, type Rig, ROOT, startBodyServers, TARGET, TSCOPY } from './lab_rig.ts';

// A machine that is shared needs longer.
t.setTimeout(180_000);

const skip = labUnavailable('nginx', 'wrk', 'tcpdump', 'curl') ?? false;
const URL_OF = `http://${PRODUCTION}:${PORT}`;
const LOCAL = ['--target', `${TARGET}:${PORT}`, '--intercept', 'local', '-i', 'eth0'];

function load(rig: Rig, url: string, ...more: string[]): void {
  rig.clients.run(['wrk', '-t1', '-c6', '-d1', '-s', rig.delayScript(4), ...more, url]);
}

t.test('bodies of 200 KB, offloads on: super-packets are cut to the path', { skip }, async (t) => {
  const rig = await makeRig({ offloads: 'keep' });
  t.teardown(() => rig.lab.teardown());
  await startBodyServers(rig);
  const body = path.join(rig.lab.directory, 'body');
  fs.writeFileSync(body, randomBytes(200_000));
  await rig.startAgent('--target', `${TARGET}:8081`, '--intercept', 'local', '-i', 'eth0');
  const url = `http://${PRODUCTION}:8081/`;
  const urls = Array.from({ length: 20 }, () => url);
  rig.clients.run(['curl', '-s', '--data-binary', `@${body}`, ...urls]);
  const found = await rig.compare();
  t.equal(found.production, 20);
  t.match(found, { missing: 0, extra: 0 }, 'every body arrived whole');
  t.match(await rig.stopAgent(), /20 seen, 20 sent, 20 delivered/);
});

t.test('IPv6, two workers', { skip }, async (t) => {
  const rig = await makeRig({ v6: true });
  t.teardown(() => rig.lab.teardown());
  await rig.startAgent('--target', `[fd92::9]:${PORT}`, '--intercept', 'local', '-i', 'eth0', '--workers', '2');
  load(rig, `http://[fd91::1]:${PORT}/six`, '-H', 'Connection: close');
  const found = await rig.compare();
  t.ok(found.production > 30, `${found.production} connections`);
  t.match(found, { missing: 0, extra: 0 }, 'all of them');
  await rig.stopAgent();
});

t.test('sessions older than the agent go on from their next request', { skip }, async (t) => {
  const rig = await makeRig();
  t.teardown(() => rig.lab.teardown());
  const wrk = rig.clients.spawn(['wrk', '-t1', '-c4', '-d60', '-s', rig.delayScript(10), `${URL_OF}/old`]);
  await until('all four are open', () => rig.lines(rig.productionLog).length > 40);
  await rig.startAgent(...LOCAL);
  const before = rig.lines(rig.productionLog).length;
  await until('enough requests', () => rig.lines(rig.productionLog).length > before + 120, 30_000);
  await wrk.stop('SIGINT');
  await rig.settled(rig.lines(rig.productionLog).length - before - 8);
  const found = await rig.compare(0);
  const after = found.production - before;
  t.ok(found.target >= after - 8, `${found.target} of the ${after} requests since then`);
  t.equal(found.extra, 0);
  await rig.stopAgent();
});

t.test('sessions out of a file, twice as fast, twice', { skip }, async (t) => {
  const rig = await makeRig();
  t.teardown(() => rig.lab.teardown());
  const file = path.join(rig.lab.directory, 'production.pcap');
  const capture = await rig.production.capture('eth0', file, { filter: `tcp port ${PORT}` });
  load(rig, `${URL_OF}/file`);
  await capture.stop();
  const once = rig.lines(rig.productionLog);
  const offline = ['--target', `${TARGET}:${PORT}`, '--intercept', 'local', '--input', file];
  const run = rig.production.run([process.execPath, TSCOPY, ...offline, '--multiplier', '2', '--loop', '2'], {
    check: false,
  });
  t.equal(run.status, 0, run.stderr);
  const lines = rig.lines(rig.targetLog);
  t.ok(once.length > 100, `${once.length} requests`);
  t.same(lines, [...once, ...once].sort(), 'each request came twice, from its own address and port');
});

t.test('clones come from ports of their own', { skip }, async (t) => {
  const rig = await makeRig();
  t.teardown(() => rig.lab.teardown());
  await rig.startAgent(...LOCAL, '--clone', '3');
  load(rig, `${URL_OF}/clone`);
  const counts = (): number[] => [rig.productionLog, rig.targetLog].map((log) => rig.lines(log).length);
  await until('three of each', () => counts()[1] === 3 * counts()[0]!);
  await rig.stopAgent();
  const { production, target, missing } = await rig.compare(0);
  t.match({ target, missing }, { target: 3 * production, missing: 0 }, 'no more than these');
  const ports = new Set(rig.lines(rig.targetLog).map((line) => line.split(' ')[0]));
  t.equal(ports.size, 3 * new Set(rig.lines(rig.productionLog).map((line) => line.split(' ')[0])).size);
});

/** A production host's own program around the library, so that a thread can be ended. */
const CRASHING = `
  const { planAgent, startAgent } = await import(process.argv[2]);
  const { spec } = await planAgent(JSON.parse(process.argv[3]));
  const agent = await startAgent(spec, { note: (level, text) => console.log(level, text) });
  console.log('ready');
  process.stdin.on('data', async (text) => {
    if (String(text).startsWith('crash')) await agent.crashWorker(0);
    else agent.stop();
  });
  const report = await agent.ended;
  console.log(JSON.stringify({ crashes: report.workerCrashes, seen: report.counts.RequestsSeen }));
  process.exit(0);`;

t.test('a thread that crashes is started again; an interface goes down and up', { skip }, async (t) => {
  const rig = await makeRig();
  t.teardown(() => rig.lab.teardown());
  const request = {
    maps: [{ address: null, port: PORT, target: { host: TARGET, port: PORT } }],
    ...{
      mirror: false,
      intercept: 'local',
      interceptPort: 36524,
      device: 'eth0',
      netns: null,
      filter: '',
      bufferBytes: 8 << 20,
    },
    ...{ files: null, sender: 'auto', mtu: 0, engine: {}, clones: { copies: 1, pool: null }, workers: 1 },
    ...{ netns: null, cpuPercentMax: 0, closeMs: 500, keyFile: '', tls: null },
  };
  const library = path.join(ROOT, 'dist/src/copy/index.js');
  const script = path.join(rig.lab.directory, 'crashing.mjs');
  fs.writeFileSync(script, CRASHING);
  const argv = [process.execPath, script, library, JSON.stringify(request)];
  const agent = rig.production.spawn(argv);
  await agent.waitFor(/ready/);
  load(rig, `${URL_OF}/before`, '-H', 'Connection: close');
  t.match(await rig.compare(), { missing: 0 });
  agent.child.stdin!.write('crash\n');
  await agent.waitFor(/starting it again/);
  await agent.waitFor(/runs again/);
  rig.clearLogs();
  load(rig, `${URL_OF}/after`, '-H', 'Connection: close');
  t.match(await rig.compare(), { missing: 0 }, 'the next thread copies');

  for (const state of ['down', 'up']) {
    rig.production.run(['ip', 'link', 'set', 'eth1', state]);
    await new Promise((resolve) => setTimeout(resolve, 700));
  }
  rig.production.run([
    'ip',
    'neigh',
    'replace',
    TARGET,
    'lladdr',
    '02:00:00:00:01:02',
    'dev',
    'eth1',
    'nud',
    'permanent',
  ]);
  rig.clearLogs();
  load(rig, `${URL_OF}/up`, '-H', 'Connection: close');
  t.match(await rig.compare(), { missing: 0, extra: 0 }, 'and so it does when the way out has come back');
  agent.child.stdin!.write('stop\n');
  await agent.ended;
  t.match(agent.stdout, /"crashes":1/, 'the crash is counted');
});

t.test(
  'settings read again; metrics; a rule left by a killed agent; any, raw IP, a pool of clients',
  { skip },
  async (t) => {
    const rig = await makeRig();
    t.teardown(() => rig.lab.teardown());
    const file = path.join(rig.lab.directory, 'tscopy.yaml');
    const settings = (percent: number): string =>
      `target: "${TARGET}:${PORT}"\nintercept: local\ninterface: eth0\npercent: ${percent}\nmetrics-port: 9191\n`;
    fs.writeFileSync(file, settings(0));
    await rig.startAgent('--config', file);
    load(rig, `${URL_OF}/none`, '-H', 'Connection: close');
    t.match(await rig.compare(200), { target: 0, extra: 0 }, '--percent 0 copies nobody');
    fs.writeFileSync(file, settings(100));
    rig.agent!.child.kill('SIGHUP');
    await rig.agent!.waitFor(/settings read again/);
    rig.clearLogs();
    load(rig, `${URL_OF}/all`, '-H', 'Connection: close');
    const all = await rig.compare();
    t.match(all, { missing: 0, extra: 0 }, 'SIGHUP: now all of them');
    // Delivered is what the target has acknowledged, which it does up to 40 ms later.
    const delivered = new RegExp(`^tscopy_requests_delivered_total ${all.production}$`, 'm');
    const metrics = ['curl', '-s', 'http://127.0.0.1:9191/metrics'];
    await until('all delivered', () => delivered.test(rig.production.run(metrics).stdout));

    rig.agent!.child.kill('SIGKILL');
    await rig.agent!.ended;
    const rules = (): string[] => rig.production.run(['ip', 'rule']).stdout.match(/^\d+:.*blackhole/gm) ?? [];
    const [left] = rules();
    t.ok(left, 'a killed agent leaves its rule: no reply goes to a client');
    await rig.startAgent('--target', `${TARGET}:${PORT}`, '--intercept', 'local', '-i', 'any', '--sender', 'raw_ip');
    t.equal(rules().length, 1, 'the next one has a rule');
    t.not(rules()[0], left, 'of its own, and has removed the other');
    const other = ['--target', `${TARGET}:8081`, '--intercept', 'local', '-i', 'eth0', '--no-probe'];
    const beside = rig.production.spawn([process.execPath, TSCOPY, ...other]);
    await beside.waitFor(/Ready/);
    t.equal(rules().length, 2, 'an agent beside it has one too, and leaves those of the living');
    await beside.stop('SIGTERM');
    t.equal(rules().length, 1, 'and takes its own with it');
    rig.clearLogs();
    load(rig, `${URL_OF}/any`, '-H', 'Connection: close');
    t.match(await rig.compare(), { missing: 0, extra: 0 }, 'captured on any, sent as raw IP');
    await rig.stopAgent();

    await rig.startAgent(...LOCAL, '--client-pool', '198.18.0.0/16');
    rig.clearLogs();
    load(rig, `${URL_OF}/pool`, '-H', 'Connection: close');
    const counts = (): number[] => [rig.productionLog, rig.targetLog].map((log) => rig.lines(log).length);
    await until('one of each', () => counts()[0] === counts()[1]);
    t.ok(
      rig.lines(rig.targetLog).every((line) => line.startsWith('[198.18.')),
      'from the pool',
    );
    await rig.stopAgent();
    t.equal(counts()[1], counts()[0], 'no more than these');
    t.same(rules(), [], 'no rule is left');
  },
);
