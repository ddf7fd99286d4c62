/**
 * Raw send paths side by side: the sinks of this package and `tcpreplay --topspeed --preload-pcap`, alternating, over
 * the same veth pair in two namespaces of the script's own, the far side dropping everything at ingress. Prints
 * medians, ratios and reported/counted (1.0000: every frame reported sent was counted by the far interface).
 *
 *   npm run build && sudo node dist/bench/sinks.js [--frames 400000] [--runs 5] [--sizes 64,512,1514] [--queues 2]
 *     [--batch 256] [--only name,name]
 */
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import type { Region } from '../src/base/region.ts';
import { openAfPacketSink } from '../src/device/af_packet.ts';
import { openAfXdpSink, xdpQueueCount } from '../src/device/af_xdp_open.ts';
import type { Sink } from '../src/device/sink.ts';
import { openTxRingSink } from '../src/device/tx_ring.ts';
import { fileRegion } from '../src/sys/memory.ts';

const SELF = fileURLToPath(import.meta.url);
/** The capture is larger than any cache, as captures are; longer runs repeat it. */
const CAPTURE_BYTES_MAX = 256 * 1024 * 1024;
const RECORD_HEADER_BYTES = 16;
const FILE_HEADER_BYTES = 24;
const QUEUES_DEFAULT = '2';

/** What one path did in one run. */
interface Outcome {
  readonly reported: number;
  readonly seconds: number;
  readonly cpuSeconds: number;
  readonly note: string;
}

/** Work of one sending thread. */
interface Task {
  readonly path: string;
  readonly file: string;
  readonly iface: string;
  readonly frames: number;
  readonly bytes: number;
  readonly worker: number;
  readonly batch: number;
}

/** A pcap file with frames of `bytes` bytes of UDP between many ports; the same bytes go through every path. */
function writeCapture(file: string, bytes: number, frames: number): void {
  const buffer = Buffer.alloc(FILE_HEADER_BYTES + frames * (RECORD_HEADER_BYTES + bytes));
  const view = new DataView(buffer.buffer, buffer.byteOffset, buffer.byteLength);
  view.setUint32(0, 0xa1b2c3d4, true);
  view.setUint16(4, 2, true);
  view.setUint16(6, 4, true);
  view.setUint32(16, 65_535, true);
  view.setUint32(20, 1, true);
  let at = FILE_HEADER_BYTES;
  for (let i = 0; i < frames; i++) {
    view.setUint32(at + 4, i, true);
    view.setUint32(at + 8, bytes, true);
    view.setUint32(at + 12, bytes, true);
    writeFrame(view, at + RECORD_HEADER_BYTES, bytes, i);
    at += RECORD_HEADER_BYTES + bytes;
  }
  fs.writeFileSync(file, buffer);
}

function writeFrame(view: DataView, at: number, bytes: number, i: number): void {
  view.setUint32(at, 0x02000000);
  view.setUint16(at + 4, 2);
  view.setUint32(at + 6, 0x02000000);
  view.setUint16(at + 10, 1);
  view.setUint16(at + 12, 0x0800);
  view.setUint16(at + 14, 0x4500);
  view.setUint16(at + 16, bytes - 14);
  view.setUint16(at + 18, i & 0xffff);
  view.setUint8(at + 22, 64);
  view.setUint8(at + 23, 17);
  view.setUint32(at + 26, 0x0a000001);
  view.setUint32(at + 30, 0x0a000002);
  view.setUint16(at + 34, 1024 + (i % 50_000));
  view.setUint16(at + 36, 9);
  view.setUint16(at + 38, bytes - 34);
  for (let b = at + 42; b < at + bytes; b++) view.setUint8(b, (i + b) & 0xff);
}

function openSink(task: Task, region: Region): Sink {
  const queue = task.worker % xdpQueueCount(task.iface);
  if (task.path === 'af_xdp') return openAfXdpSink({ name: task.iface, queue });
  if (task.path === 'af_xdp mapped') return openAfXdpSink({ name: task.iface, queue, umem: region });
  if (task.path === 'tx_ring') return openTxRingSink({ name: task.iface, qdiscBypass: true });
  return openAfPacketSink({ name: task.iface, qdiscBypass: task.path !== 'af_packet qdisc', batchFrames: task.batch });
}

interface Prepared {
  readonly task: Task;
  readonly region: Region;
  readonly sink: Sink;
  readonly openMs: number;
  /** Frames of the capture in memory. */
  readonly frames: number;
}

