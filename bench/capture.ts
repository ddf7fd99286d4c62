/**
 * `tscap` beside tcpdump, dumpcap (where installed) and the package cap: the same frames over a veth pair, generator
 * (`tsreplay`) on one processor, capture on the other, files on tmpfs. Prints packets lost, processor time a packet
 * (all threads, start-up left out) and its ratio to tcpdump's, run by run; then rotation under load, memory, and what
 * a capture does to the p99 latency of nginx.
 *
 *   npm run build && sudo node dist/bench/capture.js [--packets 5000000] [--sizes 64,1514] [--runs 5]
 *     [--tools tscap,tcpdump,dumpcap] [--buffer KIB] [--ring-files N] [--directory /dev/shm] [--backend af_packet]
 *     [--vlan] [--huge] [--only load,hand-over,rotation,memory,latency] [--memory-seconds 600]
 *     [--memory-pps 20000] [--latency-rate 30000] [--latency-seconds 5]
 *
 * `--ring-files N` writes rings of N files of 100 MB. Without it 5 million frames of 1,514 bytes take 7.6 GB of tmpfs.
 * A virtual machine may have to get that from its host first, which takes 8 times as long as writing it; rings use the
 * same memory again. `--huge`: a tmpfs mounted with huge=within_size.
 */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { labUnavailable } from '../lab/availability.ts';
import { type Lab, makeLab, pair } from '../lab/lab.ts';
import {
  type CaptureBench,
  countingTools,
  cpuSeconds,
  generate,
  mountHugeTmpfs,
  residentKib,
  scratchDirectory,
  startCapture,
  type Tool,
  tools,
  tscap,
  writeFrames,
} from './capture_lab.ts';
import { latency } from './capture_latency.ts';
import { median, ratioText } from './measure.ts';

const { values } = parseArgs({
  options: {
    packets: { type: 'string', default: '5000000' },
    sizes: { type: 'string', default: '64,1514' },
    runs: { type: 'string', default: '5' },
    tools: { type: 'string', default: '' },
    buffer: { type: 'string', default: '65536' },
    'ring-files': { type: 'string', default: '0' },
    vlan: { type: 'boolean', default: false },
    huge: { type: 'boolean', default: false },
    directory: { type: 'string', default: '/dev/shm' },
    backend: { type: 'string', default: 'af_packet' },
    only: { type: 'string', default: 'load,hand-over,rotation,memory,latency' },
    'memory-seconds': { type: 'string', default: '60' },
    'memory-pps': { type: 'string', default: '20000' },
    'latency-rate': { type: 'string', default: '30000' },
    'latency-seconds': { type: 'string', default: '5' },
  },
});
const PACKETS = Number(values.packets);
const RUNS = Number(values.runs);
const BENCH: CaptureBench = {
  bufferKib: Number(values.buffer),
  ringFiles: Number(values['ring-files']),
  directory: values.huge ? mountHugeTmpfs(values.directory) : values.directory,
  backend: values.backend,
};
/** Files that the runs over a long time keep. */
const LONG_RUN_FILES = 3;

const print = (line: string): void => void process.stdout.write(`${line}\n`);

interface Outcome {
  readonly lost: number;
  readonly pps: number;
  readonly cpuNs: number;
}

async function loadRun(lab: Lab, tool: Tool, frames: string): Promise<Outcome> {
  const directory = scratchDirectory(BENCH);
  try {
    const running = await startCapture(lab, tool.argv(path.join(directory, 'l.pcap')));
    const pid = running.child.pid!;
    await new Promise((resolve) => setTimeout(resolve, 300));
    const before = cpuSeconds(pid);
    const { sent, seconds } = generate(lab, BENCH, frames, PACKETS);
    await new Promise((resolve) => setTimeout(resolve, 700));
    const used = cpuSeconds(pid) - before;
    await running.stop('SIGINT');
    const { written } = tool.counts(running.stdout, running.stderr);
    return { lost: sent - written, pps: sent / seconds, cpuNs: (used / Math.max(1, written)) * 1e9 };
  } finally {
    fs.rmSync(directory, { recursive: true, force: true });
  }
}

async function load(lab: Lab): Promise<void> {
  const ring = BENCH.ringFiles > 0 ? `, ${BENCH.ringFiles} files of 100 MB` : '';
  const wanted = tools(BENCH, values.tools === '' ? [] : values.tools.split(','));
  await compare(lab, wanted, 'tcpdump', ring);
}

/** The package's own callback against batches, and against `tscap -w /dev/null`. */
async function handOver(lab: Lab): Promise<void> {
  await compare(lab, countingTools(BENCH), 'openCapture', ', written by none');
}

