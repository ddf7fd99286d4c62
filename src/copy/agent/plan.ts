/**
 * From what an operator asks for to what the workers do: names, routes, next hops, keys; and what stands
 * against it.
 */
import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import { OperatorError } from '../../base/errors.ts';
import { ipJson } from '../../device/host.ts';
import { insideNamespace, type NamespaceSpec } from '../../device/host_capture.ts';
import { interfaceNames, LINKTYPE_ETHERNET, linkFacts } from '../../device/link.ts';
import { ANY } from '../../device/packet_ring_open.ts';
import { type EngineOptions, engineOptions } from '../options.ts';
import { SparedNetworks } from '../spared.ts';
import { type AddressWords, Targets } from '../targets.ts';
import { readKeyFile } from '../tunnel/key.ts';
import type { TunnelTls } from '../tunnel/server.ts';
import { macsOf } from './neighbour.ts';
import { checkPool, checkSource, idleOptions, isMulticast, refuseGroup } from './plan_checks.ts';
import type { AgentService, AgentSpec, AgentTarget, CloneSpec, PacketSource, ReplySource, Sender } from './spec.ts';
import { addressWords, sparedNetwork } from './words.ts';

export interface HostAndPort {
  readonly host: string;
  readonly port: number;
}

/** One service of production: `address` null: whatever address of the port. */
export interface AgentMap {
  readonly address: string | null;
  readonly port: number;
  readonly target: HostAndPort;
}

export interface AgentRequest {
  readonly maps: readonly AgentMap[];
  readonly mirror: boolean;
  /** `target`: at the target itself, on `interceptPort`. */
  readonly intercept: 'local' | 'target' | HostAndPort;
  readonly interceptPort: number;
  /** Null: found from the routes. */
  readonly device: string | null;
  /** Network namespace that clients come in by; null: this one. */
  readonly netns: NamespaceSpec | null;
  readonly filter: string;
  readonly bufferBytes: number;
  /** Null: live. */
  readonly files: Omit<Extract<PacketSource, { kind: 'files' }>, 'kind' | 'filter'> | null;
  readonly sender: Sender | 'auto';
  /** Longest IP packet to a target; 0: the interface's. */
  readonly mtu: number;
  readonly engine: Partial<EngineOptions>;
  readonly clones: CloneSpec;
  readonly workers: number;
  readonly cpuPercentMax: number;
  readonly closeMs: number;
  /** Compare production's replies with the targets'. */
  readonly compare?: boolean;
  readonly keyFile: string;
  readonly tls: TunnelTls | null;
}

export interface AgentPlan {
  readonly spec: AgentSpec;
  readonly warnings: readonly string[];
}

/** Ports whose services speak TLS from the first byte (IANA). */
const TLS_PORTS: readonly number[] = [443, 465, 563, 636, 853, 989, 990, 992, 993, 994, 995, 5061, 8443];

/** Asks this host and its neighbours. Rejects with an OperatorError that says what to type. */
export async function planAgent(request: AgentRequest): Promise<AgentPlan> {
  const hosts = await resolveAll(request.maps.map(({ target }) => target.host));
  const locals = localAddresses();
  const targets: AgentTarget[] = [];
  const services: AgentService[] = [];
  for (const map of request.maps) {
    const host = hosts.get(map.target.host)!;
    refuseLoop(map, host, locals);
    const index = targetIndex(targets, host, map.target.port, request);
    addService(services, map, index, targets, request.mirror);
  }
  // What the table itself refuses is found before anything is opened.
  new Targets(targets, services);
  checkPool(
    request.clones,
    targets.map(({ host }) => host),
    locals,
  );
  const packets = packetsOf(request, locals);
  checkSource(packets);
  const replies = await repliesOf(request, targets);
  const { workers } = request;
  const all = engineOptions(request.engine);
  const engine: Partial<EngineOptions> = {
    ...request.engine,
    maxSessions: Math.max(1, Math.ceil(all.maxSessions / workers)),
    memoryBytes: Math.max(65_536, Math.floor(all.memoryBytes / workers)),
  };
  const spec: AgentSpec = {
    targets,
    services,
    packets,
    replies,
    near: [...new Set(targets.flatMap(({ device, host }) => networksOf(device, host)))],
    engine,
    clones: request.clones,
    workers: request.files === null ? workers : 1,
    cpuPercentMax: request.cpuPercentMax,
    closeMs: request.closeMs,
    compare: request.compare ?? false,
  };
  return { spec, warnings: warningsOf(spec, request) };
}

