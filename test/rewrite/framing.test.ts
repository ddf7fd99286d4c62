/** Link headers off and on: every framing in, every framing out, and the refusals. */
import { deepEqual, equal } from 'node:assert/strict';
import t from 'tap';
import {
  CAUSE_NAMES,
  compileRewriter,
  Direction,
  Edit,
  EMPTY_REWRITE,
  ENCAPSULATIONS,
  type Encapsulation,
  encapsulationOf,
  FRAMING_DEFAULTS,
  Framer,
  type FramingSpec,
} from '../../src/rewrite/index.ts';
import { Linktype } from '../../src/wire/linktype.ts';
import { batchOf, build, frameBytes, hex, sumErrors } from './support.ts';

const MAC_A = [2, 0, 0, 0, 0, 0xaa];
const MAC_B = [2, 0, 0, 0, 0, 0xbb];
const BOTH = {
  destinationMac: { clientToServer: MAC_A, serverToClient: MAC_A },
  sourceMac: { clientToServer: MAC_B, serverToClient: MAC_B },
};

/** A packet in every framing that can be read: link type, header bytes for IPv4 and for IPv6. */
const FRAMINGS: readonly (readonly [string, number, string, string])[] = [
  ['Ethernet', Linktype.EN10MB, '020000000002 020000000001 0800', '020000000002 020000000001 86dd'],
  [
    '802.3 SNAP',
    Linktype.EN10MB,
    '020000000002 020000000001 LLLL aaaa03000000 0800',
    '020000000002 020000000001 LLLL aaaa03000000 86dd',
  ],
  ['RAW', Linktype.RAW, '', ''],
  ['RAW_BSD', Linktype.RAW_BSD, '', ''],
  ['NULL, little-endian', Linktype.NULL, '02000000', '1e000000'],
  ['NULL, big-endian', Linktype.NULL, '00000002', '0000001c'],
  ['LOOP', Linktype.LOOP, '00000002', '00000018'],
  ['SLL', Linktype.LINUX_SLL, '0000 0001 0006 020000000001 0000 0800', '0000 0001 0006 020000000001 0000 86dd'],
  [
    'SLL2',
    Linktype.LINUX_SLL2,
    '0800 0000 00000003 0001 00 06 020000000001 0000',
    '86dd 0000 00000003 0001 00 06 020000000001 0000',
  ],
  ['HDLC', Linktype.C_HDLC, '0f00 0800', '0f00 86dd'],
  ['PPP', Linktype.PPP_SERIAL, 'ff03 0021', 'ff03 0057'],
  [
    '802.11',
    Linktype.IEEE802_11,
    '0801 0000 020000000009 020000000001 020000000002 0000 aaaa03000000 0800',
    '0801 0000 020000000009 020000000001 020000000002 0000 aaaa03000000 86dd',
  ],
  [
    'radiotap',
    Linktype.IEEE802_11_RADIOTAP,
    '0000 0800 00000000 0801 0000 020000000009 020000000001 020000000002 0000 aaaa03000000 0800',
    '0000 0800 00000000 0801 0000 020000000009 020000000001 020000000002 0000 aaaa03000000 86dd',
  ],
];

function packet(version: 4 | 6): Uint8Array {
  return build({ version, payload: Uint8Array.of(1, 2, 3, 4, 5) }).data.slice(14);
}

function framed(header: string, body: Uint8Array): Uint8Array {
  const length = (body.length + 8).toString(16).padStart(4, '0');
  return Uint8Array.from([...hex(header.replace('LLLL', length)), ...body]);
}

function convert(data: Uint8Array, linktype: number, spec: Partial<FramingSpec>, headroom = 16) {
  const batch = batchOf([{ data }], linktype);
  batch.headroomBytes = headroom;
  const framer = new Framer({ ...FRAMING_DEFAULTS, ...spec });
  const status = framer.toLinktype(batch, 0);
  return {
    status,
    cause: CAUSE_NAMES[framer.cause]!,
    data: frameBytes(batch, 0),
    linktype: batch.linktype[0]!,
    len: batch.len[0]!,
  };
}

