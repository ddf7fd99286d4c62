/** Frames built by hand, with sums by an arithmetic of their own: what the wire layer is checked against. */
export type Bytes = number[];

export function hex(text: string): Bytes {
  const bare = text.replace(/\s+/g, '');
  return Array.from({ length: bare.length / 2 }, (_, i) => Number.parseInt(bare.slice(2 * i, 2 * i + 2), 16));
}

export function u16(value: number): Bytes {
  return [(value >>> 8) & 0xff, value & 0xff];
}

export function u32(value: number): Bytes {
  return [...u16(value >>> 16), ...u16(value & 0xffff)];
}

/** RFC 1071 by number theory: 2^16 = 1 modulo 65535, so the message as one number, modulo 65535, is the sum. */
export function referenceSum(bytes: Bytes): number {
  const even = bytes.length % 2 === 0 ? bytes : [...bytes, 0];
  if (even.every((byte) => byte === 0)) return 0;
  const message = BigInt(`0x${even.map((byte) => byte.toString(16).padStart(2, '0')).join('')}`);
  return Number(message % 65535n) || 0xffff;
}

export function referenceChecksum(bytes: Bytes): number {
  return 0xffff - referenceSum(bytes);
}

/** CRC32c bit by bit. */
export function referenceCrc32c(bytes: Bytes): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f63b78 : 0);
  }
  return ~crc >>> 0;
}

export const MACS: Bytes = hex('020000000001 020000000002');
export const SRC4: Bytes = hex('0a000001');
export const DST4: Bytes = hex('0a000002');
export const SRC6: Bytes = hex('20010db8000000000000000000000001');
export const DST6: Bytes = hex('20010db8000000000000000000000002');

export function ethernet(type: number, payload: Bytes): Bytes {
  return [...MACS, ...u16(type), ...payload];
}

export interface Ipv4Fields {
  readonly options?: Bytes;
  readonly flagsOffset?: number;
  readonly totalLen?: number;
}

export function ipv4(protocol: number, payload: Bytes, fields: Ipv4Fields = {}): Bytes {
  const options = fields.options ?? [];
  const headerLen = 20 + options.length;
  const totalLen = fields.totalLen ?? headerLen + payload.length;
  const head = [0x40 | (headerLen / 4), 0, ...u16(totalLen), 0x12, 0x34, ...u16(fields.flagsOffset ?? 0), 64, protocol];
  const sum = referenceChecksum([...head, 0, 0, ...SRC4, ...DST4, ...options]);
  return [...head, ...u16(sum), ...SRC4, ...DST4, ...options, ...payload];
}

export function ipv6(next: number, payload: Bytes, payloadLen: number = payload.length): Bytes {
  return [...hex('6ab00001'), ...u16(payloadLen), next, 64, ...SRC6, ...DST6, ...payload];
}

function pseudo(version: number, protocol: number, length: number): Bytes {
  return version === 4
    ? [...SRC4, ...DST4, 0, protocol, ...u16(length)]
    : [...SRC6, ...DST6, ...u32(length), 0, 0, 0, protocol];
}

export function withSum(bytes: Bytes, at: number, prefix: Bytes): Bytes {
  const zeroed = [...bytes.slice(0, at), 0, 0, ...bytes.slice(at + 2)];
  return [...bytes.slice(0, at), ...u16(referenceChecksum([...prefix, ...zeroed])), ...bytes.slice(at + 2)];
}

export function tcp(version: number, payload: Bytes = [], options: Bytes = []): Bytes {
  const offset = ((20 + options.length) / 4) << 4;
  const bytes = [...hex('1f90 0050 11223344 55667788'), offset, 0x18, ...hex('0100 0000 0000'), ...options, ...payload];
  return withSum(bytes, 16, pseudo(version, 6, bytes.length));
}

export function udp(version: number, payload: Bytes, dstPort = 53, length: number = 8 + payload.length): Bytes {
  const bytes = [...hex('c000'), ...u16(dstPort), ...u16(length), 0, 0, ...payload];
  const summed = withSum(bytes, 6, pseudo(version, 17, length));
  return summed[6] === 0 && summed[7] === 0 ? [...summed.slice(0, 6), 0xff, 0xff, ...summed.slice(8)] : summed;
}

export function icmp(type: number, payload: Bytes): Bytes {
  return withSum([type, 1, 0, 0, ...payload], 2, []);
}

export function icmpv6(type: number, payload: Bytes): Bytes {
  const bytes = [type, 0, 0, 0, ...payload];
  return withSum(bytes, 2, pseudo(6, 58, bytes.length));
}

export function sctp(payload: Bytes): Bytes {
  const head = hex('1f90 0050 00c0ffee');
  const crc = referenceCrc32c([...head, 0, 0, 0, 0, ...payload]);
  return [...head, crc & 0xff, (crc >>> 8) & 0xff, (crc >>> 16) & 0xff, crc >>> 24, ...payload];
}

/** The bytes as an exact-size view at an odd place of a larger buffer: reading past its end throws. */
export function exactView(bytes: Bytes | Uint8Array, length: number = bytes.length): DataView {
  const whole = new Uint8Array(length + 32).fill(0xa5);
  whole.set(bytes.slice(0, length), 7);
  return new DataView(whole.buffer, 7, length);
}
