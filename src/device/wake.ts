/**
 * Wakes a thread that waits in the kernel for several descriptors: one end of a pair of sockets is among them, and
 * another thread writes to the other. Descriptors belong to the process: numbers are handed to threads as they are.
 */

import { MSG_DONTWAIT } from '../sys/layout.ts';
import { closeSocket, messagePair, receiveNow, send } from '../sys/socket.ts';

const SOMETHING = Uint8Array.of(1);
const seen = new Uint8Array(1);

export class Waker {
  /** To wait for. */
  readonly fd: number;
  readonly #writeFd: number;
  #isOpen = true;

  /** Throws RESOURCE. */
  constructor() {
    [this.fd, this.#writeFd] = messagePair();
  }

  /** The waiting thread returns from its wait, or from its next one. */
  wake(): void {
    // A full socket has woken it already.
    if (this.#isOpen) send(this.#writeFd, SOMETHING, MSG_DONTWAIT);
  }

  /** Precondition: nobody waits any more. */
  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    closeSocket(this.fd);
    closeSocket(this.#writeFd);
  }
}

/** For the thread that was woken: whether it was, since the last call. */
export function takeWake(fd: number): boolean {
  let isWoken = false;
  while (receiveNow(fd, seen) > 0) isWoken = true;
  return isWoken;
}
