/**
 * Which side of a conversation sends a packet, client or server: what `tsprep` writes into a cache and what `--auto`
 * decides without one. A classifier looks at every frame once and answers with a subject; when all have been seen and
 * `settle` has been called, it says of each subject whether its packets are the primary side's.
 */
import type { FrameBatch } from '../base/batch.ts';
import type { AddressBlock } from './address_block.ts';

/** Modes that judge hosts by their traffic. */
export type AutoMode = 'bridge' | 'router' | 'client' | 'server' | 'first';

/**
 * `reverse` swaps the sides of IP packets. `nonIpPrimary`: packets without an IP header are the primary side's instead
 * of the secondary's.
 */
export type DirectionSpec =
  | AutoSpec
  | PlainSpec<'cidr', { readonly blocks: readonly AddressBlock[] }>
  | PlainSpec<'match', { readonly matches: HostPredicate }>
  | PlainSpec<'port', { readonly services: Services }>
  | PlainSpec<'mac', { readonly macs: readonly (readonly number[])[] }>;

type PlainSpec<Kind extends string, Rest> = { readonly kind: Kind } & DirectionCommon & Rest;

export interface DirectionCommon {
  readonly reverse: boolean;
  readonly nonIpPrimary: boolean;
}

export interface AutoSpec extends DirectionCommon {
  readonly kind: 'auto';
  readonly mode: AutoMode;
  /** A host is a server when it acted as one at least this many times as often as as a client; >= 0. */
  readonly ratio: number;
  /** Router mode: shortest and longest prefix of a server network, IPv4 bits; IPv6 prefixes are four times as long. */
  readonly maxmask: number;
  readonly minmask: number;
  /**
   * As tcpprep 4.4 and 4.5 decide: all IPv6 hosts are one, SYN and SYN-ACK with ECN bits say nothing, and router mode
   * never asks whether an unknown host lies in a server's network.
   */
  readonly compat: boolean;
}

export const AUTO_DEFAULTS: Omit<AutoSpec, 'mode'> = {
  kind: 'auto',
  ratio: 2,
  maxmask: 8,
  minmask: 30,
  reverse: false,
  nonIpPrimary: false,
  compat: false,
};

/** Called once for each host: version 4 or 6, and one or four u32, most significant first. */
export type HostPredicate = (version: 4 | 6, words: readonly number[]) => boolean;

/** Port -> bits of `SERVICE_TCP` and `SERVICE_UDP`; 65,536 long. */
export type Services = Uint8Array;

/** Subjects below 0; from 0 on they are host numbers. */
export const Subject = {
  NonIp: -1,
  Primary: -2,
  Secondary: -3,
  /** IP, but nothing says which side: the host table is full. */
  Untracked: -4,
} as const;

export interface Classifier {
  /** Looks at frame `i`, learns from it, and says what its side depends on. */
  look(batch: FrameBatch, i: number): number;
  /** False: the answers of `isPrimary` are final as soon as `look` has returned. */
  readonly waits: boolean;
  /**
   * All frames have been looked at: from now on `look` learns nothing. Returns a sentence where the hosts cannot be
   * told apart as asked, else null.
   */
  settle(): string | null;
  isPrimary(subject: number): boolean;
}
