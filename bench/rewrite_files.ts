/**
 * The whole command `tsrewrite` beside tcprewrite, file to file: wall time of `--pnat --ttl --enet-dmac`.
 *
 * `node dist/bench/rewrite_files.js [--runs 7] [--packets 1000000] [--huge]`. Files lie in memory (/dev/shm). The tools
 * take turns, each writes a new file, and the outputs are compared: only the same bytes count. `--huge`: also the peak
 * memory of a capture of 4 GB.
 */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { ratioText } from './measure.ts';

const { values } = parseArgs({
  options: { runs: { type: 'string' }, packets: { type: 'string' }, huge: { type: 'boolean' } },
});
const RUNS = Number(values.runs ?? 7);
const PACKETS = Number(values.packets ?? 1_000_000);
const CLI = path.join(path.dirname(fileURLToPath(import.meta.url)), '..', 'src', 'cli', 'tsrewrite.js');
const OPTIONS = ['--pnat=10.1.0.0/16:172.16.0.0/16', '--ttl=-1', '--enet-dmac=02:00:00:00:00:07'];
/** Packets that are all different. */
const DISTINCT = 1000;

function sum16(bytes: Uint8Array, start: number): number {
  let sum = start;
  for (let i = 0; i < bytes.length; i += 2) sum += (bytes[i]! << 8) | (bytes[i + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return sum;
}

/** A TCP packet of `bytes` with true sums. */
function frame(bytes: number, k: number): Uint8Array {
  const data = new Uint8Array(bytes);
  const view = new DataView(data.buffer);
  data.set([2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0, 0x45, 0]);
  view.setUint16(16, bytes - 14);
  view.setUint16(18, k);
  view.setUint16(22, 0x4006);
  view.setUint32(26, 0x0a010000 + (k % 251));
  view.setUint32(30, 0x0a020002);
  view.setUint16(24, ~sum16(data.subarray(14, 34), 0) & 0xffff);
  view.setUint16(34, 1024 + k);
  view.setUint16(36, 80);
  view.setUint32(38, k * 1000);
  view.setUint16(46, 0x5018);
  for (let i = 54; i < bytes; i++) data[i] = (i * 7 + k) & 255;
  view.setUint16(50, ~sum16(data.subarray(34), sum16(data.subarray(26, 34), 6 + bytes - 34)) & 0xffff);
  return data;
}

function makeCapture(file: string, frameBytes: number, packets: number): void {
  const record = frameBytes + 16;
  const block = new Uint8Array(record * DISTINCT);
  const view = new DataView(block.buffer);
  for (let k = 0; k < DISTINCT; k++) {
    view.setUint32(k * record, 1_700_000_000, true);
    view.setUint32(k * record + 4, k * 1000, true);
    view.setUint32(k * record + 8, frameBytes, true);
    view.setUint32(k * record + 12, frameBytes, true);
    block.set(frame(frameBytes, k), k * record + 16);
  }
  const head = new DataView(new ArrayBuffer(24));
  head.setUint32(0, 0xa1b2c3d4, true);
  head.setUint32(4, 0x00040002, true);
  head.setUint32(16, 65_535, true);
  head.setUint32(20, 1, true);
  const fd = fs.openSync(file, 'w');
  fs.writeSync(fd, new Uint8Array(head.buffer));
  for (let done = 0; done < packets; done += DISTINCT) fs.writeSync(fd, block);
  fs.closeSync(fd);
}

interface Run {
  readonly seconds: number;
  readonly peakBytes: number;
}

/** GNU time knows the peak memory; without it only the time is told. */
const TIME = fs.existsSync('/usr/bin/time') ? ['/usr/bin/time', '-f', 'PEAK %M'] : [];

function run(argv: readonly string[], out: string): Run {
  fs.rmSync(out, { force: true });
  const [program, ...rest] = [...TIME, ...argv];
  const started = performance.now();
  const ended = spawnSync(program!, rest, { encoding: 'utf8' });
  const seconds = (performance.now() - started) / 1000;
  if (ended.status !== 0) throw new Error(`${argv.join(' ')} ended with status ${ended.status}: ${ended.stderr}`);
  return { seconds, peakBytes: Number(/PEAK (\d+)/.exec(ended.stderr)?.[1] ?? Number.NaN) * 1024 };
}

function compare(dir: string, frameBytes: number): void {
  const input = path.join(dir, 'in.pcap');
  makeCapture(input, frameBytes, PACKETS);
  const files = { theirs: path.join(dir, 'theirs'), one: path.join(dir, 'one'), two: path.join(dir, 'two') };
  const ours = (out: string, workers: number): string[] => {
    return [process.execPath, CLI, '-q', '-i', input, '-o', out, `--workers=${workers}`, ...OPTIONS];
  };
  const times: Record<keyof typeof files, number[]> = { theirs: [], one: [], two: [] };
  for (let k = 0; k < RUNS; k++) {
    times.theirs.push(run(['tcprewrite', '-i', input, '-o', files.theirs, ...OPTIONS], files.theirs).seconds);
    times.one.push(run(ours(files.one, 1), files.one).seconds);
    times.two.push(run(ours(files.two, 2), files.two).seconds);
  }
  const same =
    spawnSync('cmp', [files.theirs, files.one]).status === 0 && spawnSync('cmp', [files.one, files.two]).status === 0;
  const ratios = (own: readonly number[]): number[] => own.map((seconds, k) => times.theirs[k]! / seconds);
  const least = (own: readonly number[]): string => `${(PACKETS / Math.min(...own) / 1e6).toFixed(2)} Mpps`;
  console.log(`${PACKETS} packets of ${frameBytes} bytes, ${RUNS} runs in turn; same bytes: ${same ? 'yes' : 'NO'}`);
  console.log(`  tcprewrite            ${least(times.theirs)} at best`);
  console.log(`  tsrewrite             ${least(times.one)} at best, ${ratioText(ratios(times.one))} tcprewrite`);
  console.log(`  tsrewrite --workers 2 ${least(times.two)} at best, ${ratioText(ratios(times.two))} tcprewrite`);
  for (const file of Object.values(files)) fs.rmSync(file, { force: true });
}

function memory(dir: string): void {
  const input = path.join(dir, 'huge.pcap');
  makeCapture(input, 1024, 4_000_000);
  const out = path.join(dir, 'out');
  for (const workers of [1, 2]) {
    const { seconds, peakBytes } = run(
      [process.execPath, CLI, '-q', '-i', input, '-o', out, `--workers=${workers}`, ...OPTIONS],
      out,
    );
    const peak = `${(peakBytes / 2 ** 20).toFixed(0)} MiB at most`;
    console.log(`${fs.statSync(input).size} bytes, --workers ${workers}: ${peak}, ${seconds.toFixed(1)} s`);
  }
}

function cpuOf(argv: readonly string[]): number {
  const ended = spawnSync('bash', ['--norc', '-c', `TIMEFORMAT='%U %S'; time "$@" >/dev/null`, 'bash', ...argv], {
    encoding: 'utf8',
  });
  return ended.stderr
    .trim()
    .split(/\s+/)
    .slice(-2)
    .reduce((sum, text) => sum + Number(text), 0);
}

const base = fs.existsSync('/dev/shm') ? '/dev/shm' : os.tmpdir();
const dir = fs.mkdtempSync(path.join(base, 'tsrewrite-bench-'));
try {
  for (const frameBytes of [64, 512]) compare(dir, frameBytes);
  const idle = Math.min(...Array.from({ length: RUNS }, () => cpuOf([process.execPath, '-e', '0'])));
  const version = Math.min(...Array.from({ length: RUNS }, () => cpuOf([process.execPath, CLI, '--version'])));
  console.log(`tsrewrite --version: ${((version - idle) * 1000).toFixed(0)} ms of CPU more than node -e 0`);
  if (values.huge) memory(dir);
} finally {
  fs.rmSync(dir, { recursive: true, force: true });
}
