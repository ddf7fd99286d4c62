/** HOT: the side by the source address alone: packets of hosts that a predicate holds for are the primary side's. */
import type { FrameBatch } from '../base/batch.ts';
import { type Classifier, type DirectionCommon, type HostPredicate, Subject } from './direction.ts';
import { HostMemo } from './host_memo.ts';
import { HostTable } from './hosts.ts';
import { IpEnds } from './ip_ends.ts';

export class MatchClassifier implements Classifier {
  readonly waits: boolean = false;
  /** Sources seen. */
  readonly hosts: HostTable = new HostTable();
  readonly #ends = new IpEnds();
  readonly #matches: HostMemo;
  readonly #reverse: boolean;
  readonly #nonIpPrimary: boolean;

  constructor(common: DirectionCommon, matches: HostPredicate) {
    this.#matches = new HostMemo(this.hosts, matches);
    this.#reverse = common.reverse;
    this.#nonIpPrimary = common.nonIpPrimary;
  }

  look(batch: FrameBatch, i: number): number {
    if (!this.#ends.find(batch, i)) return Subject.NonIp;
    const id = this.#ends.source(batch.region.view, this.hosts);
    return id < 0 ? Subject.Untracked : id;
  }

  settle(): string | null {
    return null;
  }

  isPrimary(subject: number): boolean {
    if (subject === Subject.NonIp) return this.#nonIpPrimary;
    return (subject >= 0 && this.#matches.holds(subject)) !== this.#reverse;
  }

  /** Whether the predicate holds for a host, before `--reverse`. */
  holds(id: number): boolean {
    return this.#matches.holds(id);
  }
}
