/** Values of the rewriting options: what each means, and what each bad one says. */
import { Command } from 'commander';
import t from 'tap';
import { addRewriteOptions, rewriteSpecFrom } from '../../src/cli/rewrite_options.ts';
import {
  checkRewriteSpec,
  EMPTY_REWRITE,
  parseAddressMap,
  parseEndpoints,
  parseHexBytes,
  parseMacPair,
  parseMacSubstitutions,
  parseNumber,
  parsePortMap,
  parseSeed,
  parseTtl,
  type RewriteSpec,
} from '../../src/rewrite/index.ts';

type Parse = (option: string, text: string) => unknown;

const v4 = (word: number, prefixLength: number) => ({ version: 4, words: [word], prefixLength });
const A = [0, 0x1f, 0xf3, 0x3c, 0xe1, 0x13];
const B = [0, 0x22, 0x33, 0x44, 0x55, 0x66];
const a = '00:1f:f3:3c:e1:13';
const b = '00:22:33:44:55:66';

const GOOD: readonly (readonly [string, Parse, string, unknown])[] = [
  ['pnat', parseAddressMap, '10.0.0.0/8:192.168.0.0/16', [{ from: v4(0x0a000000, 8), to: v4(0xc0a80000, 16) }]],
  ['pnat', parseAddressMap, '10.1.2.3:1.2.3.4', [{ from: v4(0x0a010203, 32), to: v4(0x01020304, 32) }]],
  [
    'pnat',
    parseAddressMap,
    '[2001:db8::/32]:[fd00::1]/64,0.0.0.0/0:9.9.9.9',
    [
      {
        from: { version: 6, words: [0x20010db8, 0, 0, 0], prefixLength: 32 },
        to: { version: 6, words: [0xfd000000, 0, 0, 1], prefixLength: 64 },
      },
      { from: v4(0, 0), to: v4(0x09090909, 32) },
    ],
  ],
  [
    'pnat',
    parseAddressMap,
    '[::ffff:1.2.3.4]:[1:2:3:4:5:6:7:8]',
    [
      {
        from: { version: 6, words: [0, 0, 0xffff, 0x01020304], prefixLength: 128 },
        to: { version: 6, words: [0x10002, 0x30004, 0x50006, 0x70008], prefixLength: 128 },
      },
    ],
  ],
  [
    'endpoints',
    parseEndpoints,
    '10.10.0.1:10.10.0.2',
    [[{ from: v4(0, 0), to: v4(0x0a0a0001, 32) }], [{ from: v4(0, 0), to: v4(0x0a0a0002, 32) }]],
  ],
  ['portmap', parsePortMap, '80:8080', [{ first: 80, last: 80, to: 8080 }]],
  [
    'portmap',
    parsePortMap,
    '1-100:49148,80+443+8000-8010:1',
    [
      { first: 1, last: 100, to: 49148 },
      { first: 80, last: 80, to: 1 },
      { first: 443, last: 443, to: 1 },
      { first: 8000, last: 8010, to: 1 },
    ],
  ],
  ['portmap', parsePortMap, '0-65535:65535', [{ first: 0, last: 65535, to: 65535 }]],
  ['enet-dmac', parseMacPair, a, { clientToServer: A, serverToClient: null }],
  ['enet-dmac', parseMacPair, `${a},${b}`, { clientToServer: A, serverToClient: B }],
  ['enet-dmac', parseMacPair, `,${b}`, { clientToServer: null, serverToClient: B }],
  [
    'enet-subsmac',
    parseMacSubstitutions,
    `${a},${b},${b},${a}`,
    [
      { from: A, to: B },
      { from: B, to: A },
    ],
  ],
  ['ttl', parseTtl, '58', { mode: 'set', value: 58 }],
  ['ttl', parseTtl, '+255', { mode: 'add', value: 255 }],
  ['ttl', parseTtl, '-1', { mode: 'subtract', value: 1 }],
  ['user-dlink', parseHexBytes, '0f,0x00,8,0', [15, 0, 8, 0]],
  ['seed', parseSeed, '42', 42],
  ['seed', parseSeed, '-1', 0xffffffff],
  ['seed', parseSeed, '4294967295', 0xffffffff],
  ['hdlc', (o, x) => parseNumber(o, x, 0, 255), '0x0F', 15],
  ['hdlc', (o, x) => parseNumber(o, x, 0, 255), '010', 8],
];

t.test('good values', (t) => {
  for (const [option, parse, text, expected] of GOOD) t.same(parse(`--${option}`, text), expected, `${option} ${text}`);
  t.end();
});

const BAD: readonly (readonly [Parse, readonly string[]])[] = [
  [
    parseAddressMap,
    [
      ...['', ':', '10.0.0.0/8', '10.0.0.0/8:', '10.0.0.0/33:1.1.1.1', '10.0.0/8:1.1.1.1', '256.0.0.1:1.1.1.1'],
      ...['2001:db8::/32:fd00::/8', '[2001:db8::/32]:10.0.0.0/8', '[2001:db8::/129]:[::1]', '[1::2::3]:[::1]'],
      ...[
        '[1:2:3:4:5:6:7]:[::1]',
        '[1:2:3:4:5:6:7:8:9]:[::1]',
        '[12345::]:[::1]',
        '10.0.0.0/8:1.1.1.1,',
        '[::]/8/8:[::]',
      ],
    ],
  ],
  [
    parseEndpoints,
    ['10.0.0.1', '10.0.0.1:', '10.0.0.0/8:10.0.0.2', '10.0.0.1:[::1]', 'a:b', '1.1.1.1:2.2.2.2:3.3.3.3'],
  ],
  [
    parsePortMap,
    [
      '',
      '80',
      '80:',
      ':80',
      '80:65536',
      '65536:80',
      '80-:1',
      '-80:1',
      '100-1:5',
      '8000,8080,88888:80',
      '80:80:80',
      'a:b',
      '1--2:3',
    ],
  ],
  [
    parseMacPair,
    ['', ',', 'x', '00:11:22:33:44', '00:11:22:33:44:55:66', `${a},${b},${a}`, '00:11:22:33:44:gg', `${a},x`],
  ],
  [parseMacSubstitutions, ['', a, `${a},${b},${a}`, `${a},x`]],
  [parseTtl, ['', 'abc', '256', '+256', '-256', '1.5', '--1', '0x10', '+']],
  [parseHexBytes, ['', 'gg', '100', '0f,', '0f;00', new Array(256).fill('0').join(',')]],
  [parseSeed, ['', 'x', '1.5', '4294967296', '-2147483649', '1e3']],
  [(option, text) => parseNumber(option, text, 0, 7), ['', '-1', '8', '0x8', '1.0', 'seven', '0b1', ' ']],
];

