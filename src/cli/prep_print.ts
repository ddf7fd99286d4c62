/** What is in a cache, in tcpprep's words. */
import { type PrepCache, PrepVerdict, readPrepCache } from '../pcap/prep_cache.ts';
import type { Terminal } from './terminal.ts';

const WORDS = {
  [PrepVerdict.Skip]: "Don't Send",
  [PrepVerdict.Primary]: 'Primary',
  [PrepVerdict.Secondary]: 'Secondary',
};
/** Lines printed at once: a cache may know billions of packets. */
const LINES_AT_ONCE = 4096;

export function printComment(path: string, terminal: Terminal): void {
  const cache = readPrepCache(path);
  terminal.out(`tcpprep args: ${cache.comment}`);
  terminal.out(`Cache contains data for ${cache.packets} packets`);
}

export function printInfo(path: string, terminal: Terminal): void {
  const cache = readPrepCache(path);
  let lines: string[] = [];
  for (let number = 1; number <= cache.packets; number++) {
    lines.push(`Packet ${number} -> ${WORDS[cache.verdictOf(number)]}`);
    if (lines.length < LINES_AT_ONCE && number < cache.packets) continue;
    terminal.out(lines.join('\n'));
    lines = [];
  }
}

export function printStats(path: string, terminal: Terminal): void {
  for (const line of statsLines(readPrepCache(path))) terminal.out(line);
}

export function statsLines(cache: PrepCache): string[] {
  const counts = countVerdicts(cache);
  return [
    `Primary packets:\t${counts.primary}`,
    `Secondary packets:\t${counts.secondary}`,
    `Skipped packets:\t${counts.skipped}`,
    '-'.repeat(30),
    `Total packets:\t\t${cache.packets}`,
  ];
}

function countVerdicts(cache: PrepCache): { primary: number; secondary: number; skipped: number } {
  const counts = { primary: 0, secondary: 0, skipped: 0 };
  for (let number = 1; number <= cache.packets; number++) {
    const verdict = cache.verdictOf(number);
    if (verdict === PrepVerdict.Primary) counts.primary++;
    else if (verdict === PrepVerdict.Secondary) counts.secondary++;
    else counts.skipped++;
  }
  return counts;
}
