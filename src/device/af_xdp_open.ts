/**
 * Opens the `af_xdp` sink: checks the interface and the queue, makes the UMEM, falls back from zero-copy to copy, and
 * puts the kernel's refusals into an operator's sentence.
 *
 * One sink fills one transmit queue of the interface, and a queue has one owner. Several workers therefore open queue
 * `worker % xdpQueueCount(name)`, each its own; more workers than queues are refused by the kernel with the remedy.
 */
import { assert } from '../base/assert.ts';
import { OperatorError } from '../base/errors.ts';
import type { Region } from '../base/region.ts';
import { describeErrno, Errno } from '../sys/errno.ts';
import { interfaceFacts } from '../sys/interface.ts';
import { anonymousRegion } from '../sys/memory.ts';
import { permissionRemedy } from '../sys/permission.ts';
import {
  openXdpTransmitSocket,
  transmitQueueCount,
  type XdpMode,
  XdpRefusal,
  type XdpSocketOptions,
  type XdpTransmitSocket,
} from '../sys/xdp.ts';
import { AfXdpSink } from './af_xdp.ts';
import { deviceFault } from './fault_error.ts';
import { LINKTYPE_ETHERNET, type LinkFacts, linkFacts, VLAN_TAG_BYTES } from './link.ts';

export interface AfXdpOptions {
  /** Interface name. */
  readonly name: string;
  /** Transmit queue, from 0. Default 0. */
  readonly queue?: number;
  /** Default `auto`: zero-copy where the driver can, else copy. */
  readonly mode?: XdpMode;
  /** Frames on their way at most; a power of two, 64 to 32768. Default 2048. */
  readonly ringFrames?: number;
  /** Frames handed over at once; default 1024, at most half the ring. */
  readonly batchFrames?: number;
  /**
   * Sends straight from this region, which every pushed frame must lie in: its memory is pinned, pages of a file
   * mapping are copied first, `retainsFrames` is true, and frames are at most a page long. Default: frames are copied.
   */
  readonly umem?: Region;
}

const PAGE_BYTES = 4096;
const SMALL_CHUNK_BYTES = 2048;
const RING_FRAMES = 2048;
const BATCH_FRAMES_MAX = 1024;

/** Transmit queues of an interface: how many AF_XDP sinks it can have. */
export function xdpQueueCount(interfaceName: string): number {
  return transmitQueueCount(interfaceName);
}

export function openAfXdpSink(options: AfXdpOptions): AfXdpSink {
  const ringFrames = options.ringFrames ?? RING_FRAMES;
  assert(ringFrames >= 64 && ringFrames <= 32_768 && (ringFrames & (ringFrames - 1)) === 0, 'ring is a power of two');
  const queue = options.queue ?? 0;
  const facts = usableInterface(options.name, queue);
  const frameBytesMax = Math.min(PAGE_BYTES, facts.mtu + facts.headerBytes);
  const chunkBytes =
    options.umem === undefined && frameBytesMax + VLAN_TAG_BYTES <= SMALL_CHUNK_BYTES ? SMALL_CHUNK_BYTES : PAGE_BYTES;
  const umem = options.umem ?? anonymousRegion(ringFrames * chunkBytes);
  const wanted: XdpSocketOptions = {
    ifindex: facts.ifindex,
    queue,
    mode: options.mode ?? 'auto',
    ringFrames,
    umem,
    // Mappings end with a whole page.
    umemBytes: Math.ceil(umem.byteLength / PAGE_BYTES) * PAGE_BYTES,
    chunkBytes,
    unaligned: options.umem !== undefined,
  };
  try {
    return new AfXdpSink({
      name: facts.name,
      limits: {
        linktype: LINKTYPE_ETHERNET,
        frameBytesMax,
        batchFramesMax: Math.min(options.batchFrames ?? BATCH_FRAMES_MAX, ringFrames / 2),
        retainsFrames: options.umem !== undefined,
      },
      socket: openUsableSocket(wanted),
      umem,
      umemIsRegion: options.umem !== undefined,
      chunkBytes,
      ringFrames,
      queue,
      explain: (errno) => explainFault(facts, errno),
      nowMs: () => performance.now(),
    });
  } catch (error) {
    if (options.umem === undefined) umem.release();
    throw error instanceof XdpRefusal ? explainRefusal(error, facts, wanted) : error;
  }
}

