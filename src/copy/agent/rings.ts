/** The rings of a worker: opened, watched, and opened again after their interface was down. */
import type { OperatorError } from '../../base/errors.ts';
import type { CaptureSource, CaptureSourceSpec } from '../../device/capture_source.ts';
import { type HeaderSource, openHeaderSource } from '../../device/header_ring.ts';
import { insideNamespace } from '../../device/host_capture.ts';
import { openPacketRingSource } from '../../device/packet_ring_open.ts';
import { HEADER_SNAPLEN } from '../../device/port_filter.ts';
import { clientFilter, productionFilter, replyFilter } from './filter.ts';
import type { AgentLoop } from './loop.ts';
import { AgentCell } from './rows.ts';
import type { AgentSpec, PacketSource } from './spec.ts';

const SNAPLEN = 262_144;
/** How long a frame may wait in a block that is not full; kernels before 6.18 round it up to their tick. */
const RETIRE_MS = 1;
/** Holds a packet of 64 KiB. A ring of 32 MiB lasts for 256 blocks, a quarter of a second at least. */
const BLOCK_BYTES = 131_072;
const REOPEN_MS = 500;

type Live = Extract<PacketSource, { kind: 'live' }>;

export class AgentRings {
  readonly #spec: AgentSpec;
  readonly #worker: number;
  readonly #loop: AgentLoop;
  readonly #cells: Float64Array;
  #clients: CaptureSource | null = null;
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

  #openClients({ device, netns, except, filter, bufferBytes }: Live): CaptureSource {
    const spec: CaptureSourceSpec = {
      name: device,
      backend: 'af_packet',
      filter: clientFilter(this.#spec, except, filter, this.#worker),
      snaplen: SNAPLEN,
      promiscuous: false,
      ...this.#direction,
      bufferBytes: Math.floor(bufferBytes / this.#spec.workers),
      blockBytes: BLOCK_BYTES,
      retireMs: RETIRE_MS,
      stamps: 'host',
      fanoutGroup: null,
      interfaceIndex: 0,
    };
    return insideNamespace(netns, () => openPacketRingSource(spec));
  }

  get #direction(): Pick<CaptureSourceSpec, 'direction' | 'outgoing'> {
    if (this.#spec.compare !== true) return { direction: 'in' };
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
    return this.#clients === null ? fds : [this.#clients.fd, ...fds];
  }

  /** Captured no more: what is in flight is still answered. */
  closeClients(): void {
    this.#countDrops();
    this.#dropsBefore += this.#clients?.statistics.droppedByKernel ?? 0;
    this.#clients?.close();
    this.#clients = null;
    this.#retryMs = Number.POSITIVE_INFINITY;
    this.#attach();
  }

  /** Reads the kernel's counts and mends what broke. Returns whether descriptors have changed. */
  look(nowMs: number): boolean {
    this.#clients?.wait(0);
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
    return this.#clients?.fault ?? broken?.fault ?? null;
  }

  #closeBroken(): void {
    const clients = this.#clients;
    if (clients !== null && clients.fault !== null) {
      this.#dropsBefore += clients.statistics.droppedByKernel;
      clients.close();
      this.#clients = null;
    }
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
      if (this.#clients === null && this.#spec.packets.kind === 'live') {
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
    this.#clients?.updateStatistics();
    this.#cells[AgentCell.KernelDrops] = this.#dropsBefore + (this.#clients?.statistics.droppedByKernel ?? 0);
    let dropped = this.#replyDropsBefore;
    for (const source of this.#replies) {
      source?.updateStatistics();
      dropped += source?.dropped ?? 0;
    }
    this.#cells[AgentCell.ReplyDrops] = dropped;
  }

  close(): void {
    this.#clients?.close();
    for (const source of this.#replies) source?.close();
    this.#clients = null;
    this.#replies = [];
    this.#attach();
  }
}
