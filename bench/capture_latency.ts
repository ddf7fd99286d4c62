/**
 * What a capture does to the latency of nginx on its host: nginx and the capture on one processor, a client with an
 * open loop (capture_client.ts) on the other, so that all see the same load.
 */
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { hasProgram } from '../lab/availability.ts';
import type { Lab } from '../lab/lab.ts';
import { startNginx } from '../lab/servers.ts';
import type { ClientResult, ClientSpec } from './capture_client.ts';
import { CAPTURE_CPU, type CaptureBench, GENERATOR_CPU, scratchDirectory, startCapture, tools } from './capture_lab.ts';
import { quantile } from './measure.ts';

const CLIENT = path.join(path.dirname(fileURLToPath(import.meta.url)), 'capture_client.js');
const CONNECTIONS = 16;
const NONE = 'no capture';
/** Kept apart from what starting a capture costs. */
const SETTLE_MS = 300;

export interface LatencyOptions {
  readonly runs: number;
  /** Requests a second. */
  readonly rate: number;
  readonly seconds: number;
}

/** One run of each after the other, the first of them another one in each round. */
export async function latency(lab: Lab, bench: CaptureBench, options: LatencyOptions): Promise<string[]> {
  if (!hasProgram('tcpdump') || !hasProgram('nginx')) return ['latency: needs tcpdump and nginx'];
  const host = lab.host('b');
  const documents = await startNginx(lab, host, {
    files: { 'a.txt': 'x'.repeat(200) },
    http: 'keepalive_requests 100000000;',
  });
  const nginx = fs.readFileSync(path.join(documents, '../pid'), 'utf8').trim();
  host.run(['taskset', '-cp', CAPTURE_CPU, nginx]);
  const kinds = [null, ...tools(bench, ['tscap', 'tcpdump'])];
  const found = new Map<string, ClientResult[]>(kinds.map((tool) => [tool?.name ?? NONE, []]));
  const directory = scratchDirectory(bench);
  try {
    for (let run = 0; run < options.runs; run++) {
      const first = run % kinds.length;
      for (const tool of [...kinds.slice(first), ...kinds.slice(0, first)]) {
        const running = tool === null ? null : await startCapture(lab, tool.argv(path.join(directory, 'l.pcap')));
        await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
        found.get(tool?.name ?? NONE)!.push(load(lab, options));
        await running?.stop('SIGINT');
        for (const file of fs.readdirSync(directory)) fs.rmSync(path.join(directory, file));
      }
    }
  } finally {
    fs.rmSync(directory, { recursive: true, force: true });
  }
  return report(found, options);
}

function load(lab: Lab, { rate, seconds }: LatencyOptions): ClientResult {
  const spec: ClientSpec = { host: '10.77.0.2', port: 80, path: '/a.txt', rate, seconds, connections: CONNECTIONS };
  const argv = ['taskset', '-c', GENERATOR_CPU, process.execPath, CLIENT, JSON.stringify(spec)];
  return JSON.parse(lab.host('a').run(argv, { timeoutMs: 60_000 + seconds * 1000 }).stdout) as ClientResult;
}

function quartiles(numbers: readonly number[], digits: number): string {
  const [low, middle, high] = [0.25, 0.5, 0.75].map((q) => quantile(numbers, q).toFixed(digits));
  return `${middle} (${low}–${high})`;
}

function report(found: ReadonlyMap<string, readonly ClientResult[]>, { rate, runs, seconds }: LatencyOptions) {
  const lines = [
    `nginx beside the capture, ${rate} requests/s, ${runs} rounds of ${seconds} s, medians (quartiles), µs`,
  ];
  for (const [name, all] of found) {
    const of = (key: keyof ClientResult): string =>
      quartiles(
        all.map((one) => one[key]),
        0,
      );
    lines.push(`${name.padEnd(12)} p50 ${of('p50')}  p99 ${of('p99')}  max ${of('max')}  answers/s ${of('rate')}`);
    lines.push(`${''.padEnd(12)} p99 of each round: ${all.map((one) => one.p99.toFixed(0)).join(' ')}`);
  }
  const [none, ours, theirs] = [NONE, 'tscap', 'tcpdump'].map((name) => found.get(name)!);
  for (const key of ['p50', 'p99'] as const) {
    const ratio = (a: readonly ClientResult[], b: readonly ClientResult[]): string =>
      quartiles(
        a.map((one, i) => one[key] / b[i]![key]),
        2,
      );
    lines.push(
      `${key}: tscap / none ${ratio(ours!, none!)}, tcpdump / none ${ratio(theirs!, none!)}, ` +
        `tscap / tcpdump ${ratio(ours!, theirs!)}`,
    );
  }
  return lines;
}
