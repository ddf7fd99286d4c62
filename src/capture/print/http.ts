/** The first line of an HTTP/1 message (RFC 9112 section 2.1), as tcpdump writes it behind a segment's length. */
import { isPrintable } from './text.ts';

const HTTP_PORTS: ReadonlySet<number> = new Set([80, 8080]);
const METHODS: readonly string[] = [
  'GET',
  'PUT',
  'COPY',
  'HEAD',
  'LOCK',
  'MOVE',
  'POST',
  'MKCOL',
  'PATCH',
  'TRACE',
].concat(['DELETE', 'SEARCH', 'UNLOCK', 'REPORT', 'OPTIONS', 'CONNECT', 'PROPFIND', 'PROPPATCH']);
const LINE_BYTES_MAX = 1024;

export function isHttpPort(port: number): boolean {
  return HTTP_PORTS.has(port);
}

/** `HTTP: GET /a.txt HTTP/1.1`, or `HTTP` where [at, end) does not begin with such a line. */
export function httpText(view: DataView, at: number, end: number): string {
  const last = Math.min(end, at + LINE_BYTES_MAX);
  let line = '';
  for (let i = at; i < last; i++) {
    const byte = view.getUint8(i);
    if (byte === 13 || byte === 10) break;
    if (!isPrintable(byte)) return 'HTTP';
    line += String.fromCharCode(byte);
  }
  const first = line.slice(0, Math.max(0, line.indexOf(' ')));
  return METHODS.includes(first) || first.startsWith('HTTP/') ? `HTTP: ${line}` : 'HTTP';
}
