/**
 * What a capture does to the p99 latency of nginx on its host: wrk at a fixed rate, many connections that each wait
 * between their requests, so that both captures see the same load.
 */
import fs from 'node:fs';
import path from 'node:path';
import { hasProgram } from '../lab/availability.ts';
import type { Lab } from '../lab/lab.ts';
import { startNginx } from '../lab/servers.ts';
import { type CaptureBench, number, scratchDirectory, tools } from './capture_lab.ts';
import { median, ratioText } from './measure.ts';

/** Milliseconds that a connection waits between its requests. */
const DELAY_MS = 2;

export interface LatencyOptions {
  readonly runs: number;
  /** Requests a second. */
  readonly rate: number;
  readonly seconds: number;
}

interface Found {
  readonly p99Ms: number;
  readonly rate: number;
}

export async function latency(lab: Lab, bench: CaptureBench, options: LatencyOptions): Promise<string[]> {
  if (!hasProgram('wrk') || !hasProgram('nginx')) return ['latency: needs wrk and nginx'];
  await startNginx(lab, lab.host('b'), { files: { 'a.txt': 'x'.repeat(200) }, http: 'keepalive_requests 1000000;' });
  const script = path.join(lab.directory, 'delay.lua');
  fs.writeFileSync(script, `function delay() return ${DELAY_MS} end\n`);
  const kinds = [null, ...tools(bench, ['tscap', 'tcpdump'])];
  const found = new Map<string, Found[]>();
  const directory = scratchDirectory(bench);
  try {
    for (let run = 0; run < options.runs; run++) {
      for (const tool of run % 2 === 0 ? kinds : kinds.toReversed()) {
        const running = tool === null ? null : lab.host('b').spawn(tool.argv(path.join(directory, 'l.pcap')));
        await running?.waitFor(/listening on/);
        const name = tool?.name ?? 'no capture';
        found.set(name, [...(found.get(name) ?? []), load(lab, script, options)]);
        await running?.stop('SIGINT');
        for (const file of fs.readdirSync(directory)) fs.rmSync(path.join(directory, file));
      }
    }
  } finally {
    fs.rmSync(directory, { recursive: true, force: true });
  }
  return report(found, options);
}

function load(lab: Lab, script: string, { rate, seconds }: LatencyOptions): Found {
  // timers of wrk fire up to a millisecond late, and the answer takes its time: so many connections make the rate
  const connections = Math.round((rate * (DELAY_MS + 1.8)) / 1000);
  const argv = ['wrk', '-t1', `-c${connections}`, `-d${seconds}s`, '--latency', '-s', script, 'http://10.77.0.2/a.txt'];
  const { stdout } = lab.host('a').run(argv, { timeoutMs: 60_000 + seconds * 1000 });
  const [, value = '0', unit = 'ms'] = /99%\s+([\d.]+)(us|ms|s)/.exec(stdout) ?? [];
  const p99Ms = Number(value) * { us: 0.001, ms: 1, s: 1000 }[unit as 'us' | 'ms' | 's'];
  return { p99Ms, rate: number(stdout, /Requests\/sec:\s+([\d.]+)/) };
}

function report(found: ReadonlyMap<string, readonly Found[]>, { rate, runs, seconds }: LatencyOptions): string[] {
  const lines = [
    `nginx on the host of the capture, ${rate} requests/s asked for, medians of ${runs} runs, ${seconds} s`,
  ];
  for (const [name, all] of found) {
    const p99 = median(all.map((one) => one.p99Ms)).toFixed(2);
    lines.push(`${name.padEnd(16)} p99 ${p99} ms at ${median(all.map((one) => one.rate)).toFixed(0)} requests/s`);
  }
  const [ours, theirs] = [found.get('tscap'), found.get('tcpdump')];
  if (ours !== undefined && theirs !== undefined) {
    lines.push(`p99 with tscap / with tcpdump ${ratioText(ours.map((one, i) => one.p99Ms / theirs[i]!.p99Ms))}`);
  }
  return lines;
}
