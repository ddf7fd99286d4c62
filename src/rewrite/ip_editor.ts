/**
 * HOT: edits of IPv4, IPv6, ARP and of the ports and sequence numbers above them. Every checksum that covers an edited
 * field is updated by the difference (RFC 1624): a true one stays true, a wrong one stays as wrong as it was.
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
import { sumDelta32 } from '../wire/checksum.ts';
import {
  ipv4Dst,
  ipv4DstAt,
  ipv4Src,
  ipv4Tos,
  ipv4Ttl,
  rewriteIpv4Dst,
  rewriteIpv4Src,
  rewriteIpv4Tos,
  rewriteIpv4Ttl,
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
  rewriteTcpAck,
  rewriteTcpDstPort,
  rewriteTcpSeq,
  rewriteTcpSrcPort,
  TcpFlag,
  tcpAck,
  tcpDstPort,
  tcpFlags,
  tcpSeq,
  tcpSrcPort,
} from '../wire/tcp.ts';
import { coveredDstAt } from '../wire/transport.ts';
import { rewriteUdpDstPort, rewriteUdpSrcPort, udpDstPort, udpSrcPort } from '../wire/udp.ts';
import { AddressEditor } from './address_editor.ts';
import { EmbeddedEditor } from './embedded_editor.ts';
import type { Frame } from './frame.ts';
import { portTable } from './port_map.ts';
import { tcpSequenceShift } from './prng.ts';
import { shiftSackBlocks } from './sack.ts';
import type { AddressMap, RewriteSpec, TtlRule } from './spec.ts';
import { applyToTransport } from './transport_sum.ts';

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
      rewriteIpv4Tos(view, ip, this.#tos);
      frame.changed = true;
    }
    if (this.#ttlMode !== null) {
      const before = ipv4Ttl(view, ip);
      const after = this.#ttl(before);
      if (after !== before) {
        rewriteIpv4Ttl(view, ip, after);
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

  #editPorts(frame: Frame, l4: number, ports: Uint16Array): void {
    const { view, layers } = frame;
    if (layers.l4Protocol === IpProtocol.Tcp) {
      const source = tcpSrcPort(view, l4);
      const destination = tcpDstPort(view, l4);
      if (ports[source]! !== source) {
        rewriteTcpSrcPort(view, l4, ports[source]!);
        frame.changed = true;
      }
      if (ports[destination]! !== destination) {
        rewriteTcpDstPort(view, l4, ports[destination]!);
        frame.changed = true;
      }
    } else if (layers.l4Protocol === IpProtocol.Udp) {
      const source = udpSrcPort(view, l4);
      const destination = udpDstPort(view, l4);
      if (ports[source]! !== source) {
        rewriteUdpSrcPort(view, l4, ports[source]!);
        frame.changed = true;
      }
      if (ports[destination]! !== destination) {
        rewriteUdpDstPort(view, l4, ports[destination]!);
        frame.changed = true;
      }
    }
  }

  #editSequence(frame: Frame, l4: number): void {
    const view = frame.view;
    rewriteTcpSeq(view, l4, seqAdd(tcpSeq(view, l4), this.#shift));
    const flags = tcpFlags(view, l4);
    const isPureSyn = (flags & TcpFlag.Syn) !== 0 && (flags & TcpFlag.Ack) === 0;
    if (!isPureSyn) rewriteTcpAck(view, l4, seqAdd(tcpAck(view, l4), this.#shift));
    if (this.#shiftsSack && frame.layers.payload > 0) shiftSackBlocks(view, l4, this.#shift);
    frame.changed = true;
  }

  #addresses4(frame: Frame, ip: number): void {
    const { view, layers, direction } = frame;
    const source = ipv4Src(view, ip) | 0;
    const newSource = this.#addresses.source[direction]!.map4(source);
    let delta = 0;
    if (newSource !== source) {
      rewriteIpv4Src(view, ip, newSource);
      delta = sumDelta32(delta, source, newSource);
    }
    const destination = ipv4Dst(view, ip) | 0;
    const newDestination = this.#addresses.destination[direction]!.map4(destination);
    if (newDestination !== destination) {
      rewriteIpv4Dst(view, ip, newDestination);
      if (coveredDstAt(view, layers) === ipv4DstAt(ip)) delta = sumDelta32(delta, destination, newDestination);
      frame.changed = true;
    }
    if (delta === 0) return;
    frame.changed = true;
    applyToTransport(view, layers, delta);
  }

  #addresses6(frame: Frame, ip: number): void {
    const { view, layers, direction } = frame;
    const source = this.#addresses.source[direction]!.edit6(view, ipv6SrcAt(ip));
    const destination = this.#addresses.destination[direction]!.edit6(view, ipv6DstAt(ip));
    if (source === 0 && destination === 0) return;
    frame.changed = true;
    const delta = coveredDstAt(view, layers) === ipv6DstAt(ip) ? source + destination : source;
    if (delta !== 0) applyToTransport(view, layers, delta);
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
    new AddressEditor([map, nat], spec.seed, spec.skipBroadcast);
  return {
    source: [editor(sourceMap, first), editor(sourceMap, second)],
    destination: [editor(destinationMap, second), editor(destinationMap, first)],
  };
}
