/** HOT: adds an outer VLAN tag to an Ethernet frame, or removes the outermost one. */
import { ETHERNET_HEADER_LEN, ethernetType } from '../wire/ethernet.ts';
import { isVlanType, setVlanTci, setVlanTpid, VLAN_TAG_LEN, vlanDei, vlanPriority } from '../wire/vlan.ts';
import type { Frame } from './frame.ts';
import type { VlanRule } from './spec.ts';

/** Both MAC addresses: what stands in front of the tag. */
const MACS_LEN = 12;

export class VlanEditor {
  /** Bytes that a frame grows by. */
  readonly growBytes: number;
  readonly #adds: boolean;
  readonly #tag: number;
  readonly #tpid: number;
  /** -1: as the outermost tag. */
  readonly #priority: number;
  readonly #cfi: number;

  constructor(rule: VlanRule) {
    this.#adds = rule.kind === 'add';
    this.growBytes = rule.kind === 'add' ? VLAN_TAG_LEN : 0;
    this.#tag = rule.kind === 'add' ? rule.tag : 0;
    this.#tpid = rule.kind === 'add' ? rule.tpid : 0;
    this.#priority = rule.kind === 'add' ? (rule.priority ?? -1) : 0;
    this.#cfi = rule.kind === 'add' ? (rule.cfi ?? -1) : 0;
  }

  /**
   * Edits the Ethernet header at `layers.macs`; what lies in front of it moves with it. Precondition for adding:
   * `makeRoom(growBytes, 0)`. Layers behind the header keep their place in the region.
   */
  apply(frame: Frame): void {
    const { view, bytes, layers, at } = frame;
    const macs = layers.macs;
    const tagged = isVlanType(ethernetType(view, macs));
    if (!this.#adds) {
      if (!tagged || macs + ETHERNET_HEADER_LEN + VLAN_TAG_LEN > frame.end) return;
      bytes.copyWithin(at + VLAN_TAG_LEN, at, macs + MACS_LEN);
      frame.growFront(-VLAN_TAG_LEN);
      layers.macs = macs + VLAN_TAG_LEN;
    } else {
      const inner = macs + ETHERNET_HEADER_LEN;
      const copies = tagged && inner + VLAN_TAG_LEN <= frame.end;
      const priority = this.#priority >= 0 ? this.#priority : copies ? vlanPriority(view, inner) : 0;
      const cfi = this.#cfi >= 0 ? this.#cfi : copies ? vlanDei(view, inner) : 0;
      bytes.copyWithin(at - VLAN_TAG_LEN, at, macs + MACS_LEN);
      frame.growFront(VLAN_TAG_LEN);
      layers.macs = macs - VLAN_TAG_LEN;
      const vlan = layers.macs + ETHERNET_HEADER_LEN;
      setVlanTpid(view, vlan, this.#tpid);
      setVlanTci(view, vlan, this.#tag, priority, cfi);
    }
    frame.changed = true;
  }
}
