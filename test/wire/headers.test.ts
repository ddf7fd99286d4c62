import assert from 'node:assert/strict';
import t from 'tap';
import { Rng } from '../../src/base/rng.ts';
import * as w from '../../src/wire/index.ts';
import { exactView } from './frames.ts';

const { Wire } = w;
type Reader = (view: DataView, at: number) => number | boolean;

interface Header {
  readonly name: string;
  readonly length: number;
  /** Writes every byte of the header. */
  readonly write: (view: DataView, at: number) => void;
  /** What has to be read back. */
  readonly read: readonly (readonly [Reader, number | boolean])[];
  /** Says when the readers may be called on bytes from outside; without it the length alone decides. */
  readonly check?: (view: DataView, at: number, end: number) => number;
}

const A = 0x0a0b0c0d;
const B = 0xfffefdfc;

const HEADERS: readonly Header[] = [
  {
    name: 'Ethernet',
    length: 14,
    check: w.checkEthernet,
    write: (v, at) => {
      w.setEthernetDst(v, at, 0x0102, B);
      w.setEthernetSrc(v, at, 0xfffe, A);
      w.setEthernetType(v, at, 0x86dd);
    },
    read: [
      [w.ethernetDstHigh, 0x0102],
      [w.ethernetDstLow, B],
      [w.ethernetSrcHigh, 0xfffe],
      [w.ethernetSrcLow, A],
      [w.ethernetType, 0x86dd],
      [w.isEthernetMulticast, true],
    ],
  },
  {
    name: 'VLAN',
    length: 4,
    check: w.checkVlan,
    write: (v, at) => {
      w.setVlanTci(v, at, 1, 1, 1);
      w.setVlanId(v, at, 4094);
      w.setVlanPriority(v, at, 5);
      w.setVlanDei(v, at, 0);
      w.setVlanType(v, at, 0x0800);
    },
    read: [
      [w.vlanId, 4094],
      [w.vlanPriority, 5],
      [w.vlanDei, 0],
      [w.vlanType, 0x0800],
    ],
  },
  {
    name: 'MPLS',
    length: 4,
    check: w.checkMpls,
    write: (v, at) => w.setMplsEntry(v, at, 0xfffff, 5, true, 63),
    read: [
      [w.mplsLabel, 0xfffff],
      [w.mplsTrafficClass, 5],
      [w.isMplsBottom, true],
      [w.mplsTtl, 63],
    ],
  },
  {
    name: 'PPPoE',
    length: 8,
    check: w.checkPppoe,
    write: (v, at) => {
      w.setPppoe(v, at, 1, 2, w.PppProtocol.Ipv6);
      w.setPppoeSession(v, at, 0xabcd);
      w.setPppoeLength(v, at, 1492);
    },
    read: [
      [w.pppoeSession, 0xabcd],
      [w.pppoeLength, 1492],
      [(v, at) => w.pppProtocol(v, w.pppoeProtocolAt(at)), 0x57],
      [(v, at) => w.pppProtocolLen(v, w.pppoeProtocolAt(at)), 2],
    ],
  },
  {
    name: 'SNAP',
    length: 8,
    check: (v, at, end) => w.checkLlc(v, at, end) || (w.isSnap(v, at) ? Wire.Ok : Wire.Unsupported),
    write: (v, at) => w.setSnap(v, at, 0x0806),
    read: [
      [w.isSnap, true],
      [w.snapType, 0x0806],
    ],
  },
  {
    name: 'ARP',
    length: 28,
    check: (v, at, end) => w.checkArp(v, at, end) || (w.isArpIpv4(v, at) ? Wire.Ok : Wire.Unsupported),
    write: (v, at) => {
      w.setArpIpv4(v, at, w.ArpOperation.Reply);
      w.setArpSenderMac(v, at, 0x0200, 1);
      w.setArpSenderIp(v, at, A);
      w.setArpTargetMac(v, at, 0x0200, 2);
      w.setArpTargetIp(v, at, B);
    },
    read: [
      [w.arpOperation, 2],
      [w.isArpIpv4, true],
      [w.arpSenderIp, A],
      [w.arpTargetIp, B],
      [(v, at) => v.getUint16(w.arpSenderMacAt(at)), 0x0200],
      [(v, at) => v.getUint32(w.arpTargetMacAt(at) + 2), 2],
    ],
  },
  {
    name: 'IPv4',
    length: 20,
    check: w.checkIpv4,
    write: (v, at) => {
      w.setIpv4HeaderLen(v, at, 20);
      w.setIpv4Tos(v, at, 0xb8);
      w.setIpv4TotalLen(v, at, 0xfff0);
      w.setIpv4Id(v, at, 0xbeef);
      w.setIpv4Fragment(v, at, w.IPV4_MORE_FRAGMENTS, 65528);
      w.setIpv4Ttl(v, at, 255);
      w.setIpv4Protocol(v, at, 17);
      w.setIpv4Checksum(v, at, 0x1234);
      w.setIpv4Src(v, at, A);
      w.setIpv4Dst(v, at, B);
    },
    read: [
      [w.ipv4HeaderLen, 20],
      [w.ipv4Tos, 0xb8],
      [w.ipv4TotalLen, 0xfff0],
      [w.ipv4Id, 0xbeef],
      [w.ipv4DontFragment, false],
      [w.ipv4MoreFragments, true],
      [w.ipv4FragmentOffset, 65528],
      [w.ipv4FragmentBits, 0x3fff],
      [w.ipv4Ttl, 255],
      [w.ipv4Protocol, 17],
      [w.ipv4Checksum, 0x1234],
      [w.ipv4Src, A],
      [w.ipv4Dst, B],
      [w.isIpv4ChecksumTrue, false],
      [(v, at) => w.ipv4FinalDstAt(v, at) - at, 16],
    ],
  },
  {
    name: 'IPv6',
    length: 40,
    check: w.checkIpv6,
    write: (v, at) => {
      w.setIpv6VersionClassFlow(v, at, 0, 0);
      w.setIpv6TrafficClass(v, at, 0xff);
      w.setIpv6FlowLabel(v, at, 0xabcde);
      w.setIpv6PayloadLen(v, at, 0xfff1);
      w.setIpv6NextHeader(v, at, 58);
      w.setIpv6HopLimit(v, at, 1);
      for (let i = 0; i < 4; i++) {
        w.setIpv6SrcWord(v, at, i, A + i);
        w.setIpv6DstWord(v, at, i, B - i);
      }
    },
    read: [
      [w.ipv6TrafficClass, 0xff],
      [w.ipv6FlowLabel, 0xabcde],
      [w.ipv6PayloadLen, 0xfff1],
      [w.ipv6NextHeader, 58],
      [w.ipv6HopLimit, 1],
      [(v, at) => w.ipv6SrcWord(v, at, 3), A + 3],
      [(v, at) => w.ipv6DstWord(v, at, 3), B - 3],
      [w.isIpv6DstMulticast, true],
    ],
  },
  {
    name: 'IPv6 Fragment',
    length: 8,
    check: (v, at, end) => w.checkIpv6Extension(v, at, end, w.IpProtocol.Fragment),
    write: (v, at) => w.setIpv6Fragment(v, at, 6, 65528, true, B),
    read: [
      [w.ipv6ExtensionNext, 6],
      [w.ipv6FragmentOffset, 65528],
      [w.ipv6MoreFragments, true],
      [w.ipv6FragmentId, B],
    ],
  },
  {
    name: 'TCP',
    length: 20,
    check: w.checkTcp,
    write: (v, at) => {
      w.setTcpSrcPort(v, at, 65535);
      w.setTcpDstPort(v, at, 80);
      w.setTcpSeq(v, at, B);
      w.setTcpAck(v, at, A);
      w.setTcpHeaderLen(v, at, 20);
      w.setTcpFlags(v, at, w.TcpFlag.Syn | w.TcpFlag.Cwr | w.TcpFlag.Fin);
      w.setTcpWindow(v, at, 64240);
      w.setTcpChecksum(v, at, 0xffff);
      w.setTcpUrgent(v, at, 7);
    },
    read: [
      [w.tcpSrcPort, 65535],
      [w.tcpDstPort, 80],
      [w.tcpSeq, B],
      [w.tcpAck, A],
      [w.tcpHeaderLen, 20],
      [w.tcpFlags, 0x83],
      [w.tcpWindow, 64240],
      [w.tcpChecksum, 0xffff],
      [w.tcpUrgent, 7],
      [(v, at) => w.tcpSegmentLen(v, at, at + 30), 12],
      [w.checkTcpOptions, Wire.Ok],
      [w.firstTcpOption, -1],
    ],
  },
  {
    name: 'UDP',
    length: 8,
    check: w.checkUdp,
    write: (v, at) => {
      w.setUdpSrcPort(v, at, 53);
      w.setUdpDstPort(v, at, 65534);
      w.setUdpLength(v, at, 8);
      w.setUdpChecksum(v, at, 0xfffe);
    },
    read: [
      [w.udpSrcPort, 53],
      [w.udpDstPort, 65534],
      [w.udpLength, 8],
      [w.udpChecksum, 0xfffe],
    ],
  },
  {
    name: 'ICMP',
    length: 8,
    write: (v, at) => {
      w.setIcmpType(v, at, 8);
      w.setIcmpCode(v, at, 1);
      w.setIcmpChecksum(v, at, 0xf00d);
      w.setIcmpId(v, at, 0xbeef);
      w.setIcmpSequence(v, at, 9);
    },
    read: [
      [w.icmpType, 8],
      [w.icmpCode, 1],
      [w.icmpChecksum, 0xf00d],
      [w.icmpId, 0xbeef],
      [w.icmpSequence, 9],
    ],
  },
  {
    name: 'ICMPv6',
    length: 8,
    write: (v, at) => {
      w.setIcmpv6Type(v, at, 128);
      w.setIcmpv6Code(v, at, 1);
      w.setIcmpv6Checksum(v, at, 0xf00d);
      w.setIcmpv6Id(v, at, 0xbeef);
      w.setIcmpv6Sequence(v, at, 9);
    },
    read: [
      [w.icmpv6Type, 128],
      [w.icmpv6Code, 1],
      [w.icmpv6Checksum, 0xf00d],
      [w.icmpv6Id, 0xbeef],
      [w.icmpv6Sequence, 9],
    ],
  },
  {
    name: 'SCTP',
    length: 12,
    check: w.checkSctp,
    write: (v, at) => {
      w.setSctpSrcPort(v, at, 1);
      w.setSctpDstPort(v, at, 65535);
      w.setSctpTag(v, at, B);
      w.setSctpChecksum(v, at, A);
    },
    read: [
      [w.sctpSrcPort, 1],
      [w.sctpDstPort, 65535],
      [w.sctpTag, B],
      [w.sctpChecksum, A],
    ],
  },
  {
    name: 'GRE',
    length: 4,
    check: w.checkGre,
    write: (v, at) => w.setGre(v, at, w.GreFlag.Checksum | w.GreFlag.Key | w.GreFlag.Sequence, 0x6558),
    read: [
      [w.greFlags, 0xb000],
      [w.greVersion, 0],
      [w.greProtocol, 0x6558],
      [w.greHeaderLen, 16],
      [(v, at) => w.greChecksumAt(v, at) - at, 4],
      [(v, at) => w.greKeyAt(v, at) - at, 8],
      [(v, at) => w.greSequenceAt(v, at) - at, 12],
    ],
  },
  {
    name: 'VXLAN',
    length: 8,
    check: w.checkVxlan,
    write: (v, at) => w.setVxlan(v, at, 0xabcdef),
    read: [[w.vxlanVni, 0xabcdef]],
  },
  {
    name: 'SLL',
    length: 16,
    write: (v, at) => w.setSll(v, at, 4, 772, 0x0800),
    read: [
      [w.sllPacketType, 4],
      [w.sllHasEtherType, true],
      [w.sllAddressLen, 0],
      [(v, at) => v.getUint16(w.sllProtocolAt(at)), 0x0800],
    ],
  },
  {
    name: 'SLL2',
    length: 20,
    write: (v, at) => w.setSll2(v, at, 4, 1, 77, 0x86dd),
    read: [
      [w.sll2PacketType, 4],
      [w.sll2Interface, 77],
      [w.sll2HasEtherType, true],
      [w.sll2AddressLen, 0],
      [(v, at) => v.getUint16(w.sll2ProtocolAt(at)), 0x86dd],
    ],
  },
  {
    name: 'HDLC',
    length: 4,
    write: (v, at) => w.setHdlc(v, at, 0x8f, 0, 0x0800),
    read: [
      [(v, at) => v.getUint16(at), 0x8f00],
      [(v, at) => v.getUint16(w.hdlcProtocolAt(at)), 0x0800],
    ],
  },
  {
    name: 'NULL',
    length: 4,
    write: (v, at) => w.setNullEtherType(v, at, 0x86dd),
    read: [[w.nullEtherType, 0x86dd]],
  },
  {
    name: 'Juniper',
    length: 4,
    check: w.checkJuniper,
    write: (v, at) => w.setJuniper(v, at, true),
    read: [
      [w.juniperHasEthernet, true],
      [w.juniperHeaderLen, 4],
    ],
  },
];

