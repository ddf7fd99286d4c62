/** Frames as they arrive on an interface, through an AF_PACKET socket of our own bindings. */
import { interfaceFacts } from '../../src/sys/interface.ts';
import {
  AF_PACKET,
  ETH_P_ALL,
  LITTLE_ENDIAN,
  MSG_DONTWAIT,
  PACKET_IGNORE_OUTGOING,
  POLLIN,
  SOCK_RAW,
  SOL_PACKET,
  SockaddrLl,
} from '../../src/sys/layout.ts';
import {
  bindSocket,
  closeSocket,
  openSocket,
  pollDescriptor,
  receive,
  setReceiveBuffer,
  setSocketOptionInt,
} from '../../src/sys/socket.ts';

export class Receiver {
  #fd: number;
  #buffer: Uint8Array = new Uint8Array(70_000);

  /** `outgoing`: also what leaves. Preconditions: this thread is in the namespace of the interface. */
  constructor(name: string, outgoing = false) {
    this.#fd = openSocket(AF_PACKET, SOCK_RAW, 0, 'a receiver');
    setReceiveBuffer(this.#fd, 64 * 1024 * 1024);
    setSocketOptionInt(this.#fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, outgoing ? 0 : 1);
    const address = new Uint8Array(SockaddrLl.SIZE);
    const view = new DataView(address.buffer);
    view.setUint16(SockaddrLl.FAMILY, AF_PACKET, LITTLE_ENDIAN);
    view.setUint16(SockaddrLl.PROTOCOL, ETH_P_ALL);
    view.setInt32(SockaddrLl.IFINDEX, interfaceFacts(name)!.ifindex, LITTLE_ENDIAN);
    const errno = bindSocket(this.#fd, address);
    if (errno !== 0) throw new Error(`cannot bind to ${name}: errno ${errno}`);
  }

  /** Waits for `count` frames that `wanted` accepts, at most `timeoutMs`; returns those that came. */
  take(count: number, wanted: (frame: Uint8Array) => boolean = () => true, timeoutMs = 3000): Uint8Array[] {
    const frames: Uint8Array[] = [];
    const end = Date.now() + timeoutMs;
    while (frames.length < count && Date.now() < end) {
      const bytes = receive(this.#fd, this.#buffer, MSG_DONTWAIT);
      if (bytes < 0) {
        pollDescriptor(this.#fd, POLLIN, 50);
        continue;
      }
      const frame = this.#buffer.slice(0, bytes);
      if (wanted(frame)) frames.push(frame);
    }
    return frames;
  }

  close(): void {
    closeSocket(this.#fd);
  }
}
