import assert from 'node:assert/strict';
import fc from 'fast-check';
import t from 'tap';
import { compileFilter, hasLibpcap, offlineFilter } from '../../src/sys/libpcap.ts';
import { loadBpf, runBpf } from '../../src/wire/bpf.ts';

const EN10MB = 1;
const RAW = 101;
const LINUX_SLL = 113;
const skip = hasLibpcap() ? false : 'needs libpcap (apt-get install libpcap0.8)';

const EXPRESSIONS = [
  'tcp',
  'udp port 53',
  'tcp port 80 or tcp port 443',
  'host 10.0.0.1',
  'src net 10.0.0.0/8 and not dst port 22',
  'ip6',
  'ip6 host fd00::1',
  'arp',
  'vlan 5 and tcp',
  'vlan and vlan and ip',
  'tcp[tcpflags] & (tcp-syn|tcp-fin) != 0',
  'tcp[((tcp[12] & 0xf0) >> 2):4] = 0x47455420',
  'ip[0] & 0xf > 5',
  'ip[2:2] - ip[0] * 4 > 100',
  'ether[12:2] / 3 % 7 = 2',
  'len > 100',
  'less 64 or greater 1000',
  'icmp[icmptype] = icmp-echo',
  'ether broadcast',
  'portrange 1000-2000',
  'ip proto 47 or ip6 proto 47',
  'mpls',
  'ip[8] << 2 > 100 or -ip[8] & 0xff = 3',
  'ip[6:2] & 0x1fff = 0 and tcp dst port 8080',
  'ip[1] ^ ip[9] = 6',
  'sctp or icmp6',
];

/** Frames of a plausible shape, so that deep branches are taken, with bytes and lengths that need not be. */
const frame = fc
  .record({
    type: fc.constantFrom([0x08, 0x00], [0x86, 0xdd], [0x81, 0x00, 0x00, 0x05, 0x08, 0x00], [0x08, 0x06], [0x88, 0x47]),
    first: fc.constantFrom(0x45, 0x46, 0x4f, 0x60, 0x00),
    protocol: fc.constantFrom(6, 17, 1, 47, 58, 132, 0),
    rest: fc.uint8Array({ minLength: 0, maxLength: 90 }),
    port: fc.constantFrom(80, 443, 53, 22, 1500, 8080),
    known: fc.boolean(),
    cut: fc.oneof(fc.constant(200), fc.nat(120)),
    link: fc.boolean(),
  })
  .map(({ type, first, protocol, rest, port, known, cut, link }) => {
    const body = Uint8Array.of(first, ...rest);
    if (body.length > 30) {
      body[9] = protocol;
      body[6] = protocol;
      if (known) body.set([10, 0, 0, 1], 12);
      body[22] = port >> 8;
      body[23] = port & 0xff;
    }
    const whole = link ? Uint8Array.of(2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, ...type, ...body) : body;
    return whole.subarray(0, Math.max(1, cut));
  });

t.test('agrees with libpcap on every frame', { skip }, (t) => {
  let accepted = 0;
  let refused = 0;
  let compiled = 0;
  for (const linktype of [EN10MB, RAW, LINUX_SLL]) {
    for (const expression of EXPRESSIONS) {
      let code: Uint8Array;
      try {
        code = compileFilter(expression, linktype);
      } catch {
        assert.notEqual(linktype, EN10MB, `${expression} must compile for Ethernet`);
        continue;
      }
      compiled++;
      const program = loadBpf(code);
      assert.ok(typeof program !== 'string', `${expression}: ${String(program)}`);
      fc.assert(
        fc.property(frame, fc.nat(60), fc.nat(20), (bytes, more, before) => {
          // The frame lies inside other bytes, which no load may see.
          const region = new Uint8Array(before + bytes.length + 40).fill(0x45);
          region.set(bytes, before);
          const view = new DataView(region.buffer);
          const ours = runBpf(program, view, before, bytes.length, bytes.length + more) !== 0;
          assert.equal(ours, offlineFilter(code, bytes, bytes.length + more), `${expression} on link type ${linktype}`);
          if (ours) accepted++;
          else refused++;
        }),
        { numRuns: 500, seed: 42 },
      );
    }
  }
  t.ok(compiled > 60, `${compiled} programs over three link types`);
  t.ok(accepted > 1000 && refused > 1000, `both answers occur: ${accepted} accepted, ${refused} refused`);
  t.end();
});

