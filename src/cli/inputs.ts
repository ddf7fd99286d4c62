/**
 * The operands of a command as capture files. A file, a pipe and `-` stand for themselves: whether they can be read is
 * found out when they are opened. A directory stands for every capture below it: names in byte order, depth first,
 * symbolic links followed (each directory is entered once, so a link upwards ends), and everything that is left out is
 * named in a warning and counted.
 */
import { closeSync, openSync, readdirSync, readSync, realpathSync, type Stats, statSync } from 'node:fs';
import { join } from 'node:path';
import { constants, gunzipSync } from 'node:zlib';
import { OperatorError } from '../base/errors.ts';

export interface Inputs {
  readonly files: readonly string[];
  /** One sentence for each thing in a directory that was left out. */
  readonly warnings: readonly string[];
  /** Things in directories left out. */
  readonly skipped: number;
}

/** Deeper nesting than any file system holds within a path's 4,096 bytes is refused. */
const DEPTH_MAX = 256;

/** Throws FILE where an operand does not exist or a directory holds no capture. */
export function expandInputs(operands: readonly string[]): Inputs {
  const files: string[] = [];
  const warnings: string[] = [];
  for (const operand of operands) {
    const stats = operand === '-' ? null : statOf(operand);
    if (stats === null || !stats.isDirectory()) {
      files.push(operand);
      continue;
    }
    const before = files.length;
    walk(operand, new Set(), 0, files, warnings);
    if (files.length === before)
      throw new OperatorError('FILE', `${operand} holds no capture: name a pcap or pcapng file`);
  }
  return { files, warnings, skipped: warnings.length };
}

function statOf(path: string): Stats {
  try {
    return statSync(path);
  } catch (error) {
    throw new OperatorError('FILE', `${path} cannot be read: ${reasonOf(error)}`, { cause: error });
  }
}

function walk(directory: string, entered: Set<string>, depth: number, files: string[], warnings: string[]): void {
  let names: string[];
  try {
    const real = realpathSync(directory);
    if (entered.has(real)) return void warnings.push(`${directory} is a link to a directory already walked: skipped`);
    entered.add(real);
    if (depth > DEPTH_MAX) return void warnings.push(`${directory} is nested more than ${DEPTH_MAX} deep: skipped`);
    names = readdirSync(directory);
  } catch (error) {
    return void warnings.push(`${directory} cannot be read (${reasonOf(error)}): skipped`);
  }
  names.sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  for (const name of names) {
    const path = join(directory, name);
    try {
      const stats = statSync(path);
      if (stats.isDirectory()) walk(path, entered, depth + 1, files, warnings);
      else if (!stats.isFile()) warnings.push(`${path} is no regular file: skipped`);
      else if (looksLikeCapture(path)) files.push(path);
      else warnings.push(`${path} is no pcap or pcapng file: skipped`);
    } catch (error) {
      warnings.push(`${path} cannot be read (${reasonOf(error)}): skipped`);
    }
  }
}

/** First four bytes of captures, big-endian: pcap µs, ns, Kuznetsov in both byte orders, pcapng. */
const MAGICS: ReadonlySet<number> = new Set([
  0xa1b2c3d4, 0xd4c3b2a1, 0xa1b23c4d, 0x4d3cb2a1, 0xa1b2cd34, 0x34cdb2a1, 0x0a0d0d0a,
]);
const ZSTD_MAGIC = 0x28b52ffd;
const HEAD_BYTES = 4096;

/** By its first bytes; of a gzip file, by the first bytes inside. What zstd holds shows when it is opened. */
export function looksLikeCapture(path: string): boolean {
  const head = Buffer.alloc(HEAD_BYTES);
  const file = openSync(path, 'r');
  let length = 0;
  try {
    length = readSync(file, head, 0, HEAD_BYTES, 0);
  } finally {
    closeSync(file);
  }
  if (length < 4) return false;
  if (head.readUInt16BE(0) === 0x1f8b) return MAGICS.has(gzipMagic(head.subarray(0, length)));
  return MAGICS.has(head.readUInt32BE(0)) || head.readUInt32BE(0) === ZSTD_MAGIC;
}

function gzipMagic(head: Buffer): number {
  try {
    const inside = gunzipSync(head, { finishFlush: constants.Z_SYNC_FLUSH });
    return inside.length < 4 ? 0 : inside.readUInt32BE(0);
  } catch {
    return 0;
  }
}

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'no such file',
  EACCES: 'no permission',
  ELOOP: 'its symbolic links go round in a circle',
  EISDIR: 'it is a directory',
  ENOTDIR: 'a part of the path is no directory',
  ENAMETOOLONG: 'the path is too long',
};

/** Why the file system refused, in words. */
export function reasonOf(error: unknown): string {
  const code = (error as NodeJS.ErrnoException).code ?? 'unknown error';
  return REASONS[code] ?? code;
}
