/** `tscopy` with `tsintercept` on the test server, between real kernels. */
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { labUnavailable } from '../../lab/availability.ts';
import type { LabProcess } from '../../lab/process.ts';
import { clientAddresses, makeRig, PORT, PRODUCTION, type Rig, ROOT, TARGET } from './lab_rig.ts';

// A machine that is shared needs longer.
t.setTimeout(180_000);

const skip = labUnavailable('nginx', 'wrk', 'tcpdump', 'curl', 'nft') ?? false;
const URL_OF = `http://${PRODUCTION}:${PORT}`;
const TSINTERCEPT = path.join(ROOT, 'dist/src/cli/tsintercept.js');

function writeKey(rig: Rig, name: string, content: string): string {
  const file = path.join(rig.lab.directory, name);
  fs.writeFileSync(file, content, { mode: 0o600 });
  return file;
}

async function startIntercept(rig: Rig, key: string): Promise<LabProcess> {
  const running = rig.target.spawn([process.execPath, TSINTERCEPT, '--service', String(PORT), '--key-file', key]);
  await running.waitFor(/ready/i);
  return running;
}

t.test('the interception runs on the test server; it may be killed and come back', { skip }, async (t) => {
  const rig = await makeRig();
  t.teardown(() => rig.lab.teardown());
  const key = writeKey(rig, 'key', 'a key of more than sixteen bytes');
  const stray = path.join(rig.lab.directory, 'stray.pcap');
  const capture = await rig.clients.capture('eth0', stray, { filter: `host ${TARGET}` });

  const early = rig.production.run(
    [
      process.execPath,
      path.join(ROOT, 'dist/src/cli/tscopy.js'),
      '--target',
      `${TARGET}:${PORT}`,
      '--key-file',
      key,
      '-i',
      'eth0',
    ],
    { check: false },
  );
  t.match(early.stderr, /nothing listens at 10\.92\.0\.9:36524: start tsintercept there/, 'it says what is missing');
  t.equal(early.status, 3);

  const first = await startIntercept(rig, key);
  const wrong = rig.production.run(
    [
      process.execPath,
      path.join(ROOT, 'dist/src/cli/tscopy.js'),
      ...[
        '--target',
        `${TARGET}:${PORT}`,
        '--key-file',
        writeKey(rig, 'wrong', 'another key of sixteen'),
        '-i',
        'eth0',
      ],
    ],
    { check: false },
  );
  t.match(wrong.stderr, /has another key: copy the key file/, 'a wrong key is refused');

  await rig.startAgent('--target', `${TARGET}:${PORT}`, '--key-file', key, '-i', 'eth0');
  rig.clients.run(['wrk', '-t1', '-c8', '-d1', '-s', rig.delayScript(2), `${URL_OF}/keep`]);
  const keep = await rig.compare();
  t.ok(keep.production > 200, `${keep.production} requests`);
  t.match(keep, { missing: 0, extra: 0 }, 'keep-alive: all of them');

  rig.clearLogs();
  rig.clients.run(['wrk', '-t1', '-c8', '-d1', '-s', rig.delayScript(2), '-H', 'Connection: close', `${URL_OF}/close`]);
  const close = await rig.compare();
  t.ok(close.production > 100, `${close.production} connections`);
  t.match(close, { missing: 0, extra: 0 }, 'a connection for each request: all of them');

  rig.clearLogs();
  const load = rig.clients.spawn(['wrk', '-t1', '-c4', '-d4', '-s', rig.delayScript(10), `${URL_OF}/outage`]);
  await new Promise((resolve) => setTimeout(resolve, 1000));
  first.child.kill('SIGKILL');
  await first.ended;
  await startIntercept(rig, key);
  await load.ended;
  const outage = await rig.compare(6_000);
  t.ok(
    outage.missing <= outage.production * 0.02,
    `${outage.missing} of ${outage.production} requests missing after the interception was killed`,
  );
  const report = await rig.stopAgent();
  t.match(report, /Requests: .* delivered/, 'the report');
  t.equal((await capture.finish()).packets.length, 0, 'no packet of the test server reached the clients');
});

t.test('clients that the test server answers as ever are not copied', { skip }, async (t) => {
  const rig = await makeRig({ repliesVia: 'router' });
  t.teardown(() => rig.lab.teardown());
  rig.watchStrays();
  const addresses = clientAddresses(4);
  const ask = (address: string): void => {
    rig.clients.run(['curl', '-s', '-o', '/dev/null', '--interface', address, `${URL_OF}/from`]);
  };
  for (const workers of ['1', '2']) {
    rig.clearLogs();
    const intercept = await rig.startIntercept('tunnel', [PORT], '--except', `${addresses[1]}/32,fd00::/8`);
    const agent = await rig.startAgent(
      ...['--target', `${TARGET}:${PORT}`, '-i', 'eth0', '--workers', workers, ...rig.interceptOptions('tunnel')],
    );
    t.match(agent.stderr, /not copied are clients of 10\.90\.0\.11\/32, fd00::\/8, whom the target answers itself/);
    for (const address of [...addresses, ...addresses]) ask(address);
    await rig.settled(6);
    t.match(await rig.stopAgent(), /Shed: +\d+ packets of clients .*whom the target answers itself/);
    const asked = rig.lines(rig.targetLog).map((line) => /\[(.*?)\]/.exec(line)![1]);
    const others = addresses.filter((address) => address !== addresses[1]);
    t.same(asked, [...others, ...others].sort(), `${workers} workers: the others were copied`);
    intercept.child.kill('SIGTERM');
    await intercept.ended;
  }
  t.equal(rig.strays(), 0, 'and none of them was sent anything by the test server');
});
