/** `tscopy --intercept local` between real kernels: every request reaches the test server, from its own client. */
import path from 'node:path';
import t from 'tap';
import { labUnavailable } from '../../lab/availability.ts';
import { makeRig, PORT, PRODUCTION, TARGET, TSCOPY } from './lab_rig.ts';

// A machine that is shared needs longer.
t.setTimeout(180_000);

const skip = labUnavailable('nginx', 'wrk', 'tcpdump', 'curl') ?? false;
const URL_OF = `http://${PRODUCTION}:${PORT}`;

t.test('keep-alive and a connection for each request; nothing reaches the clients', { skip }, async (t) => {
  const rig = await makeRig();
  t.teardown(() => rig.lab.teardown());
  const stray = path.join(rig.lab.directory, 'stray.pcap');
  const capture = await rig.clients.capture('eth0', stray, { filter: `host ${TARGET}` });
  await rig.startAgent('--target', `${TARGET}:${PORT}`, '--intercept', 'local', '-i', 'eth0', '--json');
  const rules = rig.production.run(['ip', 'rule']).stdout;
  t.match(rules, /2\d{4}:\s+from 10\.92\.0\.9 ipproto tcp sport 8080 blackhole/, 'a rule swallows the replies');

  rig.clients.run(['wrk', '-t1', '-c8', '-d1', '-s', rig.delayScript(2), `${URL_OF}/keep`]);
  const keep = await rig.compare();
  t.ok(keep.production > 200, `${keep.production} requests`);
  t.match(keep, { missing: 0, extra: 0 }, 'keep-alive: all of them, each from its own address and port');

  rig.clearLogs();
  rig.clients.run(['wrk', '-t1', '-c8', '-d1', '-s', rig.delayScript(2), '-H', 'Connection: close', `${URL_OF}/close`]);
  const close = await rig.compare();
  t.ok(close.production > 100, `${close.production} connections`);
  t.match(close, { missing: 0, extra: 0 }, 'a connection for each request: all of them');

  const printed = await rig.stopAgent();
  t.equal(rig.agent!.child.exitCode, 0, rig.agent!.stderr);
  const report = JSON.parse(printed.trim().split('\n').at(-1)!) as { event: string; counts: Record<string, number> };
  t.equal(report.event, 'report');
  t.equal(report.counts['RequestsDelivered'], keep.production + close.production, 'the report says so, too');
  t.notMatch(rig.production.run(['ip', 'rule']).stdout, /blackhole/, 'the rule is gone');
  t.equal((await capture.finish()).packets.length, 0, 'no packet of the test server reached the clients');

  // A target that never answers: the probe waits for it, and the end is asked for meanwhile.
  const silent = ['10.92.0.77', 'lladdr', '02:00:00:00:02:02', 'dev', 'eth1', 'nud', 'permanent'];
  rig.production.run(['ip', 'neigh', 'replace', ...silent]);
  const options = ['--target', `10.92.0.77:${PORT}`, '--intercept', 'local', '-i', 'eth0'];
  const starting = rig.production.spawn([process.execPath, TSCOPY, ...options]);
  while (!/blackhole/.test(rig.production.run(['ip', 'rule']).stdout) && starting.child.exitCode === null) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  starting.child.kill('SIGTERM');
  await starting.ended;
  t.equal(starting.child.exitCode, 0, starting.stderr);
  t.notMatch(rig.production.run(['ip', 'rule']).stdout, /blackhole/, 'the rule is gone, though copying never began');
});
