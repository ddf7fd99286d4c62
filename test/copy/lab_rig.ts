/** Clients – production, which routes – test server: hosts, servers that log whom they answered, and the agent. */
import fs from 'node:fs';
import path from 'node:path';
import type { Host } from '../../lab/host.ts';
import type { Lab } from '../../lab/lab.ts';
import type { LineClientResult, LineClientSpec } from '../../lab/line_client.ts';
import type { LineServerSpec } from '../../lab/line_server.ts';
import type { LabProcess } from '../../lab/process.ts';
import { startNginx } from '../../lab/servers.ts';
import { packageRoot } from '../structure/repository.ts';
import { ASSISTANT, clientAddresses, copyNetwork, type NetworkOptions, PRODUCTION, TARGET } from './lab_network.ts';

export { ASSISTANT, CONTAINER, clientAddresses, PRODUCTION, TARGET } from './lab_network.ts';
export const PORT = 8080;
/** Of the servers that check bodies, and of those that speak lines. */
export const BODY_PORT = 8081;
export const LINE_PORT = 7000;

export interface RigOptions extends NetworkOptions {
  /** Lines for the target's `server` block. */
  readonly targetServer?: string;
}

/** Who hands the target's replies back: production itself, the test server, another host. */
export type Interception = 'local' | 'tunnel' | 'assistant';
/** The next hop that the target's replies have, for each. */
export const REPLIES_VIA = { local: 'production', tunnel: 'router', assistant: 'assistant' } as const;
export const ROOT: string = packageRoot();
export const TSCOPY: string = path.join(ROOT, 'dist/src/cli/tscopy.js');
export const TSINTERCEPT: string = path.join(ROOT, 'dist/src/cli/tsintercept.js');
const LAB_PROGRAMS: string = path.join(ROOT, 'dist/lab');

export class Rig {
  readonly lab: Lab;
  readonly clients: Host;
  readonly production: Host;
  readonly target: Host;
  readonly productionLog: string;
  readonly targetLog: string;
  agent: LabProcess | null = null;
  intercept: LabProcess | null = null;
  readonly #options: RigOptions;
  #scripts = 0;

  constructor(lab: Lab, options: RigOptions) {
    this.lab = lab;
    this.#options = options;
    this.clients = lab.host('c');
    this.production = lab.host('p');
    this.target = lab.host('t');
    this.productionLog = path.join(lab.directory, 'production.log');
    this.targetLog = path.join(lab.directory, 'target.log');
  }

  /** Starts tscopy on the production host; resolves when it says that it is ready. */
  async startAgent(...options: string[]): Promise<LabProcess> {
    this.agent = this.production.spawn([process.execPath, TSCOPY, ...options]);
    await this.agent.waitFor(/ready/i);
    return this.agent;
  }

  /** SIGTERM; returns what it printed. */
  async stopAgent(): Promise<string> {
    this.agent!.child.kill('SIGTERM');
    await this.agent!.ended;
    return this.agent!.stdout;
  }

  /** Starts tsintercept for the services of these ports, on the test server or on the assistant. */
  async startIntercept(
    where: 'tunnel' | 'assistant',
    ports: readonly number[],
    ...more: string[]
  ): Promise<LabProcess> {
    const host = where === 'tunnel' ? this.target : this.lab.host('a');
    const services = ports.map((port) => (where === 'tunnel' ? String(port) : `${TARGET}:${port}`)).join();
    const mode = where === 'tunnel' ? [] : ['--mode', 'assistant', '-i', 'eth0'];
    const key = ['--key-file', this.keyFile()];
    this.intercept = host.spawn([process.execPath, TSINTERCEPT, ...mode, '--service', services, ...key, ...more]);
    await this.intercept.waitFor(/ready/i);
    return this.intercept;
  }

  /** A key file of this lab. */
  keyFile(name = 'key', content = 'a key of more than sixteen bytes'): string {
    const file = path.join(this.lab.directory, name);
    fs.writeFileSync(file, content, { mode: 0o600 });
    return file;
  }

