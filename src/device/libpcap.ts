/**
 * Frames onto an interface through libpcap's `pcap_sendpacket`: the portable way, where there is no AF_PACKET. One call
 * per frame.
 */
import { BATCH_FRAMES } from '../base/batch.ts';
import { OperatorError } from '../base/errors.ts';
import { lastErrno } from '../sys/libc.ts';
import { openPcapHandle } from '../sys/libpcap.ts';
import { FrameQueue } from './frame_queue.ts';
import { ETHERNET_HEADER_BYTES, LINKTYPE_ETHERNET, LINKTYPE_RAW, linkFacts } from './link.ts';
import { QueuedSink } from './queued_sink.ts';
import type { Sink } from './sink.ts';

/** MTU taken where the platform cannot be asked. */
const MTU_UNKNOWN = 1_500;

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
  const limits = {
    linktype: handle.linktype,
    frameBytesMax: mtu + (handle.linktype === LINKTYPE_ETHERNET ? ETHERNET_HEADER_BYTES : 0),
    batchFramesMax: BATCH_FRAMES,
    retainsFrames: false,
  };
  const queue = new FrameQueue(BATCH_FRAMES, (address, length) =>
    handle.send(address, length) === 0 ? 0 : lastErrno(),
  );
  return new QueuedSink(options.name, limits, queue, () => handle.close());
}
