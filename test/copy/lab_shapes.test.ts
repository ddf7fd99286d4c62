/** Conversations of every shape, through tsintercept, over a routed network with several clients' addresses. */
import t from 'tap';
import { labUnavailable } from '../../lab/availability.ts';
import { until } from '../../lab/process.ts';
import { LINE_PORT, makeRig, PORT, PRODUCTION, type Rig, TARGET } from './lab_rig.ts';

const skip = labUnavailable('nginx', 'wrk', 'nft', 'ss') ?? false;
// A machine that is shared needs longer.
t.setTimeout(180_000);
const BOTH = ['--map', `${PORT}=${TARGET}:${PORT}`, '--map', `${LINE_PORT}=${TARGET}:${LINE_PORT}`, '-i', 'eth0'];

type Lines = Parameters<Rig['runLineClients']>[0];
const SHAPES: readonly (readonly [name: string, clients: Omit<Lines, 'seconds' | 'connections'>])[] = [
  ['the server speaks first', { greets: true, gapMs: 5, linesMax: 10 }],
  ['requests in pieces', { greets: true, gapMs: 5, pieces: 4, pieceGapMs: 3 }],
  ['half-closed, answered after that', { greets: true, gapMs: 5, halfCloseAfter: 5 }],
];

t.test('shapes', { skip }, async (t) => {
  const rig = await makeRig({ repliesVia: 'router' });
  t.teardown(() => rig.lab.teardown());
  rig.watchStrays();
  await rig.startLineServers({ greets: true });
  await rig.startIntercept('tunnel', [PORT, LINE_PORT]);
  await rig.startAgent(...BOTH, ...rig.interceptOptions('tunnel'), '--json');
  for (const [name, clients] of SHAPES) {
    rig.clearLogs();
    await rig.runLineClients({ seconds: 0.7, connections: 12, ...clients });
    const found = await rig.compare();
    t.ok(found.production > 30, `${name}: ${found.production} requests`);
    t.match(found, { missing: 0, extra: 0 }, 'all of them, each from its own address and port');
  }
  const pipelined = rig.wrkScript(
    'init = function() all = wrk.format("GET", "/many"):rep(8) end\nrequest = function() return all end\n',
  );
  // Requests in flight on each connection: wrk ends with a reset, which may come to one server before they are read.
  const loads = [
    { name: 'pipelined', options: ['-s', pipelined, `http://${PRODUCTION}:${PORT}/`], inFlight: 8 },
    { name: '1 MiB', options: [`http://${PRODUCTION}:${PORT}/1m`], inFlight: 1 },
  ];
  const results = [];
  for (const { name, options, inFlight } of loads) {
    rig.clearLogs();
    rig.clients.run(['wrk', '-t1', '-c3', '-d1', ...options], { timeoutMs: 60_000 });
    results.push({ name, givenUpMax: 3 * inFlight, found: await rig.compare(10_000) });
  }
  const counts = (await rig.stopAgent()).trim().split('\n').at(-1);
  for (const { name, givenUpMax, found } of results) {
    t.ok(found.production > 10, `${name}: ${found.production} requests`);
    t.ok(found.missing <= givenUpMax && found.extra <= givenUpMax, 'all but what was given up', { found, counts });
  }
  t.equal(rig.strays(), 0, 'no packet of the test server reached clients or router');
});

t.test('an agent that ends while a slow target still answers', { skip }, async (t) => {
  const rig = await makeRig({ repliesVia: 'production' });
  t.teardown(() => rig.lab.teardown());
  rig.watchStrays();
  await rig.startLineServers({}, { delayMs: 400, ignoreEvery: 10 });
  const options = [...BOTH, ...rig.interceptOptions('local'), '--reply-deadline', '200ms'];
  await rig.startAgent(...options, '--json');
  await rig.runLineClients({ seconds: 1, connections: 8, gapMs: 5 });
  const found = await rig.compare();
  t.match(
    found,
    { missing: 0, extra: 0 },
    'a target that is slower, and leaves a tenth unanswered, gets every request',
  );
  const report = JSON.parse((await rig.stopAgent()).trim().split('\n').at(-1)!) as { counts: Record<string, number> };
  t.ok(report.counts['RequestsLate']! > 0, 'sent after the deadline, and counted');
  t.ok(report.counts['ResetPackets']! >= 8, 'connections that it would still answer are reset');
  await new Promise((resolve) => setTimeout(resolve, 500));
  t.equal(rig.target.run(['ss', '-Htn', 'state', 'established', `sport = :${LINE_PORT}`]).stdout, '', 'none is left');
  t.equal(rig.strays(), 0, 'no packet of the test server reached clients or router, not even after the end');
});

t.test('an agent that is started again; a firewall that refuses for a while', { skip }, async (t) => {
  const rig = await makeRig({ repliesVia: 'production' });
  t.teardown(() => rig.lab.teardown());
  await rig.startLineServers();
  const options = [...BOTH, ...rig.interceptOptions('local'), '--json'];
  await rig.startAgent(...options);
  const clients = rig.runLineClients({ seconds: 6, connections: 8, gapMs: 10 });
  const addresses = (): Set<string> => new Set(rig.lines(rig.targetLog).map((line) => line.split(' ')[0]!));
  await until('eight sessions', () => addresses().size === 8);
  await new Promise((resolve) => setTimeout(resolve, 300));
  const gone = Date.now();
  const { counts } = JSON.parse((await rig.stopAgent()).trim().split('\n').at(-1)!) as {
    counts: Record<string, number>;
  };
  t.match(counts, { FinPackets: 8, ResetPackets: 0, SessionsEnded: 8 }, 'SIGTERM: open sessions are closed in order');
  t.notMatch(rig.production.run(['ip', 'rule']).stdout, /blackhole/, 'and the rule is taken away');
  await rig.startAgent(...options);
  // Of a session that it did not see begin, the second request is the first that surely is one.
  const back = Date.now() + 1_000;
  await new Promise((resolve) => setTimeout(resolve, 1_300));
  const chain = `type filter hook egress device "eth1" priority 0;\ntcp dport ${LINE_PORT} drop`;
  rig.production.run(['nft', '-f', '-'], { input: `table netdev refuse {\nchain out {\n${chain}\n}\n}\n` });
  await new Promise((resolve) => setTimeout(resolve, 400));
  rig.production.run(['nft', 'delete', 'table', 'netdev', 'refuse']);
  await clients;
  const sent = rig.entries(rig.productionLog).filter(({ timeMs }) => timeMs < gone - 50 || timeMs > back);
  t.ok(sent.length > 50, `${sent.length} requests while an agent ran`);
  await until('all of them, those of the refusal as well', () => {
    const arrived = new Set(rig.lines(rig.targetLog));
    return sent.every(({ line }) => arrived.has(line));
  });
  await rig.stopAgent();
});
