/** Scenarios of the laboratory of copying: packets lost, ends that stop, stall, refuse, or come late. */
import { BODY_PORT, LINE_PORT, PORT, type Rig, startBodyServers } from '../test/copy/lab_rig.ts';
import { CLOSE, lines, pacedPosts, post, wrk } from './copy_load.ts';
import { type Finding, rest, type Scenario, type Window } from './copy_run.ts';

const BODIES = { ports: [BODY_PORT], setUp: startBodyServers, load: post };
const LINES = { ports: [LINE_PORT], setUp: (rig: Rig) => rig.startLineServers() };
const loss = (oneIn: number) => (rig: Rig) => rig.target.loseAtIngress('eth0', oneIn);
/** A session whose first packet is not its first is taken up with its next but one request. */
const TAKE_UP_MS = 150;

const LOSS: readonly Scenario[] = [
  { name: 'loss-0.1%', prepare: loss(1000), load: wrk(8, { pauseMs: 7 }) },
  { name: 'loss-1%', prepare: loss(100), load: wrk(8, { pauseMs: 7 }) },
  { name: 'loss-1%-close', prepare: loss(100), load: wrk(8, { pauseMs: 7, headers: CLOSE }) },
  { name: 'loss-0.1%-post', ...BODIES, prepare: loss(1000) },
  { name: 'loss-1%-post', ...BODIES, prepare: loss(100) },
  { name: 'loss-1%-post-170', ...BODIES, prepare: loss(100), load: pacedPosts(8, 40) },
  {
    name: 'loss-1%-replies',
    modes: ['local'],
    prepare: (rig) => rig.production.loseAtIngress('eth1', 100),
    load: wrk(8, { pauseMs: 7 }),
  },
  {
    name: 'loss-1%-clients',
    prepare: (rig) => rig.lab.host('r').loseAtIngress('eth0', 100),
    load: wrk(8, { pauseMs: 7, headers: CLOSE }),
  },
  {
    name: 'loss-1%-clients-post',
    ...BODIES,
    prepare: (rig) => rig.lab.host('r').loseAtIngress('eth0', 100),
  },
  {
    name: 'loss-1%-production',
    prepare: (rig) => rig.production.loseAtIngress('eth0', 100),
    load: wrk(8, { pauseMs: 7 }),
  },
];

/** The server of the target that is to be ended. */
async function startTargetAlone(rig: Rig): Promise<void> {
  await rig.startLineServer(rig.production, rig.productionLog);
  targetServer = await rig.startLineServer(rig.target, rig.targetLog);
}
let targetServer: Awaited<ReturnType<Rig['startLineServer']>>;

/** Down from the first fifth of the time to the second. */
async function outage(rig: Rig, seconds: number): Promise<Window[]> {
  await rest(seconds * 200);
  const from = Date.now();
  targetServer.child.kill('SIGKILL');
  await targetServer.ended;
  await rest(seconds * 200);
  await rig.startLineServer(rig.target, rig.targetLog);
  return [[from - 50, Date.now() + 20]];
}

/** A firewall's rule for a second. */
function refusing(host: (rig: Rig) => Rig['target'], table: string): NonNullable<Scenario['during']> {
  return async (rig, seconds) => {
    await rest(seconds * 300);
    const from = Date.now();
    host(rig).run(['nft', '-f', '-'], { input: table });
    await rest(1_000);
    host(rig).run(['nft', 'delete', 'table', ...table.split(' ').slice(1, 3)]);
    return [[from - 20, Date.now() + 20]];
  };
}

const RULES = {
  dropAtDevice: `table netdev refuse {\nchain out {\ntype filter hook egress device "eth1" priority 0;
tcp dport ${LINE_PORT} drop\n}\n}\n`,
  dropAtOutput: `table ip refuse {\nchain out {\ntype filter hook output priority 0;
tcp dport ${LINE_PORT} drop\n}\n}\n`,
  reset: `table ip refuse {\nchain in {\ntype filter hook input priority 0;
tcp dport ${LINE_PORT} reject with tcp reset\n}\n}\n`,
};

function remarkAll({ outcome, report }: Finding): string {
  const { SendErrors, ConnectionsRenewed } = report.counts;
  return `${outcome.remark}${SendErrors} refused by the kernel, ${ConnectionsRenewed} connections renewed`;
}

async function stopAgent(rig: Rig): Promise<void> {
  rig.agent!.child.kill('SIGTERM');
  await rig.agent!.ended;
}