const OUT: Readonly<Record<Encapsulation, readonly [number, string, string]>> = {
  enet: [Linktype.EN10MB, '0200000000aa 0200000000bb 0800', '0200000000aa 0200000000bb 86dd'],
  raw: [Linktype.RAW, '', ''],
  null: [Linktype.NULL, '00000002', '0000001e'],
  loop: [Linktype.LOOP, '00000002', '0000001e'],
  linuxsll: [Linktype.LINUX_SLL, '0000 0001 0006 0200000000bb 0000 0800', '0000 0001 0006 0200000000bb 0000 86dd'],
  linuxsll2: [
    Linktype.LINUX_SLL2,
    '0800 0000 00000000 0001 00 06 0200000000bb 0000',
    '86dd 0000 00000000 0001 00 06 0200000000bb 0000',
  ],
  hdlc: [Linktype.C_HDLC, '0f00 0800', '0f00 86dd'],
  pppserial: [Linktype.PPP_SERIAL, 'ff03 0021', 'ff03 0057'],
  user: [147, '01020304', '01020304'],
};

t.test('every framing in, every framing out', (t) => {
  for (const [name, linktype, header4, header6] of FRAMINGS) {
    for (const encapsulation of ENCAPSULATIONS) {
      for (const version of [4, 6] as const) {
        for (const headroom of [16, 0]) {
          const body = packet(version);
          const data = framed(version === 4 ? header4 : header6, body);
          const [linktypeOut, out4, out6] = OUT[encapsulation];
          const spec = {
            ...BOTH,
            encapsulation,
            userHeaders: [[1, 2, 3, 4]],
            ...(encapsulation === 'user' ? { linktype: 147 } : {}),
          };
          const got = convert(data, linktype, spec, headroom);
          const what = `${name} to ${encapsulation}, IPv${version}, ${headroom} bytes of headroom`;
          equal(got.linktype, linktypeOut, what);
          if (linktype === linktypeOut && encapsulation !== 'hdlc') {
            equal(got.status, Edit.Unchanged, what);
            deepEqual(got.data, data, what);
            continue;
          }
          equal(got.status, Edit.Edited, `${what}: ${got.cause}`);
          deepEqual(got.data, framed(version === 4 ? out4 : out6, body), what);
          equal(got.len, got.data.length, what);
        }
      }
    }
  }
  t.pass(`${FRAMINGS.length} x ${ENCAPSULATIONS.length} x 2 x 2`);
  t.end();
});

t.test('addresses: given, from the frame, from the packet, resolved, or missing', (t) => {
  const raw = packet(4);
  t.equal(convert(raw, Linktype.RAW, {}).cause, 'no-destination-mac');
  t.same(convert(raw, Linktype.RAW, {}).data, raw, 'and nothing was changed');
  t.equal(convert(raw, Linktype.RAW, { destinationMac: BOTH.destinationMac }).cause, 'no-source-mac');
  const resolveMac: FramingSpec['resolveMac'] = (view, ip, version, out) => {
    out.set([2, 9, 9, version, view.getUint8(ip + 19), 0]);
    return true;
  };
  const resolved = convert(raw, Linktype.RAW, { sourceMac: BOTH.sourceMac, resolveMac });
  t.same([...resolved.data.slice(0, 12)], [2, 9, 9, 4, 2, 0, ...MAC_B]);
  t.equal(
    convert(raw, Linktype.RAW, { sourceMac: BOTH.sourceMac, resolveMac: () => false }).cause,
    'no-destination-mac',
  );
  const sll = framed(FRAMINGS[7]![2], raw);
  const fromSll = convert(sll, Linktype.LINUX_SLL, { destinationMac: BOTH.destinationMac });
  t.same([...fromSll.data.slice(0, 12)], [...MAC_A, 2, 0, 0, 0, 0, 1], 'cooked frames know their sender');
  const wifi = convert(framed(FRAMINGS[11]![2], raw), Linktype.IEEE802_11, {});
  t.same([...wifi.data.slice(0, 12)], [2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1], '802.11 to the access point knows both');
  const group = build({ dst: [239, 255, 1, 2] }).data.slice(14);
  t.same([...convert(group, Linktype.RAW, BOTH).data.slice(0, 6)], [1, 0, 0x5e, 0x7f, 1, 2]);
  const all = build({ dst: [255, 255, 255, 255] }).data.slice(14);
  t.same([...convert(all, Linktype.RAW, BOTH).data.slice(0, 6)], [255, 255, 255, 255, 255, 255]);
  t.end();
});

