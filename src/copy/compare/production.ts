/**
 * HOT: production's own packets to its clients, from the agent's ring or out of a capture: handed to the pairing of the
 * sessions that are copies of theirs. Nothing is ever sent for them. Budget 150 ns a packet, without the kernel's part.
 */
import { mixEnd, mixWord } from '../../flow/hash.ts';
import { ipv4SrcAt } from '../../wire/ipv4.ts';
import { ipv6SrcAt } from '../../wire/ipv6.ts';
import { Fragment, type Layers } from '../../wire/layers.ts';
import { IpProtocol } from '../../wire/protocol.ts';
import { seqDelta } from '../../wire/seq.ts';
import { TcpFlag, tcpAck, tcpDstPort, tcpFlags, tcpHeaderLen, tcpSeq, tcpSrcPort } from '../../wire/tcp.ts';
import { clientHash, type IdentityMap, isAdmitted } from '../admission.ts';
import { Clock, type Core } from '../core.ts';
import { hashService } from '../service_hash.ts';
import { CELLS, Cell } from '../session_cells.ts';
import { httpStatus } from './http_status.ts';
import type { Pairing } from './pairing.ts';
import { CompareCount, type CompareRow } from './rows.ts';

const INCARNATION_DISTANCE = 1 << 24;

export class ProductionSide {
  readonly #core: Core;
  readonly #identities: IdentityMap;
  readonly #pairing: Pairing;
  readonly #row: CompareRow;
  readonly #key: Int32Array = new Int32Array(4);

  constructor(core: Core, identities: IdentityMap, pairing: Pairing, row: CompareRow) {
    this.#core = core;
    this.#identities = identities;
    this.#pairing = pairing;
    this.#row = row;
  }

  /**
   * Takes a decoded frame if it is one of production's: its source is a service, its destination none. False: it is
   * a client's, or neither's. `capturedEnd`, `frameEnd`: where the frame ends here, and where it ended on the wire.
   */
  take(view: DataView, layers: Layers, capturedEnd: number, frameEnd: number, arrivedNs: number): boolean {
    const tcp = layers.l4;
    if (tcp < 0 || layers.l4Protocol !== IpProtocol.Tcp || layers.payload < 0) return false;
    if (layers.fragment !== Fragment.None) return false;
    const isIpv6 = layers.ipVersion === 6;
    const srcAt = isIpv6 ? ipv6SrcAt(layers.ip) : ipv4SrcAt(layers.ip);
    const addressBytes = isIpv6 ? 16 : 4;
    const { targets } = this.#core;
    const port = tcpSrcPort(view, tcp);
    const service = targets.serviceOf(view, srcAt, isIpv6, port);
    if (service < 0) return false;
    if (targets.serviceOf(view, srcAt + addressBytes, isIpv6, tcpDstPort(view, tcp)) >= 0) return false;
    this.#row.bump(CompareCount.ProductionPackets);
    this.#readKey(view, srcAt + addressBytes, isIpv6);
    if (!this.#isAdmitted()) return true;
    const isSyn = (tcpFlags(view, tcp) & TcpFlag.Syn) !== 0;
    const headerLen = tcpHeaderLen(view, tcp);
    const bytes = ipPacketEnd(view, layers, frameEnd) - tcp - headerLen;
    if (bytes <= 0 && !isSyn) return true;
    const status = isSyn ? 0 : httpStatus(view, tcp + headerLen, capturedEnd);
    const serviceHash = hashService(view, srcAt, addressBytes, port);
    this.#fanOut(service, serviceHash, view, tcp, bytes, status, arrivedNs);
    return true;
  }

  #readKey(view: DataView, at: number, isIpv6: boolean): void {
    const key = this.#key;
    key[1] = key[2] = key[3] = 0;
    const words = isIpv6 ? 4 : 1;
    for (let word = 0; word < words; word++) key[word] = view.getUint32(at + 4 * word);
  }

  /** As the engine judges the client: replies to others have nothing to be compared with, and need no identities. */
  #isAdmitted(): boolean {
    const { clock, options } = this.#core;
    const key = this.#key;
    const hash = clientHash(key[0]!, key[1]!, key[2]!, key[3]!);
    return isAdmitted(hash, options.percent, options.rampNs, clock[Clock.Now]! - clock[Clock.Start]!);
  }

  /** To every copy of the session, as `CopyEngine` spreads the client's packets. */
  #fanOut(
    service: number,
    serviceHash: number,
    view: DataView,
    tcp: number,
    bytes: number,
    status: number,
    atNs: number,
  ): void {
    const { table, targets } = this.#core;
    const key = this.#key;
    const clientPort = tcpDstPort(view, tcp);
    const portHash = mixEnd(mixWord(clientHash(key[0]!, key[1]!, key[2]!, key[3]!), clientPort));
    const fan = targets.fanOut(service);
    let found = 0;
    for (let copy = 0; copy < this.#identities.copies; copy++) {
      for (let nth = 0; nth < fan; nth++) {
        for (let word = 0; word < 4; word++) table.key[word] = key[word]!;
        table.key[4] = clientPort << 16;
        if (!this.#identities.map(table.key, copy)) continue;
        table.key[4] = (table.key[4]! & 0xffff0000) | targets.targetOf(service, nth, portHash);
        const oldest = table.lookup();
        if (oldest < 0) continue;
        const s = this.#incarnation(oldest, tcpAck(view, tcp) | 0);
        if (this.#core.cells[s * CELLS + Cell.Service] !== serviceHash) continue;
        found++;
        if (bytes > 0) {
          this.#pairing.productionReply(s, tcpSeq(view, tcp) | 0, tcpAck(view, tcp) | 0, bytes, status, atNs);
        } else this.#pairing.productionOpened(s, tcpSeq(view, tcp) | 0);
      }
    }
    if (found === 0 && bytes > 0) this.#row.bump(CompareCount.ProductionUnpaired);
  }

  /** The newest incarnation whose bytes `ack` can acknowledge. */
  #incarnation(oldest: number, ack: number): number {
    const { cells } = this.#core;
    let found = oldest;
    for (let s = cells[oldest * CELLS + Cell.Newer]!; s >= 0; s = cells[s * CELLS + Cell.Newer]!) {
      if (Math.abs(seqDelta(cells[s * CELLS + Cell.ClientNext]!, ack)) < INCARNATION_DISTANCE) found = s;
    }
    return found;
  }
}

/** Where the IP packet ended on the wire; above 64 KiB, not segmented yet, it has no length of its own. */
function ipPacketEnd(view: DataView, layers: Layers, frameEnd: number): number {
  if (layers.ipLengthZero) return frameEnd;
  const { ip } = layers;
  return ip + (layers.ipVersion === 4 ? view.getUint16(ip + 2) : view.getUint16(ip + 4) + 40);
}
