/**
 * The descriptor behind this thread's event loop (libuv's epoll), for a thread that waits in the kernel for something
 * else as well: it is readable when the event loop has something to do but for timers.
 */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

const FDS = '/proc/self/fd';
const EPOLL = 'anon_inode:[eventpoll]';

/**
 * `watched`: a descriptor that this thread's event loop has been watching for a turn. -1: it is not found, and the
 * caller has to give the event loop a turn now and then.
 */
export function eventLoopDescriptor(watched: number): number {
  const target = new RegExp(`^tfd:\\s+${watched}\\s`, 'm');
  try {
    for (const name of readdirSync(FDS)) {
      if (linkOf(name) === EPOLL && target.test(readFileSync(`/proc/self/fdinfo/${name}`, 'utf8'))) return Number(name);
    }
  } catch {
    // No /proc here.
  }
  return -1;
}

function linkOf(name: string): string {
  try {
    return readlinkSync(`${FDS}/${name}`);
  } catch {
    // Closed meanwhile: the descriptor of the listing itself.
    return '';
  }
}
