/** Looks at every interface of this host for the packets of a probe's connections. Cold: some packets, for a second. */
import { isIPv6 } from 'node:net';
import { FrameBatch } from '../../base/batch.ts';
import { plainRegion } from '../../base/region.ts';
import type { CaptureSource } from '../../device/capture_source.ts';
import { interfaceNames, linkFacts } from '../../device/link.ts';
import { ANY, openPacketRingSource } from '../../device/packet_ring_open.ts';
import { decode } from '../../wire/decode.ts';
import { ipv4Dst, ipv4Src } from '../../wire/ipv4.ts';
import { ipv6DstWord, ipv6SrcWord } from '../../wire/ipv6.ts';
import { Layers } from '../../wire/layers.ts';
import { IpProtocol } from '../../wire/protocol.ts';
import { TcpFlag, tcpDstPort, tcpFlags, tcpSrcPort } from '../../wire/tcp.ts';
import { addressText, addressWords } from '../agent/words.ts';
import type { Kind, ProbeRequest, Sighting, Way } from '../tunnel/probe.ts';

/** Headers, and the header of cooked frames in front. */
const SNAPLEN = 192;
const BLOCK_BYTES = 65_536;
const BLOCKS = 4;
const BATCH = 64;
/** Kinds of sightings kept; a probe of many targets makes a few for each. They fit a frame of the tunnel. */
const SIGHTINGS_MAX = 1_024;
/** The header of cooked frames (LINKTYPE_LINUX_SLL2): offsets of interface index and packet type. */
const SLL2_INTERFACE = 4;
const SLL2_PACKET_TYPE = 10;
/** include/uapi/linux/if_packet.h */
const PACKET_OTHERHOST = 3;
const PACKET_OUTGOING = 4;

/** `address` as sightings name it, whatever way it was written in. */
export function serviceOf(address: string, port: number): string {
  return `${addressText(addressWords(address))}:${port}`;
}

export class PacketWatch {
  readonly #source: CaptureSource;
  readonly #port: number;
  readonly #addresses: ReadonlySet<string>;
  readonly #names: ReadonlyMap<number, string>;
  readonly #batch = new FrameBatch(BATCH, plainRegion(0));
  readonly #layers = new Layers();
  readonly #seen = new Map<string, Sighting & { count: number }>();

  constructor(source: CaptureSource, { port, addresses }: ProbeRequest) {
    this.#source = source;
    this.#port = port;
    this.#addresses = new Set(addresses.map((address) => addressText(addressWords(address))));
    this.#names = interfacesByIndex();
  }

  /** Takes what came since the last call. Never blocks. */
  poll(): void {
    const batch = this.#batch;
    while (this.#source.read(batch) > 0) {
      for (let i = 0; i < batch.count; i++) this.#take(batch, i);
    }
  }

  /** All sightings until now, in the order in which they were first made. */
  sightings(): readonly Sighting[] {
    this.poll();
    return [...this.#seen.values()];
  }

  #take(batch: FrameBatch, i: number): void {
    const { view } = batch.region;
    const at = batch.at[i]!;
    const layers = this.#layers;
    decode(view, at, at + batch.caplen[i]!, batch.linktype[i]!, layers);
    const tcp = layers.l4;
    if (tcp < 0 || layers.l4Protocol !== IpProtocol.Tcp) return;
    const source = addressAt(view, layers, 'src');
    const destination = addressAt(view, layers, 'dst');
    const isSent = tcpSrcPort(view, tcp) === this.#port && this.#addresses.has(source);
    if (!isSent && (tcpDstPort(view, tcp) !== this.#port || !this.#addresses.has(destination))) return;
    const service = isSent ? `${destination}:${tcpDstPort(view, tcp)}` : `${source}:${tcpSrcPort(view, tcp)}`;
    const index = view.getUint32(at + SLL2_INTERFACE);
    const name = this.#names.get(index) ?? `interface ${index}`;
    this.#add(name, wayOf(view.getUint8(at + SLL2_PACKET_TYPE)), kindOf(tcpFlags(view, tcp), isSent), service);
  }

  #add(name: string, way: Way, kind: Kind, service: string): void {
    const key = `${name} ${way} ${kind} ${service}`;
    const known = this.#seen.get(key);
    if (known !== undefined) known.count++;
    else if (this.#seen.size < SIGHTINGS_MAX) this.#seen.set(key, { interface: name, way, kind, service, count: 1 });
  }

  close(): void {
    this.#source.close();
  }
}

function addressAt(view: DataView, { ip, ipVersion }: Layers, end: 'src' | 'dst'): string {
  if (ipVersion === 4) return addressText([end === 'src' ? ipv4Src(view, ip) : ipv4Dst(view, ip)]);
  const word = end === 'src' ? ipv6SrcWord : ipv6DstWord;
  return addressText([
    word(view, ip, 0) >>> 0,
    word(view, ip, 1) >>> 0,
    word(view, ip, 2) >>> 0,
    word(view, ip, 3) >>> 0,
  ]);
}

function wayOf(packetType: number): Way {
  if (packetType === PACKET_OUTGOING) return 'out';
  return packetType === PACKET_OTHERHOST ? 'passing' : 'in';
}

function kindOf(flags: number, isSent: boolean): Kind {
  const isSyn = (flags & TcpFlag.Syn) !== 0;
  if (isSent) return isSyn && (flags & TcpFlag.Ack) === 0 ? 'SYN' : 'other';
  if (isSyn && (flags & TcpFlag.Ack) !== 0) return 'SYN-ACK';
  return (flags & TcpFlag.Rst) !== 0 ? 'RST' : 'other';
}

function interfacesByIndex(): Map<number, string> {
  const names = new Map<number, string>();
  for (const name of interfaceNames()) {
    try {
      names.set(linkFacts(name).ifindex, name);
    } catch {
      // Gone meanwhile, or of a kind that carries no IP.
    }
  }
  return names;
}

/**
 * Opens the ring: from here on nothing is missed. `promiscuous`: interfaces that take in others' packets, too.
 * Throws PERMISSION, RESOURCE or UNSUPPORTED.
 */
export function openPacketWatch(request: ProbeRequest, promiscuous: readonly string[] = []): PacketWatch {
  const hosts = request.addresses.map((address) => `${isIPv6(address) ? 'ip6' : 'ip'} host ${address}`);
  const source = openPacketRingSource({
    name: ANY,
    backend: 'af_packet',
    filter: `tcp port ${request.port} and (${hosts.join(' or ')})`,
    snaplen: SNAPLEN,
    promiscuous: false,
    promiscuousOn: promiscuous.map((name) => linkFacts(name).ifindex),
    direction: 'inout',
    bufferBytes: BLOCKS * BLOCK_BYTES,
    blockBytes: BLOCK_BYTES,
    retireMs: 1,
    stamps: 'host',
    fanoutGroup: null,
    interfaceIndex: 0,
  });
  return new PacketWatch(source, request);
}
