/**
 * HOT: IP packets through raw IP sockets, one per family, `IP_HDRINCL` and `IPV6_HDRINCL` (raw(7)). The kernel routes
 * them, so netfilter, routing rules and conntrack of this host see each one; it adds the link-layer header itself.
 *
 * Each packet's destination is read from its own header. The kernel writes an IPv4 header's total length and checksum,
 * and its id where that is 0. A batch is handed over where the IP version changes, so order is kept.
 */
import { BATCH_FRAMES } from '../base/batch.ts';
import { OperatorError } from '../base/errors.ts';
import type { Region } from '../base/region.ts';
import { describeErrno } from '../sys/errno.ts';
import {
  AF_INET,
  AF_INET6,
  IP_HDRINCL,
  IPPROTO_IP,
  IPPROTO_IPV6,
  IPPROTO_RAW,
  IPV6_HDRINCL,
  LITTLE_ENDIAN,
  SO_BINDTODEVICE,
  SO_BROADCAST,
  SOCK_RAW,
  SOL_SOCKET,
  SockaddrIn,
  SockaddrIn6,
} from '../sys/layout.ts';
import { closeSocket, openSocket, setSendBuffer, setSocketOption, setSocketOptionInt } from '../sys/socket.ts';
import { deviceFault } from './fault_error.ts';
import { LINKTYPE_RAW, type LinkFacts, linkFacts } from './link.ts';
import { MessageQueue, NAME_BYTES } from './message_queue.ts';
import { type Sink, SinkCounters, type SinkLimits } from './sink.ts';

const SEND_BUFFER_BYTES = 16 * 1024 * 1024;
/** Largest IP packet, where no interface narrows it. */
const PACKET_BYTES_MAX = 65_535;

/** RFC 791 section 3.1, RFC 8200 section 3: where the destination lies, and the shortest header. */
const IPV4_DESTINATION = 16;
const IPV4_HEADER_BYTES = 20;
const IPV6_DESTINATION = 24;
const IPV6_HEADER_BYTES = 40;

export interface RawIpOptions {
  /** Interface that packets must leave by (SO_BINDTODEVICE); '' = whatever the routing table says. */
  readonly name: string;
  readonly batchFrames?: number;
}

class RawIpSink implements Sink {
  readonly name: string;
  readonly limits: SinkLimits;
  readonly counters: SinkCounters = new SinkCounters();
  fault: Error | null = null;
  #fd4: number;
  #fd6: number;
  #queue4: MessageQueue;
  #queue6: MessageQueue;
  #sentEarly = 0;
  #ifindex: number;

  constructor(link: LinkFacts | null, fd4: number, fd6: number, batchFrames: number) {
    this.name = link === null ? 'raw_ip' : link.name;
    this.limits = {
      linktype: LINKTYPE_RAW,
      frameBytesMax: link === null ? PACKET_BYTES_MAX : link.mtu,
      batchFramesMax: batchFrames,
      retainsFrames: false,
    };
    this.#ifindex = link?.ifindex ?? 0;
    this.#fd4 = fd4;
    this.#fd6 = fd6;
    this.#queue4 = new MessageQueue(fd4, batchFrames, SockaddrIn.SIZE);
    this.#queue6 = new MessageQueue(fd6, batchFrames, SockaddrIn6.SIZE);
    for (let i = 0; i < batchFrames; i++) {
      const at = this.#queue4.nameAt + i * NAME_BYTES;
      this.#queue4.memory.view.setUint16(at + SockaddrIn.FAMILY, AF_INET, LITTLE_ENDIAN);
      this.#queue6.memory.view.setUint16(at + SockaddrIn6.FAMILY, AF_INET6, LITTLE_ENDIAN);
    }
  }

