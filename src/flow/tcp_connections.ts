/**
 * HOT: what became of the TCP connections of a capture: opened by a whole handshake or met in the middle, closed or
 * reset, with which segments sent again, out of order or missing. Budget 60 ns a segment.
 *
 * One slot of twelve words a connection, both directions together, found by 64 bits of hash and the ports. A segment
 * that begins behind the highest sequence number seen leaves a hole; one that begins below it fills the hole (out of
 * order) or was sent before (retransmission); one byte just below it is a keep-alive (RFC 1122 section 4.2.3.6). One
 * hole a direction is remembered, the newest. The table grows to `slotsMax`; segments of connections that find it full
 * are counted in `untracked`.
 */
import { assert } from '../base/assert.ts';
import { ipv4Dst, ipv4Src, ipv4TotalLen } from '../wire/ipv4.ts';
import { IPV6_HEADER_LEN, ipv6DstWord, ipv6PayloadLen, ipv6SrcWord } from '../wire/ipv6.ts';
import type { Layers } from '../wire/layers.ts';
import { seqDelta } from '../wire/seq.ts';
import { TcpFlag, tcpDstPort, tcpFlags, tcpHeaderLen, tcpSeq, tcpSrcPort, tcpWindow } from '../wire/tcp.ts';
import { mixEnd, mixWord } from './hash.ts';

const WORDS = 12;
const HASH_B = 1;
const PORTS = 2;
const STATE = 3;
const OPENING_SEQ = 4;
/** Two of each, by direction. */
const NEXT = 5;
const HOLE_START = 7;
const HOLE_END = 9;

const State = {
  Syn: 1,
  SynAck: 2,
  Complete: 4,
  Fin: 8, // two bits
  Reset: 32,
  Seen: 64, // two bits
  /** Direction of the SYN. */
  Opener: 256,
} as const;

const SLOTS_FIRST = 1024;
export const CONNECTION_SLOTS_MAX = 524_288;

export class TcpConnections {
  connections = 0;
  /** Handshakes seen whole: SYN, SYN-ACK, ACK. */
  complete = 0;
  /** Began with a SYN, but the handshake was not seen to end. */
  get opened(): number {
    return this.#opened - this.complete;
  }
  /** First seen in the middle. */
  midstream = 0;
  /** Both sides sent a FIN. */
  finished = 0;
  reset = 0;
  segments = 0;
  retransmissions = 0;
  outOfOrder = 0;
  keepAlives = 0;
  /** Segments with a part of the stream missing in front of them. */
  holes = 0;
  zeroWindows = 0;
  untracked = 0;
  #opened = 0;
  readonly #slotsMax: number;
  #cells = new Int32Array(SLOTS_FIRST * WORDS);
  #mask = SLOTS_FIRST - 1;
  #used = 0;
  #hashA = 0;
  #hashB = 0;
  #ports = 0;
  #direction = 0;

  constructor(slotsMax: number = CONNECTION_SLOTS_MAX) {
    assert(slotsMax >= SLOTS_FIRST && (slotsMax & (slotsMax - 1)) === 0, 'slotsMax is a power of two from 1024 on');
    this.#slotsMax = slotsMax;
  }

  /** Preconditions: `layers.l4` is the TCP header of an unfragmented packet. `lengthOnWire`: of the frame `at`. */
  note(view: DataView, layers: Layers, at: number, lengthOnWire: number): void {
    this.segments++;
    const tcp = layers.l4;
    const flags = tcpFlags(view, tcp);
    if (tcpWindow(view, tcp) === 0 && (flags & TcpFlag.Rst) === 0) this.zeroWindows++;
    this.#key(view, layers, tcp);
    const cell = this.#find();
    if (cell < 0) {
      this.untracked++;
      return;
    }
    const seq = tcpSeq(view, tcp) | 0;
    this.#open(cell, flags, seq);
    const length = Math.max(0, announcedEnd(view, layers, at + lengthOnWire) - tcp - tcpHeaderLen(view, tcp));
    this.#sequence(cell, flags, seq, length);
    this.#close(cell, flags);
  }

