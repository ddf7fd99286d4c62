/**
 * IP packets through the npm package `raw-socket` (optional dependency): the portable raw socket, with headers
 * included.
 *
 * The package queues without bound and sends from the event loop. This sink calls the package's own synchronous
 * `SocketWrap.send` instead, from a queue of ours with a bound, so that an engine's loop stays one loop. Its binding
 * runs on the main thread only (it registers itself once per process and polls the main thread's event loop).
 */
import { createRequire } from 'node:module';
import { isMainThread } from 'node:worker_threads';
import { BATCH_FRAMES } from '../base/batch.ts';
import { OperatorError } from '../base/errors.ts';
import type { Region } from '../base/region.ts';
import { describeErrno, Errno, errnoOfMessage } from '../sys/errno.ts';
import { IP_HDRINCL, IPPROTO_IP, IPPROTO_IPV6, IPPROTO_RAW, IPV6_HDRINCL } from '../sys/layout.ts';
import { permissionRemedy } from '../sys/permission.ts';
import { pauseMicroseconds } from '../sys/socket.ts';
import { openRemoteRawSocketSink, RAW_SOCKET_LIMITS } from './raw_socket_remote.ts';
import { type Sink, SinkCounters, type SinkLimits } from './sink.ts';

/** What this file uses of raw-socket 1.8.1. */
interface RawSocketModule {
  createSocket(options: { protocol: number; addressFamily: number; bufferSize?: number }): RawSocket;
}
interface RawSocket {
  readonly wrap: {
    send(bytes: Uint8Array, offset: number, length: number, address: string, sent: (bytes: number) => void): void;
  };
  setOption(level: number, option: number, value: number): void;
  on(event: string, listener: (error: Error) => void): void;
  close(): void;
}

/** raw-socket's AddressFamily. */
const FAMILY_IPV4 = 1;
const FAMILY_IPV6 = 2;

const IPV4_DESTINATION = 16;
const IPV4_HEADER_BYTES = 20;
const IPV6_DESTINATION = 24;
const IPV6_HEADER_BYTES = 40;
const ATTEMPTS_MAX = 1_000;
const PAUSE_US = 50;

function load(): RawSocketModule {
  if (!isMainThread) {
    throw new OperatorError('UNSUPPORTED', 'the package raw-socket runs on the main thread only: use --backend raw_ip');
  }
  try {
    return createRequire(import.meta.url)('raw-socket') as RawSocketModule;
  } catch (cause) {
    throw new OperatorError(
      'UNSUPPORTED',
      'the package raw-socket is not built: ' +
        'apt-get install g++ make && npm rebuild raw-socket, or use --backend raw_ip',
      { cause },
    );
  }
}

/** Whether the package is built for this Node and may be used on this thread. */
export function hasRawSocket(): boolean {
  try {
    load();
    return true;
  } catch {
    return false;
  }
}

class RawSocketSink implements Sink {
  readonly name = 'raw_socket';
  readonly limits: SinkLimits = RAW_SOCKET_LIMITS;
  readonly counters: SinkCounters = new SinkCounters();
  fault: Error | null = null;
  #ipv4: RawSocket;
  #ipv6: RawSocket | null;
  #regions: Region[] = [];
  #ats: Uint32Array = new Uint32Array(BATCH_FRAMES);
  #lengths: Uint32Array = new Uint32Array(BATCH_FRAMES);
  #open = true;

  constructor(ipv4: RawSocket, ipv6: RawSocket | null) {
    this.#ipv4 = ipv4;
    this.#ipv6 = ipv6;
    for (const socket of [ipv4, ipv6]) {
      socket?.on('error', (cause) => {
        this.fault ??= new OperatorError('SYSTEM', `raw_socket broke during the run: ${cause.message}`, { cause });
      });
    }
  }

