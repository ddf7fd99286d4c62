/** The interception in network namespaces: a real server, clients' addresses used by somebody else, nothing leaks. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { labUnavailable } from '../../lab/availability.ts';
import { type Lab, makeLab } from '../../lab/lab.ts';
import { type LabProcess, until } from '../../lab/process.ts';
import { startNginx } from '../../lab/servers.ts';
import type { AgentResult, AgentTask } from './intercept_agent.ts';

const CLI = fileURLToPath(new URL('../../src/cli/tsintercept.js', import.meta.url));
const TSCOPY = fileURLToPath(new URL('../../src/cli/tscopy.js', import.meta.url));
const AGENT = fileURLToPath(new URL('./intercept_agent.js', import.meta.url));
const skip = labUnavailable('nginx', 'tcpdump', 'curl', 'ss') ?? false;
const TUNNEL_PORT = 36_524;
const FILE_BYTES = 300_000;

/** Clients and agent at either side of the test server. `10.77.1.5` is copied, `10.77.1.6` is the operator's. */
async function testServer(t: { teardown(fn: () => unknown): void }): Promise<{ lab: Lab; keyFile: string }> {
  const lab = makeLab({
    hosts: ['client', 'server', 'agent'],
    links: [
      {
        a: { host: 'client', iface: 'eth0', v4: '10.77.1.5/24', v6: 'fd77:1::5/64' },
        b: { host: 'server', iface: 'eth0', v4: '10.77.1.2/24', v6: 'fd77:1::2/64' },
        offloads: 'keep',
      },
      {
        a: { host: 'agent', iface: 'eth0', v4: '10.77.2.1/24', v6: 'fd77:2::1/64' },
        b: { host: 'server', iface: 'eth1', v4: '10.77.2.2/24', v6: 'fd77:2::2/64', mac: '02:00:00:00:77:02' },
        offloads: 'keep',
      },
    ],
  });
  t.teardown(() => lab.teardown());
  for (const address of ['10.77.1.6/24', 'fd77:1::6/64']) {
    lab
      .host('client')
      .run(['ip', 'address', 'add', address, 'dev', 'eth0', ...(address.includes(':') ? ['nodad'] : [])]);
    const bare = address.split('/')[0]!;
    lab
      .host('server')
      .run(['ip', 'neigh', 'replace', bare, 'lladdr', '02:00:00:00:00:01', 'dev', 'eth0', 'nud', 'permanent']);
  }
  for (const name of ['all', 'eth0', 'eth1']) strictness(lab, name, 0);
  const second = 'server { listen 8080; listen [::]:8080; location / { return 200 second; } }';
  await startNginx(lab, lab.host('server'), { files: { big: 'x'.repeat(FILE_BYTES), small: 'ok' }, http: second });
  const keyFile = join(lab.directory, 'key');
  writeFileSync(keyFile, 'sixteen bytes or more\n', { mode: 0o600 });
  return { lab, keyFile };
}

function strictness(lab: Lab, name: string, value: number): void {
  lab.host('server').run(['sh', '-c', `echo ${value} > /proc/sys/net/ipv4/conf/${name}/rp_filter`]);
}

async function intercept(lab: Lab, host: string, args: readonly string[]): Promise<LabProcess> {
  const started = lab.host(host).spawn([process.execPath, CLI, '--json', ...args]);
  await started.waitFor(/"event":"ready"/);
  return started;
}

function curl(lab: Lab, from: string, url: string): string {
  const run = lab.host('client').run(['curl', '-sg', '-m', '2', '--interface', from, url, '-o', '-'], { check: false });
  return run.status === 0 ? run.stdout : `curl ${run.status}`;
}

function leftovers(lab: Lab): string {
  const shown = ['rule', 'route show table 36524', 'link']
    .flatMap((what) => ['-4', '-6'].map((family) => `ip ${family} ${what} 2>/dev/null`))
    .concat('nft list tables 2>/dev/null')
    .join('; ');
  const { stdout } = lab.host('server').run(['sh', '-c', shown], { check: false });
  return stdout
    .split('\n')
    .filter((line) => /36524|tsintercept|blackhole/.test(line))
    .join('\n');
}

interface Agent {
  readonly process: LabProcess;
  readonly results: readonly AgentResult[];
}

