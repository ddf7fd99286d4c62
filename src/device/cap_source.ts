/**
 * HOT: frames through the npm package `cap` (optional dependency, a libpcap binding), by name only. Its limits, and
 * what is done about them:
 *
 * - it loses packets with a small buffer: at least 64 MiB are asked for;
 * - its memory must not be collected while it runs: the source keeps it;
 * - it works on the main thread only, in events: they fill a queue, and a full queue is counted as a drop;
 * - an interface that goes down while it captures ends the whole process: the interface is looked at beforehand;
 * - it has no stamps, drop counts, snaplen or direction: frames are stamped when they reach this process.
 */
import { Buffer as NodeBuffer } from 'node:buffer';
import { createRequire } from 'node:module';
import { isMainThread } from 'node:worker_threads';
import type { FrameBatch } from '../base/batch.ts';
import { OperatorError } from '../base/errors.ts';
import { FRAME_BYTES_MAX, type Region } from '../base/region.ts';
import { realtimeMs } from '../sys/clock.ts';
import { interfaceFacts } from '../sys/interface.ts';
import { compileFilter } from '../sys/libpcap.ts';
import { anonymousRegion } from '../sys/memory.ts';
import type { CaptureSource, CaptureSourceSpec, SourceInterface, SourceStatistics } from './capture_source.ts';
import { otherInterfaces } from './link.ts';

const BUFFER_BYTES_MIN = 64 << 20;
const QUEUE_BYTES = 64 << 20;
const HEADROOM_BYTES = 32;
/** Frames of a queue in front of their bytes: length, seconds, nanoseconds as three 32-bit words. */
const ENTRY_BYTES = 16;

/** What this file uses of cap 0.2.1. */
interface CapHandle {
  open(device: string, filter: string, bufferBytes: number, buffer: Uint8Array): string;
  setMinBytes?(bytes: number): void;
  close(): void;
  on(event: 'packet', listener: (bytes: number, truncated: boolean) => void): void;
}
interface CapModule {
  readonly Cap: new () => CapHandle;
}

/** cap's names of link types -> LINKTYPE_. */
const LINKTYPES: Readonly<Record<string, number>> = { NULL: 0, ETHERNET: 1, RAW: 101, LINKTYPE_LINUX_SLL: 113 };

function loadCap(): CapModule {
  if (!isMainThread) throw new OperatorError('UNSUPPORTED', 'the package cap runs on the main thread only');
  try {
    return createRequire(import.meta.url)('cap') as CapModule;
  } catch (cause) {
    const remedy =
      'apt-get install g++ make libpcap-dev && npm install cap && npm rebuild cap, or use --backend libpcap';
    throw new OperatorError('UNSUPPORTED', `the package cap is not built: ${remedy}`, { cause });
  }
}

/** Whether the package is there and built. */
export function hasCap(): boolean {
  try {
    loadCap();
    return true;
  } catch {
    return false;
  }
}

class CapSource implements CaptureSource {
  readonly name: string;
  readonly interfaces: readonly SourceInterface[];
  readonly fd = -1;
  readonly statistics: SourceStatistics = { received: 0, droppedByKernel: 0, droppedByInterface: 0, frozen: 0 };
  readonly fault: OperatorError | null = null;
  readonly filtered = 0;
  ended = false;
  readonly #cap: CapHandle;
  /** cap writes each frame here. */
  readonly #buffer: Uint8Array;
  readonly #queue: Region = anonymousRegion(QUEUE_BYTES);
  readonly #snaplen: number;
  readonly #interfaceIndex: number;
  readonly #linktype: number;
  /** Where the next frame is put, and the next is taken; both go back to the start when the queue is empty. */
  #putAt = 0;
  #takeAt = 0;
  #waiting = 0;
  #open = true;

