/**
 * A small TCP endpoint: client, production server and target of the simulation. Sender with a fixed congestion window,
 * time-outs and fast retransmit; receiver with reassembly, SACK and a bounded buffer. Written apart from the engine.
 */
import assert from 'node:assert/strict';
import { ACK, FIN, PSH, RST, type Segment, SYN } from './segment.ts';
import { MS, type World } from './world.ts';

export interface EndpointTraits {
  mss: number;
  hasSack?: boolean;
  hasTimestamps?: boolean;
  shift?: number;
  /** Bytes that the receive buffer holds. */
  buffer?: number;
  delayedAckNs?: number;
  congestionSegments?: number;
  extra?: number[];
}

const delta = (a: number, b: number): number => (b - a) | 0;

export class Endpoint {
  state: 'closed' | 'syn-sent' | 'syn-received' | 'open' | 'dead' = 'closed';
  onData: (bytes: Uint8Array) => void = () => {};
  onPeerFin: () => void = () => {};
  onOpen: () => void = () => {};
  onDead: (why: string) => void = () => {};
  /** A receiving application that has stopped reading. */
  isPaused = false;
  una = 0;
  nxt = 0;
  rcvNxt = 0;
  /** Highest right window edge ever advertised. */
  edge = 0;
  finSeen = false;
  finAcked = false;
  finSent = false;
  isSackAgreed = false;
  isTsAgreed = false;
  isScaled = false;
  unread = 0;
  isn = 0;
  /** Initial sequence number of the far end. */
  remoteIsn = 0;

  readonly #world: World;
  readonly #send: (segment: Segment) => void;
  readonly #traits: EndpointTraits;
  readonly local: { address: number[]; port: number };
  readonly remote: { address: number[]; port: number };
  #out: Uint8Array = new Uint8Array(0);
  #outBase = 0;
  #isClosing = false;
  #peerMss = 536;
  #peerWindow = 65535;
  #peerShift = 0;
  #duplicates = 0;
  #backoff = 0;
  #timer = 0;
  #ackTimer = 0;
  #ackWaits = 0;
  #ahead: { seq: number; bytes: Uint8Array }[] = [];
  #finAt: number | null = null;
  #tsRecent = 0;
  #held: Uint8Array[] = [];
  #recover = 0;
  /** What has come for the second time, told once (RFC 2883). */
  #twice: [number, number] | null = null;
  /** Where segments with PSH ended. */
  readonly #ends: Set<number> = new Set();

  constructor(
    world: World,
    local: { address: number[]; port: number },
    remote: { address: number[]; port: number },
    traits: EndpointTraits,
    send: (segment: Segment) => void,
  ) {
    this.#world = world;
    this.local = local;
    this.remote = remote;
    this.#traits = traits;
    this.#send = send;
  }

  connect(isn: number = this.#world.rng.nextUint32()): void {
    this.isn = isn;
    this.una = isn;
    this.nxt = (isn + 1) >>> 0;
    this.#outBase = this.nxt;
    this.#recover = this.nxt;
    this.state = 'syn-sent';
    this.#emit(SYN, isn, new Uint8Array(0));
    this.#arm();
  }

