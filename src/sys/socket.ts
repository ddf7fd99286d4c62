/**
 * Sockets. Functions that the data plane calls once per batch return what the kernel returned (-1: read `lastErrno`);
 * functions that open and configure throw an `OperatorError` with the remedy.
 */
import { OperatorError } from '../base/errors.ts';
import { describeErrno, Errno } from './errno.ts';
import {
  AF_UNIX,
  Ifreq,
  LITTLE_ENDIAN,
  MSG_DONTWAIT,
  Pollfd,
  SO_RCVBUF,
  SO_RCVBUFFORCE,
  SO_SNDBUF,
  SO_SNDBUFFORCE,
  SOCK_CLOEXEC,
  SOCK_SEQPACKET,
  SOL_SOCKET,
} from './layout.ts';
import { declare, lastErrno } from './libc.ts';
import { permissionRemedy } from './permission.ts';

const socketCall = declare('int socket(int domain, int type, int protocol)');
const bindCall = declare('int bind(int fd, const uint8_t *address, uint32_t length)');
const connectCall = declare('int connect(int fd, const uint8_t *address, uint32_t length)');
const getsocknameCall = declare('int getsockname(int fd, uint8_t *address, uint32_t *length)');
const setsockoptCall = declare('int setsockopt(int fd, int level, int name, const uint8_t *value, uint32_t length)');
const getsockoptCall = declare('int getsockopt(int fd, int level, int name, uint8_t *value, uint32_t *length)');
const ioctlCall = declare('int ioctl(int fd, unsigned long request, uint8_t *argument)');
const closeCall = declare('int close(int fd)');
const pollCall = declare('int poll(uint8_t *fds, unsigned long count, int timeout)');
const recvCall = declare('intptr_t recv(int fd, uint8_t *buffer, size_t length, int flags)');
const sendCall = declare('intptr_t send(int fd, const uint8_t *buffer, size_t length, int flags)');
const sendtoCall = declare(
  'intptr_t sendto(int fd, const uint8_t *buffer, size_t length, int flags, const uint8_t *address, uint32_t size)',
);
const socketpairCall = declare('int socketpair(int domain, int type, int protocol, int *fds)');
const usleepCall = declare('int usleep(uint32_t microseconds)');

/** Sends `count` messages of the mmsghdr array at `address`; returns how many were taken, or -1 (`lastErrno`). */
export const sendmmsg: (fd: number, address: number, count: number, flags: number) => number = declare(
  'int sendmmsg(int fd, intptr_t messages, unsigned int count, int flags)',
);

/** A new socket, closed on exec. Throws PERMISSION with the line to type where a capability is missing. */
export function openSocket(domain: number, type: number, protocol: number, what: string): number {
  const fd = socketCall(domain, type | SOCK_CLOEXEC, protocol);
  if (fd >= 0) return fd;
  const errno = lastErrno();
  if (errno === Errno.EPERM || errno === Errno.EACCES) {
    throw new OperatorError('PERMISSION', `no permission to open ${what}: ${permissionRemedy('CAP_NET_RAW')}`);
  }
  if (errno === Errno.EAFNOSUPPORT || errno === Errno.EPROTONOSUPPORT) {
    throw new OperatorError('UNSUPPORTED', `this kernel has no ${what}: ${describeErrno(errno)}`);
  }
  throw new OperatorError('SYSTEM', `cannot open ${what}: ${describeErrno(errno)}`);
}

/** Two connected sockets that keep message boundaries, for a program started with one of them. Closed on exec. */
export function messagePair(): readonly [number, number] {
  const fds = new Int32Array(2);
  if (socketpairCall(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) !== 0) {
    throw new OperatorError('RESOURCE', `cannot make a pair of sockets: ${describeErrno(lastErrno())}`);
  }
  return [fds[0]!, fds[1]!];
}

/** Returns 0, or the errno. */
export function bindSocket(fd: number, address: Uint8Array): number {
  return bindCall(fd, address, address.byteLength) === 0 ? 0 : lastErrno();
}

/** Returns 0, or the errno. */
export function connectSocket(fd: number, address: Uint8Array): number {
  return connectCall(fd, address, address.byteLength) === 0 ? 0 : lastErrno();
}

/** The address that the socket is bound to, or null (`lastErrno`). */
export function socketName(fd: number): Uint8Array | null {
  const address = new Uint8Array(128);
  const length = new Uint32Array([address.byteLength]);
  if (getsocknameCall(fd, address, length) !== 0) return null;
  return address.slice(0, length[0]);
}

/** Returns 0, or the errno. */
export function setSocketOption(fd: number, level: number, name: number, value: Uint8Array): number {
  return setsockoptCall(fd, level, name, value, value.byteLength) === 0 ? 0 : lastErrno();
}