async function compare(lab: Lab, all: readonly Tool[], reference: string, how: string): Promise<void> {
  for (const size of values.sizes.split(',').map(Number)) {
    const frames = path.join(lab.directory, `${size}.pcap`);
    writeFrames(frames, size, values.vlan);
    const outcomes = new Map<string, Outcome[]>(all.map((tool) => [tool.name, []]));
    for (let run = 0; run < RUNS; run++) {
      for (const tool of all) {
        const found = await loadRun(lab, tool, frames);
        outcomes.get(tool.name)!.push(found);
        const { pps, cpuNs, lost } = found;
        const figures = `${(pps / 1e3).toFixed(0)} kpps, ${cpuNs.toFixed(0)} ns a packet, lost ${lost}`;
        process.stderr.write(`run ${run + 1}, ${size} bytes, ${tool.name}: ${figures}\n`);
      }
    }
    const frame = `${size}-byte frames${values.vlan ? ' with a tag' : ''}`;
    print(`\n${frame}, ${PACKETS} a run, buffer ${BENCH.bufferKib} KiB${how}, medians of ${RUNS}`);
    print(`${'tool'.padEnd(16)}${'kpps'.padStart(8)}${'ns/packet'.padStart(12)}  to ${reference.padEnd(18)}lost`);
    for (const [name, found] of outcomes) {
      const kpps = (median(found.map((one) => one.pps)) / 1e3).toFixed(0).padStart(8);
      const ns = median(found.map((one) => one.cpuNs));
      const others = outcomes.get(reference);
      const ratios = others === undefined ? '-' : ratioText(found.map((one, i) => one.cpuNs / others[i]!.cpuNs));
      const lost = found.map((one) => one.lost).join('/');
      print(`${name.padEnd(16)}${kpps}${ns.toFixed(0).padStart(12)}  ${ratios.padEnd(20)} ${lost}`);
    }
  }
}

async function rotation(lab: Lab): Promise<void> {
  const frames = path.join(lab.directory, 'rotation.pcap');
  writeFrames(frames, 1514);
  for (const files of [0, LONG_RUN_FILES]) {
    for (let run = 0; run < RUNS; run++) await rotationRun(lab, frames, files);
  }
}

/** All files are read back; of a ring, those that are left. */
async function rotationRun(lab: Lab, frames: string, ringFiles: number): Promise<void> {
  const directory = scratchDirectory(BENCH);
  try {
    const tool = tscap('tscap', { ...BENCH, ringFiles });
    const more = ringFiles > 0 ? [] : ['-C', '100'];
    const running = await startCapture(lab, [...tool.argv(path.join(directory, 'r.pcap')), ...more]);
    const { sent, seconds } = generate(lab, BENCH, frames, PACKETS / 4);
    await new Promise((resolve) => setTimeout(resolve, 500));
    await running.stop('SIGINT');
    const { written, dropped } = tool.counts(running.stdout, '');
    const names = fs.readdirSync(directory);
    const counts = names.map((name) => packetsIn(path.join(directory, name)));
    const inFiles = counts.reduce((sum, one) => sum + one.packets, 0);
    const split = counts.filter((one) => !one.isWhole).length;
    const missing = ringFiles > 0 ? '' : `, missing ${written - inFiles}`;
    print(
      `rotation every 100 MB${ringFiles > 0 ? `, ring of ${ringFiles}` : ''}: ${sent} sent at ` +
        `${(sent / seconds / 1e3).toFixed(0)} kpps, lost ${sent - written} (by the kernel ${dropped}), ` +
        `${names.length} files, split ${split}${missing}`,
    );
  } finally {
    fs.rmSync(directory, { recursive: true, force: true });
  }
}

function packetsIn(file: string): { packets: number; isWhole: boolean } {
  const bytes = fs.readFileSync(file);
  let packets = 0;
  let at = 24;
  for (; at + 16 <= bytes.length; packets++) at += 16 + bytes.readUInt32LE(at + 8);
  return { packets: at > bytes.length ? packets - 1 : packets, isWhole: at === bytes.length };
}

async function memory(lab: Lab): Promise<void> {
  const frames = path.join(lab.directory, 'memory.pcap');
  writeFrames(frames, 512);
  const directory = scratchDirectory(BENCH);
  const seconds = Number(values['memory-seconds']);
  const pps = Number(values['memory-pps']);
  try {
    const tool = tscap('tscap', { ...BENCH, ringFiles: LONG_RUN_FILES });
    const running = await startCapture(lab, tool.argv(path.join(directory, 'm.pcap')));
    const samples: number[] = [];
    let sent = 0;
    const end = Date.now() + seconds * 1000;
    while (Date.now() < end) {
      sent += generate(lab, BENCH, frames, Math.min(pps, 1_000_000) * 20, pps).sent;
      samples.push(residentKib(running.child.pid!));
    }
    await running.stop('SIGINT');
    const { written, dropped } = tool.counts(running.stdout, '');
    print(`\nmemory over ${seconds} s, ${pps} packets/s: ${sent} sent, ${written} written, ${dropped} dropped`);
    print(`resident KiB every 20 s: ${samples.join(' ')}`);
    print(`growth after the first minute: ${samples.at(-1)! - (samples[2] ?? samples[0]!)} KiB`);
  } finally {
    fs.rmSync(directory, { recursive: true, force: true });
  }
}

async function latencies(lab: Lab): Promise<void> {
  const options = { runs: RUNS, rate: Number(values['latency-rate']), seconds: Number(values['latency-seconds']) };
  for (const line of await latency(lab, BENCH, options)) print(line);
}

async function main(): Promise<void> {
  const reason = labUnavailable('taskset');
  if (reason !== null) throw new Error(reason);
  print(`${os.cpus()[0]?.model}, kernel ${os.release()}, node ${process.version}, generator ${values.backend}`);
  for (const part of values.only.split(',')) {
    const lab = makeLab(pair({ offloads: 'keep' }));
    try {
      if (part !== 'latency') lab.host('b').dropAtIngress('eth0');
      await { load, rotation, memory, latency: latencies, 'hand-over': handOver }[part as 'load'](lab);
    } finally {
      await lab.teardown();
    }
  }
}

await main();
