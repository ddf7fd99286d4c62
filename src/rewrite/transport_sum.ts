/** HOT: changes of a pseudo-header, or of the bytes behind it, told to the transport checksum that covers them. */
import { checksumApply, checksumApplyUdp } from '../wire/checksum.ts';
import { icmpv6ChecksumAt } from '../wire/icmpv6.ts';
import type { Layers } from '../wire/layers.ts';
import { IpProtocol } from '../wire/protocol.ts';
import { tcpChecksumAt } from '../wire/tcp.ts';
import { coveringChecksumAt } from '../wire/transport.ts';
import { udpChecksumAt } from '../wire/udp.ts';

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
