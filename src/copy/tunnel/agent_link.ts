/**
 * The server's end of one connection: the handshake, then registrations in, replies out. Replies wait in a bounded
 * queue; what an agent that does not read would make it exceed is given up, counted, and told to the agent.
 */
import type { Socket } from 'node:net';
import { sendNow } from '../../device/host.ts';
import { writableDescriptor } from './descriptor.ts';
import { FrameFault, FrameReader, frameOf } from './frames.ts';
import { isProof, newNonce, proofOf } from './key.ts';
import {
  CHALLENGE_BYTES,
  CLOCK_BYTES,
  FEATURES_BYTES,
  FRAME_BYTES_MAX,
  FRAME_BYTES_MAX_STRANGER,
  FRAME_HEAD_BYTES,
  Frame,
  HELLO_BYTES,
  MAGIC,
  PROOF_BYTES,
  REJECT_BYTES,
  REPLIES_BYTES_MAX,
  REPLIES_HEAD_BYTES,
  Reject,
  STATUS_BYTES,
  STATUS_FIELDS,
  TIME_BYTES,
  TUNNEL_VERSION,
  type TunnelStatus,
  type Welcome,
} from './protocol.ts';
import { REPLY_BYTES_MAX } from './reply.ts';
import { readSessionEntries } from './session_entry.ts';
import { KEY_WORDS } from './session_key.ts';

/** Why a connection ended, as counted. */
export type LinkEnd =
  | 'closed' // by the agent
  | 'garbage' // what came is not this protocol
  | 'tooLong' // a frame above the limit
  | 'wrongKey'
  | 'wrongVersion'
  | 'handshakeTimeout'
  | 'crowded' // too many connections
  | 'silent' // nothing heard for too long
  | 'shutdown'; // the server ends

export interface LinkEvents {
  joined(link: AgentLink): void;
  session(link: AgentLink, isAdded: boolean, key: Int32Array): void;
  status(link: AgentLink): TunnelStatus;
  /** A Probe or ProbeEnd frame; false: it is none. */
  probe(link: AgentLink, type: number, payload: Buffer): boolean;
  /** The agent has said what it wants of replies. */
  features(link: AgentLink): void;
  ended(link: AgentLink, end: LinkEnd): void;
}

export interface LinkOptions {
  readonly key: Uint8Array;
  readonly welcome: Welcome;
  readonly handshakeMsMax: number;
  /** Bytes of replies that may wait for an agent. */
  readonly queueBytesMax: number;
}

/** Half a frame: above it, a frame is sent though the one before it is still waiting. */
const FLUSH_BYTES = REPLIES_BYTES_MAX / 2;
const FRAME_BYTES = FRAME_HEAD_BYTES + REPLIES_BYTES_MAX;
const RECORDS_AT = FRAME_HEAD_BYTES + REPLIES_HEAD_BYTES;

export class AgentLink {
  /** Above 0; never used twice. */
  readonly id: number;
  /** `10.0.0.5:41234` */
  readonly address: string;
  readonly connectedAtMs: number = Date.now();
  isReady = false;
  isEnded = false;
  heardAtMs: number = Date.now();
  /** Replies handed to the connection, and given up because the agent does not read. */
  replies = 0;
  lost = 0;
  sessions = 0;
  /** `FEATURE_` bits that it has asked for. */
  features = 0;
  readonly #socket: Socket;
  readonly #options: LinkOptions;
  readonly #events: LinkEvents;
  readonly #reader: FrameReader;
  readonly #key: Int32Array = new Int32Array(KEY_WORDS);
  readonly #timer: NodeJS.Timeout;
  readonly #nonce: Buffer = newNonce();
  #agentNonce: Buffer | null = null;
  #frame: Buffer | null = null;
  #used = RECORDS_AT;
  #lostTold = 0;
  #ageUs = 0;
  readonly #written = (): void => this.flush();

