/**
 * HOT: the test servers' addresses, and which of production's addresses and ports are copied to which of them.
 * Every packet that the engine emits has its destination from this table: there is no other way out.
 */
import { assert } from '../base/assert.ts';
import { OperatorError } from '../base/errors.ts';

export const TARGETS_MAX = 1024;
const SERVICES_MAX = 256;

/** IPv4: one word. IPv6: four words, word 0 first. Numbers in [0, 2^32). */
export type AddressWords = readonly [number] | readonly [number, number, number, number];

export interface TargetSpec {
  readonly address: AddressWords;
  readonly port: number;
  /** Longest IP packet on the way there. */
  readonly mtu: number;
}

/** A service of production: packets to `port` (and `address`, where given) are copied to `targets`. */
export interface ServiceSpec {
  readonly address: AddressWords | null;
  readonly port: number;
  /** Indices into the targets, all of the clients' address family. */
  readonly targets: readonly number[];
  /** Each session to every target; else each session to one of them, by its hash. */
  readonly mirror: boolean;
}

export class Targets {
  readonly count: number;
  /** Four words a target; IPv4 in the first. */
  readonly words: Int32Array;
  readonly ports: Int32Array;
  readonly isIpv6: Uint8Array;
  /** Lowered when a packet proves too long (`lowerMtu`). */
  readonly mtu: Int32Array;

  readonly #services: readonly ServiceSpec[];
  readonly #servicePorts: Int32Array;

  constructor(targets: readonly TargetSpec[], services: readonly ServiceSpec[]) {
    assert(targets.length >= 1 && targets.length <= TARGETS_MAX, 'there are 1..1024 targets');
    assert(services.length <= SERVICES_MAX, 'there are up to 256 services');
    this.count = targets.length;
    this.words = new Int32Array(targets.length * 4);
    this.ports = new Int32Array(targets.length);
    this.isIpv6 = new Uint8Array(targets.length);
    this.mtu = new Int32Array(targets.length);
    targets.forEach((target, i) => {
      target.address.forEach((word, w) => {
        this.words[i * 4 + w] = word;
      });
      this.ports[i] = target.port;
      this.isIpv6[i] = target.address.length === 4 ? 1 : 0;
      this.mtu[i] = target.mtu;
    });
    this.#services = services;
    this.#servicePorts = Int32Array.from(services, (service) => service.port);
    for (const service of services) this.#checkService(service);
  }

  #checkService(service: ServiceSpec): void {
    assert(service.targets.length > 0, 'a service has targets');
    for (const target of service.targets) this.#checkTarget(service, target);
  }

  #checkTarget(service: ServiceSpec, target: number): void {
    assert(target >= 0 && target < this.count, 'the target exists');
    const { address, port } = service;
    if (address === null || port !== this.ports[target]) return;
    if (address.length !== (this.isIpv6[target] === 1 ? 4 : 1)) return;
    if (address.some((word, w) => (word | 0) !== this.words[target * 4 + w])) return;
    throw new OperatorError('ADDRESS', 'a target is the production service itself: give another --target');
  }

  /**
   * Index of the service that a packet to this address and port is for, or -1: one that names the address goes before
   * one of any address. `dstAt`: offset of the address.
   */
  serviceOf(view: DataView, dstAt: number, isIpv6: boolean, port: number): number {
    const ports = this.#servicePorts;
    let general = -1;
    for (let i = 0; i < ports.length; i++) {
      if (ports[i] !== port) continue;
      const service = this.#services[i]!;
      if (this.isIpv6[service.targets[0]!] !== (isIpv6 ? 1 : 0)) continue;
      const address = service.address;
      if (address === null) {
        if (general < 0) general = i;
      } else if (isAt(view, dstAt, address)) return i;
    }
    return general;
  }

  /** Index of the target with this address (four words at `at` of `words`) and port, or -1. */
  find(words: Int32Array, at: number, port: number, isIpv6: number): number {
    for (let i = 0; i < this.count; i++) {
      const own = i * 4;
      if (this.ports[i] !== port || this.isIpv6[i] !== isIpv6 || this.words[own] !== words[at]) continue;
      if (this.words[own + 1] !== words[at + 1] || this.words[own + 2] !== words[at + 2]) continue;
      if (this.words[own + 3] === words[at + 3]) return i;
    }
    return -1;
  }

  /** How many targets a session of this service goes to. */
  fanOut(service: number): number {
    const spec = this.#services[service]!;
    return spec.mirror ? spec.targets.length : 1;
  }

  /** Target of the `nth` copy (below `fanOut`) of a session with this hash. */
  targetOf(service: number, nth: number, hash: number): number {
    const spec = this.#services[service]!;
    return spec.mirror ? spec.targets[nth]! : spec.targets[(hash >>> 8) % spec.targets.length]!;
  }

  /** Lowers the path's MTU below a packet that was too long; never below the family's least (RFC 8200, RFC 791). */
  lowerMtu(target: number, tooLong: number): void {
    const least = this.isIpv6[target] === 1 ? 1280 : 576;
    for (let i = 0; i < MTU_PLATEAUS.length; i++) {
      const plateau = MTU_PLATEAUS[i]!;
      if (plateau >= tooLong || plateau >= this.mtu[target]!) continue;
      this.mtu[target] = Math.max(plateau, least);
      return;
    }
  }
}

/** Common path MTUs: Ethernet, PPPoE, tunnels (RFC 1191 section 7.1 and today's overlays). */
const MTU_PLATEAUS: readonly number[] = [8952, 4352, 1500, 1492, 1480, 1450, 1420, 1400, 1280, 1006, 576];

function isAt(view: DataView, at: number, address: AddressWords): boolean {
  for (let word = 0; word < address.length; word++) {
    if (view.getUint32(at + 4 * word) !== address[word]! >>> 0) return false;
  }
  return true;
}
