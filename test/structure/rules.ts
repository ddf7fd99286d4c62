import { functionSpans, loopBodies } from './functions.ts';
import { lineOf, maskSource } from './mask.ts';

export interface SourceFile {
  /** From the package root, with `/`. */
  readonly path: string;
  readonly text: string;
  /** `maskSource(text)`: comments, strings, templates and regular expressions blanked. */
  readonly code: string;
}

export function sourceFile(path: string, text: string): SourceFile {
  return { path, text, code: maskSource(text) };
}

export const FILE_LINES_MAX = 500;
export const FUNCTION_LINES_MAX = 70;
export const COLUMNS_MAX = 120;

type Pattern = readonly [pattern: RegExp, why: string];

function matches(file: SourceFile, within: string, patterns: readonly Pattern[], from = 0): string[] {
  return patterns.flatMap(([pattern, why]) =>
    [...within.matchAll(pattern)].map(
      (match) => `${file.path}:${lineOf(file.text, from + match.index)}: ${match[0].trim()}: ${why}`,
    ),
  );
}

export function sizeViolations(file: SourceFile): string[] {
  const lines = file.text.replace(/\n$/, '').split('\n');
  const wrong = lines.flatMap((line, i) =>
    [...line].length > COLUMNS_MAX ? [`${file.path}:${i + 1}: longer than ${COLUMNS_MAX} columns`] : [],
  );
  if (lines.length > FILE_LINES_MAX) wrong.push(`${file.path}: ${lines.length} lines, more than ${FILE_LINES_MAX}`);
  for (const { name, firstLine, lastLine } of functionSpans(file.code)) {
    const length = lastLine - firstLine + 1;
    if (length <= FUNCTION_LINES_MAX) continue;
    wrong.push(`${file.path}:${firstLine}: function ${name} has ${length} lines, more than ${FUNCTION_LINES_MAX}`);
  }
  return wrong;
}

const HOT_BANNED: readonly Pattern[] = [
  [/\.(subarray|slice)\(/g, 'makes a view per packet'],
  [/\bBuffer\./g, 'Buffer methods are slow'],
  [/\b\d[\d_]*n\b|\b0x[\da-fA-F_]+n\b|\bBigInt\(/g, 'BigInt allocates'],
  [/\basync\b|\bawait\b|\.then\(|\byield\b/g, 'leaves the loop'],
  [/\.emit\(/g, 'events per packet'],
];
const HOT_LOOP_BANNED: readonly Pattern[] = [
  [/=>|\bfunction\b/g, 'makes a closure in a loop'],
  [/\bthrow\b/g, "a packet's fault is a number and a counter"],
];

/** A file is hot when its first comment has the word HOT. */
export function isHot(file: SourceFile): boolean {
  return /^\s*(\/\*[\s\S]*?\*\/|(\/\/[^\n]*\n)+)/.exec(file.text)?.[0]?.match(/\bHOT\b/) != null;
}

export function hotViolations(file: SourceFile): string[] {
  if (!isHot(file)) return [];
  const wrong = matches(file, file.code, HOT_BANNED);
  for (const [start, end] of loopBodies(file.code)) {
    wrong.push(...matches(file, file.code.slice(start, end), HOT_LOOP_BANNED, start));
  }
  return [...new Set(wrong)];
}

const CONSOLE_BANNED: readonly Pattern[] = [
  [/\bconsole\.\w+/g, 'only src/cli prints'],
  [/\bprocess\.(stdout|stderr|argv|exit|exitCode)\b/g, 'only src/cli prints, reads argv, exits'],
];

export function consoleViolations(file: SourceFile): string[] {
  const exempt = !file.path.startsWith('src/') || file.path.startsWith('src/cli/');
  return exempt ? [] : matches(file, file.code, CONSOLE_BANNED);
}

/** Spelled apart, so that this file keeps its own rules. */
const UNFINISHED = new RegExp(`\\b(${['TO', 'FIX', 'X'].map((a, i) => a + ['DO', 'ME', 'XX'][i]).join('|')})\\b`, 'g');
const TEST_BANNED: readonly Pattern[] = [
  [/\.only\s*\(|\bonly:\s*true/g, 'leaves the other tests out'],
  [/\bskip:\s*true/g, 'a skip names its reason'],
];

export function habitViolations(file: SourceFile): string[] {
  const wrong = matches(file, file.text, [[UNFINISHED, 'finish it, or open an issue and name it here']]);
  if (!file.path.startsWith('test/')) return wrong;
  for (const match of file.code.matchAll(/\.skip\s*\(\s*/g)) {
    const reason = file.text.slice(match.index + match[0].length);
    if (!/^(\)|''|""|``)/.test(reason)) continue;
    wrong.push(`${file.path}:${lineOf(file.text, match.index)}: .skip() without a reason`);
  }
  return [...wrong, ...matches(file, file.code, TEST_BANNED)];
}

/** Absolute paths that exist on one machine only. */
const MACHINE_PATH = new RegExp(`(?<![\\w.~*-])/(${['work', 'tmp', 'root', 'home'].join('|')})/[\\w.-]`, 'g');

export function machinePathViolations(file: SourceFile): string[] {
  return matches(file, file.text, [[MACHINE_PATH, "a path of somebody's machine"]]);
}
