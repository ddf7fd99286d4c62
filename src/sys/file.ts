/**
 * Reading and writing descriptors straight from and into mapped memory. A failed call returns `-errno`.
 *
 * Streams (pipes, terminals, sockets) are waited for with `poll` before they are read, so a descriptor may be
 * non-blocking or not, and a wait can be given up.
 */
import fs from 'node:fs';
import { OperatorError } from '../base/errors.ts';
import { describeErrno, Errno } from './errno.ts';
import { declare, lastErrno } from './libc.ts';

const nativeRead = declare('intptr_t read(int fd, intptr_t buffer, size_t count)');
const nativeWrite = declare('intptr_t write(int fd, intptr_t buffer, size_t count)');
const nativePoll = declare('int poll(void *fds, unsigned long count, int timeout)');
const nativeFtruncate = declare('int ftruncate(int fd, int64_t length)');
const nativeLseek = declare('int64_t lseek(int fd, int64_t offset, int whence)');
const nativeFcntl = declare('int fcntl(int fd, int command, int argument)');
const nativeMemcpy = declare('intptr_t memcpy(intptr_t to, intptr_t from, size_t count)');

// include/uapi/asm-generic/poll.h
const POLLIN = 1;
const POLLOUT = 4;
// include/uapi/linux/fcntl.h
const F_SETPIPE_SZ = 1031;
// include/uapi/linux/fs.h
const SEEK_CUR = 1;
const SEEK_SET = 0;

/** Reads up to `count` bytes to `address`. Returns the bytes read, 0 at the end, `-errno`. */
export function readInto(fd: number, address: number, count: number): number {
  const result = nativeRead(fd, address, count);
  return result >= 0 ? result : -lastErrno();
}

/** Writes up to `count` bytes from `address`. Returns the bytes written or `-errno`. */
export function writeFrom(fd: number, address: number, count: number): number {
  const result = nativeWrite(fd, address, count);
  return result >= 0 ? result : -lastErrno();
}

/** Waits until `fd` can be read (or has ended). Returns true, or false after `timeoutMs` (-1: no limit). */
export function waitReadable(fd: number, timeoutMs: number): boolean {
  return pollOne(fd, POLLIN, timeoutMs);
}

/** Waits until `fd` can be written (or has failed). Returns true, or false after `timeoutMs` (-1: no limit). */
export function waitWritable(fd: number, timeoutMs: number): boolean {
  return pollOne(fd, POLLOUT, timeoutMs);
}

function pollOne(fd: number, events: number, timeoutMs: number): boolean {
  // struct pollfd: int fd; short events; short revents
  const request = new Int32Array([fd, events]);
  return nativePoll(request, 1, timeoutMs) !== 0;
}

/** Cuts a file to `length` bytes. Returns 0 or `-errno`. */
export function truncateTo(fd: number, length: number): number {
  return nativeFtruncate(fd, length) === 0 ? 0 : -lastErrno();
}

/** Where the next byte is written; -1 for what has no position (pipes, terminals). */
export function positionOf(fd: number): number {
  return nativeLseek(fd, 0, SEEK_CUR);
}

/** Moves the position of a file. Returns it, or `-errno`. */
export function seekTo(fd: number, position: number): number {
  const result = nativeLseek(fd, position, SEEK_SET);
  return result >= 0 ? result : -lastErrno();
}

/** Asks for a larger pipe buffer: fewer wake-ups. Refusal (not a pipe, limit reached) is no fault. */
export function growPipe(fd: number, bytes: number): void {
  if (process.platform === 'linux') nativeFcntl(fd, F_SETPIPE_SZ, bytes);
}

/** memcpy between mapped regions: cheaper than a view per copy from about 200 bytes on. */
export function copyBytes(to: number, from: number, count: number): void {
  nativeMemcpy(to, from, count);
}

/** True for failures that a repeated call may mend: interrupted by a signal, nothing there yet. */
export function isTransient(negativeErrno: number): boolean {
  return negativeErrno === -Errno.EINTR || negativeErrno === -Errno.EAGAIN;
}

/**
 * Opens a file. `mode`: read (a fifo does not wait for its writer; reading does), or write (created, not emptied).
 * Throws `OperatorError('FILE')` with the path and libc's sentence.
 */
export function openFile(path: string, mode: 'read' | 'write'): number {
  const { O_RDONLY, O_NONBLOCK, O_WRONLY, O_CREAT } = fs.constants;
  try {
    return fs.openSync(path, mode === 'read' ? O_RDONLY | O_NONBLOCK : O_WRONLY | O_CREAT, 0o666);
  } catch (error) {
    throw fileError(mode === 'read' ? 'open' : 'write', path, error);
  }
}

/** "cannot <verb> <path>: No such file or directory (ENOENT)". */
export function fileError(verb: string, path: string, error: unknown): OperatorError {
  const errno = typeof error === 'number' ? error : -((error as NodeJS.ErrnoException).errno ?? 0);
  const why = errno > 0 ? describeErrno(errno) : String((error as Error).message);
  return new OperatorError('FILE', `cannot ${verb} ${path}: ${why}`);
}