t.test('bad values name the option, the value and what was expected', (t) => {
  for (const [parse, texts] of BAD) {
    for (const text of texts) {
      try {
        parse('--option', text);
        t.fail(`${parse.name} takes "${text}"`);
      } catch (error) {
        const { message, code } = error as { message: string; code: string };
        if (code !== 'USAGE' || !message.startsWith(`--option=${text}: expected `))
          t.fail(`${parse.name} "${text}": ${message}`);
      }
    }
  }
  t.pass('all refused');
  t.end();
});

t.test('clashes between rules are one sentence each', (t) => {
  const map = parseAddressMap('--pnat', '10.0.0.0/8:1.1.1.1');
  const clashes: readonly (readonly [Partial<RewriteSpec>, RegExp])[] = [
    [{ seed: 1, fuzz: { seed: 1, factor: 2 } }, /--seed and --fuzz-seed exclude/],
    [{ pnat: [map], sourceMap: map }, /--srcipmap exclude/],
    [{ pnat: [map, map, map] }, /twice at most/],
    [{ macSeed: { seed: 1, keepBytes: 0 }, sourceMac: { clientToServer: A, serverToClient: null } }, /--enet-mac-seed/],
    [{ macSeed: { seed: 1, keepBytes: 0 }, substituteMacs: [{ from: A, to: B }] }, /--enet-mac-seed/],
    [{ encapsulation: 'hdlc', hdlcAddress: 15 }, /--hdlc-control/],
    [{ encapsulation: 'user' }, /--user-dlink/],
    [{ userHeaders: [[1]] }, /--dlt=user/],
    [{ encapsulation: 'user', userHeaders: [[1], [1, 2]] }, /1 and 2 bytes/],
    [{ encapsulation: 'raw', vlan: { kind: 'delete' } }, /--enet-vlan/],
    [{ mtuTruncate: true, mtuBytes: 20 }, /--mtu/],
  ];
  for (const [change, pattern] of clashes) {
    const found = checkRewriteSpec({ ...EMPTY_REWRITE, ...change });
    t.equal(found.length, 1, String(pattern));
    t.match(found[0], pattern);
  }
  t.same(checkRewriteSpec(EMPTY_REWRITE), []);
  t.end();
});

function specOf(...args: string[]): RewriteSpec | null {
  const command = new Command().exitOverride();
  addRewriteOptions(command);
  command.parse(args, { from: 'user' });
  return rewriteSpecFrom(command.opts());
}

t.test('a command line becomes plain data', (t) => {
  t.equal(specOf(), null, 'nothing asked for');
  t.equal(specOf('--mtu=900', '--skipbroadcast'), null, 'qualifiers alone ask for nothing');
  const spec = specOf(
    ...['-r', '80:8080', '--portmap=443:8443', '-N', '10.0.0.0/8:1.1.1.1', '--pnat=9.0.0.0/8:2.2.2.2', '--ttl=-3'],
    ...['-b', '-C', '--enet-vlan=add', '--enet-vlan-tag=5', '--enet-vlan-proto=802.1AD', '--fixlen=del'],
  )!;
  t.equal(spec.portMap.length, 2);
  t.equal(spec.pnat.length, 2);
  t.same(spec.ttl, { mode: 'subtract', value: 3 });
  t.same(spec.vlan, { kind: 'add', tag: 5, priority: null, cfi: null, tpid: 0x88a8 });
  t.same([spec.skipBroadcast, spec.fixChecksums, spec.fixLength], [true, true, 'delete']);
  t.same(structuredClone(spec), spec, 'crosses to a worker');
  t.same(specOf('--dlt=ppp')?.encapsulation, 'pppserial');
  const refused: readonly (readonly [RegExp, readonly string[]])[] = [
    [/--enet-vlan=add needs --enet-vlan-tag/, ['--enet-vlan=add']],
    [/--fuzz-factor needs --fuzz-seed/, ['--fuzz-factor=3']],
    [/--enet-vlan-pri needs --enet-vlan/, ['--enet-vlan-pri=3']],
    [/--enet-mac-seed-keep-bytes needs/, ['--enet-mac-seed-keep-bytes=3']],
    [/can be read, not written/, ['--dlt=radiotap']],
    [/--dlt is one of/, ['--dlt=token-ring']],
    [/cannot both be given/, ['--endpoints=1.1.1.1:2.2.2.2', '--pnat=10.0.0.0/8:1.1.1.1']],
    [/expected a number from 0 to 255/, ['--tos=256']],
    [/expected a number from 1 to 4294967295|from 1/, ['--tcp-sequence=0']],
  ];
  for (const [pattern, args] of refused) t.throws(() => specOf(...args), { message: pattern }, args.join(' '));
  t.end();
});
