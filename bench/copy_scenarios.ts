/** Scenarios of the laboratory of copying: load of every kind over a network that behaves. */
import fs from 'node:fs';
import path from 'node:path';
import { startRedis } from '../lab/servers.ts';
import {
  BODY_PORT,
  CONTAINER,
  clientAddresses,
  LINE_PORT,
  PORT,
  type Rig,
  serveHttp,
  startBodyServers,
  TARGET,
} from '../test/copy/lab_rig.ts';
import { CLOSE, lines, pacedPosts, post, redis, wrk } from './copy_load.ts';
import type { Finding, Scenario } from './copy_run.ts';

const BODIES = { ports: [BODY_PORT], setUp: startBodyServers, load: post };
const LINES = { ports: [LINE_PORT], setUp: (rig: Rig) => rig.startLineServers() };
const GREETING = { ports: [LINE_PORT], setUp: (rig: Rig) => rig.startLineServers({ greets: true }) };
const REDIS_PORT = 6379;
const INNER_PORT = 8085;
const MTU = 700;
const RAMP_ADDRESSES = 64;
const RAMP_SECONDS = 2;

const LOAD: readonly Scenario[] = [
  { name: 'keep-alive-1k', load: wrk(8, { pauseMs: 7 }) },
  { name: 'keep-alive-4k', load: wrk(8, { pauseMs: 1 }) },
  { name: 'keep-alive-14k', load: wrk(24, { pauseMs: 1 }) },
  { name: 'keep-alive-30k', load: wrk(64, { pauseMs: 1 }) },
  { name: 'keep-alive-unlimited', load: wrk(8) },
  { name: 'short-rtt', load: wrk(1) },
  { name: 'workers-2', options: () => ['--workers', '2'], load: wrk(8) },
  { name: 'close-900', load: wrk(8, { pauseMs: 8, headers: CLOSE }) },
  { name: 'close-2200', load: wrk(8, { pauseMs: 2, headers: CLOSE }) },
  { name: 'close-unlimited', load: wrk(8, { headers: CLOSE }) },
  { name: 'pipelined-8-15k', load: wrk(16, { pauseMs: 7, pipelined: 8 }) },
  { name: 'pipelined-8-unlimited', load: wrk(8, { pipelined: 8 }) },
  {
    name: 'connections-3000',
    load: wrk(3000, { pauseMs: 900 }),
    check: ({ outcome }) => {
      if (outcome.rssMb > 150) throw new Error(`${outcome.rssMb.toFixed(0)} MB of memory`);
      const growth = `${outcome.rssGrowthMb >= 0 ? '+' : ''}${outcome.rssGrowthMb.toFixed(0)}`;
      return `memory ${growth} MB from the middle to the end`;
    },
  },
  { name: 'replies-1m', load: wrk(4, { pauseMs: 10, path: '/1m' }) },
  { name: 'post-200k-170', ...BODIES, load: pacedPosts(8, 40) },
  { name: 'post-200k-260', ...BODIES, load: pacedPosts(12, 40) },
  { name: 'post-200k', ...BODIES },
  { name: 'post-200k-offloads', ...BODIES, rig: { offloads: 'keep' } },
  { name: 'keep-alive-offloads', rig: { offloads: 'keep' }, load: wrk(8) },
  { name: 'server-speaks-first', ...GREETING, load: lines({ connections: 20, gapMs: 5, linesMax: 10, greets: true }) },
  { name: 'split-writes', ...LINES, load: lines({ connections: 20, gapMs: 5, pieces: 4, pieceGapMs: 3 }) },
  { name: 'half-close', ...LINES, load: lines({ connections: 20, gapMs: 5, halfCloseAfter: 5 }) },
];

