/**
 * PACKET_RX_RING of an AF_PACKET socket, TPACKET_V2, for packet headers: slots of fixed size, each handed over as soon
 * as it is filled. (A TPACKET_V3 block is handed over when it is full or its timer ends, which counts in jiffies on
 * many kernels: 4 ms at HZ=250, where a header is wanted within 1 ms.) Layouts: include/uapi/linux/if_packet.h.
 */

import { OperatorError } from '../base/errors.ts';
import type { Region } from '../base/region.ts';
import { describeErrno, Errno } from './errno.ts';
import {
  AF_PACKET,
  ETH_P_ALL,
  LITTLE_ENDIAN,
  PACKET_RX_RING,
  PACKET_STATISTICS,
  PACKET_VERSION,
  SO_ERROR,
  SOCK_RAW,
  SOL_PACKET,
  SOL_SOCKET,
  SockaddrLl,
  TPACKET_V2,
} from './layout.ts';
import { sharedRegion } from './memory.ts';
import {
  bindSocket,
  closeSocket,
  openSocket,
  setSocketOption,
  setSocketOptionInt,
  socketOption,
  socketOptionInt,
} from './socket.ts';
import { attachFilter } from './socket_filter.ts';

/** struct tpacket2_hdr. SEC and NSEC: when the kernel saw the frame. */
export const Tpacket2Receive = { STATUS: 0, LEN: 4, SNAPLEN: 8, MAC: 12, SEC: 16, NSEC: 20 } as const;

const BLOCK_BYTES = 1 << 20;
/** struct tpacket_req. */
const REQUEST_BYTES = 16;

export interface HeaderRingOptions {
  readonly name: string;
  readonly ifindex: number;
  /** Bytes of a slot, a power of two: 80 for the kernel, the rest for the frame. */
  readonly slotBytes: number;
  /** Slots in all, a multiple of those of a mebibyte. */
  readonly slots: number;
  /** struct sock_filter program; what it returns is the snaplen. */
  readonly filter: Uint8Array;
}

export class HeaderRing {
  readonly fd: number;
  readonly region: Region;
  /** Frames that passed the filter, dropped ones included, and those dropped because no slot was free. */
  received = 0;
  dropped = 0;
  #open = true;

  constructor(fd: number, region: Region) {
    this.fd = fd;
    this.region = region;
  }

  /** Adds what the kernel counted since the last call (struct tpacket_stats; reading resets it). */
  updateStatistics(): void {
    const value = socketOption(this.fd, SOL_PACKET, PACKET_STATISTICS, 8);
    if (value === null || value.byteLength < 8) return;
    const view = new DataView(value.buffer, value.byteOffset);
    this.received += view.getUint32(0, LITTLE_ENDIAN);
    this.dropped += view.getUint32(4, LITTLE_ENDIAN);
  }

  /** The error that the kernel left on the socket, 0 = none. Reading clears it. */
  takeError(): number {
    return socketOptionInt(this.fd, SOL_SOCKET, SO_ERROR);
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.region.release();
    closeSocket(this.fd);
  }
}

/** Opens the ring. Throws PERMISSION, INTERFACE, RESOURCE or UNSUPPORTED with the line to type. */
export function openHeaderRing(options: HeaderRingOptions): HeaderRing {
  const { name } = options;
  const fd = openSocket(AF_PACKET, SOCK_RAW, 0, `a packet socket on ${name}`);
  try {
    must(setSocketOptionInt(fd, SOL_PACKET, PACKET_VERSION, TPACKET_V2), 'this kernel has no TPACKET_V2 ring');
    must(attachFilter(fd, options.filter), `${name}: the kernel refuses the filter`);
    requestRing(fd, options);
    const region = sharedRegion(fd, 0, options.slotBytes * options.slots);
    const errno = bindRing(fd, options.ifindex);
    if (errno === 0) return new HeaderRing(fd, region);
    region.release();
    if (errno === Errno.ENETDOWN) throw new OperatorError('INTERFACE', `${name} is down: ip link set ${name} up`);
    throw new OperatorError('INTERFACE', `cannot bind to ${name}: ${describeErrno(errno)}`);
  } catch (error) {
    closeSocket(fd);
    throw error;
  }
}

function must(errno: number, what: string): void {
  if (errno !== 0) throw new OperatorError('UNSUPPORTED', `${what}: ${describeErrno(errno)}`);
}

function requestRing(fd: number, { slotBytes, slots }: HeaderRingOptions): void {
  const request = new Uint8Array(REQUEST_BYTES);
  const view = new DataView(request.buffer);
  view.setUint32(0, BLOCK_BYTES, LITTLE_ENDIAN);
  view.setUint32(4, (slotBytes * slots) / BLOCK_BYTES, LITTLE_ENDIAN);
  view.setUint32(8, slotBytes, LITTLE_ENDIAN);
  view.setUint32(12, slots, LITTLE_ENDIAN);
  const errno = setSocketOption(fd, SOL_PACKET, PACKET_RX_RING, request);
  if (errno === 0) return;
  const mebibytes = (slotBytes * slots) / BLOCK_BYTES;
  throw new OperatorError('RESOURCE', `the kernel refuses a ring of ${mebibytes} MiB: ${describeErrno(errno)}`);
}

function bindRing(fd: number, ifindex: number): number {
  const address = new Uint8Array(SockaddrLl.SIZE);
  const view = new DataView(address.buffer);
  view.setUint16(SockaddrLl.FAMILY, AF_PACKET, LITTLE_ENDIAN);
  view.setUint16(SockaddrLl.PROTOCOL, ETH_P_ALL);
  view.setInt32(SockaddrLl.IFINDEX, ifindex, LITTLE_ENDIAN);
  return bindSocket(fd, address);
}
