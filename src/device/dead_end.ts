/** An interface that leads nowhere: what is routed into it is seen by captures and by nobody else. */
import { OperatorError } from '../base/errors.ts';
import { describeErrno } from '../sys/errno.ts';
import { bringInterfaceUp } from '../sys/interface.ts';
import { closeSocket } from '../sys/socket.ts';
import { openDeadEndDevice } from '../sys/tun.ts';

export interface DeadEnd {
  readonly name: string;
  /** Takes the interface away, and with it the routes into it. Happens by itself when the process ends. */
  close(): void;
}

/** Makes the interface and sets it up. Throws PERMISSION, UNSUPPORTED or INTERFACE with the line to type. */
export function openDeadEnd(name: string): DeadEnd {
  const fd = openDeadEndDevice(name);
  const errno = bringInterfaceUp(name);
  if (errno !== 0) {
    closeSocket(fd);
    throw new OperatorError('INTERFACE', `cannot set ${name} up: ${describeErrno(errno)}`);
  }
  let isOpen = true;
  return {
    name,
    close() {
      if (isOpen) closeSocket(fd);
      isOpen = false;
    },
  };
}
