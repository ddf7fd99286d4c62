/**
 * Sessions out of capture files, at their own times (or `multiplier` times as fast), as live sessions with the
 * targets.
 */
import { FrameBatch, FrameSum } from '../../base/batch.ts';
import type { Clock } from '../../base/clock.ts';
import { plainRegion } from '../../base/region.ts';
import { NS_PER_MS, NS_PER_SECOND } from '../../base/units.ts';
import { type FrameFilter, openFrameFilter } from '../../device/filter.ts';
import { openCapture } from '../../pcap/open.ts';
import { decode } from '../../wire/decode.ts';
import { Layers } from '../../wire/layers.ts';
import { IpProtocol } from '../../wire/protocol.ts';
import { tcpDstPort } from '../../wire/tcp.ts';
import type { CopyEngine } from '../engine.ts';
import type { FrameEmitter } from './emitter.ts';
import type { AgentLoop } from './loop.ts';
import type { AgentSpec, PacketSource } from './spec.ts';

const BATCH_FRAMES = 256;

type Files = Extract<PacketSource, { kind: 'files' }>;

export interface OfflineParts {
  readonly loop: AgentLoop;
  readonly engine: CopyEngine;
  readonly emitter: FrameEmitter;
  readonly clock: Clock;
  readonly isOver: () => boolean;
  /** Lets replies and timers be served until `dueNs`. */
  readonly rest: (dueNs: number) => Promise<void>;
}

/** Resolves when the last packet is sent, or `isOver`. Rejects with FILE or FORMAT. */
export async function replayFiles(spec: AgentSpec, files: Files, parts: OfflineParts): Promise<void> {
  for (let loop = 0; loop < files.loops && !parts.isOver(); loop++) {
    if (loop > 0) await endSessions(spec, parts);
    const pacer = new Pacer(files, parts.clock.nowNs());
    for (const path of files.paths) await replayFile(path, spec, files, pacer, parts);
  }
}

/** When packets are due. */
class Pacer {
  readonly #files: Files;
  #previousNs = Number.NaN;
  #dueNs: number;

  constructor(files: Files, nowNs: number) {
    this.#files = files;
    this.#dueNs = nowNs;
  }

  dueNs(sec: number, nsec: number): number {
    // Seconds since 1970 leave 200 ns of a double: the difference is taken first.
    const at = sec * NS_PER_SECOND + nsec;
    if (!Number.isNaN(this.#previousNs)) {
      const gap = Math.min(this.#files.gapNsMax, Math.max(0, at - this.#previousNs));
      this.#dueNs += gap / this.#files.multiplier;
    }
    this.#previousNs = at;
    return this.#dueNs;
  }

  /** A time of the capture after the last `dueNs`, without moving on. */
  timeOf(sec: number, nsec: number): number {
    if (Number.isNaN(this.#previousNs)) return this.#dueNs;
    return this.#dueNs + (sec * NS_PER_SECOND + nsec - this.#previousNs) / this.#files.multiplier;
  }
}

async function replayFile(
  path: string,
  spec: AgentSpec,
  files: Files,
  pacer: Pacer,
  parts: OfflineParts,
): Promise<void> {
  const { loop, engine, emitter, clock, isOver, rest } = parts;
  const ports = new Set(spec.services.map(({ port }) => port));
  const layers = new Layers();
  const reader = openCapture(path);
  try {
    let filter: FrameFilter | null = null;
    const batch = new FrameBatch(BATCH_FRAMES, plainRegion(0));
    // Captures of what a host sent hold checksums that hardware was to fill in.
    batch.sum.fill(FrameSum.Absent);
    while (!isOver() && reader.read(batch) > 0) {
      for (let i = 0; i < batch.count && !isOver(); i++) {
        if (files.filter !== '') filter ??= openFrameFilter(files.filter, batch.linktype[i]!);
        if (!isClients(batch, i, layers, ports, filter)) {
          takeProductions(batch, i, layers, loop, pacer);
          continue;
        }
        const dueNs = pacer.dueNs(batch.sec[i]!, batch.nsec[i]!);
        if (clock.nowNs() < dueNs) await rest(dueNs);
        engine.tick(clock.nowNs());
        loop.takeFrame(batch, i, dueNs);
        emitter.flush();
      }
    }
  } finally {
    reader.close();
  }
}

/** Production's own reply, for comparing: at its time beside the clients' packets; nothing waits for it. */
function takeProductions(batch: FrameBatch, i: number, layers: Layers, loop: AgentLoop, pacer: Pacer): void {
  if (loop.production === null || layers.l4 < 0) return;
  const at = batch.at[i]!;
  const arrivedNs = pacer.timeOf(batch.sec[i]!, batch.nsec[i]!);
  loop.production.take(batch.region.view, layers, at + batch.caplen[i]!, at + batch.len[i]!, arrivedNs);
}

function isClients(
  batch: FrameBatch,
  i: number,
  layers: Layers,
  ports: Set<number>,
  filter: FrameFilter | null,
): boolean {
  const { view } = batch.region;
  const at = batch.at[i]!;
  decode(view, at, at + batch.caplen[i]!, batch.linktype[i]!, layers);
  if (layers.l4 < 0 || layers.l4Protocol !== IpProtocol.Tcp || !ports.has(tcpDstPort(view, layers.l4))) return false;
  return filter === null || filter.matches(batch, i);
}

/** Between loops the same clients come again: what is still open is closed, or forgotten when that takes too long. */
async function endSessions(spec: AgentSpec, { engine, clock, isOver, rest }: OfflineParts): Promise<void> {
  const endNs = clock.nowNs() + spec.closeMs * NS_PER_MS;
  while (engine.sessionsOpen > 0 && clock.nowNs() < endNs && !isOver()) await rest(clock.nowNs() + 5 * NS_PER_MS);
  const left: [Int32Array, number, number][] = [];
  engine.forEachSession((words, at, port, target) => left.push([words.slice(at, at + 4), port, target]));
  for (const [words, port, target] of left) engine.forget(words, port, target);
}
