/**
 * `tscap` beside tcpdump, dumpcap (where installed) and the package cap: the same frames over a veth pair, generator
 * (`tsreplay --topspeed`) on one processor, capture on the other, files on tmpfs. Prints packets lost, processor time a
 * packet (from /proc/PID/stat, start-up left out) and its ratio to tcpdump's; then rotation under load, memory, and
 * what a capture does to the p99 latency of nginx.
 *
 *   npm run build && sudo node dist/bench/capture.js [--packets 5000000] [--sizes 64,1514] [--runs 3]
 *     [--backend af_packet] [--only load,rotation,memory,latency] [--memory-seconds 60] [--tools tscap,tcpdump]
 *     [--directory /dev/shm]
 */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { hasProgram, labUnavailable } from '../lab/availability.ts';
import { type Lab, makeLab, pair } from '../lab/lab.ts';
import { type LabProcess, runProgram } from '../lab/process.ts';
import { startNginx } from '../lab/servers.ts';
import { plainRegion } from '../src/base/region.ts';
import { hasCap } from '../src/device/index.ts';
import { createCaptureWriter } from '../src/pcap/index.ts';

const ROOT = path.join(path.dirname(fileURLToPath(import.meta.url)), '..', '..');
const TSREPLAY = path.join(ROOT, 'dist/src/cli/tsreplay.js');
const TSCAP = path.join(ROOT, 'dist/src/cli/tscap.js');
const GENERATOR_CPU = '0';
const CAPTURE_CPU = '1';
/** Frames of the file that is sent over and over. */
const FILE_FRAMES = 20_000;
const SNAPLEN = '262144';
const BUFFER_KIB = '65536';
/** clock ticks a second of /proc/PID/stat. */
const TICKS = Number(runProgram(['getconf', 'CLK_TCK']).stdout);

const { values } = parseArgs({
  options: {
    packets: { type: 'string', default: '5000000' },
    sizes: { type: 'string', default: '64,1514' },
    runs: { type: 'string', default: '3' },
    backend: { type: 'string', default: 'af_packet' },
    only: { type: 'string', default: 'load,rotation,memory,latency' },
    'memory-seconds': { type: 'string', default: '60' },
    tools: { type: 'string', default: '' },
    directory: { type: 'string', default: '/dev/shm' },
  },
});
const PACKETS = Number(values.packets);

const print = (line: string): void => void process.stdout.write(`${line}\n`);
const median = (numbers: readonly number[]): number => [...numbers].sort((a, b) => a - b)[numbers.length >> 1] ?? 0;

function writeFrames(file: string, bytes: number): void {
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

function cpuSeconds(pid: number): number {
  const fields = fs
    .readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /, '')
    .split(' ');
  return (Number(fields[11]) + Number(fields[12])) / TICKS;
}

