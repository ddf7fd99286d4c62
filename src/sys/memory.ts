/**
 * Mapped memory as regions: anonymous, and a window of a file mapped `MAP_PRIVATE` (edits in place are copy-on-write,
 * so the file is never copied as a whole and never changed).
 */
import { assert } from '../base/assert.ts';
import { OperatorError } from '../base/errors.ts';
import type { Region } from '../base/region.ts';
import { describeErrno } from './errno.ts';
import { declare, lastErrno, viewOf } from './libc.ts';

// include/uapi/asm-generic/mman-common.h, mman.h
const PROT_READ = 1;
const PROT_WRITE = 2;
const MAP_SHARED = 1;
const MAP_PRIVATE = 2;
const MAP_FIXED = 0x10;
const MAP_ANONYMOUS = process.platform === 'darwin' ? 0x1000 : 0x20;
const MAP_NORESERVE = process.platform === 'darwin' ? 0x40 : 0x4000;
const MAP_POPULATE = process.platform === 'darwin' ? 0 : 0x8000;
const MADV_SEQUENTIAL = 2;
const MADV_WILLNEED = 3;
const MADV_DONTNEED = 4;

const mmap = declare('intptr_t mmap(intptr_t addr, size_t length, int prot, int flags, int fd, int64_t offset)');
const munmap = declare('int munmap(intptr_t addr, size_t length)');
const madvise = declare('int madvise(intptr_t addr, size_t length, int advice)');

/** Largest page size of the supported machines (arm64 may use 64 KiB): offsets of file windows are multiples of it. */
export const MAP_ALIGN_BYTES = 65_536;

const roundUp = (n: number): number => Math.ceil(n / MAP_ALIGN_BYTES) * MAP_ALIGN_BYTES;

function map(at: number, length: number, flags: number, fd: number, offset: number): number {
  const address = Number(mmap(at, length, PROT_READ | PROT_WRITE, flags, fd, offset));
  if (address === -1) {
    throw new OperatorError('RESOURCE', `cannot map ${length} bytes of memory: ${describeErrno(lastErrno())}`);
  }
  return address;
}

class MappedRegion implements Region {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly address: number;
  readonly byteLength: number;
  readonly scratchStart: number;
  scratchNext: number;
  #mappedBytes: number;

  constructor(address: number, byteLength: number, mappedBytes: number, scratchStart: number) {
    const buffer = viewOf(address, byteLength);
    this.bytes = new Uint8Array(buffer);
    this.view = new DataView(buffer);
    this.address = address;
    this.byteLength = byteLength;
    this.scratchStart = scratchStart;
    this.scratchNext = scratchStart;
    this.#mappedBytes = mappedBytes;
  }

  release(): void {
    if (this.#mappedBytes === 0) return;
    munmap(this.address, this.#mappedBytes);
    this.#mappedBytes = 0;
  }
}

/**
 * Gives the pages of [from, to) back: they are zero when they are touched again. Precondition: an anonymous region;
 * both ends are multiples of MAP_ALIGN_BYTES.
 */
export function discardPages(region: Region, from: number, to: number): void {
  assert(from % MAP_ALIGN_BYTES === 0 && to % MAP_ALIGN_BYTES === 0 && to <= region.byteLength, 'whole pages of it');
  madvise(region.address + from, to - from, MADV_DONTNEED);
}

/** Zeroed anonymous memory; pages are taken when first touched. Scratch: the last `scratchBytes`. */
export function anonymousRegion(byteLength: number, scratchBytes = 0): Region {
  const total = byteLength + scratchBytes;
  const mapped = roundUp(total);
  const address = map(0, mapped, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return new MappedRegion(address, total, mapped, byteLength);
}

/**
 * Bytes [offset, offset + byteLength) of a file, writable without changing the file, with scratch memory behind it.
 * Preconditions: `offset` is a multiple of MAP_ALIGN_BYTES; the range lies within the file. A file that is truncated
 * by somebody else while it is mapped raises SIGBUS, as in every program that maps files.
 */
export function fileRegion(fd: number, offset: number, byteLength: number, scratchBytes = 0): Region {
  assert(offset % MAP_ALIGN_BYTES === 0, 'file window offset is aligned');
  const filePart = roundUp(byteLength);
  const mapped = filePart + roundUp(scratchBytes);
  const address = map(0, mapped, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  try {
    map(address, byteLength, MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE, fd, offset);
  } catch (error) {
    munmap(address, mapped);
    throw error;
  }
  madvise(address, byteLength, MADV_SEQUENTIAL);
  madvise(address, byteLength, MADV_WILLNEED);
  return new MappedRegion(address, mapped, mapped, filePart);
}

/** Memory shared with the kernel behind a socket or device descriptor (receive ring, AF_XDP ring). */
export function sharedRegion(fd: number, offset: number, byteLength: number, populate = true): Region {
  const address = map(0, byteLength, MAP_SHARED | (populate ? MAP_POPULATE : 0), fd, offset);
  return new MappedRegion(address, byteLength, byteLength, byteLength);
}
