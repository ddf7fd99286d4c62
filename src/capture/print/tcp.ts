/** TCP segments in one line; sequence numbers relative to the first ones seen of their connection. */

import { Wire } from '../../wire/layers.ts';
import { seqDelta } from '../../wire/seq.ts';
import {
  checkTcp,
  TCP_MIN_HEADER_LEN,
  TcpFlag,
  tcpAck,
  tcpChecksum,
  tcpDstPort,
  tcpFlags,
  tcpHeaderLen,
  tcpSeq,
  tcpSrcPort,
  tcpUrgent,
  tcpWindow,
} from '../../wire/tcp.ts';
import { dnsText } from './dns.ts';
import { httpText, isHttpPort } from './http.ts';
import { hexText } from './text.ts';

/** As tcpdump orders them. */
const FLAG_LETTERS: readonly (readonly [number, string])[] = [
  [TcpFlag.Fin, 'F'],
  [TcpFlag.Syn, 'S'],
  [TcpFlag.Rst, 'R'],
  [TcpFlag.Psh, 'P'],
  [TcpFlag.Ack, '.'],
  [TcpFlag.Urg, 'U'],
  [TcpFlag.Ece, 'E'],
  [TcpFlag.Cwr, 'W'],
];
const DNS_PORT = 53;
/** Connections whose first numbers are remembered; the oldest are forgotten. */
const CONNECTIONS_MAX = 65_536;

interface FirstNumbers {
  /** Of the side whose endpoint text is the smaller one, and of the other. */
  low: number;
  high: number;
}

/** Remembers where the numbers of each connection began. */
export class SequenceBases {
  readonly #connections: Map<string, FirstNumbers> = new Map();
  /** Result of `relate`: to be taken from seq, and from ack. */
  seqBase = 0;
  ackBase = 0;

  /** `src` and `dst`: address and port. False: numbers are written as they are (SYN, or the first segment seen). */
  relate(src: string, dst: string, seq: number, ack: number, flags: number): boolean {
    const isLow = src < dst;
    const key = isLow ? `${src} ${dst}` : `${dst} ${src}`;
    const found = this.#connections.get(key);
    if (found === undefined || (flags & TcpFlag.Syn) !== 0) {
      const before = (ack - 1) >>> 0;
      if (found === undefined && this.#connections.size >= CONNECTIONS_MAX) {
        this.#connections.delete(this.#connections.keys().next().value!);
      }
      this.#connections.set(key, isLow ? { low: seq, high: before } : { low: before, high: seq });
      this.seqBase = seq;
      this.ackBase = before;
      return false;
    }
    this.seqBase = isLow ? found.low : found.high;
    this.ackBase = isLow ? found.high : found.low;
    return true;
  }
}

export interface TcpContext {
  readonly bases: SequenceBases;
  readonly absoluteSeq: boolean;
  readonly verbose: number;
  /** `(correct)`, `(incorrect)` or nothing that can be said. */
  readonly checksumVerdict: string;
}

/**
 * `Flags [P.], seq 1:100, ack 1, win 502, options […], length 99`. The segment is [at, end) as captured; `length`: the
 * IP payload's length, which may be more.
 */
export function tcpText(
  view: DataView,
  at: number,
  end: number,
  length: number,
  src: string,
  dst: string,
  context: TcpContext,
): string {
  if (end - at < TCP_MIN_HEADER_LEN) return '[|tcp]';
  const headerLen = tcpHeaderLen(view, at);
  const flags = tcpFlags(view, at);
  const letters = FLAG_LETTERS.filter(([bit]) => (flags & bit) !== 0).map(([, letter]) => letter);
  let text = `Flags [${letters.length === 0 ? 'none' : letters.join('')}]`;
  if (headerLen < TCP_MIN_HEADER_LEN) return `${text} [bad hdr length ${headerLen} - too short, < 20]`;
  const payload = length - headerLen;
  if (payload < 0) return `${text} [bad hdr length ${headerLen} - too long, > ${length}]`;
  const relative = relate(view, at, flags, src, dst, context);
  if (context.verbose > 0) text += `, cksum ${hexText(tcpChecksum(view, at), 4)}${context.checksumVerdict}`;
  const seq = (tcpSeq(view, at) - (relative ? context.bases.seqBase : 0)) >>> 0;
  if (payload > 0 || (flags & (TcpFlag.Syn | TcpFlag.Fin | TcpFlag.Rst)) !== 0) {
    text += payload > 0 ? `, seq ${seq}:${(seq + payload) >>> 0}` : `, seq ${seq}`;
  }
  const hasAck = (flags & TcpFlag.Ack) !== 0;
  if (hasAck) text += `, ack ${(tcpAck(view, at) - (relative ? context.bases.ackBase : 0)) >>> 0}`;
  text += `, win ${tcpWindow(view, at)}`;
  if ((flags & TcpFlag.Urg) !== 0) text += `, urg ${tcpUrgent(view, at)}`;
  if (headerLen > TCP_MIN_HEADER_LEN) {
    text += `, options [${optionsText(view, at, end, relative ? context.bases.ackBase : 0)}]`;
  }
  const data = at + headerLen;
  return `${text}, length ${payload}${payload > 0 && data < end ? payloadText(view, at, data, end, context) : ''}`;
}

