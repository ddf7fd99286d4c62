import assert from 'node:assert/strict';
import t from 'tap';
import { plainRegion } from '../../src/base/region.ts';
import type { IdentityMap } from '../../src/copy/admission.ts';
import { SumState } from '../../src/copy/client_packet.ts';
import { CopyEngine, type EngineParts } from '../../src/copy/engine.ts';
import { readTargetPacket, TargetHeader } from '../../src/copy/target_header.ts';
import { type ServiceSpec, Targets } from '../../src/copy/targets.ts';
import { decode } from '../../src/wire/decode.ts';
import { Layers } from '../../src/wire/layers.ts';
import { Linktype } from '../../src/wire/linktype.ts';
import { ACK, encode, PSH, parse, RST, type Segment, SYN } from './sim/segment.ts';
import { MS } from './sim/world.ts';

/** An engine on a bench: packets go in by hand, what it emits is kept. */
class Bench {
  readonly out: Segment[] = [];
  readonly engine: CopyEngine;
  now = MS;

  constructor(parts: Partial<EngineParts> = {}, service: Partial<ServiceSpec> = {}) {
    const targets = new Targets(
      [
        { address: [0x0a000009], port: 8080, mtu: 1500 },
        { address: [0x0a00000a], port: 8080, mtu: 1500 },
      ],
      [{ address: null, port: 80, targets: [0], mirror: false, ...service }],
    );
    const region = plainRegion(4096);
    const emitter = {
      region,
      reserve: () => 0,
      fillsSums: () => false,
      join: () => false,
      sendBuilt: (at: number, length: number) => void this.out.push(parse(region.bytes.slice(at, at + length))),
      sendInPlace: (from: { bytes: Uint8Array }, at: number, length: number) => {
        this.out.push(parse(from.bytes.slice(at, at + length)));
        return true;
      },
    };
    this.engine = new CopyEngine({ targets, emitter, ...parts });
    this.engine.tick(this.now);
  }

  client(segment: Partial<Segment>, arrivedNs: number = this.now): Segment[] {
    const whole = {
      src: [10, 1, 0, 1],
      dst: [10, 0, 0, 1],
      srcPort: 5000,
      dstPort: 80,
      seq: 1000,
      ack: 0,
      flags: SYN,
      window: 1000,
      payload: new Uint8Array(0),
      ...segment,
    };
    const frame = encode(whole);
    const from = plainRegion(frame.length);
    from.bytes.set(frame);
    const layers = new Layers();
    decode(from.view, 0, frame.length, Linktype.EN10MB, layers);
    this.engine.onClientPacket(from, layers, SumState.Unknown, arrivedNs);
    return this.out.splice(0);
  }

  /** The answer of a target to a packet that was emitted. */
  answer(to: Segment, segment: Partial<Segment>): Segment[] {
    const span = to.payload.length + ((to.flags & (SYN | 1)) !== 0 ? 1 : 0);
    const base = { src: to.dst, dst: to.src, srcPort: to.dstPort, dstPort: to.srcPort, seq: 9000, ack: to.seq + span };
    const frame = encode({ ...base, flags: ACK, window: 60_000, payload: new Uint8Array(0), ...segment });
    const view = new DataView(frame.buffer);
    const layers = new Layers();
    const header = new TargetHeader();
    decode(view, 0, frame.length, Linktype.EN10MB, layers);
    assert.ok(readTargetPacket(view, layers, header));
    this.engine.onTargetHeader(header);
    return this.out.splice(0);
  }

  pass(ns: number): Segment[] {
    this.now += ns;
    this.engine.tick(this.now);
    return this.out.splice(0);
  }
}

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

