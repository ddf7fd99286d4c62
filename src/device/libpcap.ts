/**
 * Frames onto an interface through libpcap's `pcap_sendpacket`: the portable way, where there is no AF_PACKET. One call
 * per frame.
 */
import { BATCH_FRAMES } from '../base/batch.ts';
import { OperatorError } from '../base/errors.ts';
import type { Region } from '../base/region.ts';
import { lastErrno } from '../sys/libc.ts';
import { openPcapHandle, type PcapHandle } from '../sys/libpcap.ts';
import { deviceFault } from './fault_error.ts';
import { FrameQueue } from './frame_queue.ts';
import { ETHERNET_HEADER_BYTES, LINKTYPE_ETHERNET, LINKTYPE_RAW, linkFacts } from './link.ts';
import { type Sink, SinkCounters, type SinkLimits } from './sink.ts';

/** MTU taken where the platform cannot be asked. */
const MTU_UNKNOWN = 1_500;

class LibpcapSink implements Sink {
  readonly name: string;
  readonly limits: SinkLimits;
  readonly counters: SinkCounters = new SinkCounters();
  fault: Error | null = null;
  #handle: PcapHandle | null;
  #queue: FrameQueue;

  constructor(name: string, handle: PcapHandle, mtu: number) {
    this.name = name;
    this.#handle = handle;
    this.limits = {
      linktype: handle.linktype,
      frameBytesMax: mtu + (handle.linktype === LINKTYPE_ETHERNET ? ETHERNET_HEADER_BYTES : 0),
      batchFramesMax: BATCH_FRAMES,
      retainsFrames: false,
    };
    this.#queue = new FrameQueue(BATCH_FRAMES, (address, length) =>
      handle.send(address, length) === 0 ? 0 : lastErrno(),
    );
  }

  push(region: Region, at: number, length: number): boolean {
    return this.fault === null && this.#queue.push(region, at, length);
  }

  flush(): number {
    const sent = this.#queue.flush(this.counters);
    if (this.#queue.faultErrno !== 0) this.fault ??= deviceFault(this.name, this.#queue.faultErrno);
    return sent;
  }

  drain(): void {
    this.flush();
  }

  close(): void {
    if (this.#handle === null) return;
    this.drain();
    this.#handle.close();
    this.#handle = null;
    this.#queue.release();
  }
}

/** Opens the sink. Throws UNSUPPORTED where libpcap is missing, INTERFACE or PERMISSION with the line to type. */
export function openLibpcapSink(options: { readonly name: string }): Sink {
  const mtu = process.platform === 'linux' ? linkFacts(options.name).mtu : MTU_UNKNOWN;
  const handle = openPcapHandle(options.name);
  if (handle.linktype !== LINKTYPE_ETHERNET && handle.linktype !== LINKTYPE_RAW) {
    handle.close();
    throw new OperatorError(
      'FRAMING',
      `libpcap opens ${options.name} with link type ${handle.linktype}, which cannot be sent: use --backend af_packet`,
    );
  }
  return new LibpcapSink(options.name, handle, mtu);
}
