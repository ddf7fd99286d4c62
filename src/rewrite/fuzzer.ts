/**
 * HOT: `--fuzz-seed`: spoils one packet in `--fuzz-factor`, the same ones in the same way for the same seed.
 * The offsets are the reference tool's, down to its quirk that the length of what may be spoilt comes from the
 * transport header's offset, not from the payload's length.
 */
import { ipv4HeaderLen } from '../wire/ipv4.ts';
import { IPV6_HEADER_LEN } from '../wire/ipv6.ts';
import { IpProtocol } from '../wire/protocol.ts';
import { TCP_MIN_HEADER_LEN } from '../wire/tcp.ts';
import { UDP_HEADER_LEN } from '../wire/udp.ts';
import type { Frame } from './frame.ts';
import { clipLayers } from './length_editor.ts';
import { mixedPrng, type SeedPrng } from './prng.ts';

const ACTIONS = 11;
const DROP = 0;
const SHORTEN = 1;
/** From here on: (start, middle, end) x (zero, xor, ones). */
const SPOIL = 2;
const SPOIL_BYTES_MIN = 16;

export class Fuzzer {
  readonly #prng: SeedPrng;
  readonly #factor: number;

  constructor(seed: number, factor: number) {
    this.#prng = mixedPrng(seed);
    this.#factor = factor;
  }

  /** True: the packet is to be dropped. To be called once for every packet that can be decoded. */
  apply(frame: Frame): boolean {
    const drawn = this.#prng.next();
    if (drawn % this.#factor !== 0) return false;
    const { layers, at } = frame;
    const l4 = transportOffset(frame);
    let length = l4;
    let start = l4;
    if (layers.ip < 0) {
      start = layers.l3 - at;
      length = frame.caplen - start;
    } else if (layers.l4Protocol === IpProtocol.Tcp) {
      start = l4 + TCP_MIN_HEADER_LEN;
      length = l4 - TCP_MIN_HEADER_LEN;
    } else if (layers.l4Protocol === IpProtocol.Udp) {
      start = l4 + UDP_HEADER_LEN;
      length = l4 - UDP_HEADER_LEN;
    }
    if (length <= 1) return false;
    const r = (drawn ^ (drawn >>> 16)) >>> 0;
    const action = r % ACTIONS;
    if (action === DROP) return true;
    if (action === SHORTEN) this.#shorten(frame, (r % (length - 1)) + 1);
    else this.#spoil(frame, start, length, r, action - SPOIL);
    return false;
  }

  #shorten(frame: Frame, length: number): void {
    const caplen = Math.min(length, frame.caplen);
    frame.cutTo(caplen, caplen);
    clipLayers(frame);
    frame.recompute = true;
  }

  #spoil(frame: Frame, start: number, length: number, r: number, kind: number): void {
    const where = Math.floor(kind / 3);
    const middle = where === 1 ? ((r >>> 16) % (length - 1)) + 1 : 0;
    const run = length - middle <= SPOIL_BYTES_MIN ? 1 : 1 + (r % (SPOIL_BYTES_MIN - 1));
    const from = where === 2 ? start + length - run : start + middle;
    const how = kind % 3;
    const mask = (r >>> 4) & 0xff;
    const first = frame.at + from;
    const last = Math.min(first + run, frame.end);
    for (let b = first; b < last; b++) {
      frame.bytes[b] = how === 0 ? 0 : how === 1 ? frame.bytes[b]! ^ mask : 0xff;
    }
    frame.changed = true;
    frame.recompute = true;
  }
}

/** From the frame's first byte to the transport header; for other packets the layer-3 length. */
function transportOffset(frame: Frame): number {
  const { layers, at, view } = frame;
  if (layers.l4 >= 0) return layers.l4 - at;
  if (layers.ip < 0) return frame.caplen - (layers.l3 - at);
  return layers.ip - at + (layers.ipVersion === 4 ? ipv4HeaderLen(view, layers.ip) : IPV6_HEADER_LEN);
}
