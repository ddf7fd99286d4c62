/**
 * HOT: `--unique-ip`: other addresses in every loop, without touching a checksum. One address goes up by the loop's
 * number, the other one down, so that their ones-complement sum stays; where a value wraps, 2^32 is taken for 1, which
 * it is in that arithmetic. IPv6 uses the last 32 bits. What is not IP (ARP) goes as it is.
 */
import type { FrameBatch } from '../base/batch.ts';
import { sumDelta32 } from '../wire/checksum.ts';
import { decode } from '../wire/decode.ts';
import { ipv4Dst, ipv4DstAt, ipv4Src, setIpv4Dst, setIpv4Src } from '../wire/ipv4.ts';
import { ipv6DstAt, ipv6DstWord, ipv6SrcWord, setIpv6DstWord, setIpv6SrcWord } from '../wire/ipv6.ts';
import { Layers } from '../wire/layers.ts';
import { coveredDstAt } from '../wire/transport.ts';
import { applyToTransport } from './transport_sum.ts';

const WRAP = 0x1_0000_0000;
const LAST_WORD = 3;
const layers: Layers = new Layers();

/**
 * Gives frame `i` the addresses of step `step` (0: its own; below 2^32). The frame must hold its original addresses.
 * True when something was written.
 */
export function applyUniqueIp(batch: FrameBatch, i: number, step: number): boolean {
  if (step === 0) return false;
  const view = batch.region.view;
  const at = batch.at[i]!;
  decode(view, at, at + batch.caplen[i]!, batch.linktype[i]!, layers);
  const ip = layers.ip;
  if (ip < 0) return false;
  const isV4 = layers.ipVersion === 4;
  const source = isV4 ? ipv4Src(view, ip) : ipv6SrcWord(view, ip, LAST_WORD);
  const destination = isV4 ? ipv4Dst(view, ip) : ipv6DstWord(view, ip, LAST_WORD);
  const apart = destination > source;
  const newSource = apart ? lower(source, step) : raise(source, step);
  const newDestination = apart ? raise(destination, step) : lower(destination, step);
  const isRouted = coveredDstAt(view, layers) !== (isV4 ? ipv4DstAt(ip) : ipv6DstAt(ip));
  if (isV4) {
    setIpv4Src(view, ip, newSource);
    setIpv4Dst(view, ip, newDestination);
  } else {
    setIpv6SrcWord(view, ip, LAST_WORD, newSource);
    setIpv6DstWord(view, ip, LAST_WORD, newDestination);
  }
  // The pseudo-header of a source-routed packet has another destination, so nothing balances the source there.
  if (isRouted) applyToTransport(view, layers, sumDelta32(0, source, newSource));
  return true;
}

function lower(value: number, step: number): number {
  return value >= step ? value - step : value - step + WRAP - 1;
}

function raise(value: number, step: number): number {
  return value + step < WRAP ? value + step : value + step - WRAP + 1;
}