const monitor = async (rig: Rig): Promise<void> => {
  for (const [host, log] of [
    [rig.production, rig.productionLog],
    [rig.target, rig.targetLog],
  ] as const) {
    await startRedis(rig.lab, host, REDIS_PORT);
    const asLog = 's/^\\([0-9.]*\\) \\[[0-9]* \\([^]]*\\)\\] \\(.*\\)$/[\\2] \\3 @\\1/p';
    host.spawn(['sh', '-c', `redis-cli -p ${REDIS_PORT} MONITOR | sed -u -n '${asLog}' > ${log}`]);
  }
  await new Promise((resolve) => setTimeout(resolve, 300));
};
const REDIS = { ports: [REDIS_PORT], setUp: monitor };

/** Production's service in a container behind DNAT, on another port there. */
async function container(rig: Rig): Promise<void> {
  const rule = `dnat to ${CONTAINER}:${PORT}`;
  const chain = `type nat hook prerouting priority -100; policy accept;\ntcp dport ${INNER_PORT} ${rule}`;
  rig.production.run(['nft', '-f', '-'], { input: `table ip container {\nchain pre {\n${chain}\n}\n}\n` });
  await serveHttp(rig, rig.lab.host('k'), rig.productionLog);
}

/** A second target on another port of the test server. */
const secondLog = (rig: Rig): string => path.join(rig.lab.directory, 'second.log');

function checkSecond({ rig }: Finding): string {
  const [production, second] = [rig.lines(rig.productionLog).join('\n'), rig.lines(secondLog(rig)).join('\n')];
  if (production !== second) throw new Error('the second target has not received the same');
  return 'both targets have received the same';
}

/** Longest packet that the test server got. */
function watchLength(rig: Rig): void {
  const rule = `tcp dport ${BODY_PORT} meta length > ${MTU} counter`;
  const chain = `type filter hook prerouting priority 0; policy accept;\n${rule}`;
  rig.target.run(['nft', '-f', '-'], { input: `table ip length {\nchain pre {\n${chain}\n}\n}\n` });
}

function checkLength({ rig }: Finding): string {
  const [, packets] = /counter packets (\d+)/.exec(rig.target.run(['nft', 'list', 'ruleset']).stdout)!;
  if (packets !== '0') throw new Error(`${packets} packets were longer than ${MTU} bytes`);
  return `no packet longer than ${MTU} bytes`;
}

/** Clients are added, none is taken away, and in the end all of them are copied. */
function rampCount(rig: Rig): { production: number; missing: number; extra: number } {
  const production = rig.entries(rig.productionLog);
  const first = Math.min(...production.map(({ timeMs }) => timeMs));
  const last = Math.max(...production.map(({ timeMs }) => timeMs));
  const clients = (log: string, from: number, to: number): Set<string> => {
    const inside = rig.entries(log).filter(({ timeMs }) => timeMs >= from && timeMs < to);
    return new Set(inside.map(({ line }) => line.split(']')[0]!));
  };
  const quarter = (last - first) / 4;
  const [early, late] = [0, 3].map((n) => clients(rig.targetLog, first + n * quarter, first + (n + 1) * quarter));
  const lost = [...early!].filter((client) => !late!.has(client)).length;
  if (early!.size > RAMP_ADDRESSES / 2) throw new Error(`${early!.size} clients in the first quarter`);
  return { production: RAMP_ADDRESSES, missing: RAMP_ADDRESSES - late!.size + lost, extra: 0 };
}

/** Authority, certificate and key, of the tunnel's two ends. */
function certificates(rig: Rig): { readonly ca: string; readonly cert: string; readonly key: string } {
  const file = (name: string): string => path.join(rig.lab.directory, name);
  const found = { ca: file('ca.pem'), cert: file('cert.pem'), key: file('key.pem') };
  if (fs.existsSync(found.ca)) return found;
  const openssl = (...argv: string[]): unknown => rig.target.run(['openssl', ...argv]);
  const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  openssl('req', '-x509', ...curve, '-days', '1', '-subj', '/CN=lab', '-keyout', file('ca.key'), '-out', found.ca);
  openssl('req', ...curve, '-subj', `/CN=${TARGET}`, '-keyout', found.key, '-out', file('csr.pem'));
  fs.writeFileSync(file('names'), `subjectAltName=IP:${TARGET}\n`);
  const signed = [
    '-CA',
    found.ca,
    '-CAkey',
    file('ca.key'),
    '-CAcreateserial',
    '-days',
    '1',
    '-extfile',
    file('names'),
  ];
  openssl('x509', '-req', '-in', file('csr.pem'), ...signed, '-out', found.cert);
  return found;
}