  push(region: Region, at: number, length: number): boolean {
    if (this.fault !== null || this.#regions.length === BATCH_FRAMES) return false;
    this.#ats[this.#regions.length] = at;
    this.#lengths[this.#regions.length] = length;
    this.#regions.push(region);
    return true;
  }

  flush(): number {
    const before = this.counters.sent;
    for (let i = 0; i < this.#regions.length; i++) this.#send(this.#regions[i]!, this.#ats[i]!, this.#lengths[i]!);
    this.#regions.length = 0;
    return this.counters.sent - before;
  }

  #send(region: Region, at: number, length: number): void {
    const version = length > 0 ? region.view.getUint8(at) >> 4 : 0;
    const socket = version === 4 ? this.#ipv4 : this.#ipv6;
    if (socket === null || (version !== 4 && version !== 6)) return void this.counters.fail('not an IP packet');
    if (length < (version === 4 ? IPV4_HEADER_BYTES : IPV6_HEADER_BYTES)) {
      return void this.counters.fail('not an IP packet');
    }
    const address =
      version === 4 ? ipv4Text(region.view, at + IPV4_DESTINATION) : ipv6Text(region.view, at + IPV6_DESTINATION);
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
      try {
        socket.wrap.send(region.bytes, at, length, address, nothing);
        this.counters.sent++;
        this.counters.sentBytes += length;
        return;
      } catch (error) {
        // The package throws libc's sentence, without the number.
        const errno = errnoOfMessage((error as Error).message);
        if (errno.number === Errno.EAGAIN) this.counters.retriedAgain++;
        else if (errno.number === Errno.ENOBUFS) this.counters.retriedNoBufs++;
        else return void this.counters.fail(errno.name);
        pauseMicroseconds(PAUSE_US);
      }
    }
    this.counters.fail('EAGAIN');
  }

  drain(): void {
    this.flush();
  }

  close(): void {
    if (!this.#open) return;
    this.drain();
    this.#open = false;
    this.#ipv4.close();
    this.#ipv6?.close();
  }
}

function nothing(): void {}

function ipv4Text(view: DataView, at: number): string {
  return `${view.getUint8(at)}.${view.getUint8(at + 1)}.${view.getUint8(at + 2)}.${view.getUint8(at + 3)}`;
}

function ipv6Text(view: DataView, at: number): string {
  let text = view.getUint16(at).toString(16);
  for (let word = 2; word < 16; word += 2) text += `:${view.getUint16(at + word).toString(16)}`;
  return text;
}

/** Opens the sink. Throws UNSUPPORTED where the package cannot be used, PERMISSION without CAP_NET_RAW. */
export function openRawSocketSink(): Sink {
  if (!isMainThread) return openRemoteRawSocketSink();
  const module = load();
  const ipv4 = openOne(module, FAMILY_IPV4);
  ipv4.setOption(IPPROTO_IP, IP_HDRINCL, 1);
  let ipv6: RawSocket | null = null;
  try {
    ipv6 = openOne(module, FAMILY_IPV6);
    ipv6.setOption(IPPROTO_IPV6, IPV6_HDRINCL, 1);
  } catch (error) {
    // A kernel without IPv6: its packets are counted as failed.
    if (error instanceof OperatorError && error.code === 'PERMISSION') throw error;
  }
  return new RawSocketSink(ipv4, ipv6);
}

function openOne(module: RawSocketModule, addressFamily: number): RawSocket {
  try {
    return module.createSocket({ protocol: IPPROTO_RAW, addressFamily, bufferSize: 64 });
  } catch (cause) {
    const errno = errnoOfMessage((cause as Error).message);
    if (errno.number === Errno.EPERM || errno.number === Errno.EACCES) {
      throw new OperatorError('PERMISSION', `no permission to open a raw socket: ${permissionRemedy('CAP_NET_RAW')}`, {
        cause,
      });
    }
    const why = errno.number === 0 ? (cause as Error).message : describeErrno(errno.number);
    throw new OperatorError('SYSTEM', `raw-socket cannot open a socket: ${why}`, { cause });
  }
}
