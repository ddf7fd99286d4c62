/** `tscopy doctor` and the probe at the start: every broken hop is made for real, and named. */
import t from 'tap';
import { labUnavailable } from '../../lab/availability.ts';
import type { Host } from '../../lab/host.ts';
import { type Interception, makeRig, PORT, type Rig, TARGET, TSCOPY } from './lab_rig.ts';

t.setTimeout(180_000);

const skip = labUnavailable('nginx', 'nft', 'tcpdump', 'ss') ?? false;
const TO_TARGET = ['--target', `${TARGET}:${PORT}`];
/** Nobody listens there; tsintercept swallows it all the same. */
const DEAD_PORT = 9999;
const OTHER_PORT = 9998;

interface CheckJson {
  readonly event: 'check';
  readonly place: string;
  readonly name: string;
  readonly target: string | null;
  readonly status: 'ok' | 'warning' | 'broken' | 'unknown';
  readonly text: string;
  readonly remedy: string | null;
  readonly isLeak: boolean;
}

interface VerdictJson {
  readonly event: 'verdict';
  readonly status: string;
  readonly text: string;
  readonly hop: CheckJson | null;
}

interface Findings {
  readonly status: number;
  readonly stderr: string;
  readonly checks: readonly CheckJson[];
  readonly verdict: VerdictJson;
  /** `name: status` of the probe's checks, in order. */
  readonly probe: readonly string[];
}

const doctor = (rig: Rig, where: Interception, ...options: string[]): Findings =>
  findings(rig, [...rig.interceptOptions(where), ...options]);

function findings(rig: Rig, options: readonly string[]): Findings {
  const argv = [process.execPath, TSCOPY, 'doctor', '--json', '-i', 'eth0', ...options];
  const { status, stdout, stderr } = rig.production.run(argv, { check: false });
  const lines = stdout
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as CheckJson | VerdictJson);
  const checks = lines.filter((line) => line.event === 'check');
  const verdict = lines.at(-1) as VerdictJson;
  const probe = checks.filter(({ place }) => place === 'probe').map((each) => `${each.name}: ${each.status}`);
  return { status, stderr, checks, verdict, probe };
}

/** tscopy itself, which must not begin. */
function start(
  rig: Rig,
  where: Interception,
  ...options: string[]
): { status: number; stdout: string; stderr: string } {
  const argv = [process.execPath, TSCOPY, '-i', 'eth0', ...rig.interceptOptions(where), ...options];
  return rig.production.run(argv, { check: false, timeoutMs: 20_000 });
}

function sh(host: Host, line: string): void {
  host.run(['sh', '-c', line]);
}

const firewall = (hook: string, rule: string): string =>
  `nft 'table inet doctor { chain c { type filter hook ${hook} priority 0; ${rule} drop; }; }'`;
const NO_FIREWALL = 'nft delete table inet doctor';

t.test('tsintercept on the test server', { skip }, async (t) => {
  const rig = await makeRig({ repliesVia: 'router' });
  t.teardown(() => rig.lab.teardown());
  const { target } = rig;
  const absent = doctor(rig, 'tunnel', ...TO_TARGET);
  t.match(absent.verdict.hop, {
    place: 'tunnel',
    text: /nothing listens at 10\.92\.0\.9:36524: start tsintercept there/,
  });
  t.same(absent.probe, ['left: unknown'], 'no SYN leaves where nobody swallows the answer');

  await rig.startIntercept('tunnel', [PORT, DEAD_PORT]);
  const capture = await rig.clients.capture('eth0', `${rig.lab.directory}/stray.pcap`, { filter: 'net 192.0.2.0/24' });
  const good = doctor(rig, 'tunnel', ...TO_TARGET);
  t.equal(good.status, 0, good.verdict.text);
  t.same(
    good.probe,
    ['left', 'reached', 'answered', 'swallowed', 'clients'].map((name) => `${name}: ok`),
  );
  const tunnel = good.checks.filter(({ place }) => place === 'tunnel').map(({ name, status }) => `${name}: ${status}`);
  t.same(tunnel, ['reached: ok', 'round trip: ok', 'clock: ok']);
  const halfOpen = target.run(['ss', '-Htan', 'state', 'syn-recv', 'sport', '=', `:${PORT}`]).stdout;
  t.equal(halfOpen, '', 'the half-open connection is gone');
  t.same(rig.lines(rig.targetLog), [], 'and the service never heard of it');

  const wrong = findings(rig, [...TO_TARGET, '--key-file', rig.keyFile('other', 'another key of sixteen')]);
  t.match(wrong, { status: 1, verdict: { hop: { place: 'tunnel', text: /has another key: copy the key file/ } } });
  const old = target.spawn([process.execPath, '-e', OLD_SERVER]);
  await old.waitFor(/listening/);
  const version = doctor(rig, 'tunnel', ...TO_TARGET, '--intercept', `${TARGET}:4000`);
  t.match(version.verdict.hop, {
    place: 'tunnel',
    text: /speaks tunnel version 1, this program \d+: install the same/,
  });

  const dead = doctor(rig, 'tunnel', '--target', `${TARGET}:${DEAD_PORT}`);
  t.match(dead.verdict.hop, { name: 'answered', text: /refuses port 9999 \(RST\): nothing listens there/ });

  sh(target, firewall('input', `tcp dport ${PORT}`));
  const walled = doctor(rig, 'tunnel', ...TO_TARGET);
  sh(target, NO_FIREWALL);
  t.match(walled.verdict.hop, {
    name: 'answered',
    text: /came in at 10\.92\.0\.9 by eth0.* a firewall there drops it/,
  });

  sh(target, 'echo 1 > /proc/sys/net/ipv4/conf/eth0/rp_filter');
  const strict = doctor(rig, 'tunnel', ...TO_TARGET);
  t.match(strict.verdict.hop, { remedy: 'on 10.92.0.9: sysctl -w net.ipv4.conf.eth0.rp_filter=2' });
  const answered = strict.checks.find(({ name }) => name === 'answered');
  t.match(answered, { status: 'broken', text: /rp_filter=1 on eth0 .*\(\d packets while the probe ran\)/ });
  const warned = rig.startAgent('-i', 'eth0', ...rig.interceptOptions('tunnel'), ...TO_TARGET);
  await warned;
  t.match(rig.agent!.stderr, /warn: the probe of 10\.92\.0\.9:8080 says: rp_filter=1 on eth0/, 'no leak: a warning');
  await rig.stopAgent();
  sh(target, 'echo 0 > /proc/sys/net/ipv4/conf/eth0/rp_filter');
  t.equal((await capture.finish()).packets.length, 0, 'nothing has reached the clients until here');
});