function usableInterface(name: string, queue: number): LinkFacts {
  const facts = linkFacts(name);
  if (!facts.up) throw new OperatorError('INTERFACE', `${name} is down: ip link set ${name} up`);
  if (facts.linktype !== LINKTYPE_ETHERNET) {
    throw new OperatorError(
      'FRAMING',
      `${name} carries no Ethernet frames, which AF_XDP needs: use --backend af_packet`,
    );
  }
  const queues = transmitQueueCount(name);
  if (queue >= queues) {
    throw new OperatorError(
      'INTERFACE',
      `${name} has ${queues} transmit queue${queues === 1 ? '' : 's'}, queue ${queue} is not there: ` +
        `ethtool -L ${name} combined ${queue + 1} (veth: tx ${queue + 1}), or a lower queue`,
    );
  }
  return facts;
}

/**
 * Some drivers bind in zero-copy mode without an XDP program and then refuse to be woken (ENXIO, EINVAL). An empty
 * wake-up shows it before the first frame; `auto` then binds anew in copy mode.
 */
function openUsableSocket(wanted: XdpSocketOptions): XdpTransmitSocket {
  const socket = openXdpTransmitSocket(wanted);
  if (!socket.isZeroCopy) return socket;
  const errno = socket.wake();
  if (errno === 0 || errno === Errno.EAGAIN || errno === Errno.EBUSY || errno === Errno.ENETDOWN) return socket;
  socket.close();
  if (wanted.mode === 'zerocopy') throw new XdpRefusal('bind', errno);
  return openXdpTransmitSocket({ ...wanted, mode: 'copy' });
}

function explainFault(facts: LinkFacts, errno: number): Error {
  if (errno === Errno.ETIMEDOUT) {
    return new OperatorError(
      'INTERFACE',
      `${facts.name} takes no more frames: ip -s link show ${facts.name} tells why`,
    );
  }
  // An interface that is removed goes down first: look which of the two it was.
  if (interfaceFacts(facts.name)?.ifindex !== facts.ifindex) return deviceFault(facts.name, Errno.ENODEV);
  return deviceFault(facts.name, errno);
}

function explainRefusal(refusal: XdpRefusal, facts: LinkFacts, wanted: XdpSocketOptions): OperatorError {
  const why = describeErrno(refusal.errno);
  const cause = { cause: refusal };
  if (refusal.errno === Errno.EPERM || refusal.errno === Errno.EACCES) {
    return new OperatorError('PERMISSION', `no permission to open AF_XDP: ${permissionRemedy('CAP_NET_RAW')}`, cause);
  }
  if (refusal.step === 'socket' || (refusal.step !== 'bind' && refusal.errno === Errno.EOPNOTSUPP)) {
    return new OperatorError(
      'UNSUPPORTED',
      `this kernel has no usable AF_XDP (${why}): use --backend af_packet`,
      cause,
    );
  }
  if (refusal.step === 'umem' && (refusal.errno === Errno.ENOBUFS || refusal.errno === Errno.ENOMEM)) {
    const kibibytes = Math.ceil(wanted.umemBytes / 1024);
    return new OperatorError(
      'RESOURCE',
      `AF_XDP needs ${kibibytes} KiB of locked memory: ulimit -l ${kibibytes}, or ` +
        permissionRemedy('CAP_IPC_LOCK', 'CAP_NET_RAW'),
      cause,
    );
  }
  if (refusal.step === 'bind' && refusal.errno === Errno.EBUSY) {
    return new OperatorError(
      'RESOURCE',
      `queue ${wanted.queue} of ${facts.name} already has an AF_XDP socket: end its owner, or use no more workers ` +
        `than the interface has transmit queues (ethtool -l ${facts.name})`,
      cause,
    );
  }
  if (refusal.step === 'bind' && wanted.mode === 'zerocopy') {
    return new OperatorError(
      'UNSUPPORTED',
      `the driver of ${facts.name} does not send zero-copy (${why}): use mode auto or copy`,
      cause,
    );
  }
  return new OperatorError('SYSTEM', `cannot open AF_XDP on ${facts.name} (${refusal.step}): ${why}`, cause);
}
