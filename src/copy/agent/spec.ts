/** What an agent is to do, resolved: data that is handed to its workers as it is. */
import type { NamespaceSpec } from '../../device/host_capture.ts';
import type { EngineOptions } from '../options.ts';
import type { ServiceSpec, TargetSpec } from '../targets.ts';
import type { TunnelTls } from '../tunnel/server.ts';

/** How packets reach a target. */
export interface AgentTarget extends TargetSpec {
  /** As text, for people. */
  readonly host: string;
  /** Interface that leads there, and by which replies come. */
  readonly device: string;
  /**
   * `af_packet`: frames onto `device`, to the neighbour's address; `raw_ip`: packets, which the kernel routes;
   * `raw_socket`: the same through the npm package of that name.
   */
  readonly sender: Sender;
  /** Twelve bytes: destination and source of Ethernet headers; empty where there are none. */
  readonly macs: Uint8Array;
}

export const SENDERS = ['af_packet', 'raw_ip', 'raw_socket'] as const;
export type Sender = (typeof SENDERS)[number];

export interface AgentService extends ServiceSpec {
  readonly text: string;
}

/** Where the headers of the targets' replies come from. */
export type ReplySource =
  /** This host is the next hop of the replies: a ring on `device` sees them. */
  | { readonly kind: 'local'; readonly devices: readonly string[] }
  | {
      readonly kind: 'tunnel';
      readonly host: string;
      readonly port: number;
      readonly key: Uint8Array;
      readonly tls: TunnelTls | null;
    };

/** Where the clients' packets come from. */
export type PacketSource =
  | {
      readonly kind: 'live';
      readonly device: string;
      /** Where `device` is; null: here. Copies leave from here. */
      readonly netns: NamespaceSpec | null;
      /** Clients that are not copied: addresses of this host, whose replies its own kernel would answer. */
      readonly except: readonly string[];
      /** Libpcap expression on top of the services' ports; '' none. */
      readonly filter: string;
      /** Of the rings of all workers. */
      readonly bufferBytes: number;
    }
  | {
      readonly kind: 'files';
      readonly paths: readonly string[];
      /** Libpcap expression on top of the services' ports; '' none. */
      readonly filter: string;
      /** Times of the capture are divided by it. */
      readonly multiplier: number;
      readonly loops: number;
      /** Longest pause, before the multiplier; Infinity: as captured. */
      readonly gapNsMax: number;
    };

/** Copies of each session, and the addresses that they get: null: the client's own, on other ports. */
export interface CloneSpec {
  readonly copies: number;
  readonly pool: { readonly first: number; readonly addresses: number } | null;
}

export interface AgentSpec {
  readonly targets: readonly AgentTarget[];
  readonly services: readonly AgentService[];
  readonly packets: PacketSource;
  readonly replies: ReplySource;
  /**
   * Networks that the targets are in themselves: they answer clients there directly, past any next hop. Their clients
   * are copied only where replies are swallowed at the target itself.
   */
  readonly near?: readonly string[];
  readonly engine: Partial<EngineOptions>;
  readonly clones: CloneSpec;
  readonly workers: number;
  /** Whether production's replies are captured, too, and compared with the targets'. */
  readonly compare?: boolean;
  /** Share of one processor above which no session begins; 0: no limit. */
  readonly cpuPercentMax: number;
  /** Sessions that are open when the agent ends get this long to be closed in order. */
  readonly closeMs: number;
}
