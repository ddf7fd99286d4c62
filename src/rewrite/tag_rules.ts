/** `--vlan`: rules about VLAN tags at any depth; 0 is the outermost tag. */
import type { TagField, TagRule } from './spec.ts';
import { badValue } from './usage.ts';

const EXPECTED =
  'push:100, push:vid=100,pri=3,dei=1,tpid=0x88a8, pop, pop:1, pop:all, set:0.vid=100 or map:10-20=110-120';
/** Deeper tags than any network stacks. */
export const TAG_DEPTH_MAX = 7;
export const TAG_RULES_MAX = 16;

const FIELDS: Readonly<Record<string, { readonly field: TagField; readonly most: number }>> = {
  vid: { field: 'vid', most: 4095 },
  pri: { field: 'pri', most: 7 },
  pcp: { field: 'pri', most: 7 },
  dei: { field: 'dei', most: 1 },
  cfi: { field: 'dei', most: 1 },
  tpid: { field: 'tpid', most: 0xffff },
};
const TPID_NAMES: Readonly<Record<string, string>> = { '802.1q': '0x8100', '802.1ad': '0x88a8' };
const TPIDS: readonly number[] = [0x8100, 0x88a8, 0x9100];

interface Assignment {
  readonly depth: number | null;
  readonly field: TagField;
  readonly value: number;
}

export function parseTagRules(option: string, text: string): readonly TagRule[] {
  const match = /^(push|pop|set|map)(?::(.*))?$/i.exec(text.trim());
  if (match === null) throw badValue(option, text, EXPECTED);
  const rest = match[2] ?? '';
  switch (match[1]!.toLowerCase()) {
    case 'push':
      return [parsePush(option, text, rest)];
    case 'pop':
      return [parsePop(option, text, rest)];
    case 'set':
      return rest.split(',').map((part) => {
        const { depth, field, value } = parseAssignment(option, text, part);
        return { kind: 'set', depth: depth ?? 0, field, value };
      });
    default:
      return rest.split(',').map((part) => parseMap(option, text, part));
  }
}

function parsePush(option: string, text: string, rest: string): TagRule {
  const parts = (/^\d+$/.test(rest) ? `vid=${rest}` : rest)
    .split(',')
    .map((part) => parseAssignment(option, text, part));
  const depths = new Set(parts.map((part) => part.depth ?? 0));
  const given = (field: TagField): number | null => parts.find((part) => part.field === field)?.value ?? null;
  const vid = given('vid');
  if (vid === null || depths.size > 1) throw badValue(option, text, `${EXPECTED}; push needs one vid and one depth`);
  const depth = [...depths][0]!;
  return { kind: 'push', depth, vid, priority: given('pri'), dei: given('dei'), tpid: given('tpid') ?? 0x8100 };
}

function parsePop(option: string, text: string, rest: string): TagRule {
  if (rest === '') return { kind: 'pop', depth: 0 };
  if (rest === 'all') return { kind: 'pop', depth: 'all' };
  return { kind: 'pop', depth: depthOf(option, text, rest) };
}

/** `[DEPTH.]FIELD=VALUE`. */
function parseAssignment(option: string, text: string, part: string): Assignment {
  const match = /^(?:(\d+)\.)?([a-z]+)=(.+)$/i.exec(part.trim());
  const known = FIELDS[match?.[2]?.toLowerCase() ?? ''];
  if (match === null || known === undefined) throw badValue(option, text, EXPECTED);
  const word = match[3]!.toLowerCase();
  const value = numberOf(known.field === 'tpid' ? (TPID_NAMES[word] ?? word) : word);
  if (!(value <= known.most)) throw badValue(option, text, `${known.field} from 0 to ${known.most}`);
  if (known.field === 'tpid' && !TPIDS.includes(value)) {
    throw badValue(option, text, 'tpid 802.1q (0x8100), 802.1ad (0x88a8) or 0x9100');
  }
  return { depth: match[1] === undefined ? null : depthOf(option, text, match[1]), field: known.field, value };
}

/** `[DEPTH.]A[-B]=C[-D]`. */
function parseMap(option: string, text: string, part: string): TagRule {
  const match = /^(?:(\d+)\.)?(\d+)(?:-(\d+))?=(\d+)(?:-(\d+))?$/.exec(part.trim());
  if (match === null) throw badValue(option, text, EXPECTED);
  const first = Number(match[2]);
  const last = match[3] === undefined ? first : Number(match[3]);
  const to = Number(match[4]);
  const toLast = match[5] === undefined ? to + last - first : Number(match[5]);
  if (last < first || last > 4095 || toLast > 4095)
    throw badValue(option, text, 'identifiers from 0 to 4095, in order');
  if (toLast - to !== last - first) throw badValue(option, text, 'two ranges of the same length, as 10-20=110-120');
  return { kind: 'map', depth: match[1] === undefined ? 'all' : depthOf(option, text, match[1]), first, last, to };
}

function depthOf(option: string, text: string, digits: string): number {
  const depth = /^\d$/.test(digits) ? Number(digits) : Number.NaN;
  if (!(depth <= TAG_DEPTH_MAX)) throw badValue(option, text, `a depth from 0 (the outermost tag) to ${TAG_DEPTH_MAX}`);
  return depth;
}

function numberOf(word: string): number {
  return /^(\d+|0x[0-9a-f]+)$/.test(word) ? Number(word) : Number.NaN;
}
