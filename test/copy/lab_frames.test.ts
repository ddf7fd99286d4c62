/** Frames that no server of this machine answers, sent on a wire that tscopy listens to: tagged ones, hostile ones. */
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { labUnavailable } from '../../lab/availability.ts';
import { Rng } from '../../src/base/rng.ts';
import { makeRig, PORT, PRODUCTION, type Rig, ROOT, TARGET } from './lab_rig.ts';

const skip = labUnavailable('nginx', 'wrk', 'tcpdump', 'nft') ?? false;
// A machine that is shared needs longer.
t.setTimeout(180_000);
const LOCAL = ['--target', `${TARGET}:${PORT}`, '--intercept', 'local', '-i', 'eth0'];
const SEED = Number(process.env['TSREPLAY_SEED'] ?? Math.floor(Math.random() * 0x7fffffff));
t.comment(`TSREPLAY_SEED=${SEED}`);

const program = (name: string): string => path.join(ROOT, `dist/src/cli/${name}.js`);

function load(rig: Rig): void {
  const shape = ['-t1', '-c6', '-d1', '-s', rig.delayScript(10), '-H', 'Connection: close'];
  rig.clients.run(['wrk', ...shape, `http://${PRODUCTION}:${PORT}/wire`]);
}

/** A second of clients' frames; and what production made of them, which is taken out of the logs. */
async function record(rig: Rig): Promise<{ readonly file: string; readonly lines: readonly string[] }> {
  const file = path.join(rig.lab.directory, 'clients.pcap');
  const filter = `tcp dst port ${PORT}`;
  const capture = await rig.production.capture('eth0', file, { filter, direction: 'in' });
  load(rig);
  await capture.stop();
  const lines = rig.lines(rig.productionLog);
  rig.clearLogs();
  return { file, lines };
}

function send(rig: Rig, file: string, ...options: string[]): void {
  rig.clients.run([process.execPath, program('tsreplay'), '-i', 'eth0', '--quiet', ...options, file]);
}

t.test('frames with one VLAN tag and with two', { skip }, async (t) => {
  const rig = await makeRig();
  t.teardown(() => rig.lab.teardown());
  const { file, lines } = await record(rig);
  t.ok(lines.length > 100, `${lines.length} requests`);
  const push = (from: string, name: string, ...tag: string[]): string => {
    const to = path.join(rig.lab.directory, name);
    rig.clients.run([process.execPath, program('tsrewrite'), '-i', from, '-o', to, ...tag]);
    return to;
  };
  const once = push(file, 'once.pcap', '--vlan', 'push:100');
  const stacked = push(once, 'stacked.pcap', '--vlan', 'push:0.vid=200,0.tpid=802.1ad');
  const doubled = push(once, 'doubled.pcap', '--vlan', 'push:200');
  for (const [name, sent] of [
    ['one tag', once],
    ['two tags, 802.1ad', stacked],
    ['two tags, 802.1Q both', doubled],
  ] as const) {
    await rig.startAgent(...LOCAL);
    send(rig, sent);
    await rig.settled(lines.length);
    t.same(rig.lines(rig.productionLog), [], `${name}: production, which has no such VLAN, has not seen them`);
    t.same(rig.lines(rig.targetLog), lines, `${name}: every request was copied`);
    await rig.stopAgent();
    rig.clearLogs();
  }
});

/** Spoils bytes of the headers of each packet but for its Ethernet addresses, so that it comes as far as it can. */
function spoil(file: string, seed: number): void {
  const rng = new Rng(seed);
  const bytes = fs.readFileSync(file);
  for (let at = 24; at < bytes.length; ) {
    const length = bytes.readUInt32LE(at + 8);
    const from = at + 16 + (rng.below(20) === 0 ? 12 : 14);
    const span = Math.min(60, at + 16 + length - from);
    for (let n = 1 + rng.below(4); n > 0; n--) bytes[from + rng.below(span)] = rng.below(256);
    at += 16 + length;
  }
  fs.writeFileSync(file, bytes);
}

t.test('hostile frames: nothing but the target is sent to, and copying goes on', { skip }, async (t) => {
  const rig = await makeRig();
  t.teardown(() => rig.lab.teardown());
  const { file } = await record(rig);
  spoil(file, SEED);
  const elsewhere = `ip daddr ${TARGET} tcp dport ${PORT} accept\nip protocol tcp counter`;
  const chain = `type filter hook ingress device "eth0" priority -10; policy accept;\n${elsewhere}`;
  rig.target.run(['nft', '-f', '-'], { input: `table netdev elsewhere {\nchain in {\n${chain}\n}\n}\n` });
  rig.watchStrays();
  await rig.startAgent(...LOCAL);
  for (let round = 0; round < 3; round++) {
    send(rig, file, '--multiplier', '4');
    spoil(file, SEED + round);
  }
  rig.clearLogs();
  load(rig);
  const found = await rig.compare();
  t.ok(found.production > 100, `${found.production} requests`);
  // What was taken up from hostile frames may still be given to the target: more than production has had, never less.
  t.equal(found.missing, 0, 'clients are copied as ever');
  await rig.stopAgent();
  t.equal(rig.agent!.child.exitCode, 0, rig.agent!.stderr);
  t.match(
    rig.target.run(['nft', 'list', 'ruleset']).stdout,
    /counter packets 0 /,
    'no packet to another address or port',
  );
  t.equal(rig.strays(), 0, 'no packet of the test server reached the clients');
});
