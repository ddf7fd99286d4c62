/** Values of `tsprep`'s options: lists of addresses and MAC addresses, rules that choose packets, service files. */
import type { AddressBlock, AddressEnd, Services } from '../flow/index.ts';
import { SERVICE_TCP, SERVICE_UDP } from '../flow/index.ts';
import type { PacketRanges } from '../replay/spec.ts';
import { cidrFromText, splitOutsideBrackets } from '../rewrite/cidr.ts';
import { macFromText } from '../rewrite/mac.ts';
import { packetList, usage } from './values.ts';

export type PacketRule =
  | { readonly kind: 'addresses'; readonly end: AddressEnd; readonly blocks: readonly AddressBlock[] }
  | { readonly kind: 'numbers'; readonly ranges: PacketRanges }
  | { readonly kind: 'filter'; readonly expression: string };

/** `10.0.0.0/8,192.168.1.1,2001:db8::/32,[2001:db8::1]`. */
export function addressList(value: string, option: string): readonly AddressBlock[] {
  return splitOutsideBrackets(value, ',').map((part) => {
    const block = cidrFromText(part) ?? cidrFromText(part.includes(':') ? `[${part.trim()}]` : part);
    if (block === null) {
      throw usage(`${option} needs addresses like 10.0.0.0/8,192.168.1.1 or 2001:db8::/32, not "${part}"`);
    }
    return block;
  });
}

export function macList(value: string, option: string): readonly (readonly number[])[] {
  return value.split(',').map((part) => {
    const mac = macFromText(part);
    if (mac === null) throw usage(`${option} needs MAC addresses like 00:1f:f3:3c:e1:13, not "${part}"`);
    return mac;
  });
}

const ENDS: Readonly<Record<string, AddressEnd>> = { S: 'source', D: 'destination', B: 'both', E: 'either' };

/** `S:LIST`, `D:LIST`, `B:LIST`, `E:LIST`, `P:NUMBERS`, `F:EXPR`. */
export function packetRule(value: string, option: string): PacketRule {
  const letter = value.slice(0, 1).toUpperCase();
  const rest = value.slice(2);
  const end = ENDS[letter];
  if (value[1] !== ':' || rest.trim() === '' || (end === undefined && letter !== 'P' && letter !== 'F')) {
    throw usage(
      `${option} needs S:, D:, B: or E: with addresses, P: with numbers, or F: with a filter, not "${value}"`,
    );
  }
  if (end !== undefined) return { kind: 'addresses', end, blocks: addressList(rest, `${option} ${letter}:`) };
  if (letter === 'P') return { kind: 'numbers', ranges: packetList(rest, option) };
  return { kind: 'filter', expression: rest };
}

/** `name port/proto [aliases] [# comment]` a line; protocols other than TCP and UDP are left out. */
export function parseServices(path: string, content: string): Services {
  const services = new Uint8Array(65_536);
  let found = 0;
  for (const [i, raw] of content.split(/\r?\n/).entries()) {
    const line = raw.replace(/#.*$/, '').trim();
    if (line === '') continue;
    const match = /^\S+\s+(\d+)\/([a-z][a-z0-9-]*)(\s|$)/i.exec(line);
    const port = Number(match?.[1]);
    if (match === null || port > 65_535) {
      throw usage(`${path} line ${i + 1}: "${line}" is no service like "http 80/tcp"`);
    }
    const protocol = match[2]!.toLowerCase();
    const bit = protocol === 'tcp' ? SERVICE_TCP : protocol === 'udp' ? SERVICE_UDP : 0;
    services[port]! |= bit;
    if (bit !== 0) found++;
  }
  if (found === 0) throw usage(`${path} names no TCP or UDP service: lines are like "http 80/tcp"`);
  return services;
}
