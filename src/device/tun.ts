/**
 * Frames into a TAP device, packets into a TUN device: they appear on this host as received on that interface.
 * One `write` per frame, which is all that the device offers. Counts of the interface are its receive counters.
 */
import { BATCH_FRAMES } from '../base/batch.ts';
import { OperatorError } from '../base/errors.ts';
import { describeErrno, Errno } from '../sys/errno.ts';
import { bringInterfaceUp } from '../sys/interface.ts';
import { lastErrno } from '../sys/libc.ts';
import { permissionRemedy } from '../sys/permission.ts';
import { closeSocket } from '../sys/socket.ts';
import { openTunDevice, writeFrame } from '../sys/tun.ts';
import { FrameQueue } from './frame_queue.ts';
import { ETHERNET_HEADER_BYTES, LINKTYPE_ETHERNET, LINKTYPE_RAW, linkFacts } from './link.ts';
import { QueuedSink } from './queued_sink.ts';
import type { Sink } from './sink.ts';

export interface TunOptions {
  readonly kind: 'tap' | 'tun';
  readonly name: string;
}

/** include/uapi/asm-generic/errno.h; Node does not name it. */
const EBADFD = 77;

/** Creates or attaches to the device and sets it up. A device made here goes when the sink is closed. */
export function openTunSink(options: TunOptions): Sink {
  const fd = openTunDevice(options.kind, options.name);
  try {
    const errno = bringInterfaceUp(options.name);
    if (errno !== 0) {
      const remedy = errno === Errno.EPERM ? permissionRemedy('CAP_NET_ADMIN') : describeErrno(errno);
      throw new OperatorError('INTERFACE', `cannot set ${options.name} up: ${remedy}`);
    }
    const { mtu } = linkFacts(options.name);
    const isTap = options.kind === 'tap';
    const limits = {
      linktype: isTap ? LINKTYPE_ETHERNET : LINKTYPE_RAW,
      frameBytesMax: isTap ? mtu + ETHERNET_HEADER_BYTES : mtu,
      batchFramesMax: BATCH_FRAMES,
      retainsFrames: false,
    };
    const queue = new FrameQueue(BATCH_FRAMES, (address, length) => writeOne(fd, address, length));
    return new QueuedSink(options.name, limits, queue, () => closeSocket(fd));
  } catch (error) {
    closeSocket(fd);
    throw error;
  }
}

/** 0, or the errno. */
function writeOne(fd: number, address: number, length: number): number {
  if (writeFrame(fd, address, length) >= 0) return 0;
  const errno = lastErrno();
  // The device was set down, or deleted under us.
  return errno === Errno.EIO ? Errno.ENETDOWN : errno === EBADFD ? Errno.ENODEV : errno;
}
