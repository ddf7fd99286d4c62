/**
 * HOT: frames on their way into `sendmmsg`, by reference.
 *
 * One anonymous mapping holds, allocated once: the mmsghdr array, the iovec array, and a destination address per
 * message. `push` writes some 32-bit words per frame (address and length of its one piece), `append` adds a piece to
 * the frame pushed last; `flush` makes one system call per batch and goes on behind a frame that the kernel refuses.
 * The kernel copies the frame during the call, so nothing is kept after `flush`.
 *
 * Frames in plain memory (region.address 0) have no address to hand over: they are copied into a staging region first.
 */
import type { Region } from '../base/region.ts';
import { Errno, errnoName } from '../sys/errno.ts';
import { Iovec, Mmsghdr, MSG_DONTWAIT, Msghdr, POLLOUT } from '../sys/layout.ts';
import { lastErrno } from '../sys/libc.ts';
import { anonymousRegion } from '../sys/memory.ts';
import { pauseMicroseconds, pollDescriptor, sendmmsg } from '../sys/socket.ts';
import type { SinkCounters } from './sink.ts';
import { Staging } from './staging.ts';

/** Bytes kept per message for its destination: the longest is sockaddr_in6, 28. */
export const NAME_BYTES = 32;

/** In the place of a socket: every frame counts as taken; the kernel is asked as ever, and has nothing to send on. */
export const NO_DESCRIPTOR = -1;
/** Retries of one frame while the kernel's queues are full; the pauses between them add up to about half a second. */
const ATTEMPTS_MAX = 4_000;
/** After a frame that ran out of attempts: retries of the next ones, until one is taken again. */
const ATTEMPTS_IMPATIENT = 20;
/** The first retries follow at once: a queue drains in microseconds. */
const ATTEMPTS_EAGER = 8;
const PAUSE_US = 50;
/** One wait for a writable socket, and what it costs of the attempts when it times out. */
const POLL_MS = 20;
const POLL_COST = 200;

const MESSAGE_WORDS = Mmsghdr.SIZE / 4;
const IOVEC_WORDS = Iovec.SIZE / 4;

export class MessageQueue {
  readonly capacity: number;
  count = 0;
  /** errno that broke the device, 0 = none. */
  faultErrno = 0;
  /** Where message i's destination lies: `names.view`, offset `nameAt + i * NAME_BYTES`. */
  readonly memory: Region;
  readonly nameAt: number;
  #fd: number;
  #words: Uint32Array;
  #iovecWord: number;
  /** Pieces of all queued frames, and how many fit. */
  #pieces = 0;
  readonly #piecesMax: number;
  #staging: Staging;
  #attemptsMax = ATTEMPTS_MAX;
  #region: Region | null = null;
  #baseLow = 0;
  #baseHigh = 0;

  /**
   * `nameLength`: bytes of each message's destination address, 0 = the socket's own. `morePieces`: how many `append`
   * may add to a batch.
   */
  constructor(fd: number, capacity: number, nameLength: number, morePieces = 0) {
    this.capacity = capacity;
    this.#piecesMax = capacity + morePieces;
    this.#fd = fd;
    const iovecAt = capacity * Mmsghdr.SIZE;
    this.nameAt = iovecAt + this.#piecesMax * Iovec.SIZE;
    this.memory = anonymousRegion(this.nameAt + capacity * NAME_BYTES);
    this.#words = new Uint32Array(this.memory.bytes.buffer, 0, this.memory.byteLength / 4);
    this.#iovecWord = iovecAt / 4;
    this.#staging = new Staging();
    for (let i = 0; i < capacity; i++) {
      const message = i * MESSAGE_WORDS;
      this.#setPointer(message + Msghdr.IOV / 4, this.memory.address + iovecAt + i * Iovec.SIZE);
      if (nameLength > 0) {
        this.#setPointer(message + Msghdr.NAME / 4, this.memory.address + this.nameAt + i * NAME_BYTES);
        this.#words[message + Msghdr.NAMELEN / 4] = nameLength;
      }
    }
  }