t.test('what a framing cannot carry', (t) => {
  const arp = hex('ffffffffffff 020000000001 0806 0001 0800 06 04 0001 020000000001 0a000001 000000000000 0a000002');
  for (const encapsulation of ['raw', 'null', 'loop'] as const) {
    t.equal(convert(arp, Linktype.EN10MB, { encapsulation }).cause, 'not-ip');
  }
  t.equal(convert(arp, Linktype.EN10MB, { encapsulation: 'pppserial' }).cause, 'protocol-unknown');
  const sll = convert(arp, Linktype.EN10MB, { encapsulation: 'linuxsll' });
  const back = convert(sll.data, Linktype.LINUX_SLL, { encapsulation: 'enet' });
  t.same(back.data, arp, 'ARP from a cooked frame: broadcast, from the sender');
  t.same([convert(arp, 9999, {}).status, convert(arp, 9999, {}).cause], [Edit.SoftError, 'linktype-unknown']);
  const v6 = packet(6);
  t.equal(convert(v6, Linktype.RAW, { encapsulation: 'raw', linktype: Linktype.IPV4 }).cause, 'protocol-unknown');
  t.equal(convert(v6, Linktype.RAW, { encapsulation: 'raw', linktype: Linktype.IPV6 }).linktype, Linktype.IPV6);
  t.throws(() => encapsulationOf(Linktype.IEEE802_11), { code: 'FRAMING' });
  t.equal(encapsulationOf(Linktype.IPV4), 'raw');
  t.equal(encapsulationOf(Linktype.EN10MB), 'enet');
  t.end();
});

t.test('tags and labels', (t) => {
  const tagged = build({
    tags: [
      [0x88a8, 5],
      [0x8100, 7],
    ],
  });
  const sll = convert(tagged.data, Linktype.EN10MB, { encapsulation: 'linuxsll' });
  t.equal(sll.data.length, tagged.data.length + 2);
  const back = convert(sll.data, Linktype.LINUX_SLL, { ...BOTH, encapsulation: 'enet' });
  t.same(back.data.slice(12), tagged.data.slice(12), 'tags survive a cooked header');
  t.same(convert(tagged.data, Linktype.EN10MB, { encapsulation: 'raw' }).data, tagged.data.slice(tagged.ip));
  const mpls = build({ labels: 2 });
  t.same(convert(mpls.data, Linktype.EN10MB, { encapsulation: 'raw' }).data, mpls.data.slice(mpls.ip));
  const hdlc = convert(mpls.data, Linktype.EN10MB, { encapsulation: 'hdlc' }).data;
  t.same([...hdlc.slice(0, 4)], [0x0f, 0, 0x88, 0x47]);
  t.same(hdlc.slice(4), mpls.data.slice(14), 'the labels stay with their EtherType');
  t.end();
});

t.test('layer 3 edits need no --dlt', (t) => {
  for (const [name, linktype, header4, header6] of FRAMINGS) {
    for (const version of [4, 6] as const) {
      const header = version === 4 ? header4 : header6;
      const data = framed(header, packet(version));
      const batch = batchOf([{ data }], linktype);
      const rewriter = compileRewriter({ ...EMPTY_REWRITE, seed: 5, ttl: { mode: 'set', value: 3 } });
      equal(rewriter.edit(batch, 0, Direction.ClientToServer), Edit.Edited, name);
      const ip = data.length - packet(version).length;
      const after = frameBytes(batch, 0);
      deepEqual(after.slice(0, ip), data.slice(0, ip), name);
      deepEqual(sumErrors(after, ip), { ip: 0, transport: 0 }, name);
      equal(after[ip + (version === 4 ? 8 : 7)], 3, name);
    }
  }
  t.pass('edited in every framing');
  t.end();
});

t.test('--dlt with edits: RAW to tagged Ethernet grows beyond its headroom', (t) => {
  const batch = batchOf([{ data: packet(4) }, { data: packet(6) }], Linktype.RAW);
  const rewriter = compileRewriter({
    ...EMPTY_REWRITE,
    ...BOTH,
    encapsulation: 'enet',
    vlan: { kind: 'add', tag: 9, priority: null, cfi: null, tpid: 0x8100 },
    ttl: { mode: 'set', value: 8 },
  });
  t.equal(rewriter.growBytesMax, 18);
  for (const i of [0, 1]) t.equal(rewriter.edit(batch, i, Direction.ClientToServer), Edit.Edited);
  t.same([...frameBytes(batch, 0).slice(0, 18)], [...MAC_A, ...MAC_B, 0x81, 0, 0, 9, 8, 0]);
  t.same([...frameBytes(batch, 1).slice(12, 18)], [0x81, 0, 0, 9, 0x86, 0xdd]);
  t.same(sumErrors(frameBytes(batch, 0), 18), { ip: 0, transport: 0 });
  t.ok(batch.at[0]! >= batch.region.scratchStart, 'in the scratch');
  t.end();
});
