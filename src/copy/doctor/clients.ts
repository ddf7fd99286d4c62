/** The side of the clients on this host: the interface that they come in by, and the service that they come for. */
import { readFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { FrameBatch } from '../../base/batch.ts';
import { plainRegion } from '../../base/region.ts';
import { insideNamespace } from '../../device/host_capture.ts';
import { interfaceOffloads, linkFacts } from '../../device/link.ts';
import { ANY, openPacketRingSource } from '../../device/packet_ring_open.ts';
import { decode } from '../../wire/decode.ts';
import { ipv4Src } from '../../wire/ipv4.ts';
import { ipv6SrcWord } from '../../wire/ipv6.ts';
import { Layers } from '../../wire/layers.ts';
import { clientFilter } from '../agent/filter.ts';
import type { AgentService, AgentSpec, PacketSource } from '../agent/spec.ts';
import { type Check, check } from './check.ts';

type Live = Extract<PacketSource, { kind: 'live' }>;

const SAMPLE_MS = 700;
const POLL_MS = 10;
const SNAPLEN = 128;
const BLOCK_BYTES = 131_072;
const BLOCKS = 8;
const BATCH = 256;
/** `st` of a listening socket in /proc/net/tcp (include/net/tcp_states.h). */
const LISTEN = '0A';

/** With --input there is no such interface. */
export async function clientChecks(spec: AgentSpec): Promise<readonly Check[]> {
  const { packets } = spec;
  if (packets.kind !== 'live') return [];
  const link = linkCheck(packets);
  if (link.status === 'broken') return [link, ...listenChecks(spec, packets)];
  return [link, await trafficCheck(spec, packets), ...offloadChecks(packets), ...listenChecks(spec, packets)];
}

function linkCheck({ device, netns }: Live): Check {
  const more = (remedy: string): { remedy: string } => ({ remedy });
  if (device === ANY) return check('this host', 'interface', 'ok', 'clients come in by any interface');
  try {
    const { up, carrier, mtu } = insideNamespace(netns, () => linkFacts(device));
    if (!up) return check('this host', 'interface', 'broken', `${device} is down`, more(`ip link set ${device} up`));
    if (!carrier) return check('this host', 'interface', 'warning', `${device} has no carrier`, more('see ip link'));
    return check('this host', 'interface', 'ok', `clients come in by ${device}, which is up, MTU ${mtu}`);
  } catch (error) {
    return check('this host', 'interface', 'broken', (error as Error).message, more('another --interface'));
  }
}

/** Packets of clients that come now. */
async function trafficCheck(spec: AgentSpec, { device, netns, except, filter }: Live): Promise<Check> {
  const one = { ...spec, workers: 1 };
  try {
    const source = insideNamespace(netns, () =>
      openPacketRingSource({
        name: device,
        backend: 'af_packet',
        filter: clientFilter(one, except, filter, 0),
        snaplen: SNAPLEN,
        promiscuous: false,
        direction: 'in',
        insideTag: true,
        bufferBytes: BLOCKS * BLOCK_BYTES,
        blockBytes: BLOCK_BYTES,
        retireMs: 1,
        stamps: 'host',
        fanoutGroup: null,
        interfaceIndex: 0,
      }),
    );
    const clients = new Set<string>();
    let packets = 0;
    try {
      const batch = new FrameBatch(BATCH, plainRegion(0));
      for (let left = SAMPLE_MS; left > 0; left -= POLL_MS) {
        await pause(POLL_MS);
        while (source.read(batch) > 0) packets += addClients(batch, clients);
      }
    } finally {
      source.close();
    }
    const span = `in ${SAMPLE_MS / 1000} s`;
    if (packets > 0) {
      const text = `${packets} packets of ${clients.size} clients ${span}`;
      return check('this host', 'clients', 'ok', text);
    }
    const remedy = 'no fault if nobody uses the service now; else another --interface, or the port behind a DNAT';
    return check('this host', 'clients', 'warning', `no packet of a client ${span} on ${device}`, { remedy });
  } catch (error) {
    return check('this host', 'clients', 'broken', (error as Error).message);
  }
}

function addClients(batch: FrameBatch, clients: Set<string>): number {
  const { view } = batch.region;
  const layers = new Layers();
  for (let i = 0; i < batch.count; i++) {
    const at = batch.at[i]!;
    decode(view, at, at + batch.caplen[i]!, batch.linktype[i]!, layers);
    if (layers.ipVersion === 4) clients.add(String(ipv4Src(view, layers.ip)));
    else if (layers.ipVersion === 6) clients.add([0, 1, 2, 3].map((w) => ipv6SrcWord(view, layers.ip, w)).join());
  }
  return batch.count;
}

function offloadChecks({ device, netns }: Live): readonly Check[] {
  if (device === ANY) return [];
  const { gro, tso } = insideNamespace(netns, () => interfaceOffloads(device));
  const on = [...(gro === true ? ['GRO'] : []), ...(tso === true ? ['TSO'] : [])];
  const text =
    on.length === 0
      ? `none on ${device} that joins packets`
      : `${on.join(' and ')} on ${device}: fine, long packets are segmented again`;
  return [check('this host', 'offloads', 'ok', text)];
}

function listenChecks({ services }: AgentSpec, { netns }: Live): readonly Check[] {
  const ports = insideNamespace(netns, listeningPorts);
  return services.map(({ text, port }: AgentService) => {
    if (ports.has(port)) return check('this host', 'service', 'ok', `port ${port} is listened on here (${text})`);
    const remedy = 'no fault where this host forwards to it (DNAT, containers, --netns); else the port of --map';
    return check('this host', 'service', 'warning', `nothing listens on port ${port} here`, { remedy });
  });
}

function listeningPorts(): Set<number> {
  const ports = new Set<number>();
  for (const file of ['tcp', 'tcp6']) {
    for (const line of text(`/proc/thread-self/net/${file}`).split('\n').slice(1)) {
      const [, local = '', , state] = line.trim().split(/\s+/);
      if (state === LISTEN) ports.add(Number.parseInt(local.split(':')[1] ?? '', 16));
    }
  }
  return ports;
}

function text(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
