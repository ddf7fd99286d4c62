/**
 * Splitting a capture: `tsprep` against tcpprep, in wall-clock and processor time, start-up included.
 *
 * `npm run bench -- prep [--runs 9] [--packets 1000000]`. Runs come in pairs, ours and theirs in turn, so that both
 * meet the same load of the machine; the ratio is the median over the pairs. Files lie in memory. Needs tcpprep.
 */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { generateCapture } from '../lab/generate.ts';

const CLI = path.join(path.dirname(fileURLToPath(import.meta.url)), '..', 'src', 'cli', 'tsprep.js');

interface Cost {
  readonly wallMs: number;
  readonly cpuMs: number;
}

const CASES: readonly (readonly [name: string, args: readonly string[]])[] = [
  ['-a first', ['-a', 'first']],
  ['-a bridge', ['-a', 'bridge']],
  ['-c 10.0.0.0/8', ['-c', '10.0.0.0/8']],
  ['-p', ['-p']],
];

/** Runs a program to its end; throws where it fails. */
function cost(command: string, args: readonly string[]): Cost {
  const children = cpuOfChildren();
  const started = performance.now();
  const run = spawnSync(command, args, { stdio: ['ignore', 'ignore', 'pipe'] });
  const wallMs = performance.now() - started;
  if (run.status !== 0) throw new Error(`${command} ${args.join(' ')}: ${run.stderr?.toString() ?? run.error}`);
  return { wallMs, cpuMs: cpuOfChildren() - children };
}

/** Processor milliseconds of all children that have ended (proc_pid_stat(5): cutime and cstime, fields 16 and 17). */
function cpuOfChildren(): number {
  const stat = fs.readFileSync('/proc/self/stat', 'latin1');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const ticks = Number(fields[13]) + Number(fields[14]);
  return (ticks * 1000) / TICKS_PER_SECOND;
}

/** USER_HZ of every Linux that Node.js runs on. */
const TICKS_PER_SECOND = 100;

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[sorted.length >> 1]!;
}

function main(): void {
  const { values } = parseArgs({ options: { runs: { type: 'string' }, packets: { type: 'string' } } });
  const runs = Number(values.runs ?? 9);
  const packets = Number(values.packets ?? 1_000_000);
  const base = fs.existsSync('/dev/shm') ? '/dev/shm' : os.tmpdir();
  const directory = fs.mkdtempSync(path.join(base, 'tsreplay-bench-'));
  try {
    const capture = path.join(directory, 'in.pcap');
    generateCapture(capture, { packets, size: 64, flows: 1000 });
    console.log(`${packets} packets of 64 bytes, medians of ${runs} pairs; node is ${process.version}`);
    for (const [name, args] of CASES) compare(name, args, capture, directory, runs);
  } finally {
    fs.rmSync(directory, { recursive: true, force: true });
  }
}

function compare(name: string, args: readonly string[], capture: string, directory: string, runs: number): void {
  const [ours, theirs] = ['ours.cache', 'theirs.cache'].map((file) => path.join(directory, file)) as [string, string];
  const common = [...args, '--no-arg-comment', '-i', capture, '-o'];
  const pairs = Array.from({ length: runs }, () => ({
    ours: cost(process.execPath, [CLI, ...common, ours]),
    theirs: cost('tcpprep', [...common, theirs]),
  }));
  if (!fs.readFileSync(ours).equals(fs.readFileSync(theirs))) throw new Error(`${name}: the caches differ`);
  const wall = median(pairs.map((pair) => pair.theirs.wallMs / pair.ours.wallMs));
  const cpu = median(pairs.map((pair) => pair.theirs.cpuMs / pair.ours.cpuMs));
  const ms = (side: 'ours' | 'theirs'): string => {
    const wallMs = median(pairs.map((pair) => pair[side].wallMs)).toFixed(0);
    return `${wallMs.padStart(5)} ms wall ${median(pairs.map((pair) => pair[side].cpuMs))
      .toFixed(0)
      .padStart(5)} ms CPU`;
  };
  const ratios = `${wall.toFixed(2)}x wall ${cpu.toFixed(2)}x CPU`;
  console.log(`${name.padEnd(16)} tsprep ${ms('ours')}   tcpprep ${ms('theirs')}   ${ratios}`);
}

main();
