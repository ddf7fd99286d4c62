/** PPP protocol field and its HDLC-like framing, RFC 1661 section 2, RFC 1662 section 3.1; numbers from IANA. */
import { EtherType } from './protocol.ts';

export const PppProtocol = { Ipv4: 0x0021, Ipv6: 0x0057, MplsUnicast: 0x0281, MplsMulticast: 0x0283 } as const;
/** Address and control field of HDLC-like framing: all stations, unnumbered information. */
export const PPP_HDLC_ADDRESS_CONTROL = 0xff03;

/** EtherType for a PPP protocol number, or -1. */
export function etherTypeOfPpp(protocol: number): number {
  switch (protocol) {
    case PppProtocol.Ipv4:
      return EtherType.Ipv4;
    case PppProtocol.Ipv6:
      return EtherType.Ipv6;
    case PppProtocol.MplsUnicast:
      return EtherType.Mpls;
    case PppProtocol.MplsMulticast:
      return EtherType.MplsMulticast;
    default:
      return -1;
  }
}

/** Bytes of the protocol field: an odd first byte is a compressed one (RFC 1661 section 6.5). */
export function pppProtocolLen(view: DataView, at: number): number {
  return (view.getUint8(at) & 1) === 0 ? 2 : 1;
}

/** Precondition: `pppProtocolLen` bytes are there. */
export function pppProtocol(view: DataView, at: number): number {
  const first = view.getUint8(at);
  return (first & 1) === 0 ? view.getUint16(at) : first;
}

/** PPP protocol number for an EtherType, or -1. */
export function pppOfEtherType(etherType: number): number {
  switch (etherType) {
    case EtherType.Ipv4:
      return PppProtocol.Ipv4;
    case EtherType.Ipv6:
      return PppProtocol.Ipv6;
    case EtherType.Mpls:
      return PppProtocol.MplsUnicast;
    case EtherType.MplsMulticast:
      return PppProtocol.MplsMulticast;
    default:
      return -1;
  }
}

/** Writes address, control and protocol of HDLC-like framing: four bytes. */
export function setPppHdlc(view: DataView, at: number, protocol: number): void {
  view.setUint16(at, PPP_HDLC_ADDRESS_CONTROL);
  view.setUint16(at + 2, protocol);
}
