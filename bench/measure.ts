/** A program's whole run as the kernel accounts for it, and the statistics of several. */
import fs from 'node:fs';
import type { Host } from '../lab/host.ts';

export interface Measured {
  readonly stdout: string;
  /** User and system time of the program, seconds. */
  readonly cpuSeconds: number;
  /** Peak resident size, bytes: the last seen of VmHWM, 5 ms apart. */
  readonly peakBytes: number;
}

const POLL_MS = 5;

/** Runs a program in a host. Throws when it fails. */
export async function measure(host: Host, argv: readonly string[]): Promise<Measured> {
  // The shell's own accounting of its children is exact where /proc has ticks; it is read behind the program's output.
  const running = host.spawn(['bash', '--norc', '-c', `TIMEFORMAT='CPU %3U %3S'; time "$@"`, 'bash', ...argv]);
  let peakBytes = 0;
  let over = false;
  const ended = running.ended.then((end) => {
    over = true;
    return end;
  });
  while (!over) {
    peakBytes = Math.max(peakBytes, peakOfChildren(running.child.pid ?? 0));
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  const { status } = await ended;
  if (status !== 0) throw new Error(`${argv.join(' ')} ended with status ${status}: ${running.stderr}`);
  const [, user, system] = /CPU ([\d.]+) ([\d.]+)\s*$/.exec(running.stderr) ?? [];
  return { stdout: running.stdout, cpuSeconds: Number(user) + Number(system), peakBytes };
}

function peakOfChildren(pid: number): number {
  try {
    const children = fs.readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').filter(Boolean);
    const peaks = children.map((child) => {
      const status = fs.readFileSync(`/proc/${child}/status`, 'utf8');
      return Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1] ?? 0) * 1024;
    });
    return Math.max(0, ...peaks);
  } catch {
    return 0;
  }
}

export function quantile(numbers: readonly number[], q: number): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? Number.NaN;
}

export function median(numbers: readonly number[]): number {
  return quantile(numbers, 0.5);
}

/** `1.52× (1.40–1.61)`: the median and the extremes of ratios taken run by run. */
export function ratioText(ratios: readonly number[]): string {
  return `${median(ratios).toFixed(2)}× (${Math.min(...ratios).toFixed(2)}–${Math.max(...ratios).toFixed(2)})`;
}
