/** Whether a capture can be replayed as it is: what stands in the way, and the option that clears it. */
import { formatNs, groupDigits } from '../base/units.ts';
import { isRawIp, Linktype, linktypeName } from '../wire/linktype.ts';
import type { CaptureFacts, Counted } from './info_facts.ts';
import { listed } from './values.ts';

export interface Obstacle {
  /** One of a fixed set of words, for programs. */
  readonly kind: string;
  /** False: the replay goes on, but sends something else than was on the wire, or at another time. */
  readonly blocks: boolean;
  readonly packets: number;
  readonly firstPacket: number;
  readonly what: string;
  /** What to type. */
  readonly remedy: string;
}

/** Waits longer than this are worth a word. */
const LONG_GAP_NS = 60e9;

/** In the order in which an operator would clear them; empty: ready. `mtu`: as `--mtu`. */
export function obstacles(facts: CaptureFacts, mtu: number): Obstacle[] {
  const found: Obstacle[] = [];
  const whole = { packets: facts.packets, firstPacket: 1 };
  const add = (kind: string, blocks: boolean, count: Counted, what: string, remedy: string): void => {
    if (count.packets > 0)
      found.push({ kind, blocks, packets: count.packets, firstPacket: count.firstPacket, what, remedy });
  };
  if (facts.fault !== null) {
    const remedy = 'tsreplay sends what lies in front of the fault and exits with 1; capture or copy the file again';
    found.push({ kind: 'damaged', blocks: true, packets: 0, firstPacket: 0, what: 'the capture is damaged', remedy });
  }
  if (facts.packets === 0) {
    const remedy = 'check the filter of the capture';
    found.push({ kind: 'noPackets', blocks: true, packets: 0, firstPacket: 0, what: 'there are no packets', remedy });
    return found;
  }
  framing(facts, add, whole);
  lengths(facts, mtu, add);
  checksums(facts, add);
  times(facts, add, whole);
  return found;
}

type Add = (kind: string, blocks: boolean, count: Counted, what: string, remedy: string) => void;

const CONVERTIBLE: ReadonlySet<number> = new Set<number>([
  Linktype.NULL,
  Linktype.LOOP,
  Linktype.LINUX_SLL,
  Linktype.LINUX_SLL2,
  Linktype.C_HDLC,
  Linktype.PPP,
  Linktype.PPP_SERIAL,
  Linktype.PPP_ETHER,
  Linktype.IEEE802_11,
  Linktype.IEEE802_11_RADIOTAP,
  Linktype.JUNIPER_ETHER,
]);

function framing(facts: CaptureFacts, add: Add, whole: Counted): void {
  if (facts.linktypes.length > 1) {
    const names = listed(
      facts.linktypes.map((each) => each.name),
      'and',
    );
    const remedy = 'all are sent in the framing of the interface; pick one of them with --filter, or editcap';
    add('linktypes', false, whole, `several link types: ${names}`, remedy);
  }
  for (const { linktype, packets } of facts.linktypes) {
    if (linktype === Linktype.EN10MB) continue;
    const count = { packets, firstPacket: 0 };
    const what = `link type ${linktypeName(linktype)}, not Ethernet`;
    if (isRawIp(linktype) || CONVERTIBLE.has(linktype)) {
      add(
        'addresses',
        true,
        count,
        what,
        'give MAC addresses: --enet-dmac and --enet-smac (or send into a tun device)',
      );
    } else add('framing', true, count, what, 'convert the capture to Ethernet first: tsreplay cannot send them');
  }
}

function lengths(facts: CaptureFacts, mtu: number, add: Add): void {
  const { findings, sizes } = facts;
  const longest = `longest: ${groupDigits(sizes.networkMax)} bytes`;
  add('oversize', true, findings.oversize, `longer than the MTU of ${mtu} (${longest})`, '--oversize segment');
  add('ipLengthZero', false, findings.ipLengthZero, 'IP length 0 (segmentation offload)', '--fixhdrlen');
  const cut = 'cut by the capture (snaplen)';
  add(
    'cut',
    false,
    findings.cut,
    cut,
    '--pktlen or --fixlen pad to fill them, --fixlen trunc to shorten their IP length',
  );
  add('overlong', false, findings.overlong, 'longer in the file than on the wire', '--fixhdrlen');
  add('empty', true, findings.empty, 'a record without a byte', '--exclude with their numbers');
}

function checksums(facts: CaptureFacts, add: Add): void {
  const { findings } = facts;
  add('ipChecksum', false, findings.ipChecksumBad, 'a wrong IP header checksum', '--fixcsum');
  const partial = 'a partial checksum (captured in front of checksum offload)';
  add('partialChecksum', false, findings.transportChecksumPartial, partial, '--fixcsum');
  add('checksum', false, findings.transportChecksumBad, 'a wrong TCP, UDP or ICMP checksum', '--fixcsum');
}

function times(facts: CaptureFacts, add: Add, whole: Counted): void {
  const { time } = facts;
  if (time === null) return;
  const back = `stamped earlier than the packet in front (by up to ${formatNs(time.backward.largestNs)})`;
  add('backward', false, time.backward, back, 'reordercap sorts them; --pps, --mbps or --topspeed need no stamps');
  if (time.seconds === 0 && facts.packets > 1) {
    add('noTime', false, whole, 'the same stamp on every packet', '--pps or --mbps');
  }
  if (time.gapNs.max >= LONG_GAP_NS) {
    const gap = { packets: 1, firstPacket: time.gapNs.maxAtPacket };
    add('longGap', false, gap, `a gap of ${formatNs(time.gapNs.max)}`, '--maxsleep MS cuts long waits');
  }
}
