/**
 * HOT: frames of the ring -> records. Budget 150 ns a reply.
 */
import type { FrameBatch } from '../../base/batch.ts';
import { decode } from '../../wire/decode.ts';
import { Layers } from '../../wire/layers.ts';
import { tcpHeaderLen } from '../../wire/tcp.ts';
import { httpStatus } from '../compare/http_status.ts';
import { Header, TargetHeader } from '../target_header.ts';
import { readReply, writeReply } from '../tunnel/reply.ts';

/** One service as the reader compares it: port, 1 where the address matters, 1 where it is IPv6, four words. */
export const SERVICE_WORDS = 7;

/** Cells of the reader's counters; how many there are. */
export const ReaderCount = {
  /** Frames out of the ring. */
  Frames: 0,
  /** Replies of the services among them. */
  Replies: 1,
  /** Not TCP, cut, or malformed. */
  Malformed: 2,
  /** Of no service that was named: another address. */
  Foreign: 3,
  /** Frames that found the ring full. */
  Dropped: 4,
} as const;
export const READER_COUNTS = 5;

export class ReplyReader {
  readonly counts: Float64Array;
  /** Records that the last `read` wrote. */
  records = 0;
  readonly #services: Int32Array;
  readonly #layers = new Layers();
  readonly #header = new TargetHeader();

  /** `services`: none = whatever comes is theirs. `counts`: cells of `ReaderCount`. */
  constructor(services: Int32Array, counts: Float64Array) {
    this.counts = counts;
    this.#services = services;
  }

  /**
   * Writes the records of a batch at `at`; returns their bytes. `nowMs`: since 1970; NaN: records have no heads.
   * Precondition: REPLY_BYTES_MAX a frame are free.
   */
  read(batch: FrameBatch, out: DataView, at: number, nowMs: number = Number.NaN): number {
    const view = batch.region.view;
    const counts = this.counts;
    let to = at;
    let records = 0;
    const hasHeads = !Number.isNaN(nowMs);
    for (let i = 0; i < batch.count; i++) {
      const start = batch.at[i]!;
      decode(view, start, start + batch.caplen[i]!, batch.linktype[i]!, this.#layers);
      if (!readReply(view, this.#layers, start + batch.len[i]!, this.#header)) {
        counts[ReaderCount.Malformed]!++;
        continue;
      }
      if (!this.#isOurs()) {
        counts[ReaderCount.Foreign]!++;
        continue;
      }
      if (hasHeads) this.#readHead(batch, i, nowMs);
      to += writeReply(this.#header, out, to, hasHeads);
      records++;
    }
    counts[ReaderCount.Frames]! += batch.count;
    counts[ReaderCount.Replies]! += records;
    this.records = records;
    return to - at;
  }

  #readHead(batch: FrameBatch, i: number, nowMs: number): void {
    const { cells } = this.#header;
    const { view } = batch.region;
    const { l4 } = this.#layers;
    cells[Header.Status] = httpStatus(view, l4 + tcpHeaderLen(view, l4), batch.at[i]! + batch.caplen[i]!);
    cells[Header.AgeUs] = (nowMs - batch.sec[i]! * 1000) * 1000 - batch.nsec[i]! / 1000;
  }

  #isOurs(): boolean {
    const cells = this.#header.cells;
    const services = this.#services;
    if (services.length === 0) return true;
    for (let s = 0; s < services.length; s += SERVICE_WORDS) {
      if (services[s] !== cells[Header.TargetPort]) continue;
      if (services[s + 1] === 0) return true;
      if (services[s + 2] !== cells[Header.IsIpv6]) continue;
      let same = true;
      for (let word = 0; word < 4; word++) {
        if (services[s + 3 + word] !== cells[Header.Target0 + word]) same = false;
      }
      if (same) return true;
    }
    return false;
  }
}