const instruction = (code: number, k = 0, jt = 0, jf = 0): number[] => [
  code & 0xff,
  code >> 8,
  jt,
  jf,
  k & 0xff,
  (k >>> 8) & 0xff,
  (k >>> 16) & 0xff,
  k >>> 24,
];
const RETURN_A = instruction(0x16);

/** Runs instructions, then returns A. */
function run(...instructions: number[][]): number {
  const program = loadBpf(Uint8Array.from([...instructions, RETURN_A].flat()));
  assert.ok(typeof program !== 'string', String(program));
  return runBpf(program, new DataView(Uint8Array.of(1, 2, 3, 4, 0xff).buffer), 0, 5, 9);
}

t.test('arithmetic is that of 32-bit unsigned numbers', (t) => {
  const load = (k: number): number[] => instruction(0x00, k);
  t.equal(run(load(0xffff_ffff), instruction(0x04, 2)), 1, 'add wraps');
  t.equal(run(load(1), instruction(0x14, 2)), 0xffff_ffff, 'sub wraps');
  t.equal(run(load(0x8000_0001), instruction(0x24, 3)), 0x8000_0003, 'mul wraps');
  t.equal(run(load(0xffff_ffff), instruction(0x34, 2)), 0x7fff_ffff, 'div is unsigned');
  t.equal(run(load(0xffff_ffff), instruction(0x94, 10)), 5, 'mod is unsigned');
  t.equal(run(load(1), instruction(0x64, 31)), 0x8000_0000, 'shift left');
  t.equal(run(load(1), instruction(0x64, 32)), 0, 'shift by 32 leaves nothing');
  t.equal(run(load(0x8000_0000), instruction(0x74, 31)), 1, 'shift right is unsigned');
  t.equal(run(load(5), instruction(0x84)), 0xffff_fffb, 'negation');
  t.equal(run(load(0xf0f0_f0f0), instruction(0xa4, 0xffff_ffff)), 0x0f0f_0f0f, 'xor');
  t.equal(run(load(7), instruction(0x3c)), 0, 'division by X = 0 refuses the frame');
  t.equal(run(load(7), instruction(0x02, 15), load(0), instruction(0x60, 15)), 7, 'scratch cells');
  t.equal(run(instruction(0x80)), 9, 'len is the length on the wire');
  t.equal(run(instruction(0x20, 1)), 0x020304ff, 'word at an offset');
  t.equal(run(instruction(0x20, 2)), 0, 'a word over the end refuses the frame');
  t.equal(run(instruction(0x20, 0xffff_f000)), 0, 'so does a negative offset');
  t.end();
});

t.test('programs that could leave their bounds are refused', (t) => {
  const refuse = (bytes: number[], what: RegExp): void => {
    t.match(loadBpf(Uint8Array.from(bytes)), what);
  };
  refuse([], /no whole number/);
  refuse([1, 2, 3], /no whole number/);
  refuse(instruction(0x00), /does not end with a return/);
  refuse([...instruction(0x05, 1), ...RETURN_A], /instruction 0: jump outside/);
  refuse([...instruction(0x05, 0xffff_ffff), ...RETURN_A], /jump outside/);
  refuse([...instruction(0x15, 0, 0, 200), ...RETURN_A], /jump outside/);
  refuse([...instruction(0x02, 16), ...RETURN_A], /scratch/);
  refuse([...instruction(0x34, 0), ...RETURN_A], /division by zero/);
  refuse([...instruction(0x19), ...RETURN_A], /unknown code/);
  refuse([...instruction(0x115), ...RETURN_A], /unknown code/);
  refuse(new Array(4097).fill(RETURN_A).flat(), /more than 4096/);
  t.end();
});

t.test('random bytes are refused or run to an end within the frame', (t) => {
  let ran = 0;
  fc.assert(
    fc.property(
      fc.array(
        fc.tuple(
          fc.constantFrom(0x20, 0x28, 0x30, 0x40, 0x50, 0x15, 0x25, 0x45, 0x02, 0x60, 0xb1, 0x07),
          fc.nat(20),
          fc.nat(3),
          fc.nat(3),
        ),
        {
          maxLength: 12,
        },
      ),
      fc.uint8Array({ maxLength: 20 }),
      (steps, bytes) => {
        const program = loadBpf(Uint8Array.from([...steps.map((s) => instruction(...s)), RETURN_A].flat()));
        if (typeof program === 'string') return;
        // An exact view: a read outside it throws.
        runBpf(program, new DataView(bytes.slice().buffer), 0, bytes.length, bytes.length);
        ran++;
      },
    ),
    { numRuns: 2000, seed: 7 },
  );
  t.ok(ran > 500, `${ran} programs ran`);
  t.end();
});
