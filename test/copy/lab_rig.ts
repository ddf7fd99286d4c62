/** Clients – production, which routes – test server: hosts, servers that log whom they answered, and the agent. */
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Host } from '../../lab/host.ts';
import { type EndSpec, type Lab, type LinkSpec, makeLab } from '../../lab/lab.ts';
import type { LabProcess } from '../../lab/process.ts';
import { startNginx } from '../../lab/servers.ts';

export const PRODUCTION = '10.91.0.1';
export const TARGET = '10.92.0.9';
export const PORT = 8080;

export interface RigOptions {
  readonly offloads?: 'off' | 'keep';
  readonly v6?: boolean;
  /** Lines for the target's `server` block. */
  readonly targetServer?: string;
}

function packageRoot(): string {
  let dir = path.dirname(fileURLToPath(import.meta.url));
  while (!fs.existsSync(path.join(dir, 'package.json'))) dir = path.dirname(dir);
  return dir;
}
export const ROOT: string = packageRoot();
export const TSCOPY: string = path.join(ROOT, 'dist/src/cli/tscopy.js');

export class Rig {
  readonly lab: Lab;
  readonly clients: Host;
  readonly production: Host;
  readonly target: Host;
  readonly productionLog: string;
  readonly targetLog: string;
  agent: LabProcess | null = null;

  constructor(lab: Lab) {
    this.lab = lab;
    this.clients = lab.host('c');
    this.production = lab.host('p');
    this.target = lab.host('t');
    this.productionLog = path.join(lab.directory, 'production.log');
    this.targetLog = path.join(lab.directory, 'target.log');
  }

  /** Starts tscopy on the production host; resolves when it says that it is ready. */
  async startAgent(...options: string[]): Promise<LabProcess> {
    this.agent = this.production.spawn([process.execPath, TSCOPY, ...options]);
    await this.agent.waitFor(/ready/i, 15_000);
    return this.agent;
  }

  /** SIGTERM; returns what it printed. */
  async stopAgent(): Promise<string> {
    this.agent!.child.kill('SIGTERM');
    await this.agent!.ended;
    return this.agent!.stdout;
  }

  /** Lines of a log, sorted: client address, port and request of each answer. */
  lines(log: string): string[] {
    return fs.readFileSync(log, 'utf8').split('\n').filter(Boolean).sort();
  }

  /** Waits until the target has logged as much as production, for a short time; returns what is missing and extra. */
  async compare(timeoutMs = 4_000): Promise<Comparison> {
    const end = Date.now() + timeoutMs;
    for (;;) {
      const found = comparison(this.lines(this.productionLog), this.lines(this.targetLog));
      if (found.missing === 0 || Date.now() > end) return found;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  /** A script for wrk: each connection waits so long between its requests. */
  delayScript(ms: number): string {
    const file = path.join(this.lab.directory, `delay-${ms}.lua`);
    fs.writeFileSync(file, `function delay() return ${ms} end\n`);
    return file;
  }

  clearLogs(): void {
    fs.truncateSync(this.productionLog);
    fs.truncateSync(this.targetLog);
  }
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
  const v6 = options.v6 ?? false;
  const end = (host: string, iface: string, v4: string, v6Address: string): EndSpec => ({
    host,
    iface,
    v4,
    ...(v6 ? { v6: v6Address } : {}),
  });
  const offloads: LinkSpec['offloads'] = options.offloads ?? 'off';
  const lab = makeLab({
    hosts: ['c', 'p', 't'],
    links: [
      {
        a: end('c', 'eth0', '10.91.0.10/24', 'fd91::10/64'),
        b: end('p', 'eth0', '10.91.0.1/24', 'fd91::1/64'),
        offloads,
      },
      {
        a: end('p', 'eth1', '10.92.0.1/24', 'fd92::1/64'),
        b: end('t', 'eth0', '10.92.0.9/24', 'fd92::9/64'),
        offloads,
      },
    ],
  });
  const rig = new Rig(lab);
  rig.target.run(['ip', 'route', 'add', 'default', 'via', '10.92.0.1']);
  rig.clients.run(['ip', 'route', 'add', 'default', 'via', '10.91.0.1']);
  if (v6) rig.target.run(['ip', '-6', 'route', 'add', 'default', 'via', 'fd92::1']);
  // Production forwards, so that whatever is not swallowed reaches the clients.
  rig.production.run(['sh', '-c', 'echo 1 > /proc/sys/net/ipv4/ip_forward']);
  await serve(rig, rig.production, rig.productionLog, '');
  await serve(rig, rig.target, rig.targetLog, options.targetServer ?? '');
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
    fs.appendFileSync(process.argv[1], \`[\${remoteAddress}]:\${remotePort} \${bytes} \${sum.digest('hex')}\\n\`);
    response.end('ok');
  });
}).listen(8081, '::', () => console.log('listening'));`;

/** Servers on port 8081 of production and test server that check what they get. */
export async function startBodyServers(rig: Rig): Promise<void> {
  for (const [host, log] of [
    [rig.production, rig.productionLog],
    [rig.target, rig.targetLog],
  ] as const) {
    await host.spawn([process.execPath, '-e', BODY_SERVER, log]).waitFor(/listening/);
  }
}

/** nginx that logs client address and port with every request. */
async function serve(rig: Rig, host: Host, log: string, server: string): Promise<void> {
  fs.writeFileSync(log, '');
  const format = `log_format copy '[$remote_addr]:$remote_port $request_method $request_uri $request_length';`;
  const block = `server { listen ${PORT} backlog=4096; listen [::]:${PORT} ipv6only=on; access_log ${log} copy;
    client_body_buffer_size 1m; client_max_body_size 8m; keepalive_requests 1000000;
    location / { return 200 "ok"; } ${server} }`;
  await startNginx(rig.lab, host, { http: `${format} ${block}`, port: 8079 });
}