async function resolveAll(names: readonly string[]): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  for (const name of new Set(names)) {
    if (isIP(name) !== 0) {
      found.set(name, name);
      continue;
    }
    try {
      found.set(name, (await lookup(name)).address);
    } catch (cause) {
      throw new OperatorError('ADDRESS', `the name ${name} is not known: give an address`, { cause });
    }
  }
  return found;
}

/** Addresses of this host, as text. */
function localAddresses(): Set<string> {
  const links = ipJson<{ addr_info?: { local?: string }[] }>('address', 'show');
  const found = links.flatMap(({ addr_info }) => (addr_info ?? []).flatMap(({ local }) => local ?? []));
  return new Set(['127.0.0.1', '::1', ...found]);
}

function refuseLoop(map: AgentMap, host: string, locals: ReadonlySet<string>): void {
  const where = `${host}:${map.target.port}`;
  if (map.address === host && map.port === map.target.port) {
    throw new OperatorError('ADDRESS', `the target ${where} is the production service itself: give another --target`);
  }
  if (locals.has(host) || host.startsWith('127.')) {
    const why = 'copies would come back to the service that is copied';
    throw new OperatorError('ADDRESS', `the target ${where} is this host, so ${why}: give an address of another host`);
  }
}

interface Route {
  readonly type?: string;
  readonly dev?: string;
  readonly gateway?: string;
}

function routeTo(host: string): string {
  if (isMulticast(host)) refuseGroup(host, 'multicast');
  let route: Route | undefined;
  try {
    [route] = ipJson<Route>('route', 'get', host);
  } catch (cause) {
    throw new OperatorError('ADDRESS', `no route leads to the target ${host}: ip route add`, { cause });
  }
  if (route?.dev === undefined || ['unreachable', 'blackhole', 'prohibit'].includes(route.type ?? '')) {
    throw new OperatorError('ADDRESS', `no route leads to the target ${host}: ip route get ${host}`);
  }
  if (route.type === 'broadcast') refuseGroup(host, 'broadcast');
  if (route.type === 'local') {
    throw new OperatorError('ADDRESS', `the target ${host} is this host: give an address of another host`);
  }
  return route.dev;
}

/** Networks on the wire behind `device` that hold `host`: none where a router stands between. */
function networksOf(device: string, host: string): string[] {
  const family = host.includes(':') ? '-6' : '-4';
  const whole = Int32Array.from([...addressWords(host), 0, 0, 0].slice(0, 4), (word) => word | 0);
  const routes = ipJson<Route & { readonly dst?: string }>(family, 'route', 'show', 'dev', device, 'proto', 'kernel');
  return routes
    .flatMap(({ dst, gateway }) => (gateway === undefined && dst?.includes('/') ? [dst] : []))
    .filter((network) => new SparedNetworks([sparedNetwork(network)]).holds(whole, 0, family === '-6'));
}

/** Index of the target, which is added when it is new. */
function targetIndex(targets: AgentTarget[], host: string, port: number, request: AgentRequest): number {
  const known = targets.findIndex((target) => target.host === host && target.port === port);
  if (known >= 0) return known;
  const device = routeTo(host);
  const link = linkFacts(device);
  const canFrame = link.linktype === LINKTYPE_ETHERNET && !link.loopback;
  const sender = request.sender === 'auto' ? (canFrame ? 'af_packet' : 'raw_ip') : request.sender;
  if (sender === 'af_packet' && !canFrame) {
    throw new OperatorError('USAGE', `${device}, which leads to ${host}, has no Ethernet header: --sender raw_ip`);
  }
  const mtu = request.mtu === 0 ? link.mtu : Math.min(request.mtu, link.mtu);
  targets.push({
    address: addressWords(host),
    port,
    mtu: Math.min(mtu, 65_535),
    host,
    device,
    sender,
    macs: sender === 'af_packet' ? macsOf(device, host) : new Uint8Array(0),
  });
  return targets.length - 1;
}

