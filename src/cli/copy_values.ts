/** Values of `tscopy`'s options. */
import { isIP } from 'node:net';
import { durationNs, usage, type ValueParser } from './values.ts';

export interface NamedPort {
  readonly host: string;
  /** Null: not said. */
  readonly port: number | null;
}

export interface MapValue {
  readonly address: string | null;
  readonly port: number;
  readonly target: { readonly host: string; readonly port: number };
}

const HOST_PORT = /^(?:\[([^\]]+)\]|([^:[\]]+))(?::(\d{1,5}))?$/;

function split(value: string): NamedPort | null {
  const match = HOST_PORT.exec(value.trim());
  const port = match?.[3] === undefined ? null : Number(match[3]);
  if (match === null || port === 0 || (port !== null && port > 65_535)) return null;
  return { host: (match[1] ?? match[2])!, port };
}

/** `10.0.0.9:80`, `[fd00::9]:80`, several with commas between them. */
export function targetList(value: string, option: string): readonly { host: string; port: number }[] {
  return value.split(',').map((part) => {
    const found = split(part);
    if (found === null || found.port === null) {
      throw usage(`${option} needs HOST:PORT, as 10.0.0.9:80 or [fd00::9]:80, not "${part}"`);
    }
    return { host: found.host, port: found.port };
  });
}

/** `80=10.0.0.9:80`, `10.0.0.1:80=10.0.0.9:8080`, `[fd00::1]:80=[fd00::9]:80`. */
export function mapValue(value: string, option: string): MapValue {
  const bad = (): Error => usage(`${option} needs [IP:]PORT=HOST:PORT, as 80=10.0.0.9:8080, not "${value}"`);
  const at = value.indexOf('=');
  const from = value.slice(0, Math.max(0, at));
  const target = split(value.slice(at + 1));
  if (at < 1 || target === null || target.port === null) throw bad();
  const to = { host: target.host, port: target.port };
  if (/^\d{1,5}$/.test(from)) {
    if (Number(from) < 1 || Number(from) > 65_535) throw bad();
    return { address: null, port: Number(from), target: to };
  }
  const service = split(from);
  if (service === null || service.port === null || isIP(service.host) === 0) throw bad();
  return { address: service.host, port: service.port, target: to };
}

/** `local`, `10.0.0.30`, `10.0.0.30:36524`. */
export function interceptValue(value: string, option: string): 'local' | NamedPort {
  if (value === 'local') return 'local';
  const found = split(value);
  if (found === null) throw usage(`${option} needs local, HOST or HOST:PORT, not "${value}"`);
  return found;
}

const UNITS: Readonly<Record<string, number>> = { '': 1, k: 1024, m: 1024 ** 2, g: 1024 ** 3 };

const sizeText = (size: number): string => {
  const unit = size >= UNITS['g']! ? 'G' : size >= UNITS['m']! ? 'M' : 'K';
  return `${size / UNITS[unit.toLowerCase()]!}${unit}`;
};

/** `64M`, `1G`, `1000000` (bytes). */
export function bytes(min: number, max: number): ValueParser {
  const range = `from ${sizeText(min)} to ${sizeText(max)}`;
  return (value: string, option: string): number => {
    const match = /^(\d+\.?\d*)\s*([kmg]?)(?:i?b)?$/i.exec(value.trim());
    const size = Math.round(Number(match?.[1]) * UNITS[match?.[2]?.toLowerCase() ?? '']!);
    if (match === null || !(size >= min && size <= max)) {
      throw usage(`${option} needs a size like 64M or 1G, ${range}, not "${value}"`);
    }
    return size;
  };
}

/** `500ms`, `1s`, `10m` as nanoseconds; `max` as an operator writes it. */
export function nanoseconds(max: string): ValueParser {
  return (value: string, option: string): number => {
    const ns = durationNs(value);
    if (!(ns <= durationNs(max))) {
      throw usage(`${option} needs a time like 500ms, 1s or 10m, at most ${max}, not "${value}"`);
    }
    return ns;
  };
}

/** `198.18.0.0/16`: the first address as a number, and how many there are without network and broadcast address. */
export function poolValue(value: string, option: string): { first: number; addresses: number } {
  const match = /^(\d+)\.(\d+)\.(\d+)\.(\d+)\/(\d+)$/.exec(value);
  const parts = match?.slice(1, 5).map(Number) ?? [];
  const bits = Number(match?.[5]);
  if (match === null || parts.some((part) => part > 255) || bits < 8 || bits > 30) {
    throw usage(`${option} needs an IPv4 network of /8 to /30, as 198.18.0.0/16, not "${value}"`);
  }
  const address = parts.reduce((word, part) => word * 256 + part, 0);
  const size = 2 ** (32 - bits);
  if (address % size !== 0) throw usage(`${option} ${value}: the address has bits behind the prefix`);
  return { first: address + 1, addresses: size - 2 };
}