async function copy(lab: Lab, keyFile: string, task: Partial<AgentTask>): Promise<Agent> {
  const whole: AgentTask = {
    intercept: '10.77.2.2',
    port: TUNNEL_PORT,
    keyFile,
    iface: 'eth0',
    mac: '02:00:00:00:77:02',
    sessions: [],
    servicePort: 80,
    request: 'GET /big HTTP/1.1\r\nHost: a\r\n\r\n',
    replyBytes: FILE_BYTES,
    registerLateMs: 0,
    ...task,
  };
  const started = lab.host('agent').spawn([process.execPath, AGENT, JSON.stringify(whole)]);
  await started.waitFor(/"results"/);
  const line = started.stdout.split('\n').find((text) => text.includes('"results"'))!;
  return { process: started, results: (JSON.parse(line) as { results: AgentResult[] }).results };
}

/** TCP packets of the services in a capture. */
function repliesSeen(lab: Lab, file: string): string[] {
  const { stdout } = lab
    .host('client')
    .run(['tcpdump', '-nr', file, 'tcp and (src port 80 or src port 81)'], { check: false });
  return stdout.split('\n').filter((line) => line !== '');
}

/** Resets of the host's own firewall are routed without their ports, past the rules. */
function refusedByFirewall(lab: Lab): string {
  const chain = 'type filter hook input priority 0;\nip saddr 10.77.1.5 tcp dport 80 reject with tcp reset';
  lab.host('server').run(['nft', '-f', '-'], { input: `table ip refusing {\nchain in {\n${chain}\n}\n}\n` });
  const said = curl(lab, '10.77.1.5', 'http://10.77.1.2/small');
  lab.host('server').run(['nft', 'delete', 'table', 'ip', 'refusing']);
  return said;
}

t.test('mode host', { skip }, async (t) => {
  const { lab, keyFile } = await testServer(t);
  const client = lab.host('client');
  t.equal(curl(lab, '10.77.1.5', 'http://10.77.1.2/small'), 'ok', 'before: everybody is served');
  const command = ['--service', '80,81', '--except', '10.77.1.6,fd77:1::6', '--key-file', keyFile];
  const running = await intercept(lab, 'server', command);
  const file = join(lab.directory, 'client.pcap');
  const capture = await client.capture('eth0', file);
  const sessions = [
    { client: '10.77.1.5', clientPort: 41_001, service: '10.77.2.2' },
    { client: 'fd77:1::5', clientPort: 41_002, service: 'fd77:2::2' },
    { client: '203.0.113.77', clientPort: 41_003, service: '10.77.1.2' },
  ];
  // One address of the test server has no route to it but ours: still nothing leaves.
  const agent = await copy(lab, keyFile, { sessions });
  for (const [i, result] of agent.results.entries()) {
    const who = sessions[i]!.client;
    // The server sends it again after a second.
    t.ok(result.synAckMs >= 0 && result.synAckMs < 900, `${who}: SYN-ACK after ${result.synAckMs.toFixed(2)} ms`);
    t.ok(result.replyBytes >= FILE_BYTES, `${who}: the whole reply, ${result.replyBytes} bytes`);
    t.ok(result.windowScale >= 0 && result.mss > 1000, `${who}: MSS ${result.mss}, scale ${result.windowScale}`);
  }
  t.ok(
    agent.results.some(({ largest }) => largest > 1460),
    'replies that are not segmented yet count whole',
  );
  const closed = await copy(lab, keyFile, {
    servicePort: 81,
    sessions: [
      { client: '10.77.1.5', clientPort: 41_011, service: '10.77.1.2' },
      { client: 'fd77:1::5', clientPort: 41_012, service: 'fd77:1::2' },
    ],
  });
  t.same(
    closed.results.map(({ resets }) => resets),
    [1, 1],
    'a port that nobody serves: its resets are swallowed, too',
  );
  closed.process.child.stdin?.end();
  t.equal(curl(lab, '10.77.1.6', 'http://10.77.1.2/small'), 'ok', '--except is served');
  t.equal(curl(lab, 'fd77:1::6', 'http://[fd77:1::2]/small'), 'ok', '--except is served, IPv6');
  t.equal(curl(lab, '10.77.1.5', 'http://10.77.1.2:8080/'), 'second', 'another service is not touched');
  t.equal(
    lab.host('server').run(['curl', '-s', '-m', '2', 'http://10.77.1.2/small']).stdout,
    'ok',
    'nor the host itself',
  );
  t.equal(curl(lab, '10.77.1.5', 'http://10.77.1.2/small'), 'curl 28', 'the service answers nobody else');
  if (labUnavailable('nft') === null) t.equal(refusedByFirewall(lab), 'curl 28', 'nor does its firewall');
  const other = lab.host('server').run([process.execPath, CLI, ...command, '-l', '0'], { check: false });
  t.match(other, { status: 3, stderr: /another tsintercept diverts replies on this host/ });

  running.child.kill('SIGTERM');
  t.equal((await running.ended).status, 0);
  t.equal(leftovers(lab), '', 'nothing is left behind');
  await new Promise((resolve) => setTimeout(resolve, 1_500));
  await capture.stop();
  const leaked = repliesSeen(lab, file).filter((line) => !/> (10\.77\.1\.6|fd77:1::6)\./.test(line));
  t.same(leaked, [], 'no reply to a copied client, not even after the end');
  const report = JSON.parse(running.stdout.split('\n').find((line) => line.includes('"report"'))!);
  t.match(report, { event: 'report', droppedByKernel: 0, lostToAgents: 0, malformed: 0 });
  t.ok(report.connectionsAborted >= 2, `${report.connectionsAborted} copied connections ended`);
  t.ok(report.delayNs.p50 < 1e8, `half of the hand-overs took less than ${report.delayNs.p50} ns`);
  t.match(agent.process.stdout, /"mode":"host","services":\["80","81"\]/);
  agent.process.child.stdin?.end();
  t.equal(curl(lab, '10.77.1.5', 'http://10.77.1.2/small'), 'ok', 'after: everybody is served');
});

