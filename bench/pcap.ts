/**
 * Reading captures: nanoseconds a record, of 64- and 1514-byte packets in memory, ours against pcap-parser.
 *
 * `node dist/bench/pcap.js`. Each figure is the least of seven runs, since
 * the load of others only adds; ours also looks at the last word of each frame,
 * since a reader that never touches the frames measures nothing but its own headers.
 */
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import zlib from 'node:zlib';
import { BATCH_FRAMES, FrameBatch } from '../src/base/batch.ts';
import { plainRegion } from '../src/base/region.ts';
import { createCaptureWriter, type OpenCaptureOptions, openCapture } from '../src/pcap/index.ts';

const RUNS = 7;
const batch = new FrameBatch(BATCH_FRAMES, plainRegion(0));
/** Kept so that reading the frames cannot be left out. */
let seen = 0;

function readOurs(file: string, options: OpenCaptureOptions, edit: boolean): number {
  const reader = openCapture(file, options);
  let packets = 0;
  for (let n = reader.read(batch); n > 0; n = reader.read(batch)) {
    const view = batch.region.view;
    for (let i = 0; i < n; i++) {
      const at = batch.at[i]!;
      seen = (seen + view.getUint32(at + batch.caplen[i]! - 4)) | 0;
      if (edit) view.setUint32(at + 26, seen);
    }
    packets += n;
  }
  reader.close();
  return packets;
}

function readOracle(file: string): Promise<number> {
  const { parse } = createRequire(import.meta.url)('pcap-parser') as { parse(path: string): NodeJS.EventEmitter };
  return new Promise((resolve, reject) => {
    let packets = 0;
    const parser = parse(file);
    parser.on('packet', () => packets++);
    parser.on('end', () => resolve(packets));
    parser.on('error', reject);
  });
}

async function measure(what: string, packets: number, run: () => number | Promise<number>): Promise<void> {
  const times: number[] = [];
  for (let i = 0; i < RUNS; i++) {
    const started = performance.now();
    const count = await run();
    if (count !== packets) throw new Error(`${what}: ${count} packets instead of ${packets}`);
    times.push(((performance.now() - started) * 1e6) / packets);
  }
  times.sort((a, b) => a - b);
  const least = times[0]!;
  console.log(
    `${what.padEnd(44)} ${least.toFixed(1).padStart(8)} ns/record ${(1e3 / least).toFixed(2).padStart(8)} M/s`,
  );
}

function writeCapture(file: string, format: 'pcap' | 'pcapng', frameBytes: number, packets: number): number {
  const region = plainRegion(frameBytes);
  const writer = createCaptureWriter(file, { format });
  for (let i = 0; i < packets; i++)
    writer.write(region, 0, frameBytes, frameBytes, 1_700_000_000 + i, (i * 1000) % 1e9);
  writer.close();
  return packets;
}

const base = fs.existsSync('/dev/shm') ? '/dev/shm' : os.tmpdir();
const directory = fs.mkdtempSync(path.join(base, 'tsreplay-bench-'));
try {
  for (const [frameBytes, packets] of [
    [64, 1_000_000],
    [1514, 100_000],
  ] as const) {
    const pcap = path.join(directory, 'a.pcap');
    const pcapng = path.join(directory, 'a.pcapng');
    const label = (what: string): string => `${frameBytes} B: ${what}`;
    await measure(label('write pcap'), packets, () => writeCapture(pcap, 'pcap', frameBytes, packets));
    await measure(label('write pcapng'), packets, () => writeCapture(pcapng, 'pcapng', frameBytes, packets));
    await measure(label('write pcap to /dev/null'), packets, () =>
      writeCapture('/dev/null', 'pcap', frameBytes, packets),
    );
    await measure(label('read pcap'), packets, () => readOurs(pcap, {}, false));
    await measure(label('read pcap, edit each frame'), packets, () => readOurs(pcap, {}, true));
    await measure(label('read pcap, mapped'), packets, () => readOurs(pcap, { access: 'map' }, false));
    await measure(label('read pcap, mapped, edit each frame'), packets, () => readOurs(pcap, { access: 'map' }, true));
    await measure(label('read pcapng'), packets, () => readOurs(pcapng, {}, false));
    fs.writeFileSync(`${pcap}.gz`, zlib.gzipSync(fs.readFileSync(pcap), { level: 1 }));
    await measure(label('read pcap.gz'), packets, () => readOurs(`${pcap}.gz`, {}, false));
    try {
      execFileSync('zstd', ['-q', '-1', '-k', '-f', pcap]);
      await measure(label('read pcap.zst'), packets, () => readOurs(`${pcap}.zst`, {}, false));
    } catch {
      console.log(`${label('read pcap.zst')}: needs the program zstd`);
    }
    await measure(label('pcap-parser'), packets, () => readOracle(pcap));
  }
} finally {
  fs.rmSync(directory, { recursive: true, force: true });
}
