/**
 * HOT: `--layer inner|all`: the packets inside tunnels (VXLAN, GRE, IP in IP, MPLS in IP), each decoded as a frame of
 * its own where it lies. The sums of the tunnels around it that cover it stay as true as they were.
 */
import { checksumAdd } from '../wire/checksum.ts';
import { checkGre, greChecksumAt } from '../wire/gre.ts';
import { LayerKind, type Layers, Wire } from '../wire/layers.ts';
import { Linktype } from '../wire/linktype.ts';
import { IpProtocol } from '../wire/protocol.ts';
import { coveringChecksumAt } from '../wire/transport.ts';
import { Frame } from './frame.ts';
import { applySum, wordDelta } from './transport_sum.ts';

/** Tunnels in tunnels that are followed. */
const LEVELS_MAX = 8;

export class TunnelEditor {
  /** Packets by depth; 0 is unused, it stands for the frame itself. */
  readonly #frames: readonly Frame[] = Array.from({ length: LEVELS_MAX + 1 }, () => new Frame());
  readonly #sumAt: Int32Array = new Int32Array(LEVELS_MAX);
  readonly #sumBefore: Int32Array = new Int32Array(LEVELS_MAX);
  #depth = 0;

  /** Finds the packets inside. Returns how many levels there are: 0 where nothing is tunnelled. */
  open(outer: Frame): number {
    let container = outer;
    let depth = 0;
    while (depth < LEVELS_MAX) {
      const n = carriedLayer(container.layers);
      if (n < 0) break;
      const { view, layers } = container;
      this.#sumAt[depth] = coveringSumAt(view, layers);
      this.#sumBefore[depth] = checksumAdd(view, layers.tunnel, layers.ipEnd);
      depth++;
      const inner = this.#frames[depth]!;
      inner.region = outer.region;
      inner.view = view;
      inner.bytes = outer.bytes;
      inner.at = layers.at[n]!;
      inner.caplen = layers.end[n]! - inner.at;
      inner.len = inner.caplen;
      inner.linktype = layers.kind[n] === LayerKind.Ethernet ? Linktype.EN10MB : Linktype.RAW;
      inner.direction = outer.direction;
      inner.changed = false;
      inner.recompute = false;
      inner.ipSum = 0;
      inner.transportSum = 0;
      inner.decode();
      container = inner;
    }
    this.#depth = depth;
    return depth;
  }

  /** The packet at `level`, from 1 to what `open` returned. */
  frameAt(level: number): Frame {
    return this.#frames[level]!;
  }

  /** Tells the sums around what was edited, innermost first. */
  close(outer: Frame): void {
    for (let level = this.#depth; level > 0; level--) {
      const container = level === 1 ? outer : this.#frames[level - 1]!;
      if (!this.#frames[level]!.changed) continue;
      container.changed = true;
      const at = this.#sumAt[level - 1]!;
      if (at < 0) continue;
      const { view, layers } = container;
      const after = checksumAdd(view, layers.tunnel, layers.ipEnd);
      // UDP has its zero rule; GRE's sum has none
      const protocol = layers.l4Protocol === IpProtocol.Udp ? IpProtocol.Udp : IpProtocol.Tcp;
      applySum(view, at, protocol, wordDelta(this.#sumBefore[level - 1]!, after));
    }
  }
}

/** The first Ethernet or IP header that the outermost packet's tunnel carries; -1: none. */
function carriedLayer(layers: Layers): number {
  if (layers.tunnel < 0) return -1;
  for (let n = 0; n < layers.count; n++) {
    if (layers.at[n]! < layers.tunnel) continue;
    const kind = layers.kind[n];
    if (kind === LayerKind.Ethernet || kind === LayerKind.Ipv4 || kind === LayerKind.Ipv6) return n;
  }
  return -1;
}

/** The checksum field of the tunnel's own header that covers what it carries; -1: none. */
function coveringSumAt(view: DataView, layers: Layers): number {
  if (layers.l4Protocol !== IpProtocol.Gre) return coveringChecksumAt(view, layers);
  return checkGre(view, layers.l4, layers.ipEnd) === Wire.Ok ? greChecksumAt(view, layers.l4) : -1;
}
