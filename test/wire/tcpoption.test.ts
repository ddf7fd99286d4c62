import assert from 'node:assert/strict';
import fc from 'fast-check';
import t from 'tap';
import * as w from '../../src/wire/index.ts';
import { exactView, hex, referenceChecksum, tcp } from './frames.ts';

const { TcpOption, Wire } = w;

const SYN: number[] = tcp(4, [], hex('020405b4 0402 080a 11111111 22222222 01 030307 2206 c00c1e55 1e04 0181 0000'));
const SACK: number[] = tcp(4, [1, 2, 3], hex('01 01 0512 00000010 00000020 00000030 00000040 01 01 00 00'));

t.test('options are found and read', async (t) => {
  const syn = exactView(SYN);
  t.equal(w.checkTcp(syn, 0, SYN.length), Wire.Ok);
  t.equal(w.checkTcpOptions(syn, 0), Wire.Ok);
  t.equal(w.tcpMss(syn, w.findTcpOption(syn, 0, TcpOption.Mss)), 1460);
  t.equal(w.tcpWindowScale(syn, w.findTcpOption(syn, 0, TcpOption.WindowScale)), 7);
  t.ok(w.findTcpOption(syn, 0, TcpOption.SackPermitted) > 0);
  const stamps = w.findTcpOption(syn, 0, TcpOption.Timestamps);
  t.equal(w.tcpTimestampValue(syn, stamps), 0x11111111);
  t.equal(w.tcpTimestampEcho(syn, stamps), 0x22222222);
  const cookie = w.findTcpOption(syn, 0, TcpOption.FastOpen);
  t.equal(w.tcpFastOpenCookieLen(syn, cookie), 4);
  t.equal(syn.getUint32(w.tcpOptionValueAt(cookie)), 0xc00c1e55);
  t.equal(w.tcpMptcpSubtype(syn, w.findTcpOption(syn, 0, TcpOption.Mptcp)), 0);
  t.equal(w.findTcpOption(syn, 0, TcpOption.Sack), -1);

  const kinds: number[] = [];
  for (let at = w.firstTcpOption(syn, 0); at >= 0; at = w.nextTcpOption(syn, 0, at))
    kinds.push(w.tcpOptionKind(syn, at));
  t.same(kinds, [2, 4, 8, 3, 34, 30]);

  const sack = exactView(SACK);
  const option = w.findTcpOption(sack, 0, TcpOption.Sack);
  t.equal(w.tcpSackBlocks(sack, option), 2);
  t.same([w.tcpSackLeft(sack, option, 1), w.tcpSackRight(sack, option, 1)], [0x30, 0x40]);
  t.equal(w.tcpOptionLen(sack, option), 18);
});

t.test('hostile options end the iteration', async (t) => {
  for (const [options, why] of [
    ['fe000000', 'experimental option of length 0'],
    ['02000000', 'length 0'],
    ['02010000', 'length 1'],
    ['01010102', 'no room for the length'],
    ['02ff0000', 'length beyond the header'],
  ] as const) {
    const view = exactView(tcp(4, [], hex(options)));
    t.equal(w.firstTcpOption(view, 0), -1, why);
    t.equal(w.findTcpOption(view, 0, 2), -1, why);
    t.equal(w.checkTcpOptions(view, 0), Wire.BadLength, why);
  }
  const wrong = exactView(tcp(4, [], hex('0203ff 0304ffff 050600000000 00')).slice(0, 36));
  t.equal(w.findTcpOption(wrong, 0, TcpOption.Mss), -1, 'an MSS of three bytes is none');
  t.equal(w.findTcpOption(wrong, 0, TcpOption.WindowScale), -1);
  t.equal(w.findTcpOption(wrong, 0, TcpOption.Sack), -1);
});

