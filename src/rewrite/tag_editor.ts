/**
 * HOT: `--vlan`: VLAN tags pushed, popped, set and mapped at any depth, one rule after another. A rule about a tag that
 * is not there leaves the frame alone.
 */
import { ETHERNET_HEADER_LEN, ethernetTypeAt } from '../wire/ethernet.ts';
import type { Layers } from '../wire/layers.ts';
import {
  isVlanType,
  setVlanDei,
  setVlanId,
  setVlanPriority,
  setVlanTci,
  setVlanTpid,
  VLAN_TAG_LEN,
  vlanDei,
  vlanId,
  vlanPriority,
  vlanTpid,
} from '../wire/vlan.ts';
import type { Frame } from './frame.ts';
import type { TagRule } from './spec.ts';

const TPID_LEN = 2;

/** Where the first TPID or, without tags, the EtherType stands; -1: this framing has no place for tags. */
export function tagsAt(layers: Layers): number {
  if (layers.vlan >= 0) return layers.vlan - TPID_LEN;
  if (layers.macs >= 0) return ethernetTypeAt(layers.macs);
  return layers.etherTypeAt;
}

export class TagEditor {
  /** Most bytes that a frame grows by. */
  readonly growBytes: number;
  /** Some rule asks for a place to put a tag. */
  readonly pushes: boolean;
  readonly #rules: readonly TagRule[];

  constructor(rules: readonly TagRule[]) {
    this.#rules = rules;
    this.growBytes = rules.filter((rule) => rule.kind === 'push').length * VLAN_TAG_LEN;
    this.pushes = this.growBytes > 0;
  }

  /** Preconditions: `tagsAt(layers) >= 0`, `makeRoom(growBytes, 0)`. Layers behind the tags keep their place. */
  apply(frame: Frame): void {
    let isReshaped = false;
    for (let r = 0; r < this.#rules.length; r++) {
      const rule = this.#rules[r]!;
      switch (rule.kind) {
        case 'push':
          isReshaped = push(frame, rule) || isReshaped;
          break;
        case 'pop':
          isReshaped = pop(frame, rule.depth) || isReshaped;
          break;
        case 'set':
          set(frame, rule);
          break;
        case 'map':
          map(frame, rule);
          break;
      }
    }
    if (isReshaped) frame.decode();
  }
}

/** Offset of the TCI of the tag at `depth`, 0 = outermost; -1: there is none. */
function tagAt(frame: Frame, depth: number): number {
  const { view, layers, end } = frame;
  let type = tagsAt(layers);
  for (let n = 0; type + TPID_LEN + VLAN_TAG_LEN <= end && isVlanType(view.getUint16(type)); n++) {
    if (n === depth) return type + TPID_LEN;
    type += VLAN_TAG_LEN;
  }
  return -1;
}

/** Priority and drop bit that the rule leaves open are those of the tag that it goes in front of. */
function push(frame: Frame, rule: Extract<TagRule, { kind: 'push' }>): boolean {
  const { view, bytes, layers, at } = frame;
  // Deeper than the tags that are there: no such place.
  const before = rule.depth === 0 ? tagsAt(layers) : tagAt(frame, rule.depth - 1) + TPID_LEN;
  if (before < TPID_LEN) return false;
  const next = tagAt(frame, rule.depth);
  const priority = rule.priority ?? (next < 0 ? 0 : vlanPriority(view, next));
  const dei = rule.dei ?? (next < 0 ? 0 : vlanDei(view, next));
  bytes.copyWithin(at - VLAN_TAG_LEN, at, before);
  frame.growFront(VLAN_TAG_LEN);
  const vlan = before - VLAN_TAG_LEN + TPID_LEN;
  setVlanTpid(view, vlan, rule.tpid);
  setVlanTci(view, vlan, rule.vid, priority, dei);
  moved(frame, -VLAN_TAG_LEN);
  return true;
}

function pop(frame: Frame, depth: number | 'all'): boolean {
  if (depth !== 'all') return popAt(frame, depth);
  let popped = false;
  while (popAt(frame, 0)) popped = true;
  return popped;
}

function popAt(frame: Frame, depth: number): boolean {
  const { bytes, at } = frame;
  const vlan = tagAt(frame, depth);
  if (vlan < 0) return false;
  bytes.copyWithin(at + VLAN_TAG_LEN, at, vlan - TPID_LEN);
  frame.growFront(-VLAN_TAG_LEN);
  moved(frame, VLAN_TAG_LEN);
  return true;
}

/** What stands in front of the tags has moved by `bytes`; the first tag is looked for anew. */
function moved(frame: Frame, bytes: number): void {
  const { layers } = frame;
  if (layers.macs >= 0) layers.macs += bytes;
  layers.etherTypeAt = layers.macs >= 0 ? layers.macs + ETHERNET_HEADER_LEN - TPID_LEN : tagsAt(layers) + bytes;
  layers.vlan = -1;
  frame.changed = true;
}

function set(frame: Frame, rule: Extract<TagRule, { kind: 'set' }>): void {
  const { view } = frame;
  const vlan = tagAt(frame, rule.depth);
  if (vlan < 0) return;
  const { value } = rule;
  switch (rule.field) {
    case 'vid':
      if (vlanId(view, vlan) === value) return;
      setVlanId(view, vlan, value);
      break;
    case 'pri':
      if (vlanPriority(view, vlan) === value) return;
      setVlanPriority(view, vlan, value);
      break;
    case 'dei':
      if (vlanDei(view, vlan) === value) return;
      setVlanDei(view, vlan, value);
      break;
    case 'tpid':
      if (vlanTpid(view, vlan) === value) return;
      setVlanTpid(view, vlan, value);
      break;
  }
  frame.changed = true;
}

function map(frame: Frame, rule: Extract<TagRule, { kind: 'map' }>): void {
  const { view } = frame;
  const { depth } = rule;
  let n = depth === 'all' ? 0 : depth;
  for (let vlan = tagAt(frame, n); vlan >= 0; vlan = tagAt(frame, ++n)) {
    const id = vlanId(view, vlan);
    const mapped = id >= rule.first && id <= rule.last ? id - rule.first + rule.to : id;
    if (mapped !== id) {
      setVlanId(view, vlan, mapped);
      frame.changed = true;
    }
    if (depth !== 'all') return;
  }
}
