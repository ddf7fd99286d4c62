import assert from 'node:assert/strict';
import t from 'tap';
import { Rng } from '../../src/base/rng.ts';
import { FLOW_SLOT_BYTES, FlowEvent, FlowKey, FlowTable, flowHash, shardOf } from '../../src/flow/index.ts';
import * as w from '../../src/wire/index.ts';
import { type Bytes, ethernet, exactView, hex, icmp, ipv4, ipv6, tcp, udp } from '../wire/frames.ts';

const { Linktype } = w;
const layers = new w.Layers();

function open(frame: Bytes): DataView {
  const view = exactView(frame);
  w.decode(view, 0, frame.length, Linktype.EN10MB, layers);
  return view;
}

/** Exchanges addresses and, where there are some, ports. */
function reverse(view: DataView): void {
  const length = layers.ipVersion === 4 ? 4 : 16;
  const src = layers.ip + (length === 4 ? 12 : 8);
  for (let i = 0; i < length; i++) {
    const byte = view.getUint8(src + i);
    view.setUint8(src + i, view.getUint8(src + length + i));
    view.setUint8(src + length + i, byte);
  }
  if (layers.l4 < 0 || ![6, 17, 132].includes(layers.l4Protocol)) return;
  const port = view.getUint16(layers.l4);
  view.setUint16(layers.l4, view.getUint16(layers.l4 + 2));
  view.setUint16(layers.l4 + 2, port);
}

const TCP4 = ethernet(0x0800, ipv4(6, tcp(4)));
const TCP6 = ethernet(0x86dd, ipv6(6, tcp(6)));
const FIRST = ethernet(0x0800, ipv4(17, udp(4, hex('00'), 53, 1000), { flagsOffset: 0x2000 }));
const LATER = ethernet(0x0800, ipv4(17, hex('0011223344556677'), { flagsOffset: 0x2001 }));
const LAST = ethernet(0x0800, ipv4(17, hex('00'), { flagsOffset: 0x0002 }));

t.test('both directions hash alike', async (t) => {
  const frames = [
    TCP4,
    TCP6,
    FIRST,
    LATER,
    ethernet(0x0800, ipv4(1, icmp(8, hex('00010002')))),
    ethernet(0x0800, ipv4(2, [])),
  ];
  for (const frame of frames) {
    for (const key of Object.values(FlowKey)) {
      const view = open(frame);
      const there = flowHash(view, layers, key);
      reverse(view);
      assert.equal(flowHash(view, layers, key), there);
      assert.ok(there >= 0 && there < 2 ** 32 && Number.isInteger(there));
    }
  }
  const view = open(ethernet(0x0806, hex('00')));
  t.equal(flowHash(view, layers), 0, 'no IP');
});

t.test('what stays together', async (t) => {
  const hashes = [FIRST, LATER, LAST].map((frame) => flowHash(open(frame), layers));
  t.equal(new Set(hashes).size, 1, 'all fragments of a datagram, by five-tuple');
  const whole = ethernet(0x0800, ipv4(17, udp(4, hex('00'))));
  t.not(flowHash(open(whole), layers), hashes[0], 'not with the unfragmented packets of its session');
  const all = [FIRST, LATER, LAST, whole, TCP4].map((frame) => flowHash(open(frame), layers, FlowKey.Addresses));
  t.equal(new Set(all).size, 1, 'everything between two hosts, by addresses');
});

t.test('hashes spread evenly, and a flow keeps its share', async (t) => {
  for (const [version, frame] of [
    [4, TCP4],
    [6, TCP6],
  ] as const) {
    const view = open(frame);
    for (const shards of [2, 3, 16]) {
      const shares = new Array<number>(shards).fill(0);
      const sessions = 8000;
      for (let i = 0; i < sessions; i++) {
        // Few clients of one server, ports counted up: what real captures look like.
        if (version === 4) view.setUint32(layers.ip + 12, 0x0a000001 + (i & 7));
        else view.setUint32(layers.ip + 20, i & 7);
        view.setUint16(layers.l4, 32768 + (i >> 3));
        const share = shardOf(flowHash(view, layers), shards);
        shares[share]!++;
      }
      const even = sessions / shards;
      // Six standard deviations of a fair draw.
      for (const share of shares) assert.ok(Math.abs(share - even) < 6 * Math.sqrt(even), `${version}: ${shares}`);
    }
  }
  t.equal(shardOf(0, 7), 0);
  t.equal(shardOf(0xffffffff, 7), 6);
  t.equal(shardOf(0xffffffff, 65536), 65535);
});

/** A packet of flow `n`, 0..2^20-1, in `view` of a TCP frame. */
function setFlow(view: DataView, n: number): void {
  view.setUint32(layers.ipVersion === 4 ? layers.ip + 12 : layers.ip + 20, n >>> 8);
  view.setUint16(layers.l4, n & 0xff);
}