t.test('a session, packet by packet', (t) => {
  const b = new Bench();
  const [syn] = b.client({ mss: 1400, shift: 5, sackPermitted: true, ts: [77, 0] });
  t.same([syn!.seq, syn!.srcPort, syn!.dst, syn!.dstPort, syn!.flags], [1000, 5000, [10, 0, 0, 9], 8080, SYN]);
  t.same([syn!.mss, syn!.shift, syn!.sackPermitted, syn!.ts], [1400, 5, true, [77, 0]]);
  t.same(b.client({ mss: 1400 }), [], 'the client’s own retransmission of its SYN is not copied');
  const [third] = b.answer(syn!, { flags: SYN | ACK, mss: 1460, ts: [500, 77] });
  t.same([third!.flags, third!.seq, third!.ack, third!.ts], [ACK, 1001, 9001, [77, 500]], 'the handshake is ours');
  t.same(
    b.client({ seq: 1001, ack: 700, flags: ACK, ts: [78, 1] }),
    [],
    'the client’s acknowledgements are not copied',
  );
  const data = { seq: 1001, ack: 700, flags: ACK | PSH, ts: [79, 1] as [number, number], payload: bytes('GET /') };
  const [request] = b.client(data);
  t.same([request!.seq, request!.ack, request!.ts, request!.flags], [1001, 9001, [79, 500], ACK | PSH]);
  t.equal(new TextDecoder().decode(request!.payload), 'GET /');
  t.same(b.client(data), [], 'a retransmission of the client is recognised');
  t.same(
    b.answer(request!, { seq: 9001, payload: bytes('reply'), ts: [501, 79] }),
    [],
    'the reply waits for the next packet',
  );
  const [late] = b.pass(4 * MS);
  t.same([late!.flags, late!.ack], [ACK, 9006], 'or for the acknowledgement’s delay');
  const [fin] = b.client({ seq: 1006, ack: 705, flags: ACK | 1, ts: [80, 1] });
  t.same([fin!.flags, fin!.seq], [ACK | 1, 1006], 'FIN for FIN');
  const [last] = b.answer(fin!, { seq: 9006, flags: ACK | 1, ts: [502, 80] });
  t.same([last!.flags, last!.seq, last!.ack], [ACK, 1007, 9007]);
  t.equal(b.engine.segmentsUsed, 0);
  b.pass(1000 * MS);
  t.equal(b.engine.sessionsOpen, 0);
  t.end();
});

t.test('mirrors and clones: every copy is a session of its own', (t) => {
  const identities: IdentityMap = {
    copies: 2,
    map(key, copy) {
      key[4] = key[4]! + ((copy * 1000) << 16);
      return true;
    },
  };
  const b = new Bench({ identities }, { targets: [0, 1], mirror: true });
  const syns = b.client({});
  const who = (list: Segment[]): string[] => list.map((p) => `${p.srcPort}>${p.dst[3]}`).sort();
  t.same(who(syns), ['5000>10', '5000>9', '6000>10', '6000>9']);
  for (const syn of syns) b.answer(syn, { flags: SYN | ACK });
  const data = b.client({ seq: 1001, ack: 700, flags: ACK | PSH, payload: bytes('hello') });
  t.same(who(data), who(syns), 'each gets the bytes');
  for (const p of data) assert.equal(new TextDecoder().decode(p.payload), 'hello');
  const seen: string[] = [];
  b.engine.forEachSession((words, at, port, target) => seen.push(`${words[at]! >>> 0}:${port}>${target}`));
  t.equal(seen.length, 4, 'forEachSession lists them');
  t.ok(b.engine.forget(Int32Array.of(0x0a010001, 0, 0, 0), 6000, 1));
  t.notOk(b.engine.forget(Int32Array.of(0x0a010001, 0, 0, 0), 6000, 1), 'forgotten once');
  t.equal(b.engine.sessionsOpen, 3);
  t.end();
});

