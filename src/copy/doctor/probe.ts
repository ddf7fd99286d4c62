/**
 * A SYN from a spare address to each target, sent as copies are, and what became of it: every place where somebody of
 * ours can look is looked at. Afterwards a RST ends the connection, which the service never hears of.
 */
import { randomInt } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { TcpFlag } from '../../wire/tcp.ts';
import type { AgentSpec, AgentTarget } from '../agent/spec.ts';
import { addressText, addressWords } from '../agent/words.ts';
import { Header, type TargetHeader } from '../target_header.ts';
import type { AddressWords } from '../targets.ts';
import type { ProbeReport, ProbeRequest, Sighting } from '../tunnel/probe.ts';
import { KEY_CLIENT, KEY_SERVICE, KEY_WORDS, setKeyPorts, setKeyV4 } from '../tunnel/session_key.ts';
import type { FarEnd } from './far_end.ts';
import { type ProbePacket, ProbeSender } from './syn.ts';
import { openPacketWatch, type PacketWatch, serviceOf } from './watch.ts';

/** Targets that are probed; a report of more would not fit a frame. */
export const PROBED_MAX = 128;
/** SYNs of a target that says nothing, since the first. */
const SYN_MS: readonly number[] = [0, 250, 600];
const POLL_MS = 2;
/** After the answer: what leaks has left by then, and a ring's block has been handed over. */
const GRACE_MS = 30;
const FIRST_PORT = 33_000;
const LAST_PORT = 60_999;

export interface ProbeAnswer {
  readonly kind: 'SYN-ACK' | 'RST';
  /** Since the SYN, whatever there was to wait for. */
  readonly afterMs: number;
  /** Of the SYN-ACK; 0: not known. */
  readonly mss: number;
}

/** What is known of the probe of one target. */
export interface ProbeEvidence {
  readonly target: AgentTarget;
  /** As sightings name it. */
  readonly service: string;
  readonly from: string;
  readonly isSpare: boolean;
  readonly sent: number;
  /** Why this host refused the SYN; null: it did not. */
  readonly refusal: string | null;
  /** The answer that the interception handed over: the tunnel, or with `local` what this host saw coming in. */
  readonly answer: ProbeAnswer | null;
  /** Of this service. */
  readonly here: readonly Sighting[];
  readonly there: readonly Sighting[];
}

export interface ProbeResult {
  readonly targets: readonly ProbeEvidence[];
  /** Why this host could not be looked at; null: it could. */
  readonly hereFault: string | null;
  /** What the far end said before and after; null: it was not asked, or did not answer. */
  readonly before: ProbeReport | null;
  readonly after: ProbeReport | null;
  readonly isLocal: boolean;
}

export interface ProbeOptions {
  /** Addresses to probe from, of either family; the last of a family holds. Others: spare ones. */
  readonly from: readonly string[];
  /** Longest wait for answers. */
  readonly waitMs: number;
}

/** Networks for documentation, which no client has (RFC 5737, RFC 3849). */
function spareAddress(isIpv6: boolean): string {
  return isIpv6 ? `2001:db8::${randomInt(0x1000, 0xffff).toString(16)}` : `192.0.2.${randomInt(16, 240)}`;
}

class TargetProbe {
  readonly target: AgentTarget;
  readonly service: string;
  readonly from: string;
  readonly isSpare: boolean;
  readonly packet: ProbePacket;
  sent = 0;
  refusal: string | null = null;
  answer: ProbeAnswer | null = null;
  readonly #index: number;
  #firstMs = 0;

  /** `index`: of the target in the sender's list. */
  constructor(target: AgentTarget, index: number, from: string, isSpare: boolean, port: number) {
    this.target = target;
    this.#index = index;
    this.service = serviceOf(target.host, target.port);
    this.from = from;
    this.isSpare = isSpare;
    this.packet = { source: addressWords(from), port, seq: randomInt(0, 2 ** 32 - 1) };
  }

