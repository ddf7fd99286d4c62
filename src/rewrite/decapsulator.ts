/**
 * HOT: `--decap`: takes tunnels off, outermost first, until none is left: VXLAN, GRE, IP in IP, MPLS. An inner Ethernet
 * frame stands for itself then; an inner IP packet gets the outer link header.
 */
import { Fragment, LayerKind, type Layers } from '../wire/layers.ts';
import { setNullEtherType } from '../wire/linkheader.ts';
import { isRawIp, Linktype } from '../wire/linktype.ts';
import { EtherType, IpProtocol } from '../wire/protocol.ts';
import { Cause } from './causes.ts';
import type { Frame } from './frame.ts';

/** Deeper nesting than any real tunnel in a tunnel. */
const TUNNELS_MAX = 8;

export class Decapsulator {
  /** Precondition: the frame is decoded. `None` where there was no tunnel, too; a cause leaves the frame as it is. */
  apply(frame: Frame): Cause {
    for (let depth = 0; depth < TUNNELS_MAX; depth++) {
      const { layers } = frame;
      const start = tunnelAt(layers);
      if (start < 0) return holdsPart(layers) ? Cause.Fragment : Cause.None;
      const n = innerLayer(layers, start);
      if (n < 0) return Cause.None;
      if (layers.kind[n] === LayerKind.Ethernet) takeEthernet(frame, n);
      else if (!takeIp(frame, n)) return Cause.LinktypeUnknown;
      frame.changed = true;
      frame.reframed = true;
      frame.decode();
    }
    return Cause.None;
  }
}

/** First byte that a tunnel carries: behind the outermost packet's headers, or the first MPLS label; -1: no tunnel. */
function tunnelAt(layers: Layers): number {
  for (let n = 0; n < layers.count; n++) {
    const kind = layers.kind[n];
    if (kind === LayerKind.Mpls) return layers.at[n]!;
    if (kind === LayerKind.Ipv4 || kind === LayerKind.Ipv6) break;
  }
  return layers.tunnel;
}

/** A tunnel's packet in fragments: no fragment holds all of what is inside. */
function holdsPart(layers: Layers): boolean {
  if (layers.ip < 0 || layers.fragment === Fragment.None) return false;
  const protocol = layers.l4Protocol;
  return (
    protocol === IpProtocol.Gre ||
    protocol === IpProtocol.Ipv4 ||
    protocol === IpProtocol.Ipv6 ||
    protocol === IpProtocol.Mpls
  );
}

/** The first Ethernet or IP header from `start` on; -1: what is inside is not understood. */
function innerLayer(layers: Layers, start: number): number {
  for (let n = 0; n < layers.count; n++) {
    const kind = layers.kind[n];
    if (layers.at[n]! < start) continue;
    if (kind === LayerKind.Ethernet || kind === LayerKind.Ipv4 || kind === LayerKind.Ipv6) return n;
  }
  return -1;
}

/** Cuts what lies behind the inner packet, and tells the length on the wire. */
function cutBehind(frame: Frame, n: number): void {
  const end = frame.layers.end[n]!;
  const behind = frame.end - end;
  frame.caplen -= behind;
  frame.len -= behind;
}

function takeEthernet(frame: Frame, n: number): void {
  cutBehind(frame, n);
  const front = frame.layers.at[n]! - frame.at;
  frame.at += front;
  frame.caplen -= front;
  frame.len -= front;
  frame.headroomBytes += front;
  frame.linktype = Linktype.EN10MB;
}

/** False: the link header has no number that could say what follows now. */
function takeIp(frame: Frame, n: number): boolean {
  const { view, layers, bytes } = frame;
  const isV4 = layers.kind[n] === LayerKind.Ipv4;
  const type = isV4 ? EtherType.Ipv4 : EtherType.Ipv6;
  const { linktype } = frame;
  const isNull = linktype === Linktype.NULL || linktype === Linktype.LOOP;
  if (linktype === (isV4 ? Linktype.IPV6 : Linktype.IPV4)) return false;
  if (layers.etherTypeAt < 0 && layers.etherType !== type && !isNull && !isRawIp(linktype)) return false;
  cutBehind(frame, n);
  const front = layers.at[n]! - layers.l3;
  bytes.copyWithin(frame.at + front, frame.at, layers.l3);
  if (layers.etherTypeAt >= 0) view.setUint16(layers.etherTypeAt + front, type);
  frame.at += front;
  frame.caplen -= front;
  frame.len -= front;
  frame.headroomBytes += front;
  if (isNull) setNullEtherType(view, frame.at, type);
  return true;
}
