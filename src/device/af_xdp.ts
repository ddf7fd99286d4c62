/**
 * HOT: frames leave through one AF_XDP transmit queue.
 *
 * Each pushed frame is copied once, into a chunk of the UMEM: the kernel may read it until it completes, long after
 * `flush`, while the mapped capture and the receive ring are needed again at once. Where the UMEM *is* the region that
 * frames lie in (`AfXdpParts.umemIsRegion`), descriptors point into it, nothing is copied, and `retainsFrames` is true.
 *
 * Completions are reaped when chunks or ring entries run short and after each wake-up, never waited for between
 * batches. A frame counts as sent when it completed. In copy mode the kernel sends inside the wake-up call; one that it
 * dropped there shows as EBUSY and is counted as failed. One batch costs one call from Linux 6.17 on; before that, copy
 * mode costs one per 32 frames, which is the kernel's limit.
 */
import { assert } from '../base/assert.ts';
import type { Region } from '../base/region.ts';
import { Errno, errnoName } from '../sys/errno.ts';
import { pauseMicroseconds } from '../sys/socket.ts';
import { XDP_DESC, XDP_RING_NEED_WAKEUP, type XdpTransmitSocket } from '../sys/xdp.ts';
import { copyFrame, FRAME_BYTES_MIN, isLongByTagOnly } from './frame_copy.ts';
import { type Sink, SinkCounters, type SinkLimits } from './sink.ts';

/** Everything a sink is made of; `openAfXdpSink` (af_xdp_open.ts) puts it together. */
export interface AfXdpParts {
  readonly name: string;
  readonly limits: SinkLimits;
  readonly socket: XdpTransmitSocket;
  readonly umem: Region;
  readonly umemIsRegion: boolean;
  readonly chunkBytes: number;
  readonly ringFrames: number;
  readonly queue: number;
  /** What broke the device, as an operator reads it. */
  readonly explain: (errno: number) => Error;
  readonly nowMs: () => number;
}

/** Without one completion for so long, the device is taken for stuck. */
const STALL_MS_MAX = 2_000;
const PAUSE_US = 50;
/**
 * Short frames start at one of 16 cache lines of their chunk: chunks are a power of two apart, so all their first lines
 * would fall into the same few cache sets.
 */
const CACHE_LINE_BYTES = 64;
const COLOURS_MASK = 15;
/** Wake-ups in a row without progress before the caller gets its turn again. */
const IDLE_WAKEUPS_MAX = 8;

export class AfXdpSink implements Sink {
  readonly name: string;
  readonly limits: SinkLimits;
  readonly counters: SinkCounters = new SinkCounters();
  /** Transmit queue of the interface that this sink fills. */
  readonly queue: number;
  /** The driver sends from the UMEM itself (else: copy mode). */
  readonly isZeroCopy: boolean;
  /** Calls of sendto, for reports of how well a device batches. */
  wakeups = 0;
  #fault: Error | null = null;
  readonly #socket: XdpTransmitSocket;
  readonly #umem: Region;
  readonly #umemIsRegion: boolean;
  readonly #explain: (errno: number) => Error;
  readonly #nowMs: () => number;
  readonly #chunkBytes: number;
  readonly #colouredBytesMax: number;
  readonly #mask: number;
  readonly #outstandingMax: number;
  readonly #descriptors: Uint32Array;
  readonly #completions: Uint32Array;
  /** Offsets of free chunks, a stack: the chunk used last is the one still in the cache. */
  readonly #free: Uint32Array;
  #freeCount: number;
  /** Bytes of the frame in ring entry i. */
  readonly #lengths: Uint32Array;
  /** Free-running 32-bit counters: written here, shown to the kernel, completed. */
  #written: number;
  #shown: number;
  #completed: number;
  /** When the device was first seen standing still; 0: it moved since. */
  #stillSinceMs = 0;
  #invalidKnown = 0;
  /** Frames that `flush` has reported. */
  #told = 0;
  #isClosed = false;

