/** One scenario of the laboratory of copying: hosts, servers, interception, agent, load, fault, and what came of it. */
import fs from 'node:fs';
import type { AgentSnapshot } from '../src/copy/agent/report.ts';
import {
  type Interception,
  makeRig,
  PORT,
  REPLIES_VIA,
  type Rig,
  type RigOptions,
  TARGET,
} from '../test/copy/lab_rig.ts';
import type { Load } from './copy_load.ts';

/** From, to: ms of 1970. Requests of this time are not counted. */
export type Window = readonly [number, number];

export interface Finding {
  readonly report: AgentSnapshot;
  readonly rig: Rig;
  readonly outcome: Outcome;
}

export interface Scenario {
  readonly name: string;
  readonly rig?: Omit<RigOptions, 'repliesVia'>;
  /** The network without a router; the only one with IPv6. */
  readonly isPlain?: boolean;
  /** Interceptions that it can run with; all unless given. */
  readonly modes?: readonly Interception[];
  /** Ports of the services; default: nginx's. */
  readonly ports?: readonly number[];
  /** The agent's options in the place of `--target` and `-i eth0`. */
  readonly what?: readonly string[];
  /** More options of the agent, and of tsintercept. */
  readonly options?: (rig: Rig) => readonly string[];
  readonly interceptOptions?: (rig: Rig) => readonly string[];
  /** Before the agent starts. */
  readonly setUp?: (rig: Rig) => Promise<unknown>;
  /** When the agent runs, before the load. */
  readonly prepare?: (rig: Rig) => void;
  readonly load: Load;
  /** Runs beside the load: faults. Returns times whose requests are not counted. */
  readonly during?: (rig: Rig, seconds: number, agent: () => Promise<unknown>) => Promise<readonly Window[]>;
  /** The agent is started by `during`. */
  readonly isAgentLate?: boolean;
  /** Least share of the requests that must be delivered. Default 1. */
  readonly least?: number;
  /** What else must be so; throws, or returns a remark. */
  readonly check?: (finding: Finding) => string;
  /** The scenario's own count of what is missing, in the place of production's log against the target's. */
  readonly count?: (rig: Rig) => { production: number; missing: number; extra: number };
}

export interface Outcome {
  readonly name: string;
  readonly mode: Interception;
  readonly requestsPerSecond: number;
  readonly production: number;
  readonly missing: number;
  readonly extra: number;
  readonly share: number;
  readonly lagMs: readonly [p50: number, p99: number, max: number];
  readonly cpuUs: number;
  readonly interceptCpuUs: number;
  readonly rssMb: number;
  /** Growth of the agent's memory from the middle of the load to its end. */
  readonly rssGrowthMb: number;
  readonly retransmitted: number;
  readonly strays: number;
  readonly faults: string[];
  readonly remark: string;
}

export const rest = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
const WAIT_MS = 8_000;
const SETTLE_MS = 700;

