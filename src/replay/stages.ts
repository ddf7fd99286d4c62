/** The stages of preparation for one worker, made from the spec. */
import type { FrameBatch } from '../base/batch.ts';
import { openFrameFilter } from '../device/filter.ts';
import type { Sink } from '../device/sink.ts';
import type { Classifier } from '../flow/direction.ts';
import type { FlowKey } from '../flow/hash.ts';
import { type PrepCache, PrepVerdict, readPrepCache } from '../pcap/index.ts';
import { compileRewriter } from '../rewrite/index.ts';
import { openAdapter } from './adapt.ts';
import { Cause } from './causes.ts';
import { FlowStage } from './flows.ts';
import { OversizeStage } from './oversize.ts';
import type { Router, Stages } from './prepare.ts';
import { Select } from './select.ts';
import { Route } from './sendbatch.ts';
import type { ReplaySpec } from './spec.ts';

export interface StageFacts {
  /** Link type of the first packet, which the filter is compiled for. */
  readonly linktype: number;
  readonly flowKey: FlowKey;
  /** Of a split of kind auto; otherwise null. */
  readonly direction: Classifier | null;
}

/** Throws OperatorError for a filter, a cache file or an output that cannot be used. */
export function buildStages(spec: ReplaySpec, worker: number, sinks: readonly Sink[], facts: StageFacts): Stages {
  const rewriter = spec.rewrite === null ? null : compileRewriter(spec.rewrite);
  const outputs = spec.secondary === null ? [spec.primary] : [spec.primary, spec.secondary];
  const grows = rewriter?.growBytesMax ?? 0;
  const filter = spec.select.filter === null ? null : openFrameFilter(spec.select.filter, facts.linktype);
  return {
    select: new Select(spec.select, filter),
    router: routerOf(spec, facts),
    rewriter,
    adapters: sinks.map((sink, route) => openAdapter(spec, outputs[route]!, sink, grows)),
    oversize: new OversizeStage(spec.oversize, sinks),
    flows: new FlowStage(spec, worker, facts.flowKey),
    originalLength: spec.originalLength,
    prepareAll: spec.workers > 1 && editsDecideSchedule(spec),
  };
}

/** Link type that packets of link type `linktype` have behind the edits: what is written to a file. */
export function editedLinktype(spec: ReplaySpec, linktype: number): number {
  return spec.rewrite === null ? linktype : compileRewriter(spec.rewrite).linktypeAfter(linktype);
}

/** What an edit makes of a packet decides when the packets behind it are due, so every worker must make it. */
function editsDecideSchedule(spec: ReplaySpec): boolean {
  const { rate, rewrite } = spec;
  if (rewrite?.fuzz !== null && rewrite?.fuzz !== undefined) return true;
  if (rate.kind === 'topspeed') return spec.select.limit > 0 && spec.oversize !== 'error';
  const countsBytes = rate.kind === 'mbps' || rate.kind === 'profile';
  return (countsBytes && (rewrite !== null || spec.originalLength)) || spec.oversize !== 'error';
}

function routerOf(spec: ReplaySpec, facts: StageFacts): Router | null {
  if (spec.split.kind === 'cache') return new CacheRouter(readPrepCache(spec.split.path));
  return facts.direction === null ? null : new DirectionRouter(facts.direction);
}

/** Clients to primary, servers to secondary. */
class DirectionRouter implements Router {
  readonly #classifier: Classifier;

  constructor(classifier: Classifier) {
    this.#classifier = classifier;
  }

  route(_packetNumber: number, batch: FrameBatch, i: number): number {
    return this.#classifier.isPrimary(this.#classifier.look(batch, i)) ? Route.Primary : Route.Secondary;
  }
}

/** A tcpprep cache. Packet numbers start at 1 in each file and loop. */
class CacheRouter implements Router {
  readonly #cache: PrepCache;

  constructor(cache: PrepCache) {
    this.#cache = cache;
  }

  route(packetNumber: number): number {
    if (packetNumber > this.#cache.packets) return -1 - Cause.CacheShort;
    const verdict = this.#cache.verdictOf(packetNumber);
    if (verdict === PrepVerdict.Skip) return -1 - Cause.CacheSkip;
    return verdict === PrepVerdict.Primary ? Route.Primary : Route.Secondary;
  }
}
