/** The survey of a capture: TCP connections segment by segment, rates over time. */
import { deepEqual, equal } from 'node:assert/strict';
import fc from 'fast-check';
import t from 'tap';
import { SurveyTime, TcpConnections } from '../../src/flow/survey_index.ts';
import { decode } from '../../src/wire/decode.ts';
import { Layers } from '../../src/wire/layers.ts';

const FIN = 1;
const SYN = 2;
const RST = 4;
const ACK = 16;

/** From the client (true) or the server, sequence number relative to a base near the wrap of 2^32. */
type Segment = readonly [fromClient: boolean, flags: number, seq: number, payload: number, port?: number];

const BASE = 0xffff_fff0;

function count(segments: readonly Segment[], slotsMax?: number): TcpConnections {
  const tcp = new TcpConnections(slotsMax);
  const layers = new Layers();
  for (const [fromClient, flags, seq, payload, port = 4000] of segments) {
    const frame = new Uint8Array(54 + payload);
    const view = new DataView(frame.buffer);
    frame.set([8, 0, 0x45, 0], 12);
    view.setUint16(16, 40 + payload);
    frame.set([64, 6], 22);
    view.setUint32(26, fromClient ? 0x0a000001 : 0x0a000002);
    view.setUint32(30, fromClient ? 0x0a000002 : 0x0a000001);
    view.setUint16(34, fromClient ? port : 80);
    view.setUint16(36, fromClient ? 80 : port);
    view.setUint32(38, (BASE + seq) >>> 0);
    frame.set([0x50, flags, 1, 0], 46);
    decode(view, 0, frame.length, 1, layers);
    tcp.note(view, layers, 0, frame.length);
  }
  return tcp;
}

const HANDSHAKE: readonly Segment[] = [
  [true, SYN, 0, 0],
  [false, SYN | ACK, 0, 0],
  [true, ACK, 1, 0],
];

t.test('TCP connections', (t) => {
  const cases: [name: string, segments: Segment[], Partial<TcpConnections>][] = [
    ['whole', [...HANDSHAKE], { connections: 1, complete: 1, opened: 0, midstream: 0, retransmissions: 0 }],
    ['half', HANDSHAKE.slice(0, 2), { connections: 1, complete: 0, opened: 1 }],
    ['SYN again', [HANDSHAKE[0]!, ...HANDSHAKE], { connections: 1, complete: 1, retransmissions: 1 }],
    ['the ports again', [...HANDSHAKE, [true, SYN, 5000, 0]], { connections: 2, complete: 1, opened: 1 }],
    [
      'middle',
      [
        [true, ACK, 9, 10],
        [false, ACK, 3, 10],
      ],
      { connections: 1, midstream: 1, holes: 0 },
    ],
    [
      'refused',
      [
        [true, SYN, 0, 0],
        [false, RST | ACK, 0, 0],
        [false, RST, 0, 0],
      ],
      { complete: 0, reset: 1 },
    ],
    [
      'closed',
      [...HANDSHAKE, [true, FIN | ACK, 1, 0], [false, FIN | ACK, 1, 0], [true, ACK, 2, 0]],
      { finished: 1, reset: 0 },
    ],
    [
      'sent again, over the wrap',
      [...HANDSHAKE, [true, ACK, 1, 20], [true, ACK, 21, 20], [true, ACK, 1, 20]],
      { retransmissions: 1, holes: 0 },
    ],
    [
      'out of order',
      [...HANDSHAKE, [true, ACK, 21, 20], [true, ACK, 1, 20]],
      { holes: 1, outOfOrder: 1, retransmissions: 0 },
    ],
    [
      'hole filled twice',
      [...HANDSHAKE, [true, ACK, 21, 20], [true, ACK, 1, 20], [true, ACK, 1, 20]],
      { outOfOrder: 1, retransmissions: 1 },
    ],
    [
      'hole in two parts',
      [...HANDSHAKE, [true, ACK, 41, 20], [true, ACK, 1, 20], [true, ACK, 21, 20]],
      { outOfOrder: 2, retransmissions: 0 },
    ],
    ['keep-alive', [...HANDSHAKE, [true, ACK, 1, 9], [true, ACK, 9, 1]], { keepAlives: 1, retransmissions: 0 }],
    [
      'overlap that goes on',
      [...HANDSHAKE, [true, ACK, 1, 20], [true, ACK, 11, 30], [true, ACK, 41, 5]],
      { retransmissions: 1, holes: 0 },
    ],
  ];
  for (const [name, segments, expected] of cases) {
    const tcp = count(segments);
    for (const [key, value] of Object.entries(expected))
      equal(tcp[key as keyof TcpConnections], value, `${name}: ${key}`);
    equal(tcp.segments, segments.length);
  }
  const many = Array.from({ length: 2000 }, (_, i): Segment => [true, SYN, 0, 0, 1000 + i]);
  deepEqual([count(many).connections, count(many).untracked], [2000, 0], 'the table grows');
  deepEqual([count(many, 1024).connections, count(many, 1024).untracked], [768, 1232], 'to its limit');
  t.pass(`${cases.length} stories`);
  t.end();
});

t.test('time: spans, steps back, bins that keep every packet', (t) => {
  const gap = fc.oneof(fc.nat(1000), fc.nat(1e9), fc.nat(1e11), fc.constant(0), fc.integer({ min: -5e9, max: -1 }));
  fc.assert(
    fc.property(fc.array(gap, { maxLength: 200 }), (gaps) => {
      const time = new SurveyTime();
      let at = 1e12;
      const stamps = [at, ...gaps.map((each) => (at += each))];
      for (const [i, ns] of stamps.entries()) time.note(i + 1, Math.floor(ns / 1e9), ns % 1e9, 100);
      equal(time.spanNs, Math.max(...stamps) - Math.min(...stamps));
      equal(time.backward, gaps.filter((each) => each < 0).length);
      equal(time.equal, gaps.filter((each) => each === 0).length);
      equal(time.gapNsMax, Math.max(0, ...gaps));
      const sum = (list: Float64Array): number => list.reduce((a, b) => a + b, 0);
      equal(sum(time.binPackets), stamps.length);
      equal(sum(time.binBytes), stamps.length * 100);
      equal(time.bins > 0 && time.binPackets.subarray(time.bins).every((n) => n === 0), true);
    }),
    { numRuns: 300 },
  );
  t.pass('300 captures');
  t.end();
});