/** Maps the capture, as a replay does, and opens the sink. */
function prepare(task: Task): Prepared {
  const fd = fs.openSync(task.file, 'r');
  const length = fs.fstatSync(fd).size;
  const region = fileRegion(fd, 0, length);
  fs.closeSync(fd);
  let touched = 0;
  for (let at = 0; at < length; at += 4096) touched += region.bytes[at]!;
  if (touched < 0) throw new Error('unreachable: a sum of bytes');
  const frames = (length - FILE_HEADER_BYTES) / (RECORD_HEADER_BYTES + task.bytes);
  const started = performance.now();
  const sink = openSink(task, region);
  return { task, region, sink, openMs: performance.now() - started, frames };
}

/** Sends `task.frames` frames as fast as the sink takes them. */
function run({ task, region, sink, openMs, frames }: Prepared): Outcome {
  const stride = RECORD_HEADER_BYTES + task.bytes;
  const batch = Math.min(task.batch, sink.limits.batchFramesMax);
  const cpu = process.cpuUsage();
  const started = performance.now();
  const first = FILE_HEADER_BYTES + RECORD_HEADER_BYTES;
  let at = first;
  let index = 0;
  let queued = 0;
  for (let n = 0; n < task.frames; n++) {
    while (!sink.push(region, at, task.bytes)) {
      sink.flush();
      if (sink.fault !== null) throw sink.fault;
    }
    if (++queued === batch) {
      sink.flush();
      queued = 0;
    }
    at += stride;
    if (++index === frames) {
      index = 0;
      at = first;
    }
  }
  sink.drain();
  const seconds = (performance.now() - started) / 1e3;
  const used = process.cpuUsage(cpu);
  const reported = sink.counters.sent;
  sink.close();
  region.release();
  return { reported, seconds, cpuSeconds: (used.user + used.system) / 1e6, note: `open ${openMs.toFixed(1)} ms` };
}

/** Runs a path in this process (inside the namespace): one worker here, several in threads. Prints an Outcome. */
async function runChild(json: string): Promise<void> {
  const { workers, ...task } = JSON.parse(json) as Task & { workers: number };
  if (workers === 1) {
    console.log(JSON.stringify(run(prepare({ ...task, worker: 0 }))));
    return;
  }
  const threads = Array.from({ length: workers }, (_, worker) => {
    const share = { ...task, worker, frames: Math.floor(task.frames / workers) };
    return new Worker(new URL(import.meta.url), { workerData: share });
  });
  await Promise.all(threads.map((thread) => new Promise((ready) => thread.once('message', ready))));
  const started = process.hrtime.bigint();
  const results = threads.map((thread) => new Promise<Outcome>((done) => thread.once('message', done)));
  for (const thread of threads) thread.postMessage('go');
  const outcomes = await Promise.all(results);
  const seconds = Number(process.hrtime.bigint() - started) / 1e9;
  const sum = (pick: (o: Outcome) => number): number => outcomes.reduce((total, o) => total + pick(o), 0);
  const outcome = { reported: sum((o) => o.reported), seconds, cpuSeconds: sum((o) => o.cpuSeconds), note: '' };
  console.log(JSON.stringify(outcome));
}

function runThread(task: Task): void {
  const prepared = prepare(task);
  parentPort!.once('message', () => {
    parentPort!.postMessage(run(prepared));
    parentPort!.close();
  });
  parentPort!.postMessage('ready');
}

const sh = (command: string): string => execFileSync('sh', ['-ec', command], { encoding: 'utf8' });

/** Namespaces, the veth pair with its queues, and the far side's drop. */
function makeLink(near: string, far: string, queues: number): void {
  sh(`ip netns add ${near}; ip netns add ${far}
    ip link add tsrb0 netns ${near} numtxqueues ${queues} numrxqueues ${queues} type veth \
      peer name tsrb1 netns ${far} numtxqueues ${queues} numrxqueues ${queues}
    for n in ${near} ${far}; do ip netns exec $n sysctl -qw net.ipv6.conf.all.disable_ipv6=1; done
    ip -n ${near} link set tsrb0 address 02:00:00:00:00:01 up
    ip -n ${far} link set tsrb1 address 02:00:00:00:00:02 up
    ip netns exec ${far} nft 'add table netdev bench
      add chain netdev bench drops { type filter hook ingress device tsrb1 priority 0; policy drop; }'`);
}

function received(far: string): number {
  const links = JSON.parse(sh(`ip -n ${far} -j -s link show tsrb1`)) as [{ stats64: { rx: { packets: number } } }];
  return links[0].stats64.rx.packets;
}

function runTcpreplay(near: string, file: string, loops: number): Outcome {
  const args = ['netns', 'exec', near, 'tcpreplay', '-i', 'tsrb0', '-t', '-K', '-l', String(loops), file];
  const result = spawnSync('ip', args, { encoding: 'utf8' });
  const text = `${result.stdout}${result.stderr}`;
  const sent = /Actual: (\d+) packets \(\d+ bytes\) sent in ([\d.]+) seconds/.exec(text);
  if (sent === null) throw new Error(`tcpreplay: ${text}`);
  return { reported: Number(sent[1]), seconds: Number(sent[2]), cpuSeconds: 0, note: '' };
}

