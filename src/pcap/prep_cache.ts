/**
 * The tcpprep cache, version 04: for each packet of a capture whether it is sent, and by which of two interfaces.
 *
 * Layout: "tcpprep\0", "04\0\0", packet count (u64, big-endian), packets per byte (u16) = 4, comment length (u16), the
 * comment, then two bits a packet, the first packet lowest: 1 = primary, 2 = send.
 */
import fs from 'node:fs';
import { assert } from '../base/assert.ts';
import { OperatorError } from '../base/errors.ts';
import { groupDigits } from '../base/units.ts';
import { fileError } from '../sys/file.ts';
import { refuseWhileRead } from './open_files.ts';

const MAGIC = 'tcpprep\0';
const VERSION = '04\0\0';
const HEADER_BYTES = 24;
const PACKETS_PER_BYTE = 4;
const COMMENT_BYTES_MAX = 65_535;
/** 4 GiB of packets' bits: above any capture, below any allocation that hurts by surprise. */
const PACKETS_MAX = 2 ** 32;
const PRIMARY = 1;
const SEND = 2;

/** What is done with a packet. */
export const PrepVerdict = { Skip: 0, Primary: 1, Secondary: 2 } as const;
export type PrepVerdict = (typeof PrepVerdict)[keyof typeof PrepVerdict];

export class PrepCache {
  /** Packets that the cache knows. */
  readonly packets: number;
  /** As in the file: arguments, a line feed, the user's words. */
  readonly comment: string;
  readonly #bits: Uint8Array;

  constructor(packets: number, bits: Uint8Array, comment: string) {
    assert(bits.length * PACKETS_PER_BYTE >= packets, 'two bits a packet');
    this.packets = packets;
    this.comment = comment;
    this.#bits = bits;
  }

  /** Packet `number` counts from 1. Preconditions: 1 <= number <= packets. */
  verdictOf(number: number): PrepVerdict {
    const k = number - 1;
    // not k >> 2: there may be more than 2^31 packets
    const pair = this.#bits[Math.floor(k / PACKETS_PER_BYTE)]! >> (2 * (k % PACKETS_PER_BYTE));
    if ((pair & SEND) === 0) return PrepVerdict.Skip;
    return (pair & PRIMARY) === 0 ? PrepVerdict.Secondary : PrepVerdict.Primary;
  }
}

/** Throws `OperatorError`: FILE (cannot be read), FORMAT (not a whole version 04 cache). */
export function readPrepCache(path: string): PrepCache {
  let bytes: Uint8Array;
  try {
    bytes = fs.readFileSync(path);
  } catch (error) {
    throw fileError('open', path, error);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const text = (at: number, length: number): string => String.fromCharCode(...bytes.subarray(at, at + length));
  const wrong = (what: string): OperatorError => new OperatorError('FORMAT', `${path} ${what}`);
  if (bytes.length < HEADER_BYTES || text(0, 8) !== MAGIC) throw wrong('is not a tcpprep cache: make one with tsprep');
  if (text(8, 4) !== VERSION) {
    throw wrong(`is a tcpprep cache of version ${text(8, 4).replaceAll('\0', '')}; version 04 can be read`);
  }
  const packets = view.getUint32(12) * 2 ** 32 + view.getUint32(16);
  const perByte = view.getUint16(20);
  const commentBytes = view.getUint16(22);
  if (perByte !== PACKETS_PER_BYTE) throw wrong(`says ${perByte} packets per byte; 4 can be read`);
  const dataBytes = Math.ceil(packets / PACKETS_PER_BYTE);
  const needed = HEADER_BYTES + commentBytes + dataBytes;
  if (bytes.length < needed) {
    const said = `says ${groupDigits(packets)} packets and so ${groupDigits(needed)} bytes`;
    throw wrong(`${said}, but has ${groupDigits(bytes.length)}: it is cut off`);
  }
  const dataAt = HEADER_BYTES + commentBytes;
  const comment = new TextDecoder().decode(bytes.subarray(HEADER_BYTES, dataAt));
  return new PrepCache(packets, bytes.slice(dataAt, dataAt + dataBytes), comment);
}

/** Gathers verdicts packet by packet, in order, then writes the file. */
export class PrepCacheBuilder {
  packets = 0;
  #bits: Uint8Array = new Uint8Array(4096);

  add(verdict: PrepVerdict): void {
    assert(this.packets < PACKETS_MAX, 'a cache has fewer packets than 2^32');
    const at = Math.floor(this.packets / PACKETS_PER_BYTE);
    if (at === this.#bits.length) {
      const bigger = new Uint8Array(at * 2);
      bigger.set(this.#bits);
      this.#bits = bigger;
    }
    const pair = verdict === PrepVerdict.Skip ? 0 : verdict === PrepVerdict.Primary ? SEND | PRIMARY : SEND;
    this.#bits[at]! |= pair << (2 * (this.packets % PACKETS_PER_BYTE));
    this.packets++;
  }

  /** What was gathered, as a reader would see it. */
  build(comment = ''): PrepCache {
    return new PrepCache(this.packets, this.#bits.slice(0, Math.ceil(this.packets / PACKETS_PER_BYTE)), comment);
  }

  /** Writes the cache. Throws `OperatorError`: FILE; USAGE where the comment is longer than 65,535 bytes. */
  write(path: string, comment = ''): void {
    const commentBytes = new TextEncoder().encode(comment);
    if (commentBytes.length > COMMENT_BYTES_MAX) {
      throw new OperatorError('USAGE', `a comment of ${commentBytes.length} bytes is too long: at most 65,535`);
    }
    const dataBytes = Math.ceil(this.packets / PACKETS_PER_BYTE);
    const file = new Uint8Array(HEADER_BYTES + commentBytes.length + dataBytes);
    const view = new DataView(file.buffer);
    file.set(new TextEncoder().encode(MAGIC + VERSION));
    view.setUint32(12, Math.floor(this.packets / 2 ** 32));
    view.setUint32(16, this.packets % 2 ** 32);
    view.setUint16(20, PACKETS_PER_BYTE);
    view.setUint16(22, commentBytes.length);
    file.set(commentBytes, HEADER_BYTES);
    file.set(this.#bits.subarray(0, dataBytes), HEADER_BYTES + commentBytes.length);
    const there = fs.statSync(path, { throwIfNoEntry: false });
    if (there !== undefined) refuseWhileRead(path, there);
    try {
      fs.writeFileSync(path, file);
    } catch (error) {
      throw fileError('write', path, error);
    }
  }
}