t.test('a killed run', { skip }, async (t) => {
  const { lab, keyFile } = await testServer(t);
  const command = ['--service', '10.77.1.2:80,[fd77:1::2]:80', '--key-file', keyFile, '--listen', '0'];
  const first = await intercept(lab, 'server', command);
  lab.host('server').run(['ip', 'link', 'del', 'tsintercept0']);
  t.match(leftovers(lab), /blackhole/);
  await first.waitFor(/"event":"ringFault"/);
  await until('the device is made anew', () => /default dev tsintercept0/.test(leftovers(lab)));
  await new Promise((resolve) => setTimeout(resolve, 1_000));
  const agent = await copy(lab, keyFile, {
    port: JSON.parse(first.stdout.split('\n')[0]!).listen.port,
    sessions: [{ client: '10.77.1.5', clientPort: 44_000, service: '10.77.1.2' }],
  });
  t.ok(agent.results[0]!.replyBytes >= FILE_BYTES, 'the device was taken away and is there again');
  agent.process.child.stdin?.end();
  first.child.kill('SIGKILL');
  await first.ended;
  t.match(leftovers(lab), /blackhole/, 'the rules stand');
  t.equal(curl(lab, '10.77.1.5', 'http://10.77.1.2/small'), 'curl 28', 'and lead to nobody');
  const second = await intercept(lab, 'server', command);
  t.match(second.stderr, /"event":"leftovers".*took away 2 rules/, 'the next start takes them away');
  second.child.kill('SIGKILL');
  await second.ended;
  const clean = () => lab.host('server').run([process.execPath, CLI, '--cleanup']).stdout;
  t.match(clean(), /^Taken away: 2 rules, \d routes\n$/);
  t.equal(leftovers(lab), '');
  t.equal(clean(), 'Nothing was left behind\n');
  t.equal(curl(lab, '10.77.1.5', 'http://10.77.1.2/small'), 'ok');
  t.equal(curl(lab, 'fd77:1::5', 'http://[fd77:1::2]/small'), 'ok');
});

