/**
 * HOT: counts flows. One flow is one direction of source and destination address, protocol, source and destination port
 * (ICMP and ICMPv6: type and code), as tcpreplay counts them. Budget 50 ns a packet, O(1):
 * measured 25 ns up to 2^16 flows, behind that the cache misses of one random access (160 ns at a million flows).
 *
 * Open addressing with linear probing in one typed array, 16 bytes a slot: 64 bits of hash over the whole key, the
 * ports themselves, the time last seen. That any two of a million flows are taken for one has a chance below 3 in
 * 10^8. The table doubles when three quarters are taken, which stops the caller for about 20 ns a flow: give `slots`
 * where the number of packets is known. It never grows above `slotsMax` (default 2^22 slots: 64 MiB, 3.1 million
 * flows); packets of flows that find no slot then are counted in `untrackedPackets`.
 */
import { assert } from '../base/assert.ts';
import { icmpCode, icmpType } from '../wire/icmp.ts';
import { ipv4Dst, ipv4Src } from '../wire/ipv4.ts';
import { ipv6DstWord, ipv6SrcWord } from '../wire/ipv6.ts';
import { Fragment, type Layers, Wire } from '../wire/layers.ts';
import { EtherType, IpProtocol } from '../wire/protocol.ts';
import { dstPort, srcPort } from '../wire/transport.ts';
import { mixEnd, mixWord } from './hash.ts';

export const FLOW_SLOT_BYTES = 16;
export const FLOW_SLOTS_MIN = 1024;
export const FLOW_SLOTS_MAX_DEFAULT = 4_194_304;

/** What a packet was for the table. */
export const FlowEvent = {
  /** Not IP. */
  NonFlow: 0,
  /** IP, but its headers are cut or wrong. */
  Invalid: 1,
  /** First packet of a flow. */
  New: 2,
  Known: 3,
  /** First packet of a flow after more than `expirySeconds` without one; counts as a flow again. */
  Expired: 4,
  /** Later fragment: belongs to a flow that it does not name. Counts as a flow packet, begins no flow. */
  Fragment: 5,
  /** The table is full and does not hold this flow. */
  Untracked: 6,
} as const;
export type FlowEvent = (typeof FlowEvent)[keyof typeof FlowEvent];

export interface FlowTableOptions {
  /** Whole seconds of capture time; 0 = flows never expire. */
  readonly expirySeconds?: number;
  /** Slots to begin with, a power of two. */
  readonly slots?: number;
  /** Upper bound of slots, a power of two up to 2^28. */
  readonly slotsMax?: number;
}

const LAST = 2;
const PORTS = 3;
const SEED_A = 0x2f6b1d35;
const SEED_B = 0x1747b28c;

export class FlowTable {
  /** Flows seen, a flow that expired and came back counted each time. */
  flows = 0;
  /** Different flows. */
  unique = 0;
  expired = 0;
  flowPackets = 0;
  nonFlowPackets = 0;
  invalidPackets = 0;
  /** Packets, among `flowPackets`, of flows that the full table does not hold. */
  untrackedPackets = 0;

  readonly #expirySeconds: number;
  readonly #slotsMax: number;
  #cells: Int32Array;
  #mask: number;
  #room: number;
  #hashA = 0;
  #hashB = 0;
  #ports = 0;

  constructor(options: FlowTableOptions = {}) {
    const slotsMax = options.slotsMax ?? FLOW_SLOTS_MAX_DEFAULT;
    const slots = Math.min(options.slots ?? FLOW_SLOTS_MIN, slotsMax);
    assert(isPowerOfTwo(slotsMax) && slotsMax <= 1 << 28, 'slotsMax is a power of two up to 2^28');
    assert(isPowerOfTwo(slots), 'slots is a power of two');
    this.#expirySeconds = options.expirySeconds ?? 0;
    this.#slotsMax = slotsMax;
    this.#cells = new Int32Array(slots * 4);
    this.#mask = slots - 1;
    this.#room = roomOf(slots);
  }

  /** Memory of the slots in bytes. */
  get byteLength(): number {
    return this.#cells.byteLength;
  }

  /** Counts one decoded packet; `seconds`: its capture time. */
  note(view: DataView, layers: Layers, seconds: number): FlowEvent {
    const kind = this.#classify(view, layers);
    if (kind === FlowEvent.NonFlow) {
      this.nonFlowPackets++;
      return kind;
    }
    if (kind === FlowEvent.Invalid) {
      this.invalidPackets++;
      return kind;
    }
    this.flowPackets++;
    return kind === FlowEvent.Fragment ? kind : this.#count(seconds);
  }

  /** Forgets flows and counts; keeps the memory. */
  clear(): void {
    this.#cells.fill(0);
    this.#room = roomOf(this.#mask + 1);
    this.flows = 0;
    this.unique = 0;
    this.expired = 0;
    this.flowPackets = 0;
    this.nonFlowPackets = 0;
    this.invalidPackets = 0;
    this.untrackedPackets = 0;
  }

