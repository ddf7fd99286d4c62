/** Runs a function with this thread inside another network namespace: sockets made there stay there. */
import fs from 'node:fs';
import { declare } from '../../src/sys/libc.ts';

const setns = declare('int setns(int fd, int type)');
const CLONE_NEWNET = 0x40000000;

/** Preconditions: root; `netns` is a name of `ip netns`. Programs started inside run there, too. */
export function inNamespace<T>(netns: string, run: () => T): T {
  const home = fs.openSync('/proc/thread-self/ns/net', 'r');
  const there = fs.openSync(`/run/netns/${netns}`, 'r');
  try {
    if (setns(there, CLONE_NEWNET) !== 0) throw new Error(`cannot enter ${netns}`);
    return run();
  } finally {
    setns(home, CLONE_NEWNET);
    fs.closeSync(home);
    fs.closeSync(there);
  }
}
