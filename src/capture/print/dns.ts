/** DNS messages (RFC 1035) in one line, as tcpdump writes them. Never reads outside [at, end). */
import { ipv4Text, ipv6Text, isPrintable } from './text.ts';

const HEADER_LEN = 12;
/** RFC 6891: the class field is the size of answers that are taken. */
const OPT = 41;
const TYPES = new Map<number, string>([
  [1, 'A'],
  [2, 'NS'],
  [5, 'CNAME'],
  [6, 'SOA'],
  [12, 'PTR'],
  [13, 'HINFO'],
  [15, 'MX'],
  [16, 'TXT'],
  [28, 'AAAA'],
  [33, 'SRV'],
  [35, 'NAPTR'],
  [41, 'OPT'],
  [43, 'DS'],
  [46, 'RRSIG'],
  [47, 'NSEC'],
  [48, 'DNSKEY'],
  [64, 'SVCB'],
  [65, 'HTTPS'],
  [252, 'AXFR'],
  [255, 'ANY'],
  [257, 'CAA'],
]);
const OPCODES: readonly string[] = ['', ' inv_q', ' stat', ' op3', ' notify', ' update'];
const RCODES: readonly string[] = ['', ' FormErr', ' ServFail', ' NXDomain', ' NotImp', ' Refused'];
/** Labels and jumps of one name, records of one message. */
const STEPS_MAX = 128;
const RECORDS_MAX = 64;

interface Cursor {
  at: number;
}

class Cut extends Error {}

/** `38980+ A? www.example.test. (34)`. `length`: of the message, as the transport says. */
export function dnsText(view: DataView, at: number, end: number, length: number, verbose: number): string {
  if (end - at < HEADER_LEN) return '[|domain]';
  const parts: string[] = [];
  try {
    message(view, at, end, verbose, parts);
  } catch (error) {
    if (!(error instanceof Cut)) throw error;
    parts.push(' [|domain]');
    return parts.join('');
  }
  return `${parts.join('')} (${length})`;
}

function message(view: DataView, at: number, end: number, verbose: number, parts: string[]): void {
  const flags = view.getUint16(at + 2);
  const counts = [4, 6, 8, 10].map((offset) => view.getUint16(at + offset));
  const [questions, answers, authorities, additional] = counts as [number, number, number, number];
  const opcode = (flags >>> 11) & 15;
  const operation = OPCODES[opcode] ?? ` op${opcode}`;
  const cursor: Cursor = { at: at + HEADER_LEN };
  if ((flags & 0x8000) !== 0) {
    const code = flags & 15;
    const aa = (flags & 0x0400) !== 0 ? '*' : '';
    const ra = (flags & 0x0080) !== 0 ? '' : '-';
    const tc = (flags & 0x0200) !== 0 ? '|' : '';
    const ad = (flags & 0x0020) !== 0 ? '$' : '';
    parts.push(`${view.getUint16(at)}${operation}${RCODES[code] ?? ` Resp${code}`}${aa}${ra}${tc}${ad}`);
    if (questions !== 1) parts.push(` [${questions}q]`);
    for (let n = 0; n < Math.min(questions, RECORDS_MAX); n++) {
      const text = question(view, at, end, cursor);
      if (verbose > 1) parts.push(n === 0 ? ' q:' : ',', text);
    }
    parts.push(` ${answers}/${authorities}/${additional}`);
    records(view, at, end, cursor, answers, '', verbose, parts);
    if (verbose < 2) return;
    if (authorities > 0) records(view, at, end, cursor, authorities, ' ns:', verbose, parts);
    if (additional > 0) records(view, at, end, cursor, additional, ' ar:', verbose, parts);
    return;
  }
  parts.push(
    `${view.getUint16(at)}${operation}${(flags & 0x0100) !== 0 ? '+' : ''}${(flags & 0x0010) !== 0 ? '%' : ''}`,
  );
  if (questions !== 1) parts.push(` [${questions}q]`);
  if (answers > 0) parts.push(` [${answers}a]`);
  if (authorities > 0) parts.push(` [${authorities}n]`);
  if (additional > 0) parts.push(` [${additional}au]`);
  for (let n = 0; n < Math.min(questions, RECORDS_MAX); n++) parts.push(question(view, at, end, cursor));
  if (verbose > 1 && additional > 0 && answers + authorities === 0) {
    records(view, at, end, cursor, additional, ' ar:', verbose, parts);
  }
}

