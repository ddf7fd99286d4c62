/** `--portmap=from:to[,from:to…]`: `from` is a port, a range `a-b` or a list `a+b+c` of either; first match wins. */
import type { PortRange } from './spec.ts';
import { badValue } from './usage.ts';

const EXPECTED = 'from:to pairs as 80:8080, 1-100:49148 or 80+443:8080, ports from 0 to 65535';

function port(option: string, text: string, whole: string): number {
  const value = /^\d{1,5}$/.test(text.trim()) ? Number(text) : Number.NaN;
  if (!(value <= 0xffff)) throw badValue(option, whole, EXPECTED);
  return value;
}

export function parsePortMap(option: string, text: string): readonly PortRange[] {
  const ranges: PortRange[] = [];
  for (const pair of text.split(',')) {
    const sides = pair.split(':');
    if (sides.length !== 2) throw badValue(option, text, EXPECTED);
    const to = port(option, sides[1]!, text);
    for (const from of sides[0]!.split('+')) {
      const ends = from.split('-');
      if (ends.length > 2) throw badValue(option, text, EXPECTED);
      const first = port(option, ends[0]!, text);
      const last = ends.length === 2 ? port(option, ends[1]!, text) : first;
      if (last < first) throw badValue(option, text, `${EXPECTED} (${first}-${last} goes backwards)`);
      ranges.push({ first, last, to });
    }
  }
  return ranges;
}

/** Every port's new value, for one load a lookup. */
export function portTable(ranges: readonly PortRange[]): Uint16Array {
  const table = new Uint16Array(0x1_0000);
  for (let value = 0; value < 0x1_0000; value++) {
    table[value] = ranges.find((range) => value >= range.first && value <= range.last)?.to ?? value;
  }
  return table;
}