t.test('tsintercept on the test server: leaks, and another way to it', { skip }, async (t) => {
  const rig = await makeRig({ repliesVia: 'router' });
  t.teardown(() => rig.lab.teardown());
  const { target } = rig;
  await rig.startIntercept('tunnel', [PORT, DEAD_PORT]);
  const unnamed = start(rig, 'tunnel', '--target', `${TARGET}:${OTHER_PORT}`);
  t.equal(unnamed.status, 3, 'a service that tsintercept does not swallow');
  t.match(unnamed.stderr, /LEAK: a RST .* left 10\.92\.0\.9 by eth1.*: tsintercept swallows 8080, 9999 only/);

  sh(target, `ip rule add pref 100 iif lo ipproto tcp sport ${PORT} lookup main`);
  const stray = doctor(rig, 'tunnel', ...TO_TARGET);
  const replies = stray.checks.find(({ name }) => name === 'replies');
  t.match(replies, { status: 'broken', text: /routes replies of 8080 to eth1, not into tsintercept0/ });
  t.notOk(stray.verdict.hop?.isLeak, 'the table of tsintercept holds them back');
  sh(target, 'nft delete table inet tsintercept');
  const leak = doctor(rig, 'tunnel', ...TO_TARGET);
  t.equal(leak.status, 1);
  t.match(leak.verdict.hop, {
    name: 'clients',
    isLeak: true,
    text: /LEAK: a SYN-ACK to 192\.0\.2\.\d+ left .* by eth1/,
  });
  const refused = start(rig, 'tunnel', ...TO_TARGET);
  t.match(refused, { status: 3, stdout: '', stderr: /LEAK: .* on 10\.92\.0\.9: ip rule shows/ }, 'it does not start');
  await rig.startAgent('-i', 'eth0', ...rig.interceptOptions('tunnel'), ...TO_TARGET, '--no-probe');
  t.match(await rig.stopAgent(), /Ready/, 'but with --no-probe');
  sh(target, 'ip rule del pref 100');

  // Another way to the target, by a router that lets no foreign source pass.
  sh(rig.production, `ip route add ${TARGET} via 10.91.0.2`);
  sh(rig.lab.host('r'), `ip route add ${TARGET} via 10.94.0.9`);
  sh(rig.lab.host('r'), firewall('forward', 'ip saddr 192.0.2.0/24'));
  const spoofed = doctor(rig, 'tunnel', ...TO_TARGET);
  t.match(spoofed.verdict.hop, {
    name: 'reached',
    text: /left here and did not reach 10\.92\.0\.9/,
    remedy: /source\/destination check.*rp_filter=1 or a firewall.*--probe-from/,
  });
  const routed = doctor(rig, 'tunnel', ...TO_TARGET, '--probe-from', '10.90.200.7');
  t.equal(routed.status, 0, 'from an address that is routed as clients are');
  t.match(routed.checks.find(({ name }) => name === 'left')?.text, /from 10\.90\.200\.7 left by eth0/);
});

/** Answers every Hello as one of version 1 does. */
const OLD_SERVER = `require('node:net').createServer((socket) => socket.once('data', () =>
  socket.end(Buffer.from([0, 0, 0, 4, 5, 2, 0, 1])))).listen(4000, () => console.log('listening'));`;