  constructor(parts: AfXdpParts) {
    this.name = parts.name;
    this.limits = parts.limits;
    this.queue = parts.queue;
    this.isZeroCopy = parts.socket.isZeroCopy;
    this.#socket = parts.socket;
    this.#umem = parts.umem;
    this.#umemIsRegion = parts.umemIsRegion;
    this.#explain = parts.explain;
    this.#nowMs = parts.nowMs;
    this.#chunkBytes = parts.chunkBytes;
    this.#colouredBytesMax = parts.chunkBytes - COLOURS_MASK * CACHE_LINE_BYTES;
    this.#mask = parts.ringFrames - 1;
    this.#outstandingMax = parts.ringFrames - parts.limits.batchFramesMax;
    this.#descriptors = parts.socket.transmit.entries;
    this.#completions = parts.socket.completion.entries;
    this.#lengths = new Uint32Array(parts.ringFrames);
    this.#free = new Uint32Array(parts.ringFrames);
    this.#freeCount = parts.ringFrames;
    for (let i = 0; i < parts.ringFrames; i++) this.#free[i] = (parts.ringFrames - 1 - i) * parts.chunkBytes;
    this.#written = Atomics.load(parts.socket.transmit.producer, 0);
    this.#shown = this.#written;
    this.#completed = this.#written;
  }

  get fault(): Error | null {
    return this.#fault;
  }

