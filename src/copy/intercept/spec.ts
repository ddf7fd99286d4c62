/** What is intercepted, as plain data. */
import type { TunnelTls } from '../tunnel/index.ts';

export interface ServiceSpec {
  /** IP address as text; null: every address of this host. */
  readonly address: string | null;
  readonly port: number;
}

export interface InterceptSpec {
  /** `host`: on the test server itself. `assistant`: on a host that its replies are routed to. */
  readonly mode: 'host' | 'assistant';
  readonly services: readonly ServiceSpec[];
  /** assistant: where the replies come in. host: where the copies come in; null: as the routes say. */
  readonly interface: string | null;
  readonly listen: { readonly host: string; readonly port: number };
  readonly key: Uint8Array;
  readonly tls: TunnelTls | null;
  /** Networks (CIDR) that are answered as ever; mode `host`. */
  readonly except: readonly string[];
}

/** `80`, `10.0.0.9:80`, `[fd00::9]:80`. */
export function serviceText({ address, port }: ServiceSpec): string {
  if (address === null) return String(port);
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}
