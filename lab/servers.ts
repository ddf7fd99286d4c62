/** Real servers in a lab's hosts, each with its own configuration and files; they stop at the lab's teardown. */
import fs from 'node:fs';
import path from 'node:path';
import type { Host } from './host.ts';
import type { Lab } from './lab.ts';
import { type LabProcess, runProgram, until } from './process.ts';

let made = 0;

function directoryFor(lab: Lab, what: string): string {
  const dir = path.join(lab.directory, `${what}-${made++}`);
  fs.mkdirSync(dir);
  return dir;
}

/** Waits until something listens on a port of the host. */
async function listening(host: Host, server: LabProcess, port: number, kind: 'tcp' | 'udp'): Promise<void> {
  const argv = ['ss', kind === 'tcp' ? '-Hltn' : '-Hlun', `sport = :${port}`];
  await until(`${server.argv.join(' ')} on port ${port}: ${server.stderr}`, () => {
    if (!server.running) throw new Error(`${server.argv.join(' ')} ended: ${server.stderr}${server.stdout}`);
    return host.run(argv).stdout.trim() !== '';
  });
}

export interface NginxOptions {
  /** Name under the document root -> content. */
  readonly files?: Readonly<Record<string, string | Uint8Array>>;
  /** Default 80. */
  readonly port?: number;
  /** HTTPS on 443 as well, with a certificate made for the occasion. */
  readonly tls?: boolean;
  /** More lines for the `http` block. */
  readonly http?: string;
}

/** nginx on IPv4 and IPv6, access log off, keep-alive on. Returns its document root. */
export async function startNginx(lab: Lab, host: Host, options: NginxOptions = {}): Promise<string> {
  const dir = directoryFor(lab, 'nginx');
  const documents = path.join(dir, 'html');
  fs.mkdirSync(documents);
  for (const [name, content] of Object.entries(options.files ?? {}))
    fs.writeFileSync(path.join(documents, name), content);
  const port = options.port ?? 80;
  const tls = options.tls ? certificate(dir) : null;
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (kind) => `${kind}_temp_path "${dir}/${kind}";`,
  );
  const secure = tls
    ? `listen 443 ssl; listen [::]:443 ssl; ssl_certificate "${tls.certificate}"; ssl_certificate_key "${tls.key}";`
    : '';
  const configuration = `daemon off; master_process off; pid "${dir}/pid"; error_log "${dir}/error.log" warn;
    events { worker_connections 4096; }
    http { access_log off; default_type text/plain; ${temporary.join(' ')} ${options.http ?? ''}
      server { listen ${port} backlog=4096; listen [::]:${port} ipv6only=on; ${secure} root "${documents}"; } }\n`;
  const file = path.join(dir, 'nginx.conf');
  fs.writeFileSync(file, configuration);
  const server = host.spawn(['nginx', '-p', dir, '-c', file, '-e', `${dir}/error.log`]);
  await listening(host, server, port, 'tcp');
  return documents;
}

/** A self-made certificate for `lab.example.test`, valid for a day. */
export function certificate(dir: string): { readonly certificate: string; readonly key: string } {
  const made = { certificate: path.join(dir, 'cert.pem'), key: path.join(dir, 'key.pem') };
  const request = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '1'];
  const subject = ['-subj', '/CN=lab.example.test', '-keyout', made.key, '-out', made.certificate];
  runProgram(['openssl', ...request, ...subject]);
  return made;
}

/** redis without persistence. Default port 6379. */
export async function startRedis(lab: Lab, host: Host, port = 6379): Promise<void> {
  const dir = directoryFor(lab, 'redis');
  const settings = ['--port', String(port), '--dir', dir, '--save', '', '--appendonly', 'no', '--protected-mode', 'no'];
  await listening(host, host.spawn(['redis-server', ...settings], { cwd: dir }), port, 'tcp');
}

/** dnsmasq answering `names` (name -> IPv4 or IPv6 address), NXDOMAIN for others below .test, on port 53. */
export async function startDns(
  lab: Lab,
  host: Host,
  names: Readonly<Record<string, string>>,
  options: readonly string[] = [],
): Promise<void> {
  const dir = directoryFor(lab, 'dns');
  const hosts = Object.entries(names).map(([name, address]) => `--host-record=${name},${address}`);
  const own = ['--conf-file=/dev/null', '--no-hosts', '--no-resolv', '--keep-in-foreground', '--user=root'];
  const quiet = [`--pid-file=${dir}/pid`, '--cache-size=0', '--local=/test/', '--log-facility=-'];
  await listening(host, host.spawn(['dnsmasq', ...own, ...quiet, ...hosts, ...options], { cwd: dir }), 53, 'udp');
}