/** Processor time of a process so far, ms, and its memory. */
function usage(pid: number): { readonly cpuMs: number; readonly rssMb: number } {
  const fields = fs.readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ');
  const rss = /VmRSS:\s+(\d+)/.exec(fs.readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  return { cpuMs: (Number(fields[11]) + Number(fields[12])) * 10, rssMb: Number(rss) / 1024 };
}

async function startAgent({ scenario, mode, compares }: Run, rig: Rig): Promise<void> {
  const targets = (scenario.ports ?? [PORT]).flatMap((port) => ['--map', `${port}=${TARGET}:${port}`]);
  const what = scenario.what ?? [...targets, '-i', 'eth0'];
  const more = [...(scenario.options?.(rig) ?? []), ...(compares ? ['--compare'] : [])];
  await rig.startAgent(...what, ...rig.interceptOptions(mode), ...more, '--json', '--log-level', 'warn');
}

export interface Run {
  readonly scenario: Scenario;
  readonly mode: Interception;
  readonly seconds: number;
  /** With `--compare`. */
  readonly compares: boolean;
}

export async function runScenario(run: Run): Promise<Outcome> {
  const { scenario, mode } = run;
  const via = scenario.isPlain ? {} : { repliesVia: REPLIES_VIA[mode] };
  const rig = await makeRig({ ...scenario.rig, ...via });
  try {
    rig.watchStrays();
    await scenario.setUp?.(rig);
    const ports = scenario.ports ?? [PORT];
    if (mode !== 'local') await rig.startIntercept(mode, ports, ...(scenario.interceptOptions?.(rig) ?? []));
    if (!scenario.isAgentLate) await startAgent(run, rig);
    scenario.prepare?.(rig);
    return await measure(run, rig);
  } finally {
    await rig.lab.teardown();
  }
}

async function measure(run: Run, rig: Rig): Promise<Outcome> {
  const { scenario, mode, seconds } = run;
  const pid = (): number => rig.agent!.child.pid!;
  const before = scenario.isAgentLate ? { cpuMs: 0 } : usage(pid());
  const interceptBefore = rig.intercept === null ? 0 : usage(rig.intercept.child.pid!).cpuMs;
  const firstAgent = rig.agent;
  const firstIntercept = rig.intercept;
  let middleMb = Number.NaN;
  const middle = setTimeout(() => {
    if (rig.agent?.running) middleMb = usage(pid()).rssMb;
  }, seconds * 500);
  const startedMs = performance.now();
  const start = (): Promise<unknown> => startAgent(run, rig);
  const [windows] = await Promise.all([
    scenario.during?.(rig, seconds, start) ?? Promise.resolve([]),
    scenario.load(rig, seconds),
  ]);
  const elapsed = (performance.now() - startedMs) / 1000;
  clearTimeout(middle);
  const counted = await count(scenario, rig, windows);
  const after = usage(pid());
  const interceptAfter = rig.intercept === null ? 0 : usage(rig.intercept.child.pid!).cpuMs;
  const printed = (await rig.stopAgent()).trim().split('\n').at(-1)!;
  const report = JSON.parse(printed) as AgentSnapshot;
  const ms = (ns: number): number => ns / 1e6;
  const share = counted.production === 0 ? 0 : 1 - counted.missing / counted.production;
  const perRequest = (cpuMs: number): number => (cpuMs * 1000) / Math.max(1, counted.production);
  const outcome: Outcome = {
    name: scenario.name,
    mode,
    requestsPerSecond: counted.all / elapsed,
    ...counted,
    share,
    lagMs: [ms(report.lagNs.p50), ms(report.lagNs.p99), ms(report.lagNs.max)],
    cpuUs: perRequest(rig.agent === firstAgent ? after.cpuMs - before.cpuMs : Number.NaN),
    interceptCpuUs: perRequest(rig.intercept === firstIntercept ? interceptAfter - interceptBefore : Number.NaN),
    rssMb: after.rssMb,
    rssGrowthMb: after.rssMb - middleMb,
    retransmitted: report.retransmitted,
    strays: rig.strays(),
    faults: [],
    remark: '',
  };
  return judged(scenario, { outcome, report, rig });
}

function judged(scenario: Scenario, finding: Finding): Outcome {
  const { outcome, rig } = finding;
  const { faults } = outcome;
  if (outcome.production === 0) faults.push('production has answered nothing');
  if (outcome.share < (scenario.least ?? 1)) faults.push(`delivered ${(outcome.share * 100).toFixed(2)} %`);
  if (outcome.extra > 0) faults.push(`${outcome.extra} that production had not`);
  if (outcome.strays > 0) faults.push(`${outcome.strays} packets of the test server at real clients`);
  if (rig.agent!.child.exitCode !== 0) faults.push(`status ${rig.agent!.child.exitCode}: ${rig.agent!.stderr}`);
  let remark = '';
  try {
    remark = `${scenario.check?.(finding) ?? ''}${outcome.missing > 0 ? ` ${causes(finding.report)}` : ''}`.trim();
    remark = `${remark} ${comparison(finding.report)}`.trim();
  } catch (error) {
    faults.push((error as Error).message);
  }
  return { ...outcome, remark };
}

/** What the agent itself says of requests that did not arrive. */
function causes({ counts, kernelDrops, replyDrops, tunnel }: AgentSnapshot): string {
  const named = { kernelDrops, replyDrops, tunnelLost: tunnel.lost };
  const isCause = /^(Skipped|Shed|.*Full|Gaps|RequestsCut|Target[RS])/;
  const skipped = Object.entries(counts).filter(([name]) => isCause.test(name));
  const found = [...Object.entries(named), ...skipped].filter(([, value]) => value > 0);
  return found.map(([name, value]) => `${name} ${value}`).join(', ');
}

/** What comparing found; both servers of most scenarios answer alike. */
function comparison({ compare, counts }: AgentSnapshot): string {
  if (compare === null) return '';
  const { compared, same, missingProduction, missingTarget, early, noRoom, unanswered, unfinished } = compare;
  const others = {
    unpaired: compare.productionUnpaired,
    missingProduction,
    missingTarget,
    early,
    noRoom,
    unanswered,
    unfinished,
  };
  const named = Object.entries(others).filter(([, value]) => value > 0);
  const found = [`compared ${compared} of ${counts.RequestsSent}`, `alike ${same}`];
  return [...found, ...named.map(([name, value]) => `${name} ${value}`)].join(', ');
}

interface Counted {
  /** Of the time that counts; of all the time. */
  readonly production: number;
  readonly all: number;
  readonly missing: number;
  readonly extra: number;
}

/** Logs grow for a while behind the clients. */
async function settle(rig: Rig): Promise<void> {
  for (let before = -1, size = 0; size !== before; ) {
    before = size;
    await rest(SETTLE_MS);
    size = fs.statSync(rig.productionLog).size + fs.statSync(rig.targetLog).size;
  }
}

async function count(scenario: Scenario, rig: Rig, windows: readonly Window[]): Promise<Counted> {
  await settle(rig);
  if (scenario.count !== undefined) {
    const counted = scenario.count(rig);
    return { ...counted, all: counted.production };
  }
  const found = await rig.compare(WAIT_MS);
  if (windows.length === 0) return { ...found, all: found.production };
  const arrived = new Map<string, number>();
  for (const { line } of rig.entries(rig.targetLog)) arrived.set(line, (arrived.get(line) ?? 0) + 1);
  let production = 0;
  let missing = 0;
  for (const { line, timeMs } of rig.entries(rig.productionLog)) {
    const left = arrived.get(line) ?? 0;
    arrived.set(line, left - 1);
    if (windows.some(([from, to]) => timeMs >= from && timeMs <= to)) continue;
    production++;
    if (left <= 0) missing++;
  }
  return { production, all: found.production, missing, extra: found.extra };
}
