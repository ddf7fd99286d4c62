/**
 * The process behind `raw_socket_remote.ts`: takes packets from the socket it was started with, sends them through the
 * package raw-socket, says what became of them when asked. Ends when the other end is closed.
 */
import { OperatorError } from '../base/errors.ts';
import { anonymousRegion } from '../sys/memory.ts';
import { receive, send } from '../sys/socket.ts';
import { openRawSocketSink } from './raw_socket.ts';
import { CHILD_DESCRIPTOR, QUESTION, type RawSocketAnswer } from './raw_socket_remote.ts';
import type { Sink } from './sink.ts';

const PACKET_BYTES_MAX = 65_536;

function say(answer: RawSocketAnswer): void {
  send(CHILD_DESCRIPTOR, new TextEncoder().encode(JSON.stringify(answer)), 0);
}

const NOTHING: RawSocketAnswer = {
  error: null,
  sent: 0,
  sentBytes: 0,
  retriedNoBufs: 0,
  retriedAgain: 0,
  causes: [],
};

function report(sink: Sink): void {
  const { counters } = sink;
  const error = sink.fault === null ? null : { code: 'SYSTEM' as const, message: sink.fault.message };
  say({
    error,
    sent: counters.sent,
    sentBytes: counters.sentBytes,
    retriedNoBufs: counters.retriedNoBufs,
    retriedAgain: counters.retriedAgain,
    causes: [...counters.causes],
  });
  counters.sent = 0;
  counters.sentBytes = 0;
  counters.retriedNoBufs = 0;
  counters.retriedAgain = 0;
  counters.failed = 0;
  counters.causes.clear();
}

function serve(sink: Sink): void {
  const region = anonymousRegion(PACKET_BYTES_MAX);
  for (;;) {
    const bytes = receive(CHILD_DESCRIPTOR, region.bytes, 0);
    if (bytes <= 0) return;
    if (bytes === QUESTION.length) {
      report(sink);
      continue;
    }
    // One at a time: the next message is received into the same place.
    if (sink.push(region, 0, bytes)) sink.flush();
    else sink.counters.fail('device gone');
  }
}

try {
  const sink = openRawSocketSink();
  say(NOTHING);
  try {
    serve(sink);
  } finally {
    // Its sockets are all that keeps this process.
    sink.close();
  }
} catch (error) {
  const code = error instanceof OperatorError ? error.code : 'SYSTEM';
  say({ ...NOTHING, error: { code, message: (error as Error).message } });
}
