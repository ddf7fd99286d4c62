/** HOT: what two replies to one request have in common: counted, and where they differ perhaps kept. 60 ns. */
import { CELLS, Cell, SessionFlag } from '../session_cells.ts';
import { EX_TIMES, EX_WORDS, Ex, type Exchanges, ExTime, Mark } from './exchanges.ts';
import { CompareCount, CompareHistogram, type CompareRow, DIFFERENCES, Sample } from './rows.ts';

const STATUS = DIFFERENCES.indexOf('status');
const MISSING_TARGET = DIFFERENCES.indexOf('missingTarget');
const MISSING_PRODUCTION = DIFFERENCES.indexOf('missingProduction');
const BYTES = DIFFERENCES.indexOf('bytes');

export class Verdict {
  readonly #row: CompareRow;
  readonly #exchanges: Exchanges;
  readonly #sessions: Int32Array;

  /** `sessions`: the cells of the engine's table. */
  constructor(row: CompareRow, exchanges: Exchanges, sessions: Int32Array) {
    this.#row = row;
    this.#exchanges = exchanges;
    this.#sessions = sessions;
  }

  /** Judges exchange `x` of session `s`. `mayBeOnItsWay`: a half that is missing is not missed. */
  judge(s: number, x: number, mayBeOnItsWay: boolean): void {
    const row = this.#row;
    const { times, words } = this.#exchanges;
    const t = x * EX_TIMES;
    const hasProduction = times[t + ExTime.ProductionBytes]! > 0;
    const hasTarget = times[t + ExTime.TargetBytes]! > 0;
    const isEarly = (words[x * EX_WORDS + Ex.Marks]! & Mark.Early) !== 0;
    if (isEarly && (hasProduction || hasTarget) && !this.#isAlike(x)) row.bump(CompareCount.Early);
    else if (hasProduction && hasTarget) this.#compare(s, x);
    else if (mayBeOnItsWay) row.bump(CompareCount.Unfinished);
    else if (hasProduction) {
      row.bump(CompareCount.MissingTarget);
      this.#keep(s, x, MISSING_TARGET);
    } else if (hasTarget) {
      row.bump(CompareCount.MissingProduction);
      this.#keep(s, x, MISSING_PRODUCTION);
    } else if (words[x * EX_WORDS + Ex.Ordinal]! > 0) row.bump(CompareCount.Unanswered);
  }

  #isAlike(x: number): boolean {
    const { times, words } = this.#exchanges;
    const w = x * EX_WORDS;
    const t = x * EX_TIMES;
    if (words[w + Ex.ProductionStatus] !== words[w + Ex.TargetStatus]) return false;
    return times[t + ExTime.ProductionBytes] === times[t + ExTime.TargetBytes];
  }

  #compare(s: number, x: number): void {
    const row = this.#row;
    const { times, words } = this.#exchanges;
    const t = x * EX_TIMES;
    const production = words[x * EX_WORDS + Ex.ProductionStatus]!;
    const target = words[x * EX_WORDS + Ex.TargetStatus]!;
    const productionBytes = times[t + ExTime.ProductionBytes]!;
    const targetBytes = times[t + ExTime.TargetBytes]!;
    row.bump(CompareCount.Compared);
    row.counts[CompareCount.ProductionBytes]! += productionBytes;
    row.counts[CompareCount.TargetBytes]! += targetBytes;
    row.record(CompareHistogram.ProductionBytes, productionBytes);
    row.record(CompareHistogram.TargetBytes, targetBytes);
    if (production !== 0 || target !== 0) {
      row.bump(CompareCount.Http);
      row.addStatuses(production, target);
      if (production === target) row.bump(CompareCount.StatusEqual);
    }
    if (productionBytes === targetBytes) row.bump(CompareCount.BytesEqual);
    if (production !== target) this.#keep(s, x, STATUS);
    else if (productionBytes !== targetBytes) this.#keep(s, x, BYTES);
    else row.bump(CompareCount.Same);
    // What a server says first answers no request.
    if (words[x * EX_WORDS + Ex.Ordinal] === 0) return;
    row.record(CompareHistogram.ProductionFirst, this.#since(t, ExTime.ProductionRequest, ExTime.ProductionFirst));
    row.record(CompareHistogram.ProductionLast, this.#since(t, ExTime.ProductionRequest, ExTime.ProductionLast));
    row.record(CompareHistogram.TargetFirst, this.#since(t, ExTime.TargetRequest, ExTime.TargetFirst));
    row.record(CompareHistogram.TargetLast, this.#since(t, ExTime.TargetRequest, ExTime.TargetLast));
  }

  /** A reply may begin before the request has ended: 0 then. NaN where there is none. */
  #since(t: number, from: number, to: number): number {
    const { times } = this.#exchanges;
    return Math.max(0, (times[t + to]! - times[t + from]!) * this.#scale(from));
  }

  /** Sessions out of files are played `productionScale` times as fast as they were. */
  productionScale = 1;

  #scale(from: number): number {
    return from === ExTime.ProductionRequest ? this.productionScale : 1;
  }

  #keep(s: number, x: number, kind: number): void {
    const row = this.#row;
    const to = row.sampleAt(kind);
    if (to < 0) return;
    const { samples } = row;
    const { times, words } = this.#exchanges;
    const at = s * CELLS;
    const w = x * EX_WORDS;
    const t = x * EX_TIMES;
    const sessions = this.#sessions;
    for (let word = 0; word < 4; word++) samples[to + Sample.Address0 + word] = sessions[at + Cell.Address0 + word]!;
    samples[to + Sample.Port] = sessions[at + Cell.PortTarget]! >>> 16;
    samples[to + Sample.Target] = sessions[at + Cell.PortTarget]! & 0xffff;
    samples[to + Sample.IsIpv6] = (sessions[at + Cell.Flags]! & SessionFlag.Ipv6) !== 0 ? 1 : 0;
    samples[to + Sample.Ordinal] = words[w + Ex.Ordinal]!;
    samples[to + Sample.At] = times[t + ExTime.TargetRequest]!;
    samples[to + Sample.ProductionStatus] = words[w + Ex.ProductionStatus]!;
    samples[to + Sample.TargetStatus] = words[w + Ex.TargetStatus]!;
    samples[to + Sample.ProductionBytes] = times[t + ExTime.ProductionBytes]!;
    samples[to + Sample.TargetBytes] = times[t + ExTime.TargetBytes]!;
    samples[to + Sample.ProductionFirst] = this.#since(t, ExTime.ProductionRequest, ExTime.ProductionFirst);
    samples[to + Sample.ProductionLast] = this.#since(t, ExTime.ProductionRequest, ExTime.ProductionLast);
    samples[to + Sample.TargetFirst] = this.#since(t, ExTime.TargetRequest, ExTime.TargetFirst);
    samples[to + Sample.TargetLast] = this.#since(t, ExTime.TargetRequest, ExTime.TargetLast);
  }
}