  constructor(id: number, socket: Socket, options: LinkOptions, events: LinkEvents) {
    this.id = id;
    this.#socket = socket;
    this.#options = options;
    this.#events = events;
    const host = socket.remoteAddress ?? 'gone';
    this.address = `${host.includes(':') ? `[${host}]` : host}:${socket.remotePort ?? 0}`;
    this.#reader = new FrameReader(FRAME_BYTES_MAX_STRANGER, (type, bytes, start, end) =>
      this.#take(type, bytes, start, end),
    );
    this.#timer = setTimeout(() => this.end('handshakeTimeout'), options.handshakeMsMax);
    socket.setNoDelay(true);
    socket.on('data', (chunk: Buffer) => {
      if (this.isEnded) return;
      this.heardAtMs = Date.now();
      if (!this.#reader.push(chunk)) this.end(this.#reader.fault === FrameFault.TooLong ? 'tooLong' : 'garbage');
    });
    socket.on('error', () => this.end('closed'));
    socket.on('close', () => this.end('closed'));
  }

  /** Bytes that wait to be sent. */
  get queuedBytes(): number {
    return this.#socket.writableLength + this.#used - RECORDS_AT;
  }

  /** Whether the connection has not taken all that was written. */
  get isBackedUp(): boolean {
    return this.#socket.writableLength > 0;
  }

