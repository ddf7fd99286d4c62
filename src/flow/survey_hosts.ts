/** HOT: packets and bytes that each host sent and received. At most a million hosts; others go uncounted. */
import type { FrameBatch } from '../base/batch.ts';
import { grown, HostTable } from './hosts.ts';
import type { IpEnds } from './ip_ends.ts';

const HOSTS_MAX = 1 << 20;
const CELLS = 4;

/** Cells of a host. */
export const HostCell = { SentPackets: 0, SentBytes: 1, ReceivedPackets: 2, ReceivedBytes: 3 } as const;

export class SurveyHosts {
  readonly hosts: HostTable = new HostTable(HOSTS_MAX);
  #cells: Float64Array = new Float64Array(1024 * CELLS);

  /** Preconditions: `ends` has found the addresses of frame `i`. */
  note(batch: FrameBatch, i: number, ends: IpEnds): void {
    const view = batch.region.view;
    const bytes = batch.len[i]!;
    this.#add(ends.source(view, this.hosts), HostCell.SentPackets, bytes);
    this.#add(ends.destination(view, this.hosts), HostCell.ReceivedPackets, bytes);
  }

  #add(id: number, cell: number, bytes: number): void {
    if (id < 0) return;
    const at = id * CELLS + cell;
    if (at >= this.#cells.length) this.#cells = grown(this.#cells, new Float64Array(this.#cells.length * 2));
    this.#cells[at]!++;
    this.#cells[at + 1]! += bytes;
  }

  /** `cell`: a HostCell. */
  of(id: number, cell: number): number {
    return this.#cells[id * CELLS + cell] ?? 0;
  }

  /** The hosts with the most bytes sent and received, most first. */
  top(count: number): number[] {
    const order = Array.from({ length: this.hosts.count }, (_, id) => id);
    const bytes = (id: number): number => this.of(id, HostCell.SentBytes) + this.of(id, HostCell.ReceivedBytes);
    order.sort((a, b) => bytes(b) - bytes(a) || a - b);
    order.length = Math.min(order.length, count);
    return order;
  }
}
