/**
 * AF_XDP transmit sockets: UMEM, transmit and completion rings, wake-up. No library and no XDP program: a socket that
 * only sends needs neither (checked on Linux 6.18). Layouts are those of include/uapi/linux/if_xdp.h.
 */
import type { Region } from '../base/region.ts';
import { Errno } from './errno.ts';
import {
  AF_INET,
  Ifreq,
  LITTLE_ENDIAN,
  MSG_DONTWAIT,
  SIOCETHTOOL,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  SOCK_RAW,
} from './layout.ts';
import { dataAddress, declare, lastErrno } from './libc.ts';
import { sharedRegion } from './memory.ts';
import {
  bindSocket,
  closeSocket,
  interfaceRequest,
  ioctl,
  openSocket,
  pauseMicroseconds,
  send,
  setSocketOption,
  setSocketOptionInt,
  socketOption,
  socketOptionInt,
} from './socket.ts';

const socketCall = declare('int socket(int domain, int type, int protocol)');

/** memcpy: `bytes` bytes between addresses of mapped memory that do not overlap. About 50 ns a call. */
export const copyMemory: (to: number, from: number, bytes: number) => void = declare(
  'void memcpy(intptr_t to, intptr_t from, size_t bytes)',
);

const AF_XDP = 44;
const SOL_XDP = 283;

// Socket options.
const XDP_MMAP_OFFSETS = 1;
const XDP_TX_RING = 3;
const XDP_UMEM_REG = 4;
const XDP_UMEM_FILL_RING = 5;
const XDP_UMEM_COMPLETION_RING = 6;
const XDP_STATISTICS = 7;
const XDP_OPTIONS = 8;
/** Linux 6.17: frames that one wake-up sends in copy mode; 32 without it. */
const XDP_MAX_TX_SKB_BUDGET = 9;

// sockaddr_xdp.sxdp_flags
const XDP_COPY = 2;
const XDP_ZEROCOPY = 4;
const XDP_USE_NEED_WAKEUP = 8;
/** xdp_umem_reg.flags */
const XDP_UMEM_UNALIGNED_CHUNK_FLAG = 1;
/** Bit of a ring's flags word: the kernel sleeps, wake it with sendto. */
export const XDP_RING_NEED_WAKEUP = 1;
const XDP_OPTIONS_ZEROCOPY = 1;

// mmap offsets of the rings.
const XDP_PGOFF_TX_RING = 0x8000_0000;
const XDP_UMEM_PGOFF_COMPLETION_RING = 0x1_8000_0000;

/** struct xdp_mmap_offsets: four struct xdp_ring_offset (producer, consumer, desc, flags; u64 each). */
const MMAP_OFFSETS = { TX: 32, COMPLETION: 96, BYTES: 128 } as const;
const RING_OFFSET = { PRODUCER: 0, CONSUMER: 8, DESC: 16, FLAGS: 24 } as const;
/** struct xdp_statistics. */
const STATISTICS = { TX_INVALID_DESCS: 16, BYTES: 48 } as const;
/** struct xdp_desc: u64 addr, u32 len, u32 options. */
export const XDP_DESC = { ADDR_LOW: 0, ADDR_HIGH: 1, LEN: 2, OPTIONS: 3, WORDS: 4, BYTES: 16 } as const;
const COMPLETION_BYTES = 8;

/** `auto`: zero-copy where the driver can, else copy. */
export type XdpMode = 'auto' | 'copy' | 'zerocopy';

export interface XdpSocketOptions {
  readonly ifindex: number;
  readonly queue: number;
  readonly mode: XdpMode;
  /** Entries of the transmit and of the completion ring; a power of two. */
  readonly ringFrames: number;
  /** The memory frames are sent from; page-aligned address. */
  readonly umem: Region;
  /** Bytes of it from its start; a multiple of chunkBytes where frames lie within chunks. */
  readonly umemBytes: number;
  /** 2048 or 4096. */
  readonly chunkBytes: number;
  /** Frames may start anywhere in the UMEM (XDP_UMEM_UNALIGNED_CHUNK_FLAG); else they lie within one chunk. */
  readonly unaligned: boolean;
}

/** Which step of opening the kernel refused. */
export class XdpRefusal extends Error {
  override readonly name = 'XdpRefusal';
  readonly step: 'socket' | 'umem' | 'rings' | 'bind';
  readonly errno: number;

  constructor(step: XdpRefusal['step'], errno: number) {
    super(`AF_XDP ${step}: errno ${errno}`);
    this.step = step;
    this.errno = errno;
  }
}

