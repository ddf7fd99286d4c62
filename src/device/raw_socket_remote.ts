/**
 * The `raw_socket` sink for workers: the package runs in a process of its own (`raw_socket_child.ts`), as it refuses to
 * run in a worker. Packets go there over a socket pair, one message each; a message of one byte asks what became of
 * them, so the counts are true after each `flush`.
 */
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { BATCH_FRAMES } from '../base/batch.ts';
import { type ErrorCode, OperatorError } from '../base/errors.ts';
import type { Region } from '../base/region.ts';
import { POLLIN } from '../sys/layout.ts';
import { closeSocket, messagePair, pollDescriptor, receive, send, setSendBuffer } from '../sys/socket.ts';
import { LINKTYPE_RAW } from './link.ts';
import { MessageQueue } from './message_queue.ts';
import { QueuedSink } from './queued_sink.ts';
import { SinkCounters, type SinkLimits } from './sink.ts';

/** Descriptor of the socket in the child. */
export const CHILD_DESCRIPTOR = 3;
/** The message that asks for an answer; no IP packet is that short. */
export const QUESTION: Uint8Array = Uint8Array.of(0x3f);
export const ANSWER_BYTES_MAX = 65_536;

/** What the child says: once when it is ready, then what became of the packets since its last answer. */
export interface RawSocketAnswer {
  readonly error: { readonly code: ErrorCode; readonly message: string } | null;
  readonly sent: number;
  readonly sentBytes: number;
  readonly retriedNoBufs: number;
  readonly retriedAgain: number;
  readonly causes: readonly (readonly [string, number])[];
}

/** Of both sinks of this package. */
export const RAW_SOCKET_LIMITS: SinkLimits = {
  linktype: LINKTYPE_RAW,
  frameBytesMax: 65_535,
  batchFramesMax: BATCH_FRAMES,
  retainsFrames: false,
};

const START_MS_MAX = 10_000;
const ANSWER_MS_MAX = 10_000;
const HEADER_BYTES_MIN = 20;
const SEND_BUFFER_BYTES = 4 * 1024 * 1024;

class RemoteRawSocketSink extends QueuedSink<MessageQueue> {
  readonly #fd: number;

  constructor(fd: number) {
    super('raw_socket', RAW_SOCKET_LIMITS, new MessageQueue(fd, BATCH_FRAMES, 0), () => closeSocket(fd));
    this.#fd = fd;
  }

  override push(region: Region, at: number, length: number): boolean {
    if (this.fault !== null) return false;
    if (length < HEADER_BYTES_MIN) {
      this.counters.fail('not an IP packet');
      return true;
    }
    return this.queue.push(region, at, length);
  }

  override flush(): number {
    if (this.queue.count === 0) return 0;
    // Handed over is not sent yet: the child's answer counts.
    const handed = new SinkCounters();
    this.queue.flush(handed);
    for (const [cause, frames] of handed.causes) this.counters.fail(cause, frames);
    const answer = send(this.#fd, QUESTION, 0) === QUESTION.length ? readAnswer(this.#fd, ANSWER_MS_MAX) : null;
    if (answer === null) {
      this.counters.fail('device gone', handed.sent);
      this.fault = new OperatorError('SYSTEM', 'the process that sends through raw-socket has ended: run again');
      return 0;
    }
    this.counters.sent += answer.sent;
    this.counters.sentBytes += answer.sentBytes;
    this.counters.retriedNoBufs += answer.retriedNoBufs;
    this.counters.retriedAgain += answer.retriedAgain;
    for (const [cause, frames] of answer.causes) this.counters.fail(cause, frames);
    if (answer.error !== null) this.fault = new OperatorError(answer.error.code, answer.error.message);
    return answer.sent;
  }
}

function readAnswer(fd: number, timeoutMs: number): RawSocketAnswer | null {
  if (pollDescriptor(fd, POLLIN, timeoutMs) === 0) return null;
  const buffer = new Uint8Array(ANSWER_BYTES_MAX);
  const bytes = receive(fd, buffer, 0);
  if (bytes <= 0) return null;
  return JSON.parse(new TextDecoder().decode(buffer.subarray(0, bytes))) as RawSocketAnswer;
}

/** Starts the process and waits until its sockets are open. Throws what the package's opening throws there. */
export function openRemoteRawSocketSink(): RemoteRawSocketSink {
  const [fd, childFd] = messagePair();
  setSendBuffer(fd, SEND_BUFFER_BYTES);
  const script = fileURLToPath(new URL('./raw_socket_child.js', import.meta.url));
  const child = spawn(process.execPath, [script], { stdio: ['ignore', 'ignore', 'inherit', childFd] });
  child.unref();
  closeSocket(childFd);
  const ready = readAnswer(fd, START_MS_MAX);
  if (ready !== null && ready.error === null) return new RemoteRawSocketSink(fd);
  closeSocket(fd);
  if (ready === null)
    throw new OperatorError('SYSTEM', 'the process for raw-socket did not start: use --backend raw_ip');
  throw new OperatorError(ready.error!.code, ready.error!.message);
}