t.test('data on a SYN (Fast Open) is a request, whether production took it or the client sends it again', (t) => {
  for (const isTaken of [true, false]) {
    const b = new Bench();
    const [syn] = b.client({ mss: 1400, ts: [1, 0], payload: bytes('GET /a'), extra: [34, 2] });
    t.equal(syn!.payload.length, 0, 'not on our SYN, as the target may not know Fast Open');
    b.client({ seq: 1007, ack: 700, flags: ACK, ts: [2, 1] });
    const opened = b.answer(syn!, { flags: SYN | ACK, mss: 1460, ts: [500, 1] });
    t.same(
      opened.map(({ seq, payload }) => [seq, new TextDecoder().decode(payload)]),
      [[1001, 'GET /a']],
      'with our acknowledgement',
    );
    if (!isTaken) t.same(b.client({ seq: 1001, ack: 700, flags: ACK | PSH, ts: [2, 1], payload: bytes('GET /a') }), []);
    const next = { seq: 1007, ack: 705, flags: ACK | PSH, ts: [3, 1] as [number, number], payload: bytes('GET /b') };
    t.same(b.client(next), [], 'the next request waits for the reply');
    const sent = b.answer(opened[0]!, { seq: 9001, payload: bytes('reply'), ts: [501, 2] });
    t.equal(new TextDecoder().decode(sent[0]!.payload), 'GET /b');
    t.equal(b.engine.statistics().RequestsSent, 2);
  }
  t.end();
});

t.test('what begins no session', (t) => {
  const none = new Bench({ options: { percent: 0 } });
  t.same(none.client({}), []);
  t.equal(none.engine.statistics().ClientNotAdmitted, 1);
  const b = new Bench();
  b.client({ dstPort: 81 });
  b.client({ flags: ACK, seq: 5 });
  b.client({ flags: SYN | ACK });
  b.client({ flags: 0 });
  b.engine.shedNew(true);
  b.client({ srcPort: 5001 });
  const c = b.engine.statistics();
  t.same([c.ClientUnmapped, c.ClientWithoutSession, c.ClientMalformed, c.ShedLoad], [1, 1, 2, 1]);
  t.equal(b.engine.sessionsOpen, 0);
  t.equal(b.engine.nextTimerNs(), Number.POSITIVE_INFINITY, 'and nothing is due');
  b.engine.shedNew(false);
  b.client({});
  b.client({ dst: [10, 0, 0, 2], flags: ACK, seq: 1001, payload: bytes('x') });
  t.equal(b.engine.statistics().ShedCollision, 1, 'the same ports at another service are no packets of this session');
  b.client({ dst: [10, 0, 0, 2], flags: ACK, seq: 1001 });
  t.equal(b.engine.statistics().ShedCollision, 1, 'acknowledgements do not count');
  b.client({ dst: [10, 0, 0, 2], seq: 70_000 });
  t.equal(b.engine.statistics().ShedCollision, 2, 'nor is a SYN there a port used again');
  t.equal(b.engine.sessionsOpen, 1, 'the session goes on');
  t.equal(b.engine.statistics().SessionsSeen, 1);
  t.end();
});

t.test('a bad checksum is not passed on', (t) => {
  const b = new Bench();
  const frame = encode({
    src: [10, 1, 0, 1],
    dst: [10, 0, 0, 1],
    srcPort: 5000,
    dstPort: 80,
    seq: 1,
    ack: 0,
    flags: SYN,
    window: 1,
    payload: new Uint8Array(0),
  });
  frame[frame.length - 1]! ^= 1;
  const from = plainRegion(frame.length);
  from.bytes.set(frame);
  const layers = new Layers();
  decode(from.view, 0, frame.length, Linktype.EN10MB, layers);
  b.engine.onClientPacket(from, layers, SumState.Unknown, 0);
  t.equal(b.engine.statistics().ClientBadChecksum, 1);
  t.same(b.out, []);
  t.end();
});

t.test('the target has an old connection of the same ports', (t) => {
  const b = new Bench();
  const [syn] = b.client({});
  const [reset] = b.answer(syn!, { flags: ACK, seq: 123, ack: 4567 });
  t.same([reset!.flags, reset!.seq], [4, 4567], 'its challenge is answered with RST');
  const [again] = b.pass(130 * MS);
  t.same([again!.flags, again!.seq], [SYN, 1000], 'and the SYN is sent again soon');
  t.end();
});