/** A ring shared with the kernel. Indices are free-running 32-bit counters: entry = index & mask. */
export interface XdpRing {
  readonly producer: Int32Array;
  readonly consumer: Int32Array;
  readonly flags: Int32Array;
  /** Transmit: XDP_DESC.WORDS words an entry; completion: two words (an u64 address) an entry. */
  readonly entries: Uint32Array;
}

export class XdpTransmitSocket {
  readonly fd: number;
  readonly transmit: XdpRing;
  readonly completion: XdpRing;
  /** The driver sends from the UMEM itself; else the kernel copies each frame once more. */
  readonly isZeroCopy: boolean;
  /** Frames one wake-up sends at most in copy mode. */
  readonly budgetFrames: number;
  readonly #maps: Region[];

  constructor(fd: number, rings: readonly [XdpRing, XdpRing], maps: Region[], isZeroCopy: boolean, budget: number) {
    this.fd = fd;
    [this.transmit, this.completion] = rings;
    this.#maps = maps;
    this.isZeroCopy = isZeroCopy;
    this.budgetFrames = budget;
  }

  /** One sendto without data. Returns 0 or the errno. */
  wake(): number {
    return send(this.fd, NO_BYTES, MSG_DONTWAIT) < 0 ? lastErrno() : 0;
  }

  /** Descriptors that the kernel refused; they never complete. */
  invalidDescriptors(): number {
    const statistics = socketOption(this.fd, SOL_XDP, XDP_STATISTICS, STATISTICS.BYTES);
    if (statistics === null || statistics.byteLength < STATISTICS.TX_INVALID_DESCS + 8) return 0;
    return new DataView(statistics.buffer).getUint32(STATISTICS.TX_INVALID_DESCS, LITTLE_ENDIAN);
  }

