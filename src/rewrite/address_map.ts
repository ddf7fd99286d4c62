/** `--pnat`, `--srcipmap`, `--dstipmap`: `net:net[,net:net…]`; `--endpoints`: `A:B`. IPv6 blocks in brackets. */
import { cidrFromText, splitOutsideBrackets } from './cidr.ts';
import type { AddressMap, Cidr } from './spec.ts';
import { badValue } from './usage.ts';

const EXPECTED = 'net:net pairs as 10.0.0.0/8:192.168.0.0/16 or [2001:db8::/32]:[fd00::/8], commas between';

export function parseAddressMap(option: string, text: string): AddressMap {
  return splitOutsideBrackets(text, ',').map((pair) => {
    const sides = splitOutsideBrackets(pair, ':');
    const from = sides.length === 2 ? cidrFromText(sides[0]!) : null;
    const to = sides.length === 2 ? cidrFromText(sides[1]!) : null;
    if (from === null || to === null) throw badValue(option, text, EXPECTED);
    if (from.version !== to.version) throw badValue(option, text, `${EXPECTED}; both sides of one IP version`);
    return { from, to };
  });
}

/** `A:B` as the two maps of `--pnat`: everything to A, everything to B. */
export function parseEndpoints(option: string, text: string): readonly AddressMap[] {
  const expected = 'two addresses as 10.10.0.1:10.10.0.2 or [fd00::1]:[fd00::2]';
  const hosts = splitOutsideBrackets(text, ':').map((side) => cidrFromText(side));
  const [a, b] = hosts;
  if (hosts.length !== 2 || !a || !b || a.version !== b.version) throw badValue(option, text, expected);
  const whole = a.version === 4 ? 32 : 128;
  if (a.prefixLength !== whole || b.prefixLength !== whole) throw badValue(option, text, expected);
  const everything: Cidr = { version: a.version, words: a.version === 4 ? [0] : [0, 0, 0, 0], prefixLength: 0 };
  return [[{ from: everything, to: a }], [{ from: everything, to: b }]];
}
