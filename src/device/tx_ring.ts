/**
 * HOT: frames leave through a PACKET_TX_RING, TPACKET_V2, shared with the kernel.
 *
 * Each pushed frame is copied once, into its slot: that is what the ring is. Every slot starts with a virtio_net header
 * whose `hdr_len` is the frame's whole length: the kernel then copies the frame into the linear part of its buffer,
 * where it otherwise would build a fragment list over the ring's pages. Measured over veth (docs/decisions/
 * 0004-tx-ring.md): 1.4 times the rate without that header, 1.04 to 1.18 times that of `sendmmsg`.
 *
 * A frame counts as sent when the kernel gives its slot back. One that the device did not take stays in its slot and is
 * tried again; a ring without any progress for two seconds is a fault.
 */
import { OperatorError } from '../base/errors.ts';
import type { Region } from '../base/region.ts';
import { describeErrno, Errno, errnoName } from '../sys/errno.ts';
import { LITTLE_ENDIAN } from '../sys/layout.ts';
import { pauseMicroseconds } from '../sys/socket.ts';
import {
  openTransmitRing,
  Tpacket2Hdr,
  type TransmitRing,
  TransmitRingRefusal,
  TxStatus,
  VirtioNetHdr,
} from '../sys/tx_ring.ts';
import { deviceFault } from './fault_error.ts';
import { copyFrame, FRAME_BYTES_MIN, isLongByTagOnly } from './frame_copy.ts';
import { LINKTYPE_ETHERNET, type LinkFacts, linkFacts, VLAN_TAG_BYTES } from './link.ts';
import { type Sink, SinkCounters, type SinkLimits } from './sink.ts';

export interface TxRingOptions {
  /** Interface name. */
  readonly name: string;
  /** Skip the traffic control layer: faster, but no shaping, and no frame for captures on this host. Default false. */
  readonly qdiscBypass?: boolean;
}

const SLOT_BYTES_MIN = 2048;
const RING_BYTES = 4 * 1024 * 1024;
const SLOTS_MIN = 64;
const BATCH_FRAMES_MAX = 1024;
const DATA_AT = Tpacket2Hdr.DATA + VirtioNetHdr.SIZE;
const STALL_MS_MAX = 2_000;
const PAUSE_US = 50;
const IDLE_KICKS_MAX = 8;

class TxRingSink implements Sink {
  readonly name: string;
  readonly limits: SinkLimits;
  readonly counters: SinkCounters = new SinkCounters();
  fault: Error | null = null;
  readonly #ring: TransmitRing;
  readonly #status: Int32Array;
  readonly #slotBytes: number;
  readonly #slotsMask: number;
  readonly #lengths: Uint32Array;
  /** Free-running counts of frames pushed and of slots the kernel gave back. */
  #pushed = 0;
  #given = 0;
  /** When the device was first seen standing still; 0: it moved since. */
  #stillSinceMs = 0;
  /** Frames that `flush` has reported. */
  #told = 0;
  #isClosed = false;

  constructor(link: LinkFacts, ring: TransmitRing, slotBytes: number, slots: number) {
    this.name = link.name;
    this.limits = {
      linktype: LINKTYPE_ETHERNET,
      frameBytesMax: link.mtu + link.headerBytes,
      batchFramesMax: Math.min(BATCH_FRAMES_MAX, slots / 2),
      retainsFrames: false,
    };
    this.#ring = ring;
    this.#status = new Int32Array(ring.region.bytes.buffer);
    this.#slotBytes = slotBytes;
    this.#slotsMask = slots - 1;
    this.#lengths = new Uint32Array(slots);
  }

