/**
 * tscopy between network namespaces: delivered requests and lag, scenario by scenario. Delivered = requests in the test
 * server's log with the client's address and port / requests in production's log.
 *
 * `npm run bench -- copy_lab [--only name,name] [--seconds 3]`. Needs root, nginx, wrk, curl, nft. Everything shares
 * this
 * machine's processors: clients, both servers and the agent.
 */
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import { parseArgs } from 'node:util';
import { labUnavailable } from '../lab/availability.ts';
import {
  makeRig,
  PORT,
  PRODUCTION,
  type Rig,
  type RigOptions,
  startBodyServers,
  TARGET,
} from '../test/copy/lab_rig.ts';

interface Scenario {
  readonly name: string;
  readonly rig?: RigOptions;
  readonly port?: number;
  readonly prepare?: (rig: Rig) => void;
  readonly run: (rig: Rig, seconds: number) => void;
}

const POST_BYTES = 200_000;
const POSTS = 100;

/** `pauseMs` between a connection's requests; 0: none. */
function wrk(connections: number, pauseMs: number, ...more: string[]): Scenario['run'] {
  return (rig, seconds) => {
    const script = pauseMs === 0 ? [] : ['-s', rig.delayScript(pauseMs)];
    const shape = ['-t1', `-c${connections}`, `-d${seconds}`];
    rig.clients.run(['wrk', ...shape, ...script, ...more, `http://${PRODUCTION}:${PORT}/bench`], { timeoutMs: 60_000 });
  };
}

function post(rig: Rig): void {
  const body = path.join(rig.lab.directory, 'body');
  fs.writeFileSync(body, randomBytes(POST_BYTES));
  const urls = Array.from({ length: POSTS }, () => `http://${PRODUCTION}:8081/`);
  rig.clients.run(['curl', '-s', '--data-binary', `@${body}`, ...urls], { timeoutMs: 60_000 });
}

const CLOSE = ['-H', 'Connection: close'];
const loss = (oneIn: number) => (rig: Rig) => rig.target.loseAtIngress('eth0', oneIn);

const SCENARIOS: readonly Scenario[] = [
  { name: 'keep-alive-1k', run: wrk(8, 7) },
  { name: 'keep-alive-4k', run: wrk(8, 1) },
  { name: 'keep-alive-14k', run: wrk(32, 1) },
  { name: 'keep-alive-unlimited', run: wrk(8, 0) },
  { name: 'close-900', run: wrk(8, 8, ...CLOSE) },
  { name: 'close-2200', run: wrk(8, 2, ...CLOSE) },
  { name: 'close-unlimited', run: wrk(8, 0, ...CLOSE) },
  { name: 'connections-3000', run: wrk(3000, 900) },
  { name: 'post-200k', port: 8081, run: post },
  { name: 'post-200k-offloads', rig: { offloads: 'keep' }, port: 8081, run: post },
  { name: 'loss-0.1%', prepare: loss(1000), run: wrk(8, 7) },
  { name: 'loss-1%', prepare: loss(100), run: wrk(8, 7) },
  { name: 'loss-1%-close', prepare: loss(100), run: wrk(8, 7, ...CLOSE) },
  { name: 'loss-1%-post', port: 8081, prepare: loss(100), run: post },
  { name: 'loss-1%-replies', prepare: (rig) => rig.production.loseAtIngress('eth1', 100), run: wrk(8, 7) },
];

/** Processor time of a process so far, ms, and its memory. */
function usage(pid: number): { readonly cpuMs: number; readonly rssMb: number } {
  const fields = fs.readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ');
  const rss = /VmRSS:\s+(\d+)/.exec(fs.readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  return { cpuMs: (Number(fields[11]) + Number(fields[12])) * 10, rssMb: Number(rss) / 1024 };
}

async function measure(scenario: Scenario, seconds: number): Promise<string> {
  const rig = await makeRig(scenario.rig ?? {});
  try {
    const port = scenario.port ?? PORT;
    if (port !== PORT) await startBodyServers(rig);
    const agent = await rig.startAgent('--target', `${TARGET}:${port}`, '--intercept', 'local', '-i', 'eth0', '--json');
    scenario.prepare?.(rig);
    const before = usage(agent.child.pid!);
    const startedMs = performance.now();
    scenario.run(rig, seconds);
    const rate = 1000 / (performance.now() - startedMs);
    const { production, missing, extra } = await rig.compare(8_000);
    const after = usage(agent.child.pid!);
    const report = JSON.parse((await rig.stopAgent()).trim().split('\n').at(-1)!) as {
      lagNs: { p50: number; p99: number };
      retransmitted: number;
    };
    const ms = (ns: number): string => `${(ns / 1e6).toFixed(1)} ms`;
    return [
      scenario.name.padEnd(22),
      `${Math.round(production * rate)}/s`.padStart(8),
      `${((1 - missing / production) * 100).toFixed(2)} %`.padStart(9),
      `${missing} missing, ${extra} extra`.padStart(20),
      `lag p50 ${ms(report.lagNs.p50)} p99 ${ms(report.lagNs.p99)}`.padStart(34),
      `${(((after.cpuMs - before.cpuMs) * 1000) / production).toFixed(1)} µs CPU`.padStart(15),
      `${after.rssMb.toFixed(0)} MB`.padStart(7),
      `${report.retransmitted} again`.padStart(11),
    ].join('');
  } finally {
    await rig.lab.teardown();
  }
}

const { values } = parseArgs({ options: { only: { type: 'string' }, seconds: { type: 'string', default: '3' } } });
const reason = labUnavailable('nginx', 'wrk', 'curl', 'nft');
if (reason !== null) {
  process.stdout.write(`copy_lab: ${reason}\n`);
  process.exit(1);
}
const wanted = values.only?.split(',');
for (const scenario of SCENARIOS) {
  if (wanted !== undefined && !wanted.includes(scenario.name)) continue;
  process.stdout.write(`${await measure(scenario, Number(values.seconds))}\n`);
}