const ENDS: readonly Scenario[] = [
  {
    name: 'unanswered-10th',
    ports: [LINE_PORT],
    setUp: (rig) => rig.startLineServers({}, { ignoreEvery: 10 }),
    load: lines({ connections: 20, gapMs: 20 }),
    least: 0.99,
    check: ({ report }) => `${report.counts.RequestsLate} sent without the reply to the one before`,
  },
  {
    name: 'target-50ms-slower',
    ports: [LINE_PORT],
    setUp: (rig) => rig.startLineServers({}, { delayMs: 50 }),
    load: lines({ connections: 20, gapMs: 5 }),
    check: ({ outcome, report }) => {
      if (outcome.lagMs[2] > 1_300)
        throw new Error(`lag ${outcome.lagMs[2].toFixed(0)} ms, beyond the deadline of 1 s`);
      if (report.counts.RequestsLate === 0) throw new Error('no late request was counted');
      return `longest lag ${outcome.lagMs[2].toFixed(0)} ms, ${report.counts.RequestsLate} counted as late`;
    },
  },
  {
    name: 'target-down-2s-of-10',
    ports: [LINE_PORT],
    setUp: startTargetAlone,
    load: lines({ connections: 20, gapMs: 5 }),
    during: outage,
    check: ({ report }) => `${report.counts.SkippedRefused + report.counts.SkippedReset} skipped by cause`,
  },
  {
    name: 'intercept-killed',
    modes: ['tunnel', 'assistant'],
    load: wrk(8, { pauseMs: 2 }),
    during: async (rig, seconds) => {
      await rest(seconds * 300);
      const where = rig.intercept!.argv.includes('assistant') ? 'assistant' : 'tunnel';
      rig.intercept!.child.kill('SIGKILL');
      await rig.intercept!.ended;
      await rig.startIntercept(where, [PORT]);
      return [];
    },
    least: 0.98,
  },
  {
    name: 'firewall-1s-drop',
    ...LINES,
    load: lines({ connections: 20, gapMs: 5 }),
    during: refusing((rig) => rig.production, RULES.dropAtDevice),
    check: remarkAll,
  },
  {
    name: 'firewall-1s-eperm',
    ...LINES,
    options: () => ['--sender', 'raw_ip'],
    load: lines({ connections: 20, gapMs: 5 }),
    during: refusing((rig) => rig.production, RULES.dropAtOutput),
    check: remarkAll,
  },
  {
    name: 'firewall-1s-reset',
    ...LINES,
    load: lines({ connections: 20, gapMs: 5 }),
    during: refusing((rig) => rig.target, RULES.reset),
    check: remarkAll,
  },
];

const STOPPED: Omit<Scenario, 'name'> = {
  load: wrk(8, { pauseMs: 1 }),
  during: async (rig, seconds) => {
    await rest(seconds * 200);
    rig.agent!.child.kill('SIGSTOP');
    await rest(2_000);
    rig.agent!.child.kill('SIGCONT');
    return [];
  },
  check: ({ outcome, report }) => {
    if (outcome.missing > 0 && report.kernelDrops === 0) throw new Error(`${outcome.missing} missing, no drop counted`);
    return `${report.kernelDrops} dropped by the kernel`;
  },
};

const AGENT: readonly Scenario[] = [
  {
    name: 'older-connections',
    ...LINES,
    isAgentLate: true,
    load: lines({ connections: 20, gapMs: 10 }),
    during: async (_rig, seconds, agent) => {
      await rest(seconds * 200);
      await agent();
      return [[0, Date.now() + TAKE_UP_MS]];
    },
    check: ({ report }) => `${report.counts.SessionsTakenUp} sessions taken up`,
  },
  {
    name: 'agent-restarted',
    ...LINES,
    load: lines({ connections: 20, gapMs: 10 }),
    during: async (rig, seconds, agent) => {
      await rest(seconds * 300);
      const from = Date.now();
      await stopAgent(rig);
      await agent();
      return [[from, Date.now() + TAKE_UP_MS]];
    },
    check: ({ report }) => `${report.counts.SessionsTakenUp} sessions taken up`,
  },
  { name: 'agent-stopped-2s', ...STOPPED, least: 0 },
  { name: 'agent-stopped-2s-256m', ...STOPPED, options: () => ['--buffer-size', '256M'] },
];

export const FAULTS: readonly Scenario[] = [...LOSS, ...ENDS, ...AGENT];
