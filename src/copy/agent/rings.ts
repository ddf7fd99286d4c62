/** The rings of a worker: opened, watched, and opened again after their interface was down. */
import type { OperatorError } from '../../base/errors.ts';
import type { CaptureSourceSpec } from '../../device/capture_source.ts';
import { type HeaderSource, openHeaderSource } from '../../device/header_ring.ts';
import { insideNamespace } from '../../device/host_capture.ts';
import type { PacketRingSource } from '../../device/packet_ring.ts';
import { openPacketRingSource } from '../../device/packet_ring_open.ts';
import { HEADER_SNAPLEN } from '../../device/port_filter.ts';
import { clientFilter, productionFilter, replyFilter } from './filter.ts';
import type { AgentLoop } from './loop.ts';
import { AgentCell } from './rows.ts';
import type { AgentSpec, PacketSource } from './spec.ts';

const SNAPLEN = 262_144;
/** How long a frame may wait in a block that is not full; kernels before 6.18 round it up to their tick. */
const RETIRE_MS = 1;
const REOPEN_MS = 500;

/**
 * Clients' packets come through two rings. The kernel closes a block each `RETIRE_MS`, however little is in it, so
 * that a ring of large blocks lasts for few milliseconds while packets are small: 16 MiB in blocks of 128 KiB, which a
 * packet of 64 KiB needs, for 128 ms. In blocks of 8 KiB they last for two seconds, which the agent may be stopped.
 */
interface RingShape {
  readonly blockBytes: number;
  /** Which frames, by their length. */
  readonly filter: string;
}
const FRAME_BYTES_SMALL = 2_048;
const SHAPES: readonly RingShape[] = [
  { blockBytes: 8_192, filter: `less ${FRAME_BYTES_SMALL}` },
  { blockBytes: 131_072, filter: `greater ${FRAME_BYTES_SMALL + 1}` },
];

type Live = Extract<PacketSource, { kind: 'live' }>;

export class AgentRings {
  readonly #spec: AgentSpec;
  readonly #worker: number;
  readonly #loop: AgentLoop;
  readonly #cells: Float64Array;
  /** None, or one for each shape. */
  #clients: PacketRingSource[] = [];
  #replies: (HeaderSource | null)[] = [];
  #retryMs = 0;
  /** Drops of rings that are closed. */
  #dropsBefore = 0;
  #replyDropsBefore = 0;

  /** Opens them. Throws INTERFACE, PERMISSION, RESOURCE, USAGE with the line to type. */
  constructor(spec: AgentSpec, worker: number, loop: AgentLoop, cells: Float64Array) {
    this.#spec = spec;
    this.#worker = worker;
    this.#loop = loop;
    this.#cells = cells;
    // Replies first: no copy leaves before.
    this.#replies = this.#devices.map((name) => this.#openReplies(name));
    if (spec.packets.kind === 'live') this.#clients = this.#openClients(spec.packets);
    this.#attach();
  }

