/** errno values as an operator reads them: the name and libc's own sentence. */
import os from 'node:os';
import { declare } from './libc.ts';

const strerror = declare<string>('const char *strerror(int number)');

const NAMES = new Map<number, string>(Object.entries(os.constants.errno).map(([name, number]) => [number, name]));

/** errno numbers by name on this platform. */
export const Errno: typeof os.constants.errno = os.constants.errno;

/** `ENETDOWN`, or `errno 4711`. */
export function errnoName(errno: number): string {
  return NAMES.get(errno) ?? `errno ${errno}`;
}

/** `Network is down (ENETDOWN)`. */
export function describeErrno(errno: number): string {
  return `${strerror(errno)} (${errnoName(errno)})`;
}

/** The errno whose sentence this is (some packages hand on the text only); number 0 and the text itself if unknown. */
export function errnoOfMessage(message: string): { readonly number: number; readonly name: string } {
  for (const number of NAMES.keys()) {
    if (strerror(number) === message) return { number, name: errnoName(number) };
  }
  return { number: 0, name: message };
}
