/** Directives about the queue as a whole: `delay`, `drop`, `dup`, `order`, `echo`, `print`. */
import type { Rng } from '../../base/rng.ts';
import { ipv4FragmentOffset, ipv4Id, ipv4Ttl } from '../../wire/ipv4.ts';
import { ipv6HopLimit } from '../../wire/ipv6.ts';
import { ipv6FragmentOffset } from '../../wire/ipv6extension.ts';
import type { Packet } from './packet.ts';
import type { Rule, Words } from './rule.ts';

const WHICH = ['first', 'last', 'random'] as const;
type Which = (typeof WHICH)[number];

function indexOf(which: Which, count: number, rng: Rng): number {
  if (which === 'first') return 0;
  return which === 'last' ? count - 1 : rng.below(count);
}

/** Stamps in a file stay those of the packet that came in: the words are checked, and nothing waits. */
export function delayRule(words: Words): Rule {
  words.count(2, 2, 'delay first|last|random MS');
  words.choice(0, WHICH);
  words.number(1, 'milliseconds', 0, 0x7fff_ffff);
  return (packets) => packets;
}

export function dropRule(words: Words): Rule {
  words.count(2, 2, 'drop first|last|random PERCENT');
  const which = words.choice(0, WHICH);
  const percent = words.number(1, 'the probability', 1, 100);
  return (packets, { rng }) => {
    if (packets.length === 0 || rng.below(100) >= percent) return packets;
    packets.splice(indexOf(which, packets.length, rng), 1);
    return packets;
  };
}

export function dupRule(words: Words): Rule {
  words.count(2, 2, 'dup first|last|random PERCENT');
  const which = words.choice(0, WHICH);
  const percent = words.number(1, 'the probability', 1, 100);
  return (packets, { rng }) => {
    if (packets.length === 0 || rng.below(100) >= percent) return packets;
    const index = indexOf(which, packets.length, rng);
    packets.splice(index + 1, 0, packets[index]!.copy());
    return packets;
  };
}

export function orderRule(words: Words): Rule {
  words.count(1, 1, 'order random|reverse');
  if (words.choice(0, ['random', 'reverse']) === 'reverse') return (packets) => packets.reverse();
  return (packets, { rng }) => {
    // Fisher and Yates
    for (let i = packets.length - 1; i > 0; i--) {
      const k = rng.below(i + 1);
      const kept = packets[i]!;
      packets[i] = packets[k]!;
      packets[k] = kept;
    }
    return packets;
  };
}

export function echoRule(words: Words): Rule {
  const line = words.args.join(' ');
  return (packets, { say }) => {
    say(line);
    return packets;
  };
}

export function printRule(words: Words): Rule {
  words.count(0, 0, 'print');
  return (packets, { say }) => {
    for (const packet of packets) say(describe(packet));
    return packets;
  };
}

function describe(packet: Packet): string {
  const { view, layers, version, bytes } = packet;
  const ends = version === 4 ? [dotted(bytes, 12), dotted(bytes, 16)] : [colons(view, 8), colons(view, 24)];
  const ttl = version === 4 ? ipv4Ttl(view, 0) : ipv6HopLimit(view, 0);
  const id = version === 4 ? ` id ${ipv4Id(view, 0)}` : '';
  const at = version === 4 ? ipv4FragmentOffset(view, 0) : ipv6FragmentOffset(view, layers.ipv6Fragment);
  const part = layers.fragment === 0 ? '' : ` fragment at ${at}`;
  return `${ends[0]} > ${ends[1]}: protocol ${layers.l4Protocol}, ${bytes.length} bytes, ttl ${ttl}${id}${part}`;
}

function dotted(bytes: Uint8Array, at: number): string {
  return bytes.slice(at, at + 4).join('.');
}

function colons(view: DataView, at: number): string {
  return Array.from({ length: 8 }, (_, k) => view.getUint16(at + 2 * k).toString(16)).join(':');
}