  write(bytes: Uint8Array): void {
    if (this.state === 'dead') return;
    const joined = new Uint8Array(this.#out.length + bytes.length);
    joined.set(this.#out);
    joined.set(bytes, this.#out.length);
    this.#out = joined;
    this.#push();
  }

  close(): void {
    this.#isClosing = true;
    this.#push();
  }

  abort(): void {
    if (this.state === 'dead') return;
    this.#emit(RST | ACK, this.nxt, new Uint8Array(0));
    this.#die('aborted');
  }

  resume(): void {
    this.isPaused = false;
    const held = this.#held;
    this.#held = [];
    for (const bytes of held) this.#give(bytes);
    this.unread = 0;
    if (this.state === 'open') this.#ackNow();
  }

  receive(p: Segment): void {
    if (this.state === 'dead') return;
    if ((p.flags & RST) !== 0) {
      if (this.state === 'syn-sent' ? p.ack === this.nxt : Math.abs(delta(this.rcvNxt, p.seq)) < 1 << 20)
        this.#die('reset');
      return;
    }
    if (this.state === 'closed') {
      this.#accept(p);
      return;
    }
    if (p.ts) this.#tsRecent = p.ts[0];
    if (this.state === 'syn-sent') {
      this.#finishConnect(p);
      return;
    }
    if ((p.flags & SYN) !== 0) {
      if (this.state === 'syn-received') this.#emit(SYN | ACK, this.isn, new Uint8Array(0));
      else this.#ackNow();
      return;
    }
    if ((p.flags & ACK) === 0) return;
    if (this.state === 'syn-received' && p.ack === this.nxt) {
      this.state = 'open';
      this.una = this.nxt;
      this.#cancel();
      this.onOpen();
    }
    if (this.state === 'syn-received') {
      // An acknowledgement of another connection: RFC 9293 section 3.10.7.4, fifth.
      this.#emit(RST, p.ack, new Uint8Array(0));
      return;
    }
    this.#takeAck(p);
    this.#takeData(p);
    this.#push();
  }

  #accept(p: Segment): void {
    if ((p.flags & SYN) === 0 || (p.flags & ACK) !== 0) return;
    this.#takeTerms(p);
    this.isn = this.#world.rng.nextUint32();
    this.una = this.isn;
    this.nxt = (this.isn + 1) >>> 0;
    this.#outBase = this.nxt;
    this.#recover = this.nxt;
    this.state = 'syn-received';
    this.#emit(SYN | ACK, this.isn, new Uint8Array(0));
    this.#arm();
  }

  #takeTerms(p: Segment): void {
    this.rcvNxt = (p.seq + 1) >>> 0;
    this.edge = this.rcvNxt;
    this.#peerMss = p.mss ?? 536;
    this.isSackAgreed = Boolean(p.sackPermitted && this.#traits.hasSack);
    this.isTsAgreed = Boolean(p.ts && this.#traits.hasTimestamps);
    this.isScaled = p.shift !== undefined && this.#traits.shift !== undefined;
    this.#peerShift = this.isScaled ? p.shift! : 0;
    this.#peerWindow = p.window;
    if (p.ts) this.#tsRecent = p.ts[0];
  }

  #finishConnect(p: Segment): void {
    if ((p.flags & (SYN | ACK)) !== (SYN | ACK) || p.ack !== this.nxt) return;
    this.#takeTerms(p);
    this.una = p.ack;
    this.state = 'open';
    this.#cancel();
    this.#ackNow();
    this.onOpen();
    this.#push();
  }

  #takeAck(p: Segment): void {
    if (delta(this.nxt, p.ack) > 0) return;
    const acked = delta(this.una, p.ack);
    const window = p.window << this.#peerShift;
    if (acked > 0) {
      this.una = p.ack;
      const isFinAcked = this.finSent && p.ack === this.nxt;
      const dataAcked = delta(this.#outBase, p.ack) - (isFinAcked ? 1 : 0);
      this.#out = this.#out.slice(dataAcked);
      this.#outBase = (this.#outBase + dataAcked) >>> 0;
      this.#duplicates = 0;
      this.#backoff = 0;
      if (isFinAcked) this.finAcked = true;
      if (this.una === this.nxt) this.#cancel();
      else this.#arm();
      if (this.una !== this.nxt && delta(this.una, this.#recover) > 0) this.#resend();
      this.#endIfDone();
    } else if (acked === 0 && p.payload.length === 0 && this.una !== this.nxt && window === this.#peerWindow) {
      if (++this.#duplicates === 3) {
        this.#recover = this.nxt;
        this.#resend();
      }
    }
    this.#peerWindow = window;
  }

  #takeData(p: Segment): void {
    const hasFin = (p.flags & FIN) !== 0;
    if (p.payload.length === 0 && !hasFin) {
      if (delta(this.rcvNxt, p.seq) < 0) this.#ackNow();
      return;
    }
    if (hasFin) {
      const at = (p.seq + p.payload.length) >>> 0;
      assert.ok(this.#finAt === null || this.#finAt === at, 'a FIN stays where it was');
      this.#finAt = at;
    }
    const inOrder = delta(this.rcvNxt, p.seq) <= 0;
    const end = (p.seq + p.payload.length) >>> 0;
    const isKnown =
      delta(end, this.rcvNxt) >= 0 ||
      this.#ahead.some((each) => each.seq === p.seq && each.bytes.length === p.payload.length);
    this.#twice = p.payload.length > 0 && isKnown ? [p.seq, end] : null;
    if (p.payload.length > 0 && !isKnown) this.#ahead.push({ seq: p.seq, bytes: p.payload });
    this.#drain();
    if (this.#finAt !== null && !this.finSeen && this.#finAt === this.rcvNxt) {
      this.rcvNxt = (this.rcvNxt + 1) >>> 0;
      this.finSeen = true;
      this.#ackNow();
      this.onPeerFin();
      this.#endIfDone();
      return;
    }
    this.#ackWaits++;
    if (!inOrder || this.#ackWaits >= 2 || !this.#traits.delayedAckNs) this.#ackNow();
    else {
      const turn = ++this.#ackTimer;
      this.#world.after(this.#traits.delayedAckNs, () => turn === this.#ackTimer && this.#ackNow());
    }
  }

  #drain(): void {
    for (let again = true; again; ) {
      again = false;
      for (const piece of this.#ahead) {
        const skip = -delta(this.rcvNxt, piece.seq);
        if (skip < 0) continue;
        this.#ahead = this.#ahead.filter((each) => each !== piece);
        again = true;
        if (skip >= piece.bytes.length) break;
        const fresh = piece.bytes.slice(skip);
        this.rcvNxt = (this.rcvNxt + fresh.length) >>> 0;
        this.#give(fresh);
        break;
      }
    }
  }

  #give(bytes: Uint8Array): void {
    if (this.isPaused) {
      this.#held.push(bytes);
      this.unread += bytes.length;
    } else this.onData(bytes);
  }

  #ackNow(): void {
    this.#ackTimer++;
    this.#ackWaits = 0;
    if (this.state !== 'dead') this.#emit(ACK, this.nxt, new Uint8Array(0));
  }

  /** Sends new bytes as far as the windows allow, then the FIN. */
  #push(): void {
    if (this.state !== 'open') return;
    const mss = Math.min(this.#peerMss, this.#traits.mss) - (this.isTsAgreed ? 12 : 0);
    const limit = Math.min(this.#peerWindow, mss * (this.#traits.congestionSegments ?? 20));
    while (!this.finSent) {
      const offset = delta(this.#outBase, this.nxt);
      const flight = delta(this.una, this.nxt);
      const length = Math.min(mss, this.#out.length - offset, limit - flight);
      if (length <= 0) break;
      const isLast = offset + length === this.#out.length;
      const seq = this.nxt;
      this.nxt = (this.nxt + length) >>> 0;
      if (isLast) this.#ends.add(this.nxt);
      this.#emit(isLast ? ACK | PSH : ACK, seq, this.#out.slice(offset, offset + length));
      if (flight === 0) this.#arm();
    }
    const isAllSent = delta(this.#outBase, this.nxt) === this.#out.length;
    if (this.#isClosing && !this.finSent && isAllSent) {
      this.finSent = true;
      const seq = this.nxt;
      this.nxt = (this.nxt + 1) >>> 0;
      this.#emit(FIN | ACK, seq, new Uint8Array(0));
      this.#arm();
    }
  }

  /** The first unacknowledged segment again. */
  #resend(): void {
    if (this.state === 'syn-sent') this.#emit(SYN, this.isn, new Uint8Array(0));
    else if (this.state === 'syn-received') this.#emit(SYN | ACK, this.isn, new Uint8Array(0));
    else {
      const mss = Math.min(this.#peerMss, this.#traits.mss) - (this.isTsAgreed ? 12 : 0);
      const bytes = this.#out.slice(0, Math.min(mss, delta(this.una, this.nxt)));
      if (bytes.length > 0)
        this.#emit(this.#ends.has((this.una + bytes.length) >>> 0) ? ACK | PSH : ACK, this.una, bytes);
      else if (this.finSent) this.#emit(FIN | ACK, this.una, bytes);
    }
  }

  #arm(): void {
    const turn = ++this.#timer;
    this.#world.after(200 * MS * 2 ** this.#backoff, () => {
      if (turn !== this.#timer || this.state === 'dead') return;
      if (++this.#backoff > 9) {
        this.#die('timed out');
        return;
      }
      this.#backoff = Math.min(this.#backoff, 9);
      this.#recover = this.nxt;
      this.#resend();
      this.#arm();
    });
  }

  #cancel(): void {
    this.#timer++;
    this.#backoff = 0;
  }

  #endIfDone(): void {
    if (this.finSeen && this.finAcked) this.#die('closed');
  }

  #die(why: string): void {
    if (this.state === 'dead') return;
    this.state = 'dead';
    this.#timer++;
    this.onDead(why);
  }

  /** RFC 2018 section 4: the block with what came last stands first; then those told before. */
  #sackBlocks(): [number, number][] {
    const blocks: [number, number][] = this.#twice === null ? [] : [this.#twice];
    this.#twice = null;
    for (let i = this.#ahead.length - 1; i >= 0 && blocks.length < 3; i--) {
      const { seq } = this.#ahead[i]!;
      if (blocks.some(([left, right]) => delta(left, seq) >= 0 && delta(seq, right) > 0)) continue;
      blocks.push(this.#blockAt(seq));
    }
    return blocks;
  }

  /** Everything that came and joins `seq`. */
  #blockAt(seq: number): [number, number] {
    let left = seq;
    let right = seq;
    for (let before = -1; before !== right - left; ) {
      before = right - left;
      for (const piece of this.#ahead) {
        const end = (piece.seq + piece.bytes.length) >>> 0;
        if (delta(piece.seq, right) < 0 || delta(left, end) < 0) continue;
        if (delta(left, piece.seq) < 0) left = piece.seq;
        if (delta(right, end) > 0) right = end;
      }
    }
    return [left, right];
  }