function residentKib(pid: number): number {
  return Number(/VmRSS:\s+(\d+)/.exec(fs.readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0);
}

interface Tool {
  readonly name: string;
  readonly argv: (file: string) => string[];
  /** Packets that arrived in the file, and that the kernel dropped. */
  readonly counts: (stdout: string, stderr: string) => { written: number; dropped: number };
}

const number = (text: string, pattern: RegExp): number =>
  Number(pattern.exec(text)?.[1]?.replaceAll(',', '') ?? Number.NaN);

function tscap(name: string, ...more: string[]): Tool {
  return {
    name,
    argv: (file) => [process.execPath, TSCAP, '-i', 'eth0', '-B', BUFFER_KIB, '-w', file, '--json', ...more],
    counts(stdout) {
      const report = JSON.parse(stdout) as { written: number; dropped: { kernel: number; shed: number } };
      return { written: report.written, dropped: report.dropped.kernel + report.dropped.shed };
    },
  };
}

function tools(): Tool[] {
  const list = [tscap('tscap'), tscap('tscap pcapng', '--format', 'pcapng')];
  if (hasProgram('tcpdump')) {
    list.push({
      name: 'tcpdump',
      argv: (file) => ['tcpdump', '-i', 'eth0', '-n', '-Z', 'root', '-s', SNAPLEN, '-B', BUFFER_KIB, '-w', file],
      counts: (_stdout, stderr) => ({
        written: number(stderr, /(\d+) packets? captured/),
        dropped: number(stderr, /(\d+) packets? dropped by kernel/),
      }),
    });
  }
  if (hasProgram('dumpcap')) {
    list.push({
      name: 'dumpcap',
      argv: (file) => ['dumpcap', '-q', '-P', '-i', 'eth0', '-s', SNAPLEN, '-B', '64', '-w', file],
      counts: (_stdout, stderr) => ({
        written: number(stderr, /received\/dropped[^:]*: (\d+)/),
        dropped: number(stderr, /received\/dropped[^:]*: \d+\/(\d+)/),
      }),
    });
  }
  list.push(tscap('tscap libpcap', '--backend', 'libpcap'));
  if (hasCap()) list.push(tscap('cap package', '--backend', 'cap'));
  const wanted = values.tools.split(',');
  return values.tools === '' ? list : list.filter((tool) => wanted.includes(tool.name));
}

/** A capture in host b, on its own processor. */
async function startCapture(lab: Lab, argv: readonly string[]): Promise<LabProcess> {
  const running = lab.host('b').spawn(['taskset', '-c', CAPTURE_CPU, ...argv]);
  await running.waitFor(/listening on|Capturing on|File:/);
  return running;
}

/** Sends `packets` frames from host a; returns how many left, and seconds. */
function generate(lab: Lab, frames: string, packets: number): { sent: number; seconds: number } {
  const loops = String(Math.ceil(packets / FILE_FRAMES));
  const argv = ['--topspeed', '--preload-pcap', '--json', '--quiet', '--backend', values.backend, '--loop', loops];
  const command = ['taskset', '-c', GENERATOR_CPU, process.execPath, TSREPLAY, '-i', 'eth0', ...argv, frames];
  const done = lab.host('a').run(command, { timeoutMs: 300_000, check: false });
  const report = JSON.parse(done.stdout) as { packets: { sent: number }; seconds: number };
  return { sent: report.packets.sent, seconds: report.seconds };
}

interface Outcome {
  readonly lost: number;
  readonly dropped: number;
  readonly pps: number;
  readonly cpuNs: number;
}

async function loadRun(lab: Lab, tool: Tool, frames: string): Promise<Outcome> {
  const file = path.join(values.directory, `tscap-bench-${process.pid}.pcap`);
  const running = await startCapture(lab, tool.argv(file));
  const pid = running.child.pid!;
  await new Promise((resolve) => setTimeout(resolve, 300));
  const before = cpuSeconds(pid);
  const { sent, seconds } = generate(lab, frames, PACKETS);
  await new Promise((resolve) => setTimeout(resolve, 700));
  const used = cpuSeconds(pid) - before;
  await running.stop('SIGINT');
  const { written, dropped } = tool.counts(running.stdout, running.stderr);
  fs.rmSync(file, { force: true });
  return { lost: sent - written, dropped, pps: sent / seconds, cpuNs: (used / Math.max(1, written)) * 1e9 };
}

async function load(lab: Lab): Promise<void> {
  for (const size of values.sizes.split(',').map(Number)) {
    const frames = path.join(lab.directory, `${size}.pcap`);
    writeFrames(frames, size);
    const all = new Map<string, Outcome[]>();
    for (let run = 0; run < Number(values.runs); run++) {
      for (const tool of tools()) all.set(tool.name, [...(all.get(tool.name) ?? []), await loadRun(lab, tool, frames)]);
    }
    const reference = median((all.get('tcpdump') ?? []).map((one) => one.cpuNs));
    print(`\n${size}-byte frames, ${PACKETS} a run, medians of ${values.runs}`);
    print(
      ['tool'.padEnd(16), 'kpps'.padStart(8), 'lost'.padStart(10), 'ns/packet'.padStart(12), ' to tcpdump'].join(''),
    );
    for (const [name, outcomes] of all) {
      const pick = (field: keyof Outcome): number => median(outcomes.map((one) => one[field]));
      const lost = outcomes.map((one) => one.lost).join('/');
      const ratio = reference > 0 ? (pick('cpuNs') / reference).toFixed(2) : '-';
      const cells = [
        (pick('pps') / 1e3).toFixed(0).padStart(8),
        lost.padStart(10),
        pick('cpuNs').toFixed(0).padStart(12),
      ];
      print(`${name.padEnd(16)}${cells.join('')}${ratio.padStart(12)}`);
    }
  }
}

async function rotation(lab: Lab): Promise<void> {
  const frames = path.join(lab.directory, 'rotation.pcap');
  writeFrames(frames, 1514);
  const directory = fs.mkdtempSync(path.join(values.directory, 'tscap-bench-'));
  try {
    const file = path.join(directory, 'r.pcap');
    const running = await startCapture(lab, [...tscap('tscap').argv(file), '-C', '100']);
    const { sent } = generate(lab, frames, PACKETS / 4);
    await new Promise((resolve) => setTimeout(resolve, 500));
    await running.stop('SIGINT');
    const { written, dropped } = tscap('').counts(running.stdout, '');
    let inFiles = 0;
    const names = fs.readdirSync(directory);
    for (const name of names) inFiles += packetsIn(path.join(directory, name));
    print(
      `\nrotation every 100 MB: sent ${sent}, written ${written}, dropped ${dropped}, ` +
        `in ${names.length} files ${inFiles}`,
    );
    print(`lost ${sent - written}, split or missing in the files ${written - inFiles}`);
  } finally {
    fs.rmSync(directory, { recursive: true, force: true });
  }
}

/** Whole records, and -1 for one that is not. */
function packetsIn(file: string): number {
  const bytes = fs.readFileSync(file);
  let count = 0;
  let at = 24;
  for (; at + 16 <= bytes.length; at += 16 + bytes.readUInt32LE(at + 8)) count++;
  return at === bytes.length ? count : count - 1;
}

async function memory(lab: Lab): Promise<void> {
  const frames = path.join(lab.directory, 'memory.pcap');
  writeFrames(frames, 512);
  const file = path.join(values.directory, `tscap-bench-${process.pid}.pcap`);
  const running = await startCapture(lab, [...tscap('tscap').argv(file), '-C', '100', '-W', '3']);
  const pid = running.child.pid!;
  const end = Date.now() + Number(values['memory-seconds']) * 1000;
  const samples: number[] = [];
  while (Date.now() < end) {
    generate(lab, frames, 1_000_000);
    samples.push(residentKib(pid));
  }
  await running.stop('SIGINT');
  for (const n of [0, 1, 2]) fs.rmSync(`${file}${n}`, { force: true });
  fs.rmSync(file, { force: true });
  const { written, dropped } = tscap('').counts(running.stdout, '');
  print(
    `\nmemory over ${values['memory-seconds']} s, ${written} packets (${dropped} dropped), ` +
      'resident KiB after each million:',
  );
  print(`${samples.join(' ')}; growth in the second half ${samples.at(-1)! - samples[samples.length >> 1]!} KiB`);
}

async function latency(lab: Lab): Promise<void> {
  if (!hasProgram('wrk') || !hasProgram('nginx')) return print('\nlatency: needs wrk and nginx');
  await startNginx(lab, lab.host('b'), { files: { 'a.txt': 'x'.repeat(200) } });
  const p99 = (): { ms: number; rate: number } => {
    const argv = ['wrk', '-t1', '-c16', '-d4s', '--latency', 'http://10.77.0.2/a.txt'];
    const { stdout } = lab.host('a').run(argv, { timeoutMs: 60_000 });
    const [, value = '0', unit = 'ms'] = /99%\s+([\d.]+)(us|ms|s)/.exec(stdout) ?? [];
    const rate = number(stdout, /Requests\/sec:\s+([\d.]+)/);
    return { ms: Number(value) * { us: 0.001, ms: 1, s: 1000 }[unit as 'us' | 'ms' | 's'], rate };
  };
  const file = path.join(values.directory, `tscap-bench-${process.pid}.pcap`);
  const kinds: [string, string[] | null][] = [['no capture', null]];
  for (const tool of tools().filter((one) => ['tscap', 'tcpdump'].includes(one.name)))
    kinds.push([tool.name, tool.argv(file)]);
  const found = new Map<string, { ms: number; rate: number }[]>();
  for (let run = 0; run < Number(values.runs); run++) {
    for (const [name, argv] of kinds) {
      const running = argv === null ? null : lab.host('b').spawn(argv);
      await running?.waitFor(/listening on/);
      found.set(name, [...(found.get(name) ?? []), p99()]);
      await running?.stop('SIGINT');
      fs.rmSync(file, { force: true });
    }
  }
  print('\nnginx on the host of the capture, wrk with 16 connections at the rate it reaches, medians');
  for (const [name, runs] of found) {
    print(
      `${name.padEnd(16)} p99 ${median(runs.map((one) => one.ms)).toFixed(2)} ms ` +
        `at ${median(runs.map((one) => one.rate)).toFixed(0)} requests/s`,
    );
  }
}

async function main(): Promise<void> {
  const reason = labUnavailable('taskset');
  if (reason !== null) throw new Error(reason);
  print(`${os.cpus()[0]?.model}, kernel ${os.release()}, node ${process.version}, generator ${values.backend}`);
  for (const part of values.only.split(',')) {
    const lab = makeLab(pair({ offloads: 'keep' }));
    try {
      if (part !== 'latency') lab.host('b').dropAtIngress('eth0');
      await { load, rotation, memory, latency }[part as 'load'](lab);
    } finally {
      await lab.teardown();
    }
  }
}

await main();