/** What begins in this segment, by the port: nothing is put together from several. */
function payloadText(view: DataView, tcp: number, data: number, end: number, context: TcpContext): string {
  const from = tcpSrcPort(view, tcp);
  const to = tcpDstPort(view, tcp);
  if (isHttpPort(from) || isHttpPort(to)) return `: ${httpText(view, data, end)}`;
  if ((from !== DNS_PORT && to !== DNS_PORT) || data + 2 > end) return '';
  // RFC 7766 section 8: the length in front
  const length = view.getUint16(data);
  return data + 2 + length <= end ? ` ${dnsText(view, data + 2, data + 2 + length, length, context.verbose)}` : '';
}

function relate(view: DataView, at: number, flags: number, src: string, dst: string, context: TcpContext): boolean {
  if (context.absoluteSeq || (flags & TcpFlag.Ack) === 0) return false;
  const from = `${src}.${tcpSrcPort(view, at)}`;
  const to = `${dst}.${tcpDstPort(view, at)}`;
  return context.bases.relate(from, to, tcpSeq(view, at), tcpAck(view, at), flags);
}

function optionsText(view: DataView, tcp: number, end: number, sackBase: number): string {
  const stop = tcp + tcpHeaderLen(view, tcp);
  const names: string[] = [];
  let at = tcp + TCP_MIN_HEADER_LEN;
  const last = Math.min(stop, end);
  while (at < last) {
    const kind = view.getUint8(at);
    if (kind <= 1) {
      names.push(kind === 0 ? 'eol' : 'nop');
      if (kind === 0) break;
      at++;
      continue;
    }
    const length = at + 1 < last ? view.getUint8(at + 1) : 0;
    if (length < 2 || at + length > last) return `${names.join(',')}${names.length > 0 ? ',' : ''}[|tcp]`;
    names.push(optionText(view, at, length, kind, sackBase));
    at += length;
  }
  return checkTcp(view, tcp, end) === Wire.Ok ? names.join(',') : `${names.join(',')}[|tcp]`;
}

function optionText(view: DataView, at: number, length: number, kind: number, sackBase: number): string {
  switch (kind) {
    case 2:
      return length === 4 ? `mss ${view.getUint16(at + 2)}` : 'mss [bad]';
    case 3:
      return length === 3 ? `wscale ${view.getUint8(at + 2)}` : 'wscale [bad]';
    case 4:
      return 'sackOK';
    case 5:
      return sackText(view, at, length, sackBase);
    case 8:
      return length === 10 ? `TS val ${view.getUint32(at + 2)} ecr ${view.getUint32(at + 6)}` : 'TS [bad]';
    case 19:
      return 'md5';
    case 30:
      return `mptcp ${length}`;
    case 34:
      return length === 2 ? 'tfo  cookiereq' : `tfo  cookie ${bytesText(view, at + 2, at + length)}`;
    default:
      return length === 2 ? `unknown-${kind}` : `unknown-${kind} 0x${bytesText(view, at + 2, at + length)}`;
  }
}

function sackText(view: DataView, at: number, length: number, base: number): string {
  const blocks = Math.floor((length - 2) / 8);
  let text = `sack ${blocks} `;
  for (let n = 0; n < blocks; n++) {
    const left = seqDelta(base, view.getUint32(at + 2 + 8 * n)) >>> 0;
    const right = seqDelta(base, view.getUint32(at + 6 + 8 * n)) >>> 0;
    text += `{${left}:${right}}`;
  }
  return text;
}

function bytesText(view: DataView, at: number, end: number): string {
  let text = '';
  for (let i = at; i < end; i++) text += view.getUint8(i).toString(16).padStart(2, '0');
  return text;
}
