/** PACKET_TX_RING of an AF_PACKET socket, TPACKET_V2. Layouts are those of include/uapi/linux/if_packet.h. */
import type { Region } from '../base/region.ts';
import {
  AF_PACKET,
  LITTLE_ENDIAN,
  MSG_DONTWAIT,
  PACKET_QDISC_BYPASS,
  PACKET_TX_RING,
  PACKET_VERSION,
  SOCK_RAW,
  SOL_PACKET,
  SockaddrLl,
  TPACKET_V2,
} from './layout.ts';
import { lastErrno } from './libc.ts';
import { sharedRegion } from './memory.ts';
import {
  bindSocket,
  closeSocket,
  openSocket,
  send,
  setSendBuffer,
  setSocketOption,
  setSocketOptionInt,
} from './socket.ts';

const PACKET_VNET_HDR = 15;
/** struct tpacket2_hdr; DATA: where the kernel reads a frame to be sent (TPACKET2_HDRLEN - sizeof(sockaddr_ll)). */
export const Tpacket2Hdr = { STATUS: 0, LEN: 4, DATA: 32 } as const;
/** struct virtio_net_hdr, include/uapi/linux/virtio_net.h. */
export const VirtioNetHdr = { FLAGS: 0, GSO_TYPE: 1, HDR_LEN: 2, SIZE: 10 } as const;
/** tp_status of a frame in the ring; any other value: the kernel refused it. */
export const TxStatus = { AVAILABLE: 0, SEND_REQUEST: 1, SENDING: 2 } as const;

const BLOCK_BYTES_MIN = 65_536;
const SEND_BUFFER_BYTES = 16 * 1024 * 1024;
const NO_BYTES = new Uint8Array(0);

export interface TransmitRingOptions {
  readonly name: string;
  readonly ifindex: number;
  readonly qdiscBypass: boolean;
  /** Bytes of a slot, header included; a power of two. */
  readonly slotBytes: number;
  readonly slots: number;
}

export class TransmitRing {
  readonly region: Region;
  readonly #fd: number;

  constructor(fd: number, region: Region) {
    this.#fd = fd;
    this.region = region;
  }

  /** Makes the kernel send every slot marked SEND_REQUEST. Returns 0 or the errno. */
  kick(): number {
    return send(this.#fd, NO_BYTES, MSG_DONTWAIT) < 0 ? lastErrno() : 0;
  }

  close(): void {
    this.region.release();
    closeSocket(this.#fd);
  }
}

/** Which step of opening the kernel refused. */
export class TransmitRingRefusal extends Error {
  override readonly name = 'TransmitRingRefusal';
  readonly errno: number;

  constructor(step: string, errno: number) {
    super(`${step}: errno ${errno}`);
    this.errno = errno;
  }
}

/** Throws an OperatorError where a capability is missing, else TransmitRingRefusal. */
export function openTransmitRing(options: TransmitRingOptions): TransmitRing {
  // Protocol 0: the socket receives nothing.
  const fd = openSocket(AF_PACKET, SOCK_RAW, 0, `a packet socket on ${options.name}`);
  const must = (step: string, errno: number): void => {
    if (errno !== 0) throw new TransmitRingRefusal(step, errno);
  };
  try {
    must('version', setSocketOptionInt(fd, SOL_PACKET, PACKET_VERSION, TPACKET_V2));
    must('vnet_hdr', setSocketOptionInt(fd, SOL_PACKET, PACKET_VNET_HDR, 1));
    if (options.qdiscBypass) must('qdisc_bypass', setSocketOptionInt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, 1));
    setSendBuffer(fd, SEND_BUFFER_BYTES);
    // struct tpacket_req: block size, blocks, slot size, slots.
    const bytes = options.slotBytes * options.slots;
    const blockBytes = Math.max(BLOCK_BYTES_MIN, options.slotBytes);
    const request = new Uint32Array([blockBytes, bytes / blockBytes, options.slotBytes, options.slots]);
    must('ring', setSocketOption(fd, SOL_PACKET, PACKET_TX_RING, new Uint8Array(request.buffer)));
    const address = new Uint8Array(SockaddrLl.SIZE);
    const view = new DataView(address.buffer);
    view.setUint16(SockaddrLl.FAMILY, AF_PACKET, LITTLE_ENDIAN);
    view.setInt32(SockaddrLl.IFINDEX, options.ifindex, LITTLE_ENDIAN);
    must('bind', bindSocket(fd, address));
    return new TransmitRing(fd, sharedRegion(fd, 0, bytes));
  } catch (error) {
    closeSocket(fd);
    throw error;
  }
}
