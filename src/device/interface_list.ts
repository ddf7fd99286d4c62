/** Interfaces as an operator chooses among them: state, speed, addresses, offloads. */
import os from 'node:os';
import { interfaceFacts, interfaceOffloads, interfaceSpeedMbps, type Offloads } from '../sys/interface.ts';
import { insideNamespace, type NamespaceSpec } from '../sys/namespace.ts';
import { interfaceNames } from './link.ts';

export interface ListedInterface {
  readonly name: string;
  readonly up: boolean;
  readonly carrier: boolean;
  readonly loopback: boolean;
  readonly mtu: number;
  /** Null where the driver does not say. */
  readonly speedMbps: number | null;
  readonly mac: string;
  /** With prefix length: `10.0.0.1/24`. */
  readonly addresses: readonly string[];
  readonly offloads: Offloads;
}

/** Every interface, of this thread's network namespace or of another. */
export function listInterfaces(netns: NamespaceSpec | null = null): ListedInterface[] {
  return insideNamespace(netns, listHere);
}

function listHere(): ListedInterface[] {
  const addresses = os.networkInterfaces();
  return interfaceNames().flatMap((name) => {
    const facts = interfaceFacts(name);
    if (facts === null) return [];
    return {
      name,
      up: facts.up,
      carrier: facts.carrier,
      loopback: facts.loopback,
      mtu: facts.mtu,
      speedMbps: interfaceSpeedMbps(name),
      mac: [...facts.mac].map((byte) => byte.toString(16).padStart(2, '0')).join(':'),
      addresses: (addresses[name] ?? []).map((one) => one.cidr ?? one.address),
      offloads: interfaceOffloads(name),
    };
  });
}