t.test('tsintercept on an assistant', { skip }, async (t) => {
  const rig = await makeRig({ repliesVia: 'assistant' });
  t.teardown(() => rig.lab.teardown());
  const assistant = rig.lab.host('a');
  await rig.startIntercept('assistant', [PORT]);
  const good = doctor(rig, 'assistant', ...TO_TARGET);
  t.equal(good.status, 0, good.verdict.text);
  t.same(
    good.probe,
    ['left', 'reached', 'answered', 'swallowed', 'clients'].map((name) => `${name}: ok`),
  );

  sh(rig.target, 'ip route del default');
  const lost = doctor(rig, 'assistant', ...TO_TARGET);
  t.same(lost.probe, ['left: ok', 'reached: unknown', 'answered: unknown', 'swallowed: broken', 'clients: unknown']);
  t.match(
    lost.checks.find(({ place, name }) => place === 'probe' && name === 'reached')?.text,
    /not observable from here/,
  );
  t.match(lost.verdict.hop?.remedy, /on 10\.92\.0\.9: ip route add default via 10\.93\.0\.30/);
  sh(rig.target, 'ip route add default via 10.93.0.30');

  sh(assistant, 'echo 1 > /proc/sys/net/ipv4/ip_forward');
  const leak = doctor(rig, 'assistant', ...TO_TARGET);
  t.match(leak.verdict.hop, { isLeak: true, remedy: 'on the assistant: sysctl -w net.ipv4.ip_forward=0' });
  const setting = leak.checks.find(({ place, name }) => place === 'far side' && name === 'ip_forward');
  t.match(setting, { status: 'broken', remedy: /sysctl -w net\.ipv4\.conf\.eth0\.forwarding=0/ });
  t.match(start(rig, 'assistant', ...TO_TARGET), {
    status: 3,
    stdout: '',
    stderr: /LEAK: .* left the assistant by eth1/,
  });
});

t.test('this host swallows; both IP versions', { skip }, async (t) => {
  const rig = await makeRig({ v6: true });
  t.teardown(() => rig.lab.teardown());
  const { production } = rig;
  const both = ['--map', `${PORT}=${TARGET}:${PORT}`, '--map', `${PORT}=[fd92::9]:${PORT}`];
  const argv = [process.execPath, TSCOPY, 'doctor', '-i', 'eth0', '--intercept', 'local', ...both];
  const good = production.run(argv);
  t.match(good.stdout, /^ok +probe +answered +10\.92\.0\.9:8080: SYN-ACK after/m);
  t.match(good.stdout, /^ok +probe +answered +\[fd92::9\]:8080: SYN-ACK after/m);
  t.match(good.stdout, /this host --SYN--> \[fd92::9\]:8080 --SYN-ACK--> this host\n +ok +ok\n/, 'a picture');
  t.match(good.stdout, /\nAll right: copies arrive, are answered/);
  t.notMatch(production.run(['ip', 'rule']).stdout, /blackhole/, 'the rule is gone');

  sh(production, firewall('output', `tcp dport ${PORT}`));
  const walled = doctor(rig, 'local', ...TO_TARGET, '--sender', 'raw_ip');
  sh(production, NO_FIREWALL);
  t.same(walled.probe, ['left: broken']);
  t.match(walled.verdict.hop, { text: /refuses the SYN .* \(EPERM\)/, remedy: /nft list ruleset; --sender af_packet/ });

  sh(rig.target, 'ip route del default');
  const lost = doctor(rig, 'local', ...TO_TARGET);
  t.match(lost.verdict.hop?.remedy, /on 10\.92\.0\.9: ip route add default via 10\.92\.0\.1/);
  sh(rig.target, 'ip route add default via 10.92.0.1');

  // A way to the clients that the question to the kernel before the start does not show.
  sh(production, 'ip route add default via 10.91.0.10');
  sh(production, `ip rule add pref 100 from ${TARGET} ipproto tcp dport 20000-65534 lookup main`);
  const refused = start(rig, 'local', ...both);
  t.match(refused, {
    status: 3,
    stdout: '',
    stderr: /LEAK: .* left this host by eth0.*ip rule shows what goes before/,
  });
  t.notMatch(production.run(['ip', 'rule']).stdout, /blackhole/, 'nothing is left behind');
  sh(production, 'ip rule del pref 100');

  const down = doctor(rig, 'local', '--target', '10.92.0.77:80');
  t.match(down, {
    status: 1,
    verdict: { hop: { place: 'this host', text: /next hop to 10\.92\.0\.77 .* does not answer/ } },
  });
  sh(production, 'ip link set eth0 down');
  const dead = doctor(rig, 'local', ...TO_TARGET).checks.find(({ name }) => name === 'interface');
  t.match(dead, { status: 'broken', text: 'eth0 is down', remedy: 'ip link set eth0 up' });
  const usage = production.run([...argv, 'now'], { check: false });
  t.match(usage, { status: 2, stderr: /takes options only, not "now"/ });
});
