/** TAP and TUN devices (Documentation/networking/tuntap.rst): an interface whose other end is a file descriptor. */
import { OperatorError } from '../base/errors.ts';
import { describeErrno, Errno } from './errno.ts';
import { INTERFACE_NAME_MAX } from './interface.ts';
import { IFF_NO_PI, IFF_TAP, IFF_TUN, Ifreq, LITTLE_ENDIAN, TUNSETIFF } from './layout.ts';
import { declare, lastErrno } from './libc.ts';
import { permissionRemedy } from './permission.ts';
import { closeSocket, interfaceRequest, ioctl } from './socket.ts';

const openCall = declare('int open(const char *path, int flags, int mode)');
const writeCall = declare('intptr_t write(int fd, intptr_t bytes, size_t length)');

// include/uapi/asm-generic/fcntl.h
const O_RDWR = 2;
const O_NONBLOCK = 0x800;
const O_CLOEXEC = 0x80000;
const CLONE_DEVICE = '/dev/net/tun';

/** Attaches to the device of that name, made when there is none. Returns its descriptor; closing it unmakes it. */
export function openTunDevice(kind: 'tap' | 'tun', name: string): number {
  if (name.length > INTERFACE_NAME_MAX) {
    throw new OperatorError('USAGE', `${name} is too long for an interface: at most ${INTERFACE_NAME_MAX} characters`);
  }
  const fd = openCall(CLONE_DEVICE, O_RDWR | O_NONBLOCK | O_CLOEXEC, 0);
  if (fd < 0) throw openError(kind, name, lastErrno());
  const request = interfaceRequest(name);
  const flags = (kind === 'tap' ? IFF_TAP : IFF_TUN) | IFF_NO_PI;
  new DataView(request.buffer).setUint16(Ifreq.VALUE, flags, LITTLE_ENDIAN);
  const result = ioctl(fd, TUNSETIFF, request);
  if (result >= 0) return fd;
  closeSocket(fd);
  throw openError(kind, name, -result);
}

function openError(kind: string, name: string, errno: number): OperatorError {
  if (errno === Errno.EPERM || errno === Errno.EACCES) {
    return new OperatorError(
      'PERMISSION',
      `no permission to open ${kind} ${name}: ${permissionRemedy('CAP_NET_ADMIN')}`,
    );
  }
  if (errno === Errno.ENOENT || errno === Errno.ENODEV || errno === Errno.ENXIO) {
    return new OperatorError('UNSUPPORTED', `${CLONE_DEVICE} is not there: modprobe tun`);
  }
  if (errno === Errno.EBUSY) {
    return new OperatorError('INTERFACE', `${name} is in use by another program: stop it, or choose another name`);
  }
  if (errno === Errno.EINVAL) {
    return new OperatorError('INTERFACE', `${name} exists and is no ${kind} device: choose another name`);
  }
  return new OperatorError('INTERFACE', `cannot open ${kind} ${name}: ${describeErrno(errno)}`);
}

/** Writes one frame that lies at `address`; returns its length, or -1 (`lastErrno`). */
export function writeFrame(fd: number, address: number, length: number): number {
  return Number(writeCall(fd, address, length));
}

// include/uapi/linux/if_tun.h: _IOW('T', 208, unsigned int), _IOW('T', 217, int) and flags
const TUNSETOFFLOAD = 0x400454d0;
const TUNSETQUEUE = 0x400454d9;
const IFF_MULTI_QUEUE = 0x0100;
const IFF_DETACH_QUEUE = 0x0400;
const TUN_F_CSUM = 1;
const TUN_F_TSO4 = 2;
const TUN_F_TSO6 = 4;
const TUN_F_TSO_ECN = 8;

const ioctlNumber = declare('int ioctl(int fd, unsigned long request, unsigned long argument)');

/**
 * A TUN device that leads nowhere: it has carrier, takes packets that are yet to be segmented, and drops all of them,
 * as its only queue is detached. Captures see them before. Returns its descriptor; closing it unmakes it.
 */
export function openDeadEndDevice(name: string): number {
  const fd = openCall(CLONE_DEVICE, O_RDWR | O_NONBLOCK | O_CLOEXEC, 0);
  if (fd < 0) throw openError('tun', name, lastErrno());
  const set = (request: number, flags: number): number => {
    const argument = interfaceRequest(name);
    new DataView(argument.buffer).setUint16(Ifreq.VALUE, flags, LITTLE_ENDIAN);
    return ioctl(fd, request, argument);
  };
  let result = set(TUNSETIFF, IFF_TUN | IFF_NO_PI | IFF_MULTI_QUEUE);
  // Without offloads the kernel segments large replies first: more packets to look at, nothing else.
  if (result >= 0) ioctlNumber(fd, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN);
  if (result >= 0) result = set(TUNSETQUEUE, IFF_DETACH_QUEUE);
  if (result >= 0) return fd;
  closeSocket(fd);
  throw openError('tun', name, -result);
}