function question(view: DataView, start: number, end: number, cursor: Cursor): string {
  const name = readName(view, start, end, cursor);
  need(cursor.at + 4, end);
  const type = view.getUint16(cursor.at);
  cursor.at += 4;
  return ` ${typeName(type)}? ${name}`;
}

function records(
  view: DataView,
  start: number,
  end: number,
  cursor: Cursor,
  count: number,
  prefix: string,
  verbose: number,
  parts: string[],
): void {
  for (let n = 0; n < Math.min(count, RECORDS_MAX); n++) {
    parts.push(n === 0 ? prefix : ',');
    const name = readName(view, start, end, cursor);
    need(cursor.at + 10, end);
    const type = view.getUint16(cursor.at);
    const length = view.getUint16(cursor.at + 8);
    const data = cursor.at + 10;
    parts.push(verbose > 0 ? ` ${name} ${typeName(type)}` : ` ${typeName(type)}`);
    if (type === OPT && verbose > 0) parts.push(` UDPsize=${view.getUint16(cursor.at + 2)}`);
    need(data + length, end);
    parts.push(dataText(view, start, data, data + length, type));
    cursor.at = data + length;
  }
}

function dataText(view: DataView, start: number, at: number, end: number, type: number): string {
  const cursor: Cursor = { at };
  switch (type) {
    case 1:
      return end - at === 4 ? ` ${ipv4Text(view, at)}` : '';
    case 28:
      return end - at === 16 ? ` ${ipv6Text(view, at)}` : '';
    case 2:
    case 5:
    case 6:
    case 12:
      return ` ${readName(view, start, end, cursor)}`;
    case 15:
      need(at + 2, end);
      cursor.at = at + 2;
      return ` ${readName(view, start, end, cursor)} ${view.getUint16(at)}`;
    case 16: {
      let text = '';
      while (cursor.at < end) text += ` "${readLabel(view, end, cursor)}"`;
      return text;
    }
    case 33:
      need(at + 6, end);
      cursor.at = at + 6;
      return ` ${readName(view, start, end, cursor)}:${[4, 0, 2].map((field) => view.getUint16(at + field)).join(' ')}`;
    default:
      return '';
  }
}

/** A name with its dot; compressed ones are followed, with a limit. Moves the cursor behind it. */
function readName(view: DataView, start: number, end: number, cursor: Cursor): string {
  const reader: Cursor = { at: cursor.at };
  let jumped = false;
  let name = '';
  for (let step = 0; step < STEPS_MAX; step++) {
    need(reader.at + 1, end);
    const length = view.getUint8(reader.at);
    if (length === 0) {
      reader.at++;
      if (!jumped) cursor.at = reader.at;
      return name === '' ? '.' : name;
    }
    if (length >= 0xc0) {
      need(reader.at + 2, end);
      const target = start + (view.getUint16(reader.at) & 0x3fff);
      if (!jumped) cursor.at = reader.at + 2;
      jumped = true;
      // backwards only: a message cannot send its reader in circles
      if (target >= reader.at) return `${name}<BAD PTR>`;
      reader.at = target;
      continue;
    }
    name += `${readLabel(view, end, reader)}.`;
  }
  return `${name}<LONG NAME>`;
}

/** A length and its characters; what would disturb a terminal is written as an escape. */
function readLabel(view: DataView, end: number, cursor: Cursor): string {
  need(cursor.at + 1, end);
  const length = view.getUint8(cursor.at);
  const from = cursor.at + 1;
  need(from + length, end);
  let text = '';
  for (let i = from; i < from + length; i++) {
    const byte = view.getUint8(i);
    text += isPrintable(byte) ? String.fromCharCode(byte) : `\\${String(byte).padStart(3, '0')}`;
  }
  cursor.at = from + length;
  return text;
}

function need(at: number, end: number): void {
  if (at > end) throw new Cut();
}

function typeName(type: number): string {
  return TYPES.get(type) ?? `Type${type}`;
}