/** Returns 0, or the errno. */
export function setSocketOptionInt(fd: number, level: number, name: number, value: number): number {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setInt32(0, value, LITTLE_ENDIAN);
  return setSocketOption(fd, level, name, bytes);
}

/** Up to `bytesMax` bytes of a socket option, or null (`lastErrno`). */
export function socketOption(fd: number, level: number, name: number, bytesMax: number): Uint8Array | null {
  const value = new Uint8Array(bytesMax);
  const length = new Uint32Array([bytesMax]);
  if (getsockoptCall(fd, level, name, value, length) !== 0) return null;
  return value.slice(0, length[0]);
}

/** An integer socket option, or -1 (`lastErrno`). */
export function socketOptionInt(fd: number, level: number, name: number): number {
  const value = socketOption(fd, level, name, 4);
  return value === null ? -1 : new DataView(value.buffer).getInt32(0, LITTLE_ENDIAN);
}

/** Buffer of `bytes`: above the system's limit where CAP_NET_ADMIN allows it, else up to the limit. */
export function setSendBuffer(fd: number, bytes: number): void {
  if (setSocketOptionInt(fd, SOL_SOCKET, SO_SNDBUFFORCE, bytes) !== 0)
    setSocketOptionInt(fd, SOL_SOCKET, SO_SNDBUF, bytes);
}

/** As `setSendBuffer`, for what is received. */
export function setReceiveBuffer(fd: number, bytes: number): void {
  if (setSocketOptionInt(fd, SOL_SOCKET, SO_RCVBUFFORCE, bytes) !== 0)
    setSocketOptionInt(fd, SOL_SOCKET, SO_RCVBUF, bytes);
}

export function closeSocket(fd: number): void {
  closeCall(fd);
}

/** Calls ioctl with a struct; returns 0 or more, or the negated errno. */
export function ioctl(fd: number, request: number, argument: Uint8Array): number {
  const result = ioctlCall(fd, request, argument);
  return result >= 0 ? result : -lastErrno();
}

const pollSet = new Uint8Array(Pollfd.SIZE);
const pollView = new DataView(pollSet.buffer);

/** Waits up to `timeoutMs` for `events` on one descriptor; returns the events that are there, 0 = none. */
export function pollDescriptor(fd: number, events: number, timeoutMs: number): number {
  pollView.setInt32(Pollfd.FD, fd, LITTLE_ENDIAN);
  pollView.setInt16(Pollfd.EVENTS, events, LITTLE_ENDIAN);
  pollView.setInt16(Pollfd.REVENTS, 0, LITTLE_ENDIAN);
  return pollCall(pollSet, 1, timeoutMs) > 0 ? pollView.getInt16(Pollfd.REVENTS, LITTLE_ENDIAN) : 0;
}

/** Bytes received into `buffer`, or -1 (`lastErrno`). */
export function receive(fd: number, buffer: Uint8Array, flags: number): number {
  return Number(recvCall(fd, buffer, buffer.byteLength, flags));
}

/** Bytes received without waiting: 0 = nothing is there now, -1 = the connection has ended or is broken. */
export function receiveNow(fd: number, buffer: Uint8Array): number {
  const bytes = receive(fd, buffer, MSG_DONTWAIT);
  if (bytes > 0) return bytes;
  if (bytes === 0) return -1;
  const errno = lastErrno();
  return errno === Errno.EAGAIN || errno === Errno.EINTR ? 0 : -1;
}

/** Bytes sent, or -1 (`lastErrno`). For single messages; batches go through `sendmmsg`. */
export function send(fd: number, bytes: Uint8Array, flags: number): number {
  return Number(sendCall(fd, bytes, bytes.byteLength, flags));
}

/** Bytes of the first `length` that were sent without waiting: 0 = no room now, -1 = the connection is broken. */
export function sendNow(fd: number, bytes: Uint8Array, length: number): number {
  const sent = Number(sendCall(fd, bytes, length, MSG_DONTWAIT));
  if (sent >= 0) return sent;
  const errno = lastErrno();
  return errno === Errno.EAGAIN || errno === Errno.EINTR ? 0 : -1;
}

/** Bytes sent to one address, or -1 (`lastErrno`). */
export function sendTo(fd: number, bytes: Uint8Array, flags: number, address: Uint8Array): number {
  return Number(sendtoCall(fd, bytes, bytes.byteLength, flags, address, address.byteLength));
}

/** Sleeps this thread. */
export function pauseMicroseconds(microseconds: number): void {
  usleepCall(microseconds);
}

/** struct ifreq with the interface's name in it. */
export function interfaceRequest(name: string): Uint8Array {
  const request = new Uint8Array(Ifreq.SIZE);
  for (let i = 0; i < name.length && i < Ifreq.NAME_BYTES - 1; i++) request[i] = name.charCodeAt(i);
  return request;
}
