/**
 * HOT: edits of IPv4, IPv6, ARP and of the ports and sequence numbers above them. Every checksum that covers an edited
 * field is updated by the difference (RFC 1624): a true one stays true, a wrong one stays as wrong as it was.
 * Differences add up in the frame: whoever calls tells them to the checksums (`applyPending`) before anything else
 * looks at those.
 */
import {
  ArpOperation,
  arpOperation,
  arpSenderIp,
  arpTargetIp,
  isArpIpv4,
  setArpSenderIp,
  setArpTargetIp,
} from '../wire/arp.ts';
import {
  ipv4Dst,
  ipv4DstAt,
  ipv4Src,
  ipv4Tos,
  ipv4Ttl,
  setIpv4Dst,
  setIpv4Src,
  setIpv4Tos,
  setIpv4Ttl,
} from '../wire/ipv4.ts';
import {
  ipv6DstAt,
  ipv6FlowLabel,
  ipv6HopLimit,
  ipv6SrcAt,
  ipv6TrafficClass,
  setIpv6FlowLabel,
  setIpv6HopLimit,
  setIpv6TrafficClass,
} from '../wire/ipv6.ts';
import { IpProtocol } from '../wire/protocol.ts';
import { seqAdd } from '../wire/seq.ts';
import {
  setTcpAck,
  setTcpDstPort,
  setTcpSeq,
  setTcpSrcPort,
  TcpFlag,
  tcpAck,
  tcpDstPort,
  tcpFlags,
  tcpSeq,
  tcpSrcPort,
} from '../wire/tcp.ts';
import { coveredDstAt } from '../wire/transport.ts';
import { AddressEditor } from './address_editor.ts';
import { EmbeddedEditor } from './embedded_editor.ts';
import type { Frame } from './frame.ts';
import { portTable } from './port_map.ts';
import { tcpSequenceShift } from './prng.ts';
import { shiftSackBlocks } from './sack.ts';
import type { AddressMap, RewriteSpec, TtlRule } from './spec.ts';
import { longDelta, wordDelta } from './transport_sum.ts';

/** Address editors by direction: [client to server, server to client]. */
export interface AddressEditors {
  readonly source: readonly AddressEditor[];
  readonly destination: readonly AddressEditor[];
}

export class IpEditor {
  readonly #tos: number;
  readonly #trafficClass: number;
  readonly #flowLabel: number;
  readonly #ttlMode: TtlRule['mode'] | null;
  readonly #ttlValue: number;
  readonly #ports: Uint16Array | null;
  readonly #shift: number;
  readonly #shifts: boolean;
  readonly #shiftsSack: boolean;
  readonly #addresses: AddressEditors;
  readonly #arp: AddressEditors;
  /** `editHeaders` does something. */
  readonly editsHeaders: boolean;
  /** `editAddresses` does something. */
  readonly editsAddresses: boolean;
  readonly #mapsAddresses: boolean;
  readonly #editsArp: boolean;
  readonly #embedded: EmbeddedEditor;