t.test('what cannot be closed in order is reset', (t) => {
  const b = new Bench();
  const [syn] = b.client({});
  b.answer(syn!, { flags: SYN | ACK, mss: 1460 });
  const [request] = b.client({ seq: 1001, ack: 700, flags: ACK | PSH, payload: bytes('GET /') });
  b.engine.closeAll();
  b.pass(MS);
  b.answer(request!, { seq: 9001, flags: ACK, payload: bytes('and so on') });
  const next = b.client({ srcPort: 5001 });
  t.same(next, [], 'nothing begins any more');
  t.equal(b.engine.sessionsOpen, 1, 'the target does not close');
  t.equal(b.engine.resetAll(), 1);
  const resets = b.out.splice(0);
  // RFC 5961 section 3.2: it takes a reset only for the number that it expects, our FIN taken or not.
  t.same(
    resets.map(({ flags, seq }) => [flags, seq]),
    [
      [RST | ACK, 1007],
      [RST | ACK, 1006],
    ],
  );
  t.same([b.engine.sessionsOpen, b.engine.segmentsUsed, b.engine.resetAll()], [0, 0, 0]);
  t.end();
});

t.test('the wall clock, which stamps packets, is set', (t) => {
  for (const jump of [-3_600_000, 3_600_000]) {
    const b = new Bench();
    const [syn] = b.client({});
    b.answer(syn!, { flags: SYN | ACK, mss: 1460 });
    b.pass(10 * MS);
    const first = { seq: 1001, ack: 700, flags: ACK | PSH, payload: bytes('GET /') };
    const [request] = b.client(first);
    b.answer(request!, { seq: 9001 });
    b.pass(MS);
    const stamp = b.now + jump * MS;
    const gone = b.client({ seq: 1010, ack: 800, flags: ACK | PSH, payload: bytes('2nd') }, stamp);
    t.same([...gone, ...b.pass(50 * MS)], [], `${jump} ms: the bytes before it may still come`);
    t.equal(b.engine.statistics().GapsAbandoned, 0, 'and are waited for');
    b.client({ seq: 1006, ack: 800, flags: ACK | PSH, payload: bytes('more') }, stamp);
    t.equal(b.engine.statistics().RequestsLate, 0, 'the reply to the one before is, too');
    t.equal(b.engine.sessionsOpen, 1);
    const late = b.pass(1_100 * MS);
    t.ok(
      late.some(({ seq }) => seq === 1006),
      'as long as the deadline says',
    );
  }
  t.end();
});

t.test('a client’s RST goes when the target has answered as much as production had', (t) => {
  const b = new Bench();
  const [syn] = b.client({});
  b.answer(syn!, { flags: SYN | ACK, mss: 1460 });
  const [many] = b.client({ seq: 1001, ack: 700, flags: ACK | PSH, payload: bytes('1 2 3') });
  t.same(b.client({ seq: 1006, ack: 730, flags: RST | ACK }), [], 'production had answered 30 bytes');
  b.answer(many!, { seq: 9001, payload: bytes('a tenth of') });
  for (let i = 0; i < 4; i++) t.notOk(b.pass(300 * MS).some(({ flags }) => flags & RST) && i < 3, 'it may be slow');
  t.equal(b.engine.sessionsOpen, 0, 'and is silent for too long in the end');

  const c = new Bench();
  const [again] = c.client({});
  c.answer(again!, { flags: SYN | ACK, mss: 1460 });
  const [all] = c.client({ seq: 1001, ack: 700, flags: ACK | PSH, payload: bytes('1 2 3') });
  c.client({ seq: 1006, ack: 730, flags: RST | ACK });
  const sent = c.answer(all!, { seq: 9001, payload: bytes('thirty bytes of a whole answer') });
  t.ok(
    sent.some(({ flags }) => flags & RST),
    'at once when the target has said it all',
  );
  t.end();
});