t.test('setters write every byte, and nothing else; getters read it back', async (t) => {
  for (const header of HEADERS) {
    const written = [0xa5, 0x5a].map((fill) => {
      const bytes = new Uint8Array(header.length + 64).fill(fill);
      const view = new DataView(bytes.buffer);
      header.write(view, 33);
      for (const [i, [read, value]] of header.read.entries()) {
        assert.equal(read(view, 33), value, `${header.name}: reader ${i}`);
      }
      const outside = [...bytes.slice(0, 33), ...bytes.slice(33 + header.length)];
      assert.ok(
        outside.every((byte) => byte === fill),
        `${header.name}: nothing outside is written`,
      );
      return [...bytes.slice(33, 33 + header.length)];
    });
    assert.deepEqual(written[0], written[1], `${header.name}: every byte is written`);
  }
  t.pass(`${HEADERS.length} headers`);
});

t.test('after a check said Ok, no getter reads past the end', async (t) => {
  const rng = new Rng(7);
  const passed = new Set<string>();
  for (const header of HEADERS) {
    for (let length = 0; length <= header.length + 48; length++) {
      for (let round = 0; round < 60; round++) {
        const bytes = Uint8Array.from({ length: header.length + 48 }, () => rng.below(256));
        // Half of the rounds begin with a true header, a few bytes of it changed.
        if (round % 2 === 0) {
          header.write(new DataView(bytes.buffer), 0);
          for (let n = rng.below(3); n > 0; n--) bytes[rng.below(header.length)] = rng.below(256);
        }
        const view = exactView(bytes, length);
        const status = header.check?.(view, 0, length) ?? (length < header.length ? Wire.Truncated : Wire.Ok);
        if (status !== Wire.Ok) continue;
        passed.add(header.name);
        for (const [read] of header.read) read(view, 0);
      }
    }
  }
  t.equal(passed.size, HEADERS.length, 'every check was passed by some');
});