t.test('counts as a map would, through growth', async (t) => {
  const rng = new Rng(1);
  const seen = new Map<string, number>();
  const table = new FlowTable({ slots: 4, expirySeconds: 30 });
  const views = [
    TCP4,
    TCP6,
    ethernet(0x0800, ipv4(17, udp(4, []))),
    ethernet(0x0800, ipv4(132, hex('0001000200000000 00000000'))),
  ];
  let flows = 0;
  let expired = 0;
  let seconds = 1_700_000_000;
  for (let i = 0; i < 60_000; i++) {
    const which = rng.below(views.length);
    const view = open(views[which]!);
    const n = rng.below(20_000);
    setFlow(view, n);
    if (rng.below(2) === 0) reverse(view);
    const head = Buffer.from(view.buffer, view.byteOffset + layers.ip, layers.l4 + 4 - layers.ip);
    const key = `${which} ${head.toString('hex')}`;
    if (rng.below(100) === 0) seconds += rng.below(60);
    const last = seen.get(key);
    seen.set(key, seconds);
    const event = table.note(view, layers, seconds);
    if (last === undefined) {
      flows++;
      assert.equal(event, FlowEvent.New);
    } else if (seconds - last > 30) {
      flows++;
      expired++;
      assert.equal(event, FlowEvent.Expired);
    } else assert.equal(event, FlowEvent.Known);
  }
  t.equal(table.unique, seen.size);
  t.equal(table.flows, flows);
  t.equal(table.expired, expired);
  t.ok(expired > 100 && seen.size > 30_000, 'enough of each');
  t.equal(table.flowPackets, 60_000);
  t.equal(
    table.byteLength,
    2 ** Math.ceil(Math.log2(seen.size / 0.75)) * FLOW_SLOT_BYTES,
    'grown no further than needed',
  );
  table.clear();
  t.same([table.flows, table.unique, table.expired, table.flowPackets], [0, 0, 0, 0]);
  t.equal(table.note(open(TCP4), layers, 0), FlowEvent.New);
});

t.test('what is a flow packet', async (t) => {
  const table = new FlowTable();
  const note = (frame: Bytes): FlowEvent => table.note(open(frame), layers, 0);
  t.equal(note(TCP4), FlowEvent.New);
  t.equal(note(TCP4), FlowEvent.Known);
  const back = open(TCP4);
  reverse(back);
  t.equal(table.note(back, layers, 0), FlowEvent.New, 'the other direction is another flow');
  t.equal(note(ethernet(0x8100, [...hex('0064 0800'), ...TCP4.slice(14)])), FlowEvent.Known, 'in a VLAN too');
  t.equal(note(ethernet(0x0800, ipv4(1, icmp(8, hex('00010001'))))), FlowEvent.New);
  t.equal(note(ethernet(0x0800, ipv4(1, icmp(8, hex('00020009'))))), FlowEvent.Known, 'ICMP: by type and code');
  t.equal(note(ethernet(0x0800, ipv4(1, icmp(0, hex('00010001'))))), FlowEvent.New);
  t.equal(note(FIRST), FlowEvent.New);
  t.equal(note(LATER), FlowEvent.Fragment);
  t.equal(note(ethernet(0x0800, ipv4(2, hex('1164ee9b')))), FlowEvent.New, 'IGMP, without ports');
  t.equal(
    note(ethernet(0x0806, hex('0001 0800 06 04 0001 020000000002 0a000001 000000000000 0a000002'))),
    FlowEvent.NonFlow,
  );
  t.equal(note(ethernet(0x88cc, hex('0207'))), FlowEvent.NonFlow);
  t.equal(note(TCP4.slice(0, 40)), FlowEvent.Invalid, 'ports cut');
  t.equal(note(TCP4.slice(0, 20)), FlowEvent.Invalid, 'IP cut');
  t.equal(note(ethernet(0x0800, [0x55, ...TCP4.slice(15)])), FlowEvent.Invalid, 'not IPv4');
  t.same([table.flows, table.unique, table.flowPackets, table.nonFlowPackets, table.invalidPackets], [6, 6, 10, 2, 3]);
});

t.test('expiry is more than whole seconds, across the wrap of 32 bits too', async (t) => {
  const table = new FlowTable({ expirySeconds: 10 });
  const at = (seconds: number): FlowEvent => table.note(open(TCP4), layers, seconds);
  t.equal(at(2 ** 32 - 5), FlowEvent.New);
  t.equal(at(2 ** 32 + 5), FlowEvent.Known);
  t.equal(at(2 ** 32 + 16), FlowEvent.Expired);
  t.equal(at(2 ** 32 + 2), FlowEvent.Known, 'time running backwards');
  const never = new FlowTable();
  never.note(open(TCP4), layers, 0);
  t.equal(never.note(open(TCP4), layers, 2_000_000_000), FlowEvent.Known, '0 is never');
});

t.test('a full table stays within its bound and says what it lost', async (t) => {
  const table = new FlowTable({ slots: 4, slotsMax: 1024 });
  const view = open(TCP4);
  for (let n = 0; n < 2000; n++) {
    setFlow(view, n);
    assert.equal(table.note(view, layers, 0), n < 768 ? FlowEvent.New : FlowEvent.Untracked);
  }
  t.equal(table.byteLength, 1024 * FLOW_SLOT_BYTES);
  t.same([table.unique, table.untrackedPackets, table.flowPackets], [768, 2000 - 768, 2000]);
  setFlow(view, 5);
  t.equal(table.note(view, layers, 0), FlowEvent.Known, 'the ones inside are still known');
  t.throws(() => new FlowTable({ slots: 1000 }), /power of two/);
  t.throws(() => new FlowTable({ slotsMax: 2 ** 29 }), /slotsMax/);
});
