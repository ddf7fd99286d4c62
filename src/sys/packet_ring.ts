/**
 * PACKET_RX_RING of an AF_PACKET socket, TPACKET_V3: blocks of frames that the kernel fills and hands over whole.
 * Layouts are those of include/uapi/linux/if_packet.h; Documentation/networking/packet_mmap.rst explains them.
 *
 * Nothing arrives before the filter is attached: the socket is made with protocol 0, which receives nothing, and is
 * bound to a protocol last.
 */

import { OperatorError } from '../base/errors.ts';
import type { Region } from '../base/region.ts';
import { describeErrno, Errno } from './errno.ts';
import {
  AF_PACKET,
  ETH_P_ALL,
  LITTLE_ENDIAN,
  PACKET_ADD_MEMBERSHIP,
  PACKET_FANOUT,
  PACKET_FANOUT_HASH,
  PACKET_IGNORE_OUTGOING,
  PACKET_MR_PROMISC,
  PACKET_RESERVE,
  PACKET_RX_RING,
  PACKET_STATISTICS,
  PACKET_TIMESTAMP,
  PACKET_VERSION,
  PacketMreq,
  SO_ERROR,
  SOCK_DGRAM,
  SOCK_RAW,
  SOL_PACKET,
  SOL_SOCKET,
  SockaddrLl,
  TPACKET_V3,
  TpacketReq3,
  TpacketStats,
} from './layout.ts';
import { dataAddress } from './libc.ts';
import { sharedRegion } from './memory.ts';
import {
  bindSocket,
  closeSocket,
  interfaceRequest,
  ioctl,
  openSocket,
  setSocketOption,
  setSocketOptionInt,
  socketOption,
  socketOptionInt,
} from './socket.ts';
import { attachFilter } from './socket_filter.ts';

/** Where the kernel's stamps come from: its own clock, or the network card's (raw: as the card counts). */
export type StampSource = 'host' | 'adapter' | 'adapter_unsynced';

// include/uapi/linux/net_tstamp.h, sockios.h
const SOF_TIMESTAMPING_RAW_HARDWARE = 1 << 6;
const HWTSTAMP_FILTER_ALL = 1;
const SIOCSHWTSTAMP = 0x89b0;

export interface ReceiveRingOptions {
  /** As in messages. */
  readonly name: string;
  /** 0: every interface. */
  readonly ifindex: number;
  /** Without link-layer header (SOCK_DGRAM). */
  readonly cooked: boolean;
  /** A power of two, at least a page. */
  readonly blockBytes: number;
  readonly blocks: number;
  /** Milliseconds after which a block that has frames is handed over though it is not full. */
  readonly retireMs: number;
  /** Bytes left free in front of each frame, on top of the kernel's own. */
  readonly reserveBytes: number;
  readonly ignoreOutgoing: boolean;
  readonly promiscuous: boolean;
  /** Further interfaces that are to be promiscuous while the ring is open, by index. */
  readonly promiscuousOn: readonly number[];
  readonly stamps: StampSource;
  /** struct sock_filter program; null: everything, whole. */
  readonly filter: Uint8Array | null;
  /** Number of a fanout group that this socket joins; null: alone. */
  readonly fanoutGroup: number | null;
}

export interface RingStatistics {
  /** Frames that passed the filter, those dropped included. */
  received: number;
  dropped: number;
  /** Times that the kernel found no free block. */
  frozen: number;
}

export class ReceiveRing {
  readonly fd: number;
  readonly region: Region;
  /** Since the ring was opened; renewed by `updateStatistics`. */
  readonly statistics: RingStatistics = { received: 0, dropped: 0, frozen: 0 };
  #open = true;

  constructor(fd: number, region: Region) {
    this.fd = fd;
    this.region = region;
  }

  /** Adds what the kernel counted since the last call (reading resets it). */
  updateStatistics(): void {
    const value = socketOption(this.fd, SOL_PACKET, PACKET_STATISTICS, TpacketStats.SIZE);
    if (value === null || value.byteLength < TpacketStats.SIZE) return;
    const view = new DataView(value.buffer, value.byteOffset);
    this.statistics.received += view.getUint32(TpacketStats.PACKETS, LITTLE_ENDIAN);
    this.statistics.dropped += view.getUint32(TpacketStats.DROPS, LITTLE_ENDIAN);
    this.statistics.frozen += view.getUint32(TpacketStats.FREEZE_Q_COUNT, LITTLE_ENDIAN);
  }