t.test('what stands against it is said before anything is changed', { skip }, async (t) => {
  const { lab, keyFile } = await testServer(t);
  const server = lab.host('server');
  const refused = (args: readonly string[], error: RegExp, status = 3) => {
    const run = server.run([process.execPath, CLI, '--key-file', keyFile, ...args], { check: false });
    t.match(run, { status, stdout: '', stderr: error }, args.join(' '));
    t.equal(run.stderr.split('\n').length, 2, 'one line');
    t.equal(leftovers(lab), '');
  };
  strictness(lab, 'eth1', 1);
  refused(['-s', '10.77.2.2:80'], /rp_filter=1 on eth1 .*: sysctl -w net\.ipv4\.conf\.eth1\.rp_filter=2/);
  refused(['-s', '80', '-i', 'eth1'], /rp_filter=1 on eth1/);
  strictness(lab, 'eth1', 2);
  strictness(lab, 'all', 1);
  const loose = await intercept(lab, 'server', ['-s', '10.77.2.2:80', '--key-file', keyFile]);
  const agent = await copy(lab, keyFile, {
    sessions: [{ client: '10.77.1.5', clientPort: 42_000, service: '10.77.2.2' }],
    registerLateMs: 150,
  });
  t.ok(agent.results[0]!.replyBytes >= FILE_BYTES, 'with rp_filter=2, and registered after the SYN-ACK came');
  await agent.process.stop('SIGKILL');
  await loose.waitFor(/"event":"agentLeft"/);
  await loose.stop();
  strictness(lab, 'all', 0);
  refused(['-s', '80', '-l', '203.0.113.1:36524'], /203\.0\.113\.1 is no address of this host/);
  const listen = "require('node:net').createServer().listen(36524, '10.77.2.2', () => console.log('listening'))";
  const busy = server.spawn([process.execPath, '-e', listen]);
  await busy.waitFor(/listening/);
  refused(['-s', '80', '-l', '10.77.2.2:36524'], /10\.77\.2\.2:36524 is in use/);
  server.run(['ip', 'rule', 'add', 'pref', '100', 'sport', '80', 'lookup', 'main']);
  server.run(['ip', 'route', 'add', 'default', 'via', '10.77.1.5']);
  refused(['-s', '80', '-l', '0'], /a rule of this host goes before ours.* give that rule a number above 524/);
  server.run(['ip', 'rule', 'del', 'pref', '100']);
  refused(['-m', 'assistant', '-i', 'nosuch0', '-s', '10.0.0.9:80'], /no interface nosuch0/);
  const drop = ['setpriv', '--bounding-set', '-net_admin', '--inh-caps', '-net_admin'];
  const weak = server.run([...drop, process.execPath, CLI, '-s', '80', '--key-file', keyFile], { check: false });
  t.match(weak, { status: 3, stderr: /no permission to divert and capture replies: .*cap_net_admin/ });
});

t.test('a service in a container, behind DNAT', { skip: labUnavailable('nginx', 'nft') ?? false }, async (t) => {
  const lab = makeLab({
    hosts: ['agent', 'server', 'box'],
    links: [
      {
        a: { host: 'agent', iface: 'eth0', v4: '10.77.2.1/24' },
        b: { host: 'server', iface: 'eth0', v4: '10.77.2.2/24', mac: '02:00:00:00:77:02' },
      },
      {
        a: { host: 'server', iface: 'eth1', v4: '172.30.0.1/24' },
        b: { host: 'box', iface: 'eth0', v4: '172.30.0.2/24' },
      },
    ],
  });
  t.teardown(() => lab.teardown());
  for (const name of ['all', 'eth0', 'eth1']) strictness(lab, name, 0);
  lab.host('box').run(['ip', 'route', 'add', 'default', 'via', '172.30.0.1']);
  lab.host('server').run(['ip', 'route', 'add', 'default', 'via', '10.77.2.1']);
  lab.host('server').run(['sh', '-c', 'echo 1 > /proc/sys/net/ipv4/ip_forward']);
  const rule = 'tcp dport 8000 dnat to 172.30.0.2:80';
  const input = `table ip box {\nchain in {\ntype nat hook prerouting priority -100;\n${rule}\n}\n}\n`;
  const made = lab.host('server').run(['nft', '-f', '-'], { input, check: false });
  if (/No such file|not supported/.test(made.stderr)) return void t.comment('this kernel has no nftables NAT');
  t.equal(made.stderr, '');
  await startNginx(lab, lab.host('box'), { files: { small: 'z'.repeat(5_000) } });
  const keyFile = join(lab.directory, 'key');
  writeFileSync(keyFile, 'sixteen bytes or more\n', { mode: 0o600 });
  const running = await intercept(lab, 'server', ['-s', '172.30.0.2:80', '--key-file', keyFile]);
  const file = join(lab.directory, 'agent.pcap');
  const capture = await lab.host('agent').capture('eth0', file);
  const agent = await copy(lab, keyFile, {
    servicePort: 8000,
    request: 'GET /small HTTP/1.1\r\nHost: a\r\n\r\n',
    replyBytes: 5_000,
    sessions: [{ client: '203.0.113.9', clientPort: 45_000, service: '10.77.2.2' }],
  });
  t.ok(agent.results[0]!.replyBytes >= 5_000, `${agent.results[0]!.replyBytes} bytes`);
  await capture.stop();
  const replies = lab.host('agent').run(['tcpdump', '-nr', file, 'dst host 203.0.113.9'], { check: false });
  t.equal(replies.stdout, '', 'none left the host');
  agent.process.child.stdin?.end();
  const doctor = lab
    .host('agent')
    .run([process.execPath, TSCOPY, 'doctor', '-i', 'eth0', '--target', '10.77.2.2:8000', '--key-file', keyFile], {
      check: false,
    });
  t.equal(doctor.status, 0, 'tscopy doctor finds nothing broken');
  t.match(doctor.stdout, /^ok +probe +swallowed/m);
  t.match(doctor.stdout, /^ok +probe +clients/m);
  await running.stop();
});

