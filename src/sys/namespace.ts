/** Network namespaces: the calling thread enters one, and what it opens there stays there. */
import fs from 'node:fs';
import { OperatorError } from '../base/errors.ts';
import { describeErrno, Errno } from './errno.ts';
import { declare, lastErrno } from './libc.ts';
import { permissionRemedy } from './permission.ts';

/** A network namespace to do something in. */
export interface NamespaceSpec {
  /** `/run/netns/NAME` or `/proc/PID/ns/net`. */
  readonly path: string;
  /** As in messages: `network namespace web`. */
  readonly label: string;
}

// include/uapi/linux/sched.h
const CLONE_NEWNET = 0x40000000;

let setns: ((fd: number, type: number) => number) | null = null;

function enter(fd: number, what: string): void {
  setns ??= declare('int setns(int fd, int type)') as (fd: number, type: number) => number;
  if (setns(fd, CLONE_NEWNET) === 0) return;
  const errno = lastErrno();
  if (errno === Errno.EPERM) {
    throw new OperatorError('PERMISSION', `no permission to enter ${what}: ${permissionRemedy('CAP_SYS_ADMIN')}`);
  }
  throw new OperatorError('SYSTEM', `cannot enter ${what}: ${describeErrno(errno)}`);
}

function openNamespace(path: string, what: string): number {
  try {
    return fs.openSync(path, 'r');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') {
      const remedy = path.startsWith('/proc/') ? 'ps -e shows processes' : 'ip netns list shows the names';
      throw new OperatorError('INTERFACE', `there is no ${what}: ${remedy}`);
    }
    if (code === 'EACCES') {
      throw new OperatorError('PERMISSION', `no permission to open ${what}: run with sudo`, { cause: error });
    }
    throw new OperatorError('SYSTEM', `cannot open ${what}: ${code}`, { cause: error });
  }
}

/** Moves this thread into the namespace for good. */
export function enterNamespace({ path, label }: NamespaceSpec): void {
  const fd = openNamespace(path, label);
  try {
    enter(fd, label);
  } finally {
    fs.closeSync(fd);
  }
}

/** Runs `use` with this thread inside the namespace, and comes back; null: where it is. `use` must be synchronous. */
export function insideNamespace<T>(namespace: NamespaceSpec | null, use: () => T): T {
  if (namespace === null) return use();
  const home = openNamespace('/proc/thread-self/ns/net', 'network namespace of this thread');
  try {
    enterNamespace(namespace);
    try {
      return use();
    } finally {
      enter(home, 'the namespace of before');
    }
  } finally {
    fs.closeSync(home);
  }
}
