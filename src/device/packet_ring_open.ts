/** Opens a receive ring on an interface, or on all of them (`any`): which frames, how filtered, how large. */
import fs from 'node:fs';
import { OperatorError } from '../base/errors.ts';
import { interfaceFacts } from '../sys/interface.ts';
import { ipJson } from '../sys/ip.ts';
import { compileFilter, type FilterProgram } from '../sys/libpcap.ts';
import { openReceiveRing } from '../sys/packet_ring.ts';
import { compileForKernel } from '../sys/pcap_capture.ts';
import { hasCapability, permissionRemedy } from '../sys/permission.ts';
import { type BpfProgram, loadBpf } from '../wire/bpf.ts';
import type { CaptureSourceSpec } from './capture_source.ts';
import { acceptProgram, byDirection, byTag, cookedProgram, withDirection } from './kernel_filter.ts';
import { Arphrd, LINKTYPE_ETHERNET, LINKTYPE_RAW, otherInterfaces } from './link.ts';
import { PacketRingSource } from './packet_ring.ts';

export const LINKTYPE_SLL2 = 276;
/** Name that stands for every interface. */
export const ANY = 'any';
/** ifindex of the loopback in every network namespace (LOOPBACK_IFINDEX, include/net/flow.h). */
const LOOPBACK_IFINDEX = 1;

/** The longest frame fits twice, and a block stays in a processor's cache while it is read. */
const BLOCK_BYTES = 512 * 1024;
const BLOCKS_MIN = 4;
/** Room for the header of cooked frames in front of the record header. */
const COOKED_RESERVE_BYTES = 16;
/** The kernel puts the network header at a multiple of 16: these put the 14 bytes in front of it at a word's start. */
const ETHERNET_RESERVE_BYTES = 2;

interface RingLink {
  readonly ifindex: number;
  readonly linktype: number;
  readonly loopback: boolean;
}

function ringLink(name: string): RingLink {
  if (name === ANY) return { ifindex: 0, linktype: LINKTYPE_SLL2, loopback: false };
  const facts = interfaceFacts(name);
  if (facts === null) throw new OperatorError('INTERFACE', `no interface ${name}; ${otherInterfaces()}`);
  if (!facts.up) throw new OperatorError('INTERFACE', `${name} is down: ip link set ${name} up`);
  return { ifindex: facts.ifindex, linktype: ringLinktype(facts.hardwareType), loopback: facts.loopback };
}

/** Frames of kinds that captures seldom know come cooked, as in tcpdump. */
function ringLinktype(hardwareType: number): number {
  switch (hardwareType) {
    case Arphrd.ETHER:
    case Arphrd.LOOPBACK:
      return LINKTYPE_ETHERNET;
    case Arphrd.NONE:
    case Arphrd.RAWIP:
    case Arphrd.TUNNEL:
    case Arphrd.TUNNEL6:
    case Arphrd.SIT:
      return LINKTYPE_RAW;
    default:
      return LINKTYPE_SLL2;
  }
}

/** Frames begin at a word of the ring, so that they can be copied by words. */
function reserveBytes(linktype: number): number {
  if (linktype === LINKTYPE_SLL2) return COOKED_RESERVE_BYTES;
  return linktype === LINKTYPE_ETHERNET ? ETHERNET_RESERVE_BYTES : 0;
}

interface Programs {
  readonly kernel: FilterProgram;
  readonly here: BpfProgram | null;
}

function programsFor(spec: CaptureSourceSpec, link: RingLink): Programs {
  const cooked = link.linktype === LINKTYPE_SLL2;
  if (spec.outgoing !== undefined) return programsByDirection(spec, spec.outgoing, link);
  const front = (program: FilterProgram): FilterProgram =>
    withDirection(program, spec.direction, link.ifindex === 0 ? LOOPBACK_IFINDEX : 0);
  if (spec.filter.trim() === '') {
    const accept = acceptProgram(spec.snaplen);
    return { kernel: front(cooked ? (cookedProgram(accept) ?? accept) : accept), here: null };
  }
  // Compiled first without a device: its message has the place of a syntax error.
  const compiled = compileFilter(spec.filter, link.linktype, spec.snaplen);
  if (!cooked) {
    const readsTags = /\bvlan\b|\binbound\b|\boutbound\b/.test(spec.filter);
    if (readsTags) {
      return { kernel: front(compileForKernel(spec.name, spec.filter, link.linktype, spec.snaplen)), here: null };
    }
    return { kernel: front(insideTag(spec, link, compiled, spec.filter, spec.snaplen)), here: null };
  }
  const program = cookedProgram(compiled);
  if (program !== null) return { kernel: front(program), here: null };
  const here = loadBpf(compiled);
  if (typeof here === 'string') throw new OperatorError('UNSUPPORTED', `filter "${spec.filter}": ${here}`);
  return { kernel: front(acceptProgram(spec.snaplen)), here };
}

