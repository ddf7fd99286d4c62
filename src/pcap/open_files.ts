/**
 * Files that this thread reads captures from: writing to one of them would empty it under its reader. Opening for
 * writing asks here first.
 */
import { OperatorError } from '../base/errors.ts';

export interface FileIdentity {
  readonly dev: number;
  readonly ino: number;
}

const keyOf = (file: FileIdentity): string => `${file.dev}:${file.ino}`;

const readers = new Map<string, number>();

export function beginReading(file: FileIdentity): void {
  readers.set(keyOf(file), (readers.get(keyOf(file)) ?? 0) + 1);
}

export function endReading(file: FileIdentity): void {
  const left = (readers.get(keyOf(file)) ?? 0) - 1;
  if (left > 0) readers.set(keyOf(file), left);
  else readers.delete(keyOf(file));
}

/** Throws `OperatorError('FILE')` where the file is open for reading. */
export function refuseWhileRead(name: string, file: FileIdentity): void {
  if (!readers.has(keyOf(file))) return;
  throw new OperatorError('FILE', `${name} is the capture that is being read: write to another file`);
}
