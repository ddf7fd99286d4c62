/**
 * Replies by way of the tunnel: sessions are registered when their SYN leaves, and forgotten some time after
 * their end.
 */
import type { Clock } from '../../base/clock.ts';
import type { CopyEngine } from '../engine.ts';
import { SparedNetworks } from '../spared.ts';
import { TargetHeader } from '../target_header.ts';
import { TunnelClient, type TunnelState } from '../tunnel/client.ts';
import { FEATURE_HEADS } from '../tunnel/protocol.ts';
import { KEY_CLIENT, KEY_SERVICE, KEY_WORDS, setKeyPorts, setKeyV4 } from '../tunnel/session_key.ts';
import { SessionMap } from '../tunnel/session_map.ts';
import type { FrameEmitter } from './emitter.ts';
import { AgentCell } from './rows.ts';
import type { AgentSpec, ReplySource } from './spec.ts';
import { sparedNetwork } from './words.ts';

/** Sessions that have ended are told to the far end this often. */
const SWEEP_MS = 5_000;

export type TunnelNews = (state: TunnelState, why: string | null) => void;

export class TunnelReplies {
  readonly client: TunnelClient;
  readonly #spec: AgentSpec;
  readonly #engine: CopyEngine;
  readonly #emitter: FrameEmitter;
  readonly #cells: Float64Array;
  readonly #key: Int32Array = new Int32Array(KEY_WORDS);
  readonly #header: TargetHeader = new TargetHeader();
  /** Sessions registered: the number of the sweep that saw them alive last. */
  readonly #seen: SessionMap;
  #sweep = 1;
  #sweptMs = 0;

  constructor(
    spec: AgentSpec,
    engine: CopyEngine,
    emitter: FrameEmitter,
    clock: Clock,
    cells: Float64Array,
    news: TunnelNews,
  ) {
    const { host, port, key, tls } = spec.replies as Extract<ReplySource, { kind: 'tunnel' }>;
    this.#spec = spec;
    this.#engine = engine;
    this.#emitter = emitter;
    this.#cells = cells;
    this.#seen = new SessionMap(1_000_000);
    this.client = new TunnelClient({
      host,
      port,
      key,
      tls,
      polled: true,
      ...(spec.compare === true ? { features: FEATURE_HEADS } : {}),
      onReplies: (batch) => {
        engine.tick(clock.nowNs());
        while (batch.next(this.#header)) engine.onTargetHeader(this.#header);
      },
      onState: (state, why) => {
        this.#gate(state);
        news(state, why);
      },
    });
    emitter.onSyn = (view, ip, target) => this.#register(view, ip, target);
    emitter.beforeSyns = () => this.client.flush();
  }

  /** Where nobody swallows replies nothing leaves, and no session begins. */
  #gate(state: TunnelState): void {
    const isOpen = state === 'ready';
    if (isOpen) this.#engine.spare(new SparedNetworks(this.spared.map(sparedNetwork)));
    this.#emitter.isShut = !isOpen;
    this.#cells[AgentCell.TunnelUp] = isOpen ? 1 : 0;
  }

  /** Networks whose clients the targets answer themselves. */
  get spared(): readonly string[] {
    const { welcome } = this.client;
    if (welcome === null) return [];
    return [...(welcome.except ?? []), ...(welcome.mode === 'assistant' ? (this.#spec.near ?? []) : [])];
  }

  get isUp(): boolean {
    return this.client.state === 'ready';
  }

  /** Whether `read` takes the replies; else they come by the event loop: over TLS, and while there is no connection. */
  get isPolled(): boolean {
    return this.client.isPolled;
  }

  /** Takes the replies that have come, without the event loop; returns how many bytes they were. */
  read(): number {
    return this.client.isPolled ? this.client.receive() : 0;
  }

  #register(view: DataView, ip: number, target: number): void {
    const key = this.#key;
    const isIpv6 = view.getUint8(ip) >>> 4 === 6;
    const tcp = isIpv6 ? ip + 40 : ip + 20;
    setKeyPorts(key, view.getUint16(tcp), this.#spec.targets[target]!.port);
    if (isIpv6) {
      for (let word = 0; word < 4; word++) {
        key[KEY_CLIENT + word] = view.getInt32(ip + 8 + 4 * word);
        key[KEY_SERVICE + word] = view.getInt32(ip + 24 + 4 * word);
      }
    } else {
      setKeyV4(key, KEY_CLIENT, view.getInt32(ip + 12));
      setKeyV4(key, KEY_SERVICE, view.getInt32(ip + 16));
    }
    if (this.#seen.set(key, this.#sweep) >= 0) this.client.register(key);
  }

  /** Now and then: counters, and sessions that are over. */
  look(nowMs: number): void {
    const { statistics } = this.client;
    this.#cells[AgentCell.TunnelConnects] = statistics.connects;
    this.#cells[AgentCell.TunnelReplies] = statistics.replies;
    this.#cells[AgentCell.TunnelLost] = statistics.lost;
    if (nowMs - this.#sweptMs < SWEEP_MS) return;
    this.#sweptMs = nowMs;
    this.#forgetEnded();
  }

  #forgetEnded(): void {
    const key = this.#key;
    const before = this.#sweep;
    this.#sweep++;
    this.#engine.forEachSession((words, at, clientPort, target) => {
      const { address, port } = this.#spec.targets[target]!;
      setKeyPorts(key, clientPort, port);
      if (address.length === 4) {
        for (let word = 0; word < 4; word++) {
          key[KEY_CLIENT + word] = words[at + word]!;
          key[KEY_SERVICE + word] = address[word as 0 | 1 | 2 | 3] | 0;
        }
      } else {
        setKeyV4(key, KEY_CLIENT, words[at]!);
        setKeyV4(key, KEY_SERVICE, address[0] | 0);
      }
      if (this.#seen.get(key) !== 0) this.#seen.set(key, this.#sweep);
    });
    for (let slot = 0; slot < this.#seen.slots; ) {
      const sweep = this.#seen.keyAt(slot, key);
      // Deleting may move another key into this slot.
      if (sweep !== 0 && sweep < before) {
        this.#seen.delete(key);
        this.client.unregister(key);
      } else slot++;
    }
  }

  close(): void {
    this.client.close();
  }
}
