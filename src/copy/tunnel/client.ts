/**
 * The agent's side of the tunnel. It connects, proves that it has the key and has the far end prove the same, registers
 * sessions and gets the headers of their replies. When the connection is lost it comes back by itself, and registers
 * every live session anew.
 *
 * ```
 * const tunnel = new TunnelClient({ host, port, key, tls: null, onReplies });
 * await tunnel.connect();            // rejects with an OperatorError: wrong key, wrong version, nobody there
 * tunnel.register(key);              // leaves with the others of this turn of the event loop, or with flush()
 * ```
 */
import { connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { deferred } from '../../base/deferred.ts';
import { OperatorError } from '../../base/errors.ts';
import { receiveNow, sendNow } from '../../device/host.ts';
import { closedText, reasonOf } from './connect_error.ts';
import { openDescriptor, writableDescriptor } from './descriptor.ts';
import { FrameReader, frameOf } from './frames.ts';
import { isProof, newNonce, proofOf } from './key.ts';
import {
  CHALLENGE_BYTES,
  FEATURES_BYTES,
  FRAME_BYTES_MAX,
  FRAME_BYTES_MAX_STRANGER,
  FRAME_HEAD_BYTES,
  Frame,
  HELLO_BYTES,
  LENGTH_BYTES,
  MAGIC,
  PING_PERIOD_MS,
  PROOF_BYTES,
  REJECT_BYTES,
  REPLIES_HEAD_BYTES,
  Reject,
  SESSION_ADD,
  SESSION_BYTES_V6,
  SESSION_REMOVE,
  SILENCE_MS_MAX,
  STATUS_BYTES,
  STATUS_FIELDS,
  TUNNEL_VERSION,
  type TunnelStatus,
  type Welcome,
} from './protocol.ts';
import { replyBytes } from './reply.ts';
import { ReplyBatch } from './reply_batch.ts';
import type { TunnelTls } from './server.ts';
import { writeSessionEntry } from './session_entry.ts';
import { KEY_WORDS } from './session_key.ts';
import { SessionMap } from './session_map.ts';

/** `waiting`: disconnected, and about to try again. `leaving`: connected, but the far end has said that it ends. */
export type TunnelState = 'idle' | 'connecting' | 'ready' | 'leaving' | 'waiting' | 'closed';

export interface TunnelClientOptions {
  readonly host: string;
  readonly port: number;
  readonly key: Uint8Array;
  readonly tls: TunnelTls | null;
  /** While `isPolled` the caller waits for `fd` and calls `receive`, not the event loop. Default false. */
  readonly polled?: boolean;
  /** Sessions that may be registered at once. Default 1,000,000. */
  readonly sessionsMax?: number;
  /** `FEATURE_` bits. Default: none. */
  readonly features?: number;
  readonly onReplies: (batch: ReplyBatch) => void;
  /** Answers to what `send` asked: Time, ProbeReady, ProbeSeen. Valid during the call. False: it is none. */
  readonly onAnswer?: (type: number, payload: Buffer) => boolean;
  /** After every change; `why`: one sentence, null where there is nothing to say. */
  readonly onState?: (state: TunnelState, why: string | null) => void;
  /** First and longest wait before another attempt. Default 50 ms, 2 s. */
  readonly backOffMs?: readonly [number, number];
}

export interface TunnelClientStatistics {
  connects: number;
  disconnects: number;
  batches: number;
  replies: number;
  /** Given up by the far end because this end did not read. */
  lost: number;
  registered: number;
  unregistered: number;
  /** Sessions registered again after a reconnect. */
  registeredAnew: number;
}

const CONNECT_MS_MAX = 5_000;
const OUT_BYTES = 65_536;
const IN_BYTES = 65_536;
/** Reads without a pause, so that other work gets its turn. */
const READS_MAX = 4;
/** Registrations that wait beyond this are given up for a new connection, which registers everything once. */
const OUT_QUEUE_BYTES_MAX = 32 * 1024 * 1024;

export class TunnelClient {
  state: TunnelState = 'idle';
  /** What the far end intercepts; null before the first connection. */
  welcome: Welcome | null = null;
  /** What the far end said of itself last; null before. */
  remote: TunnelStatus | null = null;
  readonly statistics: TunnelClientStatistics = {
    connects: 0,
    disconnects: 0,
    batches: 0,
    replies: 0,
    lost: 0,
    registered: 0,
    unregistered: 0,
    registeredAnew: 0,
  };
  readonly #options: TunnelClientOptions;
  readonly #sessions: SessionMap;
  readonly #batch = new ReplyBatch();
  readonly #out: Buffer = Buffer.alloc(OUT_BYTES);
  readonly #outView: DataView = new DataView(this.#out.buffer, this.#out.byteOffset, OUT_BYTES);
  #outUsed = FRAME_HEAD_BYTES;
  readonly #in: Buffer = Buffer.alloc(IN_BYTES);
  /** The socket's own reading has ended: `receive` reads. */
  isPolled = false;
  #flushing: NodeJS.Immediate | null = null;
  readonly #flushLater = (): void => {
    this.#flushing = null;
    this.flush();
  };
  #socket: Socket | null = null;
  #reader: FrameReader | null = null;
  #agentNonce: Buffer = Buffer.alloc(0);
  #serverNonce: Buffer | null = null;
  #heardAtMs = 0;
  #isPaused = false;
  #timer: NodeJS.Timeout | null = null;
  #retry: NodeJS.Timeout | null = null;
  #backOffMs: number;
  #first: ReturnType<typeof deferred<Welcome>> | null = null;

  constructor(options: TunnelClientOptions) {
    this.#options = options;
    this.#sessions = new SessionMap(options.sessionsMax ?? 1_000_000);
    this.#backOffMs = this.#backOff[0];
  }

  /** Descriptor of the connection, to wait for together with others; -1: none. */
  get fd(): number {
    const socket = this.#socket;
    return socket === null ? -1 : openDescriptor(socket);
  }

  /**
   * Takes what has come, without the event loop; returns how many bytes that was. Precondition: `isPolled`. The end of
   * the connection is found here as well.
   */
  receive(): number {
    const { fd } = this;
    if (fd < 0 || this.#isPaused) return 0;
    let total = 0;
    for (let n = 0; n < READS_MAX && this.isPolled; n++) {
      const bytes = receiveNow(fd, this.#in);
      if (bytes === 0) break;
      if (bytes < 0) {
        this.#lose(closedText(this.#where, this.state === 'ready', false));
        break;
      }
      total += bytes;
      this.#heard(this.#in.subarray(0, bytes));
      if (bytes < IN_BYTES) break;
    }
    return total;
  }

  /** Takes bytes as if they had come. Only for a client that is never connected: it counts as connected then. */
  rehearse(chunk: Buffer): void {
    this.state = 'ready';
    this.#reader ??= this.#newReader(FRAME_BYTES_MAX);
    this.#heard(chunk);
  }

  #newReader(frameBytesMax: number): FrameReader {
    return new FrameReader(frameBytesMax, (type, bytes, start, end) => this.#take(type, bytes, start, end));
  }

  #heard(chunk: Buffer): void {
    const socket = this.#socket;
    this.#heardAtMs = Date.now();
    if (!this.#reader!.push(chunk) && this.#socket === socket) this.#lose('the far end does not speak this protocol');
  }

  /** Sessions registered now. */
  get sessions(): number {
    return this.#sessions.count;
  }

  /** Resolves when both ends have proved themselves. Rejects with an OperatorError; may be called again then. */
  connect(): Promise<Welcome> {
    this.#first ??= deferred<Welcome>();
    const { promise } = this.#first;
    if (this.#socket === null) this.#open();
    return promise;
  }

  /** Replies to this session come here from now on. False: `sessionsMax` are registered. */
  register(key: Int32Array): boolean {
    const before = this.#sessions.set(key, 1);
    if (before < 0) return false;
    if (before === 0) this.statistics.registered++;
    this.#queue(SESSION_ADD, key);
    return true;
  }

  unregister(key: Int32Array): void {
    if (this.#sessions.delete(key) === 0) return;
    this.statistics.unregistered++;
    this.#queue(SESSION_REMOVE, key);
  }

  /** Sends what `register` and `unregister` have queued. */
  flush(): void {
    const used = this.#outUsed;
    this.#outUsed = FRAME_HEAD_BYTES;
    const socket = this.#socket;
    if (used === FRAME_HEAD_BYTES || socket === null || !this.#isOpen()) return;
    const out = this.#out;
    out.writeUInt32BE(used - FRAME_HEAD_BYTES + 1, 0);
    out[LENGTH_BYTES] = Frame.Sessions;
    const fd = writableDescriptor(socket);
    const sent = fd < 0 ? 0 : Math.max(0, sendNow(fd, out, used));
    if (sent === used) return;
    socket.write(Buffer.from(out.subarray(sent, used)));
    if (socket.writableLength > OUT_QUEUE_BYTES_MAX) this.#lose('the far end takes no registrations');
  }

  /** Sends a frame at once, behind registrations that wait. False: there is no connection. */
  send(type: number, payload?: Uint8Array): boolean {
    this.flush();
    if (!this.#isOpen()) return false;
    this.#socket!.write(frameOf(type, payload));
    return true;
  }

  /** Reads no more replies until `resume`: the far end keeps them, as many as its queue holds, and counts the rest. */
  pause(): void {
    this.#isPaused = true;
    this.#socket?.pause();
  }

  resume(): void {
    this.#isPaused = false;
    this.#heardAtMs = Date.now();
    this.#socket?.resume();
  }

  /** Ends the connection for good. */
  close(): void {
    if (this.state === 'closed') return;
    this.flush();
    if (this.#retry !== null) clearTimeout(this.#retry);
    this.#drop();
    this.#move('closed', null);
    this.#first?.reject(new OperatorError('ADDRESS', 'the tunnel was closed'));
  }

  get #backOff(): readonly [number, number] {
    return this.#options.backOffMs ?? [50, 2_000];
  }

  #isOpen(): boolean {
    return this.state === 'ready' || this.state === 'leaving';
  }

  #queue(operation: number, key: Int32Array): void {
    // Not connected: the next connection registers what is live then.
    if (!this.#isOpen()) return;
    this.#outUsed = writeSessionEntry(this.#outView, this.#outUsed, operation, key);
    if (this.#outUsed + SESSION_BYTES_V6 > OUT_BYTES) this.flush();
    else this.#flushing ??= setImmediate(this.#flushLater);
  }

  #move(state: TunnelState, why: string | null): void {
    this.state = state;
    this.#options.onState?.(state, why);
  }

  #open(): void {
    const { tls } = this.#options;
    this.#move('connecting', null);
    this.#serverNonce = null;
    const socket = this.#connect();
    socket.setNoDelay(true);
    this.#socket = socket;
    this.#reader = this.#newReader(FRAME_BYTES_MAX_STRANGER);
    this.#heardAtMs = Date.now();
    socket.once(tls === null ? 'connect' : 'secureConnect', () => this.#hello());
    if (!this.#mayPoll) {
      socket.on('data', (chunk: Buffer) => {
        if (this.#socket === socket) this.#heard(chunk);
      });
    }
    socket.on('error', (error: NodeJS.ErrnoException) => {
      if (this.#socket === socket) this.#lose(reasonOf(error, this.#where), 'ADDRESS', error);
    });
    socket.on('close', () => {
      if (this.#socket === socket) this.#lose(closedText(this.#where, this.state === 'ready', tls !== null));
    });
    this.#timer = setInterval(() => this.#look(), PING_PERIOD_MS / 2);
  }

  get #mayPoll(): boolean {
    return this.#options.polled === true && this.#options.tls === null;
  }

  #connect(): Socket {
    const { host, port, tls } = this.#options;
    if (tls !== null) return connectTls({ host, port, ...tls, minVersion: 'TLSv1.2' });
    if (!this.#mayPoll) return connect({ host, port });
    // Read in this way a socket that is paused reads nothing more, where others fill a buffer first.
    const socket: Socket = connect({
      host,
      port,
      onread: {
        buffer: this.#in,
        callback: (bytes) => {
          if (this.#socket === socket) this.#heard(this.#in.subarray(0, bytes));
          return !this.isPolled;
        },
      },
    });
    return socket;
  }

  get #where(): string {
    const { host, port } = this.#options;
    return `${host.includes(':') ? `[${host}]` : host}:${port}`;
  }

  #hello(): void {
    this.#agentNonce = newNonce();
    const hello = Buffer.allocUnsafe(HELLO_BYTES);
    hello.writeUInt32BE(MAGIC, 0);
    hello.writeUInt16BE(TUNNEL_VERSION, 4);
    hello.set(this.#agentNonce, 6);
    this.#socket!.write(frameOf(Frame.Hello, hello));
  }

  #look(): void {
    const quietMs = Date.now() - this.#heardAtMs;
    if (!this.#isPaused && quietMs > (this.#isOpen() ? SILENCE_MS_MAX : CONNECT_MS_MAX))
      this.#lose(`${this.#where} does not answer`);
    else if (this.#isOpen()) this.#socket!.write(frameOf(Frame.Ping));
  }

  #take(type: number, bytes: Buffer, start: number, end: number): boolean {
    if (this.#isOpen()) return this.#takeFromServer(type, bytes, start, end);
    if (type === Frame.Reject && end - start === REJECT_BYTES) {
      this.#rejected(bytes[start]!, bytes.readUInt16BE(start + 1));
      return false;
    }
    if (type === Frame.Challenge && this.#serverNonce === null && end - start === CHALLENGE_BYTES) {
      this.#serverNonce = Buffer.from(bytes.subarray(start + 2, end));
      const proof = proofOf(this.#options.key, 'agent', this.#agentNonce, this.#serverNonce);
      this.#reader!.frameBytesMax = FRAME_BYTES_MAX;
      this.#socket!.write(frameOf(Frame.Proof, proof));
      return true;
    }
    if (type !== Frame.Welcome || this.#serverNonce === null || end - start < PROOF_BYTES) return false;
    return this.#welcomed(bytes.subarray(start, end));
  }

  #takeFromServer(type: number, bytes: Buffer, start: number, end: number): boolean {
    if (type === Frame.Replies) return this.#replies(bytes, start, end);
    if (type === Frame.Bye) {
      this.#move('leaving', `${this.#where} ends the interception`);
      return true;
    }
    if (type === Frame.Time || type === Frame.ProbeReady || type === Frame.ProbeSeen)
      return this.#options.onAnswer?.(type, bytes.subarray(start, end)) ?? false;
    if (type !== Frame.Status || end - start !== STATUS_BYTES) return false;
    const status: Partial<TunnelStatus> = {};
    STATUS_FIELDS.forEach((name, i) => {
      status[name] = bytes.readDoubleBE(start + i * 8);
    });
    this.remote = status as TunnelStatus;
    return true;
  }

  #replies(bytes: Buffer, start: number, end: number): boolean {
    if (end - start < REPLIES_HEAD_BYTES) return false;
    const batch = this.#batch;
    const first = start + REPLIES_HEAD_BYTES;
    batch.bytes = bytes;
    batch.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    let count = 0;
    for (let at = first; at < end; count++) {
      const length = replyBytes(batch.view, at, end);
      if (length === 0) return false;
      at += length;
    }
    batch.lost = bytes.readUInt32BE(start);
    batch.ageUs = bytes.readUInt32BE(start + 4);
    batch.at = first;
    batch.end = end;
    this.statistics.batches++;
    this.statistics.replies += count;
    this.statistics.lost += batch.lost;
    this.#options.onReplies(batch);
    return true;
  }

  #welcomed(payload: Buffer): boolean {
    const expected = proofOf(this.#options.key, 'server', this.#agentNonce, this.#serverNonce!);
    if (!isProof(expected, payload.subarray(0, PROOF_BYTES))) {
      this.#lose(`${this.#where} does not have the key: copy the key file from there to here`, 'PERMISSION');
      return false;
    }
    try {
      this.welcome = JSON.parse(payload.toString('utf8', PROOF_BYTES)) as Welcome;
    } catch {
      return false;
    }
    this.#backOffMs = this.#backOff[0];
    this.statistics.connects++;
    this.isPolled = this.#mayPoll;
    if (this.#isPaused || this.isPolled) this.#socket!.pause();
    this.#askForFeatures();
    this.#move('ready', null);
    this.#registerAll();
    this.#first?.resolve(this.welcome);
    this.#first = null;
    return true;
  }

  #askForFeatures(): void {
    if (this.#options.features === undefined) return;
    const payload = Buffer.allocUnsafe(FEATURES_BYTES);
    payload.writeUInt32BE(this.#options.features);
    this.#socket!.write(frameOf(Frame.Features, payload));
  }

  #registerAll(): void {
    const key = new Int32Array(KEY_WORDS);
    this.#outUsed = FRAME_HEAD_BYTES;
    for (let i = 0; i < this.#sessions.slots; i++) {
      if (this.#sessions.keyAt(i, key) === 0) continue;
      this.#queue(SESSION_ADD, key);
      if (this.statistics.connects > 1) this.statistics.registeredAnew++;
    }
    this.flush();
  }

  #rejected(reason: number, version: number): void {
    const where = this.#where;
    if (reason === Reject.WrongVersion) {
      const versions = `${where} speaks tunnel version ${version}, this program ${TUNNEL_VERSION}`;
      this.#lose(`${versions}: install the same version on both hosts`, 'UNSUPPORTED');
    } else if (reason === Reject.WrongKey) {
      this.#lose(`${where} has another key: copy the key file from one host to the other`, 'PERMISSION');
    } else this.#lose(`${where} has as many agents as it takes: stop one of them`, 'RESOURCE');
  }

  #drop(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    if (this.#flushing !== null) clearImmediate(this.#flushing);
    this.#timer = null;
    this.#flushing = null;
    this.#outUsed = FRAME_HEAD_BYTES;
    this.isPolled = false;
    const socket = this.#socket;
    this.#socket = null;
    socket?.on('error', () => {});
    if (this.state === 'ready') socket?.end();
    else socket?.destroy();
    if (this.state === 'ready') setTimeout(() => socket?.destroy(), 200).unref();
  }

  /** The connection is gone, or was never made: tries again, or tells whoever waits for the first one. */
  #lose(why: string, code: 'ADDRESS' | 'PERMISSION' | 'RESOURCE' | 'UNSUPPORTED' = 'ADDRESS', cause?: Error): void {
    if (this.#socket === null) return;
    if (this.#isOpen()) this.statistics.disconnects++;
    this.state = 'connecting';
    this.#drop();
    if (this.#first !== null) {
      const first = this.#first;
      this.#first = null;
      this.#move('idle', why);
      first.reject(new OperatorError(code, why, { cause }));
      return;
    }
    this.#move('waiting', why);
    // Spread out, so that many agents do not come back at once.
    this.#retry = setTimeout(() => this.#open(), this.#backOffMs * (0.75 + Math.random() / 2));
    this.#backOffMs = Math.min(this.#backOffMs * 2, this.#backOff[1]);
  }
}