  #key(view: DataView, layers: Layers, tcp: number): void {
    const srcPort = tcpSrcPort(view, tcp);
    const dstPort = tcpDstPort(view, tcp);
    const ip = layers.ip;
    let src: number;
    let dst: number;
    if (layers.ipVersion === 4) {
      src = mixWord(mixWord(4, ipv4Src(view, ip)), srcPort);
      dst = mixWord(mixWord(4, ipv4Dst(view, ip)), dstPort);
    } else {
      src = mixWord(6, srcPort);
      dst = mixWord(6, dstPort);
      for (let i = 0; i < 4; i++) {
        src = mixWord(src, ipv6SrcWord(view, ip, i));
        dst = mixWord(dst, ipv6DstWord(view, ip, i));
      }
    }
    src = mixEnd(src) | 0;
    dst = mixEnd(dst) | 0;
    // The end with the smaller hash, then the smaller port, comes first, whoever sends.
    this.#direction = src < dst || (src === dst && srcPort <= dstPort) ? 0 : 1;
    const low = this.#direction === 0 ? src : dst;
    const high = this.#direction === 0 ? dst : src;
    this.#ports = this.#direction === 0 ? (srcPort << 16) | dstPort : (dstPort << 16) | srcPort;
    this.#hashA = mixEnd(mixWord(low, high)) | 0 || 1; // 0 marks a free slot.
    this.#hashB = mixEnd(mixWord(high ^ 0x2f6b1d35, low)) | 0;
  }

  /** First word of the connection's slot, a new one with state 0; -1 when the table is full. */
  #find(): number {
    const cells = this.#cells;
    for (let slot = this.#hashB & this.#mask; ; slot = (slot + 1) & this.#mask) {
      const at = slot * WORDS;
      const found = cells[at]!;
      if (found === this.#hashA && cells[at + HASH_B] === this.#hashB && cells[at + PORTS] === this.#ports) return at;
      if (found !== 0) continue;
      if (this.#used * 4 >= (this.#mask + 1) * 3) {
        if (this.#mask + 1 >= this.#slotsMax) return -1;
        this.#grow();
        return this.#find();
      }
      cells[at] = this.#hashA;
      cells[at + HASH_B] = this.#hashB;
      cells[at + PORTS] = this.#ports;
      this.#used++;
      return at;
    }
  }

  #grow(): void {
    const before = this.#cells;
    const slots = (this.#mask + 1) * 2;
    const cells = new Int32Array(slots * WORDS);
    this.#mask = slots - 1;
    for (let from = 0; from < before.length; from += WORDS) {
      if (before[from] === 0) continue;
      let slot = before[from + HASH_B]! & this.#mask;
      while (cells[slot * WORDS] !== 0) slot = (slot + 1) & this.#mask;
      for (let k = 0; k < WORDS; k++) cells[slot * WORDS + k] = before[from + k]!;
    }
    this.#cells = cells;
  }

  /** Counts connections and handshakes. */
  #open(cell: number, flags: number, seq: number): void {
    const cells = this.#cells;
    const direction = this.#direction;
    const syn = (flags & TcpFlag.Syn) !== 0;
    const ack = (flags & TcpFlag.Ack) !== 0;
    if (syn && !ack && (cells[cell + STATE] === 0 || cells[cell + OPENING_SEQ] !== seq)) {
      // The same ports again with another sequence number are another connection.
      this.connections++;
      this.#opened++;
      cells[cell + STATE] = State.Syn | (direction * State.Opener);
      cells[cell + OPENING_SEQ] = seq;
      cells[cell + HOLE_START] = cells[cell + HOLE_END] = 0;
      cells[cell + HOLE_START + 1] = cells[cell + HOLE_END + 1] = 0;
      return;
    }
    const state = cells[cell + STATE]!;
    if (state === 0) {
      this.connections++;
      this.midstream++;
      // Never to be taken for an opening: no SYN bit.
      cells[cell + STATE] = State.Seen << direction;
      cells[cell + NEXT + direction] = seq;
      return;
    }
    if ((state & State.Syn) === 0 || (state & State.Complete) !== 0) return;
    const fromOpener = ((state & State.Opener) !== 0 ? 1 : 0) === direction;
    if (syn && ack && !fromOpener) cells[cell + STATE] = state | State.SynAck;
    else if (!syn && ack && fromOpener && (state & State.SynAck) !== 0 && (flags & TcpFlag.Rst) === 0) {
      cells[cell + STATE] = state | State.Complete;
      this.complete++;
    }
  }

  /** Places [seq, seq + length) in its direction of the stream. */
  #sequence(cell: number, flags: number, seq: number, payload: number): void {
    const cells = this.#cells;
    const direction = this.#direction;
    const seen = State.Seen << direction;
    const next = cell + NEXT + direction;
    const length = payload + ((flags & TcpFlag.Syn) >>> 1) + (flags & TcpFlag.Fin);
    const end = (seq + length) | 0;
    if ((cells[cell + STATE]! & seen) === 0) {
      cells[cell + STATE]! |= seen;
      cells[next] = end;
      return;
    }
    if (length === 0 || (flags & TcpFlag.Rst) !== 0) return;
    const ahead = seqDelta(cells[next]!, seq);
    if (ahead >= 0) {
      if (ahead > 0) {
        this.holes++;
        cells[cell + HOLE_START + direction] = cells[next]!;
        cells[cell + HOLE_END + direction] = seq;
      }
      cells[next] = end;
      return;
    }
    if (ahead === -1 && payload <= 1 && (flags & (TcpFlag.Syn | TcpFlag.Fin)) === 0) this.keepAlives++;
    else if (this.#fillsHole(cell, seq, end)) this.outOfOrder++;
    else this.retransmissions++;
    if (seqDelta(cells[next]!, end) > 0) cells[next] = end;
  }

  #fillsHole(cell: number, seq: number, end: number): boolean {
    const cells = this.#cells;
    const start = cell + HOLE_START + this.#direction;
    const stop = cell + HOLE_END + this.#direction;
    if (seqDelta(cells[start]!, cells[stop]!) <= 0) return false;
    if (seqDelta(cells[start]!, seq) < 0 || seqDelta(cells[stop]!, end) > 0) return false;
    // What is left of the hole: the larger part of it.
    if (seqDelta(end, cells[stop]!) >= seqDelta(cells[start]!, seq)) cells[start] = end;
    else cells[stop] = seq;
    return true;
  }

  #close(cell: number, flags: number): void {
    const cells = this.#cells;
    const state = cells[cell + STATE]!;
    if ((flags & TcpFlag.Rst) !== 0 && (state & State.Reset) === 0) {
      this.reset++;
      cells[cell + STATE] = state | State.Reset;
      return;
    }
    if ((flags & TcpFlag.Fin) === 0) return;
    const both = State.Fin * 3;
    const after = state | (State.Fin << this.#direction);
    if ((after & both) === both && (state & both) !== both) this.finished++;
    cells[cell + STATE] = after;
  }
}

/** Where the IP packet ended on the wire, though the capture may end before. */
function announcedEnd(view: DataView, layers: Layers, frameEnd: number): number {
  if (layers.ipLengthZero) return frameEnd;
  if (layers.ipVersion === 4) return layers.ip + ipv4TotalLen(view, layers.ip);
  return layers.ip + IPV6_HEADER_LEN + ipv6PayloadLen(view, layers.ip);
}