  push(region: Region, at: number, length: number): boolean {
    if (this.fault !== null) return false;
    const version = length > 0 ? region.view.getUint8(at) >> 4 : 0;
    if (version === 4 && length >= IPV4_HEADER_BYTES) return this.#push4(region, at, length);
    const ipv6 = version === 6 && length >= IPV6_HEADER_BYTES;
    if (ipv6 && this.#fd6 >= 0) return this.#push6(region, at, length);
    this.counters.fail(ipv6 ? 'no IPv6 in this kernel' : 'not an IP packet');
    return true;
  }

  #push4(region: Region, at: number, length: number): boolean {
    if (this.#queue6.count > 0) this.#sentEarly += this.#flushQueue(this.#queue6);
    const queue = this.#queue4;
    const name = queue.nameAt + queue.count * NAME_BYTES;
    if (!queue.push(region, at, length)) return false;
    queue.memory.view.setUint32(name + SockaddrIn.ADDR, region.view.getUint32(at + IPV4_DESTINATION));
    return true;
  }

  #push6(region: Region, at: number, length: number): boolean {
    if (this.#queue4.count > 0) this.#sentEarly += this.#flushQueue(this.#queue4);
    const queue = this.#queue6;
    const name = queue.nameAt + queue.count * NAME_BYTES;
    if (!queue.push(region, at, length)) return false;
    const from = region.view;
    const to = queue.memory.view;
    for (let word = 0; word < 16; word += 4) {
      to.setUint32(name + SockaddrIn6.ADDR + word, from.getUint32(at + IPV6_DESTINATION + word));
    }
    // Link-local unicast and every multicast address mean an interface (RFC 4007 section 6).
    const head = from.getUint16(at + IPV6_DESTINATION);
    const scoped = (head & 0xffc0) === 0xfe80 || head >>> 8 === 0xff;
    to.setUint32(name + SockaddrIn6.SCOPE_ID, scoped ? this.#ifindex : 0, LITTLE_ENDIAN);
    return true;
  }

  #flushQueue(queue: MessageQueue): number {
    const sent = queue.flush(this.counters);
    if (queue.faultErrno !== 0) this.fault ??= deviceFault(this.name, queue.faultErrno);
    return sent;
  }

  flush(): number {
    let sent = this.#sentEarly;
    this.#sentEarly = 0;
    if (this.#queue4.count > 0) sent += this.#flushQueue(this.#queue4);
    if (this.#queue6.count > 0) sent += this.#flushQueue(this.#queue6);
    return sent;
  }

  drain(): void {
    this.flush();
  }

  close(): void {
    if (this.#fd4 < 0) return;
    this.drain();
    closeSocket(this.#fd4);
    if (this.#fd6 >= 0) closeSocket(this.#fd6);
    this.#fd4 = -1;
    this.#fd6 = -1;
    this.#queue4.release();
    this.#queue6.release();
  }
}

/** Opens the sink. Throws INTERFACE or PERMISSION with the line to type. */
export function openRawIpSink(options: RawIpOptions): Sink {
  const link = options.name === '' ? null : linkFacts(options.name);
  if (link !== null && !link.up) {
    throw new OperatorError('INTERFACE', `${link.name} is down: ip link set ${link.name} up`);
  }
  const fd4 = openSocket(AF_INET, SOCK_RAW, IPPROTO_RAW, 'a raw IPv4 socket');
  let fd6 = -1;
  try {
    require0(setSocketOptionInt(fd4, IPPROTO_IP, IP_HDRINCL, 1), 'IP_HDRINCL');
    require0(setSocketOptionInt(fd4, SOL_SOCKET, SO_BROADCAST, 1), 'SO_BROADCAST');
    setSendBuffer(fd4, SEND_BUFFER_BYTES);
    fd6 = openIpv6();
    if (link !== null) {
      const name = new TextEncoder().encode(`${link.name}\0`);
      require0(setSocketOption(fd4, SOL_SOCKET, SO_BINDTODEVICE, name), 'SO_BINDTODEVICE');
      if (fd6 >= 0) require0(setSocketOption(fd6, SOL_SOCKET, SO_BINDTODEVICE, name), 'SO_BINDTODEVICE');
    }
    return new RawIpSink(link, fd4, fd6, options.batchFrames ?? BATCH_FRAMES);
  } catch (error) {
    closeSocket(fd4);
    if (fd6 >= 0) closeSocket(fd6);
    throw error;
  }
}

/** -1 where the kernel has no IPv6: its packets then fail, counted, and IPv4 goes on. */
function openIpv6(): number {
  let fd: number;
  try {
    fd = openSocket(AF_INET6, SOCK_RAW, IPPROTO_RAW, 'a raw IPv6 socket');
  } catch (error) {
    if (error instanceof OperatorError && error.code === 'UNSUPPORTED') return -1;
    throw error;
  }
  require0(setSocketOptionInt(fd, IPPROTO_IPV6, IPV6_HDRINCL, 1), 'IPV6_HDRINCL');
  setSendBuffer(fd, SEND_BUFFER_BYTES);
  return fd;
}

function require0(errno: number, option: string): void {
  if (errno !== 0) throw new OperatorError('SYSTEM', `cannot set ${option}: ${describeErrno(errno)}`);
}
