/** The outputs of a spec as open sinks. */

import { OperatorError } from '../base/errors.ts';
import type { Region } from '../base/region.ts';
import { FaultSink } from '../device/fault.ts';
import { openFileSink, TraceSink } from '../device/file.ts';
import { openSink } from '../device/open.ts';
import type { Sink } from '../device/sink.ts';
import type { OutputSpec, ReplaySpec } from './spec.ts';

/** Ethernet's, and room for its header; a VLAN tag comes on top. */
const MTU_DEFAULT = 1500;
const LINK_HEADER_BYTES = 14;

/** Opens every output for one worker. `fileLinktype`: LINKTYPE_ of captures that are written. Throws OperatorError. */
export function openOutputs(spec: ReplaySpec, worker: number, fileLinktype: number): Sink[] {
  const outputs = spec.secondary === null ? [spec.primary] : [spec.primary, spec.secondary];
  const sinks: Sink[] = [];
  try {
    for (const output of outputs) sinks.push(openOutput(spec, output, worker, fileLinktype));
    return sinks;
  } catch (error) {
    for (const sink of sinks) sink.close();
    throw error;
  }
}

function openOutput(spec: ReplaySpec, output: OutputSpec, worker: number, fileLinktype: number): Sink {
  const bare = openBare(spec, output, worker, fileLinktype);
  const sink = output.copyTo === undefined ? bare : new TraceSink(bare, { path: output.copyTo });
  if (spec.impair === null) return sink;
  return new FaultSink(sink, { dropPercent: spec.impair.lossPercent, seed: spec.impair.seed + worker });
}

function openBare(spec: ReplaySpec, output: OutputSpec, worker: number, fileLinktype: number): Sink {
  const { name, backend, qdiscBypass, batchFrames } = output;
  if (output.kind === 'file' || backend === 'file') {
    return openFileSink({ path: name, linktype: fileLinktype, ...fileLimit(spec) });
  }
  return openSink({ name, backend, qdiscBypass, worker, ...(batchFrames === undefined ? {} : { batchFrames }) });
}

/** A file takes any frame, unless the operator has said what to do with frames above `--mtu`. */
function fileLimit(spec: ReplaySpec): { frameBytesMax?: number } {
  if (spec.oversize === 'error') return {};
  return { frameBytesMax: (spec.rewrite?.mtuBytes ?? MTU_DEFAULT) + LINK_HEADER_BYTES };
}

/**
 * AF_XDP can send straight from the memory that a preloaded capture lies in (docs/decisions/0003-af-xdp.md): a quarter
 * faster for long frames. Where the kernel refuses that memory, frames are copied as before.
 */
export function sendFrom(spec: ReplaySpec, sinks: Sink[], worker: number, region: Region): void {
  const { name, backend, copyTo } = spec.primary;
  if (backend !== 'af_xdp' || sinks.length !== 1 || spec.impair !== null || copyTo !== undefined) return;
  sinks[0]!.close();
  try {
    sinks[0] = openSink({ name, backend, worker, umem: region });
  } catch (error) {
    if (!(error instanceof OperatorError)) throw error;
    sinks[0] = openSink({ name, backend, worker });
  }
}
