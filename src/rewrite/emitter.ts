/** HOT: frames made out of one frame: written into the region's scratch, appended to a batch, all or none. */
import type { FrameBatch } from '../base/batch.ts';
import { type Region, scratchReserve } from '../base/region.ts';
import { ETHERNET_HEADER_LEN, ethernetType, setEthernetType } from '../wire/ethernet.ts';
import { findLayer, LayerKind, type Layers } from '../wire/layers.ts';
import { PPPOE_HEADER_LEN, setPppoeLength } from '../wire/pppoe.ts';
import { ETHERTYPE_MIN } from '../wire/protocol.ts';

export class Emitter {
  region: Region | null = null;
  #from: FrameBatch | null = null;
  #index = 0;
  #out: FrameBatch | null = null;
  #scratchBefore = 0;
  #countBefore = 0;
  // Where the link header says lengths, from the frame's first byte; -1: it does not.
  #pppoe = -1;
  #lengthFrame = false;

  begin(batch: FrameBatch, i: number, out: FrameBatch, layers: Layers): void {
    this.region = batch.region;
    this.#from = batch;
    this.#index = i;
    this.#out = out;
    this.#scratchBefore = batch.region.scratchNext;
    this.#countBefore = out.count;
    const pppoe = findLayer(layers, LayerKind.Pppoe);
    this.#pppoe = pppoe < 0 ? -1 : layers.at[pppoe]! - batch.at[i]!;
    this.#lengthFrame = layers.macs === batch.at[i]! && ethernetType(batch.region.view, layers.macs) < ETHERTYPE_MIN;
  }

  /** Reserves a frame of `length` bytes; its offset, or -1 after `undo` when there is no room. */
  frame(length: number): number {
    const out = this.#out!;
    const from = this.#from!;
    const at = out.count < out.capacity ? scratchReserve(from.region, length) : -1;
    if (at < 0) {
      this.undo();
      return -1;
    }
    const i = this.#index;
    const k = out.count++;
    out.at[k] = at;
    out.caplen[k] = length;
    out.len[k] = length;
    out.sec[k] = from.sec[i]!;
    out.nsec[k] = from.nsec[i]!;
    out.linktype[k] = from.linktype[i]!;
    out.interfaceIndex[k] = from.interfaceIndex[i]!;
    return at;
  }

  /** Cuts `bytes` off the end of the last frame. */
  shorten(bytes: number): void {
    const out = this.#out!;
    const k = out.count - 1;
    out.caplen[k] = out.caplen[k]! - bytes;
    out.len[k] = out.caplen[k]!;
  }

  /** Sets the lengths that PPPoE and 802.3 headers say, once the link header is copied to `at`. */
  fixLinkLengths(at: number, length: number): void {
    const view = this.region!.view;
    if (this.#pppoe >= 0) setPppoeLength(view, at + this.#pppoe, length - this.#pppoe - PPPOE_HEADER_LEN);
    if (this.#lengthFrame) setEthernetType(view, at, length - ETHERNET_HEADER_LEN);
  }

  /** Takes back every frame since `begin`. */
  undo(): void {
    this.#from!.region.scratchNext = this.#scratchBefore;
    this.#out!.count = this.#countBefore;
  }
}
