/**
 * HOT: the side by what each host does in the whole capture (modes bridge, router, client, server) or by where its
 * address was seen first (mode first, which is final at once). Budget 20 ns a packet in mode first, 60 in the others.
 */
import type { FrameBatch } from '../base/batch.ts';
import { type AutoSpec, type Classifier, Subject } from './direction.ts';
import { EVIDENCE_KINDS, evidenceOf, isNeighborDiscovery, SERVER_EVIDENCE_FIRST } from './evidence.ts';
import { hostText } from './host_text.ts';
import { grown, HostTable } from './hosts.ts';
import { IpEnds } from './ip_ends.ts';
import { drawServerNetworks, type ServerNetworks, Side } from './server_networks.ts';

/** The address ::, under which all IPv6 hosts go that are not told apart. */
const UNSPECIFIED = new DataView(new ArrayBuffer(16));

export class AutoClassifier implements Classifier {
  readonly waits: boolean;
  readonly hosts: HostTable = new HostTable();
  /** After `settle` in router mode; otherwise null. */
  networks: ServerNetworks | null = null;
  readonly spec: AutoSpec;
  readonly #ends = new IpEnds();
  readonly #first: boolean;
  /** As the reference: all IPv6 hosts count as one. */
  readonly #oneIpv6: boolean;
  #settled = false;
  #room = 1024;
  /** Side by host: final in mode first, after `settle` in the others. */
  #sides: Uint8Array = new Uint8Array(this.#room);
  /** Packets by host and Evidence. */
  #evidence: Uint32Array = new Uint32Array(this.#room * EVIDENCE_KINDS);

  constructor(spec: AutoSpec) {
    this.spec = spec;
    this.#first = spec.mode === 'first';
    this.#oneIpv6 = spec.compat;
    this.waits = !this.#first;
  }

  look(batch: FrameBatch, i: number): number {
    const ends = this.#ends;
    if (this.#first || this.#settled) {
      if (!ends.find(batch, i)) return Subject.NonIp;
    } else if (!ends.findTransport(batch, i)) return Subject.NonIp;
    const view = batch.region.view;
    // As ARP, which no mode takes for a host's traffic: it comes before the first packet of a conversation.
    if (this.#first && ends.version === 6 && !this.#oneIpv6 && isNeighborDiscovery(view, ends.layers)) {
      return Subject.NonIp;
    }
    const known = this.hosts.count;
    const id =
      this.#oneIpv6 && ends.version === 6 ? this.hosts.idOfIpv6(UNSPECIFIED, 0) : ends.source(view, this.hosts);
    if (id < 0) return Subject.Untracked;
    if (id >= this.#room) this.#grow();
    if (this.#first) {
      if (id === known) this.#sides[id] = Side.Client;
      this.#meet(view);
    } else if (!this.#settled) {
      const kind = evidenceOf(view, ends, this.spec.compat);
      if (kind >= 0) this.#evidence[id * EVIDENCE_KINDS + kind]!++;
    }
    return id;
  }

  /** Mode first: an address met as a destination before it ever sent is a server. */
  #meet(view: DataView): void {
    if (this.#oneIpv6 && this.#ends.version === 6) return;
    const known = this.hosts.count;
    const id = this.#ends.destination(view, this.hosts);
    if (id !== known) return;
    if (id >= this.#room) this.#grow();
    this.#sides[id] = Side.Server;
  }

  #grow(): void {
    this.#room *= 2;
    this.#sides = grown(this.#sides, new Uint8Array(this.#room));
    this.#evidence = grown(this.#evidence, new Uint32Array(this.#room * EVIDENCE_KINDS));
  }

  settle(): string | null {
    this.#settled = true;
    if (this.#first) return null;
    for (let id = 0; id < this.hosts.count; id++) this.#sides[id] = this.#judge(id);
    const { mode, compat, maxmask, minmask } = this.spec;
    if (mode !== 'router' || compat) return null;
    const drawn = drawServerNetworks(this.hosts, this.#sides, maxmask, minmask);
    if ('inside' in drawn) {
      this.networks = drawn;
      return null;
    }
    const [client, server] = [hostText(this.hosts, drawn.client), hostText(this.hosts, drawn.server)];
    const pair = `client ${client} and server ${server}`;
    return `${pair} share ${drawn.prefix} bits, so no network of up to /${minmask} parts them`;
  }

  #judge(id: number): Side {
    const clientCount = this.clientCount(id);
    const serverCount = this.serverCount(id);
    if (clientCount === 0 && serverCount === 0) return Side.Unknown;
    return serverCount >= clientCount * this.spec.ratio ? Side.Server : Side.Client;
  }

  isPrimary(subject: number): boolean {
    const { nonIpPrimary, reverse } = this.spec;
    if (subject === Subject.NonIp) return nonIpPrimary;
    const side = subject >= 0 ? this.#sides[subject] : Side.Unknown;
    if (side === Side.Client) return !reverse;
    if (side === Side.Server) return reverse;
    return this.#isUnknownPrimary(subject) !== reverse;
  }

  /** Mode by mode what becomes of hosts that nothing is known of. */
  #isUnknownPrimary(subject: number): boolean {
    switch (this.spec.mode) {
      case 'client':
      case 'first':
        return true;
      case 'router':
        return this.networks?.inside[subject] !== 1 && !this.spec.nonIpPrimary;
      default:
        return false;
    }
  }

  /** Side of a host by its own traffic. */
  side(id: number): Side {
    return this.#sides[id] as Side;
  }

  /** Packets in which a host spoke so. */
  evidence(id: number, kind: number): number {
    return this.#evidence[id * EVIDENCE_KINDS + kind] ?? 0;
  }

  clientCount(id: number): number {
    let count = 0;
    for (let kind = 0; kind < SERVER_EVIDENCE_FIRST; kind++) count += this.evidence(id, kind);
    return count;
  }

  serverCount(id: number): number {
    let count = 0;
    for (let kind = SERVER_EVIDENCE_FIRST; kind < EVIDENCE_KINDS; kind++) count += this.evidence(id, kind);
    return count;
  }
}