t.test('any bytes: iteration ends, stays in the header, agrees with the check', async (t) => {
  const list = fc.array(fc.oneof(fc.constantFrom(0, 1, 2, 3, 4, 5, 8, 10), fc.integer({ min: 0, max: 255 })), {
    minLength: 4,
    maxLength: 40,
  });
  fc.assert(
    fc.property(list, (raw) => {
      const options = raw.slice(0, raw.length & ~3);
      const view = exactView(tcp(4, [], options));
      const end = 20 + options.length;
      let steps = 0;
      let last = 20;
      for (let at = w.firstTcpOption(view, 0); at >= 0; at = w.nextTcpOption(view, 0, at)) {
        assert.ok(at >= last && at + w.tcpOptionLen(view, at) <= end);
        last = at + w.tcpOptionLen(view, at);
        assert.ok(++steps <= 20);
      }
      if (w.checkTcpOptions(view, 0) !== Wire.Ok) assert.ok(last < end);
      for (let kind = 0; kind < 40; kind++) w.findTcpOption(view, 0, kind);
    }),
    { numRuns: 5000 },
  );
  t.pass('5,000 lists');
});

t.test('rewrites keep the checksum true at odd offsets too', async (t) => {
  const long = fc.integer({ min: 0, max: 0xffffffff });
  fc.assert(
    fc.property(long, long, fc.integer({ min: 0, max: 3 }), (a, b, nops) => {
      const list = [...new Array<number>(nops).fill(1), ...hex('0204aaaa 080a11111111eeeeeeee 050a0000000100000002')];
      while (list.length % 4 !== 0) list.push(0);
      // Without pseudo-header: the sum of the segment alone.
      const bytes = tcp(4, [9, 9, 9], list);
      const sum = referenceChecksum([...bytes.slice(0, 16), 0, 0, ...bytes.slice(18)]);
      const view = exactView(bytes);
      w.setTcpChecksum(view, 0, sum);
      w.rewriteTcpMss(view, 0, w.findTcpOption(view, 0, TcpOption.Mss), a & 0xffff);
      const stamps = w.findTcpOption(view, 0, TcpOption.Timestamps);
      w.rewriteTcpTimestampValue(view, 0, stamps, a);
      w.rewriteTcpTimestampEcho(view, 0, stamps, b);
      w.rewriteTcpSackBlock(view, 0, w.findTcpOption(view, 0, TcpOption.Sack), 0, b, a);
      w.rewriteTcpFlags(view, 0, a & 0xff);
      w.rewriteTcpWindow(view, 0, b & 0xffff);
      w.rewriteTcpSeq(view, 0, b);
      w.rewriteTcpAck(view, 0, a);
      w.rewriteTcpSrcPort(view, 0, b & 0xffff);
      w.rewriteTcpDstPort(view, 0, a & 0xffff);
      assert.equal(w.tcpTimestampEcho(view, stamps), b);
      assert.equal(w.checksum(view, 0, bytes.length), 0, 'the sum is true');
      assert.notEqual(w.tcpChecksum(view, 0), 0xffff, 'and canonical');
    }),
    { numRuns: 1000 },
  );
  t.pass('1,000 segments');
});

t.test('written options are read back, on any filling', async (t) => {
  for (const fill of [0xa5, 0x5a]) {
    const bytes = new Uint8Array(64).fill(fill);
    const view = new DataView(bytes.buffer);
    w.setTcpHeaderLen(view, 0, 60);
    w.setTcpMss(view, 20, 536);
    w.setTcpWindowScale(view, 24, 14);
    w.setTcpOption(view, 27, TcpOption.SackPermitted, w.TCP_SACK_PERMITTED_OPTION_LEN);
    w.setTcpTimestamps(view, 29, 1, 0xffffffff);
    w.setTcpOption(view, 39, TcpOption.Sack, 18);
    w.setTcpSackBlock(view, 39, 0, 1, 2);
    w.setTcpSackBlock(view, 39, 1, 3, 4);
    view.setUint8(57, TcpOption.End);
    t.equal(w.checkTcpOptions(view, 0), Wire.Ok);
    t.equal(
      Buffer.from(bytes.slice(20, 58)).toString('hex'),
      '02040218' + '03030e' + '0402' + '080a00000001ffffffff' + '051200000001000000020000000300000004' + '00',
    );
    t.ok(bytes.slice(58).every((byte) => byte === fill));
  }
});
