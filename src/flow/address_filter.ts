/** HOT: packets chosen by their addresses (`S:`, `D:`, `B:`, `E:` of tcpprep). Budget 30 ns a packet. */
import type { FrameBatch } from '../base/batch.ts';
import { type AddressBlock, blockPredicate } from './address_block.ts';
import { HostMemo } from './host_memo.ts';
import { HostTable } from './hosts.ts';
import { IpEnds } from './ip_ends.ts';

/** Which address must lie in a block. */
export type AddressEnd = 'source' | 'destination' | 'both' | 'either';

export class AddressFilter {
  readonly #ends = new IpEnds();
  readonly #hosts = new HostTable();
  readonly #memo: HostMemo;
  readonly #end: AddressEnd;
  readonly #include: boolean;

  /** `include` false: packets that match are the ones left out. */
  constructor(end: AddressEnd, blocks: readonly AddressBlock[], include: boolean) {
    this.#memo = new HostMemo(this.#hosts, blockPredicate(blocks));
    this.#end = end;
    this.#include = include;
  }

  /** Whether frame `i` stays. Packets without an IP header always do: they have no address to choose them by. */
  takes(batch: FrameBatch, i: number): boolean {
    if (!this.#ends.find(batch, i)) return true;
    return this.#matches(batch.region.view) === this.#include;
  }

  #matches(view: DataView): boolean {
    switch (this.#end) {
      case 'source':
        return this.#isIn(this.#ends.source(view, this.#hosts));
      case 'destination':
        return this.#isIn(this.#ends.destination(view, this.#hosts));
      case 'both':
        return (
          this.#isIn(this.#ends.source(view, this.#hosts)) && this.#isIn(this.#ends.destination(view, this.#hosts))
        );
      case 'either':
        return (
          this.#isIn(this.#ends.source(view, this.#hosts)) || this.#isIn(this.#ends.destination(view, this.#hosts))
        );
    }
  }

  #isIn(id: number): boolean {
    return id >= 0 && this.#memo.holds(id);
  }
}