  push(region: Region, at: number, length: number): boolean {
    if (this.fault !== null) return false;
    if (length > this.limits.frameBytesMax && !isLongByTagOnly(region, at, length, this.limits.frameBytesMax)) {
      this.counters.fail('EMSGSIZE');
      return true;
    }
    if (length < FRAME_BYTES_MIN) {
      this.counters.fail('EINVAL');
      return true;
    }
    if (this.#pushed - this.#given > this.#slotsMask) {
      this.#reap();
      if (this.#pushed - this.#given > this.#slotsMask) return false;
    }
    const slot = this.#pushed & this.#slotsMask;
    const base = slot * this.#slotBytes;
    const { region: ring } = this.#ring;
    // The rest of the virtio_net header stays zero: no checksum and no segmentation is asked of the kernel.
    ring.view.setUint16(base + Tpacket2Hdr.DATA + VirtioNetHdr.HDR_LEN, length, LITTLE_ENDIAN);
    copyFrame(ring, base + DATA_AT, region, at, length);
    this.#status[(base + Tpacket2Hdr.LEN) >> 2] = length + VirtioNetHdr.SIZE;
    Atomics.store(this.#status, base >> 2, TxStatus.SEND_REQUEST);
    this.#lengths[slot] = length;
    this.#pushed++;
    return true;
  }

  /** Afterwards there is room for `batchFramesMax` frames at least, or a fault. */
  flush(): number {
    this.#settle(this.#slotsMask + 1 - this.limits.batchFramesMax);
    const accepted = this.counters.sent - this.#told;
    this.#told = this.counters.sent;
    return accepted;
  }

  drain(): void {
    this.#settle(0);
    this.#told = this.counters.sent;
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.drain();
    this.fault ??= new Error(`${this.name} is closed`);
    this.#ring.close();
  }

  /** Counts slots that the kernel gave back, in order; returns how many. */
  #reap(): number {
    const before = this.#given;
    let bytes = 0;
    while (this.#given !== this.#pushed) {
      const slot = this.#given & this.#slotsMask;
      if (Atomics.load(this.#status, (slot * this.#slotBytes) >> 2) !== TxStatus.AVAILABLE) break;
      bytes += this.#lengths[slot]!;
      this.#given++;
    }
    const count = this.#given - before;
    this.counters.sent += count;
    this.counters.sentBytes += bytes;
    if (count > 0) this.#stillSinceMs = 0;
    return count;
  }

  /** Kicks the kernel until no more than `most` slots are its own; a device that stands still is a fault. */
  #settle(most: number): void {
    if (this.fault !== null) return;
    this.#kick();
    while (this.#pushed - this.#given > most && this.fault === null) {
      const now = performance.now();
      if (this.#stillSinceMs === 0) this.#stillSinceMs = now;
      pauseMicroseconds(PAUSE_US);
      this.#kick();
      if (this.#stillSinceMs !== 0 && now - this.#stillSinceMs > STALL_MS_MAX) this.#break(Errno.ETIMEDOUT);
    }
  }

  #kick(): void {
    let idle = 0;
    while (this.#pushed !== this.#given && idle < IDLE_KICKS_MAX) {
      const errno = this.#ring.kick();
      const given = this.#reap();
      if (errno === 0) return;
      if (errno === Errno.ENOBUFS || errno === Errno.ENOMEM) this.counters.retriedNoBufs++;
      else if (errno === Errno.EAGAIN) this.counters.retriedAgain++;
      else if (errno !== Errno.EINTR) this.#break(errno);
      idle = given === 0 ? idle + 1 : 0;
    }
  }

  #break(errno: number): void {
    this.#reap();
    const lost = this.#pushed - this.#given;
    if (lost > 0) this.counters.fail(errnoName(errno), lost);
    this.#given = this.#pushed;
    this.fault = deviceFault(this.name, errno);
  }
}

/** Opens the sink. Throws INTERFACE, FRAMING, PERMISSION or RESOURCE with the line to type. */
export function openTxRingSink(options: TxRingOptions): Sink {
  const link = linkFacts(options.name);
  if (!link.up) throw new OperatorError('INTERFACE', `${link.name} is down: ip link set ${link.name} up`);
  if (link.linktype !== LINKTYPE_ETHERNET) {
    throw new OperatorError('FRAMING', `${link.name} carries no Ethernet frames: use --backend af_packet`);
  }
  let slotBytes = SLOT_BYTES_MIN;
  while (slotBytes < DATA_AT + link.mtu + link.headerBytes + VLAN_TAG_BYTES) slotBytes *= 2;
  const slots = Math.max(SLOTS_MIN, RING_BYTES / slotBytes);
  try {
    const { name, ifindex } = link;
    const ring = openTransmitRing({ name, ifindex, qdiscBypass: options.qdiscBypass === true, slotBytes, slots });
    return new TxRingSink(link, ring, slotBytes, slots);
  } catch (error) {
    if (!(error instanceof TransmitRingRefusal)) throw error;
    if (error.errno === Errno.ENETDOWN) throw deviceFault(link.name, error.errno);
    const why = `cannot make a transmit ring on ${link.name} (${error.message}, ${describeErrno(error.errno)})`;
    const code = error.errno === Errno.ENOMEM ? 'RESOURCE' : 'UNSUPPORTED';
    throw new OperatorError(code, `${why}: use --backend af_packet`, { cause: error });
  }
}
