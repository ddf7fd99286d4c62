/**
 * The whole command beside tcpreplay: top speed, edits, timing, CPU, rate accuracy, memory; medians of paired runs.
 *
 *   npm run bench -- replay [--runs 5] [--packets 1000000] [--only topspeed,timing,rates,memory] [--sizes 64,512,1514]
 *
 * Two namespaces joined by a veth pair, the far side drops every frame at ingress; in each run the programs go one
 * after the other, so that a change of the machine's speed meets all of them. Ratios are taken run by run.
 */
import path from 'node:path';
import { parseArgs } from 'node:util';
import { generateCapture } from '../lab/generate.ts';
import type { Host } from '../lab/host.ts';
import { type Lab, makeLab, pair } from '../lab/lab.ts';
import { type Measured, measure, median, quantile, ratioText } from './measure.ts';

const TSREPLAY = path.resolve(import.meta.dirname, '../src/cli/tsreplay.js');
const EDITS = ['--pnat', '10.0.0.0/8:172.16.0.0/12', '--portmap', '53:5353', '--ttl', '-1'];
const MS = 1_000_000;

const { values } = parseArgs({
  options: {
    runs: { type: 'string', default: '5' },
    packets: { type: 'string', default: '1000000' },
    only: { type: 'string', default: 'topspeed,timing,rates,memory' },
    sizes: { type: 'string', default: '64,512,1514' },
  },
});
const runs = Number(values.runs);
const only = new Set(values.only.split(','));

interface Bench {
  readonly lab: Lab;
  readonly a: Host;
  readonly b: Host;
}

const tsreplay = (...args: string[]): string[] => [process.execPath, TSREPLAY, '--json', '-i', 'eth0', ...args];
const tcpreplay = (...args: string[]): string[] => ['tcpreplay', '-q', '-i', 'eth0', ...args];

/** Packets a second, as the program itself says, and packets reported / counted on the far side. */
interface Speed {
  readonly pps: number;
  readonly counted: number;
}

async function speed(bench: Bench, argv: readonly string[]): Promise<Speed> {
  const before = bench.b.statistics('eth0').rxPackets;
  const done = await measure(bench.a, argv);
  await new Promise((resolve) => setTimeout(resolve, 100));
  const received = bench.b.statistics('eth0').rxPackets - before;
  const { sent, pps } = reported(done);
  return { pps, counted: sent / received };
}

function reported(done: Measured): { sent: number; pps: number } {
  if (done.stdout.startsWith('{')) {
    const report = JSON.parse(done.stdout) as { packets: { sent: number }; pps: number };
    return { sent: report.packets.sent, pps: report.pps };
  }
  const sent = Number(/Actual: (\d+) packets/.exec(done.stdout)?.[1]);
  return { sent, pps: Number(/([\d.]+) pps/.exec(done.stdout)?.[1]) };
}

async function topspeed(bench: Bench, size: number): Promise<void> {
  const file = path.join(bench.lab.directory, `${size}.pcap`);
  generateCapture(file, { packets: Math.min(Number(values.packets), Math.floor(2e9 / size)), size, protocol: 'mixed' });
  const programs: [string, string[]][] = [
    ['tcpreplay -t -K', tcpreplay('-t', '-K', file)],
    ['tsreplay -t', tsreplay('-t', file)],
    ['tsreplay -t -K', tsreplay('-t', '-K', file)],
    ['… --qdisc-bypass', tsreplay('-t', '-K', '--qdisc-bypass', file)],
    ['… sendmmsg', tsreplay('-t', '-K', '--backend', 'af_packet', file)],
    ['… --workers 2', tsreplay('-t', '-K', '--workers', '2', file)],
    ['… --xdp', tsreplay('-t', '-K', '--xdp', file)],
    ['… edits', tsreplay('-t', '-K', ...EDITS, file)],
    ['tsreplay -t edits', tsreplay('-t', ...EDITS, file)],
  ];
  const rates = programs.map(() => [] as Speed[]);
  for (let run = 0; run < runs; run++) {
    for (const [k, [, argv]] of programs.entries()) rates[k]!.push(await speed(bench, argv));
  }
  print(`\nTop speed, ${size} B frames`);
  programs.forEach(([name], k) => {
    const pps = rates[k]!.map((each) => each.pps);
    const ratios = pps.map((each, run) => each / rates[0]![run]!.pps);
    const counted = median(rates[k]!.map((each) => each.counted)).toFixed(4);
    print(`  ${name.padEnd(20)} ${kpps(median(pps))}  ${ratioText(ratios)}  reported/counted ${counted}`);
  });
  const edited = rates[8]!.map((each, run) => each.pps / rates[1]![run]!.pps);
  print(`  edits on the way out / without: ${ratioText(edited)}`);
}

interface Timing {
  readonly p50Ns: number;
  readonly p99Ns: number;
  readonly driftNs: number;
  readonly cpuSeconds: number;
}

