/**
 * HOT: changes of headers told to the checksums that cover them. Edits add up in the frame, and each checksum is
 * updated once: measured 10 to 15 ns cheaper than once a field.
 */
import { checksumApply, checksumApplyUdp } from '../wire/checksum.ts';
import { icmpv6ChecksumAt } from '../wire/icmpv6.ts';
import { ipv4Checksum, setIpv4Checksum } from '../wire/ipv4.ts';
import type { Layers } from '../wire/layers.ts';
import { IpProtocol } from '../wire/protocol.ts';
import { tcpChecksumAt } from '../wire/tcp.ts';
import { coveringChecksumAt } from '../wire/transport.ts';
import { udpChecksumAt } from '../wire/udp.ts';
import type { Frame } from './frame.ts';

/**
 * Offset of the transport's checksum field where a pseudo-header is part of the sum, else -1. DCCP (RFC 4340 section
 * 5.1) and UDP-Lite (RFC 3828 section 3.1) have it where UDP has it.
 */
export function transportSumAt(l4: number, protocol: number, version: number): number {
  switch (protocol) {
    case IpProtocol.Tcp:
      return tcpChecksumAt(l4);
    case IpProtocol.Udp:
    case IpProtocol.UdpLite:
    case IpProtocol.Dccp:
      return udpChecksumAt(l4);
    case IpProtocol.Icmpv6:
      return version === 6 ? icmpv6ChecksumAt(l4) : -1;
    default:
      return -1;
  }
}

/**
 * Tells the checksum field at `at` that the covered bytes' sum grew by `delta`.
 * A UDP field of zero (none) stays.
 */
export function applySum(view: DataView, at: number, protocol: number, delta: number): void {
  const field = view.getUint16(at);
  const next = protocol === IpProtocol.Udp ? checksumApplyUdp(field, delta) : checksumApply(field, delta);
  view.setUint16(at, next);
}

/** As `applySum` for the checksum that covers the addresses of the outermost IP packet, where there is one. */
export function applyToTransport(view: DataView, layers: Layers, delta: number): void {
  const at = coveringChecksumAt(view, layers);
  if (at >= 0) applySum(view, at, layers.l4Protocol, delta);
}

/** Change of a ones-complement sum when a 16-bit word of it is replaced. Not folded: a few thousand may be added up. */
export function wordDelta(before: number, after: number): number {
  return 0xffff - before + after;
}

/** As `wordDelta` for 32 bits, signed or not. */
export function longDelta(before: number, after: number): number {
  return (~before >>> 16) + (~before & 0xffff) + (after >>> 16) + (after & 0xffff);
}

/** Tells both checksums of the outermost packet what has been added up. */
export function applyPending(frame: Frame): void {
  const { view, layers } = frame;
  if (frame.ipSum !== 0) {
    setIpv4Checksum(view, layers.ip, checksumApply(ipv4Checksum(view, layers.ip), frame.ipSum));
    frame.ipSum = 0;
  }
  if (frame.transportSum !== 0) {
    applyToTransport(view, layers, frame.transportSum);
    frame.transportSum = 0;
  }
}
