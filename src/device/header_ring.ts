/**
 * HOT: headers of TCP packets that come from given ports, from a receive ring that hands each over at once: what an
 * interception of replies needs. Frames lie in the ring; their slots go back to the kernel with the next `read`.
 */
import type { FrameBatch } from '../base/batch.ts';
import { OperatorError } from '../base/errors.ts';
import type { Region } from '../base/region.ts';
import { type HeaderRing, openHeaderRing, Tpacket2Receive } from '../sys/header_ring.ts';
import { POLLERR, POLLIN, TP_STATUS_KERNEL, TP_STATUS_USER } from '../sys/layout.ts';
import { compileFilter } from '../sys/libpcap.ts';
import { pollDescriptor } from '../sys/socket.ts';
import { deviceFault } from './fault_error.ts';
import { withDirection } from './kernel_filter.ts';
import { linkFacts } from './link.ts';
import { HEADER_SNAPLEN, portFilter } from './port_filter.ts';
import type { Source } from './source.ts';

export const HEADER_SLOT_BYTES = 256;
/** 8 MiB: half a second of 60,000 replies a second. */
export const HEADER_SLOTS = 32_768;

export interface HeaderSourceOptions {
  /** Interface name. */
  readonly name: string;
  /** TCP source ports; none: any. */
  readonly ports: readonly number[];
  /** libpcap expression in the place of the ports. */
  readonly filter?: string;
  /** `out`: only what leaves through the interface; `in`: only what reaches it. */
  readonly direction: 'in' | 'out';
}

export class HeaderSource implements Source {
  readonly name: string;
  fault: OperatorError | null = null;
  /** Packets that were not in the ring because it was full; renewed by `updateStatistics`. */
  dropped = 0;
  readonly #ring: HeaderRing;
  readonly #region: Region;
  readonly #words: Int32Array;
  readonly #linktype: number;
  /** Next slot to be read, and slots that the last batch holds in front of it. */
  #next = 0;
  #held = 0;

  constructor(name: string, linktype: number, ring: HeaderRing) {
    this.name = name;
    this.#linktype = linktype;
    this.#ring = ring;
    this.#region = ring.region;
    this.#words = new Int32Array(ring.region.bytes.buffer, 0, ring.region.byteLength >>> 2);
  }

  get fd(): number {
    return this.#ring.fd;
  }

  get ended(): boolean {
    return this.fault !== null;
  }

  read(batch: FrameBatch): number {
    const words = this.#words;
    for (let slot = this.#next - this.#held; slot < this.#next; slot++) {
      Atomics.store(words, (((slot + HEADER_SLOTS) % HEADER_SLOTS) * HEADER_SLOT_BYTES) >>> 2, TP_STATUS_KERNEL);
    }
    this.#next %= HEADER_SLOTS;
    batch.region = this.#region;
    let count = 0;
    while (count < batch.capacity && this.#next + count < HEADER_SLOTS) {
      const at = (this.#next + count) * HEADER_SLOT_BYTES;
      const word = at >>> 2;
      // The kernel writes the status last: an atomic load orders what is read after it.
      if ((Atomics.load(words, word) & TP_STATUS_USER) === 0) break;
      batch.len[count] = words[word + (Tpacket2Receive.LEN >>> 2)]!;
      batch.caplen[count] = words[word + (Tpacket2Receive.SNAPLEN >>> 2)]!;
      batch.at[count] = at + (words[word + (Tpacket2Receive.MAC >>> 2)]! & 0xffff);
      batch.sec[count] = words[word + (Tpacket2Receive.SEC >>> 2)]! >>> 0;
      batch.nsec[count] = words[word + (Tpacket2Receive.NSEC >>> 2)]!;
      batch.linktype[count] = this.#linktype;
      batch.interfaceIndex[count] = 0;
      count++;
    }
    this.#next += count;
    this.#held = count;
    batch.headroomBytes = 0;
    batch.count = count;
    return count;
  }

  wait(timeoutMs: number): void {
    if ((pollDescriptor(this.#ring.fd, POLLIN, timeoutMs) & POLLERR) === 0) return;
    const errno = this.#ring.takeError();
    if (errno > 0) this.fault ??= deviceFault(this.name, errno);
  }

  updateStatistics(): void {
    this.#ring.updateStatistics();
    this.dropped = this.#ring.dropped;
  }

  close(): void {
    this.#ring.close();
  }
}

/** Opens the source. Throws INTERFACE, PERMISSION, RESOURCE or UNSUPPORTED with the line to type. */
export function openHeaderSource(options: HeaderSourceOptions): HeaderSource {
  const link = linkFacts(options.name);
  if (!link.up) throw new OperatorError('INTERFACE', `${link.name} is down: ip link set ${link.name} up`);
  const { name, ifindex, linktype } = link;
  const filter =
    options.filter === undefined
      ? portFilter(options.ports, options.direction)
      : // With any index but 0 this takes out what leaves there.
        withDirection(compileFilter(options.filter, linktype, HEADER_SNAPLEN), options.direction, ifindex);
  return new HeaderSource(
    name,
    linktype,
    openHeaderRing({ name, ifindex, slotBytes: HEADER_SLOT_BYTES, slots: HEADER_SLOTS, filter }),
  );
}
