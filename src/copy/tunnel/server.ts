/** The server's side of the tunnel: connections of agents, within limits; whoever is no agent is closed and counted. */
import { createServer, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import { OperatorError } from '../../base/errors.ts';
import { AgentLink, type LinkEnd, type LinkEvents } from './agent_link.ts';
import { Reject, SILENCE_MS_MAX, STATUS_PERIOD_MS, type TunnelStatus, type Welcome } from './protocol.ts';

/** PEM texts. */
export interface TunnelTls {
  readonly cert?: string;
  readonly key?: string;
  /** Who may have signed the far end's certificate. Server: agents need one then. */
  readonly ca?: string;
  /** Agent: the name in the far end's certificate, where it is not the host that is connected to. */
  readonly servername?: string;
}

export interface TunnelLimits {
  readonly agentsMax: number;
  /** Connections whose far end has not proved yet that it has the key; more make the oldest of them go. */
  readonly strangersMax: number;
  readonly handshakeMsMax: number;
  readonly queueBytesMax: number;
  readonly silenceMsMax: number;
}

export const TUNNEL_LIMITS: TunnelLimits = {
  agentsMax: 64,
  strangersMax: 32,
  handshakeMsMax: 5_000,
  queueBytesMax: 16 * 1024 * 1024,
  silenceMsMax: SILENCE_MS_MAX,
};

export interface TunnelServerOptions {
  readonly host: string;
  readonly port: number;
  readonly key: Uint8Array;
  readonly tls: TunnelTls | null;
  readonly welcome: Welcome;
  readonly limits?: Partial<TunnelLimits>;
  readonly events: {
    joined(link: AgentLink): void;
    session(link: AgentLink, isAdded: boolean, key: Int32Array): void;
    /** An agent that had joined is gone. */
    left(link: AgentLink, end: LinkEnd): void;
    /** A connection that never became an agent's. */
    refused(address: string, end: LinkEnd | 'tls'): void;
    status(link: AgentLink): TunnelStatus;
    /** A Probe or ProbeEnd frame; false: it is none. Without it such a frame is garbage. */
    probe?(link: AgentLink, type: number, payload: Buffer): boolean;
    /** An agent has said what it wants of replies. */
    features?(link: AgentLink): void;
  };
}

export class TunnelServer {
  /** Connections accepted; agents among them; connections ended, by cause. */
  accepted = 0;
  authenticated = 0;
  readonly ends: Map<LinkEnd | 'tls', number> = new Map();
  readonly #options: TunnelServerOptions;
  readonly #limits: TunnelLimits;
  readonly #server: Server;
  readonly #links: Map<number, AgentLink> = new Map();
  readonly #strangers: Set<AgentLink> = new Set();
  readonly #timer: NodeJS.Timeout;
  #nextId = 1;

  constructor(options: TunnelServerOptions, server: Server) {
    this.#options = options;
    this.#limits = { ...TUNNEL_LIMITS, ...options.limits };
    this.#server = server;
    this.#timer = setInterval(() => this.#everySecond(), STATUS_PERIOD_MS);
  }

  get port(): number {
    const address = this.#server.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  }

  /** What it listens with; -1: it is closed. */
  get fd(): number {
    return (this.#server as unknown as { readonly _handle?: { readonly fd?: number } | null })._handle?.fd ?? -1;
  }

  /** Whether an agent is yet to take what was written to it. */
  get isBackedUp(): boolean {
    for (const link of this.#links.values()) if (link.isBackedUp) return true;
    return false;
  }

  /** Agents that have joined. */
  get agents(): Iterable<AgentLink> {
    return this.#links.values();
  }

  get agentCount(): number {
    return this.#links.size;
  }

  /** The joined agent of this number, or undefined. */
  agent(id: number): AgentLink | undefined {
    return this.#links.get(id);
  }

  accept(socket: Socket): void {
    this.accepted++;
    const link = new AgentLink(
      this.#nextId++,
      socket,
      {
        key: this.#options.key,
        welcome: this.#options.welcome,
        handshakeMsMax: this.#limits.handshakeMsMax,
        queueBytesMax: this.#limits.queueBytesMax,
      },
      this.#linkEvents,
    );
    this.#strangers.add(link);
    if (this.#strangers.size <= this.#limits.strangersMax) return;
    const oldest: AgentLink | undefined = this.#strangers.values().next().value;
    oldest?.end('crowded');
  }

  tlsFailed(socket: Socket): void {
    this.accepted++;
    this.#count('tls');
    this.#options.events.refused(socket.remoteAddress ?? 'gone', 'tls');
    socket.destroy();
  }

  /** Tells the agents that it ends. */
  sayBye(): void {
    for (const link of this.#links.values()) link.sendBye();
  }

  close(): Promise<void> {
    clearInterval(this.#timer);
    for (const link of [...this.#strangers, ...this.#links.values()]) link.end('shutdown');
    return new Promise((resolve) => this.#server.close(() => resolve()));
  }

  readonly #linkEvents: LinkEvents = {
    joined: (link) => {
      this.#strangers.delete(link);
      if (this.#links.size >= this.#limits.agentsMax) {
        link.reject(Reject.Full, 'crowded');
        return;
      }
      this.#links.set(link.id, link);
      this.authenticated++;
      this.#options.events.joined(link);
    },
    session: (link, isAdded, key) => this.#options.events.session(link, isAdded, key),
    status: (link) => this.#options.events.status(link),
    probe: (link, type, payload) => this.#options.events.probe?.(link, type, payload) ?? false,
    features: (link) => this.#options.events.features?.(link),
    ended: (link, end) => {
      this.#count(end);
      this.#strangers.delete(link);
      if (this.#links.delete(link.id)) this.#options.events.left(link, end);
      else this.#options.events.refused(link.address, end);
    },
  };

  #count(end: LinkEnd | 'tls'): void {
    this.ends.set(end, (this.ends.get(end) ?? 0) + 1);
  }

  #everySecond(): void {
    const quietSince = Date.now() - this.#limits.silenceMsMax;
    for (const link of [...this.#links.values()]) {
      if (link.heardAtMs < quietSince) link.end('silent');
      else link.sendStatus();
    }
  }
}

/** Rejects with RESOURCE, PERMISSION or FILE (certificate), one sentence with the remedy. */
export async function openTunnelServer(options: TunnelServerOptions): Promise<TunnelServer> {
  const settings = { noDelay: true };
  let accept = (socket: Socket): void => void socket.destroy();
  let fail = (socket: Socket): void => void socket.destroy();
  const { tls } = options;
  const server =
    tls === null ? createServer(settings, (socket) => accept(socket)) : makeTlsServer(tls, options, (s) => accept(s));
  server.on('tlsClientError', (_error: Error, socket: Socket) => fail(socket));
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => reject(refusal(error, options)));
    server.listen(options.port, options.host, () => {
      const tunnel = new TunnelServer(options, server);
      accept = (socket) => tunnel.accept(socket);
      fail = (socket) => tunnel.tlsFailed(socket);
      server.on('error', () => {});
      resolve(tunnel);
    });
  });
}

function makeTlsServer(tls: TunnelTls, options: TunnelServerOptions, accept: (socket: Socket) => void): Server {
  try {
    return createTlsServer(
      {
        ...tls,
        minVersion: 'TLSv1.2',
        requestCert: tls.ca !== undefined,
        rejectUnauthorized: tls.ca !== undefined,
        handshakeTimeout: options.limits?.handshakeMsMax ?? TUNNEL_LIMITS.handshakeMsMax,
      },
      accept,
    );
  } catch (cause) {
    throw new OperatorError('FILE', `the TLS certificate or key cannot be used: ${(cause as Error).message}`, {
      cause,
    });
  }
}

function refusal(error: NodeJS.ErrnoException, { host, port }: TunnelServerOptions): OperatorError {
  const where = `${host.includes(':') ? `[${host}]` : host}:${port}`;
  const options = { cause: error };
  switch (error.code) {
    case 'EADDRINUSE':
      return new OperatorError('RESOURCE', `${where} is in use: ss -ltnp shows by whom; or --listen another`, options);
    case 'EACCES':
      return new OperatorError('PERMISSION', `${where} needs root: take a port from 1024 on with --listen`, options);
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
      return new OperatorError('RESOURCE', `${where}: ${host} is no address of this host: see ip address`, options);
    default:
      return new OperatorError('RESOURCE', `cannot listen at ${where}: ${error.code ?? error.message}`, options);
  }
}
