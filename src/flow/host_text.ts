/** IP addresses as people read them: dotted quads, IPv6 in the one form of RFC 5952. For messages, never per packet. */

import { hostWords } from './host_memo.ts';
import type { HostTable } from './hosts.ts';

export function hostText(hosts: HostTable, id: number): string {
  return addressText(hosts.version(id), hostWords(hosts, id));
}

/** `words`: one u32 (IPv4) or four, most significant first. */
export function addressText(version: 4 | 6, words: readonly number[]): string {
  if (version === 4) return ipv4Text(words[0]!);
  const [a, b, c, d] = words as [number, number, number, number];
  // IPv4-mapped, RFC 5952 section 5.
  if (a === 0 && b === 0 && c === 0xffff) return `::ffff:${ipv4Text(d)}`;
  const groups = [a, b, c, d].flatMap((word) => [word >>> 16, word & 0xffff]);
  const run = longestZeros(groups);
  const text = (part: readonly number[]): string => part.map((group) => group.toString(16)).join(':');
  if (run.length < 2) return text(groups);
  return `${text(groups.slice(0, run.start))}::${text(groups.slice(run.start + run.length))}`;
}

function ipv4Text(word: number): string {
  return `${word >>> 24}.${(word >>> 16) & 255}.${(word >>> 8) & 255}.${word & 255}`;
}

function longestZeros(groups: readonly number[]): { start: number; length: number } {
  let best = { start: 0, length: 0 };
  let start = 0;
  for (let i = 0; i <= groups.length; i++) {
    if (groups[i] === 0) continue;
    if (i - start > best.length) best = { start, length: i - start };
    start = i + 1;
  }
  return best;
}
