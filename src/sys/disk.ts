/**
 * What writing files for days needs of the kernel: gathering writes, pages that leave the page cache, libc's calendar.
 * A failed call returns `-errno`.
 */
import fs from 'node:fs';
import { declare, lastErrno } from './libc.ts';

const nativeWritev = declare('intptr_t writev(int fd, intptr_t vectors, int count)');
const nativeFadvise = declare('int posix_fadvise(int fd, int64_t offset, int64_t length, int advice)');
const nativeSyncRange = declare('int sync_file_range(int fd, int64_t offset, int64_t length, unsigned int flags)');
const mmap = declare('intptr_t mmap(intptr_t addr, size_t length, int prot, int flags, int fd, int64_t offset)');
const munmap = declare('int munmap(intptr_t addr, size_t length)');
const mincore = declare('int mincore(intptr_t addr, size_t length, void *pages)');
const localtime = declare('intptr_t localtime_r(void *time, void *broken)');
const nativeStrftime = declare('size_t strftime(void *text, size_t size, const char *pattern, void *broken)');

// include/uapi/linux/fadvise.h
const POSIX_FADV_DONTNEED = 4;
// include/uapi/linux/fs.h
const SYNC_FILE_RANGE_WAIT_BEFORE = 1;
const SYNC_FILE_RANGE_WRITE = 2;
const SYNC_FILE_RANGE_WAIT_AFTER = 4;
// include/uapi/asm-generic/mman-common.h
const PROT_READ = 1;
const MAP_SHARED = 1;

/** include/uapi/linux/uio.h: struct iovec { pointer, size_t }, and UIO_MAXIOV. */
export const IOVEC_BYTES = 16;
export const IOVECS_MAX = 1024;

const isLinux = process.platform === 'linux';

/** Writes `count` struct iovec at `vectors`. Returns the bytes written or `-errno`. */
export function writeVectors(fd: number, vectors: number, count: number): number {
  const result = nativeWritev(fd, vectors, count);
  return result >= 0 ? result : -lastErrno();
}

/** Begins writing a file's dirty pages in the range to the disk; does not wait. Linux only, elsewhere nothing. */
export function beginWriteback(fd: number, offset: number, length: number): void {
  if (isLinux) nativeSyncRange(fd, offset, length, SYNC_FILE_RANGE_WRITE);
}

/** Takes pages that the disk already has out of the page cache; does not wait. Linux only, elsewhere nothing. */
export function dropClean(fd: number, offset: number, length: number): void {
  if (isLinux) nativeFadvise(fd, offset, length, POSIX_FADV_DONTNEED);
}

/**
 * Waits until the range is on the disk, then takes its pages out of the page cache. `length` 0: up to the end. Pages
 * of a file system that has no disk (tmpfs) stay. Linux only, elsewhere nothing.
 */
export function dropWritten(fd: number, offset: number, length: number): void {
  if (!isLinux) return;
  const flags = SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER;
  nativeSyncRange(fd, offset, length, flags);
  nativeFadvise(fd, offset, length, POSIX_FADV_DONTNEED);
}

/** Bytes of a file that are in the page cache now. */
export function cachedBytes(path: string): number {
  const fd = fs.openSync(path, 'r');
  try {
    const length = fs.fstatSync(fd).size;
    if (length === 0) return 0;
    const address = Number(mmap(0, length, PROT_READ, MAP_SHARED, fd, 0));
    if (address === -1) return -lastErrno();
    // one byte for each page of at least 4 KiB
    const pages = new Uint8Array(Math.ceil(length / 4096));
    mincore(address, length, pages);
    munmap(address, length);
    let resident = 0;
    for (const page of pages) resident += page & 1;
    return resident * 4096;
  } finally {
    fs.closeSync(fd);
  }
}

/** strftime(3) of the local time. Returns '' where the result would be longer than a path may be. */
export function formatLocalTime(pattern: string, seconds: number): string {
  const time = new BigInt64Array(1);
  time[0] = BigInt(Math.floor(seconds));
  // struct tm is opaque here: 56 bytes on glibc and musl, as on macOS
  const broken = new Uint8Array(128);
  const text = new Uint8Array(4096);
  localtime(time, broken);
  const length = Number(nativeStrftime(text, text.length, pattern, broken));
  return new TextDecoder().decode(text.subarray(0, length));
}
