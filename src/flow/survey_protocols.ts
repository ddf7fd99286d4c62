/** HOT: packets and bytes by protocol, at each layer, and by service port. */
import type { FrameBatch } from '../base/batch.ts';
import { Fragment, LayerKind, type Layers } from '../wire/layers.ts';
import { IpProtocol } from '../wire/protocol.ts';
import { dstPort, srcPort } from '../wire/transport.ts';

const TCP = 0;
const UDP = 65_536;

export class SurveyProtocols {
  ipv4 = 0;
  ipv6 = 0;
  arp = 0;
  vlan = 0;
  mpls = 0;
  pppoe = 0;
  /** Packets with another packet inside: VXLAN, GRE, IP in IP. */
  tunnels = 0;
  fragments = 0;
  arpBytes = 0;
  /** Neither IP nor ARP. */
  others = 0;
  otherBytes = 0;
  /** By IANA protocol number. */
  readonly ipPackets: Float64Array = new Float64Array(256);
  readonly ipBytes: Float64Array = new Float64Array(256);
  /** By the smaller port: TCP, then UDP. */
  readonly portPackets: Float64Array = new Float64Array(131_072);
  readonly portBytes: Float64Array = new Float64Array(131_072);

  note(batch: FrameBatch, i: number, layers: Layers): void {
    const bytes = batch.len[i]!;
    if (layers.vlanCount > 0) this.vlan++;
    for (let k = 1; k < layers.count; k++) {
      const kind = layers.kind[k];
      if (kind === LayerKind.Mpls) {
        this.mpls++;
        break;
      }
      if (kind === LayerKind.Pppoe) this.pppoe++;
    }
    if (layers.tunnel >= 0) this.tunnels++;
    if (layers.ip < 0) {
      if (layers.arp >= 0) {
        this.arp++;
        this.arpBytes += bytes;
      } else {
        this.others++;
        this.otherBytes += bytes;
      }
      return;
    }
    if (layers.ipVersion === 4) this.ipv4++;
    else this.ipv6++;
    if (layers.fragment !== Fragment.None) this.fragments++;
    const protocol = layers.l4Protocol & 255;
    this.ipPackets[protocol]!++;
    this.ipBytes[protocol]! += bytes;
    if (layers.l4 < 0 || (protocol !== IpProtocol.Tcp && protocol !== IpProtocol.Udp)) return;
    const port = Math.min(srcPort(batch.region.view, layers), dstPort(batch.region.view, layers));
    const cell = port + (protocol === IpProtocol.Tcp ? TCP : UDP);
    this.portPackets[cell]!++;
    this.portBytes[cell]! += bytes;
  }
}