  #emit(flags: number, seq: number, payload: Uint8Array): void {
    const isSyn = (flags & SYN) !== 0;
    const shift = this.isScaled && !isSyn ? this.#traits.shift! : 0;
    const space = Math.max(0, (this.#traits.buffer ?? 65535) - this.unread);
    const window = Math.min(65535, space >> shift);
    if (this.state !== 'syn-sent' && delta(this.edge, (this.rcvNxt + (window << shift)) >>> 0) > 0) {
      this.edge = (this.rcvNxt + (window << shift)) >>> 0;
    }
    const segment: Segment = {
      src: this.local.address,
      dst: this.remote.address,
      srcPort: this.local.port,
      dstPort: this.remote.port,
      seq,
      ack: this.state === 'syn-sent' ? 0 : this.rcvNxt,
      flags,
      window,
      payload,
    };
    const isFirst = this.state === 'syn-sent';
    if (isSyn) {
      segment.mss = this.#traits.mss;
      if (isFirst ? this.#traits.hasSack : this.isSackAgreed) segment.sackPermitted = true;
      if (isFirst ? this.#traits.shift !== undefined : this.isScaled) segment.shift = this.#traits.shift!;
      if (isFirst && this.#traits.extra) segment.extra = this.#traits.extra;
    } else if (this.isSackAgreed && (this.#ahead.length > 0 || this.#twice !== null)) segment.sack = this.#sackBlocks();
    if (isSyn && isFirst ? this.#traits.hasTimestamps : this.isTsAgreed) {
      segment.ts = [Math.floor(this.#world.now / MS) >>> 0, isFirst ? 0 : this.#tsRecent];
    }
    this.#ackWaits = 0;
    this.#ackTimer++;
    this.#send(segment);
  }
}
