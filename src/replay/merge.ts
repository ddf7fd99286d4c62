/** Many workers' results as one report. */
import { HISTOGRAM_CELLS, histogramAdd, histogramQuantile } from '../base/histogram.ts';
import { NS_PER_SECOND } from '../base/units.ts';
import { CAUSE_NAMES, isFault } from './causes.ts';
import type { OutputResult, WorkerResult } from './messages.ts';
import { Cell, type Progress } from './progress.ts';
import type { FlowReport, LatenessReport, OutputReport, ReplayReport, WireReport } from './report.ts';
import { SendEnd } from './send.ts';
import type { ReplaySpec } from './spec.ts';

export interface RunTimes {
  readonly startedAtMs: number;
  readonly finishedAtMs: number;
  readonly interrupted: boolean;
}

export function mergeReport(
  spec: ReplaySpec,
  results: readonly WorkerResult[],
  wires: readonly (WireReport | null)[],
  times: RunTimes,
  progress: Progress,
): ReplayReport {
  const outputs = results[0]!.outputs.map((_, k) =>
    mergeOutput(
      results.map((result) => result.outputs[k]!),
      wires[k] ?? null,
    ),
  );
  const tally = sumArrays(results.map((result) => result.tally));
  const failed = sum(outputs, (output) => output.failed);
  const putAside = tally.reduce((total, packets) => total + packets, 0);
  const faults = tally.reduce((total, packets, cause) => total + (isFault(cause) ? packets : 0), 0);
  const fault = results.map((result) => result.fault?.message ?? null).find((message) => message !== null) ?? null;
  const wireShort = outputs.some((output) => output.wire !== null && output.wire.packets < output.sent);
  const stopped = results.some((result) => result.end === SendEnd.Stopped);
  return {
    ...times,
    interrupted: times.interrupted && stopped,
    seconds: results.reduce((most, result) => Math.max(most, result.endNs), 0) / NS_PER_SECOND,
    loops: Math.min(...results.map((result) => result.loops)),
    files: spec.inputs.map((path, k) => ({ path, ...results[0]!.files[k]! })),
    packets: {
      read: sum(results, (result) => result.read),
      sent: sum(outputs, (output) => output.sent),
      failed: failed + faults,
      skipped: putAside - faults,
    },
    bytesSent: sum(outputs, (output) => output.sentBytes),
    latenessNs: latenessOf(spec, progress),
    wire: mergeWires(outputs),
    flows: mergeFlows(outputs.map((output) => output.flows)),
    drops: dropsOf(results, tally),
    edited: sum(results, (result) => result.edited),
    notEditable: addUp(results.map((result) => result.notEditable)),
    outputs,
    fault,
    complete: failed + faults === 0 && fault === null && !wireShort && !stopped,
  };
}

function sum<T>(items: readonly T[], of: (item: T) => number): number {
  return items.reduce((total, item) => total + of(item), 0);
}

function sumArrays(arrays: readonly (readonly number[])[]): number[] {
  return arrays[0]!.map((_, k) => sum(arrays, (array) => array[k]!));
}

function mergeOutput(parts: readonly OutputResult[], wire: WireReport | null): OutputReport {
  const first = parts[0]!;
  return {
    name: first.name,
    backend: first.backend,
    sent: sum(parts, (part) => part.sent),
    sentBytes: sum(parts, (part) => part.sentBytes),
    failed: sum(parts, (part) => part.failed),
    truncated: sum(parts, (part) => part.truncated),
    retriedNoBufs: sum(parts, (part) => part.retriedNoBufs),
    retriedAgain: sum(parts, (part) => part.retriedAgain),
    flows: mergeFlows(parts.map((part) => part.flows)),
    wire,
  };
}

function mergeFlows(parts: readonly (FlowReport | null)[]): FlowReport | null {
  const counted = parts.filter((part) => part !== null);
  if (counted.length === 0) return null;
  return {
    flows: sum(counted, (part) => part.flows),
    unique: sum(counted, (part) => part.unique),
    expired: sum(counted, (part) => part.expired),
    flowPackets: sum(counted, (part) => part.flowPackets),
    nonFlowPackets: sum(counted, (part) => part.nonFlowPackets),
    invalidPackets: sum(counted, (part) => part.invalidPackets),
  };
}

function mergeWires(outputs: readonly OutputReport[]): WireReport | null {
  const wires = outputs.map((output) => output.wire).filter((wire) => wire !== null);
  if (wires.length === 0) return null;
  return { packets: sum(wires, (wire) => wire.packets), dropped: sum(wires, (wire) => wire.dropped) };
}

function latenessOf(spec: ReplaySpec, progress: Progress): LatenessReport | null {
  if (spec.rate.kind === 'topspeed' || spec.rate.kind === 'oneatatime') return null;
  const cells = new Int32Array(HISTOGRAM_CELLS);
  for (let worker = 0; worker < progress.workers; worker++) histogramAdd(cells, progress.histogram(worker));
  const max = progress.max(Cell.LatenessMax);
  return {
    p50: Math.min(max, histogramQuantile(cells, 0.5)),
    p99: Math.min(max, histogramQuantile(cells, 0.99)),
    max,
  };
}

function addUp(records: readonly Readonly<Record<string, number>>[]): Record<string, number> {
  const total: Record<string, number> = {};
  for (const record of records) {
    for (const [name, count] of Object.entries(record)) total[name] = (total[name] ?? 0) + count;
  }
  return total;
}

/** Every packet that was read and did not leave, by cause: ours by name, the kernel's by errno. */
function dropsOf(results: readonly WorkerResult[], tally: readonly number[]): Record<string, number> {
  const drops: Record<string, number> = {};
  tally.forEach((packets, cause) => {
    if (packets > 0) drops[CAUSE_NAMES[cause]!] = packets;
  });
  return addUp([
    drops,
    ...results.flatMap((result) => result.outputs.map((output) => Object.fromEntries(output.causes))),
  ]);
}