  constructor(cap: CapHandle, buffer: Uint8Array, linktype: number, spec: CaptureSourceSpec) {
    this.#cap = cap;
    this.#buffer = buffer;
    this.#snaplen = spec.snaplen;
    this.#interfaceIndex = spec.interfaceIndex;
    this.#linktype = linktype;
    this.name = spec.name;
    this.interfaces = [{ name: spec.name, linktype, snaplen: spec.snaplen }];
    cap.on('packet', (bytes) => this.#put(bytes));
  }

  #put(bytes: number): void {
    if (this.ended) return;
    this.statistics.received++;
    const caplen = Math.min(bytes, this.#snaplen);
    const at = this.#putAt;
    if (at + ENTRY_BYTES + HEADROOM_BYTES + caplen > QUEUE_BYTES) {
      this.statistics.droppedByKernel++;
      return;
    }
    const { view } = this.#queue;
    const now = realtimeMs();
    const sec = Math.floor(now / 1000);
    view.setUint32(at, bytes);
    view.setUint32(at + 4, sec);
    view.setUint32(at + 8, Math.min(999_999_999, Math.round((now - sec * 1000) * 1e6)));
    const to = at + ENTRY_BYTES + HEADROOM_BYTES;
    const from = this.#buffer;
    for (let i = 0; i < caplen; i++) view.setUint8(to + i, from[i]!);
    this.#putAt = (to + caplen + 7) & ~7;
    this.#waiting++;
  }

  read(batch: FrameBatch): number {
    const { view } = this.#queue;
    batch.region = this.#queue;
    batch.headroomBytes = HEADROOM_BYTES;
    if (this.#waiting === 0) {
      this.#putAt = 0;
      this.#takeAt = 0;
    }
    const count = Math.min(this.#waiting, batch.capacity);
    let at = this.#takeAt;
    for (let i = 0; i < count; i++) {
      const bytes = view.getUint32(at);
      const caplen = Math.min(bytes, this.#snaplen);
      batch.at[i] = at + ENTRY_BYTES + HEADROOM_BYTES;
      batch.caplen[i] = caplen;
      batch.len[i] = bytes;
      batch.sec[i] = view.getUint32(at + 4);
      batch.nsec[i] = view.getUint32(at + 8);
      batch.linktype[i] = this.#linktype;
      batch.interfaceIndex[i] = this.#interfaceIndex;
      at = (at + ENTRY_BYTES + HEADROOM_BYTES + caplen + 7) & ~7;
    }
    this.#takeAt = at;
    this.#waiting -= count;
    batch.count = count;
    if (count === 0 && !this.#open) this.ended = true;
    return count;
  }

  /** Frames come in events: there is nothing to block on. */
  wait(): void {}

  shed(): number {
    const frames = this.#waiting;
    this.#waiting = 0;
    this.#takeAt = this.#putAt;
    return frames;
  }

  updateStatistics(): void {}

  halt(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#cap.close();
  }

  close(): void {
    this.halt();
    this.ended = true;
    this.#queue.release();
  }
}

/** Opens the source. Throws UNSUPPORTED, INTERFACE, PERMISSION or USAGE. */
export function openCapSource(spec: CaptureSourceSpec): CaptureSource {
  if (spec.fanoutGroup !== null) throw new OperatorError('USAGE', '--workers needs --backend af_packet');
  if (spec.direction !== 'inout') throw new OperatorError('USAGE', 'the package cap knows no --direction');
  if (spec.stamps !== 'host') throw new OperatorError('USAGE', 'the package cap knows no --time-stamp-type');
  if (!spec.promiscuous) throw new OperatorError('USAGE', 'the package cap is always promiscuous: leave out -p');
  const { Cap } = loadCap();
  const facts = interfaceFacts(spec.name);
  if (facts === null) throw new OperatorError('INTERFACE', `no interface ${spec.name}; ${otherInterfaces()}`);
  if (!facts.up) throw new OperatorError('INTERFACE', `${spec.name} is down: ip link set ${spec.name} up`);
  if (spec.filter !== '') compileFilter(spec.filter, 1);
  const cap = new Cap();
  const bufferBytes = Math.max(BUFFER_BYTES_MIN, spec.bufferBytes);
  // cap takes a node:buffer only.
  const buffer = NodeBuffer.alloc(FRAME_BYTES_MAX);
  const name = openHandle(cap, spec, bufferBytes, buffer);
  cap.setMinBytes?.(0);
  return new CapSource(cap, buffer, LINKTYPES[name] ?? 1, spec);
}

function openHandle(cap: CapHandle, spec: CaptureSourceSpec, bufferBytes: number, buffer: Uint8Array): string {
  try {
    return cap.open(spec.name, spec.filter, bufferBytes, buffer);
  } catch (cause) {
    const why = (cause as Error).message;
    const code = /permission|permitted/i.test(why) ? 'PERMISSION' : 'INTERFACE';
    throw new OperatorError(code, `cap cannot open ${spec.name}: ${why}`, { cause });
  }
}