  /** Takes one record to be sent with the next `flush`; `ageUs`: how long ago the kernel saw it. */
  append(source: Uint8Array, at: number, length: number, ageUs: number): void {
    if (this.isEnded || this.queuedBytes + length > this.#options.queueBytesMax) {
      this.lost++;
      return;
    }
    if (this.#used + REPLY_BYTES_MAX > FRAME_BYTES) this.#send();
    this.#frame ??= Buffer.allocUnsafeSlow(FRAME_BYTES);
    const frame = this.#frame;
    for (let i = 0; i < length; i++) frame[this.#used + i] = source[at + i]!;
    this.#used += length;
    if (ageUs > this.#ageUs) this.#ageUs = ageUs;
    this.replies++;
  }

  /** Sends what was appended, unless the connection is backed up: then it goes with what comes later. */
  flush(): void {
    const waits = this.#used - RECORDS_AT;
    if (waits === 0 || this.isEnded) return;
    if (waits < FLUSH_BYTES && this.#socket.writableLength > 0) return;
    this.#send();
  }

  /** Handed to the kernel at once where it has room: a stream's own way of writing costs ten times as much. */
  #send(): void {
    const frame = this.#frame!;
    const used = this.#used;
    frame.writeUInt32BE(used - FRAME_HEAD_BYTES + 1, 0);
    frame[4] = Frame.Replies;
    frame.writeUInt32BE((this.lost - this.#lostTold) >>> 0, FRAME_HEAD_BYTES);
    frame.writeUInt32BE(Math.min(0xffff_ffff, Math.max(0, Math.round(this.#ageUs))), FRAME_HEAD_BYTES + 4);
    this.#lostTold = this.lost;
    this.#used = RECORDS_AT;
    this.#ageUs = 0;
    const fd = writableDescriptor(this.#socket);
    const sent = fd < 0 ? 0 : Math.max(0, sendNow(fd, frame, used));
    if (sent === used) return;
    // A copy of exact length: the kernel takes it later, and a small batch must not hold a whole frame.
    const out = Buffer.allocUnsafe(used - sent);
    frame.copy(out, 0, sent, used);
    this.#socket.write(out, this.#written);
  }

  /** Once a second; a connection that is backed up is spared. */
  sendStatus(): void {
    if (!this.isReady || this.isEnded || this.#socket.writableLength > 0) return;
    const status = this.#events.status(this);
    const payload = Buffer.allocUnsafe(STATUS_BYTES);
    STATUS_FIELDS.forEach((name, i) => {
      payload.writeDoubleBE(status[name], i * 8);
    });
    this.#socket.write(frameOf(Frame.Status, payload));
  }

  #tellTime(bytes: Buffer, start: number, end: number): boolean {
    if (end - start !== CLOCK_BYTES) return false;
    const payload = Buffer.allocUnsafe(TIME_BYTES);
    bytes.copy(payload, 0, start, end);
    payload.writeDoubleBE(Date.now(), CLOCK_BYTES);
    this.send(Frame.Time, payload);
    return true;
  }

  /** A frame of its own, in front of replies that wait. */
  send(type: number, payload: Uint8Array): void {
    if (this.isReady && !this.isEnded) this.#socket.write(frameOf(type, payload));
  }

  sendBye(): void {
    if (this.isReady && !this.isEnded) this.#socket.write(frameOf(Frame.Bye));
  }

  /** Once; later calls do nothing. */
  end(why: LinkEnd): void {
    if (this.isEnded) return;
    this.isEnded = true;
    clearTimeout(this.#timer);
    this.#frame = null;
    this.#used = RECORDS_AT;
    // A last frame that says why gets out; whoever does not read is cut off.
    if (why === 'wrongKey' || why === 'wrongVersion' || why === 'crowded' || why === 'shutdown') {
      this.#socket.end();
      setTimeout(() => this.#socket.destroy(), 200).unref();
    } else this.#socket.destroy();
    this.#events.ended(this, why);
  }

  #take(type: number, bytes: Buffer, start: number, end: number): boolean {
    if (this.isEnded) return false;
    if (this.isReady) return this.#takeFromAgent(type, bytes, start, end);
    if (this.#agentNonce === null) return type === Frame.Hello && this.#hello(bytes, start, end);
    return type === Frame.Proof && this.#proof(bytes.subarray(start, end));
  }

  #takeFromAgent(type: number, bytes: Buffer, start: number, end: number): boolean {
    if (type === Frame.Ping) {
      this.sendStatus();
      return true;
    }
    if (type === Frame.Clock) return this.#tellTime(bytes, start, end);
    if (type === Frame.Probe || type === Frame.ProbeEnd)
      return this.#events.probe(this, type, bytes.subarray(start, end));
    if (type === Frame.Features && end - start === FEATURES_BYTES) {
      this.features = bytes.readUInt32BE(start);
      this.#events.features(this);
      return true;
    }
    if (type !== Frame.Sessions) return false;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    return readSessionEntries(view, start, end, this.#key, (isAdded, key) => this.#events.session(this, isAdded, key));
  }

  #hello(bytes: Buffer, start: number, end: number): boolean {
    if (end - start < 6 || bytes.readUInt32BE(start) !== MAGIC) return false;
    if (bytes.readUInt16BE(start + 4) !== TUNNEL_VERSION) return this.#reject(Reject.WrongVersion, 'wrongVersion');
    if (end - start !== HELLO_BYTES) return false;
    this.#agentNonce = Buffer.from(bytes.subarray(start + 6, end));
    const challenge = Buffer.allocUnsafe(CHALLENGE_BYTES);
    challenge.writeUInt16BE(TUNNEL_VERSION, 0);
    challenge.set(this.#nonce, 2);
    this.#socket.write(frameOf(Frame.Challenge, challenge));
    return true;
  }

  #proof(given: Buffer): boolean {
    const { key, welcome } = this.#options;
    const expected = proofOf(key, 'agent', this.#agentNonce!, this.#nonce);
    if (given.length !== PROOF_BYTES) return false;
    if (!isProof(expected, given)) return this.#reject(Reject.WrongKey, 'wrongKey');
    clearTimeout(this.#timer);
    this.isReady = true;
    this.#reader.frameBytesMax = FRAME_BYTES_MAX;
    const proof = proofOf(key, 'server', this.#agentNonce!, this.#nonce);
    this.#socket.write(frameOf(Frame.Welcome, Buffer.concat([proof, Buffer.from(JSON.stringify(welcome))])));
    this.#events.joined(this);
    return true;
  }

  /** Tells why and ends; the reader goes no further. */
  #reject(reason: number, why: LinkEnd): false {
    this.reject(reason, why);
    return false;
  }

  reject(reason: number, why: LinkEnd): void {
    const payload = Buffer.allocUnsafe(REJECT_BYTES);
    payload[0] = reason;
    payload.writeUInt16BE(TUNNEL_VERSION, 1);
    this.#socket.write(frameOf(Frame.Reject, payload));
    this.end(why);
  }
}