  /** Sends the SYNs that are due. */
  send(sender: ProbeSender, nowMs: number): void {
    if (this.answer !== null || this.refusal !== null || this.sent >= SYN_MS.length) return;
    if (this.sent > 0 && nowMs - this.#firstMs < SYN_MS[this.sent]!) return;
    const refusal = sender.sendSyn(this.#index, this.packet);
    if (this.sent === 0) {
      this.#firstMs = nowMs;
      this.refusal = refusal;
    }
    if (refusal === null) this.sent++;
  }

  answered(kind: ProbeAnswer['kind'], mss: number): void {
    this.answer ??= { kind, mss, afterMs: performance.now() - this.#firstMs };
  }

  get isOver(): boolean {
    return this.answer !== null || this.refusal !== null;
  }

  /** The session's key in the tunnel. */
  key(): Int32Array {
    const key = new Int32Array(KEY_WORDS);
    setKeyPorts(key, this.packet.port, this.target.port);
    setKeyAddress(key, KEY_CLIENT, this.packet.source);
    setKeyAddress(key, KEY_SERVICE, this.target.address);
    return key;
  }

  end(sender: ProbeSender): void {
    if (this.sent > 0 && this.answer?.kind !== 'RST') sender.sendReset(this.#index, this.packet);
  }
}

function setKeyAddress(key: Int32Array, at: number, words: AddressWords): void {
  if (words.length === 1) setKeyV4(key, at, words[0]);
  else for (let word = 0; word < 4; word++) key[at + word] = words[word]!;
}

/**
 * Probes every target at once. Precondition: replies are swallowed already. Rejects with an OperatorError where no copy
 * could be sent either; what a probe finds is no error.
 */
export async function probeTargets(spec: AgentSpec, far: FarEnd | null, options: ProbeOptions): Promise<ProbeResult> {
  const port = randomInt(FIRST_PORT, LAST_PORT);
  const sources = sourcesOf(spec, options.from);
  const targets = spec.targets.slice(0, PROBED_MAX);
  const probes = targets.map((target, i) => {
    const { address, isSpare } = sources(target.address.length === 4);
    return new TargetProbe(target, i, address, isSpare, port);
  });
  const request = { port, addresses: [...new Set(probes.map(({ from }) => from))] };
  const sender = new ProbeSender(targets);
  const { watch, fault } = watchHere(request, spec);
  try {
    const before = (await far?.watch(request)) ?? null;
    if (far !== null) registerAll(far, probes);
    await exchange(probes, sender, watch, far === null, options.waitMs);
    const after = (await far?.finish()) ?? null;
    const here = watch?.sightings() ?? [];
    const there = after?.sightings ?? [];
    return {
      targets: probes.map((probe) => evidenceOf(probe, here, there)),
      hereFault: fault,
      before,
      after,
      isLocal: spec.replies.kind === 'local',
    };
  } finally {
    for (const probe of probes) {
      probe.end(sender);
      far?.client.unregister(probe.key());
    }
    far?.client.flush();
    watch?.close();
    sender.close();
  }
}

/** The address to probe from, by family: what was asked for, one of the pool that copies come from, a spare one. */
function sourcesOf({ clones }: AgentSpec, from: readonly string[]) {
  const asked = (isIpv6: boolean) => from.findLast((address) => address.includes(':') === isIpv6);
  const spare = { v4: spareAddress(false), v6: spareAddress(true) };
  return (isIpv6: boolean): { address: string; isSpare: boolean } => {
    const given = asked(isIpv6);
    if (given !== undefined) return { address: given, isSpare: false };
    if (!isIpv6 && clones.pool !== null) return { address: addressText([clones.pool.first]), isSpare: false };
    return { address: isIpv6 ? spare.v6 : spare.v4, isSpare: true };
  };
}

function watchHere(request: ProbeRequest, spec: AgentSpec): { watch: PacketWatch | null; fault: string | null } {
  try {
    const devices = [...new Set(spec.targets.map(({ device }) => device))];
    return { watch: openPacketWatch(request, devices), fault: null };
  } catch (error) {
    return { watch: null, fault: (error as Error).message };
  }
}

/** Replies come here from now on, and tell their probe. */
function registerAll(far: FarEnd, probes: readonly TargetProbe[]): void {
  const byService = new Map(probes.map((probe) => [probe.service, probe]));
  for (const probe of probes) far.client.register(probe.key());
  far.client.flush();
  far.onHeader = ({ cells }: TargetHeader) => {
    const words = [0, 1, 2, 3].map((word) => cells[Header.Target0 + word]! >>> 0);
    const address = (cells[Header.IsIpv6] === 0 ? [words[0]!] : words) as unknown as AddressWords;
    const probe = byService.get(`${addressText(address)}:${cells[Header.TargetPort]!}`);
    const flags = cells[Header.Flags]!;
    const isSynAck = (flags & TcpFlag.Syn) !== 0 && (flags & TcpFlag.Ack) !== 0;
    if (isSynAck) probe?.answered('SYN-ACK', cells[Header.Mss]!);
    else if ((flags & TcpFlag.Rst) !== 0) probe?.answered('RST', 0);
  };
}

/** SYNs out, until every target has answered or the time is up. */
async function exchange(
  probes: readonly TargetProbe[],
  sender: ProbeSender,
  watch: PacketWatch | null,
  isLocal: boolean,
  waitMs: number,
): Promise<void> {
  const startedMs = performance.now();
  for (;;) {
    const nowMs = performance.now();
    for (const probe of probes) probe.send(sender, nowMs);
    watch?.poll();
    if (isLocal) takeLocal(probes, watch?.sightings() ?? []);
    if (probes.every(({ isOver }) => isOver) || nowMs - startedMs > waitMs) break;
    await pause(POLL_MS);
  }
  if (probes.every(({ sent }) => sent === 0)) return;
  await pause(GRACE_MS);
}

/** With `local` there is no tunnel: what comes in here is what the rings of the workers will see. */
function takeLocal(probes: readonly TargetProbe[], sightings: readonly Sighting[]): void {
  for (const { way, kind, service } of sightings) {
    if (way !== 'in' || (kind !== 'SYN-ACK' && kind !== 'RST')) continue;
    probes.find((probe) => probe.service === service)?.answered(kind, 0);
  }
}

function evidenceOf(probe: TargetProbe, here: readonly Sighting[], there: readonly Sighting[]): ProbeEvidence {
  const own = ({ service }: Sighting): boolean => service === probe.service;
  const { target, service, from, isSpare, sent, refusal, answer } = probe;
  return { target, service, from, isSpare, sent, refusal, answer, here: here.filter(own), there: there.filter(own) };
}
