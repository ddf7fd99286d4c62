/** The report of a `tscap --json` that has ended. */
import assert from 'node:assert/strict';
import type { LabProcess } from '../../lab/process.ts';

export interface TscapReport {
  readonly received: number;
  readonly dropped: { readonly kernel: number; readonly interface: number; readonly shed: number };
  readonly written: number;
  readonly bytes: number;
  readonly seconds: number;
  readonly files: number;
}

/** Waits for the end. @throws AssertionError with exit status, signal and standard error where there is no report. */
export async function reportOf(running: LabProcess): Promise<TscapReport> {
  const { status, signal } = await running.ended;
  const ended = `status ${status}, signal ${signal}, standard error: ${running.stderr.trim()}`;
  assert.match(running.stdout, /\{.*\}/s, `no report of ${running.argv.join(' ')}; ${ended}`);
  return JSON.parse(running.stdout.slice(running.stdout.indexOf('{'))) as TscapReport;
}