function addService(
  services: AgentService[],
  map: AgentMap,
  target: number,
  targets: readonly AgentTarget[],
  mirror: boolean,
): void {
  const address: AddressWords | null = map.address === null ? null : addressWords(map.address);
  const family = targets[target]!.address.length;
  if (address !== null && address.length !== family) {
    throw new OperatorError('USAGE', `--map ${map.address}: a target of the other IP version cannot have its sessions`);
  }
  const text = map.address === null ? String(map.port) : `${map.address}:${map.port}`;
  const same = services.findIndex(
    (service) => service.text === text && targets[service.targets[0]!]!.address.length === family,
  );
  if (same < 0) services.push({ address, port: map.port, targets: [target], mirror, text });
  else services[same] = { ...services[same]!, targets: [...new Set([...services[same]!.targets, target])] };
}

async function repliesOf(request: AgentRequest, targets: readonly AgentTarget[]): Promise<ReplySource> {
  if (request.intercept === 'local') {
    const devices = [...new Set(targets.map(({ device }) => device))];
    return { kind: 'local', devices };
  }
  const hosts = [...new Set(targets.map(({ host }) => host))];
  if (request.intercept === 'target' && hosts.length > 1) {
    const why = 'each of them would need an interception of its own';
    throw new OperatorError('USAGE', `there are ${hosts.length} target hosts, and ${why}: give --intercept HOST`);
  }
  const where = request.intercept === 'target' ? { host: hosts[0]!, port: request.interceptPort } : request.intercept;
  return { kind: 'tunnel', ...where, key: new Uint8Array(readKeyFile(request.keyFile)), tls: request.tls };
}

function packetsOf(request: AgentRequest, locals: ReadonlySet<string>): PacketSource {
  const { filter, netns } = request;
  if (request.files !== null) return { kind: 'files', filter, ...request.files };
  // Replies to this host's own addresses would be answered by its own kernel, with a RST. Addresses of a pool are its
  // clients' only.
  const isPlayedAsItself = request.clones.pool === null;
  const except = !isPlayedAsItself ? [] : request.intercept === 'local' ? [...locals] : ['127.0.0.1', '::1'];
  const device = request.device ?? insideNamespace(netns, () => deviceOf(request.maps));
  return { kind: 'live', device, netns, except, filter, bufferBytes: request.bufferBytes };
}

/** Where clients come in: the interface of the service's address, else of the default route, else the only one. */
function deviceOf(maps: readonly AgentMap[]): string {
  const address = maps.find((map) => map.address !== null)?.address;
  if (address !== undefined && address !== null) {
    const links = ipJson<{ ifname: string; addr_info?: { local?: string }[] }>('address', 'show');
    const found = links.find(({ addr_info }) => addr_info?.some(({ local }) => local === address));
    if (found !== undefined) return found.ifname;
  }
  for (const family of ['-4', '-6']) {
    try {
      const [route] = ipJson<Route>(family, 'route', 'show', 'default');
      if (route?.dev !== undefined) return route.dev;
    } catch {
      // A kernel without this family.
    }
  }
  const others = interfaceNames().filter((name) => name !== 'lo');
  if (others.length === 1) return others[0]!;
  const names = [ANY, ...others].join(', ');
  throw new OperatorError('USAGE', `which interface do the clients come in by? -i with one of: ${names}`);
}

function warningsOf(spec: AgentSpec, request: AgentRequest): string[] {
  const warnings: string[] = idleOptions(spec, request.mirror);
  for (const { port } of spec.services) {
    if (!TLS_PORTS.includes(port)) continue;
    warnings.push(
      `port ${port} usually carries TLS: another server cannot understand a copied TLS session; ` +
        'copy behind whatever ends TLS',
    );
  }
  if (request.files !== null && request.workers > 1) warnings.push('files are replayed by one worker');
  return warnings;
}
