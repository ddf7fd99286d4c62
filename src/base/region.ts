/**
 * A region: one piece of memory that frames lie in. A frame is an offset into a region, never an object.
 *
 * A region is a mapped capture file, an anonymous mapping, a kernel ring or (in tests) plain memory. Its tail may be
 * scratch space: where a frame that has to grow (a header in front that does not fit, fragments, segments) is written
 * anew, so that whoever sends it still sees one region and one `DataView`.
 *
 * Lifetime: `release` unmaps. No view of a released region may be read again.
 */
export interface Region {
  readonly bytes: Uint8Array;
  /** Big-endian reads by default, over the same bytes as `bytes`, offset 0 = first byte of the region. */
  readonly view: DataView;
  /** User-space address of byte 0 as a number (below 2^47), or 0 where it is not known (plain memory). */
  readonly address: number;
  readonly byteLength: number;
  /** First byte of the scratch tail; equals `byteLength` where there is none. */
  readonly scratchStart: number;
  /** Next free scratch byte. Reset with `scratchNext = scratchStart` once nothing refers to scratch frames any more. */
  scratchNext: number;
  release(): void;
}

/** Largest frame anywhere: an IP packet with jumbo payload is refused by every reader above this (libpcap's limit). */
export const FRAME_BYTES_MAX = 262_144;

/** Reserves `length` scratch bytes, 8-byte aligned. Returns their offset, or -1: full is an answer, not a wait. */
export function scratchReserve(region: Region, length: number): number {
  const at = (region.scratchNext + 7) & ~7;
  if (at + length > region.byteLength) return -1;
  region.scratchNext = at + length;
  return at;
}

/** Plain memory as a region: for tests, and for files where nothing can be mapped. Offsets as in any other region. */
export function plainRegion(byteLength: number, scratchBytes = 0): Region {
  const buffer = new ArrayBuffer(byteLength + scratchBytes);
  return {
    bytes: new Uint8Array(buffer),
    view: new DataView(buffer),
    address: 0,
    byteLength: byteLength + scratchBytes,
    scratchStart: byteLength,
    scratchNext: byteLength,
    release() {},
  };
}
