/**
 * What the agent costs production: wrk's own figures without the agent and with it, in pairs whose order alternates.
 *
 * Clients, production, agent and test server share two processors here, which they do not elsewhere. So copies go to a
 * sink unless the test server is asked for: it takes connections and throws away what came, some times a second, which
 * costs next to nothing, and it answers nothing, so that the agent does not wait (`--no-wait`). What is left is the
 * agent's own effect, but for the replies' headers, a tenth of its time.
 */
import { type Interception, makeRig, PORT, REPLIES_VIA, type Rig, TARGET } from '../test/copy/lab_rig.ts';
import { CLOSE, runWrk, type WrkOptions, type WrkResult } from './copy_load.ts';
import { rest } from './copy_run.ts';
import { median, ratioText } from './measure.ts';

const LOADS: readonly (readonly [name: string, connections: number, options: WrkOptions])[] = [
  ['keep-alive, 15 k/s', 24, { pauseMs: 1 }],
  ['keep-alive, 30 k/s', 64, { pauseMs: 1 }],
  ['a connection each, 3 k/s', 8, { pauseMs: 2, headers: CLOSE }],
  ['keep-alive, unlimited', 8, {}],
];
const SINK_PORT = 7009;
const SINK = `
const sockets = new Set();
require('node:net').createServer({ pauseOnConnect: true }, (socket) => {
  sockets.add(socket);
  socket.on('error', () => {}).on('close', () => sockets.delete(socket)).on('data', () => {});
  socket.pause();
}).listen(${SINK_PORT}, '::', () => console.log('listening'));
setInterval(() => {
  for (const socket of sockets) socket.resume();
  setTimeout(() => { for (const socket of sockets) socket.pause(); }, 2);
}, 50);`;
/** In which JavaScript is compiled. */
const WARM_SECONDS = 1;
const SETTLE_MS = 300;

export interface ProductionSpec {
  readonly mode: Interception;
  readonly seconds: number;
  readonly pairs: number;
  /** `sink`, or `server` for the test server. */
  readonly target: string;
}

interface Pair {
  readonly without: WrkResult;
  readonly beside: WrkResult;
}

function agentOptions(rig: Rig, { mode, target }: ProductionSpec): string[] {
  const where = target === 'server' ? PORT : SINK_PORT;
  const waiting = target === 'server' ? [] : ['--no-wait'];
  return ['--map', `${PORT}=${TARGET}:${where}`, '-i', 'eth0', ...rig.interceptOptions(mode), ...waiting];
}

/** Both runs of a pair; every other pair begins with the agent. */
async function measurePair(rig: Rig, spec: ProductionSpec, load: (typeof LOADS)[number], nth: number): Promise<Pair> {
  const [, connections, options] = load;
  const found: { without?: WrkResult; beside?: WrkResult } = {};
  for (const isBeside of nth % 2 === 0 ? [false, true] : [true, false]) {
    if (isBeside) {
      await rig.startAgent(...agentOptions(rig, spec));
      await runWrk(rig, WARM_SECONDS, connections, options);
    }
    found[isBeside ? 'beside' : 'without'] = await runWrk(rig, spec.seconds, connections, options);
    if (isBeside) await rig.stopAgent();
    await rest(SETTLE_MS);
  }
  return { without: found.without!, beside: found.beside! };
}

function row(name: string, pairs: readonly Pair[]): string {
  const show = (which: keyof Pair): string => {
    const rate = median(pairs.map((pair) => pair[which].requestsPerSecond));
    return `${Math.round(rate)}/s, p99 ${median(pairs.map((pair) => pair[which].p99Ms)).toFixed(2)} ms`;
  };
  const ratios = (of: keyof WrkResult): string =>
    ratioText(pairs.map(({ beside, without }) => beside[of] / without[of]));
  return `| ${name} | ${show('without')} | ${show('beside')} | ${ratios('requestsPerSecond')} | ${ratios('p99Ms')} |`;
}

/** Prints a table. */
export async function measureProduction(spec: ProductionSpec): Promise<void> {
  const rig = await makeRig({ repliesVia: REPLIES_VIA[spec.mode] });
  const out = (text: string): unknown => process.stdout.write(`${text}\n`);
  try {
    await rig.target.spawn([process.execPath, '-e', SINK]).waitFor(/listening/);
    if (spec.mode !== 'local') await rig.startIntercept(spec.mode, [PORT, SINK_PORT]);
    out(`\n| production (copies to the ${spec.target}) | without | with the agent | requests | p99 |`);
    out('| --- | --- | --- | --- | --- |');
    for (const load of LOADS) {
      const pairs: Pair[] = [];
      for (let nth = 0; nth < spec.pairs; nth++) pairs.push(await measurePair(rig, spec, load, nth));
      out(row(load[0], pairs));
    }
  } finally {
    await rig.lab.teardown();
  }
}
