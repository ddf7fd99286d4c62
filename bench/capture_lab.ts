/** What the benchmarks of captures share: frames, the programs and what they say, the generator. */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { hasProgram } from '../lab/availability.ts';
import type { Lab } from '../lab/lab.ts';
import type { LabProcess } from '../lab/process.ts';
import { plainRegion } from '../src/base/region.ts';
import { hasCap } from '../src/device/index.ts';
import { createCaptureWriter } from '../src/pcap/index.ts';
import type { Counted } from './capture_counter.ts';

const ROOT = path.join(path.dirname(fileURLToPath(import.meta.url)), '..', '..');
const TSREPLAY = path.join(ROOT, 'dist/src/cli/tsreplay.js');
const TSCAP = path.join(ROOT, 'dist/src/cli/tscap.js');
const COUNTER = path.join(ROOT, 'dist/bench/capture_counter.js');
export const GENERATOR_CPU = '0';
export const CAPTURE_CPU = '1';
/** Frames of the file that is sent over and over. */
const FILE_FRAMES = 20_000;
/** Frames that leave at once where there is a rate: the generator sleeps in between. */
const BURST_FRAMES = '200';
const SNAPLEN = '262144';

export interface CaptureBench {
  /** KiB of the ring. */
  readonly bufferKib: number;
  /** Files of 100 MB that are kept, so that the memory behind tmpfs is used again; 0: one file. */
  readonly ringFiles: number;
  readonly directory: string;
  /** tsreplay's. */
  readonly backend: string;
}

const TAG_BYTES = 4;
const TAG = 0x8100_0064;

/** UDP over IPv4, a flow for each frame of the file. `isTagged`: each has an 802.1Q tag within `bytes`. */
export function writeFrames(file: string, bytes: number, isTagged: boolean = false): void {
  if (isTagged) {
    writeTaggedFrames(file, bytes);
    return;
  }
  const region = plainRegion(bytes);
  const view = region.view;
  const writer = createCaptureWriter(file, { format: 'pcap', timestampDigits: 9 });
  for (let i = 0; i < FILE_FRAMES; i++) {
    view.setUint32(0, 0x02000000);
    view.setUint32(4, 0x00020200);
    view.setUint32(8, 0x00000001);
    view.setUint16(12, 0x0800);
    view.setUint16(14, 0x4500);
    view.setUint16(16, bytes - 14);
    view.setUint16(18, i & 0xffff);
    view.setUint16(22, 0x4011);
    view.setUint32(26, 0x0a4d0001);
    view.setUint32(30, 0x0a4d0002);
    view.setUint16(34, 1024 + (i % 50_000));
    view.setUint16(36, 9);
    view.setUint16(38, bytes - 34);
    writer.write(region, 0, bytes, bytes, i, 0);
  }
  writer.close();
}

function writeTaggedFrames(file: string, bytes: number): void {
  const plain = `${file}.plain`;
  writeFrames(plain, bytes - TAG_BYTES);
  const from = fs.readFileSync(plain);
  const region = plainRegion(bytes);
  const writer = createCaptureWriter(file, { format: 'pcap', timestampDigits: 9 });
  for (let at = 24 + 16, i = 0; at < from.length; at += bytes - TAG_BYTES + 16, i++) {
    region.bytes.set(from.subarray(at, at + 12));
    region.view.setUint32(12, TAG);
    region.bytes.set(from.subarray(at + 12, at + bytes - TAG_BYTES), 16);
    writer.write(region, 0, bytes, bytes, i, 0);
  }
  writer.close();
}