  /** tscopy's options for an interception. */
  interceptOptions(where: Interception): string[] {
    if (where === 'local') return ['--intercept', 'local'];
    const key = ['--key-file', this.keyFile()];
    return where === 'tunnel' ? key : ['--intercept', ASSISTANT, ...key];
  }

  /** Servers of lines on production and test server, on `LINE_PORT`. */
  async startLineServers(both: Partial<LineServerSpec> = {}, target: Partial<LineServerSpec> = {}): Promise<void> {
    await this.startLineServer(this.production, this.productionLog, both);
    await this.startLineServer(this.target, this.targetLog, { ...both, ...target });
  }

  async startLineServer(host: Host, log: string, spec: Partial<LineServerSpec> = {}): Promise<LabProcess> {
    const program = path.join(LAB_PROGRAMS, 'line_server.js');
    const started = host.spawn([process.execPath, program, JSON.stringify({ port: LINE_PORT, log, ...spec })]);
    await started.waitFor(/listening/);
    return started;
  }

  /** Clients of the line server, from all addresses; resolves with what they did. */
  async runLineClients(spec: Omit<LineClientSpec, 'host' | 'port'>): Promise<LineClientResult> {
    const { repliesVia, addresses = 4 } = this.#options;
    const from = repliesVia === undefined ? {} : { addresses: clientAddresses(addresses) };
    const program = path.join(LAB_PROGRAMS, 'line_client.js');
    const whole = { host: PRODUCTION, port: LINE_PORT, ...from, ...spec };
    const running = this.clients.spawn([process.execPath, program, JSON.stringify(whole)]);
    await running.ended;
    return JSON.parse(running.stdout) as LineClientResult;
  }

  /** Lines of a log, sorted: client address, port and request of each answer; without the time. */
  lines(log: string): string[] {
    return this.entries(log)
      .map(({ line }) => line)
      .sort();
  }

  /** What a log says, with the time of each line, ms of 1970. */
  entries(log: string): LogEntry[] {
    const found: LogEntry[] = [];
    for (const text of fs.readFileSync(log, 'utf8').split('\n')) {
      if (text === '') continue;
      const at = text.lastIndexOf(' @');
      const stamp = text.slice(at + 2);
      // nginx tells seconds, the other servers milliseconds.
      found.push({ line: text.slice(0, at), timeMs: Number(stamp) * (stamp.includes('.') ? 1000 : 1) });
    }
    return found;
  }

  /** Counts packets of the test server's addresses at clients and router from now on: see `strays`. */
  watchStrays(): void {
    const rule = (device: string): string => {
      const chain = `type filter hook ingress device "${device}" priority -10; policy accept;`;
      return `table netdev stray_${device} {\nchain ingress {\n${chain}\nip saddr ${TARGET} counter\n}\n}\n`;
    };
    for (const [host, ...devices] of this.#realClients()) {
      for (const device of devices) this.lab.host(host).run(['nft', '-f', '-'], { input: rule(device) });
    }
  }

  /** Packets of the test server that have come to where real clients are; should be 0. */
  strays(): number {
    let packets = 0;
    for (const [host] of this.#realClients()) {
      const listed = this.lab.host(host).run(['nft', 'list', 'ruleset']).stdout;
      for (const match of listed.matchAll(/counter packets (\d+)/g)) packets += Number(match[1]);
    }
    return packets;
  }