  /** Frames pushed that neither completed nor failed. */
  get outstanding(): number {
    return (this.#written - this.#completed) | 0;
  }

  push(region: Region, at: number, length: number): boolean {
    if (this.#fault !== null) return false;
    if (length > this.limits.frameBytesMax && !this.#isLongByTagOnly(region, at, length)) {
      this.counters.fail('EMSGSIZE');
      return true;
    }
    if (length < FRAME_BYTES_MIN) {
      this.counters.fail('EINVAL');
      return true;
    }
    if (this.#freeCount === 0 && this.#reap() === 0) return false;
    let to = at;
    if (!this.#umemIsRegion) {
      to = this.#free[this.#freeCount - 1]!;
      if (length <= this.#colouredBytesMax) to += ((to / this.#chunkBytes) & COLOURS_MASK) * CACHE_LINE_BYTES;
      copyFrame(this.#umem, to, region, at, length);
    } else if (region !== this.#umem || at + length > region.byteLength) {
      this.counters.fail('EFAULT');
      return true;
    }
    this.#freeCount--;
    const entry = this.#written & this.#mask;
    const word = entry * XDP_DESC.WORDS;
    this.#descriptors[word + XDP_DESC.ADDR_LOW] = to;
    this.#descriptors[word + XDP_DESC.ADDR_HIGH] = 0;
    this.#descriptors[word + XDP_DESC.LEN] = length;
    this.#descriptors[word + XDP_DESC.OPTIONS] = 0;
    this.#lengths[entry] = length;
    this.#written = (this.#written + 1) | 0;
    return true;
  }

  /** Afterwards there is room for `batchFramesMax` frames at least, or a fault. */
  flush(): number {
    if (this.#written !== this.#shown) {
      if (this.#shown === this.#completed) this.#stillSinceMs = 0;
      Atomics.store(this.#socket.transmit.producer, 0, this.#written);
      this.#shown = this.#written;
    }
    this.#settle(this.#outstandingMax);
    const accepted = this.counters.sent - this.#told;
    this.#told = this.counters.sent;
    return accepted;
  }

  drain(): void {
    this.flush();
    this.#settle(0);
    this.#takeBackInvalid();
    this.#told = this.counters.sent;
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.drain();
    this.#fault ??= new Error(`${this.name} is closed`);
    this.#socket.close();
    if (!this.#umemIsRegion) this.#umem.release();
  }

  #isLongByTagOnly(region: Region, at: number, length: number): boolean {
    return length <= this.#chunkBytes && isLongByTagOnly(region, at, length, this.limits.frameBytesMax);
  }

  /** Makes the kernel send what it was shown, as far as it goes now. */
  #wake(): void {
    const socket = this.#socket;
    let idle = 0;
    while (this.outstanding > 0) {
      if (this.isZeroCopy && (Atomics.load(socket.transmit.flags, 0) & XDP_RING_NEED_WAKEUP) === 0) break;
      const errno = socket.wake();
      this.wakeups++;
      const reaped = this.#reap();
      if (errno === 0) return;
      if (errno === Errno.EBUSY && !this.isZeroCopy) {
        this.#takeBack();
        continue;
      }
      if (errno === Errno.ENOBUFS || errno === Errno.ENOMEM) this.counters.retriedNoBufs++;
      else if (errno !== Errno.EAGAIN && errno !== Errno.EBUSY && errno !== Errno.EINTR) {
        this.#break(errno);
        return;
      } else if (reaped === 0) this.counters.retriedAgain++;
      idle = reaped === 0 ? idle + 1 : 0;
      if (idle === IDLE_WAKEUPS_MAX) return;
    }
    this.#reap();
  }

  /** Takes completed frames back and counts them as sent; returns how many. */
  #reap(): number {
    const ring = this.#socket.completion;
    const count = (Atomics.load(ring.producer, 0) - Atomics.load(ring.consumer, 0)) | 0;
    if (count <= 0) return 0;
    const from = Atomics.load(ring.consumer, 0);
    let bytes = 0;
    for (let i = 0; i < count; i++) {
      const to = this.#completions[((from + i) & this.#mask) << 1]!;
      this.#free[this.#freeCount++] = to - (to % this.#chunkBytes);
      bytes += this.#lengths[(this.#completed + i) & this.#mask]!;
    }
    Atomics.store(ring.consumer, 0, from + count);
    this.#completed = (this.#completed + count) | 0;
    this.counters.sent += count;
    this.counters.sentBytes += bytes;
    this.#stillSinceMs = 0;
    return count;
  }

  /** EBUSY in copy mode: the frame completed last was dropped by the device, not sent (net/xdp/xsk.c). */
  #takeBack(): void {
    this.counters.sent--;
    this.counters.sentBytes -= this.#lengths[(this.#completed - 1) & this.#mask]!;
    this.counters.fail('EBUSY');
  }

  /**
   * Descriptors that the kernel refused (a frame across pages that are not contiguous, in zero-copy mode): it skips and
   * yet completes them (Linux 6.18; where it does not, `#break` finds them). Which ones they were it does not tell, so
   * `sentBytes` keeps their bytes.
   */
  #takeBackInvalid(): void {
    if (this.#fault !== null) return;
    const invalid = this.#freshInvalid();
    if (invalid === 0) return;
    this.counters.sent -= invalid;
    this.counters.fail('EINVAL', invalid);
  }

  #freshInvalid(): number {
    const invalid = this.#socket.invalidDescriptors();
    const fresh = invalid - this.#invalidKnown;
    this.#invalidKnown = invalid;
    return fresh;
  }

  /** Wakes the kernel until no more than `most` frames are on their way; a device that stands still is a fault. */
  #settle(most: number): void {
    if (this.#fault !== null) return;
    this.#wake();
    while (this.outstanding > most && this.#fault === null) {
      const now = this.#nowMs();
      if (this.#stillSinceMs === 0) this.#stillSinceMs = now;
      pauseMicroseconds(PAUSE_US);
      this.#wake();
      if (this.#stillSinceMs !== 0 && now - this.#stillSinceMs > STALL_MS_MAX) this.#break(Errno.ETIMEDOUT);
    }
  }

  /** The device is gone, down or stuck: what did not complete has failed. */
  #break(errno: number): void {
    this.#reap();
    const lost = this.outstanding;
    const invalid = Math.min(lost, this.#freshInvalid());
    if (invalid > 0) this.counters.fail('EINVAL', invalid);
    if (lost > invalid) this.counters.fail(errnoName(errno), lost - invalid);
    this.#completed = this.#written;
    this.#shown = this.#written;
    assert(this.outstanding === 0, 'every frame is accounted for');
    this.#fault = this.#explain(errno);
  }
}
