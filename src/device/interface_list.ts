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

const NAMES_MS = 1000;

/** Every interface, of this thread's network namespace or of another. */
export function listInterfaces(netns: NamespaceSpec | null = null): ListedInterface[] {
  return insideNamespace(netns, listHere);
}

/** Names of this thread's network namespace by number; looked up anew for unknown ones, once a second at most. */
export class InterfaceNumbers {
  #names: Map<number, string> = new Map();
  #lookedAtMs = Number.NEGATIVE_INFINITY;

  /** `if7` where no interface has that number. */
  name(index: number): string {
    const known = this.#names.get(index);
    if (known !== undefined) return known;
    const nowMs = performance.now();
    if (nowMs - this.#lookedAtMs > NAMES_MS) {
      this.#lookedAtMs = nowMs;
      this.#names = new Map(
        interfaceNames().flatMap((name) => {
          const facts = interfaceFacts(name);
          return facts === null ? [] : [[facts.ifindex, name] as const];
        }),
      );
    }
    return this.#names.get(index) ?? `if${index}`;
  }
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
