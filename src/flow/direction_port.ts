/**
 * HOT: the side by the destination port of TCP and UDP: to a service is the primary side's. Later fragments follow the
 * first of their datagram; other protocols are judged as packets without an IP header.
 */
import type { FrameBatch } from '../base/batch.ts';
import { Fragment } from '../wire/layers.ts';
import { IpProtocol } from '../wire/protocol.ts';
import { tcpDstPort } from '../wire/tcp.ts';
import { type Classifier, type DirectionCommon, type Services, Subject } from './direction.ts';
import { FragmentMemo } from './fragment_memo.ts';
import { IpEnds } from './ip_ends.ts';

export const SERVICE_TCP = 1;
export const SERVICE_UDP = 2;

export class PortClassifier implements Classifier {
  readonly waits: boolean = false;
  readonly #ends = new IpEnds();
  readonly #fragments = new FragmentMemo();
  readonly #services: Services;
  readonly #reverse: boolean;
  readonly #nonIpPrimary: boolean;

  constructor(common: DirectionCommon, services: Services) {
    this.#services = services;
    this.#reverse = common.reverse;
    this.#nonIpPrimary = common.nonIpPrimary;
  }

  look(batch: FrameBatch, i: number): number {
    const ends = this.#ends;
    if (!ends.findTransport(batch, i)) return Subject.NonIp;
    const view = batch.region.view;
    if (ends.fragment === Fragment.Later) return this.#fragments.recall(view, ends.layers, Subject.NonIp);
    if (ends.l4 < 0) return Subject.NonIp;
    const protocol = ends.l4Protocol;
    if (protocol !== IpProtocol.Tcp && protocol !== IpProtocol.Udp) return Subject.NonIp;
    const bit = protocol === IpProtocol.Tcp ? SERVICE_TCP : SERVICE_UDP;
    // Ports lie in the same place in both.
    const toService = (this.#services[tcpDstPort(view, ends.l4)]! & bit) !== 0;
    const subject = toService ? Subject.Primary : Subject.Secondary;
    if (ends.fragment === Fragment.First) this.#fragments.remember(view, ends.layers, subject);
    return subject;
  }

  settle(): string | null {
    return null;
  }

  isPrimary(subject: number): boolean {
    if (subject === Subject.NonIp) return this.#nonIpPrimary;
    return (subject === Subject.Primary) !== this.#reverse;
  }
}

/** Ports 0 to 1023 of TCP and UDP. */
export function wellKnownServices(): Services {
  return new Uint8Array(65_536).fill(SERVICE_TCP | SERVICE_UDP, 0, 1024);
}
