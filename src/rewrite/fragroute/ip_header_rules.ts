/** Directives about the IP header: `ip_tos`, `ip_ttl`, `ip_opt`, `ip6_qos`, `ip6_opt`. */
import { fixIpv4Checksum, setIpv4Tos, setIpv4Ttl } from '../../wire/ipv4.ts';
import { setIpv6FlowLabel, setIpv6HopLimit, setIpv6TrafficClass } from '../../wire/ipv6.ts';
import { IpProtocol } from '../../wire/protocol.ts';
import { cidrFromText } from '../cidr.ts';
import type { Cidr } from '../spec.ts';
import { type Packet, withIpv4Options, withIpv6Extension } from './packet.ts';
import { paddedTo, type Rule, type Words } from './rule.ts';

const OPTION_BYTES_MAX = 40;
const LOOSE = 131;
const STRICT = 137;
/** Segments that a type 0 routing header has room for: 255 units of 8 bytes. */
const SEGMENTS_MAX = 127;

/** Edits each packet of one IP version in place. */
function inPlace(version: 4 | 6, edit: (packet: Packet) => void): Rule {
  return (packets) => {
    for (const packet of packets) {
      if (packet.version !== version) continue;
      edit(packet);
      packet.isMade = true;
      if (version === 4) fixIpv4Checksum(packet.view, 0);
    }
    return packets;
  };
}

export function ipTosRule(words: Words): Rule {
  words.count(1, 1, 'ip_tos TOS');
  const tos = words.number(0, 'the type of service', 0, 255);
  return inPlace(4, ({ view }) => setIpv4Tos(view, 0, tos));
}

export function ipTtlRule(words: Words): Rule {
  words.count(1, 1, 'ip_ttl TTL');
  const ttl = words.number(0, 'the TTL', 1, 255);
  const v4 = inPlace(4, ({ view }) => setIpv4Ttl(view, 0, ttl));
  const v6 = inPlace(6, ({ view }) => setIpv6HopLimit(view, 0, ttl));
  return (packets, context) => v6(v4(packets, context), context);
}

export function ip6QosRule(words: Words): Rule {
  words.count(2, 2, 'ip6_qos CLASS LABEL');
  const trafficClass = words.number(0, 'the traffic class', 0, 255);
  const flowLabel = words.number(1, 'the flow label', 0, 0xfffff);
  return inPlace(6, ({ view }) => {
    setIpv6TrafficClass(view, 0, trafficClass);
    setIpv6FlowLabel(view, 0, flowLabel);
  });
}

/** Packets without room for the option stay as they are. */
export function ipOptRule(words: Words): Rule {
  const usage = 'ip_opt lsrr|ssrr POINTER IP... | raw BYTES';
  words.count(2, Number.POSITIVE_INFINITY, usage);
  const kind = words.choice(0, ['lsrr', 'ssrr', 'raw']);
  const option =
    kind === 'raw' ? words.bytes(1, OPTION_BYTES_MAX) : sourceRoute(words, kind === 'lsrr' ? LOOSE : STRICT);
  const padded = paddedTo(option, 4);
  return (packets) =>
    packets.map((packet) => (packet.version === 4 ? (withIpv4Options(packet, padded) ?? packet) : packet));
}

/** RFC 791 section 3.1: the pointer counts from the option's first byte as 1. */
function sourceRoute(words: Words, type: number): Uint8Array {
  words.count(3, 11, 'ip_opt lsrr|ssrr POINTER IP...');
  const hops = words.args.slice(2).map((text) => hop(words, text, 4));
  const pointer = words.number(1, 'the pointer', 4, 4 + 4 * hops.length);
  if (pointer % 4 !== 0) words.refuse(`the pointer must be a multiple of 4, not ${pointer}`);
  return Uint8Array.from([type, 3 + 4 * hops.length, pointer, ...hops.flatMap((words32) => wordBytes(words32))]);
}

export function ip6OptRule(words: Words): Rule {
  words.count(2, Number.POSITIVE_INFINITY, 'ip6_opt route SEGMENTS IP6... | raw TYPE BYTES');
  if (words.choice(0, ['route', 'raw']) === 'raw') return ip6RawRule(words);
  const hops = words.args.slice(2).map((text) => hop(words, text, 6));
  if (hops.length < 1 || hops.length > SEGMENTS_MAX) words.refuse(`takes 1 to ${SEGMENTS_MAX} addresses`);
  const segments = words.number(1, 'the segments left', 0, hops.length);
  // RFC 2460 section 4.4
  const header = [0, 2 * hops.length, 0, segments, 0, 0, 0, 0, ...hops.flatMap((four) => wordBytes(four))];
  const extension = Uint8Array.from(header);
  return (packets) =>
    packets.map((packet) =>
      packet.version === 6 ? (withIpv6Extension(packet, IpProtocol.Routing, extension) ?? packet) : packet,
    );
}

/** An extension header of a type of the operator's choice; its length byte is made to fit. */
function ip6RawRule(words: Words): Rule {
  words.count(3, Number.POSITIVE_INFINITY, 'ip6_opt raw TYPE BYTES');
  const type = words.number(1, 'the type', 0, 255);
  const bytes = words.bytes(2, 2046);
  const extension = paddedTo(Uint8Array.from([0, 0, ...bytes]), 8);
  extension[1] = extension.length / 8 - 1;
  return (packets) =>
    packets.map((packet) => (packet.version === 6 ? (withIpv6Extension(packet, type, extension) ?? packet) : packet));
}

function hop(words: Words, text: string, version: 4 | 6): Cidr['words'] {
  const bare = version === 6 && !text.startsWith('[') ? `[${text}]` : text;
  const cidr = cidrFromText(bare);
  if (cidr === null || cidr.version !== version || cidr.prefixLength !== (version === 4 ? 32 : 128)) {
    words.refuse(`"${text}" is no IPv${version} address`);
  }
  return cidr.words;
}

function wordBytes(words: readonly number[]): number[] {
  return words.flatMap((word) => [word >>> 24, (word >>> 16) & 255, (word >>> 8) & 255, word & 255]);
}
