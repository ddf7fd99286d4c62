/** Sentences of what is wrong with a capture: file, packet, byte, and what was still delivered. */
import { OperatorError } from '../base/errors.ts';
import { groupDigits } from '../base/units.ts';
import type { CaptureWindow } from './window.ts';

/** How the file is called in messages. */
export function captureName(path: string): string {
  return path === '-' ? 'stdin' : path;
}

/** A record that cannot be read. `offset`: of the record, in the uncompressed stream. `packet` counts from 1. */
export function recordFault(path: string, packet: number, offset: number, what: string): OperatorError {
  const before = packet - 1;
  const rest =
    before === 0
      ? 'no packet was before it'
      : before === 1
        ? '1 packet before it was delivered'
        : `${groupDigits(before)} packets before it were delivered`;
  return new OperatorError(
    'FORMAT',
    `${captureName(path)}: packet ${groupDigits(packet)} at byte ${offset}: ${what}; ${rest}`,
  );
}

/** The capture ends inside a record that began at `offset`; the source's own fault goes first where there is one. */
export function truncationFault(
  path: string,
  packet: number,
  offset: number,
  window: CaptureWindow,
  what: string,
): OperatorError {
  if (window.fault === null) return recordFault(path, packet, offset, what);
  const error = recordFault(path, packet, offset, window.fault.what);
  return window.fault.code === 'FORMAT' ? error : new OperatorError(window.fault.code, error.message);
}