function tlsOptions(rig: Rig): string[] {
  const { ca, cert, key } = certificates(rig);
  return ['--tls-ca', ca, '--tls-cert', cert, '--tls-key', key];
}

const KINDS: readonly Scenario[] = [
  { name: 'redis', ...REDIS, load: redis(1) },
  { name: 'redis-pipelined-16', ...REDIS, load: redis(16) },
  {
    name: 'ipv6',
    isPlain: true,
    rig: { v6: true },
    modes: ['local', 'tunnel'],
    what: ['--map', `${PORT}=[fd92::9]:${PORT}`, '-i', 'eth0'],
    interceptOptions: () => ['--listen', '[::]:36524'],
    load: wrk(8, { pauseMs: 1, host: '[fd91::1]' }),
  },
  {
    name: 'container-dnat',
    setUp: container,
    what: ['--map', `${INNER_PORT}=${TARGET}:${PORT}`, '-i', 'eth0'],
    load: wrk(8, { pauseMs: 1, port: INNER_PORT }),
  },
  {
    name: 'container-netns',
    setUp: container,
    options: (rig) => ['--netns', rig.lab.host('k').netns],
    load: wrk(8, { pauseMs: 1, port: INNER_PORT }),
  },
  {
    name: 'mirror',
    ports: [PORT, PORT + 2],
    setUp: (rig) => serveHttp(rig, rig.target, secondLog(rig), { port: PORT + 2, statusPort: 8078 }),
    what: ['--map', `${PORT}=${TARGET}:${PORT}`, '--map', `${PORT}=${TARGET}:${PORT + 2}`, '--mirror', '-i', 'eth0'],
    load: wrk(8, { pauseMs: 1 }),
    check: checkSecond,
  },
  {
    name: 'ramp',
    ...LINES,
    rig: { addresses: RAMP_ADDRESSES },
    options: () => ['--ramp', `${RAMP_SECONDS}s`],
    load: (rig) => lines({ connections: RAMP_ADDRESSES, gapMs: 30 })(rig, RAMP_SECONDS + 1),
    count: rampCount,
  },
  {
    name: 'addresses-64',
    ...LINES,
    rig: { addresses: RAMP_ADDRESSES },
    load: lines({ connections: RAMP_ADDRESSES, gapMs: 10, linesMax: 20 }),
    check: ({ rig }) => {
      const clients = new Set(rig.lines(rig.targetLog).map((line) => line.split(']')[0]!.slice(1)));
      const known = clientAddresses(RAMP_ADDRESSES).map((address) => `::ffff:${address}`);
      if (!known.every((address) => clients.has(address))) throw new Error('an address is missing');
      return `${clients.size} addresses`;
    },
  },
  {
    name: 'cpu-limit',
    options: () => ['--cpu-limit', '20'],
    load: wrk(8, { headers: CLOSE }),
    least: 0,
    check: ({ outcome, report }) => {
      const { ShedLoad, RequestsDelivered } = report.counts;
      if (ShedLoad === 0) throw new Error('nothing was shed');
      if (RequestsDelivered + ShedLoad < outcome.production) throw new Error('not all of the rest was counted as shed');
      return `${ShedLoad} sessions shed, the others delivered`;
    },
  },
  {
    name: `mtu-${MTU}`,
    ...BODIES,
    options: () => ['--mtu', String(MTU), '--session-memory', '64M'],
    prepare: watchLength,
    check: checkLength,
  },
  {
    name: 'tls-tunnel',
    modes: ['tunnel'],
    options: tlsOptions,
    interceptOptions: tlsOptions,
    load: wrk(8),
  },
];

export const SCENARIOS: readonly Scenario[] = [...LOAD, ...KINDS];