/** The program, and where it is asked for the same behind a VLAN tag. */
function insideTag(
  spec: CaptureSourceSpec,
  link: RingLink,
  program: FilterProgram,
  filter: string,
  snaplen: number,
): FilterProgram {
  if (spec.insideTag !== true || link.linktype !== LINKTYPE_ETHERNET || /\bvlan\b/.test(filter)) return program;
  return byTag(program, compileFilter(`vlan and (${filter})`, link.linktype, snaplen));
}

/** One filter for what comes in, another one for what leaves: by the kernel alone. */
function programsByDirection(
  spec: CaptureSourceSpec,
  outgoing: NonNullable<CaptureSourceSpec['outgoing']>,
  link: RingLink,
): Programs {
  const compiled = (filter: string, snaplen: number): FilterProgram => {
    const program = compileFilter(filter, link.linktype, snaplen);
    if (link.linktype !== LINKTYPE_SLL2) return insideTag(spec, link, program, filter, snaplen);
    const cooked = cookedProgram(program);
    if (cooked !== null) return cooked;
    throw new OperatorError('UNSUPPORTED', `filter "${filter}": the kernel cannot run it on every interface at once`);
  };
  // On the loopback, too: what is the one's when it leaves is not the other's when it arrives.
  const kernel = byDirection(compiled(spec.filter, spec.snaplen), compiled(outgoing.filter, outgoing.snaplen));
  return { kernel, here: null };
}

/** Opens the source. Throws INTERFACE, PERMISSION, RESOURCE, USAGE or UNSUPPORTED, with the line to type. */
export function openPacketRingSource(spec: CaptureSourceSpec): PacketRingSource {
  if (!hasCapability('CAP_NET_RAW')) {
    throw new OperatorError(
      'PERMISSION',
      `no permission to capture on ${spec.name}: ${permissionRemedy('CAP_NET_RAW')}`,
    );
  }
  const link = ringLink(spec.name);
  const cooked = link.linktype === LINKTYPE_SLL2;
  const programs = programsFor(spec, link);
  const blockBytes = spec.blockBytes ?? BLOCK_BYTES;
  const blocks = Math.max(BLOCKS_MIN, Math.round(spec.bufferBytes / blockBytes));
  const ring = openReceiveRing({
    name: spec.name,
    ifindex: link.ifindex,
    cooked,
    blockBytes,
    blocks,
    retireMs: spec.retireMs,
    reserveBytes: reserveBytes(link.linktype),
    // The loopback shows each packet twice: once when it leaves, once when it arrives.
    ignoreOutgoing:
      spec.direction === 'in' || (link.loopback && spec.direction === 'inout' && spec.outgoing === undefined),
    promiscuous: spec.promiscuous,
    promiscuousOn: spec.promiscuousOn ?? [],
    stamps: spec.stamps,
    filter: programs.kernel,
    fanoutGroup: spec.fanoutGroup,
  });
  try {
    return new PacketRingSource(
      {
        ring,
        blockBytes,
        blocks,
        cooked,
        interface: { name: spec.name, linktype: link.linktype, snaplen: spec.snaplen },
        interfaceIndex: spec.interfaceIndex,
        filter: programs.here,
        interfaceDrops: () => interfaceDrops(spec.name),
        keepsBlocks: spec.keepsBlocks ?? false,
      },
      () => performance.now(),
    );
  } catch (error) {
    ring.close();
    throw error;
  }
}

interface LinkStatistics {
  readonly stats64?: { readonly rx?: { readonly missed_errors?: number; readonly fifo_errors?: number } };
}

/**
 * Frames that the interface received and had no room for (rx_missed_errors and rx_fifo_errors of
 * include/uapi/linux/if_link.h), as libpcap counts them. 0 where it does not say. What the host's own stack dropped
 * later is not among them: a capture has seen it.
 */
function interfaceDrops(name: string): number {
  if (name === ANY) return 0;
  try {
    const rx = ipJson<LinkStatistics>('-s', '-s', 'link', 'show', 'dev', name)[0]?.stats64?.rx;
    return (rx?.missed_errors ?? 0) + (rx?.fifo_errors ?? 0);
  } catch {
    return readCounter(name, 'rx_missed_errors') + readCounter(name, 'rx_fifo_errors');
  }
}

function readCounter(name: string, counter: string): number {
  try {
    return Number(fs.readFileSync(`/sys/class/net/${name}/statistics/${counter}`, 'utf8')) || 0;
  } catch {
    return 0;
  }
}