  #setPointer(word: number, address: number): void {
    this.#words[word] = address >>> 0;
    this.#words[word + 1] = Math.floor(address / 0x1_0000_0000);
  }

  /** Queues one frame; false: full, flush first. */
  push(region: Region, at: number, length: number): boolean {
    // Every queued frame has a piece at least: where a message fits, a piece does unless more were appended.
    if (this.count === this.capacity || this.#pieces === this.#piecesMax) return false;
    if (!this.#addPiece(region, at, length)) return false;
    const message = this.count * MESSAGE_WORDS;
    if (this.#piecesMax > this.capacity) {
      const iovecAt = (this.#iovecWord + (this.#pieces - 1) * IOVEC_WORDS) * 4;
      this.#setPointer(message + Msghdr.IOV / 4, this.memory.address + iovecAt);
    }
    this.#words[message + Msghdr.IOVLEN / 4] = 1;
    this.count++;
    return true;
  }

  /** Adds bytes to the frame queued last; false: it has all the pieces that it may have. Precondition: count > 0. */
  append(region: Region, at: number, length: number): boolean {
    const word = (this.count - 1) * MESSAGE_WORDS + Msghdr.IOVLEN / 4;
    if (this.#pieces === this.#piecesMax || !this.#addPiece(region, at, length)) return false;
    this.#words[word] = this.#words[word]! + 1;
    return true;
  }

  #addPiece(region: Region, at: number, length: number): boolean {
    if (region !== this.#region) this.#enter(region);
    const word = this.#iovecWord + this.#pieces * IOVEC_WORDS;
    if (region.address === 0) {
      const copy = this.#staging.copy(region, at, length);
      if (copy < 0) return false;
      this.#setPointer(word, copy);
    } else {
      const low = this.#baseLow + at;
      this.#words[word] = low;
      this.#words[word + 1] = low < 0x1_0000_0000 ? this.#baseHigh : this.#baseHigh + 1;
    }
    this.#words[word + Iovec.LEN / 4] = length;
    this.#pieces++;
    return true;
  }

  #enter(region: Region): void {
    this.#region = region;
    this.#baseLow = region.address >>> 0;
    this.#baseHigh = Math.floor(region.address / 0x1_0000_0000);
  }

  /** Hands every queued frame to the kernel; returns how many it took. Afterwards the queue is empty. */
  flush(counters: SinkCounters): number {
    const before = counters.sent;
    let first = 0;
    let attempts = 0;
    let piece = 0;
    while (first < this.count && this.faultErrno === 0) {
      const address = this.memory.address + first * Mmsghdr.SIZE;
      const answer = sendmmsg(this.#fd, address, this.count - first, MSG_DONTWAIT);
      const taken = this.#fd === NO_DESCRIPTOR ? this.count - first : answer;
      if (taken > 0) {
        piece = this.#countSent(counters, first, taken, piece);
        first += taken;
        attempts = 0;
        this.#attemptsMax = ATTEMPTS_MAX;
        continue;
      }
      const errno = taken === 0 ? Errno.EAGAIN : lastErrno();
      if (errno === Errno.EINTR) continue;
      if (errno === Errno.ENETDOWN || errno === Errno.ENXIO || errno === Errno.ENODEV) {
        this.faultErrno = errno;
        break;
      }
      const cost = this.#backOff(errno, attempts, counters);
      attempts += cost;
      if (cost > 0 && attempts <= this.#attemptsMax) continue;
      // The frame at `first` is lost: refused for what it is, or out of attempts. The ones behind it still go.
      if (cost > 0) this.#attemptsMax = ATTEMPTS_IMPATIENT;
      counters.fail(errnoName(errno));
      piece += this.#words[first * MESSAGE_WORDS + Msghdr.IOVLEN / 4]!;
      first++;
      attempts = 0;
    }
    if (first < this.count) counters.fail(errnoName(this.faultErrno), this.count - first);
    this.count = 0;
    this.#pieces = 0;
    this.#staging.reset();
    return counters.sent - before;
  }

  /** `piece`: the first one of message `first`. Returns the first one of the message behind those taken. */
  #countSent(counters: SinkCounters, first: number, taken: number, piece: number): number {
    const words = this.#words;
    let next = piece;
    for (let i = first; i < first + taken; i++) next += words[i * MESSAGE_WORDS + Msghdr.IOVLEN / 4]!;
    let bytes = 0;
    for (let i = piece; i < next; i++) bytes += words[this.#iovecWord + i * IOVEC_WORDS + Iovec.LEN / 4]!;
    counters.sent += taken;
    counters.sentBytes += bytes;
    return next;
  }

  /** Waits where the kernel's queue is full; returns the cost in attempts, 0 = this errno is no such thing. */
  #backOff(errno: number, attempts: number, counters: SinkCounters): number {
    if (errno === Errno.ENOBUFS || errno === Errno.ENOMEM) {
      counters.retriedNoBufs++;
      if (attempts >= ATTEMPTS_EAGER) pauseMicroseconds(PAUSE_US);
      return 1;
    }
    if (errno === Errno.EAGAIN) {
      counters.retriedAgain++;
      return pollDescriptor(this.#fd, POLLOUT, POLL_MS) === 0 ? POLL_COST : 1;
    }
    return 0;
  }

  /** Frees the memory. Preconditions: nothing queued any more. */
  release(): void {
    this.memory.release();
    this.#staging.release();
  }
}