/** Of all threads, to the nanosecond: /proc/PID/task/TID/schedstat. */
export function cpuSeconds(pid: number): number {
  let sum = 0;
  for (const thread of fs.readdirSync(`/proc/${pid}/task`)) {
    sum += Number(fs.readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ')[0]) / 1e9;
  }
  return sum;
}

export function residentKib(pid: number): number {
  return Number(/VmRSS:\s+(\d+)/.exec(fs.readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0);
}

export interface Tool {
  readonly name: string;
  readonly argv: (file: string) => string[];
  /** Packets that arrived in the file, and that the kernel dropped. */
  readonly counts: (stdout: string, stderr: string) => { written: number; dropped: number };
}

export const number = (text: string, pattern: RegExp): number =>
  Number(pattern.exec(text)?.[1]?.replaceAll(',', '') ?? Number.NaN);

export function tscap(name: string, bench: CaptureBench, ...more: string[]): Tool {
  const ring = bench.ringFiles > 0 ? ['-C', '100', '-W', String(bench.ringFiles)] : [];
  const buffer = ['-B', String(bench.bufferKib)];
  return {
    name,
    argv: (file) => [process.execPath, TSCAP, '-i', 'eth0', ...buffer, ...ring, '-w', file, '--json', ...more],
    counts(stdout) {
      const report = JSON.parse(stdout) as { written: number; dropped: { kernel: number; shed: number } };
      return { written: report.written, dropped: report.dropped.kernel + report.dropped.shed };
    },
  };
}

function tcpdump({ bufferKib, ringFiles }: CaptureBench): Tool {
  const ring = ringFiles > 0 ? ['-C', '100', '-W', String(ringFiles)] : [];
  const fixed = ['-i', 'eth0', '-n', '-Z', 'root', '-s', SNAPLEN, '-B', String(bufferKib), ...ring];
  return {
    name: 'tcpdump',
    argv: (file) => ['tcpdump', ...fixed, '-w', file],
    counts: (_stdout, stderr) => ({
      written: number(stderr, /(\d+) packets? captured/),
      dropped: number(stderr, /(\d+) packets? dropped by kernel/),
    }),
  };
}

function dumpcap({ bufferKib, ringFiles }: CaptureBench): Tool {
  const ring = ringFiles > 0 ? ['-b', 'filesize:100000', '-b', `files:${ringFiles}`] : [];
  const fixed = ['-q', '-P', '-i', 'eth0', '-s', SNAPLEN, '-B', String(Math.max(1, bufferKib >> 10)), ...ring];
  return {
    name: 'dumpcap',
    argv: (file) => ['dumpcap', ...fixed, '-w', file],
    counts: (_stdout, stderr) => ({
      written: number(stderr, /received\/dropped[^:]*: (\d+)/),
      dropped: number(stderr, /received\/dropped[^:]*: \d+\/(\d+)/),
    }),
  };
}

/** Packets handed to JavaScript, or written to nowhere: what a capture costs beside the copy into a file. */
export function countingTools(bench: CaptureBench): Tool[] {
  const counter = (name: string, how: string): Tool => ({
    name,
    argv: () => [process.execPath, COUNTER, how, 'eth0', String(bench.bufferKib * 1024)],
    counts(stdout) {
      const { packets, ipv4, dropped } = JSON.parse(stdout) as Counted;
      if (ipv4 !== packets) throw new Error(`${name}: ${packets} packets, but ${ipv4} of IPv4`);
      return { written: packets, dropped: dropped ?? Number.NaN };
    },
  });
  const toNowhere = tscap('tscap', { ...bench, ringFiles: 0 });
  const list = [counter('openCapture', 'library'), { ...toNowhere, argv: () => toNowhere.argv('/dev/null') }];
  return hasCap() ? [...list, counter('package cap', 'cap')] : list;
}

/** Those that are installed, or those named. */
export function tools(bench: CaptureBench, wanted: readonly string[]): Tool[] {
  const list = [tscap('tscap', bench), tscap('tscap pcapng', bench, '--format', 'pcapng')];
  if (hasProgram('tcpdump')) list.push(tcpdump(bench));
  if (hasProgram('dumpcap')) list.push(dumpcap(bench));
  list.push(tscap('tscap libpcap', bench, '--backend', 'libpcap'));
  if (hasCap()) list.push(tscap('cap package', bench, '--backend', 'cap'));
  return wanted.length === 0 ? list : list.filter((tool) => wanted.includes(tool.name));
}

/** A new directory for the files of one run; whoever asks removes it. */
export function scratchDirectory(bench: CaptureBench): string {
  return fs.mkdtempSync(path.join(bench.directory, 'tscap-bench-'));
}

/**
 * A tmpfs of its own in `directory`, whose memory comes in huge pages (Documentation/admin-guide/mm/transhuge.rst),
 * gone with this process. Returns where.
 */
export function mountHugeTmpfs(directory: string): string {
  const place = fs.mkdtempSync(path.join(directory, 'tscap-bench-huge-'));
  process.on('exit', () => {
    spawnSync('umount', ['-l', place]);
    fs.rmdirSync(place);
  });
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));
  const { status, stderr } = spawnSync('mount', ['-t', 'tmpfs', '-o', 'huge=within_size,size=90%', 'tmpfs', place]);
  if (status !== 0) throw new Error(`no tmpfs with huge pages: ${stderr}`);
  return place;
}

/** A capture in host b, on its own processor. */
export async function startCapture(lab: Lab, argv: readonly string[]): Promise<LabProcess> {
  const running = lab.host('b').spawn(['taskset', '-c', CAPTURE_CPU, ...argv]);
  await running.waitFor(/listening on|Capturing on|File:/);
  return running;
}

/** Sends `packets` frames from host a, as fast as it goes or `pps` a second; returns how many left, and seconds. */
export function generate(
  lab: Lab,
  bench: CaptureBench,
  frames: string,
  packets: number,
  pps = 0,
): { sent: number; seconds: number } {
  const loops = String(Math.ceil(packets / FILE_FRAMES));
  const rate =
    pps > 0
      ? ['--pps', String(pps), '--pps-multi', BURST_FRAMES, '--timer', 'sleep']
      : ['--topspeed', '--preload-pcap'];
  const argv = [...rate, '--json', '--quiet', '--backend', bench.backend, '--loop', loops];
  const command = ['taskset', '-c', GENERATOR_CPU, process.execPath, TSREPLAY, '-i', 'eth0', ...argv, frames];
  const done = lab.host('a').run(command, { timeoutMs: 900_000, check: false });
  const report = JSON.parse(done.stdout) as { packets: { sent: number }; seconds: number };
  return { sent: report.packets.sent, seconds: report.seconds };
}
