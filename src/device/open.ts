/** `openSink`: a sink by the name of its backend. What a name alone means is decided by `chooseBackend`. */
import type { Region } from '../base/region.ts';
import type { XdpMode } from '../sys/xdp.ts';
import { openAfPacketSink } from './af_packet.ts';
import { openAfXdpSink, xdpQueueCount } from './af_xdp_open.ts';
import { chooseBackend, type InterfaceBackend } from './backend.ts';
import { openFileSink } from './file.ts';
import { openLibpcapSink } from './libpcap.ts';
import { openRawIpSink } from './raw_ip.ts';
import { openRawSocketSink } from './raw_socket.ts';
import type { Sink } from './sink.ts';
import { openTunSink } from './tun.ts';
import { openTxRingSink } from './tx_ring.ts';

export interface SinkSpec {
  /** Interface name. */
  readonly name: string;
  /** `auto`: see `chooseBackend`. `file`: `name` is the path of a capture to write. */
  readonly backend: InterfaceBackend | 'auto' | 'file';
  /** LINKTYPE_ of a capture to write. Default 1, Ethernet. */
  readonly linktype?: number;
  /** AF_PACKET and transmit ring only. Default false. */
  readonly qdiscBypass?: boolean;
  /** Frames a system call, where the backend can choose. Default 256. */
  readonly batchFrames?: number;
  /** AF_XDP only: number of the worker, which sends on transmit queue `worker % queues`. Default 0. */
  readonly worker?: number;
  /** AF_XDP only. Default `auto`. */
  readonly xdpMode?: XdpMode;
  /** AF_XDP only: send straight from this region. */
  readonly umem?: Region;
}

/** Opens a sink. Throws an OperatorError that says what to type. */
export function openSink(spec: SinkSpec): Sink {
  const backend = spec.backend === 'auto' ? chooseBackend(spec.name) : spec.backend;
  const batch = spec.batchFrames === undefined ? {} : { batchFrames: spec.batchFrames };
  switch (backend) {
    case 'af_packet':
      return openAfPacketSink({ name: spec.name, qdiscBypass: spec.qdiscBypass === true, ...batch });
    case 'af_xdp':
      return openAfXdpSink({
        name: spec.name,
        queue: (spec.worker ?? 0) % xdpQueueCount(spec.name),
        ...(spec.xdpMode === undefined ? {} : { mode: spec.xdpMode }),
        ...(spec.umem === undefined ? {} : { umem: spec.umem }),
        ...batch,
      });
    case 'raw_ip':
      return openRawIpSink({ name: spec.name, ...batch });
    case 'raw_socket':
      return openRawSocketSink();
    case 'libpcap':
      return openLibpcapSink({ name: spec.name });
    case 'tap':
    case 'tun':
      return openTunSink({ kind: backend, name: spec.name });
    case 'file':
      return openFileSink({ path: spec.name, ...(spec.linktype === undefined ? {} : { linktype: spec.linktype }) });
    case 'tx_ring':
      return openTxRingSink({ name: spec.name, qdiscBypass: spec.qdiscBypass === true });
  }
}
