/** An engine in this thread: real files in, memory out, a clock moved by hand. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { encodePcap, type PcapPacket } from '../../lab/pcapfile.ts';
import { FakeClock } from '../../src/base/clock.ts';
import { plainRegion } from '../../src/base/region.ts';
import { MemorySink } from '../../src/device/memory.ts';
import type { Sink } from '../../src/device/sink.ts';
import { openCapture } from '../../src/pcap/index.ts';
import { Engine, type EngineResult } from '../../src/replay/engine.ts';
import { inputBytes, isKept, lookAtInputs } from '../../src/replay/input.ts';
import { Cell, Command, Progress } from '../../src/replay/progress.ts';
import type { Ask } from '../../src/replay/send.ts';
import { REPLAY_DEFAULTS, type ReplaySpec, toFile } from '../../src/replay/spec.ts';
import { buildStages } from '../../src/replay/stages.ts';

export type SpecChanges = { readonly inputs: readonly string[] } & Partial<ReplaySpec>;

export interface RunOptions {
  readonly sinks?: readonly Sink[];
  readonly worker?: number;
  readonly clock?: FakeClock;
  readonly ask?: Ask;
  readonly progress?: Progress;
}

export interface Run {
  readonly result: EngineResult;
  readonly sinks: readonly Sink[];
  /** Frames of the first sink, when it is in memory. */
  readonly frames: MemorySink['frames'];
  /** Schedule time of each flush of the first sink, one entry per frame, ns. */
  readonly sentAtNs: readonly number[];
  readonly read: number;
  readonly skipped: number;
}

/** A memory sink that notes when frames leave. */
export class TimedSink extends MemorySink {
  readonly sentAtNs: number[] = [];
  clock: FakeClock | null = null;

  override flush(): number {
    const before = this.frames.length;
    const sent = super.flush();
    for (let k = before; k < this.frames.length; k++) this.sentAtNs.push(this.clock?.nowNs() ?? 0);
    return sent;
  }
}

export function specOf(changes: SpecChanges): ReplaySpec {
  return { ...REPLAY_DEFAULTS, primary: toFile('memory'), ...changes };
}

export function runEngine(changes: SpecChanges, options: RunOptions = {}): Run {
  const spec = specOf(changes);
  const worker = options.worker ?? 0;
  const clock = options.clock ?? new FakeClock();
  const outputs = spec.secondary === null ? 1 : 2;
  const sinks = options.sinks ?? Array.from({ length: outputs }, () => new TimedSink());
  for (const sink of sinks) if (sink instanceof TimedSink) sink.clock = clock;
  const progress = options.progress ?? new Progress(spec.workers);
  const openReader = (file: string) => openCapture(file);
  const facts = lookAtInputs(spec, openReader);
  const engine = new Engine({
    spec,
    worker,
    progress,
    clock,
    sinks,
    stages: buildStages(spec, worker, sinks, facts),
    openReader,
    makeRegion: plainRegion,
    ask: options.ask ?? null,
    keep: isKept(spec),
    expectedBytes: inputBytes(spec),
  });
  engine.load();
  if (progress.command === Command.Wait) progress.order(Command.Run);
  const result = engine.run();
  engine.release();
  const first = sinks[0]!;
  const row = progress.row(worker);
  return {
    result,
    sinks,
    frames: first instanceof MemorySink ? first.frames : [],
    sentAtNs: first instanceof TimedSink ? first.sentAtNs : [],
    read: row[Cell.Read]!,
    skipped: row[Cell.Skipped]!,
  };
}

/** A folder that goes away with the test. */
export function scratchFolder(t: { teardown(fn: () => void): void }): string {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'tsreplay-test-'));
  t.teardown(() => fs.rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Writes packets as a nanosecond pcap; returns its path. */
export function writeCapture(folder: string, name: string, packets: readonly PcapPacket[], linktype = 1): string {
  const file = path.join(folder, name);
  const bytes = encodePcap({ linktype, snaplen: 262_144, precision: 'nano', bigEndian: false, packets });
  fs.writeFileSync(file, bytes);
  return file;
}

/** `n` as a UDP packet from 10.0.0.x to 10.1.0.y with its number as payload; `gapNs` apart. */
export function numberedPackets(count: number, gapNs: number, flows = 1, payloadBytes = 8): PcapPacket[] {
  return Array.from({ length: count }, (_, n) => {
    const data = Buffer.alloc(42 + payloadBytes);
    data.set([2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0, 0x45, 0], 0);
    data.writeUInt16BE(28 + payloadBytes, 16);
    data.set([64, 17], 22);
    data.set([10, 0, 0, 1 + (n % flows), 10, 1, 0, 9], 26);
    data.writeUInt16BE(1024 + (n % flows), 34);
    data.writeUInt16BE(53, 36);
    data.writeUInt16BE(8 + payloadBytes, 38);
    data.writeUInt32BE(n, 42);
    let sum = 0;
    for (let at = 14; at < 34; at += 2) sum += data.readUInt16BE(at);
    sum = (sum & 0xffff) + (sum >>> 16);
    data.writeUInt16BE(~(sum + (sum >>> 16)) & 0xffff, 24);
    const ns = n * gapNs;
    return { sec: 1_700_000_000 + Math.floor(ns / 1e9), nsec: ns % 1e9, len: data.length, data };
  });
}

/** The number that `numberedPackets` put into a frame. */
export function numberOf(frame: Uint8Array): number {
  return new DataView(frame.buffer, frame.byteOffset).getUint32(42);
}
