/** HOT: whose packet it is (worker, shard), and how many flows there are. One decode serves both. */
import type { FrameBatch } from '../base/batch.ts';
import { type FlowKey, FlowTable, flowHash, shardOf } from '../flow/index.ts';
import { decode } from '../wire/decode.ts';
import { Layers } from '../wire/layers.ts';
import type { FlowReport } from './report.ts';
import type { ReplaySpec } from './spec.ts';

export class FlowStage {
  readonly #worker: number;
  readonly #workers: number;
  readonly #shard: number;
  readonly #shards: number;
  readonly #key: FlowKey;
  /** One per output; none when flows are not counted. */
  readonly #tables: readonly FlowTable[];
  readonly #hashes: boolean;
  readonly #layers = new Layers();

  /** `key`: what makes packets stay together (`flow/hash.ts`). */
  constructor(spec: ReplaySpec, worker: number, key: FlowKey) {
    this.#worker = worker;
    this.#workers = spec.workers;
    this.#shard = spec.shard?.index ?? 0;
    this.#shards = spec.shard?.count ?? 1;
    this.#key = key;
    this.#hashes = this.#workers > 1 || this.#shards > 1;
    const outputs = spec.secondary === null ? 1 : 2;
    const options = { expirySeconds: spec.flows.expirySeconds };
    this.#tables = spec.flows.enabled ? Array.from({ length: outputs }, () => new FlowTable(options)) : [];
  }

  /** Decodes frame `i` where that is needed; returns its flow's hash, 0 where nobody asks. */
  look(batch: FrameBatch, i: number): number {
    if (!this.#hashes && this.#tables.length === 0) return 0;
    const at = batch.at[i]!;
    const view = batch.region.view;
    decode(view, at, at + batch.caplen[i]!, batch.linktype[i]!, this.#layers);
    return this.#hashes ? flowHash(view, this.#layers, this.#key) : 0;
  }

  isMine(hash: number): boolean {
    // The shard has used the hash's high half; workers share what is left by the low half.
    return this.#workers === 1 || (hash & 0xffff) % this.#workers === this.#worker;
  }

  inShard(hash: number): boolean {
    return this.#shards === 1 || shardOf(hash, this.#shards) === this.#shard;
  }

  /** Counts the packet last looked at. */
  count(batch: FrameBatch, i: number, route: number): void {
    if (this.#tables.length > 0) this.#tables[route]!.note(batch.region.view, this.#layers, batch.sec[i]!);
  }

  report(route: number): FlowReport | null {
    const table = this.#tables[route];
    if (table === undefined) return null;
    const { flows, unique, expired, flowPackets, nonFlowPackets, invalidPackets } = table;
    return { flows, unique, expired, flowPackets, nonFlowPackets, invalidPackets };
  }
}