async function runOurs(near: string, task: Omit<Task, 'worker'> & { workers: number }): Promise<Outcome> {
  const args = ['netns', 'exec', near, process.execPath, SELF, '--child', JSON.stringify(task)];
  const child = spawn('ip', args, { stdio: ['ignore', 'pipe', 'inherit'] });
  let text = '';
  child.stdout.setEncoding('utf8');
  child.stdout.on('data', (chunk: string) => {
    text += chunk;
  });
  const status = await new Promise<number | null>((done) => child.once('close', done));
  if (status !== 0) throw new Error(`${task.path}: exit status ${status}`);
  return JSON.parse(text) as Outcome;
}

const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0;

/** Name in the table, path, workers. The first is the one that the others are measured against. */
const PATHS: readonly (readonly [name: string, path: string, workers: number])[] = [
  ['tcpreplay -t -K', 'tcpreplay', 1],
  ['af_packet', 'af_packet', 1],
  ['af_packet qdisc', 'af_packet qdisc', 1],
  ['af_packet 2 workers', 'af_packet', 2],
  ['tx_ring', 'tx_ring', 1],
  ['tx_ring 2 workers', 'tx_ring', 2],
  ['af_xdp', 'af_xdp', 1],
  ['af_xdp mapped', 'af_xdp mapped', 1],
  ['af_xdp 2 workers', 'af_xdp', 2],
];

async function measureSize(
  link: { near: string; far: string },
  bytes: number,
  o: { frames: number; runs: number; batch: number; only: string },
): Promise<void> {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'tsreplay-bench-'));
  const file = path.join(directory, 'capture.pcap');
  const held = Math.min(o.frames, Math.floor(CAPTURE_BYTES_MAX / (RECORD_HEADER_BYTES + bytes)));
  const loops = Math.ceil(o.frames / held);
  const frames = loops * held;
  writeCapture(file, bytes, held);
  const paths = PATHS.filter(([name], i) => i === 0 || o.only === '' || o.only.split(',').includes(name));
  const rates = paths.map(() => [] as number[]);
  const agreements = paths.map(() => [] as number[]);
  const notes = paths.map(() => '');
  try {
    for (let run = 0; run < o.runs; run++) {
      for (const [i, [, kind, workers]] of paths.entries()) {
        const before = received(link.far);
        const outcome =
          kind === 'tcpreplay'
            ? runTcpreplay(link.near, file, loops)
            : await runOurs(link.near, { path: kind, file, iface: 'tsrb0', frames, bytes, workers, batch: o.batch });
        rates[i]!.push(outcome.reported / outcome.seconds);
        agreements[i]!.push(outcome.reported / (received(link.far) - before));
        notes[i] = outcome.note;
      }
    }
  } finally {
    fs.rmSync(directory, { recursive: true });
  }
  for (const [i, [name]] of paths.entries()) {
    const kpps = median(rates[i]!) / 1e3;
    const ratio = median(rates[i]!.map((rate, run) => rate / rates[0]![run]!));
    const counted = median(agreements[i]!).toFixed(4);
    console.log(
      `${String(bytes).padStart(5)} B  ${name.padEnd(20)} ${kpps.toFixed(0).padStart(6)} kpps  ` +
        `${ratio.toFixed(2).padStart(5)}x  reported/counted ${counted}  ${notes[i]}`,
    );
  }
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      frames: { type: 'string', default: '400000' },
      runs: { type: 'string', default: '5' },
      sizes: { type: 'string', default: '64,512,1514' },
      batch: { type: 'string', default: '256' },
      queues: { type: 'string', default: QUEUES_DEFAULT },
      only: { type: 'string', default: '' },
      child: { type: 'string' },
    },
  });
  if (values.child !== undefined) return runChild(values.child);
  if (process.getuid?.() !== 0) {
    console.error('bench/sinks makes network namespaces: run it with sudo');
    process.exit(3);
  }
  const link = { near: `tsr-${process.pid}-a`, far: `tsr-${process.pid}-b` };
  try {
    makeLink(link.near, link.far, Number(values.queues));
    const o = {
      frames: Number(values.frames),
      runs: Number(values.runs),
      batch: Number(values.batch),
      only: values.only,
    };
    console.log(`${o.frames} frames a run, ${o.runs} runs, medians; ratio: median of the paired runs' ratios`);
    for (const bytes of values.sizes.split(',')) await measureSize(link, Number(bytes), o);
  } finally {
    sh(`ip netns del ${link.near} || true; ip netns del ${link.far} || true`);
  }
}

if (isMainThread) await main();
else runThread(workerData as Task);