  get #devices(): readonly string[] {
    return this.#spec.replies.kind === 'local' ? this.#spec.replies.devices : [];
  }

  #openClients({ device, netns, except, filter, bufferBytes }: Live): PacketRingSource[] {
    const clients = clientFilter(this.#spec, except, filter, this.#worker);
    const opened: PacketRingSource[] = [];
    try {
      for (const [i, shape] of SHAPES.entries()) {
        const spec: CaptureSourceSpec = {
          name: device,
          backend: 'af_packet',
          filter: `${clients} and ${shape.filter}`,
          snaplen: SNAPLEN,
          promiscuous: false,
          ...this.#direction(i),
          insideTag: true,
          bufferBytes: Math.floor(bufferBytes / this.#spec.workers / SHAPES.length),
          blockBytes: shape.blockBytes,
          keepsBlocks: true,
          retireMs: RETIRE_MS,
          stamps: 'host',
          fanoutGroup: null,
          interfaceIndex: 0,
        };
        opened.push(insideNamespace(netns, () => openPacketRingSource(spec)));
      }
      return opened;
    } catch (error) {
      for (const source of opened) source.close();
      throw error;
    }
  }

  /** Of production's replies only headers are kept, so that all of them are small. */
  #direction(shape: number): Pick<CaptureSourceSpec, 'direction' | 'outgoing'> {
    if (this.#spec.compare !== true || shape > 0) return { direction: 'in' };
    const outgoing = { filter: productionFilter(this.#spec, this.#worker), snaplen: HEADER_SNAPLEN };
    return { direction: 'inout', outgoing };
  }

  #openReplies(name: string): HeaderSource {
    const filter = replyFilter(this.#spec.targets, this.#worker, this.#spec.workers);
    return openHeaderSource({ name, ports: [], filter, direction: 'in' });
  }

  #attach(): void {
    this.#loop.clients = this.#clients;
    this.#loop.replies = this.#replies.filter((source) => source !== null);
  }

  /** Descriptors to wait for. */
  get fds(): number[] {
    const fds = this.#loop.replies.map((source) => (source as HeaderSource).fd);
    return [...this.#clients.map(({ fd }) => fd), ...fds];
  }

  /** Captured no more: what is in flight is still answered. */
  closeClients(): void {
    this.#countDrops();
    this.#closeRings();
    this.#retryMs = Number.POSITIVE_INFINITY;
    this.#attach();
  }

  #closeRings(): void {
    for (const source of this.#clients) {
      this.#dropsBefore += source.statistics.droppedByKernel;
      source.close();
    }
    this.#clients = [];
  }

  /** Reads the kernel's counts and mends what broke. Returns whether descriptors have changed. */
  look(nowMs: number): boolean {
    for (const source of this.#clients) source.wait(0);
    for (const source of this.#replies) source?.wait(0);
    this.#countDrops();
    const isBroken = this.#fault() !== null;
    if (isBroken) this.#closeBroken();
    if (nowMs < this.#retryMs) return isBroken;
    this.#retryMs = nowMs + REOPEN_MS;
    return this.#openMissing() || isBroken;
  }

  #fault(): OperatorError | null {
    const broken = this.#replies.find((source) => source !== null && source.fault !== null);
    return this.#clients.find(({ fault }) => fault !== null)?.fault ?? broken?.fault ?? null;
  }

  #closeBroken(): void {
    if (this.#clients.some(({ fault }) => fault !== null)) this.#closeRings();
    this.#replies = this.#replies.map((source) => {
      if (source === null || source.fault === null) return source;
      this.#replyDropsBefore += source.dropped;
      source.close();
      return null;
    });
    this.#attach();
  }

  #openMissing(): boolean {
    let opened = 0;
    try {
      for (const [i, name] of this.#devices.entries()) {
        if (this.#replies[i] !== null) continue;
        this.#replies[i] = this.#openReplies(name);
        opened++;
      }
      if (this.#clients.length === 0 && this.#spec.packets.kind === 'live') {
        this.#clients = this.#openClients(this.#spec.packets);
        opened++;
      }
    } catch {
      // Still down, or gone: tried again later, and seen in the count of frames.
    }
    this.#cells[AgentCell.Reopened]! += opened;
    if (opened > 0) this.#attach();
    return opened > 0;
  }

  #countDrops(): void {
    let lost = this.#dropsBefore;
    for (const source of this.#clients) {
      source.updateStatistics();
      lost += source.statistics.droppedByKernel;
    }
    this.#cells[AgentCell.KernelDrops] = lost;
    let dropped = this.#replyDropsBefore;
    for (const source of this.#replies) {
      source?.updateStatistics();
      dropped += source?.dropped ?? 0;
    }
    this.#cells[AgentCell.ReplyDrops] = dropped;
  }

  close(): void {
    this.#closeRings();
    for (const source of this.#replies) source?.close();
    this.#replies = [];
    this.#attach();
  }
}
