/**
 * A name that one process holds for as long as it lives: an abstract Unix socket address (unix(7)), which belongs to a
 * network namespace as its rules and routes do, needs no file, and is free again at once after kill -9.
 */
import { OperatorError } from '../base/errors.ts';
import { describeErrno, Errno } from '../sys/errno.ts';
import { AF_UNIX, LITTLE_ENDIAN, SOCK_SEQPACKET } from '../sys/layout.ts';
import { bindSocket, closeSocket, openSocket } from '../sys/socket.ts';

const FAMILY_BYTES = 2;

/** Takes the name; null where another holder lives, in this process or another one. Throws SYSTEM. */
export function lockName(name: string): NameLock | null {
  const text = Buffer.from(name, 'utf8');
  // sockaddr_un: the family, and a path whose first byte is 0.
  const address = new Uint8Array(FAMILY_BYTES + 1 + text.length);
  new DataView(address.buffer).setUint16(0, AF_UNIX, LITTLE_ENDIAN);
  address.set(text, FAMILY_BYTES + 1);
  const fd = openSocket(AF_UNIX, SOCK_SEQPACKET, 0, `the lock ${name}`);
  const errno = bindSocket(fd, address);
  if (errno === 0) return new NameLock(fd);
  closeSocket(fd);
  if (errno === Errno.EADDRINUSE) return null;
  throw new OperatorError('SYSTEM', `cannot take the lock ${name}: ${describeErrno(errno)}`);
}

export class NameLock {
  #fd: number;

  constructor(fd: number) {
    this.#fd = fd;
  }

  release(): void {
    if (this.#fd >= 0) closeSocket(this.#fd);
    this.#fd = -1;
  }
}
