/** A sending thread: opens its inputs and outputs, says that it is ready, sends on command, reports. */
import { parentPort, workerData } from 'node:worker_threads';
import { OperatorError } from '../base/errors.ts';
import { LOSS_CAUSE } from '../device/fault.ts';
import { anonymousRegion, becomeRealtime, SystemClock } from '../device/host.ts';
import type { Sink } from '../device/sink.ts';
import { openCapture } from '../pcap/index.ts';
import { Edit } from '../rewrite/rewriter.ts';
import { Cause } from './causes.ts';
import { Engine, type EngineResult } from './engine.ts';
import { inputBytes, isKept, lookAtInputs, refuseOversize, rehearse, sharingStreams } from './input.ts';
import type { ErrorMessage, OutputResult, WorkerMessage, WorkerResult, WorkerStart } from './messages.ts';
import { openOutputs, sendFrom } from './output.ts';
import type { Stages } from './prepare.ts';
import { Cell, Command, Progress } from './progress.ts';
import type { Ask } from './send.ts';
import { buildStages, editedLinktype } from './stages.ts';

function post(message: WorkerMessage): void {
  parentPort!.postMessage(message);
}

function describe(error: unknown): ErrorMessage {
  const known = error instanceof Error ? error : new Error(String(error));
  const code = known instanceof OperatorError ? known.code : null;
  return { code, message: known.message, stack: known.stack ?? '' };
}

function asker(start: WorkerStart, progress: Progress): Ask | null {
  if (start.spec.rate.kind !== 'oneatatime' || !start.asks) return null;
  return (packet, sink) => {
    post({ kind: 'ask', packet, sink });
    for (;;) {
      const answer = progress.takeAnswer(100);
      if (answer >= 0) return answer;
      if (progress.command === Command.Stop) return 0;
    }
  };
}

function outputResult(start: WorkerStart, route: number, sink: Sink, stages: Stages, row: Float64Array): OutputResult {
  const spec = route === 0 ? start.spec.primary : start.spec.secondary!;
  const counters = sink.counters;
  const planned = counters.causes.get(LOSS_CAUSE) ?? 0;
  return {
    name: sink.name,
    backend: spec.backend,
    sent: counters.sent,
    sentBytes: counters.sentBytes,
    failed: counters.failed - planned,
    truncated: row[Cell.Truncated + route]!,
    retriedNoBufs: counters.retriedNoBufs,
    retriedAgain: counters.retriedAgain,
    causes: [...counters.causes].filter(([cause]) => cause !== LOSS_CAUSE),
    flows: stages.flows.report(route),
  };
}

/** Packets dropped because `--loss` asked for it. */
function plannedLoss(sinks: readonly Sink[]): number {
  return sinks.reduce((total, sink) => total + (sink.counters.causes.get(LOSS_CAUSE) ?? 0), 0);
}

function workerResult(
  start: WorkerStart,
  result: EngineResult,
  sinks: readonly Sink[],
  stages: Stages,
  row: Float64Array,
): WorkerResult {
  return {
    end: result.end,
    fault: result.fault === null ? null : describe(result.fault),
    loops: result.loops,
    endNs: result.endNs,
    read: row[Cell.Read]!,
    tally: [...result.tally].map((packets, cause) => (cause === Cause.Impaired ? plannedLoss(sinks) : packets)),
    edited: result.edits[Edit.Edited]!,
    notEditable: stages.rewriter?.counters.failures() ?? {},
    files: result.files,
    outputs: sinks.map((sink, route) => outputResult(start, route, sink, stages, row)),
  };
}

function send(start: WorkerStart): void {
  const { spec, worker } = start;
  const progress = new Progress(spec.workers, start.shared);
  const clock = new SystemClock(start.epochSeconds, spec.timer);
  const shouldStop = (): boolean => progress.command === Command.Stop;
  const openReader = sharingStreams((path) => openCapture(path, { shouldStop }));
  const keep = isKept(spec);
  const row = progress.row(worker);
  const facts = lookAtInputs(spec, openReader, (packets) => {
    row[Cell.Prepared] = packets;
  });
  const sinks = openOutputs(spec, worker, editedLinktype(spec, facts.linktype));
  if (worker === 0 && !keep) refuseOversize(spec, sinks, facts);
  const stages = buildStages(spec, worker, sinks, facts);
  if (worker === 0) rehearse(spec, buildStages(spec, worker, sinks, facts), facts, openReader, sinks);
  const engine = new Engine({
    spec,
    worker,
    progress,
    clock,
    sinks,
    stages,
    openReader,
    makeRegion: anonymousRegion,
    ask: asker(start, progress),
    keep,
    expectedBytes: inputBytes(spec),
  });
  engine.load();
  if (spec.realtime) becomeRealtime();
  if (engine.region !== null) sendFrom(spec, sinks, worker, engine.region);
  if (spec.rate.kind !== 'topspeed') clock.warmUp();
  post({ kind: 'ready', packets: facts.packets, warnings: facts.warnings });
  progress.waitWhile(Command.Wait, Number.POSITIVE_INFINITY);
  const result = engine.run();
  post({ kind: 'done', result: workerResult(start, result, sinks, stages, progress.row(worker)) });
  // TAP and TUN devices live as long as they are open: the main thread still reads their counters.
  while (progress.command !== Command.Stop) progress.waitWhile(progress.command, 1000);
  engine.release();
}

/** What a worker does with its `workerData`. */
export function runSendingThread(): void {
  try {
    send(workerData as WorkerStart);
  } catch (error) {
    post({ kind: 'failed', error: describe(error) });
  }
}
