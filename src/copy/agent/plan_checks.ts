/** What an operator may have mistyped, looked at before anything is opened. */
import fs from 'node:fs';
import { OperatorError } from '../../base/errors.ts';
import { compileFilter } from '../../device/filter.ts';
import { insideNamespace } from '../../device/host_capture.ts';
import { interfaceNames, LINKTYPE_ETHERNET } from '../../device/link.ts';
import { ANY } from '../../device/packet_ring_open.ts';
import type { AgentSpec, CloneSpec, PacketSource } from './spec.ts';
import { addressWords } from './words.ts';

/** Throws an OperatorError where the packets' source cannot be right. */
export function checkSource(packets: PacketSource): void {
  if (packets.filter !== '') checkFilter(packets.filter);
  if (packets.kind === 'files') for (const path of packets.paths) checkFile(path);
  else checkDevice(packets.device, packets.netns);
}

/** By itself, so that what libpcap says is about the operator's words. */
function checkFilter(filter: string): void {
  try {
    compileFilter(filter, LINKTYPE_ETHERNET);
  } catch (error) {
    if (!(error instanceof OperatorError) || error.code !== 'USAGE') throw error;
    throw new OperatorError('USAGE', `--filter: ${error.message}`, { cause: error });
  }
}

function checkFile(path: string): void {
  if (path === '-' || fs.existsSync(path)) return;
  const hint = /^\d{1,2}$/.test(path) ? `; for a share of the clients type --percent ${path}` : '';
  throw new OperatorError('FILE', `--input: there is no file ${path}${hint}`);
}

function checkDevice(device: string, netns: Extract<PacketSource, { kind: 'live' }>['netns']): void {
  const names = insideNamespace(netns, interfaceNames);
  if (device === ANY || names.includes(device)) return;
  const several = device.includes(',') ? '; for several take "any", and --filter' : '';
  const hint = fs.existsSync(device) ? '; a capture is played with --input' : several;
  throw new OperatorError('INTERFACE', `no interface ${device}; there are: ${[ANY, ...names].join(', ')}${hint}`);
}

/** RFC 5771, RFC 4291 section 2.7. */
export function isMulticast(host: string): boolean {
  if (host.includes(':')) return /^ff/i.test(host);
  const first = Number(host.split('.')[0]);
  return first >= IPV4_FIRST_BITS.multicast && first < 240;
}

export function refuseGroup(host: string, kind: 'broadcast' | 'multicast'): never {
  throw new OperatorError('ADDRESS', `the target ${host} is a ${kind} address: give that of one host`);
}

const IPV4_FIRST_BITS = { loopback: 127, multicast: 224 } as const;

/** `targets`, `own`: addresses of targets, and of this host. */
export function checkPool({ copies, pool }: CloneSpec, targets: readonly string[], own: Iterable<string>): void {
  if (pool === null) return;
  const other = targets.find((host) => host.includes(':'));
  if (other !== undefined) {
    const why = `copies for ${other} would come from addresses that are none`;
    throw new OperatorError('USAGE', `--client-pool holds IPv4 addresses: ${why}; copy IPv6 clients without it`);
  }
  if (pool.addresses < copies) {
    const few = `--client-pool has ${pool.addresses} addresses, and each of ${copies} copies needs its own`;
    throw new OperatorError('USAGE', `${few}: give a larger network, as 198.18.0.0/16`);
  }
  const advice = 'give a network that nobody has, as 198.18.0.0/16';
  const last = pool.first + pool.addresses - 1;
  const isLoopback = pool.first >>> 24 === IPV4_FIRST_BITS.loopback;
  if (isLoopback || last >>> 24 >= IPV4_FIRST_BITS.multicast || last >>> 24 === 0) {
    throw new OperatorError('USAGE', `--client-pool: no host takes packets from these addresses: ${advice}`);
  }
  for (const address of [...targets, ...own]) {
    if (address.includes(':')) continue;
    const word = addressWords(address)[0] >>> 0;
    if (word < pool.first || word > last) continue;
    throw new OperatorError('USAGE', `--client-pool holds ${address}, which is a target's or this host's: ${advice}`);
  }
}

/** What has no effect. */
export function idleOptions(spec: AgentSpec, isMirrored: boolean): string[] {
  if (!isMirrored || spec.services.some(({ targets }) => targets.length > 1)) return [];
  return ['--mirror has no effect, as each service has one target: give --target two, or --map the same port twice'];
}