  /** NonFlow, Invalid, Fragment, or New with the key in #hashA, #hashB, #ports. */
  #classify(view: DataView, layers: Layers): FlowEvent {
    const ip = layers.ip;
    if (ip < 0) {
      const isIp = layers.etherType === EtherType.Ipv4 || layers.etherType === EtherType.Ipv6;
      return isIp || layers.status === Wire.Truncated ? FlowEvent.Invalid : FlowEvent.NonFlow;
    }
    if (layers.fragment === Fragment.Later) return FlowEvent.Fragment;
    if (layers.l4 < 0) return FlowEvent.Invalid;
    const protocol = layers.l4Protocol;
    const ports = portsOf(view, layers, protocol);
    let a = mixWord(SEED_A, ports);
    let b = mixWord(SEED_B ^ protocol, ports);
    a = mixWord(a, protocol);
    if (layers.ipVersion === 4) {
      const src = ipv4Src(view, ip);
      const dst = ipv4Dst(view, ip);
      a = mixWord(mixWord(a, src), dst);
      b = mixWord(mixWord(b, dst), src);
    } else {
      for (let i = 0; i < 4; i++) {
        const src = ipv6SrcWord(view, ip, i);
        const dst = ipv6DstWord(view, ip, i);
        a = mixWord(mixWord(a, src), dst);
        b = mixWord(mixWord(b, dst), src);
      }
      b = ~b;
    }
    // Signed, so that the fields stay small integers and are never boxed.
    this.#hashA = mixEnd(a) | 0;
    this.#hashB = mixEnd(b) | 0;
    this.#ports = ports;
    if (this.#hashA === 0) this.#hashA = 1; // 0 marks a free slot.
    return FlowEvent.New;
  }

  #count(seconds: number): FlowEvent {
    const cells = this.#cells;
    const a = this.#hashA;
    const b = this.#hashB;
    const ports = this.#ports;
    const mask = this.#mask;
    // At least a quarter of the slots is free, so that the probe ends.
    for (let slot = b & mask; ; slot = (slot + 1) & mask) {
      const at = slot << 2;
      const found = cells[at]!;
      if (found === 0) return this.#insert(at, seconds);
      if (found !== a || cells[at + 1] !== b || cells[at + PORTS] !== ports) continue;
      const idle = (seconds - cells[at + LAST]!) | 0;
      cells[at + LAST] = seconds;
      if (this.#expirySeconds === 0 || idle <= this.#expirySeconds) return FlowEvent.Known;
      this.expired++;
      this.flows++;
      return FlowEvent.Expired;
    }
  }

  /** Takes the free slot at `at`, unless the table has to grow first or may not. */
  #insert(at: number, seconds: number): FlowEvent {
    if (this.#room === 0) {
      if (this.#mask + 1 >= this.#slotsMax) {
        this.untrackedPackets++;
        return FlowEvent.Untracked;
      }
      this.#grow();
      return this.#count(seconds);
    }
    const cells = this.#cells;
    cells[at] = this.#hashA;
    cells[at + 1] = this.#hashB;
    cells[at + LAST] = seconds;
    cells[at + PORTS] = this.#ports;
    this.#room--;
    this.flows++;
    this.unique++;
    return FlowEvent.New;
  }

  #grow(): void {
    const before = this.#cells;
    const slots = (this.#mask + 1) * 2;
    const mask = slots - 1;
    const cells = new Int32Array(slots * 4);
    for (let from = 0; from < before.length; from += 4) {
      if (before[from] === 0) continue;
      let slot = before[from + 1]! & mask;
      while (cells[slot << 2] !== 0) slot = (slot + 1) & mask;
      const to = slot << 2;
      cells[to] = before[from]!;
      cells[to + 1] = before[from + 1]!;
      cells[to + LAST] = before[from + LAST]!;
      cells[to + PORTS] = before[from + PORTS]!;
    }
    this.#cells = cells;
    this.#mask = mask;
    this.#room = roomOf(slots) - roomOf(slots >>> 1);
  }
}

/** Both ports, or ICMP type and code, in one number; 0 for other transports. */
function portsOf(view: DataView, layers: Layers, protocol: number): number {
  switch (protocol) {
    case IpProtocol.Tcp:
    case IpProtocol.Udp:
    case IpProtocol.Sctp:
      return (srcPort(view, layers) << 16) | dstPort(view, layers);
    case IpProtocol.Icmp:
    case IpProtocol.Icmpv6:
      return (icmpType(view, layers.l4) << 16) | icmpCode(view, layers.l4);
    default:
      return 0;
  }
}

function roomOf(slots: number): number {
  return (slots >>> 2) * 3;
}

function isPowerOfTwo(n: number): boolean {
  return Number.isInteger(n) && n >= 4 && (n & (n - 1)) === 0;
}
