import type { Region } from '../base/region.ts';

/**
 * Where the session engine's packets leave. Packets begin at the IP header; the emitter puts a link header in front
 * where its device wants one (in the receive ring there is the captured frame's own room for it).
 *
 * A packet handed over must reach the device, or be given up, before the memory that it lies in is used again: in-place
 * packets before the ring's block is given back, built ones before `reserve` hands the same bytes out again.
 * What the kernel then refuses is told with `CopyEngine.onSendError`. Nothing here throws.
 */
export interface Emitter {
  /** Memory that built packets are written into. */
  readonly region: Region;
  /** Offset of `length` bytes in `region`, with room for a link header in front; -1: full, try again later. */
  reserve(length: number): number;
  /** The device fills in TCP checksums of packets to `target`: a built one holds the sum of its pseudo-header there. */
  fillsSums(target: number): boolean;
  /** The packet of `length` bytes that was built at `at`, the offset reserved last, to go to `target`. */
  sendBuilt(at: number, length: number, target: number): void;
  /** A client's packet, rewritten where it lies. False: full; the engine then keeps its bytes and sends them later. */
  sendInPlace(region: Region, at: number, length: number, target: number): boolean;
  /**
   * Adds payload to the packet handed over last, a data packet, for the device to cut into segments of that packet's
   * own payload length (`length` is at most that, and nothing follows what is shorter). `isFixed`: the bytes stay where
   * they are as long as those of a packet in place. False: send it as a packet.
   */
  join(region: Region, at: number, length: number, isPush: boolean, isFixed: boolean): boolean;
}
