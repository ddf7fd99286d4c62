/** Options of `tsintercept` to the spec of an interception. Reads the files that they name. */
import { type InterceptSpec, type ServiceSpec, serviceText } from '../copy/intercept/spec.ts';
import { KEY_FILE_DEFAULT, readKeyFile } from '../copy/tunnel/key.ts';
import { TUNNEL_PORT } from '../copy/tunnel/protocol.ts';
import type { TunnelTls } from '../copy/tunnel/server.ts';
import { readTextFile } from './text_file.ts';
import { type HostPort, usage } from './values.ts';

export interface InterceptCliOptions {
  readonly service?: readonly (readonly ServiceSpec[])[];
  readonly mode?: 'host' | 'assistant';
  readonly interface?: string;
  readonly except?: readonly (readonly string[])[];
  readonly cleanup?: true;
  readonly listen?: HostPort;
  readonly keyFile?: string;
  readonly newKey?: true;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly tlsCa?: string;
  readonly json?: true;
  readonly metricsPort?: HostPort;
  readonly logLevel?: string;
  readonly quiet?: true;
}

/** Throws USAGE, FILE or PERMISSION. */
export function interceptSpec(options: InterceptCliOptions): InterceptSpec {
  const services = distinct((options.service ?? []).flat());
  const mode = options.mode ?? 'host';
  const except = (options.except ?? []).flat();
  const listen = options.listen ?? { host: '0.0.0.0', port: TUNNEL_PORT };
  if (services.length === 0) {
    throw usage('--service is needed: whose replies are to be swallowed? As in tsintercept --service 80,8081');
  }
  if (services.some(({ port }) => port === listen.port)) {
    throw usage(`--service ${listen.port} is the port of the tunnel itself: give another one with --listen`);
  }
  if (mode === 'assistant') checkAssistant(options, services, except);
  if (except.some((network) => network.endsWith('/0'))) {
    throw usage(`--except ${except.find((network) => network.endsWith('/0'))} leaves nothing to be swallowed`);
  }
  return {
    mode,
    services,
    interface: options.interface ?? null,
    listen,
    key: readKeyFile(options.keyFile ?? KEY_FILE_DEFAULT),
    tls: tlsOf(options),
    except,
  };
}

function checkAssistant(
  options: InterceptCliOptions,
  services: readonly ServiceSpec[],
  except: readonly string[],
): void {
  if (options.interface === undefined) {
    throw usage('--mode assistant needs --interface: where do the replies of the test server come in?');
  }
  const bare = services.find(({ address }) => address === null);
  if (bare !== undefined) {
    throw usage(`--mode assistant needs the test server's address: --service 10.0.0.9:${bare.port}`);
  }
  if (except.length > 0) {
    throw usage('--except is for --mode host: on an assistant, what its routes bring is swallowed');
  }
}

function distinct(services: readonly ServiceSpec[]): readonly ServiceSpec[] {
  const seen = new Map(services.map((service) => [serviceText(service), service]));
  // A port on every address takes in the same port on one of them.
  const ports = new Set(services.flatMap(({ address, port }) => (address === null ? [port] : [])));
  return [...seen.values()].filter(({ address, port }) => address === null || !ports.has(port));
}

function tlsOf({ tlsCert, tlsKey, tlsCa }: InterceptCliOptions): TunnelTls | null {
  if (tlsCert === undefined || tlsKey === undefined) return null;
  return {
    cert: readTextFile(tlsCert),
    key: readTextFile(tlsKey),
    ...(tlsCa === undefined ? {} : { ca: readTextFile(tlsCa) }),
  };
}