  /** Frees rings and socket; the UMEM is the caller's. No view of the rings may be read afterwards. */
  close(): void {
    for (const map of this.#maps.splice(0)) map.release();
    closeSocket(this.fd);
  }
}

const NO_BYTES = new Uint8Array(0);

/** Makes, maps and binds a transmit socket. Throws XdpRefusal. */
export function openXdpTransmitSocket(options: XdpSocketOptions): XdpTransmitSocket {
  const fd = socketCall(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);
  if (fd < 0) throw new XdpRefusal('socket', lastErrno());
  const maps: Region[] = [];
  try {
    registerUmem(fd, options);
    const rings = mapRings(fd, options.ringFrames, maps);
    bindQueue(fd, options);
    const isZeroCopy = (socketOptionInt(fd, SOL_XDP, XDP_OPTIONS) & XDP_OPTIONS_ZEROCOPY) !== 0;
    const raised = setSocketOptionInt(fd, SOL_XDP, XDP_MAX_TX_SKB_BUDGET, options.ringFrames) === 0;
    return new XdpTransmitSocket(fd, rings, maps, isZeroCopy, raised ? options.ringFrames : 32);
  } catch (error) {
    for (const map of maps) map.release();
    closeSocket(fd);
    throw error;
  }
}

/** struct xdp_umem_reg: u64 addr, u64 len, u32 chunk_size, u32 headroom, u32 flags, u32 tx_metadata_len. */
function registerUmem(fd: number, options: XdpSocketOptions): void {
  const bytes = new Uint8Array(32);
  const reg = new DataView(bytes.buffer);
  reg.setBigUint64(0, BigInt(options.umem.address), LITTLE_ENDIAN);
  reg.setBigUint64(8, BigInt(options.umemBytes), LITTLE_ENDIAN);
  reg.setUint32(16, options.chunkBytes, LITTLE_ENDIAN);
  reg.setUint32(24, options.unaligned ? XDP_UMEM_UNALIGNED_CHUNK_FLAG : 0, LITTLE_ENDIAN);
  const errno = setSocketOption(fd, SOL_XDP, XDP_UMEM_REG, bytes);
  if (errno !== 0) throw new XdpRefusal('umem', errno);
}

function mapRings(fd: number, ringFrames: number, maps: Region[]): readonly [XdpRing, XdpRing] {
  // The kernel wants a fill ring of every UMEM, also where nothing is ever received.
  for (const [option, entries] of [
    [XDP_UMEM_FILL_RING, 1],
    [XDP_UMEM_COMPLETION_RING, ringFrames],
    [XDP_TX_RING, ringFrames],
  ] as const) {
    const errno = setSocketOptionInt(fd, SOL_XDP, option, entries);
    if (errno !== 0) throw new XdpRefusal('rings', errno);
  }
  const bytes = socketOption(fd, SOL_XDP, XDP_MMAP_OFFSETS, MMAP_OFFSETS.BYTES);
  // Kernels before 5.4 answer with a shorter struct that lacks the flags word: too old for need-wakeup.
  if (bytes === null || bytes.byteLength < MMAP_OFFSETS.BYTES) throw new XdpRefusal('rings', Errno.EOPNOTSUPP);
  const offsets = new DataView(bytes.buffer);
  const map = (at: number, pageOffset: number, entryBytes: number): XdpRing => {
    const field = (offset: number): number => Number(offsets.getBigUint64(at + offset, LITTLE_ENDIAN));
    const region = sharedRegion(fd, pageOffset, field(RING_OFFSET.DESC) + ringFrames * entryBytes);
    maps.push(region);
    const buffer = region.bytes.buffer;
    return {
      producer: new Int32Array(buffer, field(RING_OFFSET.PRODUCER), 1),
      consumer: new Int32Array(buffer, field(RING_OFFSET.CONSUMER), 1),
      flags: new Int32Array(buffer, field(RING_OFFSET.FLAGS), 1),
      entries: new Uint32Array(buffer, field(RING_OFFSET.DESC), (ringFrames * entryBytes) / 4),
    };
  };
  return [
    map(MMAP_OFFSETS.TX, XDP_PGOFF_TX_RING, XDP_DESC.BYTES),
    map(MMAP_OFFSETS.COMPLETION, XDP_UMEM_PGOFF_COMPLETION_RING, COMPLETION_BYTES),
  ];
}

/** A closed socket gives its queue back from a work queue of the kernel, some milliseconds later. */
const BIND_ATTEMPTS_MAX = 100;
const BIND_PAUSE_US = 5_000;

/** struct sockaddr_xdp: u16 family, u16 flags, u32 ifindex, u32 queue_id, u32 shared_umem_fd. */
function bindQueue(fd: number, options: XdpSocketOptions): void {
  const mode = options.mode === 'copy' ? XDP_COPY : options.mode === 'zerocopy' ? XDP_ZEROCOPY : 0;
  const bytes = new Uint8Array(16);
  const address = new DataView(bytes.buffer);
  address.setUint16(0, AF_XDP, LITTLE_ENDIAN);
  address.setUint16(2, mode | XDP_USE_NEED_WAKEUP, LITTLE_ENDIAN);
  address.setUint32(4, options.ifindex, LITTLE_ENDIAN);
  address.setUint32(8, options.queue, LITTLE_ENDIAN);
  let errno = bindSocket(fd, bytes);
  for (let attempt = 0; errno === Errno.EBUSY && attempt < BIND_ATTEMPTS_MAX; attempt++) {
    pauseMicroseconds(BIND_PAUSE_US);
    errno = bindSocket(fd, bytes);
  }
  if (errno !== 0) throw new XdpRefusal('bind', errno);
}

/** struct ethtool_channels and its command, include/uapi/linux/ethtool.h. */
const ETHTOOL_GCHANNELS = 0x3c;
const EthtoolChannels = { CMD: 0, TX_COUNT: 24, COMBINED_COUNT: 32, SIZE: 36 } as const;

/** Transmit queues that the interface uses now; 1 where its driver does not say. */
export function transmitQueueCount(interfaceName: string): number {
  const channels = new Uint8Array(EthtoolChannels.SIZE);
  const channelsView = new DataView(channels.buffer);
  channelsView.setUint32(EthtoolChannels.CMD, ETHTOOL_GCHANNELS, LITTLE_ENDIAN);
  const request = interfaceRequest(interfaceName);
  const address = dataAddress(channels);
  const view = new DataView(request.buffer);
  view.setUint32(Ifreq.VALUE, address >>> 0, LITTLE_ENDIAN);
  view.setUint32(Ifreq.VALUE + 4, Math.floor(address / 0x1_0000_0000), LITTLE_ENDIAN);
  const fd = openSocket(AF_INET, SOCK_DGRAM, 0, 'a control socket');
  try {
    if (ioctl(fd, SIOCETHTOOL, request) < 0) return 1;
  } finally {
    closeSocket(fd);
  }
  const count = (offset: number): number => channelsView.getUint32(offset, LITTLE_ENDIAN);
  return Math.max(1, count(EthtoolChannels.TX_COUNT) + count(EthtoolChannels.COMBINED_COUNT));
}
