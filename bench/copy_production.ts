/** What the agent costs production: wrk's own figures with production alone, with the agent, and alone again. */
import { type Interception, makeRig, PORT, REPLIES_VIA, TARGET } from '../test/copy/lab_rig.ts';
import { CLOSE, runWrk, type WrkOptions, type WrkResult } from './copy_load.ts';

const LOADS: readonly (readonly [name: string, connections: number, options: WrkOptions])[] = [
  ['keep-alive, 14 k/s', 24, { pauseMs: 1 }],
  ['keep-alive, unlimited', 8, {}],
  ['a connection for each request, unlimited', 8, { headers: CLOSE }],
];

/** Prints a table. Whatever the agent, the test server and the clients compute is on the same processors. */
export async function measureProduction(mode: Interception, seconds: number): Promise<void> {
  const rig = await makeRig({ repliesVia: REPLIES_VIA[mode] });
  const out = (text: string): unknown => process.stdout.write(`${text}\n`);
  const show = ({ requestsPerSecond, p99Ms }: WrkResult): string =>
    `${Math.round(requestsPerSecond)}/s, p99 ${p99Ms.toFixed(2)} ms`;
  try {
    if (mode !== 'local') await rig.startIntercept(mode, [PORT]);
    out('\n| production | alone | with the agent | alone again | with / alone |\n| --- | --- | --- | --- | --- |');
    for (const [name, connections, options] of LOADS) {
      const before = await runWrk(rig, seconds, connections, options);
      await rig.startAgent('--target', `${TARGET}:${PORT}`, '-i', 'eth0', ...rig.interceptOptions(mode));
      const beside = await runWrk(rig, seconds, connections, options);
      await rig.stopAgent();
      const again = await runWrk(rig, seconds, connections, options);
      const alone = (before.requestsPerSecond + again.requestsPerSecond) / 2;
      const share = `${((beside.requestsPerSecond / alone) * 100).toFixed(0)} %`;
      out(`| ${name} | ${show(before)} | ${show(beside)} | ${show(again)} | ${share} |`);
    }
  } finally {
    await rig.lab.teardown();
  }
}
