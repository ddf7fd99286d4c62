/**
 * tscopy between network namespaces: delivered requests and lag, scenario by scenario, as a table in Markdown.
 * Delivered = requests in the test server's log with the client's address and port / requests in production's log.
 *
 * `npm run bench -- copy_lab [--only name,name] [--seconds 3] [--intercept local|tunnel|assistant] [--compare]`.
 * Clients with several addresses, a router, production, test server, assistant (test/copy/lab_network.ts). Needs root,
 * nginx, wrk, curl, nft, redis, openssl. Everything shares this machine's processors: clients, both servers and the
 * agent. `--only production` measures production itself in pairs of runs, `--pairs 5` for each load, with the agent and
 * without, while the copies go to a sink that costs next to nothing; `--target server`: to the test server.
 */
import process from 'node:process';
import { parseArgs } from 'node:util';
import { labUnavailable } from '../lab/availability.ts';
import type { Interception } from '../test/copy/lab_rig.ts';
import { FAULTS } from './copy_faults.ts';
import { measureProduction } from './copy_production.ts';
import { type Outcome, runScenario, type Scenario } from './copy_run.ts';
import { SCENARIOS } from './copy_scenarios.ts';

const COLUMNS = [
  'scenario',
  'requests/s',
  'delivered',
  'lag p50 / p99',
  'CPU a request',
  'memory',
  'sent again',
  'strays',
  'remark',
];

function ms(value: number): string {
  return value >= 100 ? value.toFixed(0) : value.toFixed(1);
}

function row(outcome: Outcome): string {
  const { faults, lagMs, interceptCpuUs, missing, remark, share } = outcome;
  const intercept = outcome.mode === 'local' ? '' : ` + ${interceptCpuUs.toFixed(0)}`;
  const fault = faults.length === 0 ? '' : `**${faults.join('; ')}** `;
  const lost = missing > 0 ? ` (${missing} of ${outcome.production} missing)` : '';
  const cells = [
    outcome.name,
    Math.round(outcome.requestsPerSecond),
    `${(Math.floor(share * 1e4) / 100).toFixed(2)} %${lost}`,
    `${ms(lagMs[0])} / ${ms(lagMs[1])} ms`,
    Number.isNaN(outcome.cpuUs) ? '–' : `${outcome.cpuUs.toFixed(0)}${intercept} µs`,
    `${outcome.rssMb.toFixed(0)} MB`,
    outcome.retransmitted,
    outcome.strays,
    `${fault}${remark}`,
  ];
  return `| ${cells.join(' | ')} |`;
}

async function runAll(
  scenarios: readonly Scenario[],
  mode: Interception,
  seconds: number,
  compares: boolean,
): Promise<number> {
  let failed = 0;
  process.stdout.write(`| ${COLUMNS.join(' | ')} |\n|${COLUMNS.map(() => ' --- |').join('')}\n`);
  for (const scenario of scenarios) {
    if (!(scenario.modes ?? [mode]).includes(mode)) continue;
    try {
      const outcome = await runScenario({ scenario, mode, seconds, compares });
      if (outcome.faults.length > 0) failed++;
      process.stdout.write(`${row(outcome)}\n`);
    } catch (error) {
      failed++;
      process.stdout.write(`| ${scenario.name} | **${(error as Error).message.replaceAll('\n', ' ')}** |\n`);
    }
  }
  return failed;
}

const { values } = parseArgs({
  options: {
    only: { type: 'string' },
    seconds: { type: 'string', default: '3' },
    intercept: { type: 'string', default: 'local' },
    compare: { type: 'boolean', default: false },
    pairs: { type: 'string', default: '5' },
    target: { type: 'string', default: 'sink' },
  },
});
const reason = labUnavailable('nginx', 'wrk', 'curl', 'nft', 'redis-server', 'redis-benchmark', 'openssl');
if (reason !== null) {
  process.stdout.write(`copy_lab: ${reason}\n`);
  process.exit(1);
}
const mode = values.intercept as Interception;
const seconds = Number(values.seconds);
const wanted = values.only?.split(',');
const known = [...SCENARIOS, ...FAULTS];
const unknown = (wanted ?? []).filter((name) => name !== 'production' && !known.some((each) => each.name === name));
if (!['local', 'tunnel', 'assistant'].includes(mode) || !(seconds > 0) || unknown.length > 0) {
  const names = known.map(({ name }) => name).join(', ');
  process.stdout.write(`copy_lab: --intercept local, tunnel or assistant; --only production, ${names}\n`);
  process.exit(2);
}
const chosen = known.filter(({ name }) => wanted === undefined || wanted.includes(name));
const failed = chosen.length === 0 ? 0 : await runAll(chosen, mode, seconds, values.compare);
if (wanted === undefined || wanted.includes('production')) {
  await measureProduction({ mode, seconds, pairs: Number(values.pairs), target: values.target });
}
process.exitCode = failed > 0 ? 1 : 0;