  #realClients(): readonly (readonly [host: string, ...devices: string[]])[] {
    return this.#options.repliesVia === undefined
      ? [['c', 'eth0']]
      : [
          ['c', 'eth0'],
          ['r', 'eth0', 'eth1', 'eth2'],
        ];
  }

  /** Waits until both have logged the same, which either may do last, for a short time; returns missing and extra. */
  async compare(timeoutMs = 15_000): Promise<Comparison> {
    const end = Date.now() + timeoutMs;
    for (;;) {
      const found = comparison(this.lines(this.productionLog), this.lines(this.targetLog));
      if (found.missing + found.extra === 0 || Date.now() > end) return found;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  /** A script for wrk: each connection waits so long between its requests. */
  delayScript(ms: number): string {
    return this.wrkScript(`function delay() return ${ms} end\n`);
  }

  wrkScript(text: string): string {
    const file = path.join(this.lab.directory, `wrk-${this.#scripts++}.lua`);
    fs.writeFileSync(file, text);
    return file;
  }

  /** Resolves when the target has logged so many requests, or after a while. */
  async settled(requests: number, timeoutMs = 15_000): Promise<void> {
    const end = Date.now() + timeoutMs;
    while (this.lines(this.targetLog).length < requests && Date.now() < end) {
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  clearLogs(): void {
    fs.truncateSync(this.productionLog);
    fs.truncateSync(this.targetLog);
  }
}

export interface LogEntry {
  readonly line: string;
  readonly timeMs: number;
}

export interface Comparison {
  readonly production: number;
  readonly target: number;
  /** Requests that production answered and the target did not, and the other way round. */
  readonly missing: number;
  readonly extra: number;
}

function comparison(production: readonly string[], target: readonly string[]): Comparison {
  const left = new Map<string, number>();
  for (const line of production) left.set(line, (left.get(line) ?? 0) + 1);
  let extra = 0;
  for (const line of target) {
    const count = left.get(line) ?? 0;
    if (count === 0) extra++;
    else left.set(line, count - 1);
  }
  const missing = [...left.values()].reduce((sum, count) => sum + count, 0);
  return { production: production.length, target: target.length, missing, extra };
}

export async function makeRig(options: RigOptions = {}): Promise<Rig> {
  const rig = new Rig(copyNetwork(options), options);
  await serveHttp(rig, rig.production, rig.productionLog);
  await serveHttp(rig, rig.target, rig.targetLog, { server: options.targetServer ?? '' });
  return rig;
}

/** Logs client address, port, length and MD5 of every body. */
const BODY_SERVER = `
const { createHash } = require('node:crypto'), fs = require('node:fs');
require('node:http').createServer((request, response) => {
  const sum = createHash('md5');
  let bytes = 0;
  request.on('data', (chunk) => { sum.update(chunk); bytes += chunk.length; });
  request.on('end', () => {
    const { remoteAddress, remotePort } = request.socket;
    const what = \`[\${remoteAddress}]:\${remotePort} \${bytes} \${sum.digest('hex')}\`;
    fs.appendFileSync(process.argv[1], \`\${what} @\${Date.now()}\\n\`);
    response.end('ok');
  });
}).listen(${BODY_PORT}, '::', () => console.log('listening'));`;

/** Servers on port 8081 of production and test server that check what they get. */
export async function startBodyServers(rig: Rig): Promise<void> {
  for (const [host, log] of [
    [rig.production, rig.productionLog],
    [rig.target, rig.targetLog],
  ] as const) {
    await host.spawn([process.execPath, '-e', BODY_SERVER, log]).waitFor(/listening/);
  }
}

/** nginx that logs client address and port with every request; `/1m` is a file of 1 MiB. */
export async function serveHttp(
  rig: Rig,
  host: Host,
  log: string,
  options: { readonly server?: string; readonly port?: number; readonly statusPort?: number } = {},
): Promise<void> {
  const { server = '', port = PORT, statusPort = 8079 } = options;
  fs.writeFileSync(log, '');
  fs.writeFileSync(path.join(rig.lab.directory, '1m'), Buffer.alloc(1 << 20, 'm'));
  const format = `log_format copy '[$remote_addr]:$remote_port $request_method $request_uri $request_length @$msec';`;
  const block = `server { listen ${port} backlog=4096; listen [::]:${port} ipv6only=on; access_log "${log}" copy;
    client_body_buffer_size 1m; client_max_body_size 8m; keepalive_requests 1000000;
    location / { return 200 "ok"; } location = /1m { root "${rig.lab.directory}"; } ${server} }`;
  await startNginx(rig.lab, host, { http: `${format} ${block}`, port: statusPort });
}
