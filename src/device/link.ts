/** What an interface is, as far as sending on it goes: which frames it wants, how long they may be, its addresses. */
import os from 'node:os';
import { OperatorError } from '../base/errors.ts';
import { type InterfaceCounters, type InterfaceFacts, interfaceCounters, interfaceFacts } from '../sys/interface.ts';

export { interfaceOffloads, type Offloads } from '../sys/interface.ts';

/** ARPHRD_ numbers, include/uapi/linux/if_arp.h. */
export const Arphrd = {
  ETHER: 1,
  PPP: 512,
  TUNNEL: 768,
  TUNNEL6: 769,
  LOOPBACK: 772,
  SIT: 776,
  IPGRE: 778,
  IP6GRE: 823,
  RAWIP: 519,
  NONE: 0xfffe,
} as const;

/** LINKTYPE_ values of frames that interfaces take (tcpdump.org/linktypes.html). */
export const LINKTYPE_ETHERNET = 1;
export const LINKTYPE_RAW = 101;

export const ETHERNET_HEADER_BYTES = 14;
export const VLAN_TAG_BYTES = 4;

export interface LinkFacts extends InterfaceFacts {
  /** LINKTYPE_ of the frames that this interface wants. */
  readonly linktype: number;
  /** Bytes of link-layer header that come on top of the MTU; a VLAN tag of 4 more is let through. */
  readonly headerBytes: number;
}

/** ARPHRD_ number -> LINKTYPE_ that the interface sends, or -1: frames of this kind cannot be sent. */
export function linktypeOfHardware(hardwareType: number): number {
  switch (hardwareType) {
    case Arphrd.ETHER:
    case Arphrd.LOOPBACK:
      return LINKTYPE_ETHERNET;
    case Arphrd.NONE:
    case Arphrd.RAWIP:
    case Arphrd.PPP:
    case Arphrd.TUNNEL:
    case Arphrd.TUNNEL6:
    case Arphrd.SIT:
    case Arphrd.IPGRE:
    case Arphrd.IP6GRE:
      return LINKTYPE_RAW;
    default:
      return -1;
  }
}

/** The interfaces that the kernel counts for, sorted. */
export function interfaceNames(): string[] {
  const names = process.platform === 'linux' ? interfaceCounters().keys() : Object.keys(os.networkInterfaces());
  return [...names].sort();
}

/** `there are: eth0, lo`, for the sentence about a name that does not exist. */
export function otherInterfaces(): string {
  const names = interfaceNames();
  return names.length === 0 ? 'ip link lists the interfaces' : `there are: ${names.join(', ')}`;
}

/** Facts of an interface that can be sent on. Throws INTERFACE where it is missing or of a kind that cannot. */
export function linkFacts(name: string): LinkFacts {
  const facts = interfaceFacts(name);
  if (facts === null) throw new OperatorError('INTERFACE', `no interface ${name}; ${otherInterfaces()}`);
  const linktype = linktypeOfHardware(facts.hardwareType);
  if (linktype < 0) {
    throw new OperatorError(
      'INTERFACE',
      `${name} has hardware type ${facts.hardwareType}, which is neither Ethernet nor IP: ` +
        'send on another interface, or on a TAP device (--intf1 tap0)',
    );
  }
  return { ...facts, linktype, headerBytes: linktype === LINKTYPE_ETHERNET ? ETHERNET_HEADER_BYTES : 0 };
}

/** Whether there is an interface of this name. */
export function interfaceExists(name: string): boolean {
  return interfaceFacts(name) !== null;
}

/** Counters of one interface, or null where it is gone. */
export function linkCounters(name: string): InterfaceCounters | null {
  return interfaceCounters().get(name) ?? null;
}

/** An interface's name as a part of what sysctl(8) takes: there a dot parts names, so that `eth0.100` is `eth0/100`. */
export function sysctlName(name: string): string {
  return name.replaceAll('.', '/');
}
