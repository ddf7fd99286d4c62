/**
 * HOT: frames through libpcap, for platforms without AF_PACKET and by name. Each frame is fetched with a call and
 * copied into memory of our own, as libpcap may write over it when it is asked for the next.
 */
import type { FrameBatch } from '../base/batch.ts';
import { OperatorError } from '../base/errors.ts';
import { FRAME_BYTES_MAX, type Region } from '../base/region.ts';
import { copyBytes } from '../sys/file.ts';
import { POLLIN } from '../sys/layout.ts';
import { anonymousRegion } from '../sys/memory.ts';
import { openPcapCapture, type PcapCapture } from '../sys/pcap_capture.ts';
import { pauseMicroseconds, pollDescriptor } from '../sys/socket.ts';
import type { CaptureSource, CaptureSourceSpec, SourceInterface, SourceStatistics } from './capture_source.ts';
import { interfaceExists } from './link.ts';
import { ANY, LINKTYPE_SLL2 } from './packet_ring_open.ts';

/** struct pcap_pkthdr: timeval, caplen, len. */
const HEADER_BYTES = 24;
const CAPLEN = 16;
const LEN = 20;
/** Room for a record header in front of each frame. */
const HEADROOM_BYTES = 32;
const REGION_BYTES = 1 << 20;
/** Readings of nothing in a row, 10 ms apart, after which a halted handle is empty. */
const QUIET_READS = 15;
const QUIET_US = 10_000;

class LibpcapSource implements CaptureSource {
  readonly name: string;
  readonly interfaces: readonly SourceInterface[];
  readonly fd: number;
  readonly statistics: SourceStatistics = { received: 0, droppedByKernel: 0, droppedByInterface: 0, frozen: 0 };
  readonly filtered = 0;
  fault: OperatorError | null = null;
  ended = false;
  readonly #pcap: PcapCapture;
  readonly #region: Region = anonymousRegion(REGION_BYTES);
  readonly #interfaceIndex: number;
  readonly #isNano: boolean;
  #taken = 0;
  #halted = false;
  #quiet = 0;
  /** Counted when the source was halted: what comes later was not asked for. */
  #wanted = 0;

  constructor(pcap: PcapCapture, spec: CaptureSourceSpec) {
    this.#pcap = pcap;
    this.#interfaceIndex = spec.interfaceIndex;
    this.#isNano = pcap.nanoseconds;
    this.name = spec.name;
    this.interfaces = [{ name: spec.name, linktype: pcap.linktype, snaplen: spec.snaplen }];
    this.fd = pcap.fd;
  }

  read(batch: FrameBatch): number {
    const region = this.#region;
    batch.region = region;
    batch.headroomBytes = HEADROOM_BYTES;
    let count = 0;
    let next = HEADER_BYTES;
    while (count < batch.capacity && next + HEADROOM_BYTES + FRAME_BYTES_MAX <= region.byteLength) {
      if (this.#halted && this.#taken >= this.#wanted) break;
      const result = this.#pcap.next();
      if (result !== 1) {
        if (result < 0) this.#break();
        break;
      }
      next += HEADROOM_BYTES;
      next += this.#copy(batch, count++, next);
    }
    batch.count = count;
    this.#taken += count;
    if (count === 0 && this.#halted) this.#atEnd();
    return count;
  }

  /** Returns the bytes of the frame. */
  #copy(batch: FrameBatch, i: number, to: number): number {
    const { view, address } = this.#region;
    copyBytes(address, this.#pcap.found.headerAddress, HEADER_BYTES);
    const caplen = Math.min(view.getUint32(CAPLEN, true), FRAME_BYTES_MAX);
    const fraction = view.getUint32(8, true);
    batch.at[i] = to;
    batch.caplen[i] = caplen;
    batch.len[i] = view.getUint32(LEN, true);
    batch.sec[i] = view.getUint32(0, true);
    batch.nsec[i] = this.#isNano ? fraction : fraction * 1000;
    batch.linktype[i] = this.interfaces[0]!.linktype;
    batch.interfaceIndex[i] = this.#interfaceIndex;
    copyBytes(address + to, this.#pcap.found.bytesAddress, caplen);
    return caplen;
  }

  #atEnd(): void {
    if (this.#taken >= this.#wanted || ++this.#quiet > QUIET_READS) this.ended = true;
    else pauseMicroseconds(QUIET_US);
  }

  #break(): void {
    const message = this.#pcap.message();
    const isGone = this.name !== ANY && !interfaceExists(this.name);
    const what = isGone ? 'was removed' : 'broke';
    this.fault ??= new OperatorError('INTERFACE', `${this.name} ${what} during the run: ${message}`);
    this.halt();
    this.ended = true;
  }

  shed(): number {
    let frames = 0;
    while (frames < 4096 && this.#pcap.next() === 1) frames++;
    this.#taken += frames;
    return frames;
  }

  wait(timeoutMs: number): void {
    if (this.ended) return;
    if (this.fd >= 0) pollDescriptor(this.fd, POLLIN, timeoutMs);
    else pauseMicroseconds(Math.min(timeoutMs, 10) * 1000);
  }

  updateStatistics(): void {
    const now = this.#pcap.statistics();
    // libpcap's own count of frames received holds those that it left out itself (the loopback's copies).
    this.statistics.received = this.#taken + now.droppedByKernel;
    this.statistics.droppedByKernel = now.droppedByKernel;
    this.statistics.droppedByInterface = now.droppedByInterface;
  }

  halt(): void {
    if (this.#halted) return;
    this.updateStatistics();
    const { received, droppedByKernel } = this.#pcap.statistics();
    this.#wanted = received - droppedByKernel;
    this.#halted = true;
  }

  close(): void {
    this.ended = true;
    this.#pcap.close();
    this.#region.release();
  }
}

/** Opens the source. Throws INTERFACE, PERMISSION, UNSUPPORTED or USAGE. */
export function openLibpcapSource(spec: CaptureSourceSpec): CaptureSource {
  if (spec.fanoutGroup !== null) {
    throw new OperatorError('USAGE', '--workers shares the packets of AF_PACKET sockets: leave out --backend libpcap');
  }
  const pcap = openPcapCapture({
    name: spec.name,
    snaplen: spec.snaplen,
    bufferBytes: spec.bufferBytes,
    promiscuous: spec.promiscuous,
    immediate: spec.retireMs < 50,
    direction: spec.direction,
    stamps: spec.stamps,
    filter: spec.filter,
    linktype: spec.name === ANY ? LINKTYPE_SLL2 : null,
  });
  return new LibpcapSource(pcap, spec);
}
