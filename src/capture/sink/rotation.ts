/**
 * When the next file begins and what it is called, by the rules of tcpdump (`-C`, `-G`, `-W`; its manual page) and of
 * dumpcap (`-b`; its manual page). Time is the wall clock's, as in both.
 */
import path from 'node:path';
import { formatLocalTime } from '../../device/host.ts';
import type { RotationSpec } from './sink.ts';

export const RotationReason = { None: 0, Size: 1, Packets: 2, Time: 3, Asked: 4, End: 5 } as const;
export type RotationReason = (typeof RotationReason)[keyof typeof RotationReason];

/** As in the index. */
export const REASON_NAMES: readonly string[] = ['none', 'size', 'packets', 'time', 'asked', 'end'];

/** dumpcap counts files up to this, then from 0. */
const DUMPCAP_NUMBERS = 100_000;

const NEVER = Number.MAX_SAFE_INTEGER;

/** Digits of the largest number of a ring of `files`, as tcpdump pads: 0 to 9 for ten files. */
function ringDigits(files: number): number {
  return files <= 1 ? 0 : String(files - 1).length;
}

export class Rotation {
  /** The last file that may be written is complete. */
  isOver = false;
  readonly #path: string;
  readonly #suffix: string;
  readonly #spec: RotationSpec | null;
  /** A file with more bytes or packets takes no further packet. */
  readonly bytesMost: number;
  readonly packetsMost: number;
  readonly #isNumbered: boolean;
  /** tcpdump: the number behind the name, within one period. dumpcap: files so far. */
  #number = -1;
  #periods = 0;
  #periodStartMs = 0;
  #dueMs = NEVER;
  /** When `#dueMs` was set. */
  #setMs = 0;

  /**
   * `suffix`: `.zst`, `.gz` or nothing; a path that ends so gets its numbers in front of it. `pieceBytes`: a file is no
   * longer than that, whatever `spec` says.
   */
  constructor(path: string, suffix: string, spec: RotationSpec | undefined, pieceBytes: number = NEVER) {
    this.#suffix = suffix;
    this.#path = suffix !== '' && path.endsWith(suffix) ? path.slice(0, -suffix.length) : path;
    this.#spec = spec ?? null;
    // tcpdump goes on when a file has more than its size, dumpcap when it has as much
    const fileBytes = spec?.fileBytes ?? NEVER;
    this.bytesMost = Math.min(pieceBytes, spec?.naming === 'dumpcap' ? fileBytes - 1 : fileBytes);
    this.packetsMost = (spec?.packets ?? NEVER) - 1;
    this.#isNumbered = spec?.fileBytes !== undefined || spec?.packets !== undefined;
  }

  /** Files that are kept; older ones are removed. 0: all (tcpdump's ring uses its names again instead). */
  get filesKept(): number {
    return this.#spec?.naming === 'dumpcap' ? (this.#spec.files ?? 0) : 0;
  }

  /** A file with so many bytes and packets takes no further packet. */
  due(bytes: number, packets: number): RotationReason {
    if (bytes > this.bytesMost) return RotationReason.Size;
    return packets > this.packetsMost ? RotationReason.Packets : RotationReason.None;
  }

  isTimeDue(nowMs: number): boolean {
    // A clock that was put back by an hour does not make the file an hour longer: its time begins anew.
    if (nowMs < this.#setMs) this.#setDue(nowMs);
    return nowMs >= this.#dueMs;
  }

  #setDue(nowMs: number): void {
    const { durationMs, intervalMs } = this.#spec ?? {};
    this.#setMs = nowMs;
    this.#dueMs = durationMs === undefined ? NEVER : nowMs + durationMs;
    if (intervalMs !== undefined) this.#dueMs = Math.min(this.#dueMs, nextMultiple(nowMs, intervalMs));
  }

  /** Name of the file that begins now. */
  begin(nowMs: number): string {
    const spec = this.#spec;
    if (spec === null) {
      this.#number++;
      // asked for on SIGHUP only: nothing is written over
      return this.#number === 0 ? this.#withSuffix(this.#path) : this.#withSuffix(`${this.#path}${this.#number}`);
    }
    return spec.naming === 'dumpcap' ? this.#beginDumpcap(nowMs) : this.#beginTcpdump(spec, nowMs);
  }

  /** The file is complete. Sets `isOver` where no other may follow. */
  finished(reason: RotationReason): void {
    const spec = this.#spec;
    if (spec?.naming !== 'tcpdump' || spec.durationMs === undefined || reason !== RotationReason.Time) return;
    this.#periods++;
    this.#number = -1;
    this.#periodStartMs = 0;
    if (!this.#isNumbered && spec.files !== undefined && this.#periods >= spec.files) this.isOver = true;
  }

  #withSuffix(name: string): string {
    return `${name}${this.#suffix}`;
  }

  #beginTcpdump(spec: RotationSpec, nowMs: number): string {
    if (this.#periodStartMs === 0) {
      this.#periodStartMs = nowMs;
      this.#setDue(nowMs);
    }
    this.#number++;
    const files = this.#isNumbered ? (spec.files ?? 0) : 0;
    if (files > 0 && this.#number >= files) this.#number = 0;
    const dated =
      spec.durationMs === undefined ? this.#path : formatLocalTime(this.#path, Math.floor(this.#periodStartMs / 1000));
    const digits = ringDigits(files);
    if (this.#number === 0 && digits === 0) return this.#withSuffix(dated);
    return this.#withSuffix(dated + String(this.#number).padStart(digits, '0'));
  }

  #beginDumpcap(nowMs: number): string {
    this.#setDue(nowMs);
    this.#number++;
    const extension = path.extname(this.#path);
    const stem = extension === '' ? this.#path : this.#path.slice(0, -extension.length);
    const number = String((this.#number + 1) % DUMPCAP_NUMBERS).padStart(5, '0');
    const stamp = formatLocalTime('%Y%m%d%H%M%S', Math.floor(nowMs / 1000));
    return this.#withSuffix(`${stem}_${number}_${stamp}${extension}`);
  }
}

function nextMultiple(nowMs: number, stepMs: number): number {
  return (Math.floor(nowMs / stepMs) + 1) * stepMs;
}