t.test('mode assistant', { skip }, async (t) => {
  const link = (a: string, ai: string, b: string, bi: string, n: number) => ({
    a: { host: a, iface: ai, v4: `10.77.${n}.1/24` },
    b: { host: b, iface: bi, v4: `10.77.${n}.2/24`, mac: `02:00:00:00:77:0${n}` },
  });
  const lab = makeLab({
    hosts: ['agent', 'server', 'assistant'],
    links: [
      link('agent', 'eth0', 'server', 'eth0', 2),
      link('server', 'eth1', 'assistant', 'eth0', 3),
      link('agent', 'eth1', 'assistant', 'eth1', 4),
    ],
  });
  t.teardown(() => lab.teardown());
  for (const name of ['all', 'eth0', 'eth1']) strictness(lab, name, 0);
  lab.host('server').run(['ip', 'route', 'add', 'default', 'via', '10.77.3.2']);
  await startNginx(lab, lab.host('server'), { files: { small: 'y'.repeat(5_000) } });
  const keyFile = join(lab.directory, 'key');
  writeFileSync(keyFile, 'sixteen bytes or more\n', { mode: 0o600 });
  const args = ['-m', 'assistant', '-i', 'eth0', '-s', '10.77.2.2:80', '--key-file', keyFile];
  const assistant = lab.host('assistant');
  const forward = (value: number) =>
    assistant.run(['sh', '-c', `echo ${value} > /proc/sys/net/ipv4/conf/eth0/forwarding`]);
  forward(1);
  const refused = assistant.run([process.execPath, CLI, ...args], { check: false });
  t.match(refused, {
    status: 3,
    stderr: /ip_forward=1 on eth0 .* real clients: sysctl -w net.ipv4.conf.eth0.forwarding=0/,
  });
  forward(0);
  const running = await intercept(lab, 'assistant', args);
  const agent = await copy(lab, keyFile, {
    intercept: '10.77.4.2',
    mac: '02:00:00:00:77:02',
    request: 'GET /small HTTP/1.1\r\nHost: a\r\n\r\n',
    replyBytes: 5_000,
    sessions: [{ client: '203.0.113.9', clientPort: 43_000, service: '10.77.2.2' }],
  });
  t.ok(agent.results[0]!.replyBytes >= 5_000, `${agent.results[0]!.replyBytes} bytes`);
  agent.process.child.stdin?.end();
  assistant.run(['ip', 'link', 'set', 'eth0', 'down']);
  await running.waitFor(/"event":"ringFault"/);
  assistant.run(['ip', 'link', 'set', 'eth0', 'up']);
  const entry = ['lladdr', '02:00:00:00:77:03', 'dev', 'eth1', 'nud', 'permanent'];
  lab.host('server').run(['ip', 'neigh', 'replace', '10.77.3.2', ...entry]);
  await new Promise((resolve) => setTimeout(resolve, 1_200));
  const again = await copy(lab, keyFile, {
    intercept: '10.77.4.2',
    request: 'GET /small HTTP/1.1\r\nHost: a\r\n\r\n',
    replyBytes: 5_000,
    sessions: [{ client: '203.0.113.9', clientPort: 43_001, service: '10.77.2.2' }],
  });
  t.ok(again.results[0]!.replyBytes >= 5_000, 'the interface was down and is up again');
  again.process.child.stdin?.end();
  running.child.kill('SIGINT');
  t.equal((await running.ended).status, 130);
  t.ok(readFileSync(keyFile).length > 0);
});
