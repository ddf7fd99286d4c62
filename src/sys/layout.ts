/**
 * Struct layouts and constants of the kernel's user-space interface, each with the header it comes from.
 *
 * Every layout holds on x86-64 and arm64: both are little-endian LP64. Offsets and SIZE are in bytes. Fields are in
 * host order unless the comment says network order. `test/sys/layout.test.ts` writes them through the kernel and
 * reads them back.
 */

/** True on every platform whose layouts these are. */
export const LITTLE_ENDIAN = true;

/** include/linux/socket.h, asm-generic/socket.h (the numbers of x86-64 and arm64). */
export const AF_UNIX = 1;
export const AF_INET = 2;
export const AF_INET6 = 10;
export const AF_PACKET = 17;
export const SOCK_STREAM = 1;
export const SOCK_DGRAM = 2;
export const SOCK_RAW = 3;
export const SOCK_SEQPACKET = 5;
export const SOCK_NONBLOCK = 0x800;
export const SOCK_CLOEXEC = 0x80000;
export const SOL_SOCKET = 1;
export const SO_ERROR = 4;
export const SO_BROADCAST = 6;
export const SO_SNDBUF = 7;
export const SO_RCVBUF = 8;
export const SO_RCVTIMEO = 20;
export const SO_BINDTODEVICE = 25;
export const SO_ATTACH_FILTER = 26;
export const SO_DETACH_FILTER = 27;
export const SO_SNDBUFFORCE = 32;
export const SO_RCVBUFFORCE = 33;
export const SO_MARK = 36;
export const MSG_DONTWAIT = 0x40;

/** include/uapi/linux/in.h, in6.h. */
export const IPPROTO_IP = 0;
export const IPPROTO_UDP = 17;
export const IPPROTO_IPV6 = 41;
export const IPPROTO_RAW = 255;
export const IP_HDRINCL = 3;
export const IPV6_HDRINCL = 36;

/** include/uapi/linux/if_ether.h; network order on the wire and in sockaddr_ll. */
export const ETH_P_IP = 0x0800;
export const ETH_P_IPV6 = 0x86dd;
export const ETH_P_ALL = 0x0003;

/** include/uapi/linux/if_packet.h. */
export const SOL_PACKET = 263;
export const PACKET_ADD_MEMBERSHIP = 1;
export const PACKET_RX_RING = 5;
export const PACKET_STATISTICS = 6;
export const PACKET_AUXDATA = 8;
export const PACKET_VERSION = 10;
export const PACKET_RESERVE = 12;
export const PACKET_TX_RING = 13;
export const PACKET_LOSS = 14;
export const PACKET_TIMESTAMP = 17;
export const PACKET_FANOUT = 18;
export const PACKET_QDISC_BYPASS = 20;
export const PACKET_VNET_HDR = 15;
export const PACKET_IGNORE_OUTGOING = 23;
export const PACKET_OUTGOING = 4;
export const PACKET_FANOUT_HASH = 0;
/** struct packet_mreq. */
export const PacketMreq = { IFINDEX: 0, TYPE: 4, ALEN: 6, ADDRESS: 8, SIZE: 16 } as const;
export const PACKET_MR_PROMISC = 1;

/** struct sockaddr_ll, include/uapi/linux/if_packet.h. PROTOCOL is in network order. */
export const SockaddrLl = {
  FAMILY: 0,
  PROTOCOL: 2,
  IFINDEX: 4,
  HATYPE: 8,
  PKTTYPE: 10,
  HALEN: 11,
  ADDR: 12,
  SIZE: 20,
} as const;

/** struct sockaddr_in, include/uapi/linux/in.h. PORT and ADDR are in network order. */
export const SockaddrIn = { FAMILY: 0, PORT: 2, ADDR: 4, SIZE: 16 } as const;

/** struct sockaddr_in6, include/uapi/linux/in6.h. PORT, FLOWINFO, ADDR in network order. */
export const SockaddrIn6 = { FAMILY: 0, PORT: 2, FLOWINFO: 4, ADDR: 8, SCOPE_ID: 24, SIZE: 28 } as const;

/** struct iovec, include/uapi/linux/uio.h. */
export const Iovec = { BASE: 0, LEN: 8, SIZE: 16 } as const;

/** struct virtio_net_hdr, include/uapi/linux/virtio_net.h: what is left to the device, in front of a frame. */
export const VirtioNetHdr = {
  FLAGS: 0,
  GSO_TYPE: 1,
  HDR_LEN: 2,
  GSO_SIZE: 4,
  CSUM_START: 6,
  CSUM_OFFSET: 8,
  SIZE: 10,
} as const;
export const VIRTIO_NET_HDR_F_NEEDS_CSUM = 1;
export const VIRTIO_NET_HDR_GSO_TCPV4 = 1;
export const VIRTIO_NET_HDR_GSO_TCPV6 = 4;