t.test('addresses of 802.11 frames', async (t) => {
  const frame = Uint8Array.from({ length: 40 }, (_, i) => i);
  for (const [flags, dst, src] of [
    [0, 4, 10],
    [1, 16, 10],
    [2, 4, 16],
    [3, 16, 24],
  ] as const) {
    frame[0] = 0x08;
    frame[1] = flags;
    const view = exactView(frame);
    t.equal(w.checkIeee80211(view, 0, 40), Wire.Ok);
    t.same([w.ieee80211DstAt(view, 0), w.ieee80211SrcAt(view, 0)], [dst, src], `DS bits ${flags}`);
  }
});

t.test('final destinations of source-routed packets', async (t) => {
  const routing = (type: number): DataView => exactView([6, 4, type, 1, 0, 0, 0, 0, ...new Array<number>(32).fill(1)]);
  t.equal(w.ipv6FinalDstAt(routing(w.Ipv6RoutingType.Source), 0), 24, 'the last address');
  t.equal(w.ipv6FinalDstAt(routing(w.Ipv6RoutingType.Segment), 0), 8, 'the first segment is the last');
  t.equal(w.ipv6FinalDstAt(routing(9), 0), -1);
  const header = new Array<number>(32).fill(0);
  header[0] = 0x48;
  const lsrr = (pointer: number): DataView =>
    exactView([...header.slice(0, 20), 1, 131, 11, pointer, ...header.slice(0, 8)]);
  t.equal(w.ipv4FinalDstAt(lsrr(4), 0), 28);
  t.equal(w.ipv4FinalDstAt(lsrr(8), 0), 28);
  t.equal(w.ipv4FinalDstAt(lsrr(12), 0), 16, 'used up');
});

t.test('jumbo payload option', async (t) => {
  t.equal(w.ipv6JumboLen(exactView([6, 0, 0xc2, 4, 0, 1, 0, 0]), 0), 65536);
  t.equal(w.ipv6JumboLen(exactView([6, 1, 0, 1, 2, 0, 0, 0, 0, 0, 0xc2, 4, 0, 2, 0, 0]), 0), 131072, 'behind padding');
  t.equal(w.ipv6JumboLen(exactView([6, 0, 0xc2, 3, 0, 1, 0, 0]), 0), -1);
  t.equal(w.ipv6JumboLen(exactView([6, 0, 1, 200, 0, 1, 0, 0]), 0), -1);
});
