/**
 * `ip_chaff`, `tcp_chaff`: beside each packet another one with noise for its payload, made so that the receiver does
 * not take it, while something in between may.
 */
import { fixIpv4Checksum, IPV4_MIN_HEADER_LEN, setIpv4Ttl } from '../../wire/ipv4.ts';
import { setIpv6HopLimit } from '../../wire/ipv6.ts';
import { IpProtocol } from '../../wire/protocol.ts';
import { seqAdd } from '../../wire/seq.ts';
import { setTcpChecksum, setTcpFlags, setTcpSeq, TcpFlag, tcpChecksum, tcpSeq } from '../../wire/tcp.ts';
import {
  findTcpOption,
  setTcpTimestamps,
  TcpOption,
  tcpTimestampEcho,
  tcpTimestampValue,
} from '../../wire/tcpoption.ts';
import { fixTransportChecksum } from '../../wire/verify.ts';
import { finished, type Packet, withIpv4Options, withIpv6Extension } from './packet.ts';
import { type Rule, type RuleContext, randomBytes, type Words } from './rule.ts';

/** An option nobody knows whose length runs out of the header. */
const BAD_OPTION = Uint8Array.from([0x99, 0x40, 0, 0]);
/** Destination options with one that must make the receiver drop the packet (RFC 8200 section 4.2: first bits 01). */
const BAD_OPTION6 = Uint8Array.from([0, 0, 0x5e, 4, 0, 0, 0, 0]);

/** A TTL or one of `kinds`, which is null. */
function ttlOf(words: Words, kinds: readonly string[]): number | null {
  const word = (words.args[0] ?? '').toLowerCase();
  if (kinds.includes(word)) return null;
  if (!/^-?\d+$/.test(word)) words.refuse(`"${words.args[0]}" is none of ${kinds.join(', ')} and no TTL`);
  return words.number(0, 'the TTL', 1, 255);
}

function setTtl(packet: Packet, ttl: number): void {
  if (packet.version === 6) setIpv6HopLimit(packet.view, 0, ttl);
  else {
    setIpv4Ttl(packet.view, 0, ttl);
    fixIpv4Checksum(packet.view, 0);
  }
}

export function ipChaffRule(words: Words): Rule {
  words.count(1, 1, 'ip_chaff dup|opt|TTL');
  const ttl = ttlOf(words, ['dup', 'opt']);
  const isDup = words.args[0]!.toLowerCase() === 'dup';
  return (packets, context) =>
    packets.flatMap((packet) => {
      const noise = noiseOf(packet, context);
      if (ttl !== null) {
        setTtl(noise, ttl);
        return [noise, packet];
      }
      // Later: a host that has the true bytes keeps them.
      if (isDup) return [packet, noise];
      const marked =
        packet.version === 4 ? badOption(noise) : withIpv6Extension(noise, IpProtocol.DestinationOptions, BAD_OPTION6);
      return marked === null ? [packet] : [marked, packet];
    });
}

function badOption(noise: Packet): Packet | null {
  return withIpv4Options(noise, BAD_OPTION);
}

/** The packet with other bytes behind its IP header: behind its TCP or UDP header where it has one. */
function noiseOf(packet: Packet, { rng }: RuleContext): Packet {
  const bytes = packet.bytes.slice();
  const from = packet.layers.payload >= 0 ? packet.layers.payload : Math.max(packet.headerEnd, IPV4_MIN_HEADER_LEN);
  bytes.set(randomBytes(rng, bytes.length - from), from);
  return finished(bytes);
}

const TCP_KINDS = ['cksum', 'null', 'paws', 'rexmit', 'seq', 'syn'] as const;

export function tcpChaffRule(words: Words): Rule {
  words.count(1, 1, 'tcp_chaff cksum|null|paws|rexmit|seq|syn|TTL');
  const ttl = ttlOf(words, TCP_KINDS);
  const kind = ttl === null ? words.choice(0, TCP_KINDS) : 'ttl';
  return (packets, context) =>
    packets.flatMap((packet) => {
      if (packet.tcpPayloadBytes === 0) return [packet];
      const noise = noiseOf(packet, context);
      if (!spoil(noise, kind, ttl ?? 0, context)) return [packet];
      return kind === 'rexmit' ? [packet, noise] : [noise, packet];
    });
}

type Kind = (typeof TCP_KINDS)[number] | 'ttl';

/** Makes the receiver refuse it. False: that cannot be done with this packet. */
function spoil(noise: Packet, kind: Kind, ttl: number, { rng }: RuleContext): boolean {
  const { view, layers } = noise;
  const tcp = layers.l4;
  switch (kind) {
    case 'ttl':
      setTtl(noise, ttl);
      return true;
    case 'rexmit':
      return true;
    case 'cksum':
      // 1 to 65,533 more: both zeros of ones-complement arithmetic stay out of reach.
      setTcpChecksum(view, tcp, (tcpChecksum(view, tcp) + 1 + rng.below(65_533)) & 0xffff);
      return true;
    case 'null':
      setTcpFlags(view, tcp, 0);
      break;
    case 'syn':
      setTcpFlags(view, tcp, TcpFlag.Syn);
      setTcpSeq(view, tcp, rng.nextUint32());
      break;
    case 'seq':
      // A quarter to half of the number space ahead: behind every window.
      setTcpSeq(view, tcp, seqAdd(tcpSeq(view, tcp), 0x4000_0000 + rng.below(0x4000_0000)));
      break;
    case 'paws': {
      const option = findTcpOption(view, tcp, TcpOption.Timestamps);
      if (option < 0) return false;
      const old = seqAdd(tcpTimestampValue(view, option), -0x1000_0000 - rng.below(0x1000_0000));
      setTcpTimestamps(view, option, old, tcpTimestampEcho(view, option));
      break;
    }
  }
  fixTransportChecksum(view, layers);
  return true;
}