/** struct user_msghdr, include/linux/socket.h. */
export const Msghdr = {
  NAME: 0,
  NAMELEN: 8,
  IOV: 16,
  IOVLEN: 24,
  CONTROL: 32,
  CONTROLLEN: 40,
  FLAGS: 48,
  SIZE: 56,
} as const;

/** struct mmsghdr, include/linux/socket.h: a msghdr, then the bytes that were moved. */
export const Mmsghdr = { HDR: 0, LEN: 56, SIZE: 64 } as const;

/** struct pollfd and events, include/uapi/asm-generic/poll.h. */
export const Pollfd = { FD: 0, EVENTS: 4, REVENTS: 6, SIZE: 8 } as const;
export const POLLIN = 1;
export const POLLOUT = 4;
export const POLLERR = 8;

/** struct timeval, include/uapi/linux/time_types.h. */
export const Timeval = { SEC: 0, USEC: 8, SIZE: 16 } as const;

/** struct sock_filter and sock_fprog, include/uapi/linux/filter.h. */
export const SockFilter = { CODE: 0, JT: 2, JF: 3, K: 4, SIZE: 8 } as const;
export const SockFprog = { LEN: 0, FILTER: 8, SIZE: 16 } as const;

/** struct ifreq, include/uapi/linux/if.h: a name, then a union that starts at VALUE. */
export const Ifreq = { NAME: 0, NAME_BYTES: 16, VALUE: 16, SIZE: 40 } as const;
export const IFF_UP = 0x1;
export const IFF_LOOPBACK = 0x8;
export const IFF_RUNNING = 0x40;

/** include/uapi/linux/sockios.h. */
export const SIOCGIFFLAGS = 0x8913;
export const SIOCSIFFLAGS = 0x8914;
export const SIOCGIFMTU = 0x8921;
export const SIOCGIFHWADDR = 0x8927;
export const SIOCGIFINDEX = 0x8933;
export const SIOCETHTOOL = 0x8946;

/** include/uapi/linux/if_tun.h: _IOW('T', 202, int) and the flags of ifr_flags. */
export const TUNSETIFF = 0x400454ca;
export const IFF_TUN = 0x0001;
export const IFF_TAP = 0x0002;
export const IFF_NO_PI = 0x1000;

/** struct ethtool_value, include/uapi/linux/ethtool.h, and its commands. */
export const EthtoolValue = { CMD: 0, DATA: 4, SIZE: 8 } as const;
/** struct ethtool_cmd: only what is read. */
export const EthtoolCmd = { CMD: 0, SPEED: 12, SPEED_HIGH: 28, SIZE: 64 } as const;
export const ETHTOOL_GSET = 0x01;
export const ETHTOOL_GTXCSUM = 0x16;
export const ETHTOOL_GTSO = 0x1e;
export const ETHTOOL_GGSO = 0x23;
export const ETHTOOL_GGRO = 0x2b;

/** struct tpacket_req3, include/uapi/linux/if_packet.h. */
export const TpacketReq3 = {
  BLOCK_SIZE: 0,
  BLOCK_NR: 4,
  FRAME_SIZE: 8,
  FRAME_NR: 12,
  RETIRE_BLK_TOV: 16,
  SIZEOF_PRIV: 20,
  FEATURE_REQ_WORD: 24,
  SIZE: 28,
} as const;
/** struct tpacket_block_desc with tpacket_hdr_v1, include/uapi/linux/if_packet.h. */
export const TpacketBlock = {
  VERSION: 0,
  OFFSET_TO_PRIV: 4,
  STATUS: 8,
  NUM_PKTS: 12,
  OFFSET_TO_FIRST: 16,
  BLK_LEN: 20,
  SEQ_NUM: 24,
  SIZE: 48,
} as const;
/** struct tpacket3_hdr, include/uapi/linux/if_packet.h. */
export const Tpacket3Hdr = {
  NEXT_OFFSET: 0,
  SEC: 4,
  NSEC: 8,
  SNAPLEN: 12,
  LEN: 16,
  STATUS: 20,
  MAC: 24,
  NET: 26,
  RXHASH: 28,
  VLAN_TCI: 32,
  VLAN_TPID: 36,
  SIZE: 48,
} as const;
export const TPACKET_V2 = 1;
export const TPACKET_V3 = 2;
export const TP_STATUS_KERNEL = 0;
export const TP_STATUS_USER = 1;
/** tp_status bits of a frame. */
export const TP_STATUS_CSUMNOTREADY: number = 1 << 3;
/** The block was handed over because time had passed, not because it was full. */
export const TP_STATUS_BLK_TMO: number = 1 << 5;
export const TP_STATUS_CSUM_VALID: number = 1 << 7;
export const TP_STATUS_VLAN_VALID: number = 1 << 4;
export const TP_STATUS_VLAN_TPID_VALID: number = 1 << 6;
/** struct tpacket_stats_v3, include/uapi/linux/if_packet.h. Reading resets. */
export const TpacketStats = { PACKETS: 0, DROPS: 4, FREEZE_Q_COUNT: 8, SIZE: 12 } as const;
