/**
 * Fragroute's rules over the packets of a capture (Dug Song's fragroute, after Ptacek and Newsham 1998): what an
 * attacker does to get past whatever looks at packets on the way. IPv4 and IPv6; the same seed gives the same packets.
 */
import { FrameBatch } from '../../base/batch.ts';
import { plainRegion } from '../../base/region.ts';
import { Rng } from '../../base/rng.ts';
import { decode } from '../../wire/decode.ts';
import { Layers } from '../../wire/layers.ts';
import { Emitter } from '../emitter.ts';
import { Packet } from './packet.ts';
import type { Rule, RuleContext } from './rule.ts';
import { parseRules } from './rules.ts';

/** Packets that one may become: a packet of 65,535 bytes in fragments of 8, with noise. */
const MADE_MAX = 16_384;

export class Fragroute {
  /** Lines of `echo` and `print` since they were last taken. */
  readonly lines: string[] = [];
  /** IP packets that the capture had cut: rules need all of a packet. */
  cut = 0;
  /** Packets that would have become more than can be held. */
  tooMany = 0;
  readonly #rules: readonly Rule[];
  readonly #context: RuleContext;
  readonly #layers: Layers = new Layers();
  readonly #emitter: Emitter = new Emitter();
  readonly #out: FrameBatch = new FrameBatch(MADE_MAX, plainRegion(0));

  constructor(rules: readonly Rule[], seed: number) {
    this.#rules = rules;
    this.#context = { rng: new Rng(seed), say: (line) => this.lines.push(line) };
  }

  /** No rule was given. */
  get isIdle(): boolean {
    return this.#rules.length === 0;
  }

  /**
   * What frame `i` becomes: frames in the scratch of its region, valid until the scratch is reset or the next call.
   * Null: it stays as it is: no IP packet, or one that the capture has cut (`cut`), or too many would come out
   * (`tooMany`).
   */
  pass(batch: FrameBatch, i: number): FrameBatch | null {
    const layers = this.#layers;
    const at = batch.at[i]!;
    decode(batch.region.view, at, at + batch.caplen[i]!, batch.linktype[i]!, layers);
    if (layers.ip < 0) return null;
    if (layers.ipCut || layers.ipLengthZero) {
      this.cut++;
      return null;
    }
    const { bytes } = batch.region;
    let packets = [new Packet(bytes.slice(layers.ip, layers.ipEnd), false)];
    for (const rule of this.#rules) {
      packets = rule(packets, this.#context);
      if (packets.length <= MADE_MAX) continue;
      this.tooMany++;
      return null;
    }
    const out = this.#out;
    out.count = 0;
    out.region = batch.region;
    out.numberFirst = batch.numberFirst + i;
    this.#emitter.begin(batch, i, out, layers);
    for (const packet of packets) {
      if (this.#emit(packet, batch, i)) continue;
      this.tooMany++;
      return null;
    }
    return out;
  }

  /** The link header of frame `i`, and the packet behind it. A packet that no rule touched keeps its padding. */
  #emit(packet: Packet, batch: FrameBatch, i: number): boolean {
    const { bytes } = batch.region;
    const at = batch.at[i]!;
    const linkLen = this.#layers.ip - at;
    const length = packet.isMade ? linkLen + packet.bytes.length : batch.caplen[i]!;
    const to = this.#emitter.frame(length);
    if (to < 0) return false;
    bytes.copyWithin(to, at, packet.isMade ? at + linkLen : at + length);
    if (!packet.isMade) {
      // what the capture left out of the padding
      const out = this.#out;
      out.len[out.count - 1] = batch.len[i]!;
      return true;
    }
    bytes.set(packet.bytes, to + linkLen);
    this.#emitter.fixLinkLengths(to, length);
    return true;
  }
}

/** `path` is for messages. Throws `OperatorError('USAGE')` naming the line that is wrong. */
export function parseFragroute(path: string, text: string, seed: number): Fragroute {
  return new Fragroute(parseRules(path, text), seed);
}
