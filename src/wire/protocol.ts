/** Numbers that name the next header: EtherTypes (IEEE 802, IANA) and IP protocol numbers (IANA). */

export const EtherType = {
  Ipv4: 0x0800,
  Arp: 0x0806,
  Teb: 0x6558, // Transparent Ethernet Bridging: an Ethernet header follows (GRE)
  Rarp: 0x8035,
  Vlan: 0x8100, // 802.1Q
  Ipv6: 0x86dd,
  Ppp: 0x880b,
  Mpls: 0x8847,
  MplsMulticast: 0x8848,
  PppoeDiscovery: 0x8863,
  PppoeSession: 0x8864,
  ProviderVlan: 0x88a8, // 802.1ad
  OldVlan: 0x9100, // stacked tags before 802.1ad
} as const;

/** Smaller values of the Ethernet type field are lengths (802.3). */
export const ETHERTYPE_MIN = 0x0600;

export const IpProtocol = {
  HopByHop: 0,
  Icmp: 1,
  Ipv4: 4,
  Tcp: 6,
  Udp: 17,
  Dccp: 33,
  Ipv6: 41,
  Routing: 43,
  Fragment: 44,
  Gre: 47,
  Esp: 50,
  Ah: 51,
  Icmpv6: 58,
  NoNext: 59,
  DestinationOptions: 60,
  Sctp: 132,
  Mobility: 135,
  UdpLite: 136,
  Mpls: 137,
  Hip: 139,
  Shim6: 140,
} as const;