  /** From now on nothing arrives; what is in the ring stays. */
  refuseAll(): void {
    attachFilter(this.fd, REFUSE_ALL);
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

/** `ret #0` */
const REFUSE_ALL = Uint8Array.of(0x06, 0, 0, 0, 0, 0, 0, 0);
/** `ret #-1` */
const ACCEPT_ALL = Uint8Array.of(0x06, 0, 0, 0, 0xff, 0xff, 0xff, 0xff);

/** Opens the ring. Throws PERMISSION, INTERFACE, RESOURCE or UNSUPPORTED with the line to type. */
export function openReceiveRing(options: ReceiveRingOptions): ReceiveRing {
  const { name } = options;
  const fd = openSocket(AF_PACKET, options.cooked ? SOCK_DGRAM : SOCK_RAW, 0, `a packet socket on ${name}`);
  try {
    must(setSocketOptionInt(fd, SOL_PACKET, PACKET_VERSION, TPACKET_V3), 'this kernel has no TPACKET_V3 ring');
    must(setSocketOptionInt(fd, SOL_PACKET, PACKET_RESERVE, options.reserveBytes), 'this kernel has no PACKET_RESERVE');
    if (options.stamps !== 'host') askHardwareStamps(fd, options);
    if (options.ignoreOutgoing) {
      const refused = setSocketOptionInt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, 1);
      must(refused, 'this kernel cannot leave out outgoing packets (it is older than 4.20)');
    }
    const filter = options.filter ?? ACCEPT_ALL;
    // A socket that is to share its packets sees all of them until it has joined its group: it must not take them.
    must(
      attachFilter(fd, options.fanoutGroup === null ? filter : REFUSE_ALL),
      `${name}: the kernel refuses the filter`,
    );
    requestRing(fd, options);
    const region = sharedRegion(fd, 0, options.blockBytes * options.blocks);
    try {
      bindRing(fd, options);
      if (options.promiscuous && options.ifindex !== 0) becomePromiscuous(fd, options.ifindex);
      for (const ifindex of options.promiscuousOn) becomePromiscuous(fd, ifindex);
      if (options.fanoutGroup !== null) {
        joinFanout(fd, options.fanoutGroup, name);
        must(attachFilter(fd, filter), `${name}: the kernel refuses the filter`);
      }
    } catch (error) {
      region.release();
      throw error;
    }
    return new ReceiveRing(fd, region);
  } catch (error) {
    closeSocket(fd);
    throw error;
  }
}

function must(errno: number, what: string): void {
  if (errno !== 0) throw new OperatorError('UNSUPPORTED', `${what}: ${describeErrno(errno)}; try --backend libpcap`);
}

function requestRing(fd: number, options: ReceiveRingOptions): void {
  const request = new Uint8Array(TpacketReq3.SIZE);
  const view = new DataView(request.buffer);
  const set = (at: number, value: number): void => view.setUint32(at, value, LITTLE_ENDIAN);
  set(TpacketReq3.BLOCK_SIZE, options.blockBytes);
  set(TpacketReq3.BLOCK_NR, options.blocks);
  // V3 packs frames of any length; the kernel only checks that these two multiply to the same size.
  set(TpacketReq3.FRAME_SIZE, options.blockBytes);
  set(TpacketReq3.FRAME_NR, options.blocks);
  set(TpacketReq3.RETIRE_BLK_TOV, options.retireMs);
  const errno = setSocketOption(fd, SOL_PACKET, PACKET_RX_RING, request);
  if (errno === 0) return;
  const mebibytes = Math.round((options.blockBytes * options.blocks) / 1048576);
  if (errno === Errno.ENOMEM) {
    throw new OperatorError('RESOURCE', `no memory for a ring of ${mebibytes} MiB: ask for less with -B`);
  }
  throw new OperatorError('UNSUPPORTED', `the kernel refuses a ring of ${mebibytes} MiB: ${describeErrno(errno)}`);
}

function bindRing(fd: number, { name, ifindex }: ReceiveRingOptions): void {
  const address = new Uint8Array(SockaddrLl.SIZE);
  const view = new DataView(address.buffer);
  view.setUint16(SockaddrLl.FAMILY, AF_PACKET, LITTLE_ENDIAN);
  view.setUint16(SockaddrLl.PROTOCOL, ETH_P_ALL);
  view.setInt32(SockaddrLl.IFINDEX, ifindex, LITTLE_ENDIAN);
  const errno = bindSocket(fd, address);
  if (errno === 0) return;
  if (errno === Errno.ENETDOWN) throw new OperatorError('INTERFACE', `${name} is down: ip link set ${name} up`);
  throw new OperatorError('INTERFACE', `cannot bind to ${name}: ${describeErrno(errno)}`);
}

/** Ends with the socket. Refusal (no such mode) is no fault: the packets for this host are captured all the same. */
function becomePromiscuous(fd: number, ifindex: number): void {
  const request = new Uint8Array(PacketMreq.SIZE);
  const view = new DataView(request.buffer);
  view.setInt32(PacketMreq.IFINDEX, ifindex, LITTLE_ENDIAN);
  view.setUint16(PacketMreq.TYPE, PACKET_MR_PROMISC, LITTLE_ENDIAN);
  setSocketOption(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, request);
}

/** The hash is symmetric: both directions of a connection reach the same socket. */
function joinFanout(fd: number, group: number, name: string): void {
  const errno = setSocketOptionInt(fd, SOL_PACKET, PACKET_FANOUT, (PACKET_FANOUT_HASH << 16) | (group & 0xffff));
  if (errno === 0) return;
  throw new OperatorError('UNSUPPORTED', `${name}: cannot share packets among workers: ${describeErrno(errno)}`);
}

/** struct hwtstamp_config: flags, tx_type, rx_filter. */
function askHardwareStamps(fd: number, { name, stamps }: ReceiveRingOptions): void {
  const config = new Int32Array(new ArrayBuffer(12));
  config[2] = HWTSTAMP_FILTER_ALL;
  const request = interfaceRequest(name);
  const view = new DataView(request.buffer);
  const address = dataAddress(config);
  view.setUint32(16, address >>> 0, LITTLE_ENDIAN);
  view.setUint32(20, Math.floor(address / 0x1_0000_0000), LITTLE_ENDIAN);
  const result = ioctl(fd, SIOCSHWTSTAMP, request);
  // Raw for both: the kernel has not converted stamps to system time since 3.x, it is the card that is synchronised.
  const refused =
    result < 0 ? -result : setSocketOptionInt(fd, SOL_PACKET, PACKET_TIMESTAMP, SOF_TIMESTAMPING_RAW_HARDWARE);
  if (refused === 0) return;
  throw new OperatorError(
    refused === Errno.EPERM ? 'PERMISSION' : 'UNSUPPORTED',
    `${name} gives no stamps of its own (${describeErrno(refused)}): leave out --time-stamp-type ${stamps}`,
  );
}
