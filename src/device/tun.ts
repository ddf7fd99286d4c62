/**
 * Frames into a TAP device, packets into a TUN device: they appear on this host as received on that interface.
 * One `write` per frame, which is all that the device offers. Counts of the interface are its receive counters.
 */
import { BATCH_FRAMES } from '../base/batch.ts';
import { OperatorError } from '../base/errors.ts';
import type { Region } from '../base/region.ts';
import { describeErrno, Errno } from '../sys/errno.ts';
import { bringInterfaceUp } from '../sys/interface.ts';
import { lastErrno } from '../sys/libc.ts';
import { permissionRemedy } from '../sys/permission.ts';
import { closeSocket } from '../sys/socket.ts';
import { openTunDevice, writeFrame } from '../sys/tun.ts';
import { deviceFault } from './fault_error.ts';
import { FrameQueue } from './frame_queue.ts';
import { ETHERNET_HEADER_BYTES, LINKTYPE_ETHERNET, LINKTYPE_RAW, linkFacts } from './link.ts';
import { type Sink, SinkCounters, type SinkLimits } from './sink.ts';

export interface TunOptions {
  readonly kind: 'tap' | 'tun';
  readonly name: string;
}

class TunSink implements Sink {
  readonly name: string;
  readonly limits: SinkLimits;
  readonly counters: SinkCounters = new SinkCounters();
  fault: Error | null = null;
  #fd: number;
  #queue: FrameQueue;

  constructor(kind: 'tap' | 'tun', name: string, fd: number, mtu: number) {
    this.name = name;
    this.#fd = fd;
    this.limits = {
      linktype: kind === 'tap' ? LINKTYPE_ETHERNET : LINKTYPE_RAW,
      frameBytesMax: kind === 'tap' ? mtu + ETHERNET_HEADER_BYTES : mtu,
      batchFramesMax: BATCH_FRAMES,
      retainsFrames: false,
    };
    this.#queue = new FrameQueue(BATCH_FRAMES, (address, length) => {
      if (writeFrame(fd, address, length) >= 0) return 0;
      const errno = lastErrno();
      // The device was set down, or deleted under us.
      return errno === Errno.EIO ? Errno.ENETDOWN : errno === EBADFD ? Errno.ENODEV : errno;
    });
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
    if (this.#fd < 0) return;
    this.drain();
    closeSocket(this.#fd);
    this.#fd = -1;
    this.#queue.release();
  }
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
    return new TunSink(options.kind, options.name, fd, linkFacts(options.name).mtu);
  } catch (error) {
    closeSocket(fd);
    throw error;
  }
}