async function timing(bench: Bench, argv: readonly string[], run: number): Promise<Timing> {
  // Not immediate: a capture that wakes up for every packet competes with a sender that sleeps between them.
  const file = path.join(bench.lab.directory, `timing-${run}.pcap`);
  const capture = await bench.b.capture('eth0', file, { immediate: false });
  const done = await measure(bench.a, argv);
  const { packets } = await capture.finish();
  const at = packets.map((packet) => (packet.sec - packets[0]!.sec) * 1e9 + packet.nsec);
  const errors = at.slice(1).map((ns, n) => Math.abs(ns - at[n]! - MS));
  return {
    p50Ns: quantile(errors, 0.5),
    p99Ns: quantile(errors, 0.99),
    driftNs: at.at(-1)! - at[0]! - (packets.length - 1) * MS,
    cpuSeconds: done.cpuSeconds,
  };
}

async function timings(bench: Bench): Promise<void> {
  const file = path.join(bench.lab.directory, 'timing.pcap');
  generateCapture(file, { packets: 5000, size: 64, gapNs: MS });
  const programs: [string, string[]][] = [
    ['tcpreplay', tcpreplay(file)],
    ['tsreplay', tsreplay(file)],
    ['… --realtime', tsreplay('--realtime', file)],
    ['… --timer spin', tsreplay('--timer', 'spin', file)],
  ];
  const all = programs.map(() => [] as Timing[]);
  for (let run = 0; run < runs; run++) {
    for (const [k, [, argv]] of programs.entries()) all[k]!.push(await timing(bench, argv, run));
  }
  print('\n5,000 packets, 1 ms apart, gap errors on the far side (kernel stamps)');
  programs.forEach(([name], k) => {
    const of = (pick: (timing: Timing) => number): number => median(all[k]!.map(pick));
    const ratio = (pick: (timing: Timing) => number): string =>
      ratioText(all[k]!.map((each, run) => pick(each) / pick(all[0]![run]!)));
    print(
      `  ${name.padEnd(16)} p50 ${micros(of((each) => each.p50Ns))} ${ratio((each) => each.p50Ns)}` +
        `  p99 ${micros(of((each) => each.p99Ns))} ${ratio((each) => each.p99Ns)}` +
        `  drift ${micros(of((each) => each.driftNs))}` +
        `  CPU ${of((each) => each.cpuSeconds).toFixed(2)} s ${ratio((each) => each.cpuSeconds)}`,
    );
  });
}

async function rates(bench: Bench): Promise<void> {
  const file = path.join(bench.lab.directory, 'rates.pcap');
  generateCapture(file, { packets: Number(values.packets), size: 512 });
  const top = (await speed(bench, tsreplay('-t', '-K', file))).pps;
  const half = Math.floor(top / 2);
  const mbps = Math.floor((half * 512 * 8) / 1e6);
  print(`\nAchieved / asked at half the top rate (${kpps(top)})`);
  for (const [name, argv, asked] of [
    [`--pps ${half}`, tsreplay('-K', '--pps', String(half), file), half],
    [`--mbps ${mbps}`, tsreplay('-K', '--mbps', String(mbps), file), (mbps * 1e6) / 8 / 512],
  ] as const) {
    const got: number[] = [];
    for (let run = 0; run < runs; run++) got.push((await speed(bench, argv)).pps / asked);
    print(
      `  ${name.padEnd(16)} ${median(got).toFixed(5)} (${Math.min(...got).toFixed(5)}–${Math.max(...got).toFixed(5)})`,
    );
  }
}

async function memory(bench: Bench): Promise<void> {
  print('\nMemory of --preload-pcap (peak resident size less that of a run over one packet)');
  const one = path.join(bench.lab.directory, 'one.pcap');
  generateCapture(one, { packets: 1, size: 64 });
  const base = (await measure(bench.a, tsreplay('-t', '-K', one))).peakBytes;
  const peerBase = (await measure(bench.a, tcpreplay('-t', '-K', one))).peakBytes;
  for (const size of [64, 1514]) {
    const file = path.join(bench.lab.directory, `memory-${size}.pcap`);
    const bytes = generateCapture(file, { packets: size === 64 ? 2_000_000 : 200_000, size });
    const ours = (await measure(bench.a, tsreplay('-t', '-K', file))).peakBytes;
    const peer = (await measure(bench.a, tcpreplay('-t', '-K', file))).peakBytes;
    const times = (peak: number, without: number): string => `${((peak - without) / bytes).toFixed(2)}× the file`;
    print(`  ${size} B frames, ${mib(bytes)}: tsreplay ${times(ours, base)}, tcpreplay ${times(peer, peerBase)}`);
  }
  print(`  a run over one packet: tsreplay ${mib(base)}, tcpreplay ${mib(peerBase)}`);
}

const print = (text: string): void => {
  process.stdout.write(`${text}\n`);
};
const kpps = (pps: number): string => `${(pps / 1000).toFixed(0)} kpps`.padStart(9);
const micros = (ns: number): string => `${(ns / 1000).toFixed(1)} µs`;
const mib = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(0)} MiB`;

const lab = makeLab(pair({ queues: 2 }));
try {
  const bench: Bench = { lab, a: lab.host('a'), b: lab.host('b') };
  bench.b.dropAtIngress('eth0');
  if (only.has('topspeed')) for (const size of values.sizes.split(',')) await topspeed(bench, Number(size));
  if (only.has('timing')) await timings(bench);
  if (only.has('rates')) await rates(bench);
  if (only.has('memory')) await memory(bench);
} finally {
  await lab.teardown();
}