  constructor(spec: RewriteSpec) {
    this.#tos = spec.tos ?? -1;
    this.#trafficClass = spec.trafficClass ?? -1;
    this.#flowLabel = spec.flowLabel ?? -1;
    this.#ttlMode = spec.ttl?.mode ?? null;
    this.#ttlValue = spec.ttl?.value ?? 0;
    this.#ports = spec.portMap.length === 0 ? null : portTable(spec.portMap);
    this.#shifts = spec.tcpSequenceSeed !== null;
    this.#shift = spec.tcpSequenceSeed === null ? 0 : tcpSequenceShift(spec.tcpSequenceSeed);
    this.#shiftsSack = this.#shifts && spec.compat === 'none';
    this.#addresses = addressEditors(spec, spec.sourceMap, spec.destinationMap);
    this.#arp = addressEditors(spec, [], []);
    this.#mapsAddresses = !isIdle(this.#addresses);
    this.#editsArp = !isIdle(this.#arp);
    this.editsAddresses = this.#mapsAddresses || this.#editsArp || this.#ports !== null || this.#shifts;
    const fields = [spec.tos, spec.trafficClass, spec.flowLabel, spec.ttl, this.#ports];
    this.editsHeaders = this.#shifts || fields.some((field) => field !== null);
    this.#embedded = new EmbeddedEditor(this.#addresses, this.#ports, this.#shift, spec.compat === 'none');
  }

  /** Headers and ports: what comes before fuzzing. */
  editHeaders(frame: Frame): void {
    const { layers } = frame;
    if (layers.ip < 0) return;
    if (layers.ipVersion === 4) this.#headers4(frame, layers.ip);
    else this.#headers6(frame, layers.ip);
    const l4 = layers.l4;
    if (l4 < 0) return;
    if (this.#ports !== null) this.#editPorts(frame, l4, this.#ports);
    if (this.#shifts && layers.l4Protocol === IpProtocol.Tcp) this.#editSequence(frame, l4);
  }

  /** Addresses, and what ICMP errors quote: what comes after fuzzing. */
  editAddresses(frame: Frame): void {
    const { layers } = frame;
    if (layers.ip >= 0) {
      if (layers.embedded >= 0) this.#embedded.edit(frame);
      if (!this.#mapsAddresses) return;
      if (layers.ipVersion === 4) this.#addresses4(frame, layers.ip);
      else this.#addresses6(frame, layers.ip);
    } else if (layers.arp >= 0 && this.#editsArp) {
      this.#editArp(frame, layers.arp);
    }
  }

  #headers4(frame: Frame, ip: number): void {
    const view = frame.view;
    if (this.#tos >= 0 && ipv4Tos(view, ip) !== this.#tos) {
      frame.ipSum += wordDelta(ipv4Tos(view, ip), this.#tos);
      setIpv4Tos(view, ip, this.#tos);
      frame.changed = true;
    }
    if (this.#ttlMode !== null) {
      const before = ipv4Ttl(view, ip);
      const after = this.#ttl(before);
      if (after !== before) {
        frame.ipSum += wordDelta(before << 8, after << 8);
        setIpv4Ttl(view, ip, after);
        frame.changed = true;
      }
    }
  }

  #headers6(frame: Frame, ip: number): void {
    const view = frame.view;
    if (this.#trafficClass >= 0 && ipv6TrafficClass(view, ip) !== this.#trafficClass) {
      setIpv6TrafficClass(view, ip, this.#trafficClass);
      frame.changed = true;
    }
    if (this.#flowLabel >= 0 && ipv6FlowLabel(view, ip) !== this.#flowLabel) {
      setIpv6FlowLabel(view, ip, this.#flowLabel);
      frame.changed = true;
    }
    if (this.#ttlMode !== null) {
      const before = ipv6HopLimit(view, ip);
      const after = this.#ttl(before);
      if (after !== before) {
        setIpv6HopLimit(view, ip, after);
        frame.changed = true;
      }
    }
  }

  #ttl(before: number): number {
    if (this.#ttlMode === 'set') return this.#ttlValue;
    if (this.#ttlMode === 'add') return Math.min(255, before + this.#ttlValue);
    return Math.max(1, before - this.#ttlValue);
  }

  /** UDP has its ports where TCP has them. */
  #editPorts(frame: Frame, l4: number, ports: Uint16Array): void {
    const { view, layers } = frame;
    if (layers.l4Protocol !== IpProtocol.Tcp && layers.l4Protocol !== IpProtocol.Udp) return;
    const source = tcpSrcPort(view, l4);
    const destination = tcpDstPort(view, l4);
    const newSource = ports[source]!;
    const newDestination = ports[destination]!;
    if (newSource !== source) {
      setTcpSrcPort(view, l4, newSource);
      frame.transportSum += wordDelta(source, newSource);
      frame.changed = true;
    }
    if (newDestination !== destination) {
      setTcpDstPort(view, l4, newDestination);
      frame.transportSum += wordDelta(destination, newDestination);
      frame.changed = true;
    }
  }

  #editSequence(frame: Frame, l4: number): void {
    const view = frame.view;
    const seq = tcpSeq(view, l4);
    const newSeq = seqAdd(seq, this.#shift);
    setTcpSeq(view, l4, newSeq);
    frame.transportSum += longDelta(seq, newSeq);
    const flags = tcpFlags(view, l4);
    const isPureSyn = (flags & TcpFlag.Syn) !== 0 && (flags & TcpFlag.Ack) === 0;
    if (!isPureSyn) {
      const ack = tcpAck(view, l4);
      const newAck = seqAdd(ack, this.#shift);
      setTcpAck(view, l4, newAck);
      frame.transportSum += longDelta(ack, newAck);
    }
    if (this.#shiftsSack && frame.layers.payload > 0) shiftSackBlocks(view, l4, this.#shift);
    frame.changed = true;
  }

  #addresses4(frame: Frame, ip: number): void {
    const { view, layers, direction } = frame;
    const source = ipv4Src(view, ip) | 0;
    const newSource = this.#addresses.source[direction]!.map4(source);
    if (newSource !== source) {
      setIpv4Src(view, ip, newSource);
      const delta = longDelta(source, newSource);
      frame.ipSum += delta;
      frame.transportSum += delta;
      frame.changed = true;
    }
    const destination = ipv4Dst(view, ip) | 0;
    const newDestination = this.#addresses.destination[direction]!.map4(destination);
    if (newDestination !== destination) {
      const delta = longDelta(destination, newDestination);
      if (coveredDstAt(view, layers) === ipv4DstAt(ip)) frame.transportSum += delta;
      setIpv4Dst(view, ip, newDestination);
      frame.ipSum += delta;
      frame.changed = true;
    }
  }

  #addresses6(frame: Frame, ip: number): void {
    const { view, layers, direction } = frame;
    const source = this.#addresses.source[direction]!.edit6(view, ipv6SrcAt(ip));
    const destination = this.#addresses.destination[direction]!.edit6(view, ipv6DstAt(ip));
    if (source === 0 && destination === 0) return;
    frame.changed = true;
    frame.transportSum += coveredDstAt(view, layers) === ipv6DstAt(ip) ? source + destination : source;
  }

  /** A request's sender is looked up among the destinations: the reference tool's rule. */
  #editArp(frame: Frame, arp: number): void {
    const { view, direction } = frame;
    const operation = arpOperation(view, arp);
    if (!isArpIpv4(view, arp)) return;
    if (operation !== ArpOperation.Request && operation !== ArpOperation.Reply) return;
    const asks = operation === ArpOperation.Request;
    const senderEditor = (asks ? this.#arp.destination : this.#arp.source)[direction]!;
    const targetEditor = (asks ? this.#arp.source : this.#arp.destination)[direction]!;
    const sender = arpSenderIp(view, arp) | 0;
    const target = arpTargetIp(view, arp) | 0;
    const newSender = senderEditor.map4(sender);
    const newTarget = targetEditor.map4(target);
    if (newSender === sender && newTarget === target) return;
    setArpSenderIp(view, arp, newSender);
    setArpTargetIp(view, arp, newTarget);
    frame.changed = true;
  }
}

function isIdle(editors: AddressEditors): boolean {
  return editors.source.every((editor) => editor.idle) && editors.destination.every((editor) => editor.idle);
}

function addressEditors(spec: RewriteSpec, sourceMap: AddressMap, destinationMap: AddressMap): AddressEditors {
  const first = spec.pnat[0] ?? [];
  const second = spec.pnat[1] ?? first;
  const editor = (map: AddressMap, nat: AddressMap): AddressEditor =>
    new AddressEditor([map, nat], spec.seed, spec.skipBroadcast, spec.compat === 'none');
  return {
    source: [editor(sourceMap, first), editor(sourceMap, second)],
    destination: [editor(destinationMap, second), editor(destinationMap, first)],
  };
}
